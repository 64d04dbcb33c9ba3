"""Requests and their results as database rows."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from .api_request import MESSAGE_SYSTEMS, MessageSystem, System
from .collected_request import CollectedRequest
from .json_object import JSONObject
from .parsed_event import id_of
from .stream_api import guest_id_of

REPEAT = """
INSERT INTO repeats VALUES (?, ?) ON CONFLICT (system) DO UPDATE SET number = number + excluded.number
"""
COLUMNS = """
number, time, method, path, headers, body, route, status, accepted, refusal, answer_headers, answer_body
"""


@dataclass(frozen=True, slots=True)
class RequestRecord:
    """A received request and its results."""

    received: CollectedRequest
    event: str | None  # JSON text
    browser_id: str | None
    system: MessageSystem | None = None
    messages: tuple[JSONObject, ...] = ()
    positions: tuple[int, ...] = ()  # of the messages in the request; empty: from 0 on
    repeated: int = 0  # how many messages were skipped as repeated

    def messages_with_positions(self) -> Iterator[tuple[int, JSONObject]]:
        """Yield the messages with their positions."""
        yield from zip(self.positions or range(len(self.messages)), self.messages, strict=True)


def insert(connection: sqlite3.Connection, kept: Sequence[RequestRecord]) -> Counter[System]:
    """Write records, all or none. Returns how many messages were repeated."""
    if not kept:
        return Counter()
    with connection:
        connection.executemany(f"INSERT INTO requests VALUES ({','.join('?' * 12)})", map(_row, kept))  # noqa: S608
        connection.executemany(
            "INSERT INTO events VALUES (?, ?)",
            [(each.received.number, each.event) for each in kept if each.event is not None],
        )
        connection.executemany(
            "INSERT INTO messages VALUES (?, ?, ?, ?)",
            [
                (each.received.number, position, each.system, json.dumps(message))
                for each in kept
                for position, message in each.messages_with_positions()
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
        return _insert_ids(connection, kept)


def _insert_ids(connection: sqlite3.Connection, kept: Sequence[RequestRecord]) -> Counter[System]:
    repeated: Counter[System] = Counter()
    for system in MESSAGE_SYSTEMS:
        own = [each for each in kept if each.system == system]
        ids = [
            (system, name, each.received.number, position)
            for each in own
            for position, message in each.messages_with_positions()
            if (name := id_of(system, message)) is not None
        ]
        new = connection.executemany("INSERT OR IGNORE INTO ids VALUES (?, ?, ?, ?)", ids).rowcount if ids else 0
        repeated[system] = len(ids) - new + sum(each.repeated for each in own)
    connection.executemany(REPEAT, [(system, number) for system, number in repeated.items() if number])
    return repeated


def _row(kept: RequestRecord) -> tuple[Any, ...]:
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
        _headers_text(tuple(it.response_headers.items())),
        it.response_body,
    )


@lru_cache(256)
def _headers_text(headers: tuple[tuple[str, str], ...]) -> str:
    return json.dumps(dict(headers))


def request_from_row(row: tuple[Any, ...]) -> CollectedRequest:
    """Make a request from a row of COLUMNS."""
    number, time, method, path, headers, body, route, status, accepted, refusal, answer_headers, answer_body = row
    return CollectedRequest(
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
