"""What the outbox on disk promises beyond the contract: that what was told survives, and that it stays small."""

from __future__ import annotations

import gc
import os
import sqlite3
import stat
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from passerby.errors import SettingsError
from passerby.events.event import Context, Event
from passerby.old_outbox import Tally
from passerby.old_outbox.database import Database, Trouble
from passerby.old_outbox.eventtext import UnreadableEvent, read_event, write_event
from passerby.old_outbox.intake import HELD_NOT_CONFIGURED, NOT_CONFIGURED
from passerby.old_outbox.pending import BATCH
from passerby.old_outbox.shelf import MAX_DEAD
from passerby.old_outbox.sqlite import SqliteOutbox
from passerby.old_outbox.window import SCARCE, SIZE
from passerby.values.outcome import Delivered
from tests.making import eventually

from .conftest import MakeSqlite
from .told import (
    Listener,
    PatientOutbox,
    acquired_ids,
    delivered_ids,
    die,
    event_of,
    flush,
    hold,
    is_balanced,
    put,
)

NOW = 1_750_000_000.0


class Clock:
    """Two clocks that show what they are told to."""

    def __init__(self) -> None:
        self.monotonic = 1_000.0
        self.wall = NOW

    def options(self) -> dict[str, Any]:
        return {"clock": lambda: self.monotonic, "now": lambda: self.wall}

    def forward(self, seconds: float) -> None:
        self.monotonic += seconds
        self.wall += seconds

    def restart_machine(self) -> None:
        self.monotonic = 5.0


def begin_again(outbox: SqliteOutbox, make_sqlite: MakeSqlite, **options: Any) -> SqliteOutbox:
    """Let the process die, and another one begin."""
    flush(outbox)
    die(outbox)
    again = make_sqlite(**options)
    again.start().result(30)
    return again


# Events


def test_an_event_comes_back_from_disk_as_it_was() -> None:
    event = Event(
        id="0196",
        kind="event",
        type="ADD",
        time=1_750_000_000.123456,
        browser_id=None,
        visitor="visit:1",
        user_id="Ada Lovelace",
        data={"product": {"price": 9.99, "sizes": [1, None, True]}, "name": "Zoë 🎈"},
        extension={"theme": "dark", "big": 2**63 - 1, "small": 5e-324},
        context=Context(ip="192.0.2.0", campaign={"utm_source": "x"}, bot=True),
        point_of_sale="shop/ie",
        integrations={"All": False},
    )
    bare = event_of("ada")

    assert read_event(write_event(event)) == event
    assert read_event(write_event(bare)) == bare
    nested = event._replace(nested={"cart": {"items": [1]}, "none": None})
    assert read_event(write_event(nested)) == nested


@pytest.mark.parametrize(
    "text",
    [b"", b"{", b"{}", b"[]", b"[1]", b'"event"', b"[2, 1, 2, 3, 4, 5, 6, 7, 8, 9, [], null, null]", b"\xff\xfe"],
)
def test_what_is_no_event_is_not_read(text: bytes) -> None:
    with pytest.raises(UnreadableEvent):
        read_event(text)


# Restarts


def test_what_waits_survives_in_its_order(make_sqlite: MakeSqlite) -> None:
    outbox = make_sqlite()
    events = [event_of(visitor) for visitor in ("ada", "ben", "ada", "ada", "ben")]
    for event in events:
        outbox.put(event, ("a", "b"), Listener(), time.monotonic())

    again = begin_again(outbox, make_sqlite)

    assert again.tally("a") == again.tally("b") == Tally(enqueued=5, waiting=5)
    for destination in ("a", "b"):
        found: dict[str, list[Event]] = {"ada": [], "ben": []}
        while entries := again.acquire(destination, 10, time.monotonic()):
            for entry in entries:
                found[entry.event.visitor].append(entry.event)
                again.settle_delivered(entry, None)
        assert found == {visitor: [one for one in events if one.visitor == visitor] for visitor in found}
    assert again.tally("a") == Tally(enqueued=5, delivered=5)


