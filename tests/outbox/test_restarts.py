"""What the store on disk keeps over the end of a process, and what it does to its directory."""

from __future__ import annotations

import os
import sqlite3
import stat
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from passerby.outbox.contract import DAY, BrowserLink, Quotas, StorageError, StoreCommand
from passerby.outbox.counts import DestinationCounts
from passerby.outbox.reading import StoreQuery
from passerby.outbox.sqlite import SqliteStore
from passerby.outbox.sqlite.directory import DATABASE, NAME
from tests.making import eventually

from .conftest import MakeSqlite
from .process import Clock, Process, dead_ids, event_of, ids, is_long
from .surroundings import Deliverer, MakeOutbox, record


def die(process: Process) -> None:
    """Do what the death of the process does: nothing is closed."""
    process.store.reset_after_fork()


def size_of(directory: Path) -> int:
    return sum(path.stat().st_size for path in directory.rglob("*") if path.name.startswith(DATABASE))


# What survives.


def test_all_that_is_known_of_events_survives(make_sqlite: MakeSqlite, clock: Clock) -> None:
    before = Process(make_sqlite(clock=clock))
    later, behind = before.put("ada"), before.put("ada", "a", "b")
    dead = [before.put(visitor) for visitor in ("cyd", "dan", "eve")]
    claims = {claim.event_id: claim for claim in before.claim()}
    for event_id in reversed(dead):
        clock.now += 1.0
        before.settle([claims[event_id]], "dead", reason=f"status 400 for {event_id}")
    before.settle([claims[later]], "retry", after=60.0, reason="status 503")
    held = [before.hold("ada", "a", "b"), before.hold("ada")]
    before.hold("ben")
    before.put("visit 1", is_linked=False)
    before.link("visit 1", "zoe")
    counts = before.counts(), before.counts("b")
    die(before)

    after = Process(make_sqlite(clock=clock))
    assert (after.counts(), after.counts("b")) == counts
    letters = {entry.event_id: entry.reason for entry in after.store.read(StoreQuery(("dead",))).entries}
    assert letters == {event_id: f"status 400 for {event_id}" for event_id in dead}
    (entry,) = after.store.read(StoreQuery(event_id=later)).entries
    assert (entry.attempts, entry.reason, entry.age, entry.due) == (1, "status 503", 3.0, 60.0)
    after.put("visit 1", is_linked=False)
    assert [claim.browser_id for claim in after.claim(run=2)] == ["zoe", "zoe"]
    clock.now += 60.0
    assert after.claim(limit=1)[0].attempts == 2
    assert (after.command("clear", "ben"), after.command("release", "ada")) == (1, 2)
    assert after.deliver_all("b") == [behind, held[0]]


def test_a_dead_letter_that_is_retried_is_young_after_a_restart(make_sqlite: MakeSqlite, clock: Clock) -> None:
    before = Process(make_sqlite(clock=clock))
    before.put("ada")
    before.settle(before.claim(), "dead", reason="too old")
    clock.now += 3 * DAY
    before.command("retry_dead")
    die(before)
    clock.now += 10.0

    (claim,) = Process(make_sqlite(clock=clock)).claim()
    assert (claim.attempts, claim.age) == (1, 10.0)


def test_the_quotas_are_those_of_the_store_after_a_restart(make_sqlite: MakeSqlite, clock: Clock) -> None:
    """Decision "quotas": max_events, max_bytes and dead letters are the store's."""
    quotas = Quotas(max_events=3, max_dead=2)
    before = Process(make_sqlite(clock=clock, quotas=quotas))
    recorded = [before.put(f"visitor {number}") for number in range(3)]
    for claim in before.claim():
        clock.now += 1.0
        before.settle([claim], "dead", reason="no")
    for number in range(3):
        before.put(f"visitor {number}")
    die(before)

    after = Process(make_sqlite(clock=clock, quotas=quotas))
    assert dead_ids(after.store) == recorded[1:]
    assert after.send().is_full
    after.put("ada")
    assert after.counts().dropped == {"full": 2}


@settings(max_examples=100 if is_long() else 15, deadline=None)
@given(
    steps=st.lists(
        st.one_of(
            st.tuples(st.just("record"), st.sampled_from("abc"), st.integers(1, 30)),
            st.tuples(st.sampled_from(["close", "die", "another"]), st.just(""), st.just(0)),
            st.tuples(st.just("deliver"), st.just(""), st.integers(1, 5)),
        ),
        max_size=12,
    )
)
def test_the_order_is_kept_over_any_ends_of_processes(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, str, int]]
) -> None:
    """Decision "order": per visitor and destination, the order of arrival in the store, over all processes."""
    directory = tmp_path_factory.mktemp("outbox")
    recorded: dict[str, list[str]] = {visitor: [] for visitor in "abc"}
    delivered: list[str] = []
    processes = [Process(SqliteStore(directory))]
    for what, visitor, number in [*steps, ("deliver", "", 1_000_000)]:
        process = processes[-1]
        if what == "record":
            recorded[visitor] += [process.put(visitor) for _ in range(number)]
        elif what == "deliver":
            while number > 0 and (claims := process.claim(limit=number)):
                delivered += ids(claims)
                process.settle(claims, "delivered")
                number -= len(claims)
        elif what == "another":
            processes.append(Process(SqliteStore(directory)))
        elif what == "die":
            die(process)
            processes.append(Process(SqliteStore(directory)))
        else:
            process.store.close()
    for process in processes:
        process.store.close()

    for visitor, expected in recorded.items():
        assert [each for each in delivered if each in expected] == expected, visitor


