"""What happens to an outbox on disk at the wrong moment: while it writes, while it reads, while the disk fails."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from passerby.old_outbox import Tally
from passerby.old_outbox.database import Corruption, Database, Trouble
from passerby.old_outbox.pending import BATCH
from passerby.old_outbox.row import Row
from passerby.old_outbox.upkeep import Upkeep
from passerby.values.outcome import Dropped
from tests.making import eventually

from .conftest import MakeSqlite
from .told import (
    Listener,
    PatientOutbox,
    acquired_ids,
    all_delivered,
    delivered_ids,
    die,
    event_of,
    flush,
    hold,
    is_balanced,
    put,
)

# Erasing


def test_what_is_purged_while_it_is_written_is_gone(make_sqlite: MakeSqlite, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its row is there before anybody can have it deleted, and is not read again."""
    outbox = make_sqlite(("a",), window=50)
    for number in range(70):
        put(outbox, f"visitor {number}")
    outbox.start().result(30)
    write = Database.write
    purged: list[Any] = []

    def write_and_purge(database: Database, inserts: Sequence[Row] = (), *others: Any) -> None:
        write(database, inserts, *others)
        if any(row.visitor == "ada" for row in inserts):
            purged.append(outbox.purge_visitor("ada"))
            delivered_ids(outbox)  # so that a page is wanted

    monkeypatch.setattr(Database, "write", write_and_purge)
    listener = Listener()
    outbox.put(event_of("ada"), ("a",), listener, 0.0)
    flush(outbox)
    assert purged[0].result(30) == 1
    all_delivered(outbox)

    assert ("a", Dropped("purged")) in listener.heard
    assert outbox.tally("a") == Tally(enqueued=71, delivered=70, dropped={"purged": 1})
    late = put(outbox, "ben")
    assert all_delivered(outbox) == [late]


def test_nothing_of_a_visitor_is_handed_out_once_it_is_purged(make_sqlite: MakeSqlite) -> None:
    """Pages are read faster than the file is gone through."""
    outbox = make_sqlite(("a", "b"), window=50)
    for _ in range(5_000):
        put(outbox, "bulk", "b")
    for number in range(100):
        put(outbox, f"visitor {number}")
    listener = Listener()
    ada = event_of("ada")
    outbox.put(ada, ("a",), listener, 0.0)
    flush(outbox)
    outbox.start().result(30)

    purged = outbox.purge_visitor("ada")
    seen: list[str] = []
    while not purged.done():
        seen += delivered_ids(outbox)
    seen += all_delivered(outbox)

    assert purged.result() == 1
    assert ada.id not in seen
    assert ("a", Dropped("purged")) in listener.heard
    assert outbox.tally("a") == Tally(enqueued=101, delivered=100, dropped={"purged": 1})


def test_what_a_purge_sets_free_is_told_of(make_sqlite: MakeSqlite, monkeypatch: pytest.MonkeyPatch) -> None:
    """Behind what was put off, and is purged, something may wait that is due."""
    is_ready = threading.Event()
    outbox = make_sqlite(("a",), on_ready=is_ready.set)
    outbox.put(event_of("ada")._replace(user_id="user 1"), ("a",), Listener(), 0.0)
    free = put(outbox, "ada")
    (entry,) = outbox.acquire("a", 1, 0.0)
    outbox.settle_retry(entry, 300.0)
    flush(outbox)
    outbox.start().result(30)
    purge_memory, was_told_before = Upkeep._purge_memory, threading.Event()
    is_ready.clear()

    def purge_late(upkeep: Upkeep, *arguments: Any) -> None:
        if is_ready.wait(30):  # the writer has looked, and found nothing
            was_told_before.set()
        is_ready.clear()
        purge_memory(upkeep, *arguments)

    monkeypatch.setattr(Upkeep, "_purge_memory", purge_late)
    assert outbox.purge_visitor("user 1").result(30) == 1

    assert was_told_before.is_set()
    assert is_ready.wait(30)
    assert acquired_ids(outbox) == [free]


def test_a_visitor_is_erased_whose_browser_id_was_just_found(make_sqlite: MakeSqlite) -> None:
    """That an event is of this browser is written last of all that waits to be written."""
    outbox = make_sqlite(("a",), window=50)
    for number in range(100):
        put(outbox, f"visitor {number}")
    outbox.put(event_of("visit", browser_id=None), ("a",), Listener(), 0.0)
    flush(outbox)
    outbox.before_fork()
    for number in range(3 * BATCH):
        put(outbox, f"later visitor {number}")
    outbox.link("visit", "a new browser ID")
    purged = outbox.purge_visitor("a new browser ID")
    outbox.after_fork_in_parent()

    assert purged.result(30) == 1
    assert len(all_delivered(outbox)) == 100 + 3 * BATCH
    assert outbox.tally("a").dropped == {"purged": 1}


