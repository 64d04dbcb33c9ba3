"""How a run of tests is recognised where nothing of passerby was set up for it.

Each mark is there only while tests run. That a test library is installed or imported is none, and no variable that
people set themselves is: what looks like a test in production would cost all events.
"""

from __future__ import annotations

import os
import sys
from pathlib import PurePath
from typing import Any

# Commands that do nothing but run tests, and the module that such a command has imported.
_RUNNERS = {
    "pytest": "_pytest",
    "py.test": "_pytest",
    "nose2": "nose2",
    "nosetests": "nose",
    "trial": "twisted.trial",
    "stestr": "stestr",
    "zope-testrunner": "zope.testrunner",
    "behave": "behave",
}
# Packages that `python -m` runs for nothing but tests.
_PACKAGES = frozenset({"pytest", "unittest", "doctest", "nose2", "nose", "stestr", "testtools", "subunit", "behave"})
_REWRITING = "_pytest.assertion.rewrite"  # pytest puts its import hook in place before it imports anything of an app


def runner_here() -> str | None:
    """Return by which mark this process is one that runs tests, as far as it has been since it started; else None."""
    if any(type(finder).__module__ == _REWRITING for finder in sys.meta_path):
        return "pytest is running"
    program = PurePath(sys.argv[0] if sys.argv else "").name.removesuffix(".exe")
    if _RUNNERS.get(program) in sys.modules:
        return f"the program is {program}"
    spec = getattr(sys.modules.get("__main__"), "__spec__", None)
    package = str(getattr(spec, "name", "")).partition(".")[0]
    if package in _PACKAGES:
        return f"the program is {package}"
    return None


def tests_here() -> str | None:
    """Return by which mark tests run in this process at this moment; else None. Asked often, so it looks at little."""
    utils: Any = sys.modules.get("django.test.utils")
    if utils is not None and "saved_data" in vars(getattr(utils, "_TestState", object)):
        return "Django's test environment is set up"
    signals: Any = sys.modules.get("unittest.signals")
    results: Any = getattr(signals, "_results", None)  # where a runner registers what it runs, for Ctrl-C
    return "unittest is running" if getattr(results, "data", None) else None


def started_by_test() -> str | None:
    """Return by which mark this process was started within a test, such as a server that the test talks to."""
    return "PYTEST_CURRENT_TEST is set" if os.environ.get("PYTEST_CURRENT_TEST") else None