# Clocks.


@pytest.mark.parametrize("jump", [0.0, -86_400.0, -1.75e9, 86_400.0, 30.0, -10.0])
def test_a_machine_that_starts_again_with_another_clock_puts_nothing_off(
    make_sqlite: MakeSqlite, directory: Path, monkeypatch: pytest.MonkeyPatch, jump: float
) -> None:
    """What must be survived: clock jumps. What was to wait for a minute never waits for more."""
    before = Process(make_sqlite())
    before.put("ada")
    before.settle(before.claim(), "retry", after=60.0)
    before.store.close()
    restart_machine(directory, monkeypatch, jump)

    after = Process(make_sqlite())
    due = after.counts().next_due
    assert due is not None
    assert due <= 60.0
    if jump > 60.0:
        (claim,) = after.claim()
        assert 0.0 <= claim.age < jump + 60.0


def restart_machine(directory: Path, monkeypatch: pytest.MonkeyPatch, jump: float) -> None:
    """Have the file seem to be of an earlier start of the machine, whose clock differed."""
    with closing(sqlite3.connect(directory / NAME / DATABASE)) as connection:
        connection.execute("UPDATE state SET value = json_set(value, '$.boot', 'another') WHERE key = 'store'")
        connection.execute("UPDATE state SET value = json_set(value, '$.beat', 0) WHERE key = 'store'")
        connection.commit()
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + jump)


