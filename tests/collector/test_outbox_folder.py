"""How an outbox on disk is, as far as its store shows."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from passerby import Datalyr, Tracking
from passerby.collector.outbox_folder import OutboxFolder, find_outbox
from passerby.outbox.sqlite.directory import StoreDirectory
from tests.cli_outbox.conftest import Owners
from tests.outbox.parent import wait_for

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
    assert (waiting.recorded, waiting.delivered, waiting.dropped, waiting.breaker) == (3, 0, {}, "closed")
    assert waiting.retries is None, "which the store does not count"


def test_it_is_counted_again_when_something_changed(tmp_path: Path) -> None:
    folder = OutboxFolder(tmp_path / "outbox")
    with app(tmp_path / "outbox") as tracking:
        track(tracking, 1)
        assert [folder().total("pending") for _ in range(3)] == [1, 1, 1]
        track(tracking, 1)
        assert folder().total("pending") == 2
    assert folder().total("pending") == 2


def test_a_store_that_is_in_use_is_said_with_what_was_read_last(tmp_path: Path) -> None:
    folder = OutboxFolder(tmp_path / "outbox")
    with app(tmp_path / "outbox") as tracking:
        track(tracking, 1)
    assert folder().state == "ok"

    with Owners() as owners:
        wait_for(owners.begin("take_turn", tmp_path / "outbox"), "ready")
        health = folder()

    assert health.state.startswith("degraded: the store cannot be used (waited too long for a turn)")
    assert health.total("pending") == 1
    assert folder().state == "ok"


def test_a_folder_that_is_not_there_yet_has_nothing_in_it(tmp_path: Path) -> None:
    health = OutboxFolder(tmp_path / "outbox")()

    assert (health.state, health.destinations) == ("ok", {})
    assert health.total("pending") == 0


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    with app(tmp_path / "outbox") as tracking:
        track(tracking, 1)
    StoreDirectory(tmp_path / "outbox").database.write_bytes(b"no database at all, but long enough to look at it" * 99)
    state = OutboxFolder(tmp_path / "outbox")().state

    assert state.startswith("degraded: events.sqlite3.")
    assert state.endswith(" was damaged")


def test_a_file_in_the_folders_place_is_said(tmp_path: Path) -> None:
    (tmp_path / "outbox").write_text("a file")

    assert "found a file at" in OutboxFolder(tmp_path / "outbox")().state


def test_looking_changes_nothing(tmp_path: Path) -> None:
    with app(tmp_path / "outbox") as tracking:
        track(tracking, 1)
    database = StoreDirectory(tmp_path / "outbox").database
    before = database.read_bytes()
    OutboxFolder(tmp_path / "outbox")()

    assert database.read_bytes() == before


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
