"""Reading a file that belongs to somebody else: nothing is written, and no read goes on for long.

While somebody reads, the owner cannot begin its log anew, so every page is a transaction of its own. The connection
cannot write and never moves the log into the file; the flaw of SQLite before 3.51.3, by which two connections that
write or move the log at the same moment may lose what is in it, can therefore not be met here.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from . import row as rows
from .database import APPLICATION_ID, CORRUPTED, NOT_WRITABLE, VERSION, Corruption, Trouble, check_kind, translated
from .row import Row
from .salvage import MAGIC, Reader, check_emptied, size_of_log

PAGE = 500  # entries read at once
_COUNTED = 5_000  # entries counted at once
_STEPS = 50_000  # of SQLite's virtual machine, between two calls of whoever wants to know that it goes on

_COUNT = """
SELECT destination, state, reason, count(*), sum(size), min(told_at), max(told_at), max(place) FROM (
    SELECT place, destination, state, CASE state WHEN 'dead' THEN reason END AS reason, length(body) AS size, told_at
    FROM entry WHERE place > ? ORDER BY place LIMIT ?
) GROUP BY destination, state, reason
"""


class Count(NamedTuple):
    """How many entries of one kind there are in a part of a file.

    Attributes:
        destination: whose they are.
        state: "waiting", "held" or "dead".
        reason: of dead ones, why.
        number: how many.
        size: their events' bytes.
        oldest: when the first was told, in seconds since 1970.
        newest: when the last was.
    """

    destination: str
    state: str
    reason: str | None
    number: int
    size: int
    oldest: float
    newest: float


class Reading:
    """One file, open for reading. All methods raise Trouble, of which Corruption says that the file is damaged.

    Args:
        path: the file; one that is only being made has no entries.
    """

    def __init__(self, path: Path) -> None:
        self._has_entries = True
        with translated():
            if not _is_made(path):
                self._has_entries = False
                self._connection = sqlite3.connect(":memory:", isolation_level=None)
                return
            try:
                self._connection = _connect(path, "mode=ro")
            except Trouble as trouble:
                if trouble.reason != NOT_WRITABLE or _has_log(path):
                    raise
                # Where nothing may be written not even the log's index can be, and without a log none is needed.
                self._connection = _connect(path, "mode=ro&immutable=1")

    def __enter__(self) -> Reading:
        return self

    def __exit__(self, *error: object) -> None:
        with suppress(sqlite3.Error):
            self._connection.close()

    def rows(self, after: int = 0) -> Iterator[Row]:
        """Give all entries that can be read, in their order, page by page."""
        reader = self.reader()
        while page := reader.read(PAGE):
            yield from page

    def reader(self) -> Reader:
        """Return what reads page by page, past what is damaged."""
        return Reader(self)

    def counts(self) -> Iterator[Count]:
        """Count all entries, page by page: one kind may come more than once."""
        place: int | None = rows.BEGINNING
        while place is not None:
            page = self._count_page(place)
            place = max((last for *_, last in page), default=None)
            for destination, state, reason, number, size, oldest, newest, _ in page:
                why = None if reason is None else _text(reason)
                yield Count(_text(destination), _text(state), why, number, size, oldest, newest)

    def complaints(self, on_step: Callable[[], None] | None = None) -> list[str]:
        """Have SQLite look through the whole file, in one transaction; return what it finds wrong, ten at the most.

        Args:
            on_step: called again and again meanwhile.
        """
        if not self._has_entries:
            return []
        self._connection.set_progress_handler(on_step, _STEPS)
        try:
            with translated():
                found = self._connection.execute("PRAGMA integrity_check(10)").fetchall()
        except Corruption as trouble:
            return [trouble.reason]
        finally:
            self._connection.set_progress_handler(None, 0)
        return [line for (words,) in found for line in _text(words).splitlines() if line != "ok"]

    def after(self, place: int, limit: int) -> list[Row]:
        """Return the next entries, whatever their state."""
        return self._rows(rows.AFTER, place, limit)

    def before(self, place: int | None, after: int) -> Row | None:
        """Return the last entry before a place, or of all."""
        return next(iter(self._rows(rows.BEFORE, after, rows.BEYOND if place is None else place)), None)

    def _count_page(self, place: int) -> list[tuple[bytes, bytes, bytes | None, int, int, float, float, int]]:
        if not self._has_entries:
            return []
        with translated():
            return self._connection.execute(_COUNT, (place, _COUNTED)).fetchall()

    def _rows(self, query: str, *values: int) -> list[Row]:
        if not self._has_entries:
            return []
        with translated():
            return [rows.read_row(one) for one in self._connection.execute(query, values).fetchall()]


def _connect(path: Path, how: str) -> sqlite3.Connection:
    with translated():
        connection = sqlite3.connect(f"{path.as_uri()}?{how}", uri=True, timeout=2.0, isolation_level=None)
        connection.text_factory = bytes
        try:
            check_kind(connection, APPLICATION_ID, VERSION)
        except BaseException:
            connection.close()
            raise
    return connection


def _is_made(path: Path) -> bool:
    """Whether the file has its tables and its log.

    It is read before SQLite opens it, since a reader who comes while the owner changes to the log would be in its way.
    """
    with path.open("rb") as file:
        header = file.read(20)
    check_emptied(path)
    if not header.startswith(MAGIC):
        return bool(header)
    if header[18:20] not in (b"\1\1", b"\2\2"):  # of a file whose log is being made, and of one that has it
        raise Corruption(CORRUPTED)
    return header[18:20] == b"\2\2"


def _has_log(path: Path) -> bool:
    return size_of_log(path) > 0


def _text(value: bytes | str) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else value
