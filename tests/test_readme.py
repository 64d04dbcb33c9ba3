"""What the README says must be so."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from passerby import Tracking
from passerby.collector import CollectorServer
from passerby.config import Settings
from tests.conformance.customerio.differences import DIFFERENCES as FROM_CUSTOMERIO
from tests.conformance.differences import DIFFERENCES
from tests.making import PATIENCE

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")


def first_example() -> str:
    found = re.search(r"```python\n(.+?)```", README, re.DOTALL)
    assert found, "the README has no example"
    return found[1]


def table_rows(text: str) -> list[list[str]]:
    rows = [line.strip("|").split(" | ") for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in row] for row in rows[2:]]


def test_the_first_example_runs_and_shows_what_it_says() -> None:
    with CollectorServer() as collector:
        names: dict[str, Any] = {}
        exec(first_example().replace("http://localhost:8600", collector.url), names)
        tracking: Tracking = names["app"].user_middleware[0].kwargs["tracking"]
        with TestClient(names["app"]) as client:
            visitor = client.get("/").json()["visitor"]
        assert tracking.close(PATIENCE) == 0

        (event,) = collector.events
        assert (event["type"], event["page"], event["browser_id"]) == ("VIEW", "Home Page", visitor)


def test_the_first_example_is_the_quickstart() -> None:
    quickstart = Path(__file__).parents[1] / "examples" / "quickstart" / "main.py"
    assert quickstart.read_text(encoding="utf-8").partition('"""\n\n')[2] == first_example()


def test_the_first_example_is_short() -> None:
    lines = [line for line in first_example().splitlines() if line.strip()]
    assert len(lines) <= 10, f"the first example has {len(lines)} lines, at most 10 are read"


@pytest.mark.parametrize("name", [one.name for one in fields(Settings) if one.name != "outbox"])
def test_every_setting_is_in_the_table(name: str) -> None:
    section = README.partition("## Settings")[2].partition("\n## ")[0]
    assert f"`{name}`" in section, f"the README's table of settings lacks {name}"


def test_the_table_of_differences_is_the_one_that_the_conformance_test_checks() -> None:
    section = README.partition("<!-- differences -->")[2].partition("<!-- /differences -->")[0]
    expected = [[one.sdk, one.passerby, one.reason] for one in DIFFERENCES]
    assert table_rows(section) == expected, "run `python -m tests.conformance --table` and put it into the README"


def test_so_is_the_table_of_differences_from_customerio() -> None:
    section = README.partition("<!-- customerio differences -->")[2].partition("<!-- /customerio differences -->")[0]
    expected = [[one.sdk, one.passerby, one.reason] for one in FROM_CUSTOMERIO]
    assert table_rows(section) == expected, "run `python -m tests.conformance --table customerio` for the README"
