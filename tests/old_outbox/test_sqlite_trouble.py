"""What the outbox on disk does when the disk, a file or the machine does not do what it should."""

from __future__ import annotations

import fcntl
import logging
import random
import shutil
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from passerby.client.store_wait import StoreWait
from passerby.errors import ValidationError
from passerby.events.event import Event
from passerby.old_outbox import Tally, stock
from passerby.old_outbox.database import Database, Trouble
from passerby.old_outbox.inventory import list_files
from passerby.old_outbox.sqlite import SqliteOutbox
from passerby.values.outcome import Dropped
from tests.making import eventually

from .conftest import MakeSqlite
from .told import (
    Listener,
    PatientOutbox,
    all_delivered,
    delivered_ids,
    die,
    event_of,
    flush,
    hold,
    is_balanced,
    put,
)

MakeFile = Callable[..., Path]


def large_event(visitor: str) -> Event:
    return event_of(visitor)._replace(data={"text": "x" * 1_500})


@pytest.fixture
def make_file(make_sqlite: MakeSqlite, tmp_path: Path) -> MakeFile:
    """Make a file that a dead process left, with so many large events; return its path."""

    def make(number: int) -> Path:
        outbox = make_sqlite(directory=str(tmp_path / "outbox"))
        for _ in range(number):
            outbox.put(large_event("ada"), ("a",), Listener(), 0.0)
        assert outbox.close(30)
        (path,) = (tmp_path / "outbox").glob("*.sqlite3")
        return path

    return make


def adopt(make_sqlite: MakeSqlite, path: Path, **options: Any) -> SqliteOutbox:
    outbox = make_sqlite(directory=str(path.parent), kind=PatientOutbox, **options)
    outbox.start().result(30)
    assert outbox.state == "ok"
    return outbox


def lines_of(caplog: pytest.LogCaptureFixture) -> list[str]:
    records = [record for record in caplog.records if record.name == "passerby.old_outbox"]
    return [record.getMessage() for record in records if record.levelno >= logging.WARNING]


def overwrite(path: Path, offset: int, length: int) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(random.Random(1).randbytes(length))


# Files that are not what they should be


def test_an_empty_file_is_removed(make_sqlite: MakeSqlite, make_file: MakeFile) -> None:
    path = make_file(1)
    path.write_bytes(b"")

    outbox = adopt(make_sqlite, path)

    assert outbox.tally("a") == Tally()
    assert outbox.close(30)
    assert list(path.parent.iterdir()) == []


@pytest.mark.parametrize("what", ["garbage", "another program's", "a text"])
def test_a_file_that_is_none_of_ours_is_set_aside(
    make_sqlite: MakeSqlite, make_file: MakeFile, caplog: pytest.LogCaptureFixture, what: str
) -> None:
    path = make_file(3)
    if what == "another program's":
        path.unlink()
        connection = sqlite3.connect(path)
        connection.execute("CREATE TABLE entry (place INTEGER PRIMARY KEY)")
        connection.close()
    else:
        path.write_bytes(b"To whom it may concern\n" if what == "a text" else random.Random(2).randbytes(10_000))
    content = path.read_bytes()

    outbox = adopt(make_sqlite, path)
    put(outbox, "ada")
    flush(outbox)

    (aside,) = path.parent.glob("*.corrupt-*")
    assert aside.read_bytes()[100:] == content[100:]
    assert not path.exists()
    assert outbox.tally("a") == Tally(enqueued=1, waiting=1)
    assert len(lines_of(caplog)) == 1
    assert "an outbox file is damaged" in lines_of(caplog)[0]


@pytest.mark.parametrize("number", [3, 300])
def test_a_file_whose_header_is_garbage_is_read_all_the_same(
    make_sqlite: MakeSqlite, make_file: MakeFile, caplog: pytest.LogCaptureFixture, number: int
) -> None:
    path = make_file(number)
    overwrite(path, 0, 100)

    outbox = adopt(make_sqlite, path)

    assert outbox.tally("a") == Tally(enqueued=number, waiting=number)
    assert f"{number} events of it were saved" in lines_of(caplog)[0]
    assert len(list(path.parent.glob("*.corrupt-*"))) == 1
    assert len(delivered_ids(outbox)) == number


