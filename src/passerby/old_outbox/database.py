"""The door to SQLite: one file of waiting, held and dead entries, by one connection of the process that holds it."""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager, suppress
from itertools import accumulate, chain
from pathlib import Path
from typing import Any, Literal, NamedTuple

from ..values.json import dumps
from . import row as rows
from .row import Change, Heard, Row

Synchronous = Literal["NORMAL", "FULL"]

SQLITE_VERSION: tuple[int, int, int] = sqlite3.sqlite_version_info
APPLICATION_ID = 0x70627978  # "pbyx", so that another program's database is not written to
VERSION = 1
_PATIENCE = 2.0  # seconds
_AT_ONCE = 1_000_000  # bytes of events that are read at once, if they are more than one
_LARGEST = 512 if sqlite3.sqlite_version_info >= (3, 32) else 64  # rows in a statement; older ones take 999 values
_UPDATES_FROM = sqlite3.sqlite_version_info >= (3, 33)

DISK_FULL = "disk full"
NOT_WRITABLE = "not writable"
LOCKED = "locked by another program"
CORRUPTED = "file corrupted"
UNKNOWN = "SQLite error"

_REASONS = {
    sqlite3.SQLITE_FULL: DISK_FULL,
    sqlite3.SQLITE_READONLY: NOT_WRITABLE,
    sqlite3.SQLITE_CANTOPEN: NOT_WRITABLE,
    sqlite3.SQLITE_PERM: NOT_WRITABLE,
    sqlite3.SQLITE_BUSY: LOCKED,
    sqlite3.SQLITE_LOCKED: LOCKED,
    sqlite3.SQLITE_CORRUPT: CORRUPTED,
    sqlite3.SQLITE_NOTADB: CORRUPTED,
    sqlite3.SQLITE_NOMEM: "out of memory",
}


class Trouble(Exception):
    """The disk or the file does not do what it should.

    Attributes:
        reason: why, in few words, without a name or a value.
    """

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


class Corruption(Trouble):
    """What is in the file is not what was written."""


class ForeignFile(Corruption):
    """It is another program's database, or none."""


class NewerFile(Trouble):
    """It was written by a version to come."""


@contextmanager
def translated() -> Generator[None]:
    """Raise Trouble for what SQLite and the system raise."""
    try:
        yield
    except sqlite3.Error as error:
        # Python's own complaints, say of a closed connection, have no code.
        code: int = getattr(error, "sqlite_errorcode", 0) & 0xFF
        reason = _REASONS.get(code, "I/O error" if code == sqlite3.SQLITE_IOERR else UNKNOWN)
        raise (Corruption if reason == CORRUPTED else Trouble)(reason) from error
    except OSError as error:
        is_full = error.errno in (errno.ENOSPC, errno.EFBIG, errno.EDQUOT)
        raise Trouble(DISK_FULL if is_full else os.strerror(error.errno or errno.EIO).lower()) from error


def check_kind(connection: sqlite3.Connection, application_id: int, version: int) -> None:
    """Raise ForeignFile or NewerFile if a file is not of this kind, or not of this version or an earlier one."""
    if connection.execute("PRAGMA application_id").fetchone()[0] != application_id:
        raise ForeignFile("another program's file")
    if connection.execute("PRAGMA user_version").fetchone()[0] > version:
        raise NewerFile("a newer version's file")


class Slice(NamedTuple):
    """Some entries were looked through.

    Attributes:
        end: the place of the last; None if there were no more than these, so that all that was there is looked through.
        rows: those that were looked for.
    """

    end: int | None
    rows: list[Row]


