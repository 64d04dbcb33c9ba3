"""What a store remembers beside events: links, marks of erased visitors, outcomes of watched events."""

from __future__ import annotations

import hashlib
import sqlite3
from dataclasses import asdict
from typing import Any

from ...values.json import dumps, loads
from ...values.outcome import Dead, Delivered, Dropped, Outcome
from ..contract import MARK_AGE, PURGED, SUPPRESSED, WATCH_AGE, ExchangeResult, Quotas
from .state import StoreState

_OUTCOMES = {kind.__name__: kind for kind in (Delivered, Dead, Dropped)}


class NotesTransaction:
    """The part of a transaction that is about notes.

    Args:
        connection: in a transaction.
        state: what every exchange reads.
        quotas: how much is kept.
        result: gets what is to be answered.
    """

    def __init__(
        self, connection: sqlite3.Connection, state: StoreState, quotas: Quotas, result: ExchangeResult
    ) -> None:
        self._execute = connection.execute
        self._executemany = connection.executemany
        self._state = state
        self._quotas = quotas
        self._result = result

    def browser_of(self, visit: str) -> str | None:
        """Return the browser ID of a visit, if one was linked."""
        found = self._execute("SELECT browser_id FROM link WHERE kind = 'visit' AND key = ?", (visit,)).fetchone()
        return None if found is None else str(found[0])

    def digest_of(self, who: str) -> bytes:
        """Return the keyed hash of a visitor or user."""
        key = bytes.fromhex(self._state.values["key"])
        return hashlib.blake2b(who.encode("utf-8", "surrogatepass"), key=key, digest_size=16).digest()

    def mark_of(self, visitor: str, user_id: str | None, since: float) -> str | None:
        """Return why an event is to be dropped, if its visitor or user is marked."""
        if self._state.values["marks"]:
            for who in filter(None, (visitor, user_id)):
                for kind, at in self._execute("SELECT kind, at FROM mark WHERE digest = ?", (self.digest_of(who),)):
                    if kind == SUPPRESSED or at >= since:
                        return SUPPRESSED if kind == SUPPRESSED else PURGED
        return None

    def watch(self, event_id: str) -> None:
        """Note a watched event, and answer with what is known of its outcomes."""
        outcomes = self._outcomes_of(event_id) or []
        self._state.values["watched"] = until = self._state.now + WATCH_AGE
        self._execute("INSERT OR REPLACE INTO watch VALUES (?, ?, ?)", (event_id, until, dumps(outcomes).decode()))
        self._result.settled += [(event_id, name, _OUTCOMES[kind](*values)) for name, kind, *values in outcomes]

    def note(self, event_id: str, name: str, outcome: Outcome) -> None:
        """Keep the outcome of an event if it is watched."""
        if self._state.values["watched"] < self._state.now:
            return
        outcomes = self._outcomes_of(event_id)
        if outcomes is not None:
            outcomes.append([name, type(outcome).__name__, *asdict(outcome).values()])
            self._execute("UPDATE watch SET outcomes = ? WHERE event_id = ?", (dumps(outcomes).decode(), event_id))

    def _outcomes_of(self, event_id: str) -> list[list[Any]] | None:
        found = self._execute("SELECT outcomes FROM watch WHERE event_id = ?", (event_id,)).fetchone()
        return loads(found[0]) if found else None

    def forget_old_notes(self) -> None:
        """Forget what is too old."""
        self._execute("DELETE FROM watch WHERE until < ?", (self._state.now,))
        self._execute("DELETE FROM mark WHERE kind = 'erased' AND at < ?", (self._state.now - MARK_AGE,))
