"""What surrounds the outbox of a process in tests: a store that fails, who delivers, and who observes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

from passerby.events.event import Event
from passerby.outbox.contract import ClaimedEvent, EventStore, ExchangeBatch, ExchangeResult, StorageError
from passerby.outbox.inflight import DeliveryWish
from passerby.outbox.memory import MemoryStore
from passerby.outbox.outbox import Outbox
from passerby.outbox.reading import StorePage, StoreQuery
from passerby.values.outcome import Outcome

from .process import event_of

MakeOutbox = Callable[..., Outbox]


class Listener:
    """Keeps what it hears, in order."""

    def __init__(self) -> None:
        self.heard: list[object] = []

    def on_stored(self) -> None:
        self.heard.append("stored")

    def on_settled(self, destination: str, outcome: Outcome) -> None:
        self.heard.append((destination, outcome))


class FaultyStore:
    """A store that can be made to fail, to lose its reply, or to take its time."""

    is_durable = True

    def __init__(self, store: EventStore | None = None) -> None:
        self.inner: EventStore = store or MemoryStore()
        self.fails: StorageError | None = None
        self.loses_reply = self.is_entered = False
        self.gate = threading.Event()
        self.gate.set()
        self.batches: list[ExchangeBatch] = []

    def exchange(self, batch: ExchangeBatch) -> ExchangeResult:
        self.is_entered = True
        assert self.gate.wait(60)
        self.batches.append(batch)
        if self.fails is not None and not (self.fails.reason == "disk full" and not batch.recorded):
            raise self.fails
        result = self.inner.exchange(batch)
        if self.loses_reply and batch.number:
            self.loses_reply = False
            raise StorageError("reply lost")
        return result

    def read(self, query: StoreQuery) -> StorePage:
        return self.inner.read(query)

    def listen(self, on_stored: Callable[[], None]) -> float:
        return self.inner.listen(on_stored)

    def close(self) -> None:
        self.inner.close()

    def reset_after_fork(self) -> None:
        self.inner.reset_after_fork()


class Deliverer:
    """Takes what the outbox claims, and settles it at once or when asked."""

    def __init__(self, outbox: Outbox, *destinations: str, settles: bool = True, **wish: Any) -> None:
        self.outbox = outbox
        self.settles = settles
        self.claims: list[ClaimedEvent] = []
        wishes = dict.fromkeys(destinations or ("a",), DeliveryWish(**{"limit": 10, **wish}))
        outbox.deliver(wishes, self.take)

    def take(self, claims: Sequence[ClaimedEvent]) -> None:
        self.claims += claims
        if self.settles:
            for claim in claims:
                self.outbox.settle(claim, "delivered", response={"ref": claim.event_id})

    @property
    def ids(self) -> list[str]:
        return [claim.event_id for claim in self.claims]


def record(outbox: Outbox, visitor: str = "ada", *to: str, **options: Any) -> tuple[Event, Listener, int]:
    event, listener = event_of(visitor), Listener()
    ticket = outbox.record(event, to or ("a",), listener, **options)
    return event, listener, ticket
