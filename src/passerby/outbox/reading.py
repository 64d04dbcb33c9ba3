"""What `read` shows of a store."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from .counts import EntryState


@dataclass(frozen=True, slots=True)
class StoreQuery:
    """Which entries to read.

    Attributes:
        states: their states.
        destination: only of this destination.
        event_id: only of this event.
        after: the `next` of the page before.
        limit: how many at most.
    """

    states: Sequence[EntryState] = ("waiting", "held", "dead")
    destination: str | None = None
    event_id: str | None = None
    after: int = 0
    limit: int = 100


class StoredEntry(NamedTuple):
    """One event at one destination as the store has it; `due` is in seconds from now."""

    destination: str
    state: EntryState
    event_id: str
    visitor: str
    payload: bytes
    attempts: int
    reason: str | None
    age: float
    due: float


@dataclass(frozen=True, slots=True)
class StorePage:
    """Some entries, in the order in which they were recorded; `next` continues, None at the end."""

    entries: Sequence[StoredEntry]
    next: int | None
