"""Detects a test run without any setup for it.

Each sign exists only while tests run. An installed or imported test library is not a sign, and neither is a variable
that people set themselves: a false detection in production would lose all events.
"""

from __future__ import annotations

import os
import sys
from pathlib import PurePath
from typing import Any

# Commands that only run tests, and a module that each of them imports.
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
# Packages that only run tests when run by `python -m`.
_PACKAGES = frozenset({"pytest", "unittest", "doctest", "nose2", "nose", "stestr", "testtools", "subunit", "behave"})
MODULES_OF_TESTS = ("django.test.utils", "unittest.signals")  # without them no tests run, but apps import them too
_REWRITING = "_pytest.assertion.rewrite"  # pytest installs its import hook before it imports the app


def find_runner() -> str | None:
    """Return the sign that this process was started to run tests, or None."""
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


def find_running_tests() -> str | None:
    """Return the sign that tests are running in this process now, or None. Called often, so it checks little.

    There is none unless one of `MODULES_OF_TESTS` is imported.
    """
    utils: Any = sys.modules.get("django.test.utils")
    if utils is not None and "saved_data" in vars(getattr(utils, "_TestState", object)):
        return "Django's test environment is set up"
    signals: Any = sys.modules.get("unittest.signals")
    if signals is None:
        return None
    results: Any = getattr(signals, "_results", None)  # where a runner registers its results, for Ctrl-C
    return "unittest is running" if getattr(results, "data", None) else None


def find_parent_test() -> str | None:
    """Return the sign that this process was started by a test, such as a server for the test, or None."""
    return "PYTEST_CURRENT_TEST is set" if os.environ.get("PYTEST_CURRENT_TEST") else None
