"""REQUIRE_ALL_TESTS=1 turns whatever would be skipped into a failure."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

CONFTEST_FILE = Path(__file__).with_name("conftest.py")
TESTS = {
    "test_inside.py": "def test_inside(): pytest.skip('skipped inside')",
    "test_mark.py": "@pytest.mark.skip(reason='skipped by mark')\ndef test_mark(): pass",
    "test_module.py": "pytest.skip('skipped as a module', allow_module_level=True)",
    "test_browser.py": "@pytest.mark.browser\ndef test_browser(): pass",
    "test_node.py": "@pytest.mark.node\ndef test_node(): pass",
    "test_known.py": "@pytest.mark.xfail(reason='known')\ndef test_known(): assert False",
}


def run_skipped_tests(folder: Path, *, require_all: bool) -> str:
    """Run the tests above under this conftest, where neither an npm package nor a browser is found."""
    (folder / "conftest.py").write_text(CONFTEST_FILE.read_text())
    (folder / "pytest.ini").write_text("[pytest]\nmarkers =\n    browser\n    node\n")
    for name, body in TESTS.items():
        (folder / name).write_text(f"import pytest\n{body}\n")
    options = ["-ra", "-p", "no:cacheprovider", "--continue-on-collection-errors"]
    settings = {"REQUIRE_ALL_TESTS": "1" if require_all else "0", "PYTEST_ADDOPTS": "", "COLUMNS": "200"}
    settings["PYTHONPATH"] = str(CONFTEST_FILE.parents[1])  # the conftest takes fixtures from its own package
    settings["PATH"] = str(folder)
    command = [sys.executable, "-m", "pytest", *options]
    run = subprocess.run(
        command,
        cwd=folder,
        env=os.environ | settings,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return run.stdout


def test_every_skip_fails_where_everything_is_required(tmp_path: Path) -> None:
    output = run_skipped_tests(tmp_path, require_all=True)

    # What is skipped before the test itself runs counts as an error.
    assert "1 failed, 1 xfailed, 4 errors" in output
    for name in ("test_inside", "test_mark", "test_module", "test_browser", "test_node"):
        assert re.search(rf"{name}\.py.* - REQUIRE_ALL_TESTS=1 allows no skip: ", output), output


def test_a_skip_is_only_shown_elsewhere(tmp_path: Path) -> None:
    assert "5 skipped, 1 xfailed" in run_skipped_tests(tmp_path, require_all=False)
