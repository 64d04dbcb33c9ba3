"""What the pages in docs/ say must be so; `test_readme.py` holds the README to it."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest

import tests.django_site  # noqa: F401 - sets Django up
from passerby.caretaker.command import VERBS
from passerby.collector.control import Control
from passerby.collector.feed import Feed
from passerby.collector.health import Health
from passerby.collector.scripted import Misbehaviour
from passerby.collector.store import Store
from passerby.collector.stream import Stream
from passerby.django.conf import DjangoSettings
from passerby.testing import Told
from tests import identity_table as identities
from tests.conformance.segment.differences import DIFFERENCES as FROM_SEGMENT

ROOT = Path(__file__).parents[1]
PAGES = sorted((ROOT / "docs").glob("*.md"))
DJANGO = (ROOT / "docs" / "django.md").read_text(encoding="utf-8")


def examples() -> list[tuple[str, str]]:
    found = re.compile(r"```python\n(.+?)```", re.DOTALL)
    return [(page.name, text) for page in PAGES for text in found.findall(page.read_text(encoding="utf-8"))]


@pytest.mark.parametrize(("page", "text"), examples(), ids=lambda value: value.partition("\n")[0][:40])
def test_every_example_is_python(page: str, text: str) -> None:
    ast.parse(text)


@pytest.mark.parametrize("page", [ROOT / "README.md", *PAGES], ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text(encoding="utf-8"))
    missing = [link for link in links if not (page.parent / link).exists()]
    assert not missing


def test_the_settings_for_django_are_all_there() -> None:
    section = DJANGO.partition("## Settings")[2].partition("\n## ")[0].partition("| check |")[0]
    assert re.findall(r"^\| `(\w+)` ", section, re.MULTILINE) == [one.name for one in fields(DjangoSettings)]


def test_the_checks_for_django_are_all_there() -> None:
    source = (ROOT / "src" / "passerby" / "django" / "checks.py").read_text(encoding="utf-8")
    assert set(re.findall(r"passerby\.[EW]\d+", DJANGO)) == set(re.findall(r"passerby\.[EW]\d+", source))


def test_the_assertions_of_the_fixture_are_all_there() -> None:
    page = (ROOT / "docs" / "testing.md").read_text(encoding="utf-8")
    names = {name for name in vars(Told) if not name.startswith(("_", "on_"))} | {"events", "refused"}
    assert set(re.findall(r"`tracked\.(\w+)", page)) == names


def test_the_commands_for_the_outbox_are_all_there() -> None:
    page = (ROOT / "docs" / "outbox.md").read_text(encoding="utf-8")
    assert set(VERBS) <= set(re.findall(r"passerby outbox (\w+)", page))


def test_the_checks_of_the_doctor_are_all_there(tmp_path: Path) -> None:
    table = (ROOT / "docs" / "outbox.md").read_text(encoding="utf-8").partition("| check |")[2]
    run = subprocess.run(
        [sys.executable, "-m", "passerby.cli", "doctor", "--json", "--outbox", str(tmp_path)],
        check=False,
        capture_output=True,
        timeout=100,
    )
    assert [one["check"] for one in json.loads(run.stdout) if f"`{one['check']}`" not in table] == []


def test_the_paths_of_the_collector_are_all_there() -> None:
    page = (ROOT / "docs" / "collector.md").read_text(encoding="utf-8").partition("## Paths")[2]
    told = re.findall(r"^\| `/_collector(/\S*)` \| (\w+) \|", page, re.MULTILINE)
    store = Store()
    feed, misbehaviour = Feed(store), Misbehaviour()
    stream = Stream(store, feed, misbehaviour)
    control = Control(store, feed, misbehaviour, stream, Health(store, feed))
    paths = {(route.path, method) for route in control.routes for method in (route.methods or ()) if method != "HEAD"}
    assert {(path, method) for path, method in told if path != "/"} == paths


def test_the_options_of_the_collector_are_all_there() -> None:
    table = (ROOT / "docs" / "collector.md").read_text(encoding="utf-8").partition("## Paths")[0]
    run = subprocess.run(
        [sys.executable, "-m", "passerby.cli", "collect", "--help"], check=True, capture_output=True, text=True
    )
    assert set(re.findall(r"`(--[a-z-]+)", table)) == set(re.findall(r"--[a-z-]+", run.stdout)) - {"--help"}


def test_the_table_of_differences_from_segments_sdk_is_the_one_that_is_checked() -> None:
    page = (ROOT / "docs" / "destinations.md").read_text(encoding="utf-8")
    section = page.partition("<!-- segment differences -->")[2].partition("<!-- /segment differences -->")[0]
    rows = [line.strip("| ").split(" | ") for line in section.split("\n") if line.startswith("|")][2:]
    expected = [[one.sdk, one.passerby, one.reason] for one in FROM_SEGMENT]
    assert rows == expected, "run `python -m tests.conformance --table segment` and put it in"


def test_the_table_of_identities_is_what_the_destinations_make_of_them() -> None:
    page = (ROOT / "docs" / "destinations.md").read_text(encoding="utf-8")
    section = page.partition("<!-- identity -->")[2].partition("<!-- /identity -->")[0]
    lines = [line.strip("| ").split(" | ") for line in section.split("\n") if line.startswith("|")]
    heading, *rows = identities.table()
    assert lines == [heading, ["---"] * len(heading), *rows], "run `python -m tests.identity_table` and put it in"