def test_what_is_settled_does_not_come_back(make_sqlite: MakeSqlite) -> None:
    outbox = make_sqlite()
    put(outbox, "ada", "a", "b")
    delivered_ids(outbox, "a")

    again = begin_again(outbox, make_sqlite)

    assert (again.tally("a"), again.tally("b")) == (Tally(), Tally(enqueued=1, waiting=1))


def test_what_is_delivered_before_it_is_written_is_never_written(make_sqlite: MakeSqlite, tmp_path: Path) -> None:
    outbox = make_sqlite(directory=str(tmp_path))
    outbox.before_fork()
    listener = Listener()
    outbox.put(event_of("ada"), ("a",), listener, 0.0)
    delivered_ids(outbox)
    outbox.after_fork_in_parent()
    flush(outbox)

    assert listener.heard == [("a", Delivered(None)), "stored"]
    assert not list(tmp_path.glob("*.sqlite3"))


def test_attempts_due_time_and_reason_survive(make_sqlite: MakeSqlite, tmp_path: Path) -> None:
    clock = Clock()
    outbox = make_sqlite(directory=str(tmp_path), **clock.options())
    told = [put(outbox, "ada", now=clock.monotonic), put(outbox, "ada", now=clock.monotonic)]
    clock.forward(10)
    for _ in range(3):
        (entry,) = outbox.acquire("a", 1, clock.monotonic)
        outbox.settle_retry(entry, clock.monotonic, "status 503")
    outbox.settle_retry(outbox.acquire("a", 1, clock.monotonic)[0], clock.monotonic + 60, "status 503")
    flush(outbox)
    clock.forward(20)
    clock.restart_machine()

    again = begin_again(outbox, make_sqlite, directory=str(tmp_path), **clock.options())

    assert acquired_ids(again, now=clock.monotonic + 39.9) == []
    assert again.next_due("a") == clock.monotonic + 40
    (entry,) = again.acquire("a", 10, clock.monotonic + 40)
    assert (entry.event.id, entry.attempts, entry.reason) == (told[0], 5, "status 503")
    assert entry.since == clock.monotonic - 30
    again.settle_delivered(entry, None)
    assert acquired_ids(again) == told[1:]


@pytest.mark.parametrize(
    ("jump", "wait"), [(-86_400.0, 60.0), (-1.75e9, 60.0), (86_400.0, 0.0), (30.0, 30.0), (-10.0, 60.0)]
)
def test_a_clock_that_jumps_puts_nothing_off(make_sqlite: MakeSqlite, tmp_path: Path, jump: float, wait: float) -> None:
    """What was to wait for a minute never waits for more, however the clock of the machine is set."""
    clock = Clock()
    outbox = make_sqlite(directory=str(tmp_path), **clock.options())
    put(outbox, "ada", now=clock.monotonic)
    outbox.settle_retry(outbox.acquire("a", 1, clock.monotonic)[0], clock.monotonic + 60)
    flush(outbox)
    clock.wall += jump

    again = begin_again(outbox, make_sqlite, directory=str(tmp_path), **clock.options())

    assert again.next_due("a") == clock.monotonic + wait
    (entry,) = again.acquire("a", 1, clock.monotonic + wait)
    assert clock.monotonic - max(0.0, jump) <= entry.since <= clock.monotonic


def test_an_age_that_a_clock_without_battery_suggests_is_not_believed(make_sqlite: MakeSqlite, tmp_path: Path) -> None:
    clock = Clock()
    clock.wall = 60.0
    outbox = make_sqlite(directory=str(tmp_path), **clock.options())
    put(outbox, "ada", now=clock.monotonic)
    flush(outbox)
    clock.wall = NOW

    again = begin_again(outbox, make_sqlite, directory=str(tmp_path), **clock.options())

    assert again.acquire("a", 1, clock.monotonic)[0].since == clock.monotonic


def test_dead_letters_survive_in_the_order_of_their_death(make_sqlite: MakeSqlite) -> None:
    outbox = make_sqlite()
    for visitor in ("ada", "ben", "cyd"):
        put(outbox, visitor)
    entries = outbox.acquire("a", 3, 0.0)
    for entry in reversed(entries):
        outbox.settle_dead(entry, f"status 400 for {entry.event.visitor}")
    letters = outbox.dead_letters("a")

    again = begin_again(outbox, make_sqlite)

    assert [letter.event.visitor for letter in letters] == ["cyd", "ben", "ada"]
    assert again.dead_letters("a") == letters
    assert again.tally("a") == Tally(enqueued=3, dead=3)


