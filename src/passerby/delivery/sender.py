"""The sender of one destination: claims entries from the outbox, performs their requests, and settles them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from logging import Logger
from typing import Any, Protocol

from ..destinations import Destination, DestinationResponse, OutgoingRequest, Rejected, Retry, SendResult, SplitBatch
from ..logs import get_logger
from ..old_outbox import Outbox
from ..values.outcome import Delivered
from .breaker import JITTER, Breaker
from .claimed_batch import ClaimedBatch, Envelope
from .errors import DeliveryError
from .ramp_up import RampUp
from .transport import TransportError

log: Logger = get_logger("passerby.delivery")


@dataclass(frozen=True, kw_only=True, slots=True)
class RetryPlan:
    """When to retry.

    Attributes:
        base: seconds; the first wait is random between 0 and this value, and the limit doubles for each later one.
        cap: the longest wait in seconds.
        age: seconds after which an undelivered event becomes a dead letter.
        concurrency: concurrent requests to one destination.
        timeout: seconds for one request, including the response body.
        jitter: returns a number from 0 to 1.
    """

    base: float
    cap: float
    age: float
    concurrency: int
    timeout: float
    jitter: Callable[[], float] = JITTER

    def wait(self, attempts: int) -> float:
        """Return how long to wait after this number of attempts (full jitter)."""
        return self.jitter() * min(self.cap, self.base * 2.0 ** min(attempts - 1, 32))


class NoBrowserId(DeliveryError):
    """There is no browser ID for a session without one now. It says nothing about the destination of its events.

    Attributes:
        after: seconds until the next attempt, if known.
    """

    def __init__(self, reason: str, after: float | None = None) -> None:
        self.after = after
        super().__init__(reason)


class RequestPerformer(Protocol):
    """Performs one request at a time. Raises TransportError."""

    async def perform(self, call: OutgoingRequest, timeout: float) -> DestinationResponse: ...
    async def aclose(self) -> None: ...


class Sender:
    """Delivers the events of one destination. Runs in the worker's loop.

    Args:
        destination: encodes events and classifies responses.
        outbox: the outbox.
        plan: when to retry.
        make_connection: makes a connection.
        find_browser_id: gets an ID for a session without one; raises NoBrowserId.
        clock: a monotonic clock, in seconds.
        on_change: called when more requests may be started: a connection is free again, or the breaker closes.

    Attributes:
        recorded: the number of events recorded by this process, without those found in files.
    """

    def __init__(
        self,
        destination: Destination,
        outbox: Outbox,
        plan: RetryPlan,
        make_connection: Callable[[], RequestPerformer],
        find_browser_id: Callable[[str], Coroutine[Any, Any, str]],
        clock: Callable[[], float],
        on_change: Callable[[], None],
    ) -> None:
        self.destination = destination
        self.breaker: Breaker = Breaker(destination.name, shortest=plan.base)
        self.recorded: int = 0
        self.ramp_up: RampUp = RampUp(lambda: self.recorded)
        self.retries: int = 0
        self._outbox = outbox
        self._plan = plan
        self._make_connection = make_connection
        self._find_browser_id = find_browser_id
        self._clock = clock
        self._on_change = on_change
        self._idle: list[RequestPerformer] = []
        self._busy: set[asyncio.Task[None]] = set()

    def count_recorded(self) -> None:
        """Count an event recorded by this process for the destination."""
        self.recorded += 1

    def dispatch(self) -> float | None:
        """Start as many requests as allowed now. Returns when to call again, or None for when woken."""
        now = self._clock()
        self.ramp_up.sample(now)
        for batch in self._acquire(self._plan.concurrency - len(self._busy)):
            task = asyncio.create_task(self._run_connection(batch))
            self._busy.add(task)
            task.add_done_callback(self._busy.discard)
        if self.breaker.next_attempt_at() > now:
            return self.breaker.next_attempt_at()
        if self.breaker.state == "half-open" or len(self._busy) >= self._plan.concurrency:
            return None  # a running request wakes the worker when it has ended
        if self.ramp_up.room(now) == 0:
            return self.ramp_up.due(now)
        return self._outbox.next_due(self.destination.name)

    @property
    def can_send(self) -> bool:
        """Whether a new event could be sent now."""
        now = self._clock()
        return self.breaker.slots(now, self._plan.concurrency - len(self._busy)) > 0 and self.ramp_up.room(now) != 0

    def next_attempt(self, now: float) -> float | None:
        """Return when the next attempt is due, as far as known, or None if no events wait."""
        name = self.destination.name
        if not self._outbox.tally(name).waiting:
            return None
        if self._busy:
            return now
        if self.breaker.next_attempt_at() > now:
            return self.breaker.next_attempt_at()
        return self._outbox.next_due(name) or now  # an entry without a known time may be loading from a file

    async def aclose(self) -> None:
        """Close all connections. Running requests are cancelled and their events stay in the outbox."""
        await asyncio.sleep(0)  # a task that is cancelled before its first step would not return its entry
        for task in list(self._busy):
            task.cancel()
        if self._busy:
            await asyncio.gather(*self._busy, return_exceptions=True)
        for connection in self._idle:
            await connection.aclose()
        self._idle.clear()

    def _acquire(self, connections: int) -> list[ClaimedBatch]:
        """Claim the entries that some connections may send now, at most one request for each."""
        now = self._clock()
        slots = self.breaker.slots(now, connections)
        if slots <= 0:
            return []
        # How many events fit into one request is known only after claiming them, so a probe sends one event.
        size = self.destination.batch_size
        wanted = slots if self.breaker.is_open else slots * size
        room = self.ramp_up.room(now)
        if room is not None:
            wanted = min(wanted, room)
        entries = self._outbox.acquire(self.destination.name, wanted, now) if wanted > 0 else ()
        if not entries:
            return []
        self.breaker.begin()
        self.ramp_up.spend(len(entries))
        return [ClaimedBatch(entries[start : start + size], self.destination) for start in range(0, len(entries), size)]

    async def _run_connection(self, batch: ClaimedBatch) -> None:
        """Deliver one batch after another on a connection until there is none."""
        connection: RequestPerformer | None = None
        batches = [batch]
        try:
            connection = self._idle.pop() if self._idle else self._make_connection()
            while batches:
                await self._deliver(connection, batches[0])
                batches = []
                batches = self._acquire(1)
            self._idle.append(connection)
        except BaseException as error:
            if isinstance(error, Exception):
                log.exception("internal error in delivery to %s; will retry", self.destination.name)
                self.breaker.on_abandoned()
                for one in batches:
                    self._retry_all(one)
            if connection is not None:
                await connection.aclose()
            if not isinstance(error, Exception):
                raise
        finally:
            self._on_change()

    def _retry_all(self, batch: ClaimedBatch) -> None:
        """Return all entries to the outbox. Otherwise no event of these visitors would ever be sent again."""
        for envelope in batch.take_all():
            self._outbox.settle_retry(envelope.entry, self._clock() + self._plan.wait(envelope.entry.attempts))

    async def _deliver(self, connection: RequestPerformer, batch: ClaimedBatch) -> None:
        """Perform the requests of a batch one after another."""
        try:
            call = batch.next_request
            while call is not None:
                await self._deliver_call(connection, batch, call)
                call = batch.next_request
                if call is not None and (self.breaker.is_open or self.breaker.next_attempt_at() > self._clock()):
                    self._release(batch)  # the service asked for a pause
                    return
        except asyncio.CancelledError:
            self.breaker.on_abandoned()
            self._release(batch)
            raise

    def _release(self, batch: ClaimedBatch) -> None:
        """Return unsent entries to the outbox, due at once."""
        for envelope in batch.take_all():
            self._outbox.settle_retry(envelope.entry, self._clock())

    async def _deliver_call(self, connection: RequestPerformer, batch: ClaimedBatch, call: list[Envelope]) -> None:
        if any(envelope.event.browser_id is None for envelope in call) and not await self._find_browser_ids(call):
            self.breaker.on_abandoned()
            return
        result: SendResult
        is_answered = False
        try:
            request = self.destination.encode([envelope.event for envelope in call])
            response = await connection.perform(request, self._plan.timeout)
            is_answered = True
            result = self.destination.classify(response)
        except TransportError as error:
            result = Retry(str(error))
        except Exception as error:  # an internal error with one event must not stop the delivery of others
            if len(call) == 1:
                log.exception("cannot send event %s to %s", call[0].event.id, self.destination.name)
            result = SplitBatch(f"internal error: {type(error).__name__}")
        if isinstance(result, Retry):
            self._retry_request(call, result)
            return
        if is_answered:
            self._note_success()
        else:
            self.breaker.on_abandoned()
        if isinstance(result, SplitBatch) and len(call) > 1:
            batch.split()
        else:
            self._settle_all(call, result)

    async def _find_browser_ids(self, call: list[Envelope]) -> bool:
        """Add missing browser IDs. Events without one are retried later. Returns whether any are left."""
        missing = [envelope for envelope in call if envelope.event.browser_id is None]
        searches = (self._find_browser_id(envelope.event.visitor) for envelope in missing)
        for envelope, found in zip(missing, await asyncio.gather(*searches, return_exceptions=True), strict=True):
            if isinstance(found, str):
                envelope.link(found)
                continue
            if isinstance(found, asyncio.CancelledError):
                raise found
            call.remove(envelope)
            if isinstance(found, NoBrowserId | TransportError):  # not a failure of the destination
                self._retry_later(envelope.entry, Retry(str(found), getattr(found, "after", None)), self._clock())
            else:
                log.error("no browser ID for event %s", envelope.event.id, exc_info=found)
                self._outbox.settle_dead(envelope.entry, f"internal error: {type(found).__name__}")
        return bool(call)

    def _note_success(self) -> None:
        """Note that the service has responded."""
        if self.breaker.is_open:
            self.ramp_up.start(self._clock())
            self._on_change()
        self.breaker.on_success()

    def _settle_all(self, call: list[Envelope], result: Delivered | Rejected | SplitBatch) -> None:
        while call:
            entry = call[0].entry
            if isinstance(result, Delivered):
                self._outbox.settle_delivered(entry, result.response)
            else:
                log.error("event %s is a dead letter at %s: %s", entry.event.id, self.destination.name, result.reason)
                self._outbox.settle_dead(entry, result.reason)
            del call[0]

    def _retry_request(self, call: list[Envelope], result: Retry) -> None:
        now = self._clock()
        self.breaker.on_failure(now, result.reason, result.after)
        while call:
            self._retry_later(call[0].entry, result, now)
            del call[0]

    def _retry_later(self, entry: Any, result: Retry, now: float) -> None:
        if now - entry.since > self._plan.age:
            log.error("event %s is a dead letter at %s: too old", entry.event.id, self.destination.name)
            self._outbox.settle_dead(entry, f"too old; last: {result.reason}")
            return
        self.retries += 1
        due = now + max(self._plan.wait(entry.attempts), result.after or 0.0)
        self._outbox.settle_retry(entry, due, result.reason)
