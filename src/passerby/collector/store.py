"""What the collector keeps, in SQLite: every request, the accepted events, the browser IDs it issued."""

from __future__ import annotations

import json
import os
import sqlite3
import threading
import weakref
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .ask import System
from .json_object import JSONObject
from .received import Received
from .stream_api import guest_id_of

SCHEMA = """
CREATE TABLE IF NOT EXISTS requests (
    number INTEGER PRIMARY KEY,
    time REAL NOT NULL,
    method TEXT NOT NULL,
    path TEXT NOT NULL,
    headers TEXT NOT NULL,
    body BLOB NOT NULL,
    route TEXT NOT NULL,
    status INTEGER,
    accepted INTEGER NOT NULL,
    refusal TEXT
);
CREATE TABLE IF NOT EXISTS events (number INTEGER PRIMARY KEY, event TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS messages (
    number INTEGER NOT NULL,
    position INTEGER NOT NULL,
    system TEXT NOT NULL,
    message TEXT NOT NULL,
    PRIMARY KEY (number, position)
);
CREATE TABLE IF NOT EXISTS browser_ids (
    browser_id TEXT PRIMARY KEY,
    guest_id TEXT NOT NULL,
    number INTEGER NOT NULL
);
"""
REQUESTS = """
SELECT number, time, method, path, headers, body, route, status, accepted, refusal
FROM requests ORDER BY number
"""
EVENTS = "SELECT number, time, event FROM events JOIN requests USING (number) WHERE number > ? ORDER BY number"
MESSAGES = "SELECT message FROM messages WHERE system = ? ORDER BY number, position"
COUNTS = "SELECT route, count(*), sum(accepted), sum(refusal IS NOT NULL) FROM requests GROUP BY route"
APPLICATION_ID = 0x70617373  # "pass", so that another program's database is not written to
BATCH = 500  # rows; at a thousand requests a second two commits a second


class StoreError(OSError):
    """The database cannot be used."""


@dataclass(frozen=True, slots=True)
class Kept:
    """One request with what came of it."""

    received: Received
    event: str | None  # JSON text
    browser_id: str | None
    system: System | None = None
    messages: tuple[JSONObject, ...] = ()


class Store:
    """Takes requests in memory and writes them in batches; whatever is read includes all that was taken."""

    def __init__(self, path: str | os.PathLike[str] | None = None) -> None:
        self._waiting: deque[Kept] = deque()
        self._lock = threading.Lock()
        self._connection = _open(path)
        self._close = weakref.finalize(self, self._connection.close)
        self._known: set[str] = {row[0] for row in self._connection.execute("SELECT browser_id FROM browser_ids")}
        self._last_number: int = self._connection.execute("SELECT coalesce(max(number), 0) FROM requests").fetchone()[0]

    def next_number(self) -> int:
        """The number of the next request."""
        self._last_number += 1
        return self._last_number

    def add(self, kept: Kept) -> None:
        """Take a request; it is on disk with the next commit."""
        if kept.browser_id is not None:
            self._known.add(kept.browser_id)
        self._waiting.append(kept)
        if len(self._waiting) >= BATCH:
            self.commit()

    def commit(self) -> None:
        """Write what has been taken since the last time."""
        with self._lock:
            self._commit()

    def close(self) -> None:
        """Write what is left and let go of the file."""
        with self._lock:
            if self._close.alive:
                self._commit()
            self._close()

    def knows(self, browser_id: str) -> bool:
        """Whether this ID was issued here."""
        return browser_id in self._known

    def browser_ids(self) -> list[str]:
        """The IDs issued, oldest first."""
        return [row[0] for row in self._read("SELECT browser_id FROM browser_ids ORDER BY number")]

    def requests(self) -> list[Received]:
        """All requests in order of arrival."""
        return [_received(row) for row in self._read(REQUESTS)]

    def events(self, after: int = 0) -> list[tuple[int, float, JSONObject]]:
        """Number, time and event of each accepted one, in order of arrival, from above number `after`."""
        rows = self._read(EVENTS, after)
        return [(number, time, json.loads(event)) for number, time, event in rows]

    def event_count(self) -> int:
        """How many events were accepted."""
        return int(self._read("SELECT count(*) FROM events")[0][0])

    def messages(self, system: System) -> list[JSONObject]:
        """The accepted messages to a system, in order of arrival."""
        return [json.loads(row[0]) for row in self._read(MESSAGES, system)]

    def message_count(self, system: System) -> int:
        """How many messages to a system were accepted."""
        return int(self._read("SELECT count(*) FROM messages WHERE system = ?", system)[0][0])

    def counts(self) -> JSONObject:
        """How much of what has arrived so far."""
        rows = self._read(COUNTS)
        return {
            "requests": sum(row[1] for row in rows),
            "accepted_events": self.event_count() + self.message_count("customerio") + self.message_count("datalyr"),
            "refused": sum(row[3] for row in rows),
            "browser_ids": len(self._known),
            "by_route": {row[0]: row[1] for row in rows},
        }

    def _read(self, query: str, *arguments: Any) -> list[Any]:
        with self._lock:
            self._commit()
            return self._connection.execute(query, arguments).fetchall()

    def _commit(self) -> None:
        kept: list[Kept] = []
        with suppress(IndexError):
            while True:
                kept.append(self._waiting.popleft())
        try:
            _write(self._connection, kept)
        except sqlite3.Error:
            self._waiting.extendleft(reversed(kept))
            raise