def test_the_oldest_of_too_many_dead_letters_are_dropped_on_disk_too(make_sqlite: MakeSqlite) -> None:
    outbox = make_sqlite()
    told = [put(outbox, f"visitor {number}") for number in range(MAX_DEAD + 3)]
    for entry in outbox.acquire("a", len(told), 0.0):
        outbox.settle_dead(entry, "no")

    assert [letter.event.id for letter in outbox.dead_letters("a")] == told[3:]
    assert outbox.tally("a") == Tally(enqueued=len(told), dead=MAX_DEAD, dropped={"dead letters full": 3})
    again = begin_again(outbox, make_sqlite)
    assert [letter.event.id for letter in again.dead_letters("a")] == told[3:]


def test_held_events_survive_and_wait_for_the_release(make_sqlite: MakeSqlite) -> None:
    outbox = make_sqlite()
    held = [hold(outbox, "ada", "a", "b"), hold(outbox, "ada")]
    hold(outbox, "ben")

    again = begin_again(outbox, make_sqlite)

    assert (again.held("ada"), again.held("ben")) == (2, 1)
    assert acquired_ids(again) == []
    assert again.clear("ben") == 1
    assert again.release("ada") == 2
    again.start().result(30)
    assert delivered_ids(again) == held
    assert again.tally("a") == Tally(enqueued=3, delivered=2, dropped={"cleared": 1})
    assert again.tally("b") == Tally(enqueued=1, waiting=1)


def test_held_events_beyond_the_window_are_on_disk_only(make_sqlite: MakeSqlite) -> None:
    outbox = make_sqlite(kind=PatientOutbox, window=3)
    held = [hold(outbox, "ada") for _ in range(20)]
    flush(outbox)
    assert sum(entry.event.id != "" for entry in outbox._stock.windows["a"].held["ada"]) == 3

    assert outbox.release("ada") == 20
    told = put(outbox, "ada")

    assert delivered_ids(outbox) == [*held, told]


def test_links_survive(make_sqlite: MakeSqlite) -> None:
    outbox = make_sqlite()
    for visit in ("visit:1", "visit:2"):
        outbox.put(event_of(visit, browser_id=None), ("a",), Listener(), 0.0)
        outbox.hold(event_of(visit, browser_id=None), ("a",), Listener(), 0.0)
    flush(outbox)
    outbox.link("visit:1", "ada")

    again = begin_again(outbox, make_sqlite)

    assert again.held("ada") == 1
    assert again.tally("a") == Tally(enqueued=4, waiting=2, held=2, unlinked=4)
    told = put(again, "ada")
    first, second = again.acquire("a", 10, 0.0)
    assert {first.event.visitor: first.event.browser_id, second.event.visitor: second.event.browser_id} == {
        "visit:1": "ada",
        "visit:2": None,
    }
    again.settle_delivered(first, None)
    assert acquired_ids(again) == [told], "what the browser tells comes behind what its visit told"
    assert again.link("visit:2", "ben") == "ben"


def test_a_link_reaches_what_is_on_disk_only(make_sqlite: MakeSqlite) -> None:
    outbox = make_sqlite(kind=PatientOutbox, window=1)
    for number in range(5):
        outbox.put(event_of(f"visit:{number % 2}", browser_id=None), ("a",), Listener(), 0.0)
    flush(outbox)
    outbox.link("visit:1", "ada")
    for number in range(11_000):
        outbox.link(f"another visit:{number}", "somebody")

    found: list[tuple[str, str | None]] = []
    while entries := outbox.acquire("a", 10, 0.0):
        for entry in entries:
            found.append((entry.event.visitor, entry.event.browser_id))
            outbox.settle_delivered(entry, None)

    assert sorted(found, key=str) == [*[("visit:0", None)] * 3, *[("visit:1", "ada")] * 2]