def test_a_purge_of_dead_letters_takes_nothing_that_waits(make_sqlite: MakeSqlite, tmp_path: Path) -> None:
    """Those for a destination that is not configured are on disk only, and looked for in the whole file."""
    before = make_sqlite(("gone",), directory=str(tmp_path))
    for _ in range(1_500):
        put(before, "ada", "gone")
    assert before.close(30)
    outbox = make_sqlite(("a",), directory=str(tmp_path), window=5)
    outbox.start().result(30)
    told = [put(outbox, f"visitor {number}") for number in range(100)]
    flush(outbox)

    purged = outbox.purge_dead()
    seen = all_delivered(outbox)

    assert purged.result(30) == 1_500
    outbox.start().result(30)
    assert seen + all_delivered(outbox) == told


def test_what_is_read_after_send_now_is_due(make_sqlite: MakeSqlite, tmp_path: Path) -> None:
    before = make_sqlite(("a", "b"), directory=str(tmp_path), clock=lambda: 1.0)
    for _ in range(3_000):
        put(before, "bulk", "b")
    told = {put(before, f"visitor {number}") for number in range(1_000)}
    for entry in before.acquire("a", 1_000, 1.0):
        before.settle_retry(entry, 300.0, "no")
    flush(before)
    die(before)
    outbox = make_sqlite(("a", "b"), directory=str(tmp_path), window=50, clock=lambda: 1.0)
    outbox.start().result(30)

    sent = outbox.send_now()
    seen: list[str] = []

    def are_all_seen() -> bool:
        seen.extend(delivered_ids(outbox, now=1.0))
        return told <= set(seen)

    eventually(are_all_seen)
    assert len(seen) == len(told)
    assert sent.result(30) >= 1_000


# A disk that fails


def test_the_order_of_a_visitor_is_kept_while_the_disk_takes_nothing(
    make_sqlite: MakeSqlite, monkeypatch: pytest.MonkeyPatch
) -> None:
    outbox = make_sqlite(("a",), window=2)
    told = [put(outbox, "ada") for _ in range(5)]
    flush(outbox)
    outbox.start().result(30)
    write = Database.write

    def refuse(database: Database, inserts: Sequence[Row] = (), *others: Any) -> None:
        if inserts:
            raise Trouble("disk full")
        write(database, inserts, *others)

    with monkeypatch.context() as patch:
        patch.setattr(Database, "write", refuse)
        told += [put(outbox, "ada") for _ in range(3)]
        eventually(lambda: outbox.state == "degraded: disk full")
    eventually(lambda: outbox.state == "ok")

    assert all_delivered(outbox) == told