def test_a_purge_finds_what_was_recorded_whatever_the_clock(
    make_sqlite: MakeSqlite, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Decision "purge, suppression", over a clock that was set back."""
    process = Process(make_sqlite())
    process.put("ada")
    process.put("ada")
    claims = process.claim()
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() - 3_600)
    other = Process(make_sqlite())
    assert other.command("purge_visitor", "ada") == 1
    process.settle(claims, "retry")

    assert other.counts() == DestinationCounts(recorded=2, dropped={"purged": 2})


# The directory.


def test_files_are_for_their_owner_whatever_the_umask(make_sqlite: MakeSqlite, directory: Path) -> None:
    """Decision "files": 0700, inside the named directory."""
    before = os.umask(0)
    try:
        Process(make_sqlite(directory / "new" / "one")).put("ada")
    finally:
        os.umask(before)
    inside = directory / "new" / "one" / NAME
    assert stat.S_IMODE(inside.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) & 0o077 for path in inside.iterdir()} == {0}


def test_a_file_is_no_directory(make_sqlite: MakeSqlite, directory: Path) -> None:
    directory.touch()
    with pytest.raises(StorageError, match="directory"):
        Process(make_sqlite()).put("ada")
    directory.unlink()
    assert Process(make_sqlite()).put("ada")


def test_a_relative_directory_stays_where_it_was(
    make_sqlite: MakeSqlite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    store = make_sqlite(Path("outbox"))
    monkeypatch.chdir("/")
    Process(store).put("ada")

    assert (tmp_path / "outbox" / NAME / DATABASE).exists()


def test_what_else_is_in_the_directory_is_left_as_it_is(make_sqlite: MakeSqlite, directory: Path) -> None:
    """Who names the app's own directory loses neither its database nor its lock files."""
    (directory / NAME).mkdir(parents=True, mode=0o700)
    others = [
        *(directory / name for name in ("db.sqlite3", "uv.lock", "x.corrupt-1", "data.db-wal")),
        *(directory / NAME / name for name in ("notes.txt", "other.db")),
    ]
    for path in others:
        path.write_text("precious")
    store = make_sqlite()
    Process(store).put("ada")
    store.close()
    (directory / NAME / DATABASE).write_bytes(b"\xff" * 9_000)
    Process(make_sqlite()).put("ada")

    assert [path.read_text() for path in others] == ["precious"] * len(others)


def test_trouble_says_no_more_than_it_must(make_sqlite: MakeSqlite, tmp_path: Path) -> None:
    (tmp_path / "secret customer").touch()
    with pytest.raises(StorageError) as caught:
        Process(make_sqlite(tmp_path / "secret customer" / "outbox")).put("ada")
    assert "secret" not in str(caught.value)


def test_space_is_given_back_when_nothing_waits(make_sqlite: MakeSqlite, directory: Path) -> None:
    process = Process(make_sqlite())
    for number in range(20):
        process.record(*[event_of(f"visitor {number} {each}", size=5_000) for each in range(100)])
    largest = size_of(directory)
    while process.deliver_all():
        pass
    for _ in range(250):
        process.record(*[event_of(f"visitor {number}", size=5_000) for number in range(60)])
        process.deliver_all()

    assert largest > 10_000_000
    assert (directory / NAME / DATABASE).stat().st_size < 5_000_000
    assert size_of(directory) < 20_000_000, "the log is bounded"


def test_what_is_settled_leaves_nothing_behind(make_sqlite: MakeSqlite, directory: Path) -> None:
    process = Process(make_sqlite())
    sizes: list[int] = []
    for number in range(30):
        events = [event_of(f"visitor {number} {each}", size=400) for each in range(50)]
        process.record(*events[:25], to=("a", "b"))
        process.record(*events[25:], held=True)
        for event in events[25:]:
            process.command("release", event.visitor)
        process.deliver_all("b")
        process.settle(process.claim(limit=10), "dead", reason="no")
        process.command("purge_dead")
        process.deliver_all()
        sizes.append(size_of(directory))

    assert process.store.read(StoreQuery()).entries in ((), [])
    assert max(sizes) < 15_000_000


# Trouble.


def test_a_file_that_another_program_holds_is_trouble_until_it_is_free(
    make_sqlite: MakeSqlite, make_outbox: MakeOutbox, directory: Path
) -> None:
    """Decision "trouble": down; events wait in the buffer, in their order."""
    outbox = make_outbox(make_sqlite())
    first = record(outbox)[0].id
    outbox.when_stored().result(30)
    with closing(sqlite3.connect(directory / NAME / DATABASE, isolation_level=None)) as intruder:
        intruder.execute("BEGIN IMMEDIATE")
        second = record(outbox)[0].id
        eventually(lambda: outbox.state not in ("ok", "slow"))
        assert outbox.flush(0.05) == 1
        intruder.execute("ROLLBACK")
    outbox.when_stored().result(30)
    deliverer = Deliverer(outbox)
    eventually(lambda: deliverer.ids == [first, second])
    assert outbox.state == "ok"


def test_a_purge_beside_a_reader_leaves_nothing_once_the_reader_has_ended(
    make_sqlite: MakeSqlite, directory: Path
) -> None:
    """Decision "purge, suppression": the log is truncated; a program that reads the file keeps nothing for ever."""
    process = Process(make_sqlite())
    process.put("ada-the-visitor")
    process.put("ben")
    with closing(sqlite3.connect(directory / NAME / DATABASE, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM event").fetchone()
        assert process.command("purge_visitor", "ada-the-visitor") == 1
        assert len(process.claim()) == 1, "events go on"
        reader.execute("ROLLBACK")
    for _ in range(30):
        process.put("cyd")
    for path in (directory / NAME).iterdir():
        assert b"ada-the-visitor" not in path.read_bytes(), path.name


def damaged_fields() -> list[Any]:
    fields = ["attempts", "since", "ready", "lost", "share", "withdrawn", "place", "head", "codec"]
    return [(field, value) for field in fields for value in ("'x'", "-9000000000000000000")]


@pytest.mark.parametrize(("field", "value"), damaged_fields())
def test_a_damaged_field_stops_nothing(make_sqlite: MakeSqlite, directory: Path, field: str, value: str) -> None:
    """Decision "damage": what is not covered by a checksum may be wrong, but costs its own event at most."""
    process = Process(make_sqlite())
    recorded = [process.put(f"visitor {number}") for number in range(10)]
    process.store.close()
    with closing(sqlite3.connect(directory / NAME / DATABASE)) as connection:
        (seq,) = connection.execute("SELECT seq FROM entry ORDER BY seq LIMIT 1 OFFSET 5").fetchone()
        connection.execute(f"UPDATE entry SET {field} = {value} WHERE seq = ?", (seq,))
        connection.commit()

    heir, delivered = Process(make_sqlite()), set[str]()
    for _ in range(100):
        claims = heir.claim()
        delivered |= set(ids(claims))
        heir.settle(claims, "delivered")
        heir.store.read(StoreQuery())
    assert delivered >= {*recorded[:5], *recorded[6:]}
    assert heir.counts().is_balanced


# Two processes in one.


def test_what_waits_is_purged_by_another_process_and_its_observer_hears_of_it(
    make_sqlite: MakeSqlite, make_outbox: MakeOutbox
) -> None:
    """Decision "who waits for what": watched IDs, whichever process settles; a worker releases what an app holds."""
    ours, theirs = make_outbox(make_sqlite()), make_outbox(make_sqlite())
    deliverer = Deliverer(theirs)
    kept, kept_listener, _ = record(ours, "ada", held=True)
    purged, listener, _ = record(ours, "ben", held=True)
    ours.watch(kept.id, kept_listener)
    ours.watch(purged.id, listener)
    ours.when_stored().result(30)
    ours.counts()

    assert theirs.ask(StoreCommand("purge_visitor", "ben")).result(30) == 1
    assert theirs.ask(StoreCommand("release", "ada")).result(30) == 1
    assert theirs.ask(BrowserLink("visit", "visit 1", "ada")).result(30) is None
    eventually(lambda: deliverer.ids == [kept.id])
    eventually(lambda: len(kept_listener.heard) == len(listener.heard) == 2)
