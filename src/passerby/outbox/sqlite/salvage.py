"""Salvage: the events of a damaged file come back into the new one, a few pages in each exchange."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from logging import Logger
from pathlib import Path

from ...logs import get_logger, log_loss
from .directory import BESIDE
from .pages import EntryRow, EventRow, RawPages, named_entries
from .rows import LAST_SLOT, ROOM, SLOTS, entry_sum, part_of
from .state import StoreState

log: Logger = get_logger("passerby.outbox")

_AT_ONCE = 0.03  # seconds of an exchange
_GONE = 30.0  # seconds after which another process that salvages is taken for gone
_LONGEST_LEASE = 3_600.0  # seconds; a claim that seems to hold for longer is damaged
_FIRST = "SELECT seq, token FROM entry WHERE part = ? AND state = 0 AND destination = ? ORDER BY place LIMIT 1"
_FOUND = """
CREATE TEMP TABLE IF NOT EXISTS found
  (seq INTEGER PRIMARY KEY, codec, state, since, attempts, withdrawn, reason, ready, token)
"""
_INSERT = """
INSERT OR IGNORE INTO entry (seq, destination, sum, codec, part, state, place, head, ready, since, share, token,
  attempts, withdrawn, reason) VALUES (?, ?, ?, ?, ?, ?, ?, 0, ?, ?, ?, ?, ?, ?, ?)
"""


class Salvage:
    """Reads one quarantined file.

    Args:
        path: the file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._steps: Iterator[None] | None = None
        self._count = self._damaged = 0
        self._delivered: set[int] = set()

    def skip(self, delivered: Iterable[int]) -> None:
        """Do not restore entries that are delivered meanwhile."""
        self._delivered.update(delivered)

    def restart(self) -> None:
        """Begin again, because what was salvaged was not committed, or is in another file."""
        self._steps, self._count = None, 0

    def go_on(self, connection: sqlite3.Connection, state: StoreState) -> bool:
        """Salvage for a moment, in a transaction. Returns whether nothing is left."""
        owner = state.values.get("salvager")
        if owner is not None and owner[0] != os.getpid() and state.now - owner[1] < _GONE:
            return False
        state.values["salvager"] = [os.getpid(), state.now]
        self._connection, self._state = connection, state
        self._steps = self._steps or self._run()
        until = time.monotonic() + _AT_ONCE
        with suppress(FileNotFoundError):  # another process was faster
            for _ in self._steps:
                if time.monotonic() > until:
                    return False
            message = "%d events of the damaged file %s wait again; %d of its pages could not be read in full"
            log_loss(log, message, self._count, self._path.name, self._damaged)
        state.values["salvager"] = None
        return True

    def finish(self) -> None:
        """Rename the file: all of it is read and committed."""
        for ending in BESIDE:
            path = self._path.with_name(self._path.name + ending)
            with suppress(OSError):
                path.rename(path.with_name(path.name.replace(".corrupt-", ".salvaged-")))

    def _run(self) -> Iterator[None]:
        """Yield after each page."""
        pages = RawPages(self._path)
        self._connection.execute(_FOUND)
        self._connection.execute("DELETE FROM found")
        try:
            for number in pages.numbers():
                rows = [row for row in pages.rows(number) if isinstance(row, EntryRow)]
                self._connection.executemany("INSERT OR IGNORE INTO found VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)
                yield
            for number in pages.numbers():
                for row in pages.rows(number):
                    if isinstance(row, EventRow):
                        self._restore(row)
                yield
            self._damaged = len(pages.damaged)
        finally:
            pages.close()

    def _restore(self, event: EventRow) -> None:
        """Restore an event with its entries."""
        execute, first = self._connection.execute, event.id << SLOTS
        found = execute("SELECT * FROM found WHERE seq BETWEEN ? AND ?", (first, first | LAST_SLOT))
        entries = named_entries(event, [EntryRow(*row) for row in found], self._state.now)
        entries = [(name, entry) for name, entry in entries if entry.seq not in self._delivered]
        if entries and execute("INSERT OR IGNORE INTO event VALUES (?, ?, ?, ?, ?, ?, ?, ?)", event).rowcount:
            self._count += 1
            share = len(event.payload) // (event.names.count("\n") + 1)
            for name, entry in entries:
                self._restore_entry(event, entry, name, share)

    def _restore_entry(self, event: EventRow, entry: EntryRow, name: str, share: int) -> None:
        execute, state = self._connection.execute, self._state
        row, part = state.of(name), part_of(event.visitor)
        before = execute(_FIRST, (part, row.number)).fetchone()
        check, place, since = entry_sum(entry.seq, row.number), entry.seq << ROOM, min(entry.since, state.now)
        is_claimed = entry.token is not None and state.now < entry.ready < state.now + _LONGEST_LEASE
        claim = (entry.ready, entry.token) if is_claimed else (state.now, None)  # its call goes on
        values = entry.seq, row.number, check, entry.codec, part, entry.state, place, claim[0], since, share, claim[1]
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
