from __future__ import annotations

import json
import os
import sqlite3
import stat
import threading
from pathlib import Path

import pytest

from passerby.collector import CollectedRequest, StoreError
from passerby.collector.request_record import RequestRecord
from passerby.collector.store import BATCH, Store


def receive(number: int, *, event: dict[str, object] | None = None, refusal: str | None = None) -> RequestRecord:
    body = b"" if event is None else json.dumps(event).encode()
    received = CollectedRequest(
        number, 1.5, "POST", "/v1.2/events", {"a": "b"}, body, "events", 201, event is not None, refusal
    )
    return RequestRecord(received, None if event is None else body.decode(), None)


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_what_was_added_is_read_back_at_once() -> None:
    store = Store()
    first, second = receive(store.next_number(), event={"type": "VIEW"}), receive(store.next_number())
    store.add(first)
    store.add(second)

    assert store.requests() == [first.received, second.received]
    assert store.events() == [(1, 1.5, {"type": "VIEW"})]
    assert store.accepted_count("sitecore") == 1
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
    store.add(RequestRecord(kept.received, None, "abc"))
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
    path.write_text("milk, bread, and enough words to be no database")
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
        store.accepted_count("sitecore")
    thread.join()

    assert [each.number for each in store.requests()] == list(range(1, 5_001))
    store.close()


def sent(store: Store, *ids: str | None) -> RequestRecord:
    messages = tuple({"type": "page", "messageId": name} for name in ids)
    received = CollectedRequest(store.next_number(), 1.5, "POST", "/v1/batch", {}, b"", "pipelines", 200, True, None)
    return RequestRecord(received, None, None, "customerio", messages)


def test_the_answer_is_kept_with_its_request() -> None:
    store = Store()
    received = CollectedRequest(
        store.next_number(), 1.5, "GET", "/", {}, b"", "other", 404, False, "no", {"a": "b"}, b"\xff\x00"
    )
    store.add(RequestRecord(received, None, None))

    assert store.requests() == [received]
    store.close()


def test_requests_are_read_by_number() -> None:
    store = Store()
    for _ in range(9):
        store.add(receive(store.next_number()))

    assert [each.number for each in store.requests(4, 3)] == [4, 5, 6]
    assert [each.number for each in store.requests(9)] == [9]
    assert store.requests(10) == []
    assert (store.first_of_latest(3), store.first_of_latest(99), Store().first_of_latest(3)) == (7, 1, 1)
    store.close()


def test_what_was_taken_is_read_on_from_anywhere() -> None:
    store = Store()
    store.add(sent(store, "a", "b", "c"))
    store.add(receive(store.next_number(), event={"type": "VIEW"}))
    store.add(sent(store, "d"))

    assert [one[:3] for one in store.accepted("customerio")] == [(1, 0, 1.5), (1, 1, 1.5), (1, 2, 1.5), (3, 0, 1.5)]
    assert [one.message["messageId"] for one in store.accepted("customerio", (1, 1))] == ["c", "d"]
    assert [one.message["messageId"] for one in store.accepted("customerio", (1, 0), 2)] == ["b", "c"]
    assert store.accepted("customerio", (3, 0)) == store.accepted("datalyr") == []
    assert [one[:2] for one in store.accepted("sitecore")] == [(2, 0)]
    assert store.accepted("sitecore", (2, 0)) == []
    store.close()


def test_messages_stand_where_they_stood_in_their_request() -> None:
    """Those that were refused leave gaps."""
    store = Store()
    kept = sent(store, "a", "b")
    store.add(RequestRecord(kept.received, None, None, "customerio", kept.messages, (2, 7)))

    assert [one.position for one in store.accepted("customerio")] == [2, 7]
    assert store.first_accepted("customerio", ["b"]) == {"b": (1, 7)}
    store.close()


def test_repeats_are_counted_over_restarts(tmp_path: Path) -> None:
    store = Store(tmp_path / "db")
    store.add(sent(store, "a", "b", "a", None, None))
    store.commit()
    store.add(sent(store, "b", "c"))
    dropped = receive(store.next_number())
    store.add(RequestRecord(dropped.received, None, None, "datalyr", repeated=4))
    before, _ = store.counts_by_system()
    store.close()
    store = Store(tmp_path / "db")
    after, _ = store.counts_by_system()
    store.close()

    assert before == after
    assert (after["customerio"]["accepted"], after["customerio"]["repeated"]) == (7, 2)
    assert (after["datalyr"]["accepted"], after["datalyr"]["repeated"]) == (0, 4)


def test_clearing_is_for_good_and_numbers_go_on(tmp_path: Path) -> None:
    store = Store(tmp_path / "db")
    kept = sent(store, "a", "a")
    store.add(RequestRecord(kept.received, None, "abc", "customerio", kept.messages))
    before = store.clears
    store.clear()
    assert (store.requests(), store.messages("customerio"), store.clears) == ([], [], before + 1)
    store.close()
    store = Store(tmp_path / "db")

    assert (store.requests(), store.clears, store.next_number()) == ([], before + 1, 2)
    assert store.knows("abc")
    assert store.counts()["requests"] == 0
    store.add(sent(store, "a"))
    assert store.counts_by_system()[0]["customerio"]["repeated"] == 0, "what is forgotten cannot be repeated"
    store.close()


def test_halves_of_letters_are_taken() -> None:
    store = Store()
    store.add(sent(store, "\ud800", "\ud800x"))

    assert [one["messageId"] for one in store.messages("customerio")] == ["\ud800", "\ud800x"]
    store.close()
