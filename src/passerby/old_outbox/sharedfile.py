"""The second door to SQLite: one small file that all processes of a folder write, in short transactions.

It has a rollback journal and no write-ahead log, since before 3.51.3 SQLite may lose what several connections write to
the latter (https://sqlite.org/wal.html#walresetbug).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Generator, Iterable, Sequence
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from .database import Synchronous, check_kind, translated

APPLICATION_ID = 0x70627962  # "pbyb", so that another program's database is not written to
VERSION = 1
_AT_ONCE = 500  # values in a query

_CREATE = """
CREATE TABLE notice (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL,
    subject TEXT NOT NULL,
    at REAL NOT NULL,
    poster TEXT NOT NULL
);
CREATE INDEX about ON notice (subject);
CREATE TABLE unused (
    id INTEGER PRIMARY KEY,
    issuer TEXT NOT NULL,
    browser_id TEXT NOT NULL,
    since REAL NOT NULL,
    UNIQUE (issuer, browser_id)
);
"""


class Line(NamedTuple):
    """A notice as it is in the file.

    Attributes:
        number: its place in the order in which the notices were posted.
        kind: what is to be done.
        subject: with whom or what.
        at: when it was posted, in seconds since 1970.
        poster: who posted it.
    """

    number: int
    kind: str
    subject: str
    at: float
    poster: str


class SharedFile:
    """The tables of one file. All methods raise Trouble.

    Args:
        path: an existing file; an empty one is given its tables.
        synchronous: "NORMAL" survives the death of the process, "FULL" also that of the machine.
        patience: seconds that one waits for the others at the most.
        first_number: what the first notice is numbered at the least.
    """

    def __init__(self, path: Path, synchronous: Synchronous, patience: float, first_number: int) -> None:
        with translated():
            self._connection = sqlite3.connect(
                f"{path.as_uri()}?mode=rw", uri=True, timeout=patience, isolation_level=None, check_same_thread=False
            )
            try:
                self._prepare(synchronous, first_number)
            except BaseException:
                self._connection.close()
                raise

    @property
    def connection(self) -> object:
        """The connection, for who has to keep it from being closed."""
        return self._connection

    def _prepare(self, synchronous: Synchronous, first_number: int) -> None:
        execute = self._connection.execute
        if not self._has_tables():
            with self._transaction():
                if not self._has_tables():  # nobody else was faster
                    for statement in _CREATE.split(";"):
                        execute(statement)
                    # A file made anew goes on where the last one cannot have been: who has seen that misses nothing.
                    execute("INSERT INTO sqlite_sequence VALUES ('notice', ?)", (first_number,))
                    execute(f"PRAGMA application_id = {APPLICATION_ID}")
                    execute(f"PRAGMA user_version = {VERSION}")
        check_kind(self._connection, APPLICATION_ID, VERSION)
        execute("PRAGMA journal_mode = TRUNCATE")
        execute(f"PRAGMA synchronous = {synchronous}")
        execute("PRAGMA secure_delete = ON")  # notices name visitors
        execute("PRAGMA cache_size = -256")

    def _has_tables(self) -> bool:
        return bool(self._connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0])

    def version(self) -> int:
        """Return a number that changes when another connection has written."""
        with translated():
            return int(self._connection.execute("PRAGMA data_version").fetchone()[0])

    def write(self, notices: Iterable[Sequence[Any]], unused: Iterable[Sequence[Any]]) -> None:
        """Add notices (kind, subject, at, poster) and unused IDs (issuer, ID, since): all of them, or none."""
        with translated(), self._transaction():
            self._connection.executemany("INSERT INTO notice (kind, subject, at, poster) VALUES (?, ?, ?, ?)", notices)
            self._connection.executemany(
                "INSERT OR IGNORE INTO unused (issuer, browser_id, since) VALUES (?, ?, ?)", unused
            )

    def after(self, number: int, limit: int) -> list[Line]:
        """Return the next notices after one."""
        return self._lines("WHERE number > ? ORDER BY number LIMIT ?", number, limit)

    def about(self, subjects: Collection[str], kinds: Collection[str]) -> list[Line]:
        """Return the notices with one of the subjects, and those of other kinds than these, in their order."""
        found = self._lines(f"WHERE kind NOT IN ({_marks(kinds)})", *kinds)
        rest = iter(dict.fromkeys(subjects))
        while part := list(islice(rest, _AT_ONCE)):
            found += self._lines(f"WHERE subject IN ({_marks(part)}) AND kind IN ({_marks(kinds)})", *part, *kinds)
        return sorted(found)

    def last_number(self) -> int:
        """Return the number of the last notice there ever was."""
        with translated():
            row = self._connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'notice'").fetchone()
            return int(row[0]) if row else 0

    def forget(self, until: int, before: float) -> None:
        """Delete the notices up to a number, and those posted before a time."""
        condition, values = "number <= ? OR at < ?", (until, before)
        with translated():
            if self._connection.execute(f"SELECT 1 FROM notice WHERE {condition}", values).fetchone():  # noqa: S608
                self._connection.execute(f"DELETE FROM notice WHERE {condition}", values)  # noqa: S608

    def withdraw(self, subject: str) -> None:
        """Delete the notices with a subject."""
        with translated():
            self._connection.execute("DELETE FROM notice WHERE subject = ?", (subject,))

    def claim(self, issuer: str, number: int) -> list[str]:
        """Take out the oldest unused IDs of an issuer."""
        oldest = "FROM unused WHERE issuer = ? ORDER BY id LIMIT ?"
        with translated():
            if not self._connection.execute(f"SELECT 1 {oldest}", (issuer, 1)).fetchone():
                return []
            with self._transaction():
                found = self._connection.execute(f"SELECT id, browser_id {oldest}", (issuer, number)).fetchall()
                self._connection.executemany("DELETE FROM unused WHERE id = ?", [row[:1] for row in found])
            return [str(browser_id) for _, browser_id in found]

    def close(self) -> None:
        """Close the file."""
        with translated():
            self._connection.close()

    def _lines(self, condition: str, *values: Any) -> list[Line]:
        with translated():
            query = f"SELECT number, kind, subject, at, poster FROM notice {condition}"  # noqa: S608
            return [Line(*row) for row in self._connection.execute(query, values)]

    @contextmanager
    def _transaction(self) -> Generator[None]:
        """Do all of it or nothing. It is to be written from the start: one who first reads would not be waited for."""
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._connection.execute("COMMIT")
        except BaseException:
            with suppress(sqlite3.Error):  # some errors end the transaction by themselves
                self._connection.execute("ROLLBACK")
            raise


def _marks(values: Collection[str]) -> str:
    return ", ".join("?" * len(values))
