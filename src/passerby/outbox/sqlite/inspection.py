"""Checks a database, and reads quarantined ones; for commands. Nothing is changed, and other processes go on."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ..codec import UndecodablePayload, decode
from ..contract import StorageError
from ..reading import StoredEntry
from .database import reading, translated
from .directory import BESIDE, StoreDirectory
from .pages import EntryRow, EventRow, RawPages, named_entries
from .queue import STATES
from .rows import LAST_SLOT, SLOTS, ClaimableRow, is_genuine

_STEPS = 200_000  # of SQLite's machine between two calls of `on_progress`
_ROWS_AT_ONCE = 500
_MOST_PROBLEMS = 20
_ALL = f"""
SELECT e.destination, e.seq, e.sum, e.token, e.lost, e.withdrawn, e.attempts, e.since, e.part, e.place,
  v.event_id, v.visitor, v.user_id, v.browser_id, v.names, v.sum, v.payload, e.ready
FROM entry e LEFT JOIN event v ON v.id = e.seq >> {SLOTS} ORDER BY e.seq
"""  # noqa: S608 - a number of ours


@dataclass(frozen=True, slots=True)
class DatabaseCheck:
    """What a check of a database has found.

    Attributes:
        entries: how many entries are as they were written.
        damaged: how many are not.
        problems: what SQLite says of the file.
    """

    entries: int
    damaged: int
    problems: tuple[str, ...]


def check_database(directory: StoreDirectory, patience: float, on_progress: Callable[[int], None]) -> DatabaseCheck:
    """Have SQLite check the file, and compare every row with its checksums. Raises StorageError if it cannot be opened.

    Args:
        directory: the directory, which has a database.
        patience: seconds to wait for a turn, in which the database is closed.
        on_progress: called now and then with the number of entries so far.
    """
    number = damaged = 0
    problems: list[str] = []
    with reading(directory, patience) as connection:
        connection.set_progress_handler(lambda: on_progress(number), _STEPS)
        try:
            with translated():
                found = connection.execute(f"PRAGMA integrity_check({_MOST_PROBLEMS})")
                problems += [str(text) for (text,) in found if text != "ok"]
                (kept,) = connection.execute("SELECT count(*) FROM damaged").fetchone()
                if kept:
                    problems.append(f"{kept} damaged rows are kept apart")
                rows = connection.execute(_ALL)
                while page := rows.fetchmany(_ROWS_AT_ONCE):
                    whole = sum(_is_whole(destination, ClaimableRow._make(row)) for destination, *row in page)
                    number, damaged = number + whole, damaged + len(page) - whole
                    on_progress(number)
        except StorageError as error:
            problems.append(error.reason)
        finally:
            connection.set_progress_handler(None, 0)
    return DatabaseCheck(number, damaged, tuple(problems))


def _is_whole(destination: int, row: ClaimableRow) -> bool:
    if not is_genuine(row, destination):
        return False
    with suppress(UndecodablePayload):
        decode(row.payload)
        return True
    return False


def remove_quarantined(path: Path) -> None:
    """Remove a damaged database and all that belongs to it. Raises OSError."""
    for ending in reversed(BESIDE):
        path.with_name(path.name + ending).unlink(missing_ok=True)


def read_quarantined(path: Path) -> Iterator[StoredEntry]:
    """Yield the entries of a damaged database whose bytes are whole. Raises OSError.

    Args:
        path: the database.
    """
    pages, now = RawPages(path), time.time()
    try:
        entries: dict[int, EntryRow] = {}
        for number in pages.numbers():
            entries |= {row.seq: row for row in pages.rows(number) if isinstance(row, EntryRow)}
        seen: set[int] = set()
        for number in pages.numbers():
            for row in pages.rows(number):
                if isinstance(row, EventRow) and row.id not in seen:
                    seen.add(row.id)
                    yield from _entries_of(row, entries, now)
    finally:
        pages.close()


def _entries_of(event: EventRow, entries: Mapping[int, EntryRow], now: float) -> Iterator[StoredEntry]:
    """Yield the entries of an event."""
    first = event.id << SLOTS
    found = [entries[seq] for seq in range(first, first + LAST_SLOT + 1) if seq in entries]
    for name, entry in named_entries(event, found, now):
        yield StoredEntry(
            name,
            STATES[entry.state],
            event.event_id,
            event.visitor,
            event.payload,
            entry.attempts,
            entry.reason,
            now - entry.since,
            0.0,
        )
