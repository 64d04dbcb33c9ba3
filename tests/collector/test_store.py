from __future__ import annotations

import json
import os
import sqlite3
import stat
import threading
from pathlib import Path

import pytest

from passerby.collector import Received, StoreError
from passerby.collector.row import Kept
from passerby.collector.store import BATCH, Store


def receive(number: int, *, event: dict[str, object] | None = None, refusal: str | None = None) -> Kept:
    body = b"" if event is None else json.dumps(event).encode()
    received = Received(
        number, 1.5, "POST", "/v1.2/events", {"a": "b"}, body, "events", 201, event is not None, refusal
    )
    return Kept(received, None if event is None else body.decode(), None)


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_what_was_added_is_read_back_at_once() -> None:
    store = Store()
    first, second = receive(store.next_number(), event={"type": "VIEW"}), receive(store.next_number())
    store.add(first)
    store.add(second)

    assert store.requests() == [first.received, second.received]
    assert store.events() == [(1, 1.5, {"type": "VIEW"})]
    assert store.taken_count("sitecore") == 1
    store.close()


def test_requests_are_written_in_batches(tmp_path: Path) -> None:
    store = Store(tmp_path / "db")
    for _ in range(BATCH - 1):
        store.add(receive(store.next_number()))
    before = count_rows(tmp_path / "db")
    store.add(receive(store.next_number()))
    after = count_rows(tmp_path / "db")
    store.close()

    assert (before, after) == (0, BATCH)


def count_rows(path: Path) -> int:
    connection = sqlite3.connect(path)
    (count,) = connection.execute("SELECT count(*) FROM requests").fetchone()
    connection.close()
    return int(count)


def test_numbers_and_ids_go_on_in_an_old_file(tmp_path: Path) -> None:
    store = Store(tmp_path / "db")
    kept = receive(store.next_number())
    store.add(Kept(kept.received, None, "abc"))
    store.close()
    store = Store(tmp_path / "db")

    assert store.next_number() == 2
    assert store.knows("abc")
    assert store.browser_ids() == ["abc"]
    assert store.requests() == [kept.received]
    store.close()


def test_closing_twice_changes_nothing(tmp_path: Path) -> None:
    store = Store(tmp_path / "db")
    store.close()
    store.close()


def test_forgotten_store_closes_itself(tmp_path: Path) -> None:
    store = Store(tmp_path / "db")
    del store

    assert not (tmp_path / "db-wal").exists()


def test_files_are_for_their_owner_only(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        store = Store(tmp_path / "db")
        store.add(receive(store.next_number()))
        store.commit()
    finally:
        os.umask(before)

    assert {mode_of(path) for path in tmp_path.iterdir()} == {0o600}
    store.close()


def test_old_file_is_made_private(tmp_path: Path) -> None:
    Store(tmp_path / "db").close()
    (tmp_path / "db").chmod(0o644)
    Store(tmp_path / "db").close()

    assert mode_of(tmp_path / "db") == 0o600


def test_file_of_others_is_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("milk, bread, and enough words that nobody takes this for a database")
    path.chmod(0o644)
    with pytest.raises(StoreError, match="not a database of the collector"):
        Store(path)

    assert path.read_text().startswith("milk")
    assert mode_of(path) == 0o644


def test_database_of_others_is_left_as_it_is(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "db")
    connection.execute("CREATE TABLE requests (a)")
    connection.close()
    content = (tmp_path / "db").read_bytes()
    with pytest.raises(StoreError, match="belongs to another program"):
        Store(tmp_path / "db")

    assert (tmp_path / "db").read_bytes() == content


def test_missing_directory_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="cannot be opened: No such file"):
        Store(tmp_path / "missing" / "db")


def test_failed_commit_keeps_what_it_had(tmp_path: Path) -> None:
    store = Store(tmp_path / "db")
    blocker = sqlite3.connect(tmp_path / "db", isolation_level=None)
    store.add(receive(store.next_number()))
    store.add(receive(store.next_number()))
    store._connection.execute("PRAGMA busy_timeout = 1")
    blocker.execute("BEGIN IMMEDIATE")
    with pytest.raises(sqlite3.OperationalError):
        store.commit()
    blocker.execute("ROLLBACK")
    blocker.close()

    assert [each.number for each in store.requests()] == [1, 2]
    store.close()


def test_counts() -> None:
    store = Store()
    assert store.counts()["requests"] == 0
    store.add(receive(store.next_number(), event={}))
    store.add(receive(store.next_number(), refusal="why not"))

    assert store.counts() == {
        "requests": 2,
        "accepted_events": 1,
        "refused": 1,
        "browser_ids": 0,
        "by_route": {"events": 2},
    }
    store.close()


def test_reading_while_others_add_loses_nothing() -> None:
    store = Store()

    def add() -> None:
        for _ in range(5_000):
            store.add(receive(store.next_number()))

    thread = threading.Thread(target=add)
    thread.start()
    while thread.is_alive():
        store.taken_count("sitecore")
    thread.join()

    assert [each.number for each in store.requests()] == list(range(1, 5_001))
    store.close()