def test_what_is_set_aside_stays_so(make_sqlite: MakeSqlite, make_file: MakeFile) -> None:
    path = make_file(3)
    path.write_bytes(b"To whom it may concern\n")
    first = adopt(make_sqlite, path, now=lambda: 1_750_000_000.0)
    path.write_bytes(b"To whom it may concern as well\n")
    first.start().result(30)
    asides = sorted(one.name.split("-")[-1] for one in path.parent.glob("*.corrupt-*"))

    assert asides == ["1750000000", "1750000001"]
    first.start().result(30)
    assert first.close(30)
    assert len(list(path.parent.iterdir())) == 2


def test_a_truncated_file_is_read_as_far_as_it_goes(
    make_sqlite: MakeSqlite, make_file: MakeFile, caplog: pytest.LogCaptureFixture
) -> None:
    path = make_file(100)
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.truncate(size // 2)

    outbox = adopt(make_sqlite, path)

    saved = outbox.tally("a").waiting
    assert 20 < saved < 100
    assert is_balanced(outbox)
    assert len(delivered_ids(outbox)) == saved
    assert f"{saved} events of it were saved" in lines_of(caplog)[0]
    assert len(list(path.parent.glob("*.corrupt-*"))) == 1


@pytest.mark.parametrize("has_json", [True, False])
def test_a_file_that_is_cut_off_within_a_page_is_read_once(
    make_sqlite: MakeSqlite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_json: bool
) -> None:
    """SQLite takes what is missing of the page for rows of nothing: they end no adoption, and nothing comes twice."""
    first = make_sqlite(directory=str(tmp_path))
    told = [put(first, f"visitor {number}") for number in range(300)]
    assert first.close(30)
    (path,) = tmp_path.glob("*.sqlite3")
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size * 2 // 3 + 1_000)
    if not has_json:
        monkeypatch.setattr(Database, "_has_json", property(lambda _: False, lambda *_: None), raising=False)

    outbox = adopt(make_sqlite, path)

    assert not path.exists()
    assert len(list(tmp_path.glob("*.corrupt-*"))) == 1
    delivered = delivered_ids(outbox)
    assert delivered == [one for one in told if one in delivered]
    assert len(delivered) > 100
    assert is_balanced(outbox)


@pytest.mark.parametrize("seed", range(5))
def test_damaged_pages_cost_no_more_than_what_is_in_them(
    make_sqlite: MakeSqlite, make_file: MakeFile, seed: int
) -> None:
    path = make_file(300)
    pages = path.stat().st_size // 4096
    for page in random.Random(seed).sample(range(10, pages), 5):
        overwrite(path, page * 4096, 4096)

    outbox = adopt(make_sqlite, path)

    tally = outbox.tally("a")
    assert is_balanced(outbox)
    assert tally.waiting > 250
    delivered = delivered_ids(outbox)
    assert len(delivered) == tally.waiting
    assert delivered == sorted(delivered, key=lambda one: int(one.split()[1])), "in their order"


def test_an_event_that_cannot_be_read_is_lost_and_counted(
    make_sqlite: MakeSqlite, make_file: MakeFile, caplog: pytest.LogCaptureFixture
) -> None:
    path = make_file(5)
    connection = sqlite3.connect(path)
    for place, state in ((2, "waiting"), (3, "dead"), (4, "held")):
        connection.execute("UPDATE entry SET body = '[1, ', state = ? WHERE place = ?", (state, place))
    connection.commit()
    connection.close()

    outbox = adopt(make_sqlite, path)
    assert outbox.release("ada") == 1
    assert len(delivered_ids(outbox)) == 2
    outbox.start().result(30)
    assert outbox.tally("a") == Tally(enqueued=5, delivered=2, dropped={"corrupted": 3})
    assert "could not be read from the outbox and are lost" in lines_of(caplog)[0]
    assert outbox.close(30)
    assert list(path.parent.glob("*.sqlite3*")) == []


def test_a_file_of_a_newer_version_is_left_alone(
    make_sqlite: MakeSqlite, make_file: MakeFile, caplog: pytest.LogCaptureFixture
) -> None:
    path = make_file(3)
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 2")
    connection.close()

    outbox = adopt(make_sqlite, path)
    outbox.start().result(30)
    put(outbox, "ada")
    assert outbox.close(30)

    assert path.exists()
    assert len(lines_of(caplog)) == 1
    assert "newer version" in lines_of(caplog)[0]
    assert outbox.tally("a").enqueued == 1


@pytest.mark.parametrize("what", ["another program has it", "its log cannot be made"])
def test_a_file_that_cannot_be_read_for_now_is_adopted_later(
    make_sqlite: MakeSqlite, make_file: MakeFile, caplog: pytest.LogCaptureFixture, what: str
) -> None:
    path = make_file(3)
    log = path.with_name(f"{path.name}-wal")
    intruder = sqlite3.connect(path, isolation_level=None)
    if what == "another program has it":
        intruder.execute("PRAGMA locking_mode = EXCLUSIVE")
        intruder.execute("BEGIN EXCLUSIVE")
    else:
        log.mkdir()

    outbox = adopt(make_sqlite, path)
    put(outbox, "ada")
    flush(outbox)
    assert outbox.tally("a") == Tally(enqueued=1, waiting=1)
    assert path.exists()
    assert "is not to be had for now" in lines_of(caplog)[0]

    if what == "another program has it":
        intruder.execute("ROLLBACK")
    else:
        log.rmdir()
    intruder.close()
    outbox.start().result(30)
    assert outbox.tally("a") == Tally(enqueued=4, waiting=4)
    assert list(path.parent.glob("*.corrupt-*")) == []


def test_a_file_that_this_user_may_not_take_keeps_nothing_back(
    make_sqlite: MakeSqlite, make_file: MakeFile, caplog: pytest.LogCaptureFixture
) -> None:
    """A lock that is a link is not followed: it is refused as one of another user is."""
    path = make_file(3)
    (path.parent / "1-0a.sqlite3").touch()
    (path.parent / "1-0a.lock").symlink_to(path.parent / "nowhere")

    outbox = adopt(make_sqlite, path)

    assert outbox.tally("a") == Tally(enqueued=3, waiting=3)
    assert (path.parent / "1-0a.sqlite3").exists()
    assert "cannot be taken over" in lines_of(caplog)[0]


def test_what_else_is_in_the_directory_is_left_as_it_is(make_sqlite: MakeSqlite, make_file: MakeFile) -> None:
    """Who names the app's own directory loses neither its database nor its lock files."""
    path = make_file(3)
    others = [path.parent / name for name in ("db.sqlite3", "uv.lock", "1-0a.sqlite3.lock", "x.corrupt-1")]
    for other in others:
        other.write_text("precious")
    (path.parent / "new.sqlite3").touch()

    outbox = adopt(make_sqlite, path)

    assert outbox.tally("a") == Tally(enqueued=3, waiting=3)
    assert [other.read_text() for other in others] == ["precious"] * len(others)
    assert (path.parent / "new.sqlite3").exists()
    assert {file.path.name for file in list_files(path.parent)}.isdisjoint(other.name for other in others)


def test_a_file_that_is_closed_in_trouble_is_for_whoever_comes_next(make_sqlite: MakeSqlite, tmp_path: Path) -> None:
    outbox = make_sqlite(directory=str(tmp_path))
    put(outbox, "ada")
    flush(outbox)
    assert outbox._crew.journal.stop(30)
    outbox._writer._suffer(Trouble("I/O error"))
    assert outbox.close(30)

    outbox.start().result(30)

    assert outbox.tally("a") == Tally(enqueued=1, waiting=1)


def test_a_lock_without_a_file_is_removed(make_sqlite: MakeSqlite, make_file: MakeFile) -> None:
    path = make_file(3)
    path.unlink()

    outbox = adopt(make_sqlite, path)

    assert list(path.parent.iterdir()) == []
    assert outbox.tally("a") == Tally()


def test_a_file_without_a_lock_is_adopted(make_sqlite: MakeSqlite, make_file: MakeFile) -> None:
    path = make_file(3)
    path.with_suffix(".lock").unlink()

    assert adopt(make_sqlite, path).tally("a") == Tally(enqueued=3, waiting=3)


# The file of this process


def ask(outbox: SqliteOutbox, statement: str) -> None:
    database = outbox._writer._database
    assert database is not None
    connection = database._connection

    def ask() -> None:
        connection.execute(statement).fetchall()

    outbox._crew.journal.do(ask)


def fill(outbox: SqliteOutbox, number: int = 1_000) -> list[str]:
    """Tell more than SQLite keeps in memory."""
    events = [large_event(f"visitor {count % 50}") for count in range(number)]
    for event in events:
        outbox.put(event, ("a",), Listener(), 0.0)
    flush(outbox)
    return [event.id for event in events]


def test_a_file_that_is_damaged_while_it_is_used_is_replaced(
    make_sqlite: MakeSqlite, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    outbox = make_sqlite(directory=str(tmp_path), kind=PatientOutbox, window=10)
    letter = put(outbox, "dan")
    (entry,) = outbox.acquire("a", 1, 0.0)
    outbox.settle_dead(entry, "no")
    told = fill(outbox)
    held = [hold(outbox, "ada") for _ in range(20)]
    flush(outbox)
    ask(outbox, "PRAGMA wal_checkpoint(TRUNCATE)")
    ask(outbox, "PRAGMA shrink_memory")
    (path,) = tmp_path.glob("*.sqlite3")
    for page in range(270, 470, 10):
        overwrite(path, page * 4096, 4096)

    delivered = all_delivered(outbox)
    outbox.start().result(30)

    tally = outbox.tally("a")
    lost = tally.dropped["corrupted"]
    assert 0 < lost < 300
    assert len(delivered) == len(set(delivered)) == tally.delivered
    assert set(delivered) <= set(told)
    assert tally == Tally(
        enqueued=len(told) + 21, delivered=tally.delivered, held=tally.held, dead=1, dropped={"corrupted": lost}
    )
    assert [one.event.id for one in outbox.dead_letters("a")] == [letter]
    assert 10 <= outbox.held("ada") <= len(held)
    assert outbox.state == "ok"
    assert len(list(tmp_path.glob("*.corrupt-*"))) == 1
    assert [line for line in lines_of(caplog) if "is damaged" in line]


def test_a_file_that_is_gone_is_replaced(make_sqlite: MakeSqlite, tmp_path: Path) -> None:
    """SQLite would go on with a file that has no name any more, and nothing of it would survive."""
    outbox = make_sqlite(directory=str(tmp_path / "outbox"), kind=PatientOutbox, window=10)
    told = fill(outbox, 100)
    shutil.rmtree(tmp_path / "outbox")

    outbox.start().result(30)
    told.append(put(outbox, "ada"))
    flush(outbox)
    die(outbox)

    again = make_sqlite(directory=str(tmp_path / "outbox"), kind=PatientOutbox)
    assert sorted(all_delivered_after_start(again)) == sorted(told)


def all_delivered_after_start(outbox: SqliteOutbox) -> list[str]:
    outbox.start().result(30)
    return all_delivered(outbox)


def full_at(outbox: SqliteOutbox, pages: int) -> None:
    ask(outbox, f"PRAGMA max_page_count = {pages}")


def test_a_full_disk_is_survived(make_sqlite: MakeSqlite, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    outbox = make_sqlite(directory=str(tmp_path), kind=PatientOutbox)
    told = fill(outbox, 10)
    full_at(outbox, 20)
    events = [large_event(f"visitor {number}") for number in range(100)]
    listeners = [Listener() for _ in events]
    outbox.before_fork()  # a few alone would fit
    for event, listener in zip(events, listeners, strict=True):
        outbox.put(event, ("a",), listener, 0.0)
    waiter = outbox.when_stored()
    outbox.after_fork_in_parent()
    assert waiter is not None
    eventually(lambda: outbox.state == "degraded: disk full")
    assert not outbox.flush_to_disk(0.1)

    assert not waiter.done()
    assert all(listener.heard == [] for listener in listeners)
    (entry,) = SqliteOutbox.acquire(outbox, "a", 1, 0.0)
    assert entry.event.id == told[0], "delivery goes on"
    outbox.settle_delivered(entry, None)
    full_at(outbox, 100_000)
    flush(outbox)

    assert outbox.state == "ok"
    assert all(listener.heard == ["stored"] for listener in listeners)
    assert len(lines_of(caplog)) == 1
    assert lines_of(caplog)[0].startswith("the outbox cannot be written (disk full)")
    die(outbox)
    again = make_sqlite(directory=str(tmp_path), kind=PatientOutbox)
    assert sorted(all_delivered_after_start(again)) == sorted([*told[1:], *(event.id for event in events)])


def test_a_full_disk_empties_itself(make_sqlite: MakeSqlite, tmp_path: Path) -> None:
    """What is delivered makes room for what is told, without anybody's help."""
    outbox = make_sqlite(directory=str(tmp_path), window=10)
    told = fill(outbox, 200)
    full_at(outbox, 100)
    told += [put(outbox, f"visitor {number}") for number in range(200)]

    delivered: list[str] = []
    is_ready = threading.Event()
    outbox.on_ready = is_ready.set
    while outbox.waiting():
        is_ready.clear()
        ids = delivered_ids(outbox)
        delivered += ids
        assert is_balanced(outbox)
        assert ids or is_ready.wait(30)
    flush(outbox)

    assert sorted(delivered) == sorted(told)
    assert outbox.state == "ok"


def test_what_is_adopted_waits_for_room(make_sqlite: MakeSqlite, make_file: MakeFile) -> None:
    path = make_file(100)
    outbox = make_sqlite(directory=str(path.parent), kind=PatientOutbox, look_every=0.0)
    with path.with_suffix(".lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        told = put(outbox, "ada", "b")
        flush(outbox)
        full_at(outbox, 20)
    adopted = outbox.start()
    eventually(lambda: outbox.state == "degraded: disk full")
    with pytest.raises(TimeoutError):
        adopted.result(0.2)

    assert (outbox.tally("a"), outbox.tally("b")) == (Tally(), Tally(enqueued=1, waiting=1))
    assert path.exists()
    full_at(outbox, 1_000)
    adopted.result(30)
    assert outbox.tally("a") == Tally(enqueued=100, waiting=100)
    assert len(set(delivered_ids(outbox))) == 100
    assert delivered_ids(outbox, "b") == [told]
    assert not path.exists()


def test_a_file_that_went_while_it_was_closed_is_replaced(make_sqlite: MakeSqlite, tmp_path: Path) -> None:
    outbox = make_sqlite(directory=str(tmp_path / "outbox"), kind=PatientOutbox, window=10)
    told = fill(outbox, 600)
    in_memory: list[str] = []

    def lose_file() -> None:
        outbox._writer._close_database()
        shutil.rmtree(tmp_path / "outbox")
        in_memory.extend(entry.event.id for entry in outbox._stock.windows["a"].in_memory())

    outbox._crew.journal.do(lose_file)
    in_memory.append(put(outbox, "ada"))
    outbox.start().result(30)

    delivered = all_delivered(outbox)
    assert sorted(delivered) == sorted(in_memory)
    assert 10 <= len(delivered) < 601
    assert delivered[0] == told[0]
    number = len(delivered)
    assert outbox.tally("a") == Tally(enqueued=601, delivered=number, dropped={"corrupted": 601 - number})
    assert outbox.state == "ok"


def test_memory_is_bounded_while_the_disk_takes_nothing(
    make_sqlite: MakeSqlite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stock, "MAX_UNWRITTEN", 100_000)
    (tmp_path / "outbox").touch()
    outbox = make_sqlite(directory=str(tmp_path / "x" / "outbox"), window=10)
    (tmp_path / "x").touch()

    told: list[str] = []
    for number in range(100):
        event = large_event(f"visitor {number}")
        listener = Listener()
        outbox.put(event, ("a",), listener, 0.0)
        told += [] if listener.heard == [("a", Dropped("full"))] else [event.id]

    assert 50 < len(told) < 70
    assert outbox.tally("a") == Tally(enqueued=100, waiting=len(told), dropped={"full": 100 - len(told)})
    eventually(lambda: outbox.state == "degraded: not a directory")
    assert not outbox.flush_to_disk(0.1)
    (tmp_path / "x").unlink()
    flush(outbox)
    assert outbox.state == "ok"
    outbox.start().result(30)
    delivered: list[str] = []
    while outbox.waiting():
        delivered += delivered_ids(outbox)
        outbox.start().result(30)
    assert delivered == told


def test_who_does_not_wait_for_the_disk_leaves_nothing_behind(make_sqlite: MakeSqlite, tmp_path: Path) -> None:
    outbox = make_sqlite(directory=str(tmp_path))
    store_wait = StoreWait(outbox, 0.0)
    outbox.before_fork()  # nothing is written meanwhile
    put(outbox, "ada")
    outbox._writer.trouble = "disk full"
    for _ in range(3_000):
        assert store_wait.start(1) is None
    outbox._writer.trouble = None
    for _ in range(3_000):
        recorded = store_wait.start(1)
        assert recorded is not None
        store_wait.wait_sync(recorded, 1)

    assert store_wait.store_timeouts == 6_000
    assert len(outbox._stock.pending._waiters) <= 1_000
    outbox.after_fork_in_parent()
    flush(outbox)
    assert outbox.when_stored() is None


def test_what_waits_in_memory_is_sent_while_the_disk_takes_nothing(make_sqlite: MakeSqlite, tmp_path: Path) -> None:
    outbox = make_sqlite(directory=str(tmp_path / "x" / "outbox"), window=10)
    (tmp_path / "x").touch()
    is_ready = threading.Event()
    outbox.on_ready = is_ready.set
    told = [put(outbox, f"visitor {number}") for number in range(60)]

    delivered: list[str] = []
    while outbox.waiting():
        is_ready.clear()
        delivered += delivered_ids(outbox)
        assert is_balanced(outbox)
        assert not outbox.waiting() or is_ready.wait(30)

    assert delivered == told
    assert outbox.tally("a") == Tally(enqueued=60, delivered=60)


def test_a_locked_file_is_tried_again(make_sqlite: MakeSqlite, tmp_path: Path) -> None:
    outbox = make_sqlite(directory=str(tmp_path))
    put(outbox, "ada")
    flush(outbox)
    (path,) = tmp_path.glob("*.sqlite3")
    intruder = sqlite3.connect(path, isolation_level=None)
    intruder.execute("BEGIN IMMEDIATE")
    put(outbox, "ada")
    eventually(lambda: outbox.state == "degraded: locked by another program")
    assert not outbox.flush_to_disk(0.1)
    intruder.execute("ROLLBACK")
    intruder.close()

    flush(outbox)
    assert outbox.state == "ok"


# Threads


def test_no_thread_can_be_started(
    make_sqlite: MakeSqlite, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    outbox = make_sqlite()
    listener = Listener()
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", fail)
        told = [put(outbox, "ada") for _ in range(100)]
        outbox.put(event_of("ben"), ("a",), listener, 0.0)
        assert outbox.state == "degraded: no thread"
        assert listener.heard == []
        assert len(lines_of(caplog)) == 1

        flush(outbox)
        assert listener.heard == ["stored"], "who waits writes it"

    told.append(put(outbox, "ada"))
    assert outbox.state == "ok"
    flush(outbox)
    die(outbox)
    again = make_sqlite(kind=PatientOutbox)
    assert [one for one in delivered_ids(again) if one in told] == told


def test_an_error_of_our_own_ends_nothing(
    make_sqlite: MakeSqlite, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    outbox = make_sqlite()
    put(outbox, "ada")
    flush(outbox)
    failed = threading.Event()

    def fail(*arguments: object) -> None:
        failed.set()
        raise ZeroDivisionError

    with monkeypatch.context() as patch:
        patch.setattr(Database, "write", fail)
        put(outbox, "ben")
        assert failed.wait(30)
    outbox.put(event_of("cyd"), ("a",), Listener(), 0.0)
    flush(outbox)

    assert outbox.tally("a") == Tally(enqueued=3, waiting=3)
    die(outbox)
    again = make_sqlite()
    again.start().result(30)
    assert again.tally("a") == Tally(enqueued=3, waiting=3)


def test_an_observer_that_raises_ends_nothing(make_sqlite: MakeSqlite) -> None:
    class Rude(Listener):
        def on_stored(self) -> None:
            raise ZeroDivisionError

    outbox = make_sqlite()
    listener = Listener()
    outbox.before_fork()
    outbox.put(event_of("ada"), ("a",), Rude(), 0.0)
    outbox.put(event_of("ada"), ("a",), listener, 0.0)
    outbox.after_fork_in_parent()
    flush(outbox)

    assert listener.heard == ["stored"]


def test_trouble_says_no_more_than_it_must(tmp_path: Path) -> None:
    path = tmp_path / "secret customer.sqlite3"
    with pytest.raises(Trouble) as caught:
        Database(path)

    assert caught.value.reason == "not writable"
    assert "secret" not in str(caught.value)


def test_what_is_told_when_all_is_full_says_what_to_do(make_sqlite: MakeSqlite) -> None:
    outbox = make_sqlite(max_bytes=1, when_full="raise")
    with pytest.raises(ValidationError, match="when_full"):
        put(outbox, "ada")
    assert outbox.tally("a") == Tally()


def test_what_utf8_cannot_say_keeps_nothing_from_being_written(make_sqlite: MakeSqlite) -> None:
    outbox = make_sqlite()
    listener = Listener()
    outbox.put(event_of("a visitor \ud800", id="\udfff"), ("a", "b"), listener, 0.0)
    outbox.put(event_of("ada")._replace(data={"a set": {1}}), ("a",), listener, 0.0)
    outbox.link("visit \ud800", "\ud800")
    told = put(outbox, "ada")
    flush(outbox)

    assert set(listener.heard) <= {("a", Dropped("internal")), ("b", Dropped("internal")), "stored"}
    assert is_balanced(outbox)
    assert told in delivered_ids(outbox)