def _open(path: str | os.PathLike[str] | None) -> sqlite3.Connection:
    if path is None or str(path) == ":memory:":
        return _prepare(sqlite3.connect(":memory:", check_same_thread=False))
    path = Path(path)
    _create_private(path)
    connection = sqlite3.connect(path, check_same_thread=False)
    try:
        _prepare(connection)
        path.chmod(0o600)  # only now is it known to be ours
    except (sqlite3.Error, OSError) as exc:
        connection.close()
        raise StoreError(f"{path} is not a database of the collector, or is in use: {exc}") from exc
    return connection


def _create_private(path: Path) -> None:
    # SQLite gives its side files the permissions of the main one.
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    except OSError as exc:
        raise StoreError(f"{path} cannot be opened: {exc.strerror}") from exc


def _prepare(connection: sqlite3.Connection) -> sqlite3.Connection:
    (application_id,) = connection.execute("PRAGMA application_id").fetchone()
    (has_tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if has_tables and application_id != APPLICATION_ID:
        raise sqlite3.DatabaseError("it belongs to another program")
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute("PRAGMA journal_mode = WAL")
    # Losing the last moments of a test run to a power cut is no loss.
    connection.execute("PRAGMA synchronous = OFF")
    connection.executescript(SCHEMA)
    return connection


def _write(connection: sqlite3.Connection, kept: list[Kept]) -> None:
    if not kept:
        return
    with connection:
        connection.executemany("INSERT INTO requests VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", map(_row, kept))
        connection.executemany(
            "INSERT INTO events VALUES (?, ?)",
            [(each.received.number, each.event) for each in kept if each.event is not None],
        )
        connection.executemany(
            "INSERT INTO messages VALUES (?, ?, ?, ?)",
            [
                (each.received.number, position, each.system, json.dumps(message))
                for each in kept
                for position, message in enumerate(each.messages)
            ],
        )
        connection.executemany(
            "INSERT OR IGNORE INTO browser_ids VALUES (?, ?, ?)",
            [
                (each.browser_id, guest_id_of(each.browser_id), each.received.number)
                for each in kept
                if each.browser_id is not None
            ],
        )


def _row(kept: Kept) -> tuple[Any, ...]:
    it = kept.received
    headers = json.dumps(it.headers)
    return (
        it.number,
        it.time,
        it.method,
        it.path,
        headers,
        it.body,
        it.route,
        it.status,
        it.accepted,
        it.refusal,
    )


def _received(row: tuple[Any, ...]) -> Received:
    number, time, method, path, headers, body, route, status, accepted, refusal = row
    return Received(number, time, method, path, json.loads(headers), body, route, status, bool(accepted), refusal)
