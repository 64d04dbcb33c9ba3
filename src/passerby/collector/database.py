"""The collector's database file: its schema, its migration, and the check that it is the collector's."""

from __future__ import annotations

import json
import os
import secrets
import sqlite3
from pathlib import Path

from .api_request import MessageSystem
from .errors import CollectorError
from .parsed_event import id_of

VERSION = 2
APPLICATION_ID = 0x70617373  # "pass"; protects databases of other programs
TABLES = """
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
    refusal TEXT,
    answer_headers TEXT NOT NULL DEFAULT '{}',
    answer_body BLOB NOT NULL DEFAULT x''
);
CREATE TABLE IF NOT EXISTS events (number INTEGER PRIMARY KEY, event TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS messages (
    number INTEGER NOT NULL,
    position INTEGER NOT NULL,
    system TEXT NOT NULL,
    message TEXT NOT NULL,
    PRIMARY KEY (number, position)
);
CREATE TABLE IF NOT EXISTS ids (
    system TEXT NOT NULL,
    id TEXT NOT NULL,
    number INTEGER NOT NULL,
    position INTEGER NOT NULL,
    PRIMARY KEY (system, id)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS repeats (system TEXT PRIMARY KEY, number INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS browser_ids (
    browser_id TEXT PRIMARY KEY,
    guest_id TEXT NOT NULL,
    number INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS state (clears INTEGER NOT NULL, last_number INTEGER NOT NULL);
"""
# Version 1 had no responses and no positions of message IDs.
ADDED_IN_2 = (
    "ALTER TABLE requests ADD COLUMN answer_headers TEXT NOT NULL DEFAULT '{}'",
    "ALTER TABLE requests ADD COLUMN answer_body BLOB NOT NULL DEFAULT x''",
    """
    INSERT OR IGNORE INTO ids
    SELECT system, id_of(system, message) AS id, number, position FROM messages
    WHERE id IS NOT NULL ORDER BY number, position
    """,
    """
    INSERT INTO repeats
    SELECT system, count(id_of(system, message)) - (SELECT count(*) FROM ids WHERE ids.system = messages.system)
    FROM messages GROUP BY system
    """,
)


class StoreError(CollectorError, OSError):
    """The database cannot be used."""


def open_database(path: str | os.PathLike[str] | None) -> sqlite3.Connection:
    """Open or make a database file; None: in memory. Raises StoreError."""
    if path is None or str(path) == ":memory:":
        return _prepare(_connect(":memory:"))
    path = Path(path)
    _create_private(path)
    connection = _connect(path)
    try:
        _prepare(connection)
        path.chmod(0o600)  # only after the check that it is ours
    except (sqlite3.Error, OSError) as exc:
        connection.close()
        raise StoreError(f"{path} is not a database of the collector, or is in use: {exc}") from exc
    return connection


def _connect(path: str | Path) -> sqlite3.Connection:
    return sqlite3.connect(path, check_same_thread=False)


def _create_private(path: Path) -> None:
    # SQLite gives its side files the permissions of the main one.
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    except OSError as exc:
        raise StoreError(f"{path} cannot be opened: {exc.strerror}") from exc


def _prepare(connection: sqlite3.Connection) -> sqlite3.Connection:
    (application_id,) = connection.execute("PRAGMA application_id").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if tables and application_id != APPLICATION_ID:
        raise sqlite3.DatabaseError("it belongs to another program")
    if version > VERSION:
        raise sqlite3.DatabaseError(f"a newer passerby made it (version {version}; this one knows up to {VERSION})")
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute("PRAGMA journal_mode = WAL")
    # Durability is not needed for test data.
    connection.execute("PRAGMA synchronous = OFF")
    connection.executescript(TABLES)
    if tables and version < VERSION:  # version 1 had not written its number
        _bring_up_to_date(connection)
    connection.execute(f"PRAGMA user_version = {VERSION}")
    _begin_state(connection)
    return connection


def _bring_up_to_date(connection: sqlite3.Connection) -> None:
    connection.create_function("id_of", 2, _id_in_text, deterministic=True)
    connection.execute("BEGIN IMMEDIATE")
    with connection:  # all of it or nothing
        for change in ADDED_IN_2:
            connection.execute(change)
        connection.execute(f"PRAGMA user_version = {VERSION}")


def _begin_state(connection: sqlite3.Connection) -> None:
    with connection:
        if connection.execute("SELECT count(*) FROM state").fetchone()[0] == 0:
            # Open pages must notice that this is another store, so the count starts at a random number.
            connection.execute("INSERT INTO state VALUES (?, 0)", (secrets.randbelow(2**31),))


def _id_in_text(system: MessageSystem, message: str) -> str | None:
    return id_of(system, json.loads(message))
