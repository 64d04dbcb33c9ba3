"""Events to put into an outbox, and someone who wants to know what becomes of them."""

from __future__ import annotations

import itertools
from collections.abc import Callable

from passerby.event import Event
from passerby.outbox import Outbox
from passerby.outcome import Outcome

MakeOutbox = Callable[..., Outbox]

_numbers = itertools.count(1)


class Listener:
    """An observer that keeps what it hears, in order."""

    def __init__(self) -> None:
        self.heard: list[object] = []

    def on_stored(self) -> None:
        self.heard.append("stored")

    def on_settled(self, destination: str, outcome: Outcome) -> None:
        self.heard.append((destination, outcome))


def event_of(visitor: str, *, browser_id: str | None = "a browser ID", id: str | None = None) -> Event:
    return Event(
        id=id or f"event {next(_numbers)}",
        kind="event",
        type="ADD",
        time=1_750_000_000.0,
        browser_id=browser_id,
        visitor=visitor,
        user_id=None,
        data={},
        extension={},
    )


def put(outbox: Outbox, visitor: str, *destinations: str, now: float = 0.0) -> str:
    """Put one event; return its ID."""
    event = event_of(visitor)
    outbox.put(event, destinations or ("a",), Listener(), now)
    return event.id


def hold(outbox: Outbox, visitor: str, *destinations: str) -> str:
    """Hold one event; return its ID."""
    event = event_of(visitor)
    outbox.hold(event, destinations or ("a",), Listener(), 0.0)
    return event.id


def acquired_ids(outbox: Outbox, destination: str = "a", limit: int = 1000, now: float = 0.0) -> list[str]:
    return [entry.event.id for entry in outbox.acquire(destination, limit, now)]


def delivered_ids(outbox: Outbox, destination: str = "a", now: float = 0.0) -> list[str]:
    """Deliver all that can be delivered; return the IDs in their order."""
    ids: list[str] = []
    while entries := outbox.acquire(destination, 1000, now):
        for entry in entries:
            ids.append(entry.event.id)
            outbox.settle_delivered(entry, None)
    return ids


def is_balanced(outbox: Outbox, destination: str = "a") -> bool:
    tally = outbox.tally(destination)
    return tally.enqueued == tally.delivered + tally.waiting + tally.held + tally.dead + sum(tally.dropped.values())
