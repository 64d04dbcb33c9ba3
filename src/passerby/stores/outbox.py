"""The outbox of a process: calls return in microseconds, and one thread at a time exchanges batches with the store.

A call appends to a buffer. The outbox's thread, or a caller that waits until its own event is stored, takes all that
has gathered through one exchange and completes the futures. While the store is in trouble, events gather in the buffer,
which is bounded in bytes, and nobody waits.
"""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from logging import Logger
from secrets import token_hex
from typing import Any, Protocol

from ..errors import ValidationError
from ..events.event import Event
from ..logs import get_logger
from ..values.outcome import Dead, Delivered, Dropped, Outcome
from .buffer import BufferedPart, RecordBuffer
from .codec import encode
from .contract import (
    FULL,
    ClaimedEvent,
    EventStore,
    ExchangeBatch,
    ExchangeResult,
    RecordedEvent,
    ServiceReport,
    Settlement,
    SettlementKind,
    StorageError,
    StoreRequest,
    WhenStoreFull,
)
from .counts import DestinationCounts
from .inflight import DeliveryWish, InFlight

log: Logger = get_logger("passerby.stores")

BUFFER_BYTES = 16 << 20
LEASE = 30.0  # seconds
SLOW = 1.0  # seconds after which a store is in trouble
RETRY_AFTER = 0.25  # seconds between two attempts while the store is in trouble
COUNT_EVERY = 5.0  # seconds between two looks at all counts
WATCH_EVERY = 0.05  # seconds
NO_DELIVERER = 60.0  # seconds
_TRACKED = 10_000  # events of which a flush knows


class StoreObserver(Protocol):
    """Who wants to know what becomes of an event. It is kept only as long as somebody else keeps it."""

    def on_stored(self) -> None:
        """The event is in the store."""
        ...

    def on_settled(self, destination: str, outcome: Outcome) -> None:
        """A destination's outcome is known."""
        ...