def test_events_for_a_destination_that_is_gone_become_dead_letters(make_sqlite: MakeSqlite) -> None:
    outbox = make_sqlite()
    told = put(outbox, "ada", "b")
    hold(outbox, "ada", "b")

    again = begin_again(outbox, make_sqlite, destinations=("a",))

    assert again.destinations == ("a", "b")
    assert again.tally("b") == Tally(enqueued=2, dead=2)
    assert [(letter.event.id, letter.reason) for letter in again.dead_letters("b")][:1] == [(told, NOT_CONFIGURED)]
    assert [letter.reason for letter in again.dead_letters("b")] == [NOT_CONFIGURED, HELD_NOT_CONFIGURED]
    assert again.waiting() == 0

    back = begin_again(again, make_sqlite)

    assert back.tally("b") == Tally(enqueued=2, waiting=1, held=1), "a mistake in the settings needs no repair"
    assert acquired_ids(back, "b") == [told]


def test_dead_letters_of_a_destination_that_is_gone_all_stay(make_sqlite: MakeSqlite) -> None:
    outbox = make_sqlite()
    for number in range(MAX_DEAD + 100):
        put(outbox, f"visitor {number}", "b")

    again = begin_again(outbox, make_sqlite, destinations=("a",))
    assert again.tally("b").dead == MAX_DEAD + 100
    assert len(again.dead_letters("b")) == MAX_DEAD

    back = begin_again(again, make_sqlite)
    assert back.tally("b") == Tally(enqueued=MAX_DEAD + 100, waiting=MAX_DEAD + 100)


# Closing


def test_an_empty_outbox_leaves_nothing_behind(make_sqlite: MakeSqlite, tmp_path: Path) -> None:
    outbox = make_sqlite(directory=str(tmp_path))
    put(outbox, "ada")
    delivered_ids(outbox)

    assert outbox.close(30)
    assert list(tmp_path.iterdir()) == []


def test_a_closed_outbox_leaves_one_whole_file_and_no_lock(make_sqlite: MakeSqlite, tmp_path: Path) -> None:
    outbox = make_sqlite(directory=str(tmp_path))
    put(outbox, "ada")
    assert outbox.close(30)
    assert outbox.close(30)

    assert sorted(path.suffix for path in tmp_path.iterdir()) == [".lock", ".sqlite3"]
    assert outbox.tally("a") == Tally(enqueued=1, waiting=1)


def test_something_told_after_the_close_opens_it_again(make_sqlite: MakeSqlite, tmp_path: Path) -> None:
    outbox = make_sqlite(directory=str(tmp_path))
    put(outbox, "ada")
    delivered_ids(outbox)
    second = put(outbox, "ada")
    (entry,) = outbox.acquire("a", 1, 0.0)
    assert outbox.close(30)
    outbox.settle_delivered(entry, None)  # too late: it is sent again
    assert outbox.link("visit:1", "ada") == "ada"
    assert outbox.close(30)

    third = put(outbox, "ben")
    outbox.start().result(30)

    assert sorted(delivered_ids(outbox)) == sorted([second, third])
    assert outbox.tally("a") == Tally(enqueued=4, delivered=4)


def test_flush_waits_no_longer_than_it_may(make_sqlite: MakeSqlite) -> None:
    outbox = make_sqlite()
    outbox.before_fork()
    try:
        put(outbox, "ada")
        assert not outbox.flush_to_disk(0.01)
        assert not outbox.close(0.01)
    finally:
        outbox.after_fork_in_parent()
    assert outbox.flush_to_disk(30)
    assert outbox.flush_to_disk(0)
    assert outbox.when_stored() is None


class SlowListener(Listener):
    """An observer that takes its time to hear that an event is recorded."""

    def __init__(self) -> None:
        super().__init__()
        self.is_told = threading.Event()
        self.may_go_on = threading.Event()

    def on_stored(self) -> None:
        self.is_told.set()
        assert self.may_go_on.wait(30)
        super().on_stored()


