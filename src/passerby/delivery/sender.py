"""The sender of one destination: performs the requests of claimed events, and settles them."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from logging import Logger
from random import SystemRandom
from typing import Any, Protocol

from ..destinations import Destination, DestinationResponse, OutgoingRequest, Rejected, Retry, SendResult, SplitBatch
from ..logs import get_logger
from ..outbox.codec import UndecodablePayload
from ..outbox.contract import ClaimedEvent, ServiceReport
from ..outbox.inflight import DeliveryWish
from ..outbox.outbox import Outbox
from ..values.outcome import Delivered
from .claimed_batch import ClaimedBatch, Envelope, make_batches
from .errors import DeliveryError
from .transport import TransportError

log: Logger = get_logger("passerby.delivery")

JITTER: Callable[[], float] = SystemRandom().random  # from 0 to 1; an app may have seeded the global generator
_AHEAD = 4  # how many single events are claimed for each connection, so that it need not wait for the next claim


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

    Attributes:
        retries: how many events were to be tried again.
    """

    def __init__(
        self,
        destination: Destination,
        outbox: Outbox,
        plan: RetryPlan,
        make_connection: Callable[[], RequestPerformer],
        find_browser_id: Callable[[str], Coroutine[Any, Any, str]],
    ) -> None:
        self.destination = destination
        self.retries: int = 0
        self._outbox = outbox
        self._plan = plan
        self._make_connection = make_connection
        self._find_browser_id = find_browser_id
        self._claimed: deque[ClaimedBatch] = deque()
        self._idle: list[RequestPerformer] = []
        self._busy: set[asyncio.Task[None]] = set()
        self._connections = 0

    @property
    def wish(self) -> DeliveryWish:
        """How many events it can have at a time."""
        size = self.destination.batch_size
        return DeliveryWish(self._plan.concurrency * max(size, _AHEAD), size)

    def add(self, claims: Sequence[ClaimedEvent]) -> None:
        """Send claimed events."""
        envelopes: list[Envelope] = []
        for claim in claims:
            try:
                envelopes.append(Envelope(claim))
            except UndecodablePayload as error:
                self._bury(claim, error.reason)
                self._report("abandoned")  # it may have been claimed as a probe
        self._claimed += make_batches(envelopes, self.destination)
        self._start_connections()

    def _start_connections(self) -> None:
        while self._claimed and self._connections < self._plan.concurrency:
            self._connections += 1
            task = asyncio.create_task(self._run_connection(self._claimed.popleft()))
            self._busy.add(task)
            task.add_done_callback(self._busy.discard)

    async def aclose(self) -> None:
        """Close all connections. Running requests are cancelled and their events stay in the outbox."""
        await asyncio.sleep(0)  # a task that is cancelled before its first step would not give its events back
        self.release_claimed()
        for task in list(self._busy):
            task.cancel()
        if self._busy:
            await asyncio.gather(*self._busy, return_exceptions=True)
        for connection in self._idle:
            await connection.aclose()
        self._idle.clear()

    async def _run_connection(self, batch: ClaimedBatch) -> None:
        """Deliver one batch after another on a connection until there is none."""
        connection: RequestPerformer | None = None
        try:
            connection = self._idle.pop() if self._idle else self._make_connection()
            await self._deliver(connection, batch)
            while self._claimed:
                batch = self._claimed.popleft()
                await self._deliver(connection, batch)
            self._idle.append(connection)
        except BaseException as error:
            if isinstance(error, Exception):
                log.exception("internal error in delivery to %s; will retry", self.destination.name)
                self._report("abandoned")
                for envelope in batch.take_all():  # otherwise no event of these visitors would ever be sent again
                    self._outbox.settle(envelope.claim, "retry", after=self._plan.wait(envelope.claim.attempts))
                self.release_claimed()  # the next claim may come late
            if connection is not None:
                await connection.aclose()
            if not isinstance(error, Exception):
                raise
        finally:
            self._connections -= 1
            self._start_connections()  # for what was claimed since this one looked

    async def _deliver(self, connection: RequestPerformer, batch: ClaimedBatch) -> None:
        """Perform the requests of a batch one after another. After a failure the rest is given back."""
        try:
            call = batch.next_request
            while call is not None:
                if not await self._deliver_call(connection, batch, call):
                    self._release(batch.take_all())
                    self.release_claimed()
                    return
                call = batch.next_request
        except asyncio.CancelledError:
            self._release(batch.take_all())
            raise

    def release_claimed(self) -> None:
        """Give back what was claimed ahead: the store decides when it is sent."""
        while self._claimed:
            self._release(self._claimed.popleft().take_all())

    def _release(self, envelopes: Sequence[Envelope]) -> None:
        for envelope in envelopes:
            self._outbox.settle(envelope.claim, "unsent")

    async def _deliver_call(self, connection: RequestPerformer, batch: ClaimedBatch, call: list[Envelope]) -> bool:
        """Perform a request. Returns whether the service can take the next one."""
        if any(envelope.event.browser_id is None for envelope in call):
            self._release(batch.take(await self._find_browser_ids(call)))  # behind those that are retried
            if not call:
                self._report("abandoned")
                return True
        if self._outbox.time_left(call[0].claim) < self._plan.timeout:  # also after a long search for browser IDs
            return False
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
            self._report("failure", result)
            while call:
                self._retry_later(call.pop(0).claim, result)
            return False
        self._report("success" if is_answered else "abandoned")  # even a refusal shows that the service is available
        if isinstance(result, SplitBatch) and len(call) > 1:
            batch.split()
        else:
            self._settle_all(call, result)
        return True

    async def _find_browser_ids(self, call: list[Envelope]) -> set[str]:
        """Add missing browser IDs. Events without one are retried later. Returns the visitors of those."""
        postponed: set[str] = set()
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
                self._retry_later(envelope.claim, Retry(str(found), getattr(found, "after", None)))
                postponed.add(envelope.claim.visitor)
            else:
                log.error("no browser ID for event %s", envelope.event.id, exc_info=found)
                self._outbox.settle(envelope.claim, "dead", reason=f"internal error: {type(found).__name__}")
        return postponed

    def _report(self, kind: Any, failure: Retry | None = None) -> None:
        name = self.destination.name
        if failure is None:
            self._outbox.report(ServiceReport(name, kind))
        else:
            self._outbox.report(ServiceReport(name, kind, failure.after, self._plan.base, failure.reason))

    def _settle_all(self, call: list[Envelope], result: Delivered | Rejected | SplitBatch) -> None:
        while call:
            claim = call.pop(0).claim
            if isinstance(result, Delivered):
                self._outbox.settle(claim, "delivered", response=result.response)
            else:
                self._bury(claim, result.reason)

    def _bury(self, claim: ClaimedEvent, reason: str) -> None:
        log.error("event %s is a dead letter at %s: %s", claim.event_id, self.destination.name, reason)
        self._outbox.settle(claim, "dead", reason=reason)

    def _retry_later(self, claim: ClaimedEvent, result: Retry) -> None:
        if claim.age > self._plan.age:
            log.error("event %s is a dead letter at %s: too old", claim.event_id, self.destination.name)
            self._outbox.settle(claim, "dead", reason=f"too old; last: {result.reason}")
            return
        self.retries += 1
        after = max(self._plan.wait(claim.attempts), result.after or 0.0)
        self._outbox.settle(claim, "retry", after=after, reason=result.reason)
