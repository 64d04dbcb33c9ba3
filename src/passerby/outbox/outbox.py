"""The outbox of a process: calls return in microseconds, and one thread at a time exchanges batches with the store.

A call appends to a buffer. The outbox's thread, or a caller that waits until its own event is stored, takes all that
has gathered through one exchange and completes the futures. While the store is in trouble, events gather in the buffer,
which is bounded in bytes, and no call waits.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from logging import Logger
from typing import Any

from ..errors import ValidationError
from ..events.event import Event
from ..logs import get_logger
from ..values.outcome import Dropped
from .buffer import RecordBuffer
from .codec import encode
from .contract import (
    FULL,
    ClaimedEvent,
    EventStore,
    RecordedEvent,
    ServiceReport,
    Settlement,
    SettlementKind,
    StoreRequest,
    WhenStoreFull,
)
from .counts import DestinationCounts
from .exchanger import SLOW, StoreExchanger
from .forks import listen_to_forks
from .inflight import DeliveryWish, InFlight
from .observers import WATCH_EVERY, ObserverRegistry, StoreObserver
from .thread import ExchangeThread

log: Logger = get_logger("passerby.outbox")

BUFFER_BYTES = 16 << 20
LEASE = 30.0  # seconds
_GROUP = 64  # events


class Outbox:
    """Stands in front of a store, one for each process and store.

    Args:
        store: the store.
        when_full: "raise" has `record` raise ValidationError while the store is full, going by the last exchange.
        buffer_bytes: how much waits for the store at most.
        lease: seconds of a claim.
        clock: a monotonic clock, in seconds.
    """

    def __init__(
        self,
        store: EventStore,
        when_full: WhenStoreFull = "drop_newest",
        buffer_bytes: int = BUFFER_BYTES,
        lease: float = LEASE,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._when_full: WhenStoreFull = when_full
        self._buffer_bytes = buffer_bytes
        self._lease = lease
        self._clock = clock
        self._wishes: Mapping[str, DeliveryWish] = {}
        self._on_claimed: Callable[[Sequence[ClaimedEvent]], None] | None = None
        self._reset()
        listen_to_forks(self)

    def _reset(self) -> None:
        self._pid = os.getpid()
        self._lead = threading.Lock()
        self._buffer = RecordBuffer(self._buffer_bytes)
        self._in_flight = InFlight(self._lease)
        self._observers = ObserverRegistry()
        self._exchanger = StoreExchanger(self._store, self._buffer, self._in_flight, self._observers, self._clock)
        self._thread = ExchangeThread(self._exchanger, self._in_flight, self._observers, self._lead, self._clock)
        self._is_held_for_fork = False

    # For the app's threads.

    def record(
        self,
        event: Event,
        destinations: Sequence[str],
        observer: StoreObserver | None = None,
        *,
        held: bool = False,
        is_awaited: bool = False,
    ) -> int:
        """Accept an event. Returns its ticket, for `when_stored`, or 0 if it was dropped.

        Args:
            event: the event.
            destinations: where it is to be delivered.
            observer: who wants to know what becomes of it.
            held: whether it waits for a release.
            is_awaited: whether the caller calls `wait_stored` next, and exchanges by itself.
        """
        if self._pid != os.getpid():
            self.reset_after_fork()
        if self._exchanger.is_full and self._when_full == "raise":
            raise ValidationError("the outbox is full; raise max_events, or look why nothing is delivered")
        payload, is_linked = encode(event), event.browser_id is not None
        recorded = RecordedEvent(
            event.id, event.visitor, destinations, payload, self._clock(), event.user_id, held, is_linked
        )
        self._observers.add(event.id, observer, len(destinations) if self._in_flight.is_delivering else 0)
        ticket = self._buffer.add(recorded)
        if not ticket:
            self._observers.notify(event.id, destinations, Dropped(FULL))
        # What is lost with the process anyway is exchanged in groups while it is not delivered here.
        if not is_awaited and (self._store.is_durable or self._in_flight.is_delivering or ticket % _GROUP == 1):
            self._wake()
        return ticket

    def drop(self, destinations: Sequence[str], reason: str) -> None:
        """Count an event that is not recorded."""
        for name in destinations:
            self._buffer.drop(name, reason)

    def ask(self, request: StoreRequest) -> Future[Any]:
        """Send a request behind all that was recorded before. Returns a future for the answer."""
        answer = self._buffer.ask(request)
        self._wake()
        return answer

    def when_stored(self, ticket: int | None = None) -> Future[None]:
        """Return a future that is done when all up to a ticket is in the store; without one, all until now."""
        self._wake()
        return self._buffer.when_stored(self._buffer.ticket if ticket is None else ticket)

    def wait_stored(self, ticket: int, timeout: float) -> bool:
        """Wait until all up to a ticket is in the store; exchange in this thread if no other does."""
        until = self._clock() + timeout
        while self._buffer.stored < ticket:
            if self._exchanger.trouble is not None or not self._lead.acquire(timeout=max(0.0, until - self._clock())):
                return False
            try:
                if self._buffer.stored < ticket:
                    self._exchanger.exchange()
            finally:
                self._lead.release()
        return True

    def watch(self, event_id: str, observer: StoreObserver) -> None:
        """Notify an observer of what becomes of an event, whichever process delivers it, for as long as it is kept."""
        self._observers.add(event_id, observer, 0)
        self._observers.watch([event_id])
        self._exchanger.look_soon()
        self._wake()

    def counts(self, timeout: float = 1.0) -> Mapping[str, DestinationCounts]:
        """Return the counts by destination, up to date if the store answers in time."""
        if self._lead.acquire(timeout=timeout):
            try:
                self._exchanger.count_next()
                while self._exchanger.exchange() and len(self._buffer):
                    pass
            finally:
                self._lead.release()
        return self._exchanger.counts

    @property
    def state(self) -> str:
        """Return "ok", or why the store does not take events now."""
        return self._exchanger.state

    @property
    def lost_batches(self) -> int:
        """How many events were sent again because the store had lost them."""
        return self._exchanger.lost_batches

    @property
    def unstored(self) -> int:
        """How many events and requests are not in the store."""
        return self._buffer.ticket - self._buffer.stored

    def flush(self, timeout: float) -> int:
        """Wait until what this process has recorded is stored and, if it delivers, settled as far as it can be tried.

        Returns how many of its events are not known to be settled, or not stored if other processes deliver.
        """
        until, ticket = self._clock() + timeout, self._buffer.ticket
        self.wait_stored(ticket, timeout)
        before = self._observers.unsettled
        for name in self._exchanger.counts:
            self._exchanger.report(ServiceReport(name, "hurry"))
        while self._in_flight.is_delivering and self._clock() < until:
            before &= self._observers.unsettled
            waits = [each for each in self._exchanger.counts.values() if each.waiting]
            if not before or (self._exchanger.counts and not waits):
                return 0
            can_try = not waits or any(self._clock() + each.not_before < until for each in waits)
            if not can_try and not self._in_flight.claims:
                break
            self._observers.watch(list(before)[:100])
            self.counts(max(0.0, until - self._clock()))
            time.sleep(WATCH_EVERY)
        return len(before & self._observers.unsettled) if self._in_flight.is_delivering else self.unstored

    def close(self, timeout: float) -> int:
        """Store what waits, give claims back, and let go of the store. Returns how many events are not stored."""
        self._thread.stop()
        self._in_flight.wish({})
        for claim in self._in_flight.claims:
            self.settle(claim, "unsent")
        until = self._clock() + timeout
        self._thread.join(timeout)
        if self._lead.acquire(timeout=max(0.01, until - self._clock())):
            try:
                while not self._exchanger.is_done and self._clock() < until:
                    self._exchanger.retry_now()
                    if not self._exchanger.exchange():
                        time.sleep(0.01)
                self._store.close()
            finally:
                self._lead.release()
        self._thread = ExchangeThread(self._exchanger, self._in_flight, self._observers, self._lead, self._clock)
        return self.unstored

    # For delivery.

    def deliver(self, wishes: Mapping[str, DeliveryWish], on_claimed: Callable[[Sequence[ClaimedEvent]], None]) -> None:
        """Claim events from now on, and hand them to a function, which is called in an exchange and must not wait."""
        self._wishes, self._on_claimed = wishes, on_claimed
        self._exchanger.deliver(on_claimed)
        self._in_flight.wish(wishes)
        self._thread.listen(self._store)
        self._exchanger.look_soon()
        self._wake()

    def settle(
        self,
        claim: ClaimedEvent,
        kind: SettlementKind,
        *,
        after: float = 0.0,
        reason: str | None = None,
        response: Any = None,
    ) -> None:
        """Say what became of a claimed event."""
        self._in_flight.remove(claim)
        self._exchanger.settle(Settlement(claim, kind, after, reason, response))
        self._wake()

    def report(self, report: ServiceReport) -> None:
        """Say what a call has shown of a service; goes with the next exchange."""
        self._exchanger.report(report)

    def time_left(self, claim: ClaimedEvent) -> float:
        """Return how many seconds a claim surely holds. A call that may take longer must not begin."""
        return self._in_flight.time_left(claim, self._clock())

    def _wake(self) -> None:
        if self._pid != os.getpid():
            self.reset_after_fork()
        self._thread.wake()

    # Forks.

    def before_fork(self) -> None:
        """Let an exchange end before a fork."""
        self._is_held_for_fork = self._lead.acquire(timeout=SLOW)

    def after_fork_in_parent(self) -> None:
        """Go on after a fork."""
        if self._is_held_for_fork:
            self._is_held_for_fork = False
            self._lead.release()

    def reset_after_fork(self) -> None:
        """In a forked child: become another writer; what waits in the buffer is the parent's."""
        wishes, on_claimed = self._wishes, self._on_claimed
        self._store.reset_after_fork()
        self._reset()
        self._exchanger.deliver(on_claimed)
        self._in_flight.wish(wishes)
