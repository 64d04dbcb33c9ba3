"""A request and what came of it as rows of the database, and a request made of its row again."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from .ask import System
from .json_object import JSONObject
from .received import Received
from .stream_api import guest_id_of
from .telling import id_of

COLUMNS = """
number, time, method, path, headers, body, route, status, accepted, refusal, answer_headers, answer_body
"""


@dataclass(frozen=True, slots=True)
class Kept:
    """One request with what came of it."""

    received: Received
    event: str | None  # JSON text
    browser_id: str | None
    system: System | None = None
    messages: tuple[JSONObject, ...] = ()
    positions: tuple[int, ...] = ()  # of the messages in the request; none: from 0 on


def insert(connection: sqlite3.Connection, kept: list[Kept]) -> None:
    """Write requests and what came of them, all or none."""
    if not kept:
        return
    with connection:
        connection.executemany(f"INSERT INTO requests VALUES ({','.join('?' * 12)})", map(_row, kept))  # noqa: S608
        connection.executemany(
            "INSERT INTO events VALUES (?, ?)",
            [(each.received.number, each.event) for each in kept if each.event is not None],
        )
        connection.executemany(
            "INSERT INTO messages VALUES (?, ?, ?, ?, ?)",
            [
                (each.received.number, position, each.system, json.dumps(message), id_of(each.system, message))
                for each in kept
                if each.system is not None
                for position, message in zip(each.positions or range(len(each.messages)), each.messages, strict=True)
            ],
        )
        connection.executemany(
            "INSERT OR IGNORE INTO browser_ids VALUES (?, ?, ?)",
            [
                (each.browser_id, guest_id_of(each.browser_id), each.received.number)
                for each in kept
                if each.browser_id is not None
            ],
        )


def _row(kept: Kept) -> tuple[Any, ...]:
    it = kept.received
    return (
        it.number,
        it.time,
        it.method,
        it.path,
        json.dumps(it.headers),
        it.body,
        it.route,
        it.status,
        it.accepted,
        it.refusal,
        _headers_text(tuple(it.answer_headers.items())),
        it.answer_body,
    )


@lru_cache(256)
def _headers_text(headers: tuple[tuple[str, str], ...]) -> str:
    return json.dumps(dict(headers))


def received_of(row: tuple[Any, ...]) -> Received:
    """Make the request that a row of COLUMNS holds."""
    number, time, method, path, headers, body, route, status, accepted, refusal, answer_headers, answer_body = row
    return Received(
        number,
        time,
        method,
        path,
        json.loads(headers),
        body,
        route,
        status,
        bool(accepted),
        refusal,
        json.loads(answer_headers),
        answer_body,
    )
