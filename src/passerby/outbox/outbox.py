"""The outbox of a process: calls return in microseconds, and one thread at a time exchanges batches with the store.

A call appends to a buffer. The outbox's thread, or a caller that waits for the store without a time limit, takes all
that has gathered through one exchange and completes the futures. While the store is in trouble, events gather in the
buffer, which is bounded in bytes, and no call waits.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import replace
from logging import Logger
from math import inf
from typing import Any

from ..errors import ValidationError
from ..events.event import Event
from ..logs import get_logger
from ..process import register_fork_listener
from ..values.futures import wait_sync
from ..values.outcome import Dropped
from .buffer import RecordBuffer
from .codec import encode
from .contract import (
    FULL,
    INTERNAL,
    ClaimedEvent,
    EventStore,
    RecordedEvent,
    ServiceReport,
    Settlement,
    SettlementKind,
    StorageError,
    StoreCommand,
    StoreRequest,
    WhenFull,
)
from .counts import BreakerState, DestinationCounts
from .exchanger import SLOW, StoreExchanger
from .inflight import DeliveryWish, InFlight
from .observers import WATCH_EVERY, ObserverRegistry, PendingFlush, StoreObserver
from .reading import StorePage, StoreQuery
from .thread import ExchangeThread

log: Logger = get_logger("passerby.outbox")

BUFFER_BYTES = 16 << 20
LEASE = 30.0  # seconds
_GROUP = 64  # events
_DRAIN_EVERY = 0.01  # seconds
_LOOKS = 10  # of a flush until it reads what waits
_READ_AT_ONCE = 1_000  # entries
_IDLE = 4  # looks that find nothing to try, after which a flush gives up


class Outbox:
    """Stands in front of a store, one for each process and store.

    Args:
        store: the store.
        when_full: "raise" has `record` raise ValidationError while the store is full, going by the last exchange.
        room: how many entries the store takes at the start, if that is known.
        buffer_bytes: how much waits for the store at most.
        lease: seconds of a claim.
        follows: whether a flush waits until events are settled, because this process delivers.
        clock: a monotonic clock, in seconds.
    """

    def __init__(
        self,
        store: EventStore,
        when_full: WhenFull = "drop_newest",
        room: float = inf,
        buffer_bytes: int = BUFFER_BYTES,
        lease: float = LEASE,
        follows: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._when_full: WhenFull = when_full
        self._initial_room = room
        self._buffer_bytes = buffer_bytes
        self._lease = lease
        self._follows = follows
        self._clock = clock
        self._wishes: Mapping[str, DeliveryWish] = {}
        self._on_claimed: Callable[[Sequence[ClaimedEvent]], None] | None = None
        self._reset()
        register_fork_listener(self)

    def _reset(self) -> None:
        self._pid = os.getpid()
        self._lead = threading.Lock()
        self._buffer = RecordBuffer(self._buffer_bytes)
        self._in_flight = InFlight(self._lease)
        self._observers = ObserverRegistry()
        self._exchanger = StoreExchanger(
            self._store, self._buffer, self._in_flight, self._observers, self._clock, self._initial_room
        )
        self._thread = self._make_thread()
        self._is_held_for_fork = False

    def _make_thread(self, ends_idle: bool = False) -> ExchangeThread:
        return ExchangeThread(
            self._store, self._exchanger, self._in_flight, self._observers, self._lead, self._clock, ends_idle
        )

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
            is_awaited: whether the caller calls `wait_stored` next without a time limit, and so exchanges by itself.
        """
        if self._pid != os.getpid():
            self.reset_after_fork()
        if not destinations:
            return 0
        if self._buffer.entries + len(destinations) > self._exchanger.room and self._when_full != "drop_oldest":
            if self._when_full == "raise":
                raise ValidationError("the outbox is full; raise max_events, or look why nothing is delivered")
            return self._refuse(event.id, destinations, observer, FULL)
        try:
            payload, is_linked = encode(event), event.browser_id is not None
        except (TypeError, ValueError):
            log.exception("an event cannot be encoded; it is dropped")
            return self._refuse(event.id, destinations, observer, INTERNAL)
        visitor = event.browser_id or event.visitor  # a visit with an ID was linked before
        recorded = RecordedEvent(
            event.id, visitor, destinations, payload, self._clock(), event.user_id, held, is_linked
        )
        self._observers.add(event.id, observer, destinations if self._follows else (), visitor if held else None)
        ticket = self._buffer.add(recorded)
        if not ticket:
            return self._refuse(event.id, destinations, observer, FULL)
        # What is lost with the process anyway is exchanged in groups while it is not delivered here.
        if not is_awaited and (self._store.is_durable or self._in_flight.is_delivering or ticket % _GROUP == 1):
            self._wake()
        return ticket

    def _refuse(self, event_id: str, destinations: Sequence[str], observer: StoreObserver | None, reason: str) -> int:
        """Drop and count an event."""
        self.drop(destinations, reason)
        if reason == FULL:
            self._exchanger.log_full()
        self._observers.add(event_id, observer, ())
        self._observers.notify(event_id, destinations, Dropped(reason))
        self._wake()
        return 0

    def drop(self, destinations: Sequence[str], reason: str) -> None:
        """Count an event that is not recorded."""
        for name in destinations:
            self._buffer.drop(name, reason)

    def ask(self, request: StoreRequest) -> Future[Any]:
        """Send a request behind all that was recorded before. Returns a future for the answer."""
        self._observers.follow_request(request)
        answer = self._buffer.ask(request)
        self._wake()
        return answer

    def ask_now(self, request: StoreRequest, timeout: float) -> Any:
        """Send a request and wait for its answer. Returns None if the store does not answer in time."""
        self._observers.follow_request(request)
        answer = self._buffer.ask(request)
        self.wait_stored(self._buffer.ticket, timeout)
        return answer.result() if answer.done() else None

    def when_stored(self, ticket: int | None = None) -> Future[None]:
        """Return a future that is done when all up to a ticket is in the store; without one, all until now."""
        self._wake()
        return self._buffer.when_stored(self._buffer.ticket if ticket is None else ticket)

    def wait_stored(self, ticket: int, timeout: float | None) -> bool:
        """Wait until all up to a ticket is in the store. Returns whether it is; False while the store is in trouble.

        Without a time limit this thread stores it, unless another one does. With one it only waits for the outbox's
        thread, because a disk may keep it for longer. A store in memory takes no time, but has no transactions; so the
        main thread, in which a signal may end any call, only waits for that too.
        """
        if self._buffer.stored >= ticket:
            return True
        if self._store.is_durable:
            only_waits = timeout is not None
        else:
            only_waits = threading.current_thread() is threading.main_thread()
        if only_waits and self._thread.wake():
            if self._exchanger.trouble is None:
                return wait_sync(self._buffer.when_stored(ticket), inf if timeout is None else timeout)
            return False
        while self._buffer.stored < ticket:
            if self._exchanger.trouble is not None:
                return False
            with self._lead:
                if self._buffer.stored < ticket:
                    self._exchanger.exchange()
        return True

    def watch(self, event_id: str, observer: StoreObserver) -> None:
        """Notify an observer of what becomes of an event, whichever process delivers it, for as long as it is kept."""
        self._observers.add(event_id, observer, ())
        self._observers.watch([event_id])
        self._exchanger.look_soon()
        self._wake()

    def counts(self, timeout: float = 1.0) -> Mapping[str, DestinationCounts]:
        """Return the counts by destination, up to date if the store answers in time."""
        counted = self._exchanger.count_next()
        self._wake()
        wait_sync(counted, timeout)
        return self.last_counts()

    def last_counts(self) -> Mapping[str, DestinationCounts]:
        """Return the counts by destination at the last exchanges, with what is not in the store."""
        counts = dict(self._exchanger.counts)
        for event in self._exchanger.unstored():
            for name in event.destinations:
                counts[name] = replace(counts.get(name) or DestinationCounts())
                counts[name].record("held" if event.held else "waiting", unlinked=not event.is_linked)
        return counts

    def read(self, query: StoreQuery) -> StorePage:
        """Return a page of what the store keeps. Raises StorageError."""
        return self._store.read(query)

    def breaker(self, destination: str) -> BreakerState:
        """Return the state of a destination's breaker at the last exchange."""
        counts = self._exchanger.counts.get(destination)
        return "closed" if counts is None else counts.breaker

    @property
    def is_running(self) -> bool:
        """Whether the outbox's thread is alive."""
        return self._thread.is_alive

    @property
    def exchange_seconds(self) -> float:
        """How long the exchange under way has taken until now, or 0."""
        return self._exchanger.seconds

    def drain(self, timeout: float) -> bool:
        """Wait until nothing is claimed and all outcomes are stored. Returns whether that is so."""
        until = self._clock() + timeout
        while not (is_settled := self._is_settled) and self._clock() < until:
            if not self._thread.wake() and self._exchanger.has_work():
                with self._lead:
                    self._exchanger.exchange()
            time.sleep(_DRAIN_EVERY)
        return self.wait_stored(self._buffer.ticket, max(0.0, until - self._clock())) and is_settled

    @property
    def _is_settled(self) -> bool:
        return not self._in_flight.claims and self._exchanger.is_done

    def can_deliver(self, within: float) -> bool:
        """Return whether an event is claimed, or due within some seconds at a service that answers, as far as known."""
        counts = [self._exchanger.counts.get(name) for name in self._wishes]
        due = [each.next_due for each in counts if each is not None and each.breaker == "closed"]
        return not self._is_settled or any(each is not None and each <= within for each in due)

    @property
    def is_durable(self) -> bool:
        """Whether what is stored survives the process."""
        return self._store.is_durable

    @property
    def is_working(self) -> bool:
        """Whether the store takes events now."""
        return self._exchanger.state == "ok"

    @property
    def ticket(self) -> int:
        """The ticket of the last event or request."""
        return self._buffer.ticket

    @property
    def state(self) -> str:
        """Return "ok", or why the store does not take events now."""
        return self._exchanger.state

    @property
    def lost_batches(self) -> int:
        """How many events were sent again because the store had lost them."""
        return self._exchanger.lost_batches

    @property
    def unstored_entries(self) -> int:
        """How many entries (an event at a destination) are not in the store."""
        return self._buffer.entries

    @property
    def unsettled(self) -> int:
        """How many events that this process has recorded, and delivers itself, are not known to be settled."""
        return self._observers.unsettled

    @property
    def unstored(self) -> int:
        """How many events and requests are not in the store."""
        return self._buffer.ticket - self._buffer.stored

    def flush(self, timeout: float) -> int:
        """Wait until what this process has recorded is stored and, if it delivers, settled as far as it can be tried.

        Returns how many of its events are not known to be settled, or not stored if other processes deliver.
        """
        until = self._clock() + timeout
        is_stored = self.wait_stored(self._buffer.ticket, timeout)
        if not self._follows:
            return self.unstored
        if not self._in_flight.is_delivering:
            return max(self.unstored, self.unsettled)
        if is_stored and not self.unsettled and not any(each.waiting for each in self._exchanger.counts.values()):
            return 0
        for name in self._exchanger.counts:
            self._exchanger.report(ServiceReport(name, "hurry", after=timeout))
        self._exchanger.look_soon()
        self._wake()
        looks = idle = 0
        with self._observers.flushing(until) as flush:
            ticket = self._buffer.ticket
            while not flush.wait(max(0.0, min(WATCH_EVERY, until - self._clock()))) and self._clock() < until:
                looks, idle = looks + 1, 0 if self._can_try(until) else idle + 1
                if idle == _IDLE or not self._thread.wake():
                    break
                if self._store.is_durable:  # another process may deliver
                    self._observers.watch(flush.sample)
                    if looks % _LOOKS == 0:
                        self._forget_settled(flush, ticket)
            if flush.left and self._store.is_durable:
                self._forget_settled(flush, ticket)
            return flush.left

    def _forget_settled(self, flush: PendingFlush, ticket: int) -> None:
        """Forget what another process has settled before this one began to watch it: it is stored, and waits no more.

        While more wait than are read at a time, that is unknown.
        """
        with suppress(StorageError):
            if self._buffer.stored >= ticket:
                page = self._store.read(StoreQuery(("waiting",), limit=_READ_AT_ONCE))
                if page.next is None:
                    waiting = {entry.event_id for entry in page.entries}
                    self._observers.forget([event_id for event_id in flush.pending if event_id not in waiting])

    def _can_try(self, until: float) -> bool:
        """Return whether an event may be sent before a time, as far as known."""
        due = self._in_flight.next_due()
        is_due = due is not None and due <= until
        is_claimed = any(each.is_next_claimed for each in self._exchanger.counts.values())  # by any process
        return is_due or is_claimed or bool(self._in_flight.claims) or not self._exchanger.is_done

    def close(self, timeout: float) -> int:
        """Store what waits, give claims back, and let go of the store. Returns how many events are not stored."""
        self._in_flight.wish({})
        for claim in self._in_flight.claims:
            self.settle(claim, "unsent")
        self._thread.stop(timeout)
        self._thread.join(timeout)
        self._thread = self._make_thread(ends_idle=True)  # nothing closes it again, if it is only asked for counts
        if not self._exchanger.is_done and self._exchanger.trouble is None:  # recorded since the last exchange
            self._wake()
        return self.unstored

    def abandon(self) -> None:
        """Count as lost what ends with the process: what waits or is held in a store that is not durable."""
        if not self._store.is_durable:
            self.ask_now(StoreCommand("abandon"), SLOW)

    # For delivery.

    def deliver(self, wishes: Mapping[str, DeliveryWish], on_claimed: Callable[[Sequence[ClaimedEvent]], None]) -> None:
        """Claim events from now on, and hand them to a function, which is called in an exchange and must not wait."""
        self._wishes, self._on_claimed, self._follows = wishes, on_claimed, True
        self._exchanger.deliver(on_claimed)
        self._in_flight.wish(wishes)
        self._exchanger.look_soon()
        self._wake()

    def stop_claiming(self) -> None:
        """Claim no more events. What is claimed stays so until it is settled."""
        self._in_flight.wish({})

    @property
    def claims(self) -> list[ClaimedEvent]:
        """What is claimed and not settled."""
        return self._in_flight.claims

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
        if kind == "retry":
            self._observers.postpone(claim.event_id, self._clock() + after)
        elif kind == "unsent":  # it may have been the breaker's probe
            self._exchanger.report(ServiceReport(claim.destination, "abandoned"))
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
