"""The decisions about stores and the outbox of a process: what no other test holds, and that each has a test."""

from __future__ import annotations

import fcntl
import os
import re
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from passerby.outbox.contract import StorageError
from passerby.outbox.sqlite import directory as on_disk
from passerby.outbox.sqlite.directory import DATABASE, NAME, StoreDirectory
from tests.making import eventually

from .conftest import MakeSqlite
from .process import Process
from .surroundings import FaultyStore, MakeOutbox, record

ROWS = [
    *("claims", "lease", "attempts, poison", "order", "who waits for what", "deliver", "wake-up between processes"),
    *("trouble", "SQLite's turns", "quotas", "purge, suppression", "damage", "two versions at once", "files"),
    *("platforms", "import of old files"),
]
TAKE_TURN = """
import sys
from passerby.outbox.contract import StorageError
from passerby.outbox.sqlite import SqliteStore
store = SqliteStore(sys.argv[1], patience=0.05)
try:
    with store.directory.turn(0.05):
        print("has it")
except StorageError:
    print("waits")
"""


@pytest.mark.parametrize("row", ROWS)
def test_each_decision_is_named_by_a_test(row: str) -> None:
    sources = (path.read_text() for path in Path(__file__).parent.glob("test_*.py") if path.name != Path(__file__).name)
    named = re.compile(rf'Decisions? ("[^"]+" and )?"{re.escape(row)}"')
    assert any(named.search(source) for source in sources)


def test_processes_are_woken_at_most_every_ten_milliseconds(make_sqlite: MakeSqlite) -> None:
    """Decision "wake-up between processes": at most one datagram per 10 ms."""
    listener, woken = make_sqlite(), list[float]()
    Process(listener).put("first")
    listener.listen(lambda: woken.append(time.monotonic()))
    writer = Process(make_sqlite())
    begun = time.monotonic()
    for _ in range(200):
        writer.put("ada")
    ended = time.monotonic()

    eventually(lambda: bool(woken))
    assert len(woken) <= (ended - begun) / 0.01 + 2


def test_the_last_event_of_a_burst_wakes_too(make_sqlite: MakeSqlite) -> None:
    """Decision "wake-up between processes": an event that follows another at once does not wait for the poll."""
    listener, woken = make_sqlite(), threading.Event()
    Process(listener).put("first")
    listener.listen(woken.set)
    writer = Process(make_sqlite())
    for _ in range(5):
        time.sleep(0.02)
        writer.put("ada")
        assert woken.wait(30)
        woken.clear()
        writer.put("ada")
        assert woken.wait(0.5)


def test_a_directory_is_opened_while_another_object_has_the_turn(directory: Path) -> None:
    """Decision "SQLite's turns": nothing waits for a turn without a limit."""
    with StoreDirectory(directory).turn():
        other = StoreDirectory(directory)
        other.make()
        with pytest.raises(StorageError, match="turn"), other.turn(0.01):
            pass


def test_two_objects_of_one_process_exclude_each_other(make_sqlite: MakeSqlite, directory: Path) -> None:
    """Decision "SQLite's turns": record locks are the process's, so its objects share one; closing frees no turn."""
    one, other = make_sqlite(), make_sqlite(patience=0.05)
    Process(one).put("ada")
    Process(other).put("ada")

    def try_elsewhere() -> str:
        command = [sys.executable, "-c", TAKE_TURN, str(directory)]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout.strip()

    with one.directory.turn():
        with pytest.raises(StorageError, match="turn"):
            Process(other).put("ben")
        other.close()
        make_sqlite().reset_after_fork()
        assert try_elsewhere() == "waits"
    assert try_elsewhere() == "has it"
    Process(other).put("cyd")


def test_a_fork_waits_until_the_exchange_has_ended(make_outbox: MakeOutbox, make_sqlite: MakeSqlite) -> None:
    """Decision "SQLite's turns": a fork lets the turn end first."""
    store = FaultyStore(make_sqlite())
    outbox = make_outbox(store)
    store.gate.clear()
    record(outbox)
    eventually(lambda: store.is_entered)
    held = threading.Event()

    def hold() -> None:
        outbox.before_fork()
        held.set()

    thread = threading.Thread(target=hold)
    thread.start()
    assert not held.wait(0.1)
    store.gate.set()
    assert held.wait(30)
    thread.join()
    record(outbox)
    time.sleep(0.05)
    assert outbox.unstored == 1, "nothing is exchanged during the fork"
    outbox.after_fork_in_parent()
    outbox.when_stored().result(30)


def test_an_idle_deliverer_writes_nothing(make_sqlite: MakeSqlite, directory: Path) -> None:
    """Decision "wake-up between processes": an idle store costs no disk."""
    process = Process(make_sqlite())
    process.put("ada")
    process.deliver_all()

    def state() -> dict[str, tuple[int, int]]:
        names = (DATABASE, f"{DATABASE}-wal")
        stats = {name: (directory / NAME / name).stat() for name in names}
        return {name: (stat.st_size, stat.st_mtime_ns) for name, stat in stats.items()}

    before = state()
    for _ in range(50):
        assert process.claim() == []
    assert state() == before


def test_a_sync_is_a_full_one_where_there_is_such(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Decision "platforms": `F_FULLFSYNC` for FULL on macOS, whose fsync leaves data in the drive's cache."""
    asked: list[int] = []
    monkeypatch.setattr(fcntl, "F_FULLFSYNC", 51, raising=False)
    monkeypatch.setattr(fcntl, "fcntl", lambda descriptor, command, *_: asked.append(command))
    descriptor = os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT)
    try:
        on_disk.sync_file(descriptor)
    finally:
        os.close(descriptor)
    assert asked == [51]
