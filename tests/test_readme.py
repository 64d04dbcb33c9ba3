"""What the README says must be so, and it must be short and plain."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from starlette.testclient import TestClient

from passerby import Tracking
from passerby.collector import CollectorServer
from tests.making import PATIENCE
from tests.markdown import sentences, without_code

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
MAX_LINES = 150
MAX_WORDS = 30  # in a sentence


def first_example() -> str:
    found = re.search(r"```python\n(.+?)```", README, re.DOTALL)
    assert found, "the README has no example"
    return found[1]


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
    quickstart = ROOT / "examples" / "quickstart" / "main.py"
    assert quickstart.read_text(encoding="utf-8").partition('"""\n\n')[2] == first_example()


def test_the_first_example_is_short() -> None:
    lines = [line for line in first_example().splitlines() if line.strip()]
    assert len(lines) <= 10, f"the first example has {len(lines)} lines, at most 10 are read"


def test_it_has_no_other_example() -> None:
    """Another one needs a test that runs it."""
    assert README.count("```python") == 1


def test_it_is_short() -> None:
    assert len(README.splitlines()) <= MAX_LINES


def test_its_sentences_are_short() -> None:
    long = [sentence for sentence in sentences(without_code(README)) if len(sentence.split()) > MAX_WORDS]
    assert not long
