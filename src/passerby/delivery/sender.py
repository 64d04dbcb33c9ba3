"""The sender of one destination: takes entries from the outbox, performs their calls, and settles them."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from logging import Logger
from typing import Any, Protocol

from ..destinations import Answer, Call, Destination, Rejected, Retry
from ..logs import get_logger
from ..outbox import Outbox
from .breaker import Breaker
from .recovery import Recovery
from .transport import NoAnswer

log: Logger = get_logger("passerby.delivery")


@dataclass(frozen=True, slots=True)
class RetryPlan:
    """When to try again.

    Attributes:
        base: seconds; the first wait is random between 0 and this, each further one between 0 and twice as much.
        cap: seconds that a wait lasts at most.
        age: seconds after which an event that never got through becomes a dead letter.
        concurrency: calls at once to one destination.
        timeout: seconds for one call, body included.
        jitter: gives a number from 0 to 1.
    """

    base: float = 1.0
    cap: float = 300.0
    age: float = 72 * 3600.0
    concurrency: int = 10
    timeout: float = 10.0
    jitter: Callable[[], float] = random.random

    def wait(self, attempts: int) -> float:
        """Return how long to wait after so many attempts (full jitter)."""
        return self.jitter() * min(self.cap, self.base * 2.0 ** min(attempts - 1, 32))


class NoBrowserId(Exception):
    """There is no browser ID for a visit without one, for now. Says nothing of the destination of its events."""


class CallPerformer(Protocol):
    """Performs one call at a time; raises NoAnswer."""

    async def perform(self, call: Call, timeout: float) -> Answer: ...
    async def aclose(self) -> None: ...


class Sender:
    """Delivers the events of one destination. Lives in the worker's loop.

    Args:
        destination: says what to call and what answers mean.
        outbox: where the entries are.
        plan: when to try again.
        make_lane: makes what performs calls, one connection each.
        find_browser_id: gets an ID for a visit without one; raises NoBrowserId.
        clock: seconds on a clock that never goes back.
        on_change: called when there may be more to begin: a lane is free again, or the breaker closes.
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
        self.recovery: Recovery = Recovery(lambda: outbox.tally(destination.name).enqueued)
        self.retries: int = 0
        self._outbox = outbox
        self._plan = plan
        self._make_lane = make_lane
        self._find_browser_id = find_browser_id
        self._clock = clock
        self._on_change = on_change
        self._idle: list[CallPerformer] = []
        self._busy: set[asyncio.Task[None]] = set()

    def dispatch(self) -> float | None:
        """Begin as many deliveries as may be begun now; return when to look again, or None for when woken."""
        now = self._clock()
        self.recovery.look(now)
        for entry in self._acquire(self._plan.concurrency - len(self._busy)):
            task = asyncio.create_task(self._use_lane(entry))
            self._busy.add(task)
            task.add_done_callback(self._busy.discard)
        if self.breaker.wait_until() > now:
            return self.breaker.wait_until()
        if self.breaker.state == "half-open" or len(self._busy) >= self._plan.concurrency:
            return None  # whatever is due: whoever is under way says when there is room
        if self.recovery.room(now) == 0:
            return self.recovery.due(now)
        return self._outbox.next_due(self.destination.name)

    @property
    def has_room(self) -> bool:
        """Whether an event that came now could be sent now."""
        now = self._clock()
        return self.breaker.slots(now, self._plan.concurrency - len(self._busy)) > 0 and self.recovery.room(now) != 0

    async def aclose(self) -> None:
        """Let go of all connections; what is being sent is given up and stays in the outbox."""
        await asyncio.sleep(0)  # cancelled before its first step, a task would not give its entry back
        for task in list(self._busy):
            task.cancel()
        if self._busy:
            await asyncio.gather(*self._busy, return_exceptions=True)
        for lane in self._idle:
            await lane.aclose()
        self._idle.clear()

    def _acquire(self, wanted: int) -> Sequence[Any]:
        now = self._clock()
        slots = self.breaker.slots(now, wanted)
        room = self.recovery.room(now)
        if room is not None:
            slots = min(slots, room)
        if slots <= 0:
            return ()
        entries = self._outbox.acquire(self.destination.name, slots, now)
        if entries:
            self.breaker.begin()
            self.recovery.take(len(entries))
        return entries

    async def _use_lane(self, entry: Any) -> None:
        """Deliver one entry after another on a lane until there is none."""
        lane: CallPerformer | None = None
        entries: Sequence[Any] = (entry,)
        try:
            lane = self._idle.pop() if self._idle else self._make_lane()
            while entries:
                await self._deliver(lane, entries[0])
                entries = ()
                entries = self._acquire(1)
            self._idle.append(lane)
        except BaseException as error:
            if lane is not None:
                await lane.aclose()
            if not isinstance(error, Exception):
                raise
            log.exception("delivery to %s failed inside; it is tried again", self.destination.name)
            self.breaker.on_abandoned()
            self._give_back(entries)
        finally:
            self._on_change()

    def _give_back(self, entries: Sequence[Any]) -> None:
        """What was acquired must come back, or nothing of its visitor is ever sent again."""
        for entry in entries:
            self._outbox.settle_retry(entry, self._clock() + self._plan.wait(entry.attempts))

    async def _deliver(self, lane: CallPerformer, entry: Any) -> None:
        try:
            verdict = await self._attempt(lane, entry)
        except asyncio.CancelledError:
            self.breaker.on_abandoned()
            self._outbox.settle_retry(entry, self._clock())
            raise
        except NoBrowserId as error:  # says nothing of the destination
            self.breaker.on_abandoned()
            self._put_off(entry, Retry(str(error)), self._clock())
            return
        except Exception as error:  # our own mistake must not stop the others' delivery
            log.exception("event %s for %s could not be sent", entry.event.id, self.destination.name)
            verdict = Rejected(f"internal error: {type(error).__name__}")
        self._settle(entry, verdict)

    async def _attempt(self, lane: CallPerformer, entry: Any) -> Any:
        event = entry.event
        try:
            if event.browser_id is None:
                event = event._replace(browser_id=await self._find_browser_id(event.visitor))
            answer = await lane.perform(self.destination.encode([event]), self._plan.timeout)
        except NoAnswer as error:
            return Retry(str(error))
        return self.destination.judge(answer)

    def _settle(self, entry: Any, verdict: Any) -> None:
        if isinstance(verdict, Retry):
            self._settle_retry(entry, verdict)
            return
        if self.breaker.is_open:
            self.recovery.begin(self._clock())
            self._on_change()
        self.breaker.on_success()
        if isinstance(verdict, Rejected):
            log.error("event %s is a dead letter at %s: %s", entry.event.id, self.destination.name, verdict.reason)
            self._outbox.settle_dead(entry, verdict.reason)
        else:
            self._outbox.settle_delivered(entry, verdict.answer)

    def _settle_retry(self, entry: Any, verdict: Retry) -> None:
        now = self._clock()
        self.breaker.on_failure(now, verdict.reason, verdict.after)
        self._put_off(entry, verdict, now)

    def _put_off(self, entry: Any, verdict: Retry, now: float) -> None:
        if now - entry.since > self._plan.age:
            log.error("event %s is a dead letter at %s: too old", entry.event.id, self.destination.name)
            self._outbox.settle_dead(entry, f"too old; last: {verdict.reason}")
            return
        self.retries += 1
        due = now + max(self._plan.wait(entry.attempts), verdict.after or 0.0)
        self._outbox.settle_retry(entry, due, verdict.reason)
