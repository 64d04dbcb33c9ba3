"""The collector's file, and one of an earlier version."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from passerby.collector import StoreError
from passerby.collector.database import APPLICATION_ID, VERSION
from passerby.collector.store import Store

VERSION_1 = """
CREATE TABLE requests (
    number INTEGER PRIMARY KEY, time REAL NOT NULL, method TEXT NOT NULL, path TEXT NOT NULL, headers TEXT NOT NULL,
    body BLOB NOT NULL, route TEXT NOT NULL, status INTEGER, accepted INTEGER NOT NULL, refusal TEXT
);
CREATE TABLE events (number INTEGER PRIMARY KEY, event TEXT NOT NULL);
CREATE TABLE messages (
    number INTEGER NOT NULL, position INTEGER NOT NULL, system TEXT NOT NULL, message TEXT NOT NULL,
    PRIMARY KEY (number, position)
);
CREATE TABLE browser_ids (browser_id TEXT PRIMARY KEY, guest_id TEXT NOT NULL, number INTEGER NOT NULL);
INSERT INTO browser_ids VALUES ('b1', 'g1', 1);
INSERT INTO requests VALUES (1, 1.5, 'GET', '/v1.2/browser/create.json', '{}', x'', 'create', 200, 0, NULL);
INSERT INTO requests VALUES (2, 2.5, 'POST', '/v1.2/events', '{"a": "b"}', x'7b7d', 'events', 201, 1, NULL);
INSERT INTO requests VALUES (3, 3.5, 'POST', '/v1/batch', '{}', x'7b7d', 'pipelines', 200, 1, NULL);
INSERT INTO requests VALUES (4, 4.5, 'POST', '/v1.2/events', '{}', x'', 'events', NULL, 0, 'told to');
INSERT INTO events VALUES (2, '{"type": "VIEW"}');
INSERT INTO messages VALUES (3, 0, 'customerio', '{"messageId": "m1", "type": "page"}');
INSERT INTO messages VALUES (3, 1, 'customerio', '{"messageId": "m1", "type": "page"}');
INSERT INTO messages VALUES (3, 2, 'customerio', '{"type": "page"}');
INSERT INTO messages VALUES (3, 3, 'datalyr', '{"event_id": "m1"}');
"""


@pytest.fixture
def older(tmp_path: Path) -> Path:
    connection = sqlite3.connect(tmp_path / "db")
    connection.executescript(f"PRAGMA application_id = {APPLICATION_ID}; {VERSION_1}")
    connection.close()
    return tmp_path / "db"


def version_of(path: Path) -> int:
    connection = sqlite3.connect(path)
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    connection.close()
    return int(version)


def test_a_new_file_says_its_version(tmp_path: Path) -> None:
    Store(tmp_path / "db").close()

    assert version_of(tmp_path / "db") == VERSION


def test_an_older_file_is_brought_up_to_date_and_keeps_everything(older: Path) -> None:
    for _ in range(2):  # once and for all
        store = Store(older)
        requests, counts = store.requests(), store.counts()

        assert [(one.number, one.time, one.status, one.refusal) for one in requests] == [
            (1, 1.5, 200, None),
            (2, 2.5, 201, None),
            (3, 3.5, 200, None),
            (4, 4.5, None, "told to"),
        ]
        assert (requests[1].headers, requests[1].body) == ({"a": "b"}, b"{}")
        assert (requests[1].response_headers, requests[1].response_body) == ({}, b""), "which was not kept then"
        assert store.events() == [(2, 2.5, {"type": "VIEW"})]
        assert len(store.messages("customerio")) == 3
        assert store.knows("b1")
        assert counts["accepted_events"] == 5
        assert store.first_accepted("customerio", ["m1", "m2"]) == {"m1": (3, 0)}
        assert store.first_accepted("datalyr", ["m1"]) == {"m1": (3, 3)}
        figures, _ = store.counts_by_system()
        assert figures["customerio"] == {"accepted": 3, "refused": 0, "failed": 0, "repeated": 1}
        assert figures["sitecore"] == {"accepted": 1, "refused": 0, "failed": 1, "repeated": 0}
        assert store.next_number() == 5
        store.close()
    assert version_of(older) == VERSION


def test_a_file_whose_change_fails_is_left_as_it_was(older: Path) -> None:
    connection = sqlite3.connect(older)
    connection.execute("INSERT INTO messages VALUES (3, 4, 'customerio', 'no JSON')")
    connection.commit()
    with pytest.raises(StoreError, match="not a database of the collector, or is in use"):
        Store(older)
    columns = [row[1] for row in connection.execute("PRAGMA table_info(requests)")]
    (kept,) = connection.execute("SELECT count(*) FROM messages").fetchone()
    connection.close()

    assert "answer_body" not in columns
    assert (kept, version_of(older)) == (5, 0)


def test_a_newer_file_is_left_to_who_understands_it(tmp_path: Path) -> None:
    Store(tmp_path / "db").close()
    connection = sqlite3.connect(tmp_path / "db")
    connection.execute(f"PRAGMA user_version = {VERSION + 1}")
    connection.close()
    with pytest.raises(StoreError, match="a newer passerby made it"):
        Store(tmp_path / "db")

    assert version_of(tmp_path / "db") == VERSION + 1
