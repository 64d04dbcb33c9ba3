"""The database file: its tables, its connection, and SQLite's errors in our words."""

from __future__ import annotations

import ctypes
import os
import sqlite3
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from ..contract import StorageError
from .directory import StoreDirectory, refusals

APPLICATION_ID = 0x70627973  # "pbys"
SCHEMA_VERSION = 1
MIN_READER = 1  # the oldest schema version that can use a file of this one
DISK_FULL = "disk full"
PAGE_SIZE = 2048  # bytes; a commit writes some five pages, whatever their size
_MOST_UNUSED = 2_000  # pages that stay for what comes

# state: what every exchange reads and writes, on one page. An entry's `seq` is its event's ID * 64 and its place among
# the destinations; `place` orders a partition, with room between for the events of a linked visit. Only heads are in
# the index that claims read. `names` and the two checks are for salvage: they say whether a row is as it was written.
TABLES = """
CREATE TABLE state (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE event (id INTEGER PRIMARY KEY, event_id TEXT NOT NULL, visitor TEXT NOT NULL, user_id TEXT,
  browser_id TEXT, names TEXT NOT NULL, sum INTEGER NOT NULL, payload BLOB NOT NULL);
CREATE INDEX event_user ON event (user_id) WHERE user_id IS NOT NULL;
CREATE TABLE entry (seq INTEGER PRIMARY KEY, destination INTEGER NOT NULL, sum INTEGER NOT NULL, codec INTEGER NOT NULL,
  part INTEGER NOT NULL, state INTEGER NOT NULL, place INTEGER NOT NULL, head INTEGER NOT NULL, ready REAL NOT NULL,
  since REAL NOT NULL, share INTEGER NOT NULL, token INTEGER, attempts INTEGER NOT NULL DEFAULT 0,
  lost INTEGER NOT NULL DEFAULT 0, withdrawn INTEGER NOT NULL DEFAULT 0, reason TEXT);
CREATE INDEX entry_partition ON entry (part, state, destination, place);
CREATE INDEX entry_due ON entry (destination, codec, ready) WHERE head = 1;
CREATE INDEX entry_held ON entry (since) WHERE state = 1;
CREATE INDEX entry_dead ON entry (destination, ready) WHERE state = 2;
CREATE TABLE link (kind TEXT, key TEXT, browser_id TEXT NOT NULL, at REAL NOT NULL, PRIMARY KEY (kind, key));
CREATE INDEX link_browser ON link (browser_id);
CREATE INDEX link_age ON link (at);
CREATE TABLE mark (kind TEXT, digest BLOB, at REAL NOT NULL, PRIMARY KEY (kind, digest)) WITHOUT ROWID;
CREATE TABLE watch (event_id TEXT PRIMARY KEY, until REAL NOT NULL, outcomes TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE spare (issuer TEXT, browser_id TEXT, PRIMARY KEY (issuer, browser_id)) WITHOUT ROWID;
CREATE TABLE damaged (seq INTEGER, at REAL NOT NULL, row TEXT NOT NULL);
"""

_REASONS = {
    sqlite3.SQLITE_FULL: DISK_FULL,
    sqlite3.SQLITE_READONLY: "not writable",
    sqlite3.SQLITE_CANTOPEN: "not writable",
    sqlite3.SQLITE_PERM: "not writable",
    sqlite3.SQLITE_BUSY: "locked by another program",
    sqlite3.SQLITE_LOCKED: "locked by another program",
    sqlite3.SQLITE_NOMEM: "out of memory",
    sqlite3.SQLITE_IOERR: "input or output failed",
}


class CorruptDatabase(StorageError):
    """What is in the file is not what was written."""


def translate(error: sqlite3.Error | UnicodeDecodeError) -> StorageError:
    """Return what SQLite raised as a StorageError; a message that quotes damage may be no text."""
    code: int = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in _REASONS:
        return StorageError(_REASONS[code])
    # Besides SQLITE_CORRUPT and SQLITE_NOTADB: a damaged schema has no table or column of ours.
    return CorruptDatabase(f"database damaged ({type(error).__name__})")


@contextmanager
def translated() -> Generator[None]:
    """Raise StorageError for what SQLite and the system raise."""
    try:
        with refusals():
            yield
    except (sqlite3.Error, UnicodeDecodeError) as error:
        raise translate(error) from error