def test_who_waits_for_the_disk_goes_on_when_the_observers_have_heard(make_sqlite: MakeSqlite) -> None:
    outbox = make_sqlite()
    listener = SlowListener()
    outbox.put(event_of("ada"), ("a",), listener, 0.0)
    assert listener.is_told.wait(30)
    waiter = outbox.when_stored()
    assert waiter is not None
    assert not waiter.done()
    listener.may_go_on.set()

    waiter.result(30)
    assert listener.heard == ["stored"]
    assert outbox.when_stored() is None


def test_a_close_that_runs_out_of_time_says_whether_all_is_recorded(make_sqlite: MakeSqlite) -> None:
    """Whoever says at the end of a process what is lost must not say it of what is on disk."""
    outbox = make_sqlite()
    listener = SlowListener()
    outbox.put(event_of("ada"), ("a",), listener, 0.0)
    assert listener.is_told.wait(30)
    try:
        assert outbox.flush_to_disk(0.0)
        assert outbox.close(0.0)
        assert not outbox.is_closed
    finally:
        listener.may_go_on.set()
    assert outbox.close(30)
    assert outbox.is_closed


# Bounds


def test_the_oldest_are_dropped_whatever_they_wait_for(make_sqlite: MakeSqlite) -> None:
    outbox = make_sqlite(max_events=4, when_full="drop_oldest", kind=PatientOutbox, window=2)
    told: list[str] = []
    for number in range(40):
        told.append(put(outbox, f"visitor {number % 3}"))
        if number % 5 == 0:
            for entry in outbox.acquire("a", 1, 0.0):
                outbox.settle_retry(entry, 1_000.0 if number % 2 else 0.0)
        outbox.start().result(30)  # what is on disk only is not the oldest before it is read
        assert is_balanced(outbox)
        assert outbox.tally("a").waiting <= 4

    delivered = delivered_ids(outbox, now=1e9)

    assert [one for one in told if one in delivered] == sorted(delivered, key=told.index)
    assert outbox.tally("a") == Tally(enqueued=40, delivered=4, dropped={"full": 36})
    assert told[-1] in delivered


def test_there_is_room_for_so_many_bytes(make_sqlite: MakeSqlite) -> None:
    size = len(write_event(event_of("ada", id="event")))
    outbox = make_sqlite(max_bytes=3 * size)

    for _ in range(3):
        outbox.put(event_of("ada", id="event"), ("a", "b"), Listener(), 0.0)

    assert outbox.tally("a") == Tally(enqueued=3, waiting=2, dropped={"full": 1})
    assert outbox.tally("b") == Tally(enqueued=3, waiting=1, dropped={"full": 2})
    delivered_ids(outbox, "a")
    delivered_ids(outbox, "b")
    outbox.put(event_of("ada", id="event"), ("a", "b"), Listener(), 0.0)
    assert outbox.waiting() == 2


# Memory


def test_who_waits_for_an_event_on_disk_hears_of_it(make_sqlite: MakeSqlite) -> None:
    outbox = make_sqlite(kind=PatientOutbox, window=1)
    put(outbox, "ada")
    listener = Listener()
    outbox.put(event_of("ben"), ("a",), listener, 0.0)
    flush(outbox)

    delivered_ids(outbox)

    assert listener.heard == ["stored", ("a", Delivered(None))]


def test_who_waits_for_an_event_on_disk_is_not_kept_alive(make_sqlite: MakeSqlite) -> None:
    outbox = make_sqlite(window=1)
    put(outbox, "ada")
    for _ in range(100):
        put(outbox, "ben")
    flush(outbox)

    def is_nobody_left() -> bool:
        gc.collect()
        return len(outbox._stock.observers) == 0

    eventually(is_nobody_left)  # the thread that has just told them may have one in its hands


class Slotted:
    """An observer that cannot be held weakly."""

    __slots__ = ()

    def on_stored(self) -> None:
        pass

    def on_settled(self, destination: str, outcome: object) -> None:
        pass


def test_who_cannot_be_held_weakly_does_not_matter(make_sqlite: MakeSqlite) -> None:
    outbox = make_sqlite(kind=PatientOutbox, window=1)
    events = [event_of("ada") for _ in range(3)]
    for event in events:
        outbox.put(event, ("a",), Slotted(), 0.0)

    assert delivered_ids(outbox) == [event.id for event in events]


