"""A process as its store sees it: a writer that sends batches. It uses public names only."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable, Sequence
from typing import Any

from passerby.events.event import Event
from passerby.outbox.codec import KNOWN, encode
from passerby.outbox.contract import (
    BrowserLink,
    ClaimedEvent,
    ClaimRequest,
    CommandKind,
    EventStore,
    ExchangeBatch,
    ExchangeResult,
    RecordedEvent,
    Settlement,
    SettlementKind,
    StoreCommand,
    StoreRequest,
)
from passerby.outbox.counts import DestinationCounts
from passerby.outbox.reading import StoreQuery

_numbers = itertools.count(1)


def is_long() -> bool:
    """Whether there is time for many more rounds."""
    return os.environ.get("LONG_TESTS") == "1"


LEASE = 30.0


class Clock:
    """A store's clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


def event_of(
    visitor: str, *, user_id: str | None = None, is_linked: bool = True, id: str | None = None, size: int = 0
) -> Event:
    browser_id = visitor if is_linked else None
    data = {"note": "x" * size} if size else {}
    return Event(id or f"event {next(_numbers)}", "event", "ADD", 1.75e9, browser_id, visitor, user_id, data, {})


class Process:
    """Sends batches to a store, and counts them."""

    def __init__(self, store: EventStore, name: str | None = None) -> None:
        self.store = store
        self.name = name or f"{next(_numbers):032x}"
        self.number = 0
        self.last = ExchangeResult(0)

    def send(self, *, at: float = 0.0, number: int | None = None, **parts: Any) -> ExchangeResult:
        if number is None:
            self.number += 1
            number = self.number
        self.last = self.store.exchange(ExchangeBatch(self.name, number, at, **parts))
        return self.last

    def record(self, *events: Event, to: Sequence[str] = ("a",), held: bool = False) -> ExchangeResult:
        return self.send(recorded=[recorded_of(event, to, held=held) for event in events])

    def put(self, visitor: str, *to: str, **options: Any) -> str:
        """Record one event; return its ID."""
        event = event_of(visitor, **options)
        self.record(event, to=to or ("a",))
        return event.id

    def hold(self, visitor: str, *to: str, **options: Any) -> str:
        event = event_of(visitor, **options)
        self.record(event, to=to or ("a",), held=True)
        return event.id

    def claim(self, destination: str = "a", limit: int = 1000, **options: Any) -> list[ClaimedEvent]:
        request = ClaimRequest(destination, limit, options.pop("lease", LEASE), KNOWN)._replace(**options)
        return self.send(wanted=[request]).claimed

    def settle(self, claims: Iterable[ClaimedEvent], kind: SettlementKind, **options: Any) -> ExchangeResult:
        return self.send(outcomes=[Settlement(claim, kind, **options) for claim in claims])

    def deliver_all(self, destination: str = "a") -> list[str]:
        """Deliver all that is due; return the IDs in their order."""
        ids: list[str] = []
        while claims := self.claim(destination):
            ids += [claim.event_id for claim in claims]
            self.settle(claims, "delivered")
        return ids

    def ask(self, request: StoreRequest) -> Any:
        return self.send(requests=[request]).answers[0]

    def command(self, kind: CommandKind, who: str = "", **options: Any) -> int:
        return int(self.ask(StoreCommand(kind, who, **options)))

    def link(self, visit: str, browser_id: str) -> str | None:
        answer: str | None = self.ask(BrowserLink("visit", visit, browser_id))
        return answer

    def counts(self, destination: str = "a") -> DestinationCounts:
        counts = self.send(counts=True).counts.get(destination, DestinationCounts())
        assert counts.is_balanced, counts
        return counts


def recorded_of(event: Event, to: Sequence[str] = ("a",), *, held: bool = False, at: float = 0.0) -> RecordedEvent:
    is_linked = event.browser_id is not None
    return RecordedEvent(event.id, event.visitor, to, encode(event), at, event.user_id, held, is_linked)


def ids(claims: Iterable[ClaimedEvent]) -> list[str]:
    return [claim.event_id for claim in claims]


def dead_ids(store: EventStore, destination: str = "a") -> list[str]:
    return [entry.event_id for entry in store.read(StoreQuery(("dead",), destination)).entries]
