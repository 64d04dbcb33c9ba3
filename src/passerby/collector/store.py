"""The collector's store in SQLite: requests and responses, accepted events, issued browser IDs."""

from __future__ import annotations

import json
import os
import sqlite3
import threading
import weakref
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, NamedTuple

from .api_request import MessageSystem, System
from .collected_request import CollectedRequest
from .counts import Counts
from .database import open_database
from .json_object import JSONObject
from .request_record import COLUMNS, RequestRecord, insert, request_from_row

REQUESTS = f"SELECT {COLUMNS} FROM requests WHERE number >= ? ORDER BY number LIMIT ?"  # noqa: S608 - ours
EVENTS = "SELECT number, time, event FROM events JOIN requests USING (number) WHERE number > ? ORDER BY number"
MESSAGES = "SELECT message FROM messages WHERE system = ? ORDER BY number, position"
ACCEPTED_EVENTS = """
SELECT number, 0, time, path, event FROM events JOIN requests USING (number)
WHERE number > ? ORDER BY number LIMIT ?
"""
ACCEPTED_MESSAGES = """
SELECT number, position, time, path, message FROM messages JOIN requests USING (number)
WHERE system = ? AND (number, position) > (?, ?) ORDER BY number, position LIMIT ?
"""
BEFORE_LATEST = "SELECT min(number) FROM (SELECT number FROM requests ORDER BY number DESC LIMIT ?)"
BATCH = 500  # rows; at a thousand requests a second two commits a second
CLEARED_TABLES = ("requests", "events", "messages", "ids", "repeats")
ALL = -1  # as a limit


class AcceptedMessage(NamedTuple):
    """An accepted event or message, and its position."""

    number: int
    position: int
    time: float
    path: str
    message: JSONObject


class Store:
    """Buffers requests in memory and writes them in batches; reads include buffered requests.

    Attributes:
        clears: changes whenever everything is deleted; differs between stores.
    """

    def __init__(self, path: str | os.PathLike[str] | None = None) -> None:
        self._buffer: deque[RequestRecord] = deque()
        self._lock = threading.Lock()
        self._connection = open_database(path)
        self._close = weakref.finalize(self, self._connection.close)
        self._known: set[str] = {row[0] for row in self._connection.execute("SELECT browser_id FROM browser_ids")}
        self._counts = Counts.read(self._connection)
        (last,) = self._connection.execute("SELECT coalesce(max(number), 0) FROM requests").fetchone()
        clears, before = self._connection.execute("SELECT clears, last_number FROM state").fetchone()
        self.clears: int = clears
        self._last_number: int = max(last, before)

    @property
    def last_number(self) -> int:
        """The number of the latest request."""
        return self._last_number

    def next_number(self) -> int:
        """The number of the next request."""
        self._last_number += 1
        return self._last_number

    def add(self, kept: RequestRecord) -> None:
        """Buffer a request; the next commit writes it."""
        if kept.browser_id is not None:
            self._known.add(kept.browser_id)
        self._buffer.append(kept)
        if len(self._buffer) >= BATCH:
            self.commit()

    def commit(self) -> None:
        """Write the buffered requests."""
        with self._lock:
            self._commit()

    def clear(self) -> None:
        """Delete everything that arrived. Issued browser IDs stay valid, and numbers continue."""
        with self._lock:
            self._commit()
            with self._connection:
                for table in CLEARED_TABLES:
                    self._connection.execute(f"DELETE FROM {table}")  # noqa: S608 - ours
                self._connection.execute("UPDATE state SET clears = clears + 1, last_number = ?", (self._last_number,))
            self.clears += 1
            self._counts = Counts()

    def close(self) -> None:
        """Write buffered requests and close the database."""
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

    def requests(self, first: int = 0, limit: int = ALL) -> list[CollectedRequest]:
        """The requests from a number on, in order of arrival."""
        return [request_from_row(row) for row in self._read(REQUESTS, first, limit)]

    def first_of_latest(self, count: int) -> int:
        """The number of the first of the latest `count` requests; of the next request if there are none."""
        (first,) = self._read(BEFORE_LATEST, count)[0]
        return self._last_number + 1 if first is None else int(first)

    def events(self, after: int = 0) -> list[tuple[int, float, JSONObject]]:
        """Number, time and event of each accepted event after request `after`, in order of arrival."""
        rows = self._read(EVENTS, after)
        return [(number, time, json.loads(event)) for number, time, event in rows]

    def messages(self, system: MessageSystem) -> list[JSONObject]:
        """The accepted messages to a system, in order of arrival."""
        return [json.loads(row[0]) for row in self._read(MESSAGES, system)]

    def accepted(self, system: System, after: tuple[int, int] = (0, 0), limit: int = ALL) -> list[AcceptedMessage]:
        """The accepted events or messages of a system after a position, in order of arrival."""
        if system == "sitecore":
            rows = self._read(ACCEPTED_EVENTS, after[0], limit)
        else:
            rows = self._read(ACCEPTED_MESSAGES, system, *after, limit)
        return [
            AcceptedMessage(number, position, time, path, json.loads(message))
            for number, position, time, path, message in rows
        ]

    def first_accepted(self, system: MessageSystem, ids: Sequence[str]) -> dict[str, tuple[int, int]]:
        """The positions at which messages of these IDs were accepted first."""
        query = f"SELECT id, number, position FROM ids WHERE system = ? AND id IN ({','.join('?' * len(ids))})"  # noqa: S608
        return {name: (number, position) for name, number, position in self._read(query, system, *ids)}

    def accepted_count(self, system: System) -> int:
        """The number of accepted events or messages of a system."""
        self.commit()
        return self._counts.accepted[system]

    def counts(self) -> JSONObject:
        """The counts so far."""
        with self._lock:
            self._commit()
            return self._counts.as_json(len(self._known))

    def counts_by_system(self) -> tuple[dict[System, dict[str, int]], int]:
        """The counts of each system, and `clears` at that time."""
        with self._lock:
            self._commit()
            return self._counts.by_system(), self.clears

    def _read(self, query: str, *arguments: Any) -> list[Any]:
        with self._lock:
            self._commit()
            return self._connection.execute(query, arguments).fetchall()

    def _commit(self) -> None:
        kept: list[RequestRecord] = []
        with suppress(IndexError):
            while True:
                kept.append(self._buffer.popleft())
        try:
            repeated = insert(self._connection, kept)
        except sqlite3.Error:
            self._buffer.extendleft(reversed(kept))
            raise
        self._counts.add(kept, repeated)
