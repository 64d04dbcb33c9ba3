"""docs/writing-a-destination.md: its example runs as it stands there, and it names all there is."""

from __future__ import annotations

import importlib
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest

from passerby import Dead, Delivered, SettingsError, Tracking, ValidationError
from passerby import destinations as protocols
from passerby.destinations import Destination, DestinationResponse, Rejected, Retry, SplitBatch
from passerby.destinations.spec import spec_of
from tests.destinations.receiver import Receiver
from tests.making import PATIENCE

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "writing-a-destination.md").read_text(encoding="utf-8")
EXAMPLE = re.findall(r"<!-- example -->\n```python\n(.+?)```", PAGE, re.DOTALL)[0]
MEMBERS = [name for name in vars(Destination) if not name.startswith("_")]


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The example as a module of a project, `myproject.tracking`."""
    (tmp_path / "myproject").mkdir()
    (tmp_path / "myproject" / "tracking.py").write_text(EXAMPLE, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield importlib.import_module("myproject.tracking")
    for name in ("myproject.tracking", "myproject"):
        sys.modules.pop(name, None)


def environ(url: str) -> dict[str, str]:
    """As the page writes it."""
    lines = re.findall(r"^(PASSERBY_WAREHOUSE_\w+)=(.*)$", PAGE, re.MULTILINE)
    return dict(lines) | {
        "PASSERBY_WAREHOUSE_URL": url,
        "PASSERBY_SECRET_KEY": "a key for tests",
        "PASSERBY_SEND_IN_TESTS": "true",
        "PASSERBY_RETRY_BASE": "0.01",
    }


def track(tracking: Tracking, **data: Any) -> Any:
    return tracking.for_visitor("7b0d5b0e-1f5c-4f8e-9a52-2f1d1c7a9d10", "u1").event("ORDER", data)


def test_it_delivers(module: Any) -> None:
    with Receiver(503, 200) as receiver:
        tracking = Tracking.from_env(environ(receiver.url))
        receipt = track(tracking, total=5)
        assert tracking.close(PATIENCE) == 0

        assert receipt.outcomes == {"warehouse": Delivered()}
        first, second = receiver.requests
        assert (first.path, first.body) == (second.path, second.body) == ("/tables/events/rows", first.body)
        assert first.headers["authorization"] == "Bearer ..."
        (row,) = json.loads(first.body)
        assert (row["type"], row["user"], row["data"]["total"]) == ("ORDER", "u1", 5)


def test_what_it_refuses_and_what_is_refused(module: Any) -> None:
    with Receiver(400) as receiver:
        tracking = Tracking.from_env(environ(receiver.url))
        with pytest.raises(ValidationError, match="warehouse: found 101 columns, expected at most 100"):
            track(tracking, **{f"column_{number}": 1 for number in range(101)})
        receipt = track(tracking)
        assert tracking.close(PATIENCE) == 0

        assert receipt.outcomes == {"warehouse": Dead("status 400")}


@pytest.mark.parametrize(
    ("status", "verdict"),
    [(204, Delivered()), (413, SplitBatch("status 413")), (429, Retry("status 429")), (403, Rejected("status 403"))],
)
def test_what_responses_mean(module: Any, status: int, verdict: Any) -> None:
    made = module.Warehouse(url="https://dw.example", token="t")
    assert made.classify(DestinationResponse(status, {}, b"")) == verdict


def test_the_mapping_of_the_page_makes_the_same(module: Any) -> None:
    block = re.findall(r"```python\n(PASSERBY = .+?)```", PAGE, re.DOTALL)[0]
    names: dict[str, Any] = {}
    exec(block, names)
    tracking = Tracking.from_mapping(names["PASSERBY"] | {"secret_key": "a key for tests"})
    assert repr(tracking) == "<Tracking to warehouse>"


def test_the_error_is_the_one_of_the_page(module: Any) -> None:
    words = "PASSERBY_WAREHOUSE_URL: expected the address of the warehouse"
    with pytest.raises(SettingsError, match=words):
        Tracking.from_env(environ("dw.example"))
    assert words in PAGE


def test_it_can_be_made_again(module: Any) -> None:
    one = module.Warehouse(url="https://dw.example", token="t", table="visits", name="other")
    spec = spec_of(one)
    assert spec == spec_of(spec.build())
    assert "'t'" not in repr(spec)
    assert spec.path == "myproject.tracking:Warehouse"


def test_it_is_short_and_its_types_are_right(module: Any, tmp_path: Path) -> None:
    assert len([line for line in EXAMPLE.splitlines() if line.strip()]) <= 45
    (tmp_path / "use.py").write_text(
        f"{EXAMPLE}\n\nfrom passerby import Tracking\n\n"
        'tracking = Tracking(Warehouse(url="https://dw.example", token="t"))\n',
        encoding="utf-8",
    )
    check = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(tmp_path / "cache"), str(tmp_path / "use.py")]
    pytest.importorskip("mypy")
    run = subprocess.run(check, cwd=ROOT, capture_output=True, text=True, timeout=110, check=False)
    assert run.returncode == 0, run.stdout


def test_every_member_verdict_and_protocol_is_on_the_page() -> None:
    table = PAGE.partition("## The members")[2].partition("\n## ")[0]
    assert re.findall(r"^\| `(\w+)", table, re.MULTILINE) == MEMBERS
    verdicts = PAGE.partition("## What a response means")[2].partition("\n## ")[0]
    named = set(re.findall(r"^\| `(\w+)\(", verdicts, re.MULTILINE))
    assert named == {one.__name__ for one in get_args(protocols.SendResult)}
    rest = PAGE.partition("## Browser IDs and more")[2].partition("\n## ")[0]
    own = [one for one in vars(protocols).values() if getattr(one, "_is_protocol", False)]
    names = [one.__name__ for one in own if one.__module__ == protocols.__name__ and one is not Destination]
    assert re.findall(r"^\| `(\w+)`", rest, re.MULTILINE) == names
