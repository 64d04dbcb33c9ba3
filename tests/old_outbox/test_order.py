"""One visitor's events arrive in the order in which they were recorded, over closings and starts too."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from passerby import Sitecore, Tracking
from passerby.collector import CollectorServer
from passerby.old_outbox.sqlite import SqliteOutbox
from passerby.old_outbox.stock import LOOK_TIMEOUT
from passerby.old_outbox.window import Stored
from tests.making import BROWSER_ID, KEY, OTHER_ID, eventually, let_go

from .conftest import MakeSqlite
from .told import Listener, delivered_ids, die, event_of, is_long

T = TypeVar("T")
ROOT = Path(__file__).parents[2]

RECORD_ONE = """
import sys
from passerby import Sitecore, Tracking
_, url, directory, visitor, number = sys.argv
sitecore = Sitecore(client_key="key", target_url=url, point_of_sale="shop")
tracking = Tracking(sitecore, secret_key="a long key", outbox=f"sqlite://{directory}", retry_base=0.02)
tracking.for_visitor(visitor).event("STEP", {"number": int(number)})
tracking.flush(30)
"""


@pytest.mark.parametrize("visitors", [(BROWSER_ID,), (BROWSER_ID, OTHER_ID)], ids=["one visitor", "two"])
@pytest.mark.parametrize("number", [1, 30, 700])
@pytest.mark.parametrize("how", ["same Tracking", "new Tracking", "new process"])
def test_what_an_outage_left_comes_before_what_is_recorded_next(
    collector: CollectorServer, tmp_path: Path, how: str, number: int, visitors: tuple[str, ...]
) -> None:
    collector.accept_any_browser_id = True
    directory = tmp_path / "outbox"
    tracking = _make_tracking(collector, directory)
    collector.fail("events")
    for step in range(number):
        for visitor in visitors:
            tracking.for_visitor(visitor).event("STEP", {"number": step})
    tracking.close(0.0)
    let_go(tracking)
    collector.clear_faults()

    if how == "new process":
        command = [sys.executable, "-c", RECORD_ONE, collector.url, str(directory), BROWSER_ID, str(number)]
        subprocess.run(command, cwd=ROOT, env=_outside_of_tests(), check=True, timeout=60)
    else:
        tracking = _make_tracking(collector, directory) if how == "new Tracking" else tracking
        tracking.for_visitor(BROWSER_ID).event("STEP", {"number": number})
    tracking.start()
    collector.wait_for_events(len(visitors) * number + 1, 60)
    let_go(tracking)

    arrived = {visitor: [e["number"] for e in collector.events if e["browser_id"] == visitor] for visitor in visitors}
    expected = {visitor: list(range(number + (visitor == BROWSER_ID))) for visitor in visitors}
    assert {visitor: _without_repeats(numbers) for visitor, numbers in arrived.items()} == expected


@settings(max_examples=100 if is_long() else 15)
@given(
    steps=st.lists(
        st.one_of(
            st.tuples(st.just("put"), st.sampled_from("abc"), st.integers(1, 30)),
            st.tuples(st.sampled_from(["close", "die", "new"]), st.just(""), st.just(0)),
            st.tuples(st.just("deliver"), st.just(""), st.integers(1, 5)),
        ),
        max_size=12,
    ),
    window=st.sampled_from([1, 3, 4_000]),
)
def test_order_over_any_closings(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, str, int]], window: int
) -> None:
    directory = tmp_path_factory.mktemp("outbox")

    def open_one() -> tuple[SqliteOutbox, threading.Event]:
        ready = threading.Event()
        return SqliteOutbox(directory, ("a",), window=window, look_every=1e6, on_ready=ready.set), ready

    recorded: dict[str, list[str]] = {visitor: [] for visitor in "abc"}
    arrived: list[str] = []
    outbox, ready = open_one()
    for what, visitor, number in [*steps, ("deliver", "", 1_000_000)]:
        if what == "put":
            for _ in range(number):
                event = event_of(visitor)
                outbox.put(event, ("a",), Listener(), 0.0)
                recorded[visitor].append(event.id)
        elif what == "deliver":
            outbox.start()
            left = number
            while left > 0 and (outbox.waiting() or outbox.arriving() is not None):
                ready.clear()
                entries: list[Stored] = outbox.acquire("a", left, 0.0)
                arrived += [entry.event.id for entry in entries]
                for entry in entries:
                    outbox.settle_delivered(entry, None)
                left -= len(entries)
                if not entries:
                    ready.wait(0.01)
        else:
            outbox.flush_to_disk(30)
            if what == "die":
                die(outbox)
            else:
                outbox.close(30)
            if what != "close":
                outbox, ready = open_one()
    outbox.close(30)

    for ids in recorded.values():
        assert _without_repeats([one for one in arrived if one in ids]) == ids


def test_a_file_that_cannot_be_read_now_does_not_hold_up_what_is_recorded(
    make_sqlite: MakeSqlite, tmp_path: Path
) -> None:
    earlier = make_sqlite(directory=str(tmp_path))
    earlier.put(event_of("ada"), ("a",), Listener(), 0.0)
    assert earlier.close(30)
    (path,) = tmp_path.glob("*.sqlite3")
    other_program = sqlite3.connect(path, isolation_level=None)
    other_program.execute("PRAGMA locking_mode = EXCLUSIVE")
    other_program.execute("BEGIN EXCLUSIVE")

    outbox = make_sqlite(directory=str(tmp_path))
    event = event_of("ada")
    outbox.put(event, ("a",), Listener(), 0.0)
    outbox.start().result(30)

    assert delivered_ids(outbox) == [event.id]
    other_program.close()


def test_a_disk_that_hangs_does_not_hold_up_what_is_recorded(make_sqlite: MakeSqlite, tmp_path: Path) -> None:
    earlier = make_sqlite(directory=str(tmp_path))
    earlier.put(event_of("ada"), ("a",), Listener(), 0.0)
    assert earlier.close(30)
    times = [0.0]
    outbox = make_sqlite(directory=str(tmp_path), clock=lambda: times[0])
    outbox.before_fork()  # the thread does not come to its work, as if the disk did not answer
    event = event_of("ada")
    outbox.put(event, ("a",), Listener(), 0.0)
    assert delivered_ids(outbox) == []

    times[0] = LOOK_TIMEOUT + 1

    assert delivered_ids(outbox) == [event.id]
    outbox.after_fork_in_parent()


@pytest.mark.xfail(strict=True, reason="each Tracking has files of its own until the store is the queue")
def test_two_trackings_of_one_process_keep_one_visitors_order(collector: CollectorServer, tmp_path: Path) -> None:
    collector.accept_any_browser_id = True
    first = _make_tracking(collector, tmp_path / "outbox", retry_base=3600, retry_cap=3600)
    second = _make_tracking(collector, tmp_path / "outbox", retry_base=3600, retry_cap=3600)
    try:
        collector.fail("events", 1)
        first.for_visitor(BROWSER_ID).event("STEP", {"number": 0})
        eventually(lambda: collector.requests)
        second.for_visitor(BROWSER_ID).event("STEP", {"number": 1})
        second.flush(5.0)

        assert [event["number"] for event in collector.events] == []  # 1 waits until 0 is tried again
    finally:
        let_go(first)
        let_go(second)


def _make_tracking(collector: CollectorServer, directory: Path, **options: Any) -> Tracking:
    sitecore = Sitecore(client_key="key", target_url=collector.url, point_of_sale="shop")
    usual: dict[str, Any] = {"retry_base": 0.02, "retry_cap": 0.1, "browser_id_pool_size": 0} | options
    return Tracking(sitecore, secret_key=KEY, outbox=f"sqlite://{directory}", **usual)


def _without_repeats(items: list[T]) -> list[T]:
    """Delivery is at least once: what came again says nothing of the order."""
    return list(dict.fromkeys(items))


def _outside_of_tests() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "PASSERBY"))}
