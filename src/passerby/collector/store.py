"""What the collector keeps, in SQLite: every request and its answer, the accepted events, the browser IDs it issued."""

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

from .ask import Played, System
from .counts import Counts
from .database import open_database
from .json_object import JSONObject
from .received import Received
from .row import COLUMNS, Kept, insert, received_of

REQUESTS = f"SELECT {COLUMNS} FROM requests WHERE number >= ? ORDER BY number LIMIT ?"  # noqa: S608 - ours
EVENTS = "SELECT number, time, event FROM events JOIN requests USING (number) WHERE number > ? ORDER BY number"
MESSAGES = "SELECT message FROM messages WHERE system = ? ORDER BY number, position"
TAKEN_EVENTS = """
SELECT number, 0, time, event FROM events JOIN requests USING (number)
WHERE number > ? ORDER BY number LIMIT ?
"""
TAKEN_MESSAGES = """
SELECT number, position, time, message FROM messages JOIN requests USING (number)
WHERE system = ? AND (number, position) > (?, ?) ORDER BY number, position LIMIT ?
"""
BEFORE_LATEST = "SELECT min(number) FROM (SELECT number FROM requests ORDER BY number DESC LIMIT ?)"
BATCH = 500  # rows; at a thousand requests a second two commits a second
ARRIVALS = ("requests", "events", "messages", "ids", "repeats")
ALL = -1  # as a limit


class Taken(NamedTuple):
    """An accepted event or message, and where it stands."""

    number: int
    position: int
    time: float
    message: JSONObject


class Store:
    """Takes requests in memory and writes them in batches; whatever is read includes all that was taken.

    Attributes:
        clears: changes whenever all that has arrived is forgotten; another store has another one.
    """

    def __init__(self, path: str | os.PathLike[str] | None = None) -> None:
        self._waiting: deque[Kept] = deque()
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

    def clear(self) -> None:
        """Forget all that has arrived. Browser IDs stay known, and numbers go on."""
        with self._lock:
            self._commit()
            with self._connection:
                for table in ARRIVALS:
                    self._connection.execute(f"DELETE FROM {table}")  # noqa: S608 - ours
                self._connection.execute("UPDATE state SET clears = clears + 1, last_number = ?", (self._last_number,))
            self.clears += 1
            self._counts = Counts()

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

    def requests(self, first: int = 0, limit: int = ALL) -> list[Received]:
        """The requests from a number on, in order of arrival."""
        return [received_of(row) for row in self._read(REQUESTS, first, limit)]

    def first_of_latest(self, count: int) -> int:
        """The number with which the latest so many requests begin; that of the next one if there is none."""
        (first,) = self._read(BEFORE_LATEST, count)[0]
        return self._last_number + 1 if first is None else int(first)

    def events(self, after: int = 0) -> list[tuple[int, float, JSONObject]]:
        """Number, time and event of each accepted one, in order of arrival, from above number `after`."""
        rows = self._read(EVENTS, after)
        return [(number, time, json.loads(event)) for number, time, event in rows]

    def messages(self, system: System) -> list[JSONObject]:
        """The accepted messages to a system, in order of arrival."""
        return [json.loads(row[0]) for row in self._read(MESSAGES, system)]

    def taken(self, system: Played, after: tuple[int, int] = (0, 0), limit: int = ALL) -> list[Taken]:
        """The accepted events or messages to a system, in order of arrival, from behind a number and position."""
        if system == "sitecore":
            rows = self._read(TAKEN_EVENTS, after[0], limit)
        else:
            rows = self._read(TAKEN_MESSAGES, system, *after, limit)
        return [Taken(number, position, time, json.loads(message)) for number, position, time, message in rows]

    def first_taken(self, system: System, ids: Sequence[str]) -> dict[str, tuple[int, int]]:
        """Where messages of these IDs were taken first: number and position."""
        query = f"SELECT id, number, position FROM ids WHERE system = ? AND id IN ({','.join('?' * len(ids))})"  # noqa: S608
        return {name: (number, position) for name, number, position in self._read(query, system, *ids)}

    def taken_count(self, system: Played) -> int:
        """How many events or messages to a system were accepted."""
        self.commit()
        return self._counts.accepted[system]

    def counts(self) -> JSONObject:
        """How much of what has arrived so far."""
        with self._lock:
            self._commit()
            return self._counts.as_json(len(self._known))

    def counts_by_system(self) -> tuple[dict[Played, dict[str, int]], int]:
        """How much each system was told, and `clears` at the time."""
        with self._lock:
            self._commit()
            return self._counts.by_system(), self.clears

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
            repeated = insert(self._connection, kept)
        except sqlite3.Error:
            self._waiting.extendleft(reversed(kept))
            raise
        self._counts.add(kept, repeated)