def connect(directory: StoreDirectory, *, read_only: bool = False) -> sqlite3.Connection:
    """Open the database; in a turn, unless it is only read. Raises StorageError."""
    with translated():
        log = Path(f"{directory.database}-wal")
        if not directory.database.stat().st_size and log.exists() and log.stat().st_size:
            raise CorruptDatabase("database damaged (emptied)")  # SQLite would remove the log, which has the events
        connection = sqlite3.connect(
            f"{directory.database.as_uri()}?mode=rw",
            uri=True,
            timeout=1.0,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=200,
        )
        try:
            _prepare(connection, directory, read_only=read_only)
        except BaseException as error:
            connection.close()
            code = getattr(error, "sqlite_errorcode", None)
            if code == sqlite3.SQLITE_READONLY and os.access(directory.database, os.W_OK):
                raise CorruptDatabase("database damaged (says that it is read-only)") from error
            raise
    return connection


@contextmanager
def reading(directory: StoreDirectory, patience: float) -> Generator[sqlite3.Connection]:
    """Open the database for reading, beside other processes. Raises StorageError, also for what the block raises."""
    connection = connect(directory, read_only=True)
    try:
        with translated():
            connection.execute("BEGIN")
            yield connection
    finally:
        with suppress(StorageError), directory.turn(patience):
            connection.close()  # in a turn, as the last one that is closed moves the log into the file
        connection.close()


def _decode(text: bytes) -> str:
    return text.decode(errors="replace")  # a checksum says later that it is damaged


def _prepare(connection: sqlite3.Connection, directory: StoreDirectory, *, read_only: bool) -> None:
    connection.text_factory = _decode
    execute = connection.execute
    execute("PRAGMA cache_size = -4096")
    if read_only:
        execute("PRAGMA query_only = ON")
    else:
        if not execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
            execute(f"PRAGMA page_size = {PAGE_SIZE}")
            execute("PRAGMA auto_vacuum = INCREMENTAL")
            version = f"PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {SCHEMA_VERSION};"
            values = f"('min_reader', '{MIN_READER}'), ('generation', '{directory.generation()}')"
            reader = f"INSERT INTO state VALUES {values};"  # noqa: S608 - numbers of ours
            connection.executescript(f"BEGIN IMMEDIATE; {version} {TABLES} {reader} COMMIT;")
        execute("PRAGMA journal_mode = WAL")
        execute("PRAGMA synchronous = NORMAL")  # FULL is a sync of the log after the turn
        execute("PRAGMA wal_autocheckpoint = 0")
        execute(f"PRAGMA journal_size_limit = {directory.longest_log}")
        execute("PRAGMA secure_delete = ON")
    if execute("PRAGMA application_id").fetchone()[0] != APPLICATION_ID:
        raise CorruptDatabase("another program's file")
    if execute("PRAGMA user_version").fetchone()[0] > SCHEMA_VERSION:
        found = execute("SELECT value FROM state WHERE key = 'min_reader'").fetchone()
        if found is None or int(found[0]) > SCHEMA_VERSION:
            raise StorageError("the file is of a newer version of passerby; update this process", is_final=True)
    if not read_only:
        execute("DELETE FROM state WHERE 0")  # fails if nothing can be written


def never_close(connection: Any) -> None:
    """Keep a connection from ever being closed: it is the parent's, or its file has another name by now.

    SQLite would remove the log of whatever file has the name, or release locks that are not its own.
    """
    with suppress(AttributeError):  # only CPython counts references, and closes what has none
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(connection))


def checkpoint(connection: sqlite3.Connection, mode: str = "PASSIVE") -> int:
    """Write what is in the log into the file; in a turn. Returns how many pages are left."""
    with translated():
        _, pages, written = connection.execute(f"PRAGMA wal_checkpoint({mode})").fetchone()
        return int(pages - written)


def empty_log(connection: sqlite3.Connection) -> bool:
    """Write the log into the file and truncate it; in a turn. Returns False, at once, if a reader prevents it."""
    with translated():
        connection.execute("PRAGMA busy_timeout = 0")
        try:
            return not connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
        finally:
            connection.execute("PRAGMA busy_timeout = 1000")


def give_back_space(connection: sqlite3.Connection) -> None:
    """Give some of the pages that are not used any more back to the disk; in a turn."""
    with translated():
        if connection.execute("PRAGMA freelist_count").fetchone()[0] > _MOST_UNUSED:
            # One step gives back one page, and `execute` takes but one step of what has no columns.
            connection.executescript("PRAGMA incremental_vacuum(500)")