class Database:
    """The entries of one file. All methods raise Trouble.

    Args:
        path: an existing file; an empty one is given its tables.
        synchronous: "NORMAL" survives the death of the process, "FULL" also that of the machine.
        patience: seconds that somebody else may have the file, before Trouble says that it is locked.

    Attributes:
        heard: what this process has heard of others; it is written with whatever is written next.
    """

    def __init__(self, path: Path, synchronous: Synchronous = "NORMAL", patience: float = _PATIENCE) -> None:
        self._patience = patience
        self.heard: Heard = Heard()
        self._written_heard: Heard | None = None
        self._has_json = True
        with translated():
            self._connection = sqlite3.connect(
                f"{path.as_uri()}?mode=rw", uri=True, timeout=patience, isolation_level=None, check_same_thread=False
            )
            self._connection.text_factory = bytes
            try:
                self._prepare(synchronous)
            except BaseException:
                self._connection.close()
                raise

    @property
    def connection(self) -> object:
        """The connection, for who has to keep it from being closed."""
        return self._connection

    def _prepare(self, synchronous: Synchronous) -> None:
        execute = self._connection.execute
        if not execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
            execute("PRAGMA auto_vacuum = INCREMENTAL")
            self._connection.executescript(
                f"BEGIN IMMEDIATE; PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {VERSION};"
                f"{rows.CREATE} COMMIT;"
            )
        check_kind(self._connection, APPLICATION_ID, VERSION)
        try:
            execute("SELECT json_array(1)")
        except sqlite3.OperationalError:  # built without
            self._has_json = False
        execute("PRAGMA journal_mode = WAL")
        execute(f"PRAGMA synchronous = {synchronous}")
        execute("PRAGMA journal_size_limit = 4194304")
        execute("PRAGMA cache_size = -1024")
        execute("PRAGMA secure_delete = FAST")  # of what is deleted nothing stays in a page that is in use

    def write(
        self,
        inserts: Sequence[Row] = (),
        updates: Sequence[Change] = (),
        deletes: Sequence[int] = (),
        links: Iterable[tuple[str, str]] = (),
    ) -> None:
        """Write all of it, or nothing. Links are visits and their browser IDs."""
        steps = [(rows.insert(len(part)), _flat(part)) for part in rows.parts(inserts, _LARGEST)]
        if _UPDATES_FROM:
            steps += [(rows.update(len(part)), _flat(part)) for part in rows.parts(updates, _LARGEST)]
        else:
            steps += [(rows.UPDATE_ONE, list(change)) for change in updates]
        steps += [(rows.delete(len(part)), list(part)) for part in rows.parts(deletes, _LARGEST)]
        steps += [(rows.LINK, [browser_id, visitor]) for visitor, browser_id in links]
        heard = self.heard
        if steps and heard != self._written_heard:
            steps.append((rows.HEAR, list(heard)))
        with translated():
            if len(steps) == 1:  # a transaction by itself
                self._connection.execute(*steps[0])
            elif steps:
                self._write_together(steps)
                self._written_heard = heard

    def _write_together(self, steps: Sequence[tuple[str, list[Any]]]) -> None:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            for step in steps:
                self._connection.execute(*step)
            self._connection.execute("COMMIT")
        except BaseException:
            with suppress(sqlite3.Error):  # some errors end the transaction by themselves
                self._connection.execute("ROLLBACK")
            raise

    def read_heard(self) -> Heard:
        """Return what whoever wrote this file had heard of others by then."""
        with translated():
            poster, number = self._connection.execute(rows.HEARD).fetchone() or Heard()
            return Heard(poster.decode() if isinstance(poster, bytes) else poster, number)

    def page(self, destination: str, after: int, limit: int) -> list[Row]:
        """Return the next entries that wait at a destination, so many at the most."""
        return self._rows_that_fit(rows.PAGE, limit, after, destination)

    def entries(self, places: Sequence[int], size: int) -> list[Row]:
        """Return the first of those at some places, in their order; so many bytes at the most, if more than one."""
        return self._rows_that_fit(rows.select(len(places)), len(places), *places, size=size)

    def after(self, place: int, limit: int) -> list[Row]:
        """Return the next entries, whatever their state, so many at the most."""
        return self._rows_that_fit(rows.AFTER, limit, place)

    def before(self, place: int | None, after: int) -> Row | None:
        """Return the last entry before a place, or of all."""
        return next(iter(self._rows(rows.BEFORE, after, rows.BEYOND if place is None else place)), None)

    def forget_until(self, place: int) -> None:
        """Delete all entries up to a place."""
        with translated():
            self._connection.execute("DELETE FROM entry WHERE place <= ?", (place,))

    def slice_of_person(self, after: int, limit: int, who: str) -> Slice:
        """Look through the next entries for those that may be about a visitor or a user."""
        text = dumps(who)
        return self._slice(after, limit, rows.OF_PERSON, who, who, text)

    def slice_of_dead(self, after: int, limit: int) -> Slice:
        """Look through the next entries for those that are dead."""
        return self._slice(after, limit, rows.DEAD)

    def slice_of_later(self, after: int, limit: int) -> Slice:
        """Look through the next entries for those that wait for a later attempt."""
        return self._slice(after, limit, rows.LATER)

    def hurry(self, places: Sequence[int]) -> None:
        """Make what is at some places due at once."""
        with translated():
            for part in rows.parts(places, _LARGEST):
                self._connection.execute(rows.hurry(len(part)), list(part))

    def give_back_log(self) -> bool:
        """Write what is in the log into the file, and leave nothing of it; False if a reader is in the way."""
        with translated():
            # Whoever reads is not waited for: that would hold up what is to be written.
            self._connection.execute("PRAGMA busy_timeout = 0")
            try:
                return not self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
            finally:
                self._connection.execute(f"PRAGMA busy_timeout = {int(self._patience * 1000)}")

    def is_empty(self) -> bool:
        """Whether there are no entries."""
        with translated():
            return self._connection.execute("SELECT 1 FROM entry LIMIT 1").fetchone() is None

    def give_back_space(self, pages: int) -> bool:
        """Give some of the space that is not used any more back to the disk; whether there is more."""
        with translated():
            # One step gives back one page, and `execute` takes but one step of what has no columns.
            self._connection.executescript(f"PRAGMA incremental_vacuum({pages})")
            return self.unused() > 0

    def unused(self) -> int:
        """Return how many pages are not used."""
        with translated():
            return int(self._connection.execute("PRAGMA freelist_count").fetchone()[0])

    def rewrite(self) -> None:
        """Write the whole file anew, so that nothing of what was deleted is left on its pages or in the log."""
        with translated():
            self._connection.execute("VACUUM")
            is_busy, *_ = self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        if is_busy:
            raise Trouble(LOCKED)

    def close(self) -> None:
        """Write what is in the log into the file, and close it."""
        with translated():
            self._connection.close()

    def _slice(self, after: int, limit: int, condition: str, *values: Any) -> Slice:
        with translated():
            limit = self._fitting(rows.AFTER, limit, after)
            end, number = self._connection.execute(rows.END_OF_SLICE, (after, limit)).fetchone()
        if not number:
            return Slice(None, [])
        found = self._rows(rows.SLICE + condition, after, end, *values)
        return Slice(end if number == limit else None, found)

    def _rows_that_fit(self, query: str, limit: int, *values: Any, size: int = _AT_ONCE) -> list[Row]:
        with translated():
            limit = self._fitting(query, limit, *values, size=size)
        return self._rows(query, *values, limit)

    def _fitting(self, query: str, limit: int, *values: Any, size: int = _AT_ONCE) -> int:
        """Return how many of a query's rows are to be read at once, one at the least; the limit if all may be."""
        sizes = self._connection.execute(rows.sizes(query), (*values, limit)).fetchone()[0]
        for number, end in enumerate(accumulate(map(int, sizes.split(b",") if sizes else ()))):
            if end > size:
                return max(1, number)
        return limit

    def _rows(self, query: str, *values: Any) -> list[Row]:
        with translated():
            if self._has_json:
                with suppress(ValueError, sqlite3.OperationalError):  # of a damaged row, say
                    return rows.read_json(self._connection.execute(rows.as_json(query), values).fetchone()[0])
            found = self._connection.execute(query, values).fetchall()
        try:
            return [rows.read_row(row) for row in found]
        except ValueError:
            raise Corruption(CORRUPTED) from None


def _flat(values: Sequence[Sequence[Any]]) -> list[Any]:
    return list(chain.from_iterable(values))
