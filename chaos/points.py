"""Named points at which a victim dies, found from outside: by the SQL that is executed and by the calls that are made.

The library has no hooks for this. The victim, in its own process only, gives SQLite another kind of connection and
wraps the connection's `perform`.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import threading
from collections.abc import Callable
from typing import Any

from passerby.delivery.transport import Connection
from passerby.destinations import DestinationResponse, OutgoingRequest

# By SQL: what a statement holds, and whether death comes before or after it. All of it is part of a transaction.
_STATEMENTS: dict[str, tuple[str, bool]] = {
    "before insert": ("INSERT INTO entry", False),
    "after insert": ("INSERT INTO entry", True),
    "before commit": ("COMMIT", False),
    "after commit": ("COMMIT", True),
    "before claim": ("SET token = ?", False),
    "after claim": ("SET token = ?", True),
    "before retry": ("SET token = NULL, lost", False),
    "after retry": ("SET token = NULL, lost", True),
    "before settling": ("DELETE FROM entry", False),
    "after settling": ("DELETE FROM entry", True),
}
UNDER_WAY = 0.05  # seconds after which a call has left; its answer has to take longer
_CALLS = ("before send", "while the answer is awaited", "after the answer")

POINTS: tuple[str, ...] = (*_STATEMENTS, *_CALLS)

# Where the destination may have an event that the file still has.
MAY_DUPLICATE = frozenset({"before settling", "after settling", "while the answer is awaited", "after the answer"})


class _Countdown:
    """Dies when it was called a number of times."""

    def __init__(self, number: int) -> None:
        self._left = number

    def __call__(self) -> None:
        self._left -= 1
        if self._left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
            threading.Event().wait()  # the other threads must not get on meanwhile


def die_at(point: str, number: int) -> None:
    """Have this process killed when it comes to a point for the n-th time."""
    word, is_after = _STATEMENTS.get(point, ("", False))
    _watch_statements(word, is_after, _Countdown(number))
    if point in _CALLS:
        _watch_calls(point, _Countdown(number))


def stop_before_commit(number: int) -> None:
    """Have this process stopped, in its turn, before the n-th commit."""
    left = iter(range(number - 1, -1, -1))

    def come_closer() -> None:
        if next(left, -1) == 0:
            os.kill(os.getpid(), signal.SIGSTOP)

    _watch_statements("COMMIT", False, come_closer)


def die_of(event_id: str) -> None:
    """Have this process killed when it is to send an event."""
    perform = Connection.perform

    async def perform_watched(connection: Connection, call: OutgoingRequest, timeout: float) -> DestinationResponse:
        if event_id.encode() in (call.body or b""):
            os.kill(os.getpid(), signal.SIGKILL)
        return await perform(connection, call, timeout)

    Connection.perform = perform_watched  # type: ignore[method-assign, assignment]


def _watch_statements(word: str, is_after: bool, come_closer: Callable[[], None]) -> None:
    class Connection(sqlite3.Connection):
        def execute(self, sql: str, *values: Any) -> sqlite3.Cursor:
            return self._watch(super().execute, sql, *values)

        def executemany(self, sql: str, *values: Any) -> sqlite3.Cursor:
            return self._watch(super().executemany, sql, *values)

        def _watch(self, run: Callable[..., sqlite3.Cursor], sql: str, *values: Any) -> sqlite3.Cursor:
            is_there = bool(word) and word in sql
            if is_there and not is_after:
                come_closer()
            cursor = run(sql, *values)
            if is_there and is_after:
                come_closer()
            return cursor

    connect = sqlite3.connect

    def connect_watched(*arguments: Any, **options: Any) -> sqlite3.Connection:
        return connect(*arguments, **options, factory=Connection)

    sqlite3.connect = connect_watched  # type: ignore[assignment]


def _watch_calls(point: str, come_closer: _Countdown) -> None:
    perform = Connection.perform

    async def perform_watched(connection: Connection, call: OutgoingRequest, timeout: float) -> DestinationResponse:
        if point == "before send":
            come_closer()
        if point == "while the answer is awaited":
            asyncio.get_running_loop().call_later(UNDER_WAY, come_closer)
        answer = await perform(connection, call, timeout)
        if point == "after the answer":
            come_closer()
        return answer

    Connection.perform = perform_watched  # type: ignore[method-assign, assignment]
