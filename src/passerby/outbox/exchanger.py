"""Batches from a process to its store: what goes into one, what its result means, and what is repeated."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from logging import ERROR, Logger
from secrets import token_hex
from typing import Any

from ..logs import get_logger, log_loss
from .buffer import BufferedPart, RecordBuffer
from .contract import (
    FULL,
    WRITER_AGE,
    BrowserIdExchange,
    ClaimedEvent,
    EventStore,
    ExchangeBatch,
    ExchangeResult,
    RecordedEvent,
    ServiceReport,
    Settlement,
    StorageError,
)
from .counts import DestinationCounts
from .inflight import InFlight
from .observers import ObserverRegistry
from .service import FAILURES

log: Logger = get_logger("passerby.outbox")
delivery_log: Logger = get_logger("passerby.delivery")

SLOW = 1.0  # seconds after which a store is in trouble
RETRY_AFTER = 0.25  # seconds between two attempts while the store is in trouble
COUNT_EVERY = 5.0  # seconds between two looks at all counts
NO_DELIVERER = 60.0  # seconds
FALLS_BEHIND = 10.0  # seconds


class StoreExchanger:
    """Exchanges batches with a store, in one thread at a time.

    Args:
        store: the store.
        buffer: what is to be recorded and asked.
        in_flight: what is wanted and claimed.
        observers: are notified of what became of events.
        clock: a monotonic clock, in seconds.
        room: how many entries the store takes at the start.

    Attributes:
        trouble: why the store does not take events, or None.
        retry_at: when what failed is tried again.
        counts: by destination, some seconds old.
        room: how many more entries the store takes.
        lost_batches: how many events were sent again because the store had lost them.
        late: how many outcomes came too late.
    """

    def __init__(
        self,
        store: EventStore,
        buffer: RecordBuffer,
        in_flight: InFlight,
        observers: ObserverRegistry,
        clock: Callable[[], float],
        room: float,
    ) -> None:
        self._store = store
        self._buffer = buffer
        self._in_flight = in_flight
        self._observers = observers
        self._clock = clock
        self._writer = token_hex(16)
        self._number = self._acknowledged = 0
        self._settled: deque[Settlement] = deque()
        self._reports: deque[ServiceReport] = deque()
        self._counting: deque[Future[None]] = deque()
        self._failures: dict[str, str] = {}
        self._unfinished: tuple[BufferedPart, int] | None = None
        self._began: float | None = None
        self._counted = -COUNT_EVERY
        self._numbered = clock()
        self._can_drain = self._has_news = self._has_warned = False
        self._on_claimed: Callable[[Sequence[ClaimedEvent]], None] | None = None
        self.trouble: str | None = None
        self.retry_at: float = 0.0
        self.counts: Mapping[str, DestinationCounts] = {}
        self.room: float = room
        self.lost_batches: int = 0
        self.late: int = 0

    @property
    def state(self) -> str:
        """Return "ok", or why the store does not take events now."""
        if self.seconds > SLOW:
            return "slow"
        return self.trouble or "ok"

    @property
    def seconds(self) -> float:
        """How long the exchange under way has taken until now, or 0."""
        began = self._began
        return 0.0 if began is None else self._clock() - began

    @property
    def is_done(self) -> bool:
        """Whether nothing waits for an exchange, and none is under way."""
        return not (len(self._buffer) or self._settled or self._unfinished or self._began is not None)

    def deliver(self, on_claimed: Callable[[Sequence[ClaimedEvent]], None] | None) -> None:
        """Hand what is claimed from now on to a function."""
        self._on_claimed = on_claimed

    def settle(self, settlement: Settlement) -> None:
        """Have the next exchange take an outcome along."""
        self._settled.append(settlement)

    def report(self, report: ServiceReport) -> None:
        """Have the next exchange take a report along."""
        if report.kind == "failure":
            self._failures[report.destination] = report.reason
        elif report in self._reports:
            return
        self._reports.append(report)

    def unstored(self) -> list[RecordedEvent]:
        """Return the events that are not known to be in the store."""
        unfinished = self._unfinished
        return [*(unfinished[0].events if unfinished is not None else ()), *self._buffer.events()]

    def look_soon(self) -> None:
        """Exchange although nothing is known to wait."""
        self._has_news = True

    def count_next(self) -> Future[None]:
        """Have the next exchange bring all counts. Returns a future that is done then, also if the exchange fails."""
        counted: Future[None] = Future()
        self._counting.append(counted)
        self._has_news = True
        return counted

    def retry_now(self) -> None:
        """Have the next exchange repeat what failed."""
        self.retry_at = 0.0

    def has_work(self) -> bool:
        """Return whether an exchange would do something now."""
        now = self._clock()
        if self.trouble is not None and now < self.retry_at:
            return self._can_drain and bool(self._settled or self._in_flight.has_due(now))
        return bool(
            self._has_news or len(self._buffer) or self._settled or self._unfinished or self._in_flight.has_due(now)
        )

    def exchange(self) -> bool:
        """Exchange one batch; the caller leads. Returns whether it worked."""
        now, self._has_news = self._clock(), False
        part, number = self._next_part(now)
        is_done = self._send(part, number, now)
        if not is_done:
            # What can be delivered is delivered, though nothing new can be stored.
            self._can_drain = bool(number) and self._send(BufferedPart(0), 0, now)
        return is_done

    def _send(self, part: BufferedPart, number: int, now: float) -> bool:
        settled = _take(self._settled) if self._settled else []
        reports = _take(self._reports) if self._reports else []
        counting = _take(self._counting) if self._counting else []
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
            watched=self._observers.watched_now(now),
            counts=bool(counting) or now - self._counted > COUNT_EVERY,
        )
        self._began = now
        try:
            result = self._store.exchange(batch)
        except BaseException as error:
            self._settled.extendleft(reversed(settled))
            self._reports.extendleft(reversed(reports))
            _complete(counting)  # with what is known
            if not isinstance(error, Exception):  # of a signal's handler, in the main thread
                raise
            if not isinstance(error, StorageError):
                log.exception("internal error in the outbox's store; will retry")
            self._note_trouble(getattr(error, "reason", "internal error"), now)
            return False
        finally:
            self._began = None
        try:
            self._note_result(batch, part, result, now)
        except Exception:  # of an observer, or of who takes the claims: they are due again when their lease ends
            log.exception("internal error in the outbox")
        _complete(counting)
        return True

    def _next_part(self, now: float) -> tuple[BufferedPart, int]:
        """Return what to record, and the batch's number. What failed is repeated, but not at every turn."""
        if self._unfinished is not None:
            return self._unfinished if now >= self.retry_at else (BufferedPart(0), 0)
        part = self._buffer.take()
        if not (part.events or part.requests or part.dropped):
            return part, 0
        self._number += 1
        self._unfinished = part, self._number
        return self._unfinished

    def _note_trouble(self, reason: str, now: float) -> None:
        self.retry_at = now + RETRY_AFTER
        if self.trouble != reason:
            self.trouble = reason
            log_loss(log, "the outbox's store fails (%s); events wait in memory until it works", reason)

    def _note_result(self, batch: ExchangeBatch, part: BufferedPart, result: ExchangeResult, now: float) -> None:
        if batch.number:
            self._unfinished = None
        if self.trouble is not None and self._unfinished is None:
            log.warning("the outbox's store works again")
            self.trouble = None
        is_forgotten = now - self._numbered > WRITER_AGE  # for good reason
        if result.previous < self._acknowledged and not is_forgotten:
            number = self._buffer.send_again(now)
            self.lost_batches += number
            log_loss(log, "the store has lost acknowledged events; the last %d are stored again", number, level=ERROR)
        self._has_news |= result.goes_on
        self._acknowledged = result.number
        if batch.number:
            self._numbered = now
        self._buffer.note_stored(part, now)
        if any(reason == FULL for _, _, reason in result.dropped):
            self.log_full()
        self.room, self.late = result.room, self.late + result.late
        if batch.counts:
            self._counted = now
            self._warn_of_delay(result)
            self._observers.note_empty(not (len(self._buffer) or any(each.waiting for each in result.counts.values())))
        if result.counts:
            self._note_breakers(result.counts)
            self.counts = {**self.counts, **result.counts}
        self._in_flight.add(result.claimed, result.counts, now)
        self._observers.notify_all(batch, part, result)
        self._put_back_unwanted(part, result)
        if result.claimed and self._on_claimed is not None:
            self._on_claimed(result.claimed)

    def _put_back_unwanted(self, part: BufferedPart, result: ExchangeResult) -> None:
        """Put browser IDs back that their caller no longer waits for."""
        for request, future, answer in zip(part.requests, part.futures, result.answers, strict=False):
            if future.cancelled() and isinstance(request, BrowserIdExchange) and answer:
                self._buffer.ask(BrowserIdExchange(request.issuer, put_back=answer))

    def _note_breakers(self, counts: Mapping[str, DestinationCounts]) -> None:
        for name, each in counts.items():
            before = self.counts.get(name)
            was_open = before is not None and before.breaker != "closed"
            if each.breaker != "closed" and not was_open:
                reason = self._failures.get(name, "seen by another process")
                delivery_log.warning(
                    "%s: %d consecutive failures (%s); delivery pauses and will retry", name, FAILURES, reason
                )
            elif each.breaker == "closed" and was_open:
                delivery_log.info("%s responds again; delivery continues", name)

    def log_full(self) -> None:
        """Say that events are dropped for want of room; at most once a minute."""
        log_loss(log, "the outbox is full: events are dropped and counted (see max_events, max_bytes, when_full)")

    def _warn_of_delay(self, result: ExchangeResult) -> None:
        """Warn once while events are due for long, although their service answers."""
        delays = [-each.next_due for each in result.counts.values() if each.next_due and each.breaker == "closed"]
        delay = max(delays, default=0.0)
        is_delivered = result.deliverer_age is not None and result.deliverer_age <= NO_DELIVERER
        is_late = delay > (FALLS_BEHIND if is_delivered else NO_DELIVERER)
        if is_late and not self._has_warned and is_delivered:
            log.warning("events are due for %.0f s: delivery falls behind; run a worker, or another one", delay)
        elif is_late and not self._has_warned:
            log.warning("events are due, and no process delivers them; run a worker, or deliver here")
        self._has_warned = is_late


def _complete(futures: Sequence[Future[None]]) -> None:
    for future in futures:
        if future.set_running_or_notify_cancel():
            future.set_result(None)


def _take(queue: deque[Any]) -> list[Any]:
    """Take all of a queue that others append to."""
    return [queue.popleft() for _ in range(len(queue))]
