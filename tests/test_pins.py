"""What is installed is pinned and known by its hash, and no file records where to download it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
REQUIREMENTS = sorted((ROOT / "requirements").glob("*.txt"))
ADDRESS = re.compile(r"://|file:| @ |--(index-url|extra-index-url|find-links|trusted-host)")


@pytest.mark.parametrize("path", REQUIREMENTS, ids=lambda path: path.stem)
def test_requirements_are_pinned_and_hashed(path: Path) -> None:
    entries = re.sub(r"\\\n|#.*", " ", path.read_text()).splitlines()
    loose = [
        entry
        for entry in filter(str.strip, entries)
        if not re.match(r"[\w.-]+(\[[\w,-]+\])?==[^\s*]+ .*--hash=sha256:[0-9a-f]{64}", entry)
    ]
    assert not loose, f"run `make lock`; not pinned with a hash: {loose}"


@pytest.mark.parametrize("path", REQUIREMENTS, ids=lambda path: path.stem)
def test_requirements_record_no_address(path: Path) -> None:
    found = [line for line in path.read_text().splitlines() if ADDRESS.search(line)]

    assert not found, f"run `make lock`, which leaves addresses out: {found}"


def test_files_that_share_an_environment_agree() -> None:
    pins = [dict(re.findall(r"^([\w.-]+)==(\S+)", path.read_text(), re.MULTILINE)) for path in REQUIREMENTS]
    versions: dict[str, set[str]] = {}
    for name, version in (pin for file in pins for pin in file.items()):
        versions.setdefault(name, set()).add(version)

    assert not {name for name, found in versions.items() if len(found) > 1}, "run `make lock`"


def test_npm_lock_file_records_no_download_address() -> None:
    lock = json.loads((ROOT / "tests" / "conformance" / "package-lock.json").read_text())
    found = [package["resolved"] for package in lock["packages"].values() if "resolved" in package]

    assert not found, f"set omit-lockfile-registry-resolved=true and run `npm install` there: {found}"