def test_more_may_be_acquired_once_it_is_read(make_sqlite: MakeSqlite) -> None:
    is_ready = threading.Event()
    outbox = make_sqlite(window=2, on_ready=is_ready.set)
    told = [put(outbox, f"visitor {number}") for number in range(50)]

    seen: list[str] = []
    while len(seen) < len(told):
        is_ready.clear()
        ids = delivered_ids(outbox)
        seen += ids
        assert ids or is_ready.wait(30)
    assert seen == told


def test_one_visitor_with_many_events_keeps_nobody_waiting(make_sqlite: MakeSqlite) -> None:
    """However many wait behind one that fails, what others told is found."""
    outbox = make_sqlite(kind=PatientOutbox, window=100)
    bulk = [put(outbox, "bulk import") for _ in range(3_000)]
    ada = put(outbox, "ada")
    (failing,) = outbox.acquire("a", 1, 0.0)
    outbox.settle_retry(failing, 1_000.0)

    assert acquired_ids(outbox) == [ada]
    window = outbox._stock.windows["a"]
    assert window.loaded < 500
    assert window.parked > 2_000

    late = put(outbox, "bulk import")
    assert delivered_ids(outbox, now=1_000.0) == [*bulk, late]
    assert (window.parked, window.behind, window.loaded) == (0, 0, 1)


def test_large_events_take_no_more_memory_than_small_ones(make_sqlite: MakeSqlite, tmp_path: Path) -> None:
    before = make_sqlite(directory=str(tmp_path))
    told = [event_of(f"visitor {number % 300}")._replace(data={"note": "x" * 30_000}) for number in range(600)]
    for event in told:
        before.put(event, ("a",), Listener(), 0.0)
    assert before.close(30)

    outbox = make_sqlite(directory=str(tmp_path), kind=PatientOutbox, window=1_000)
    outbox.start().result(30)
    window = outbox._stock.windows["a"]
    assert sum(entry.size for entry in window.in_memory()) < SCARCE * 31_000 + 1_100_000  # and what was read with them

    assert sorted(delivered_ids(outbox)) == sorted(event.id for event in told)
    assert window.loaded == 0


def test_one_visitor_with_large_events_takes_no_more_than_his_share(make_sqlite: MakeSqlite) -> None:
    outbox = make_sqlite(kind=PatientOutbox, window=1_000)
    told = [event_of("ada")._replace(data={"note": "x" * 30_000}) for _ in range(200)]
    for event in told:
        outbox.put(event, ("a",), Listener(), 0.0)
        flush(outbox)
    window = outbox._stock.windows["a"]
    seen: list[str] = []
    while entries := outbox.acquire("a", 10, 0.0):
        assert len(list(window.in_lanes())) <= 1_000 // 31 + 1
        for entry in entries:
            seen.append(entry.event.id)
            outbox.settle_delivered(entry, None)

    assert seen == [event.id for event in told]


def test_a_visitor_whose_next_events_could_not_be_read_is_gone_on_with(
    make_sqlite: MakeSqlite, monkeypatch: pytest.MonkeyPatch
) -> None:
    outbox = make_sqlite(window=10)
    told = [put(outbox, "ada") for _ in range(30)]
    flush(outbox)
    outbox.start().result(30)
    was_refused = threading.Event()

    def refuse(*_: Any) -> None:
        was_refused.set()
        raise Trouble("I/O error")

    with monkeypatch.context() as patch:
        patch.setattr(Database, "entries", refuse)
        seen = delivered_ids(outbox)
        assert was_refused.wait(30)

    def is_all_seen() -> bool:
        seen.extend(delivered_ids(outbox))
        return len(seen) == len(told)

    eventually(is_all_seen)
    assert seen == told


def test_who_sends_faster_than_is_written_does_not_fill_the_memory(make_sqlite: MakeSqlite, tmp_path: Path) -> None:
    number = 15_000
    before = make_sqlite(directory=str(tmp_path))
    for count in range(number):
        put(before, f"visitor {count}")
    assert before.close(60)

    outbox = make_sqlite(directory=str(tmp_path))
    outbox.start().result(60)
    unwritten: list[int] = []
    while outbox.waiting():
        for entry in outbox.acquire("a", 100, 0.0):
            outbox.settle_delivered(entry, None)
        unwritten.append(len(outbox._stock.pending._entries))

    assert max(unwritten) < 5 * BATCH + SIZE


