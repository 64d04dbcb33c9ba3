"""How an outbox on disk is, as far as its folder shows."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

import pytest

from passerby import Datalyr, Tracking
from passerby.cli.outbox import listing
from passerby.collector import outbox_folder
from passerby.collector.outbox_folder import OutboxFolder, find_outbox
from passerby.old_outbox.folder import SHARED

pytestmark = pytest.mark.passerby_live  # there is no service

VISITOR = "7b0d5b0e-1f5c-4f8e-9a52-2f1d1c7a9d10"


@contextmanager
def app(folder: Path) -> Iterator[Tracking]:
    """An app whose destination does not answer."""
    tracking = Tracking(
        Datalyr(workspace_id="w", target_url="http://127.0.0.1:9"), secret_key="x" * 32, outbox=f"sqlite://{folder}"
    )
    yield tracking
    tracking.close(1.0)


def track(tracking: Tracking, number: int) -> None:
    for _ in range(number):
        tracking.for_visitor(VISITOR).event("ADD").wait_stored(10)


def test_what_waits_is_counted(tmp_path: Path) -> None:
    folder = OutboxFolder(tmp_path / "outbox")
    with app(tmp_path / "outbox") as tracking:
        track(tracking, 3)
        health = folder()

    assert health.state == "ok"
    (waiting,) = health.destinations.values()
    assert (waiting.pending, waiting.held, waiting.dead) == (3, 0, 0)
    assert waiting.oldest is not None
    assert waiting.oldest >= 0
    assert (waiting.recorded, waiting.delivered, waiting.dropped, waiting.retries, waiting.breaker) == (None,) * 5


def test_it_is_counted_again_when_something_changed_and_only_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted: list[Path] = []

    def list_contents(directory: Path, err: TextIO) -> Any:
        counted.append(directory)
        return listing.list_contents(directory, err)

    monkeypatch.setattr(outbox_folder, "list_contents", list_contents)
    with app(tmp_path / "outbox") as tracking:
        track(tracking, 1)
    folder = OutboxFolder(tmp_path / "outbox", clock=lambda: 0.0)
    found = [folder().total("pending") for _ in range(3)]
    assert (found, len(counted)) == ([1, 1, 1], 1)

    with app(tmp_path / "outbox") as tracking:
        track(tracking, 1)
        assert folder().total("pending") == 2
    assert len(counted) == 2


def test_what_takes_long_is_done_less_often(tmp_path: Path) -> None:
    moments = iter([0.0, 0.0, 2.0, 2.0, 21.9, 22.1, 22.1, 22.1, 22.1])  # counting takes two seconds
    folder = OutboxFolder(tmp_path / "outbox", clock=lambda: next(moments))
    with app(tmp_path / "outbox") as tracking:
        track(tracking, 1)
        first = folder().total("pending")
        track(tracking, 1)
        found = [folder().total("pending") for _ in range(2)]

    assert (first, *found) == (1, 1, 2)


def test_a_folder_that_is_not_there_yet_has_nothing_in_it(tmp_path: Path) -> None:
    health = OutboxFolder(tmp_path / "outbox")()

    assert (health.state, health.destinations) == ("ok", {})
    assert health.total("pending") == 0


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "outbox").mkdir(mode=0o700)
    (tmp_path / "outbox" / "1-abcdef.sqlite3").write_bytes(b"no database at all, but long enough to look at it" * 99)
    (tmp_path / "outbox" / "2-abcdef.sqlite3.corrupt-1700000000").write_bytes(b"")
    state = OutboxFolder(tmp_path / "outbox")().state

    assert state.startswith("degraded: ")
    assert "1-abcdef.sqlite3 cannot be read" in state
    assert "2-abcdef.sqlite3.corrupt-1700000000 was damaged" in state


def test_a_file_in_the_folders_place_is_said(tmp_path: Path) -> None:
    (tmp_path / "outbox").write_text("a file")

    assert "cannot be read" in OutboxFolder(tmp_path / "outbox")().state


def test_looking_changes_nothing(tmp_path: Path) -> None:
    with app(tmp_path / "outbox") as tracking:
        track(tracking, 1)
    before = {path.name: path.read_bytes() for path in (tmp_path / "outbox").glob("*.sqlite3")}
    OutboxFolder(tmp_path / "outbox")()

    assert {path.name: path.read_bytes() for path in (tmp_path / "outbox").glob("*.sqlite3")} == before
    assert SHARED not in before


@pytest.mark.parametrize(
    ("given", "environ", "is_found"),
    [
        ("sqlite:///var/lib/shop/outbox", {}, True),
        (None, {"PASSERBY_OUTBOX": "sqlite:///var/lib/shop/outbox"}, True),
        ("/var/lib/shop/outbox", {"PASSERBY_OUTBOX": "memory"}, True),
        (None, {"PASSERBY_OUTBOX": "memory"}, False),
    ],
)
def test_the_option_goes_before_the_environment(given: str | None, environ: dict[str, str], is_found: bool) -> None:
    assert (find_outbox(given, environ) is not None) is is_found


@pytest.mark.parametrize("given", ["memory", "redis://x", "sqlite://", ""])
def test_what_has_no_folder_is_refused(given: str) -> None:
    with pytest.raises(ValueError, match="--outbox"):
        find_outbox(given, {})