def test_what_was_just_released_outlives_a_file_that_is_damaged(
    make_sqlite: MakeSqlite, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """What is held on disk only is in the old file, and there it is held still."""
    outbox = make_sqlite(("a",), directory=str(tmp_path), window=2)
    held = {hold(outbox, "ada") for _ in range(6)}
    flush(outbox)
    write, is_damaged = Database.write, threading.Event()

    def find_damage(database: Database, *rows: Any, **named: Any) -> None:
        if not is_damaged.is_set():
            is_damaged.set()
            raise Corruption("file corrupted")
        write(database, *rows, **named)

    monkeypatch.setattr(Database, "write", find_damage)
    outbox.release("ada")
    eventually(lambda: is_damaged.is_set() and outbox.state == "ok")
    outbox.start().result(30)

    assert set(all_delivered(outbox)) == held
    assert outbox.tally("a").delivered == 6
    assert is_balanced(outbox)
    assert outbox.close(30)
    assert list(tmp_path.glob("*.sqlite3")) == [], "nothing is left, and nothing nameless"


def test_events_that_are_written_anew_take_as_much_memory_as_they_have(make_sqlite: MakeSqlite) -> None:
    """With the browser ID they have got they may be larger than before."""
    outbox = make_sqlite(("a",))
    for size in range(600, 1_000, 7):
        event = event_of(f"visit {size}", browser_id=None)._replace(data={"note": "x" * size})
        outbox.put(event, ("a",), Listener(), 0.0)
        outbox.link(f"visit {size}", "b" * 36)
    flush(outbox)
    for entry in outbox.acquire("a", 100, 0.0):
        outbox.settle_retry(entry, 0.0)
    flush(outbox)
    window = outbox._stock.windows["a"]
    before = window.loaded

    outbox._crew.journal.do(lambda: outbox._writer._suffer(Corruption("file corrupted")))
    assert window.loaded == sum(entry.weight for entry in window.in_lanes()) > before
    outbox.start().result(30)
    all_delivered(outbox)

    assert (window.loaded, outbox._stock.size) == (0, 0)


@pytest.mark.parametrize("is_own", [True, False])
@pytest.mark.parametrize(
    ("damage", "lost"),
    [("visitor = CAST('x' AS BLOB)", 0), ("attempts = 'x'", 1), ("body = 5", 1), ("told_at = 'x'", 1)],
)
def test_a_damaged_field_costs_its_row_and_no_other(
    make_sqlite: MakeSqlite, tmp_path: Path, is_own: bool, damage: str, lost: int
) -> None:
    outbox = make_sqlite(("a",), directory=str(tmp_path), window=1)
    for number in range(700):
        put(outbox, f"visitor {number}")
    flush(outbox)
    outbox.start().result(30)
    (path,) = tmp_path.glob("*.sqlite3")
    if not is_own:
        assert outbox.close(30)
    connection = sqlite3.connect(path)
    with connection:
        connection.execute(f"UPDATE entry SET {damage} WHERE place = 690")
    connection.close()
    if not is_own:
        outbox = make_sqlite(("a",), directory=str(tmp_path), window=1, kind=PatientOutbox)
        outbox.start().result(30)

    seen: list[str] = []

    def is_over() -> bool:
        seen.extend(delivered_ids(outbox))
        tally = outbox.tally("a")  # of what a damaged file has had, nothing is counted until it is read
        return tally.enqueued >= 700 - lost and not tally.waiting

    eventually(is_over)
    assert 700 - lost <= len(seen) <= 700
    assert len(set(seen)) == len(seen)
    assert is_balanced(outbox)
    assert outbox.tally("a").dropped in ({}, {"corrupted": 700 - len(seen)})
    assert outbox.state == "ok"


# What makes way


def test_what_comes_after_a_dropped_one_does_not_wait_for_its_time(make_sqlite: MakeSqlite) -> None:
    outbox = make_sqlite(("a",), max_events=2, when_full="drop_oldest")
    put(outbox, "ada")
    (entry,) = outbox.acquire("a", 1, 0.0)
    outbox.settle_retry(entry, 300.0)
    told = [put(outbox, "ada"), put(outbox, "ada")]

    assert outbox.next_due("a") is None
    assert delivered_ids(outbox) == told


def test_what_is_due_later_stays_so_when_what_is_before_it_is_dropped(make_sqlite: MakeSqlite, tmp_path: Path) -> None:
    clock = {"clock": lambda: 1.0}
    before = make_sqlite(("a",), directory=str(tmp_path), **clock)
    later = put(before, "ada")
    (entry,) = before.acquire("a", 1, 1.0)
    before.settle_retry(entry, 300.0)
    outbox = make_sqlite(("a",), directory=str(tmp_path), max_events=2, when_full="drop_oldest", **clock)
    put(outbox, "ada")
    flush(outbox)
    flush(before)
    die(before)
    outbox.start().result(30)
    ben = put(outbox, "ben")

    assert outbox.tally("a") == Tally(enqueued=3, waiting=2, dropped={"full": 1})
    assert acquired_ids(outbox, now=1.0) == [ben]
    assert outbox.next_due("a") == pytest.approx(300.0, abs=60.0)
    assert acquired_ids(outbox, now=301.0) == [later]


def test_nothing_makes_way_in_vain(make_sqlite: MakeSqlite) -> None:
    outbox = make_sqlite(("a", "b"), max_bytes=20_000, when_full="drop_oldest")
    told = [put(outbox, f"visitor {number}") for number in range(10)]
    for number in range(15):
        event = event_of(f"visitor {number}")._replace(data={"note": "x" * 900})
        outbox.hold(event, ("b",), Listener(), 0.0)

    outbox.put(event_of("ada")._replace(data={"note": "x" * 15_000}), ("a",), Listener(), 0.0)

    assert outbox.tally("a") == Tally(enqueued=11, waiting=10, dropped={"full": 1})
    assert all_delivered(outbox) == told


def test_an_outbox_for_no_destination(make_sqlite: MakeSqlite) -> None:
    outbox = make_sqlite(())
    outbox.start().result(30)
    assert outbox.waiting() == 0
    assert outbox.close(30)
