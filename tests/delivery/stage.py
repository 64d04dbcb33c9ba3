"""Everything around a sender: an outbox in memory, a scripted service, and a clock that is moved."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from passerby.delivery.sender import RetryPlan, Sender
from passerby.destinations import Destination, DestinationResponse, OutgoingRequest, Rejected, Retry
from passerby.destinations.responses import classify_status
from passerby.events.event import Event
from passerby.outbox.contract import ClaimedEvent, EventStore, Quotas
from passerby.outbox.counts import DestinationCounts
from passerby.outbox.memory import MemoryStore
from passerby.outbox.outbox import Outbox
from passerby.outbox.reading import StoredEntry, StoreQuery
from passerby.values.outcome import Delivered
from tests.making import PATIENCE
from tests.outbox.process import event_of
from tests.outbox.surroundings import Listener

from .doubles import Plain

MakeStage = Callable[..., "Stage"]

OK = DestinationResponse(200, {}, b"")


class Echo(Plain):
    """A destination whose requests are one event's visitor, ID and browser ID."""

    def __init__(self) -> None:
        super().__init__("a", "http://localhost")

    def encode(self, events: Sequence[Event]) -> OutgoingRequest:
        (event,) = events
        if event.type == "UNREADABLE":
            raise KeyError("secret value")
        return OutgoingRequest(
            "POST", "http://localhost/", {}, f"{event.visitor} {event.id} {event.browser_id}".encode()
        )

    def classify(self, response: DestinationResponse) -> Delivered | Retry | Rejected:
        return classify_status(response, now=0.0) or Delivered(None)


class Performer:
    """A connection that answers what `answer` says, once the gate is open."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.is_busy = self.is_closed = False

    async def perform(self, call: OutgoingRequest, timeout: float) -> DestinationResponse:
        assert not self.is_busy
        assert not self.is_closed
        self.is_busy = True
        body = (call.body or b"").decode()
        self.stage.calls.append(body)
        self.stage.at_once = max(self.stage.at_once, sum(connection.is_busy for connection in self.stage.connections))
        try:
            await asyncio.sleep(0)
            await self.stage.gate.wait()
            answer = self.stage.answer(body)
        finally:
            self.is_busy = False
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def aclose(self) -> None:
        self.is_closed = True


class Stage:
    """A sender and what surrounds it. It claims only in `settle`, after `begin` and in `claim`."""

    def __init__(
        self,
        destination: Destination | None = None,
        store: Callable[[EventStore], EventStore] | None = None,
        **plan: Any,
    ) -> None:
        self.now = 1000.0
        self.calls: list[str] = []
        self.connections: list[Performer] = []
        self.at_once = 0
        self.gate = asyncio.Event()
        self.gate.set()
        self.answer: Callable[[str], DestinationResponse | Exception] = lambda call: OK
        self.browser_ids: Callable[[str], str | Exception] = lambda visitor: f"for {visitor}"
        self.connection_error: Exception | None = None
        memory = MemoryStore(Quotas(), lambda: self.now)
        self.outbox = Outbox(store(memory) if store is not None else memory, clock=lambda: self.now)
        settings: dict[str, Any] = {"base": 8.0, "cap": 100.0, "age": 1000.0, "concurrency": 3, "timeout": 10.0}
        settings["jitter"] = lambda: 0.5
        self.sender = Sender(
            destination or Echo(),
            self.outbox,
            RetryPlan(**settings | plan),
            self.make_connection,
            self.find_browser_id,
        )
        self._loop = asyncio.get_running_loop()
        self._listeners: list[Listener] = []  # the outbox's references are weak

    def make_connection(self) -> Performer:
        if self.connection_error is not None:
            raise self.connection_error
        self.connections.append(Performer(self))
        return self.connections[-1]

    async def find_browser_id(self, visitor: str) -> str:
        found = self.browser_ids(visitor)
        if isinstance(found, Exception):
            raise found
        return found

    def record(self, visitor: str, id: str, **fields: Any) -> Listener:
        """Record an event."""
        listener = Listener()
        self._listeners.append(listener)
        self.outbox.record(event_of(visitor, id=id)._replace(**fields), ("a",), listener)
        return listener

    def begin(self) -> None:
        """Have the sender get what is claimed from now on."""
        self.outbox.deliver({"a": self.sender.wish}, self._hand_over)

    def _hand_over(self, claims: Sequence[ClaimedEvent]) -> None:
        with suppress(RuntimeError):  # the test is over
            self._loop.call_soon_threadsafe(self.sender.add, claims)

    def claim(self) -> list[ClaimedEvent]:
        """Claim what the sender could have now, without giving it to the sender."""
        claimed: list[ClaimedEvent] = []
        self.outbox.deliver({"a": self.sender.wish}, claimed.extend)
        self.count()
        self.outbox.stop_claiming()
        return claimed

    def count(self) -> DestinationCounts:
        """Exchange with the store what has gathered; return the counts."""
        counts = self.outbox.counts(PATIENCE)["a"]
        assert counts.is_balanced, counts
        return counts

    async def until(self, holds: Callable[[], object]) -> None:
        """Let the loop run until something holds."""
        async with asyncio.timeout(PATIENCE):
            while not holds():  # noqa: ASYNC110 - it is what others do in this loop
                await asyncio.sleep(0)

    async def settle(self) -> float | None:
        """Deliver until nothing is due any more; return when the next event is."""
        self.begin()
        while True:
            await self.until(lambda: not self.outbox.claims)
            counts = self.count()
            if not self.outbox.claims:
                break
        self.outbox.stop_claiming()
        return None if counts.next_due is None else self.now + counts.next_due

    async def send(self, claims: Sequence[ClaimedEvent]) -> None:
        """Have the sender send claimed events, and wait until it has done with them."""
        self.sender.add(claims)
        await self.until(lambda: not set(claims).intersection(self.outbox.claims))

    def entries(self, state: Any = "waiting") -> Sequence[StoredEntry]:
        """What the store keeps, once it knows all outcomes."""
        self.count()
        return self.outbox.read(StoreQuery((state,))).entries

    async def aclose(self) -> None:
        self.outbox.stop_claiming()
        await self.sender.aclose()
        assert all(connection.is_closed for connection in self.connections)
        self.outbox.close(PATIENCE)