def test_what_is_settled_leaves_nothing_behind(make_sqlite: MakeSqlite) -> None:
    outbox = make_sqlite(kind=PatientOutbox, window=3)
    for number in range(50):
        put(outbox, f"visitor {number % 7}")
        hold(outbox, f"visitor {number % 7}")
    for number in range(7):
        outbox.release(f"visitor {number}")
    delivered_ids(outbox)
    flush(outbox)

    window, pending = outbox._stock.windows["a"], outbox._stock.pending
    assert (len(window.lanes), len(window.ready), len(window.later), len(window.held)) == (0, 0, 0, 0)
    assert (window.loaded, window.behind, window.parked, window.in_queues, len(window.unwritten)) == (0, 0, 0, 0, 0)
    assert (outbox._stock.size, pending.size, pending.is_wanted) == (0, 0, False)


def test_space_is_given_back_when_nothing_waits(make_sqlite: MakeSqlite, tmp_path: Path) -> None:
    outbox = make_sqlite(directory=str(tmp_path))
    events = [event_of(f"visitor {number}")._replace(data={"text": "x" * 5_000}) for number in range(4_000)]
    for event in events:
        outbox.put(event, ("a",), Listener(), 0.0)
    flush(outbox)
    (path,) = tmp_path.glob("*.sqlite3")
    while outbox.waiting():
        delivered_ids(outbox)
        outbox.start().result(30)
    flush(outbox)
    outbox.start().result(30)
    put(outbox, "ada")

    assert outbox.close(30)
    assert path.stat().st_size < 5_000_000


# The directory


def test_files_are_for_their_owner_only(make_sqlite: MakeSqlite, tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        outbox = make_sqlite(directory=str(tmp_path / "new" / "outbox"))
        put(outbox, "ada")
        flush(outbox)
        files = list((tmp_path / "new" / "outbox").iterdir())
    finally:
        os.umask(before)

    assert len(files) == 4
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}
    assert stat.S_IMODE((tmp_path / "new" / "outbox").stat().st_mode) == 0o700


def test_a_directory_that_everybody_may_write_to_is_refused(make_sqlite: MakeSqlite, tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    with pytest.raises(SettingsError, match="outbox: found a directory that everybody may write to"):
        make_sqlite(directory=str(tmp_path))
    tmp_path.chmod(0o700)


def test_a_file_is_no_directory(make_sqlite: MakeSqlite, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SettingsError, match="found a file, expected a directory"):
        make_sqlite(directory=str(tmp_path / "file"))


def test_nothing_is_made_before_something_is_told(make_sqlite: MakeSqlite, tmp_path: Path) -> None:
    before = set(threading.enumerate())
    outbox = make_sqlite(directory=str(tmp_path / "outbox"))

    assert not (tmp_path / "outbox").exists()
    assert set(threading.enumerate()) <= before
    assert outbox.close(1)


def test_a_relative_directory_stays_where_it_was(
    make_sqlite: MakeSqlite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    outbox = make_sqlite(directory="outbox")
    monkeypatch.chdir("/")
    put(outbox, "ada")
    flush(outbox)

    assert len(list((tmp_path / "outbox").glob("*.sqlite3"))) == 1


def test_rows_say_what_they_are(make_sqlite: MakeSqlite, tmp_path: Path) -> None:
    """Tools other than ours can read the file: one row per event and destination, JSON that begins with its version."""
    outbox = make_sqlite(directory=str(tmp_path))
    told = put(outbox, "ada", "a", "b")
    assert outbox.close(30)
    (path,) = tmp_path.glob("*.sqlite3")
    connection = sqlite3.connect(path)
    rows = connection.execute(
        "SELECT destination, state, event_id, visitor, json_extract(CAST(body AS TEXT), '$[0]') FROM entry"
    ).fetchall()
    connection.close()

    assert rows == [("a", "waiting", told, "ada", 1), ("b", "waiting", told, "ada", 1)]