class Outbox:
    """Stands in front of a store, one for each process and store.

    Args:
        store: the store.
        when_full: "raise" has `record` raise ValidationError while the store is full, going by the last exchange.
        buffer_bytes: how much waits for the store at most.
        lease: seconds of a claim.
        clock: a monotonic clock, in seconds.

    Attributes:
        lost_batches: how many events were sent again because the store had lost them.
        late: how many outcomes came too late.
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
        _outboxes.add(self)

    def _reset(self) -> None:
        self._pid = os.getpid()
        self._is_quick = not self._store.is_durable  # in memory an exchange costs less than waking a thread
        self._writer = token_hex(16)
        self._number = self._acknowledged = 0
        self._lead = threading.Lock()
        self._bell = threading.Lock()
        self._bell.acquire()
        self._is_asleep = self._is_closing = False
        self._thread: threading.Thread | None = None
        self._buffer = RecordBuffer(self._buffer_bytes)
        self._in_flight = InFlight(self._lease)
        self._settled: deque[Settlement] = deque()
        self._reports: deque[ServiceReport] = deque()
        self._unfinished: tuple[BufferedPart, int] | None = None
        self._observers: weakref.WeakValueDictionary[str, StoreObserver] = weakref.WeakValueDictionary()
        self._watched: dict[str, float] = {}
        self._open: dict[str, int] = {}
        self._counts: Mapping[str, DestinationCounts] = {}
        self._began: float | None = None
        self._counted = -COUNT_EVERY
        self._retry_at = 0.0
        self._can_drain = self._is_held_for_fork = self._has_news = False
        self._poll_every: float | None = None
        self._trouble: str | None = None
        self._is_full = self._has_warned = False
        self.lost_batches: int = 0
        self.late: int = 0

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
        if self._is_full and self._when_full == "raise":
            raise ValidationError("the outbox is full; raise max_events, or look why nothing is delivered")
        payload, is_linked = encode(event), event.browser_id is not None
        recorded = RecordedEvent(
            event.id, event.visitor, destinations, payload, self._clock(), event.user_id, held, is_linked
        )
        if observer is not None:
            self._observers[event.id] = observer
        ticket = self._buffer.add(recorded)
        if not ticket:
            self._notify(event.id, destinations, Dropped(FULL))
        elif self._in_flight.is_delivering:
            self._track(event.id, len(destinations))
        if not is_awaited and not (self._is_quick and self._exchange_here()):
            self._wake()
        return ticket

    def _exchange_here(self) -> bool:
        """Exchange in this thread, unless another one does or there is something to deliver. Returns whether it did."""
        if self._in_flight.is_delivering or self._trouble is not None or not self._lead.acquire(blocking=False):
            return False
        try:
            return self._exchange()
        finally:
            self._lead.release()

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
            if self._trouble is not None or not self._lead.acquire(timeout=max(0.0, until - self._clock())):
                return False
            try:
                if self._buffer.stored < ticket:
                    self._exchange()
            finally:
                self._lead.release()
        return True

    def watch(self, event_id: str, observer: StoreObserver) -> None:
        """Tell an observer what becomes of an event, whoever delivers it, for as long as it is kept."""
        self._observers[event_id] = observer
        self._watched[event_id] = 0.0
        self._has_news = True
        self._wake()

    def counts(self, timeout: float = 1.0) -> Mapping[str, DestinationCounts]:
        """Return the counts by destination, up to date if the store answers in time."""
        if self._lead.acquire(timeout=timeout):
            try:
                self._counted = -COUNT_EVERY
                while self._exchange() and len(self._buffer):
                    pass
            finally:
                self._lead.release()
        return self._counts

    @property
    def state(self) -> str:
        """Return "ok", or why the store does not take events now."""
        began = self._began
        if began is not None and self._clock() - began > SLOW:
            return "slow"
        return self._trouble or "ok"

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
        before = set(self._open)
        for name in self._counts:
            self._reports.append(ServiceReport(name, "hurry"))
        while self._in_flight.is_delivering and self._clock() < until:
            before &= self._open.keys()
            waits = [each for each in self._counts.values() if each.waiting]
            if not before or (self._counts and not waits):
                return 0
            can_try = not waits or any(self._clock() + each.not_before < until for each in waits)
            if not can_try and not self._in_flight.claims:
                break
            self._watched |= dict.fromkeys(list(before)[:100], 0.0)
            self.counts(max(0.0, until - self._clock()))
            time.sleep(WATCH_EVERY)
        return len(before & self._open.keys()) if self._in_flight.is_delivering else self.unstored

    def close(self, timeout: float) -> int:
        """Store what waits, give claims back, and let go of the store. Returns how many events are not stored."""
        self._is_closing = True
        self._in_flight.wish({})
        for claim in self._in_flight.claims:
            self.settle(claim, "unsent")
        thread, until = self._thread, self._clock() + timeout
        self._wake()
        if thread is not None and thread is not threading.current_thread():
            thread.join(timeout)
        if self._lead.acquire(timeout=max(0.01, until - self._clock())):
            try:
                while (len(self._buffer) or self._settled or self._unfinished) and self._clock() < until:
                    self._retry_at = 0.0
                    if not self._exchange():
                        time.sleep(0.01)
                self._store.close()
            finally:
                self._lead.release()
        self._is_closing, self._thread = False, None
        return self.unstored

    # For delivery.

    def deliver(self, wishes: Mapping[str, DeliveryWish], on_claimed: Callable[[Sequence[ClaimedEvent]], None]) -> None:
        """Claim events from now on, and hand them to a function, which is called in the outbox's thread."""
        self._wishes, self._on_claimed = wishes, on_claimed
        self._in_flight.wish(wishes)
        if self._poll_every is None:
            with suppress(StorageError):  # it is in trouble; asked again with the next call
                self._poll_every = self._store.listen(self._note_news)
        self._has_news = True
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
        self._settled.append(Settlement(claim, kind, after, reason, response))
        self._wake()

    def report(self, report: ServiceReport) -> None:
        """Say what a call has shown of a service; goes with the next exchange."""
        self._reports.append(report)

    def time_left(self, claim: ClaimedEvent) -> float:
        """Return how many seconds a claim surely holds. A call that may take longer must not begin."""
        return self._in_flight.time_left(claim, self._clock())

    # The thread.

    def _wake(self) -> None:
        if self._pid != os.getpid():
            self.reset_after_fork()
        if self._is_asleep:
            self._ring()
        elif self._thread is None and not self._is_closing:
            self._start()

    def _note_news(self) -> None:
        """Another process has stored something."""
        self._has_news = True
        self._ring()

    def _ring(self) -> None:
        self._is_asleep = False
        with suppress(RuntimeError):  # it rings already
            self._bell.release()

    def _start(self) -> None:
        with self._lead:
            if self._thread is not None:
                return
            thread = threading.Thread(target=self._run, name="passerby-outbox", daemon=True)
            try:
                thread.start()
            except RuntimeError:  # the interpreter ends, or there are too many; the next call tries again
                return
            self._thread = thread

    def _run(self) -> None:
        bell, pid = self._bell, self._pid
        while pid == self._pid and not self._is_closing:
            self._is_asleep = True
            if not self._has_work() and bell.acquire(timeout=self._pause()) and not self._has_work():
                continue  # another thread has done what this one was woken for
            self._is_asleep = False
            try:
                with self._lead:
                    self._exchange()
            except Exception:
                log.exception("internal error in the outbox; will retry")
                time.sleep(SLOW)

    def _has_work(self) -> bool:
        now = self._clock()
        if self._trouble is not None and now < self._retry_at:
            return self._can_drain and bool(self._settled or self._in_flight.has_due(now))
        return bool(
            self._has_news or len(self._buffer) or self._settled or self._unfinished or self._in_flight.has_due(now)
        )

    def _pause(self) -> float:
        """Return how long to sleep without being woken."""
        now = self._clock()
        times = [COUNT_EVERY if self._poll_every is None else self._poll_every]
        if self._trouble is not None:
            times.append(self._retry_at - now)
        elif (due := self._in_flight.next_due()) is not None:
            times.append(due - now)
        if self._watched:
            times.append(WATCH_EVERY)
        return max(0.001, min(times))

    def _exchange(self) -> bool:
        """Exchange one batch; the caller leads. Returns whether it worked."""
        now, self._has_news = self._clock(), False
        part, number = self._next_part(now)
        is_done = self._send(part, number, now)
        if not is_done:
            # What can be delivered is delivered, though nothing new can be stored.
            self._can_drain = bool(number) and self._send(BufferedPart(0), 0, now)
        return is_done

    def _send(self, part: BufferedPart, number: int, now: float) -> bool:
        settled, reports = _take(self._settled), _take(self._reports)
        batch = ExchangeBatch(
            self._writer,
            number,
            now,
            outcomes=settled,
            extensions=self._in_flight.extensions(now),
            reports=reports,
            recorded=part.events,
            dropped=part.dropped,
            requests=part.requests,
            wanted=self._in_flight.wanted(),
            watched=self._watched_now(now) if self._watched else (),
            counts=now - self._counted > COUNT_EVERY,
        )
        self._began = now
        try:
            result = self._store.exchange(batch)
        except StorageError as error:
            self._settled.extendleft(reversed(settled))
            self._reports.extendleft(reversed(reports))
            self._note_trouble(error, part, number, now)
            return False
        finally:
            self._began = None
        self._note_result(batch, part, result, now)
        return True

    def _watched_now(self, now: float) -> list[str]:
        return [event_id for event_id, at in list(self._watched.items()) if now - at >= WATCH_EVERY]

    def _next_part(self, now: float) -> tuple[BufferedPart, int]:
        """Return what to record, and the batch's number. What failed is repeated, but not at every turn."""
        if self._unfinished is not None:
            return self._unfinished if now >= self._retry_at else (BufferedPart(0), 0)
        part = self._buffer.take()
        if not part.ticket or not (part.events or part.requests or part.dropped):
            return part, 0
        self._number += 1
        return part, self._number

    def _note_trouble(self, error: StorageError, part: BufferedPart, number: int, now: float) -> None:
        if number:
            self._unfinished = part, number
        self._retry_at = now + RETRY_AFTER
        if self._trouble != error.reason:
            self._trouble = error.reason
            log.warning("the outbox's store fails (%s); events wait in memory", error.reason)

    def _note_result(self, batch: ExchangeBatch, part: BufferedPart, result: ExchangeResult, now: float) -> None:
        if batch.number:
            self._unfinished = None
        if self._trouble is not None and self._unfinished is None:
            log.warning("the outbox's store works again")
            self._trouble = None
        if result.previous < self._acknowledged:
            number = self._buffer.send_again()
            self.lost_batches += number
            log.error("the store has lost acknowledged events; the last %d are stored again", number)
        self._acknowledged = result.number
        if batch.number:
            self._buffer.note_stored(part, now)
        self._is_full, self.late = result.is_full, self.late + result.late
        if batch.counts:
            self._counts, self._counted = result.counts, now
            self._warn_without_deliverer(result)
        self._in_flight.add(result.claimed, result.counts, now)
        self._notify_all(batch, part, result)
        if result.claimed and self._on_claimed is not None:
            self._on_claimed(result.claimed)

    def _notify_all(self, batch: ExchangeBatch, part: BufferedPart, result: ExchangeResult) -> None:
        refused = {event_id for event_id, _, _ in result.dropped} if result.dropped else ()
        for event in part.events if self._observers else ():
            observer = self._observers.get(event.event_id)
            if observer is not None and event.event_id not in refused:
                observer.on_stored()
        for future, answer in zip(part.futures, result.answers, strict=False):
            if future.set_running_or_notify_cancel():
                future.set_result(answer)
        for settlement in batch.outcomes:
            outcome = _outcome_of(settlement)
            if outcome is not None:
                self._notify(settlement.claim.event_id, [settlement.claim.destination], outcome)
        for event_id, name, reason in result.dropped:
            self._notify(event_id, [name], Dropped(reason))
        for event_id, name, outcome in result.settled:
            self._notify(event_id, [name], outcome)
        for event_id in batch.watched:
            if event_id in self._observers or event_id in self._open:
                self._watched[event_id] = batch.at
            else:
                self._watched.pop(event_id, None)

    def _notify(self, event_id: str, names: Sequence[str], outcome: Outcome) -> None:
        left = self._open.get(event_id, 0) - len(names)
        if left > 0:
            self._open[event_id] = left
        else:
            self._open.pop(event_id, None)
        observer = self._observers.get(event_id)
        if observer is not None:
            for name in names:
                observer.on_settled(name, outcome)

    def _track(self, event_id: str, number: int) -> None:
        self._open[event_id] = number
        if len(self._open) > _TRACKED:
            self._open.pop(next(iter(self._open)), None)

    def _warn_without_deliverer(self, result: ExchangeResult) -> None:
        overdue = [each.next_due for each in result.counts.values() if each.next_due is not None]
        is_late = min(overdue, default=0.0) < -NO_DELIVERER
        is_alone = result.deliverer_age is None or result.deliverer_age > NO_DELIVERER
        if is_late and is_alone and not self._has_warned:
            log.warning("events are due, and no process delivers them; run a worker, or deliver here")
        self._has_warned = is_late and is_alone

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
        if on_claimed is not None:
            self._in_flight.wish(wishes)


def _take(queue: deque[Any]) -> list[Any]:
    """Take all of a queue that others append to."""
    return [queue.popleft() for _ in range(len(queue))]


def _outcome_of(settlement: Settlement) -> Outcome | None:
    if settlement.kind == "delivered":
        return Delivered(settlement.response)
    return Dead(settlement.reason or "unknown") if settlement.kind == "dead" else None


_outboxes: weakref.WeakSet[Outbox] = weakref.WeakSet()


def _before_fork() -> None:
    for outbox in list(_outboxes):
        outbox.before_fork()


def _after_fork_in_parent() -> None:
    for outbox in list(_outboxes):
        outbox.after_fork_in_parent()


def _after_fork_in_child() -> None:
    for outbox in list(_outboxes):
        outbox.reset_after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child)
