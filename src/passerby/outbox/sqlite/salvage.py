"""Salvage: the events of a damaged file come back into the new one, a few pages in each exchange."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import suppress
from logging import Logger
from pathlib import Path

from ...logs import get_logger
from ..codec import version_of
from .directory import BESIDE
from .pages import EntryRow, EventRow, RawPages
from .rows import LAST_SLOT, ROOM, SLOTS, entry_sum, part_of
from .state import StoreState

log: Logger = get_logger("passerby.outbox")

_AT_ONCE = 0.03  # seconds of an exchange
_GONE = 30.0  # seconds after which another process that salvages is taken for gone
_FIRST = "SELECT seq, token FROM entry WHERE part = ? AND state = 0 AND destination = ? ORDER BY place LIMIT 1"
_FOUND = """
CREATE TEMP TABLE IF NOT EXISTS found (seq INTEGER PRIMARY KEY, codec, state, since, attempts, withdrawn, reason)
"""
_INSERT = """
INSERT OR IGNORE INTO entry (seq, destination, sum, codec, part, state, place, head, ready, since, share, attempts,
  withdrawn, reason) VALUES (?, ?, ?, ?, ?, ?, ?, 0, ?, ?, ?, ?, ?, ?)
"""


class Salvage:
    """Reads one quarantined file.

    Args:
        path: the file.
        following: what to salvage afterwards.
    """

    def __init__(self, path: Path, following: Salvage | None = None) -> None:
        self._path = path
        self._following = following
        self.restart()

    def restart(self) -> None:
        """Begin again, because what was salvaged was not committed, or is in another file."""
        self._steps: Iterator[None] | None = None
        self._found = 0
        self._is_read = False

    def go_on(self, connection: sqlite3.Connection, state: StoreState) -> Salvage | None:
        """Salvage for a moment, in a transaction. Returns what is to go on with, or None at the end."""
        owner = state.values.get("salvager")
        if owner is not None and owner[0] != os.getpid() and state.now - owner[1] < _GONE:
            return self
        state.values["salvager"] = [os.getpid(), state.now]
        self._steps = self._steps or self._run()
        self._connection, self._state = connection, state
        until = time.monotonic() + _AT_ONCE
        try:
            for _ in self._steps:
                if time.monotonic() > until:
                    return self
        except FileNotFoundError:  # another process was faster
            return self._following
        state.values["salvager"] = None
        log.warning("%d events of the damaged file %s wait again", self._found, self._path.name)
        self._is_read = True
        return self._following

    def finish(self) -> None:
        """Rename the file if all of it is read and committed."""
        if not self._is_read:
            return
        for ending in BESIDE:
            path = self._path.with_name(self._path.name + ending)
            with suppress(OSError):
                path.rename(path.with_name(path.name.replace(".corrupt-", ".salvaged-")))

    def _run(self) -> Iterator[None]:
        """Yield after each page."""
        pages = RawPages(self._path)
        execute = self._connection.execute
        execute(_FOUND)
        execute("DELETE FROM found")
        try:
            for number in pages.numbers():
                rows = [row for row in pages.rows(number) if isinstance(row, EntryRow)]
                self._connection.executemany("INSERT OR IGNORE INTO found VALUES (?, ?, ?, ?, ?, ?, ?)", rows)
                yield
            for number in pages.numbers():
                for row in pages.rows(number):
                    if isinstance(row, EventRow):
                        self._restore(row)
                yield
        finally:
            pages.close()

    def _restore(self, event: EventRow) -> None:
        """Restore an event with its entries; with all of them if none is found."""
        names = event.names.split("\n")
        query = "SELECT * FROM found WHERE seq BETWEEN ? AND ?"
        first = event.id << SLOTS
        entries = [EntryRow(*row) for row in self._connection.execute(query, (first, first | LAST_SLOT))]
        if not entries:
            codec, now = version_of(event.payload), self._state.now
            entries = [EntryRow(first | slot, codec, 0, now, 0, 0, None) for slot in range(len(names))]
        if self._connection.execute("SELECT 1 FROM event WHERE id = ?", (event.id,)).fetchone():
            return
        restored = [entry for entry in entries if entry.seq & LAST_SLOT < len(names)]
        if restored:
            self._connection.execute("INSERT INTO event VALUES (?, ?, ?, ?, ?, ?, ?, ?)", event)
            self._found += 1
        for entry in restored:
            self._restore_entry(event, entry, names[entry.seq & LAST_SLOT], len(event.payload) // len(names))

    def _restore_entry(self, event: EventRow, entry: EntryRow, name: str, share: int) -> None:
        execute, state = self._connection.execute, self._state
        row, part = state.of(name), part_of(event.visitor)
        before = execute(_FIRST, (part, row.number)).fetchone()
        check, place, now = entry_sum(entry.seq, row.number), entry.seq << ROOM, state.now
        since = min(entry.since, now)
        values = entry.seq, row.number, check, entry.codec, part, entry.state, place, now, since, share
        execute(_INSERT, (*values, entry.attempts, entry.withdrawn, entry.reason))
        row.counts.record("waiting" if entry.state != 1 else "held")
        if entry.state == 2:  # dead
            row.counts.move("waiting", "dead")
            return
        state.add(1, share)
        if entry.state == 0 and (before is None or before[1] is None):
            # What is salvaged is older than what waits: it becomes the head unless that is being sent.
            if before is not None:
                execute("UPDATE entry SET head = 0 WHERE seq = ?", (before[0],))
            (first, _) = execute(_FIRST, (part, row.number)).fetchone()
            execute("UPDATE entry SET head = 1 WHERE seq = ?", (first,))
