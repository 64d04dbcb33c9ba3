"""What an owner does with all it has, in memory and on disk: erasing a visitor, and what is dead or waits for later."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from passerby.events.event import Event
from passerby.old_outbox import Tally
from passerby.old_outbox.shelf import MAX_DEAD
from passerby.old_outbox.sqlite import SqliteOutbox
from passerby.values.outcome import Dropped

from .conftest import MakeSqlite
from .told import Listener, PatientOutbox, delivered_ids, die, event_of, flush, is_balanced

NAME = "Ada Lovelace, 12 St James's Square"  # what must be gone
MANY = 500  # events of one visitor: more than are in memory

Make = Callable[..., SqliteOutbox]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "outbox"


@pytest.fixture
def make(make_sqlite: MakeSqlite, folder: Path) -> Make:
    def make(destinations: tuple[str, ...] = ("a",), window: int = 10, **options: object) -> SqliteOutbox:
        return make_sqlite(destinations, directory=str(folder), kind=PatientOutbox, window=window, **options)

    return make


def event_about(visitor: str, *, user_id: str | None = None, size: int = 0) -> Event:
    """Make an event that says who it is about."""
    return event_of(visitor)._replace(user_id=user_id, data={"name": NAME, "text": "x" * size})


def bytes_of(folder: Path) -> bytes:
    """All that is in the files of the processes; what is on the board is forgotten some time later."""
    return b"".join(path.read_bytes() for path in folder.iterdir() if not path.name.startswith("shared.db"))


def put_all(outbox: SqliteOutbox, visitors: list[str], **options: object) -> None:
    for visitor in visitors:
        event = event_of(visitor) if visitor != "ada" else event_about(visitor)
        outbox.put(event, ("a",), Listener(), 0.0)


# Erasing a visitor


def test_a_visitor_is_erased_wherever_the_events_are(make: Make, folder: Path) -> None:
    """In memory, parked behind others of the same visitor, behind all that, held in memory and on disk, and dead."""
    outbox = make()
    listener = Listener()
    for _ in range(5):
        outbox.put(event_about("ada"), ("a",), Listener(), 0.0)
        (entry,) = outbox.acquire("a", 1, 0.0)
        outbox.settle_dead(entry, "no")
    for number in range(MANY):
        outbox.put(event_about("ada"), ("a",), listener, 0.0)
        outbox.put(event_of(f"visitor {number % 7}"), ("a",), Listener(), 0.0)
        outbox.put(event_about("phone", user_id="user 1", size=5_000), ("a",), listener, 0.0)
        outbox.hold(event_about("ada"), ("a",), listener, 0.0)
        outbox.hold(event_about("tablet", user_id="user 1"), ("a",), listener, 0.0)
        outbox.hold(event_of("ben"), ("a",), Listener(), 0.0)
    flush(outbox)
    assert NAME.encode() in bytes_of(folder)

    assert outbox.purge_visitor("ada").result(60) == 5 + 2 * MANY
    assert outbox.purge_visitor("user 1").result(60) == 2 * MANY

    assert NAME.encode() not in bytes_of(folder)
    number = MANY
    assert outbox.tally("a") == Tally(
        enqueued=6 * number + 5, waiting=number, held=number, dropped={"purged": 4 * number + 5}
    )
    assert listener.heard.count(("a", Dropped("purged"))) == 4 * number
    assert len(delivered_ids(outbox)) == number
    assert outbox.release("ben") == number
    assert len(delivered_ids(outbox)) == number
    assert is_balanced(outbox)
    assert outbox.close(30)


@pytest.mark.parametrize("whose", ["of this process", "of a dead one"])
def test_a_visitor_is_erased_though_the_clock_was_set_back(make: Make, folder: Path, whose: str) -> None:
    """What is on disk only knows no other clock than that on the wall."""
    now = [1_750_003_600.0]
    clocks = {"clock": lambda: 1_000.0, "now": lambda: now[0]}
    outbox = make(window=1, **clocks)
    put_all(outbox, ["ben", "ada", "ada"])
    flush(outbox)
    now[0] -= 3_600
    if whose == "of a dead one":
        die(outbox)
        outbox = make(**clocks)

    purged = outbox.purge_visitor("ada")  # before it is adopted
    outbox.start().result(30)
    assert purged.result(30) == (2 if whose == "of this process" else 0)

    assert outbox.tally("a") == Tally(enqueued=3, waiting=1, dropped={"purged": 2})
    assert NAME.encode() not in bytes_of(folder)


def test_nothing_remains_of_what_was_delivered_before(make: Make, folder: Path) -> None:
    outbox = make(window=4_000)
    for number in range(2_000):
        outbox.put(event_about("ada", size=number), ("a",), Listener(), 0.0)
        outbox.put(event_of("ben")._replace(data={"text": "y" * (number % 900)}), ("a",), Listener(), 0.0)
        if number % 100 == 0:
            flush(outbox)
            for entry in outbox.acquire("a", 10, 0.0):
                if entry.event.visitor == "ada":
                    outbox.settle_delivered(entry, None)
                else:
                    outbox.settle_retry(entry, 1e9)
    for _ in range(1_000):
        for entry in outbox.acquire("a", 10, 0.0):
            outbox.settle_delivered(entry, None)
        flush(outbox)

    outbox.purge_visitor("ada").result(60)

    assert NAME.encode() not in bytes_of(folder)


def test_a_purge_that_was_cut_short_is_finished_by_who_adopts_the_file(make: Make, folder: Path) -> None:
    ours = make()
    for _ in range(3_000):
        ours.put(event_about("phone", user_id="user 1"), ("a",), Listener(), 0.0)
    ours.put(event_of("ben"), ("a",), Listener(), 0.0)
    flush(ours)
    neighbour = make(look_every=1e9)
    neighbour.start().result(30)
    ours._crew.journal.before_fork()
    done = ours.purge_visitor("user 1")
    ours._crew.journal.after_fork_in_parent()
    flush(ours)
    die(ours)

    neighbour.start().result(30)

    assert neighbour.tally("a").waiting == 1
    purged = [one.tally("a").dropped.get("purged", 0) for one in (ours, neighbour)]
    assert sum(purged) >= 3_000, "what had not been written when it was cut short is purged once more"
    assert not done.done() or done.result() == purged[0] == 3_000
    assert NAME.encode() not in bytes_of(folder)
    assert is_balanced(neighbour)


def test_what_is_told_meanwhile_is_written_meanwhile_and_holds_up_no_purge(make: Make, folder: Path) -> None:
    outbox = make(window=4_000)
    for number in range(20_000):
        outbox.put(event_about("ada" if number % 2 else "ben"), ("a",), Listener(), 0.0)
    flush(outbox)
    outbox.before_fork()  # the steps are taken here, one after another
    done = outbox.purge_visitor("ada")
    written = 0
    while not done.done():
        outbox.put(event_of("cyd"), ("a",), Listener(), 0.0)
        stored = outbox.when_stored()
        while stored is not None and not stored.done():
            outbox._crew.journal.step()
        written += 1
        assert written < 1_000, "the purge runs after what is told"
    outbox.after_fork_in_parent()

    assert done.result() == 10_000
    assert written > 3
    assert outbox.tally("a").waiting == 10_000 + written


def begin_to_read(folder: Path) -> sqlite3.Connection:
    """Be in the midst of reading the one file, until the connection is closed."""
    (path,) = folder.glob("*.sqlite3")
    reader = sqlite3.connect(path, isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM entry").fetchone()
    return reader


def test_who_reads_the_file_is_waited_for_until_nothing_is_left(make: Make, folder: Path) -> None:
    seconds = 0.0
    outbox = make(clock=lambda: seconds, look_every=1e9)
    outbox.start().result(30)
    put_all(outbox, ["ada", "ben"])
    flush(outbox)
    reader = begin_to_read(folder)

    done = outbox.purge_visitor("ada")
    outbox.start().result(30)
    assert not done.done()
    assert delivered_ids(outbox) != [], "events go on"
    reader.close()
    seconds = 2.0
    outbox.start().result(30)

    assert done.result(30) == 1
    assert NAME.encode() not in bytes_of(folder)


def test_who_never_ends_to_read_is_not_waited_for_for_ever(
    make: Make, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    seconds = 0.0
    outbox = make(clock=lambda: seconds, look_every=1e9)
    put_all(outbox, ["ada"])
    flush(outbox)
    reader = begin_to_read(folder)
    done = outbox.purge_visitor("ada")
    for _ in range(20):
        outbox.start().result(30)
        seconds += 2.0

    assert done.result(30) == 1
    assert "close the other program and purge once more" in caplog.text
    reader.close()


def test_who_waits_for_a_purge_hears_that_the_outbox_was_closed(make: Make, folder: Path) -> None:
    outbox = make(clock=lambda: 0.0)
    put_all(outbox, ["ada", "ben"])
    flush(outbox)
    reader = begin_to_read(folder)
    done = outbox.purge_visitor("ada")

    assert outbox.close(30)

    assert done.cancelled()
    reader.close()


def test_nobody_waits_for_a_purge_in_a_folder_without_files(make: Make, folder: Path) -> None:
    outbox = make()

    assert outbox.purge_visitor("ada").result(30) == 0
    assert list(folder.glob("*.sqlite3")) == []


# Dead letters, and later attempts


def test_dead_letters_of_a_destination_that_is_gone_are_purged_on_disk_as_well(make: Make) -> None:
    before = make(("gone",), window=4_000)
    for number in range(MAX_DEAD + 500):
        before.put(event_of("ada", id=f"event {number}"), ("gone",), Listener(), 0.0)
    assert before.close(30)
    outbox = make()
    outbox.start().result(30)
    assert outbox.tally("gone").dead == MAX_DEAD + 500

    assert outbox.purge_dead("gone", "event 3").result(30) == 1
    assert outbox.purge_dead("a").result(30) == 0
    assert outbox.tally("gone").dead == MAX_DEAD + 499
    assert outbox.retry_dead(0.0).result(30) == 0, "nothing is sent there"
    assert outbox.purge_dead("gone").result(30) == MAX_DEAD + 499

    assert outbox.tally("gone") == Tally(enqueued=MAX_DEAD + 500, dropped={"purged": MAX_DEAD + 500})


def test_a_visitor_is_erased_from_the_dead_letters_of_a_destination_that_is_gone(make: Make, folder: Path) -> None:
    before = make(("gone",), window=4_000)
    for number in range(MAX_DEAD + 500):
        before.put(event_about("ada" if number % 2 else "ben"), ("gone",), Listener(), 0.0)
    assert before.close(30)
    outbox = make()
    outbox.start().result(30)

    assert outbox.purge_visitor("ada").result(30) == (MAX_DEAD + 500) // 2
    assert outbox.purge_visitor("ben").result(30) == (MAX_DEAD + 500) // 2

    assert outbox.tally("gone").dead == 0
    assert NAME.encode() not in bytes_of(folder)


def test_a_dead_letter_that_is_retried_is_young_after_a_restart(make: Make) -> None:
    seconds = [1_000_000.0]
    clocks = {"clock": lambda: seconds[0], "now": lambda: 1_750_000_000.0 + seconds[0]}
    outbox = make(window=4_000, **clocks)
    outbox.put(event_of("ada"), ("a",), Listener(), seconds[0])
    (entry,) = outbox.acquire("a", 1, seconds[0])
    outbox.settle_dead(entry, "too old")
    flush(outbox)
    seconds[0] += 300_000
    outbox.retry_dead(seconds[0]).result(30)
    flush(outbox)
    die(outbox)
    seconds[0] += 10

    again = make(window=4_000, **clocks)
    again.start().result(30)

    (entry,) = again.acquire("a", 1, seconds[0])
    assert (entry.attempts, seconds[0] - entry.since) == (1, 10.0)


def test_what_waits_on_disk_for_a_later_attempt_is_sent_now(make: Make) -> None:
    clocks = {"clock": lambda: 1_000.0, "now": lambda: 1_750_000_000.0}
    before = make(window=4_000, **clocks)
    put_all(before, [f"visitor {number}" for number in range(100)])
    for entry in before.acquire("a", 100, 1_000.0):
        before.settle_retry(entry, 5_000.0)
    assert before.close(30)
    outbox = make(window=4, **clocks)
    outbox.start().result(30)
    assert delivered_ids(outbox, now=1_000.0) == []

    assert outbox.send_now().result(30) == 100

    assert len(delivered_ids(outbox, now=1_000.0)) == 100
