"""The sender of one destination: claims entries from the outbox, performs their requests, and settles them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from logging import Logger
from typing import Any, Protocol

from ..destinations import Destination, DestinationResponse, OutgoingRequest, Rejected, Retry, SendResult, SplitBatch
from ..logs import get_logger
from ..outbox import Outbox
from ..values.outcome import Delivered
from .breaker import JITTER, Breaker
from .errors import DeliveryError
from .load import Load, Parcel
from .recovery import Recovery
from .transport import NoAnswer

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


class CallPerformer(Protocol):
    """Performs one request at a time. Raises NoAnswer."""

    async def perform(self, call: OutgoingRequest, timeout: float) -> DestinationResponse: ...
    async def aclose(self) -> None: ...


class Sender:
    """Delivers the events of one destination. Runs in the worker's loop.

    Args:
        destination: encodes events and classifies responses.
        outbox: the outbox.
        plan: when to retry.
        make_lane: makes a connection.
        find_browser_id: gets an ID for a session without one; raises NoBrowserId.
        clock: a monotonic clock, in seconds.
        on_change: called when more requests may be started: a connection is free again, or the breaker closes.

    Attributes:
        told: the number of events recorded by this process, without those found in files.
    """

    def __init__(
        self,
        destination: Destination,
        outbox: Outbox,
        plan: RetryPlan,
        make_lane: Callable[[], CallPerformer],
        find_browser_id: Callable[[str], Coroutine[Any, Any, str]],
        clock: Callable[[], float],
        on_change: Callable[[], None],
    ) -> None:
        self.destination = destination
        self.breaker: Breaker = Breaker(destination.name, shortest=plan.base)
        self.told: int = 0
        self.recovery: Recovery = Recovery(lambda: self.told)
        self.retries: int = 0
        self._outbox = outbox
        self._plan = plan
        self._make_lane = make_lane
        self._find_browser_id = find_browser_id
        self._clock = clock
        self._on_change = on_change
        self._idle: list[CallPerformer] = []
        self._busy: set[asyncio.Task[None]] = set()

    def count_recorded(self) -> None:
        """Count an event recorded by this process for the destination."""
        self.told += 1

    def dispatch(self) -> float | None:
        """Start as many requests as allowed now. Returns when to call again, or None for when woken."""
        now = self._clock()
        self.recovery.look(now)
        for load in self._acquire(self._plan.concurrency - len(self._busy)):
            task = asyncio.create_task(self._use_lane(load))
            self._busy.add(task)
            task.add_done_callback(self._busy.discard)
        if self.breaker.wait_until() > now:
            return self.breaker.wait_until()
        if self.breaker.state == "half-open" or len(self._busy) >= self._plan.concurrency:
            return None  # a running request wakes the worker when it has ended
        if self.recovery.room(now) == 0:
            return self.recovery.due(now)
        return self._outbox.next_due(self.destination.name)

    @property
    def has_room(self) -> bool:
        """Whether a new event could be sent now."""
        now = self._clock()
        return self.breaker.slots(now, self._plan.concurrency - len(self._busy)) > 0 and self.recovery.room(now) != 0

    def next_attempt(self, now: float) -> float | None:
        """Return when the next attempt is due, as far as known, or None if no events wait."""
        name = self.destination.name
        if not self._outbox.tally(name).waiting:
            return None
        if self._busy:
            return now
        if self.breaker.wait_until() > now:
            return self.breaker.wait_until()
        return self._outbox.next_due(name) or now  # an entry without a known time may be loading from a file

    async def aclose(self) -> None:
        """Close all connections. Running requests are cancelled and their events stay in the outbox."""
        await asyncio.sleep(0)  # a task that is cancelled before its first step would not return its entry
        for task in list(self._busy):
            task.cancel()
        if self._busy:
            await asyncio.gather(*self._busy, return_exceptions=True)
        for lane in self._idle:
            await lane.aclose()
        self._idle.clear()

    def _acquire(self, lanes: int) -> list[Load]:
        """Claim the entries that some connections may send now, at most one request for each."""
        now = self._clock()
        slots = self.breaker.slots(now, lanes)
        if slots <= 0:
            return []
        # How many events fit into one request is known only after claiming them, so a probe sends one event.
        size = self.destination.batch_size
        wanted = slots if self.breaker.is_open else slots * size
        room = self.recovery.room(now)
        if room is not None:
            wanted = min(wanted, room)
        entries = self._outbox.acquire(self.destination.name, wanted, now) if wanted > 0 else ()
        if not entries:
            return []
        self.breaker.begin()
        self.recovery.take(len(entries))
        return [Load(entries[start : start + size], self.destination) for start in range(0, len(entries), size)]

    async def _use_lane(self, load: Load) -> None:
        """Deliver one batch after another on a connection until there is none."""
        lane: CallPerformer | None = None
        loads = [load]
        try:
            lane = self._idle.pop() if self._idle else self._make_lane()
            while loads:
                await self._deliver(lane, loads[0])
                loads = []
                loads = self._acquire(1)
            self._idle.append(lane)
        except BaseException as error:
            if isinstance(error, Exception):
                log.exception("internal error in delivery to %s; will retry", self.destination.name)
                self.breaker.on_abandoned()
                for one in loads:
                    self._give_back(one)
            if lane is not None:
                await lane.aclose()
            if not isinstance(error, Exception):
                raise
        finally:
            self._on_change()

    def _give_back(self, load: Load) -> None:
        """Return all entries to the outbox. Otherwise no event of these visitors would ever be sent again."""
        for parcel in load.take_all():
            self._outbox.settle_retry(parcel.entry, self._clock() + self._plan.wait(parcel.entry.attempts))

    async def _deliver(self, lane: CallPerformer, load: Load) -> None:
        """Perform the requests of a batch one after another."""
        try:
            call = load.next_call
            while call is not None:
                await self._deliver_call(lane, load, call)
                call = load.next_call
                if call is not None and (self.breaker.is_open or self.breaker.wait_until() > self._clock()):
                    self._release(load)  # the service asked for a pause
                    return
        except asyncio.CancelledError:
            self.breaker.on_abandoned()
            self._release(load)
            raise

    def _release(self, load: Load) -> None:
        """Return unsent entries to the outbox, due at once."""
        for parcel in load.take_all():
            self._outbox.settle_retry(parcel.entry, self._clock())

    async def _deliver_call(self, lane: CallPerformer, load: Load, call: list[Parcel]) -> None:
        if any(parcel.event.browser_id is None for parcel in call) and not await self._find_browser_ids(call):
            self.breaker.on_abandoned()
            return
        verdict: SendResult
        is_answered = False
        try:
            request = self.destination.encode([parcel.event for parcel in call])
            response = await lane.perform(request, self._plan.timeout)
            is_answered = True
            verdict = self.destination.classify(response)
        except NoAnswer as error:
            verdict = Retry(str(error))
        except Exception as error:  # an internal error with one event must not stop the delivery of others
            if len(call) == 1:
                log.exception("cannot send event %s to %s", call[0].event.id, self.destination.name)
            verdict = SplitBatch(f"internal error: {type(error).__name__}")
        if isinstance(verdict, Retry):
            self._put_off_all(call, verdict)
            return
        if is_answered:
            self._note_success()
        else:
            self.breaker.on_abandoned()
        if isinstance(verdict, SplitBatch) and len(call) > 1:
            load.divide()
        else:
            self._settle_all(call, verdict)

    async def _find_browser_ids(self, call: list[Parcel]) -> bool:
        """Add missing browser IDs. Events without one are retried later. Returns whether any are left."""
        missing = [parcel for parcel in call if parcel.event.browser_id is None]
        searches = (self._find_browser_id(parcel.event.visitor) for parcel in missing)
        for parcel, found in zip(missing, await asyncio.gather(*searches, return_exceptions=True), strict=True):
            if isinstance(found, str):
                parcel.link(found)
                continue
            if isinstance(found, asyncio.CancelledError):
                raise found
            call.remove(parcel)
            if isinstance(found, NoBrowserId | NoAnswer):  # not a failure of the destination
                self._put_off(parcel.entry, Retry(str(found), getattr(found, "after", None)), self._clock())
            else:
                log.error("no browser ID for event %s", parcel.event.id, exc_info=found)
                self._outbox.settle_dead(parcel.entry, f"internal error: {type(found).__name__}")
        return bool(call)

    def _note_success(self) -> None:
        """Note that the service has responded."""
        if self.breaker.is_open:
            self.recovery.begin(self._clock())
            self._on_change()
        self.breaker.on_success()

    def _settle_all(self, call: list[Parcel], verdict: Delivered | Rejected | SplitBatch) -> None:
        while call:
            entry = call[0].entry
            if isinstance(verdict, Delivered):
                self._outbox.settle_delivered(entry, verdict.response)
            else:
                log.error("event %s is a dead letter at %s: %s", entry.event.id, self.destination.name, verdict.reason)
                self._outbox.settle_dead(entry, verdict.reason)
            del call[0]

    def _put_off_all(self, call: list[Parcel], verdict: Retry) -> None:
        now = self._clock()
        self.breaker.on_failure(now, verdict.reason, verdict.after)
        while call:
            self._put_off(call[0].entry, verdict, now)
            del call[0]

    def _put_off(self, entry: Any, verdict: Retry, now: float) -> None:
        if now - entry.since > self._plan.age:
            log.error("event %s is a dead letter at %s: too old", entry.event.id, self.destination.name)
            self._outbox.settle_dead(entry, f"too old; last: {verdict.reason}")
            return
        self.retries += 1
        due = now + max(self._plan.wait(entry.attempts), verdict.after or 0.0)
        self._outbox.settle_retry(entry, due, verdict.reason)
