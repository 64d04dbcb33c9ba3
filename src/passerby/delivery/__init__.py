"""Delivery: everything that happens in the background, behind one object.

It owns the worker thread and a sender for each destination. What it is given waits in the
outbox; the app's own threads and loops only add to it and never wait for the network.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from logging import Logger
from math import inf
from typing import Protocol, TypeVar

from ..destinations import Answer, Call, Destination, Question
from ..errors import RemoteError, RemoteTimeout
from ..events.event import Event
from ..logs import get_logger, log_loss
from ..outbox import Observer, Outbox
from ..values.futures import wait_async, wait_sync
from .breaker import BreakerState
from .flush import Flushes
from .process import watch_process
from .sender import RetryPlan, Sender
from .transport import Lane, NoAnswer, make_ssl_context
from .worker import Worker, cancel_others

log: Logger = get_logger("passerby.delivery")
T = TypeVar("T")

_JUST_NOW = 1.0  # seconds
_IMPATIENT = 0.2  # seconds for the outbox after a second Ctrl-C


class BrowserIdSource(Protocol):
    """Gets browser IDs in the background, for visitors to come and for events whose visit had none."""

    def attach(self, delivery: Delivery) -> None:
        """Begin with a delivery that performs the calls: a new one, or that of a forked child."""
        ...

    def fill(self) -> float | None:
        """Begin to get what is missing; return when to look again, or None for when woken."""
        ...

    async def find(self, visitor: str) -> str:
        """Get the ID for a visit that had none; raises NoBrowserId."""
        ...

    def leave_to_others(self) -> None:
        """Leave what is ready to other processes, or to this one after a restart."""
        ...


class Delivery:
    """Brings events from the outbox to their destinations, in the background.

    Args:
        destinations: where events go.
        browser_ids: where the browser IDs come from.
        outbox: where events wait.
        plan: when to try again.
        close_timeout: seconds that the interpreter's exit is held up at most.
        clock: seconds on a clock that never goes back.
    """

    def __init__(
        self,
        destinations: Sequence[Destination],
        browser_ids: BrowserIdSource,
        outbox: Outbox,
        plan: RetryPlan,
        close_timeout: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._destinations = tuple(destinations)
        self._browser_ids = browser_ids
        self._outbox = outbox
        self._plan = plan
        self._close_timeout = close_timeout
        self._clock = clock
        outbox.on_ready = self._send_soon
        self._prepare()
        watch_process(self)

    def _prepare(self) -> None:
        self._worker = Worker(self._work, "passerby-delivery")
        self._flushes = Flushes(self._outbox, self._clock)
        self._gave_up = -inf
        self._ssl_context: ssl.SSLContext | None = None
        self._senders = {
            destination.name: Sender(
                destination,
                self._outbox,
                self._plan,
                self._make_lane,
                self._browser_ids.find,
                self._clock,
                self._worker.nudge,
            )
            for destination in self._destinations
        }
        self._spare_lanes: list[Lane] = []
        self._browser_ids.attach(self)

    # What the app's threads call.

    def start(self) -> None:
        """Start the thread, fill the pool, and look for what earlier processes left behind."""
        self._outbox.start()
        self.rouse()

    def enqueue(self, event: Event, destinations: Sequence[str], observer: Observer, held: bool = False) -> None:
        """Record an event and see to its delivery."""
        put = self._outbox.hold if held else self._outbox.put
        put(event, destinations, observer, self._clock())
        for name in destinations:
            self._senders[name].count_recorded()
        self._send_soon()

    def release(self, visitor: str) -> int:
        """Let go of a visitor's held events and see to their delivery."""
        released = self._outbox.release(visitor)
        if released:
            self._send_soon()
        return released

    def ask(self, question: Question[T], timeout: float | None) -> Future[T]:
        """Perform a call whose answer somebody waits for. Raises RemoteError if no thread can be started."""
        try:
            return self._worker.run(self._ask(question, self._plan.timeout if timeout is None else timeout))
        except RuntimeError as error:
            raise RemoteError(f"{error}; try again later") from None

    def flush(self, timeout: float) -> int:
        """Wait until nothing waits any more, or for `timeout` seconds; return how many entries still do.

        Where nothing that waits can be tried in that time, because services want to be left alone for longer or their
        breakers are open, it returns at once.
        """
        until = self._clock() + timeout
        arriving = self._outbox.arriving()
        if arriving is not None:
            wait_sync(arriving, timeout)
        drained = self._when_drained(until)
        if drained is not None:
            wait_sync(drained, until - self._clock())
        return self._count_left(drained)

    async def aflush(self, timeout: float) -> int:
        """Do as `flush` does without blocking the event loop."""
        until = self._clock() + timeout
        arriving = self._outbox.arriving()
        if arriving is not None:
            await wait_async(arriving, timeout)
        drained = self._when_drained(until)
        if drained is not None and not drained.done():
            await wait_async(drained, until - self._clock())
        return self._count_left(drained)

    def _count_left(self, drained: Future[bool] | None) -> int:
        if drained is not None and drained.done() and not drained.cancelled() and drained.result():
            return 0  # what waits now was told since
        left = self._outbox.waiting()
        if left:
            self._gave_up = self._clock()
        return left

    def close(self, timeout: float) -> int:
        """Flush, end the thread and let go of the outbox's files; a later event starts all that again."""
        left = self._close(timeout)
        stored, lost = self._count_undelivered()
        if stored:
            log.info("%d events were not delivered before close; they are on disk for the next process", stored)
        if lost:
            log.info("%d events were not delivered before close and are lost if the process ends now", lost)
        return left

    def _close(self, timeout: float) -> int:
        """Do it; return how many entries still wait."""
        until = self._clock() + timeout
        left = self.flush(timeout)
        self._worker.stop(max(0.1, until - self._clock()))
        self._browser_ids.leave_to_others()
        self._outbox.close(max(0.1, until - self._clock()))
        if self._outbox.waiting() <= left:
            self._worker.stop(0.0)  # what the outbox read as it closed may have started it again
        if self._outbox.waiting() > left:  # an event was tracked after the flush
            self.start()
        return left

    def _count_undelivered(self) -> tuple[int, int]:
        """Return how many entries are on disk for the next process, and how many are lost with this one."""
        left, lost = self._outbox.waiting() + self._outbox.held_in_all(), self._outbox.unstored()
        return max(0, left - lost), lost

    def breaker_state(self, destination: str) -> BreakerState:
        """Return where a destination's breaker stands; that of one that is not configured is closed."""
        sender = self._senders.get(destination)
        return sender.breaker.state if sender is not None else "closed"

    def retries(self, destination: str) -> int:
        """Return how often deliveries to a destination were put off."""
        sender = self._senders.get(destination)
        return sender.retries if sender is not None else 0

    # What the source of browser IDs calls.

    def start_thread(self) -> bool:
        """Start the thread, unless it runs; return whether it does."""
        return self._worker.start()

    def rouse(self) -> None:
        """Have the worker look around now."""
        if self._worker.start():
            self._worker.rouse()

    def nudge(self) -> None:
        """Have the worker look around again; to be called in its loop."""
        self._worker.nudge()

    # What happens to the process.

    def on_exit(self, waited: float) -> None:
        """The interpreter exits: deliver what can be delivered in time and say what is left.

        While it waits for one, all others deliver too; so what it has waited already counts.
        """
        # Where the server has shut the app down, somebody may just have waited as long as that.
        has_waited = self._clock() - self._gave_up < _JUST_NOW
        try:
            self._close(0.0 if has_waited else max(0.0, self._close_timeout - waited))
        except KeyboardInterrupt:  # whoever presses Ctrl-C again does not want to wait
            self._browser_ids.leave_to_others()
            self._outbox.close(_IMPATIENT)
        stored, lost = self._count_undelivered()
        self._outbox.give_up_at_exit()
        if lost and stored:
            log_loss(
                log,
                "%d events were not delivered before exit: %d are on disk for the next process, "
                "%d are not and are lost with this process",
                *(stored + lost, stored, lost),
            )
        elif lost:
            log_loss(log, "%d events were not delivered before exit and are lost with this process", lost)
        elif stored:
            log.info("%d events were not delivered before exit; they wait in the outbox for the next process", stored)

    def hold_still(self) -> None:
        """The process is about to fork: no thread is to be in the middle of something."""
        self._worker.hold_still()
        self._outbox.hold_still()

    def go_on(self) -> None:
        """The process has forked: the threads go on."""
        self._outbox.go_on()
        self._worker.go_on()

    def begin_afresh(self) -> None:
        """A forked child: nothing of the parent's thread, connections, locks and waiting events is ours."""
        self._outbox.begin_afresh()
        self._prepare()

    # What happens in the worker's loop.

    def _look_around(self) -> float | None:
        """Begin what may be begun now; return when to look again, or None for when woken."""
        self._spare_nobody_in_a_flush()
        parts = [*(sender.dispatch for sender in self._senders.values()), self._browser_ids.fill, self._end_flushes]
        looks = [self._look_at(part) for part in parts]
        return min((look for look in looks if look is not None), default=None)

    def _spare_nobody_in_a_flush(self) -> None:
        """Let services that come back while somebody waits for all to be sent have it at once, as those before."""
        if self._flushes.is_waited_for:
            for sender in self._senders.values():
                sender.recovery.end()

    def _look_at(self, part: Callable[[], float | None]) -> float | None:
        """Have one part begin what it may; if it fails, that must not end the delivery of all."""
        try:
            return part()
        except Exception:
            log.exception("delivery failed inside; it is tried again in a second")
            return self._clock() + 1.0

    async def _work(self, worker: Worker) -> None:
        try:
            while not worker.stopping:
                due = self._look_around()
                has_room = any(sender.has_room for sender in self._senders.values())
                await worker.sleep(None if due is None else max(0.0, due - self._clock()), for_events=has_room)
        finally:
            for sender in self._senders.values():
                await sender.aclose()
            await cancel_others()  # so that no lane comes back afterwards
            while self._spare_lanes:
                await self._spare_lanes.pop().aclose()

    def _make_lane(self) -> Lane:
        return Lane(self._get_ssl_context)

    def _get_ssl_context(self) -> ssl.SSLContext:
        if self._ssl_context is None:
            self._ssl_context = make_ssl_context()
        return self._ssl_context

    def _when_drained(self, until: float) -> Future[bool] | None:
        """Return what to wait for until nothing waits, or nothing will be tried in time; None where nobody sends it."""
        if not self._outbox.waiting():
            drained: Future[bool] = Future()
            drained.set_result(True)
            return drained
        if self._outbox.is_closed or not self._worker.start():
            return None
        drained = self._flushes.begin(until)
        self._worker.rouse()
        return drained

    def _end_flushes(self) -> None:
        self._flushes.end(sender.next_attempt for sender in self._senders.values())

    def _send_soon(self) -> None:
        if self._worker.start():
            self._worker.wake()

    async def _ask(self, question: Question[T], timeout: float) -> T:
        try:
            answer = await self.perform(question.call, timeout)
        except NoAnswer as error:
            if error.timed_out:
                raise RemoteTimeout from None
            raise RemoteError(f"{error}; is the service reachable at the configured address?") from None
        except asyncio.CancelledError:
            if self._worker.stopping:
                raise RemoteError("delivery was closed before the answer came; ask again") from None
            raise
        return question.read(answer)

    async def perform(self, call: Call, timeout: float) -> Answer:
        """Perform a call that is no event's, on a lane of its own."""
        lane = self._spare_lanes.pop() if self._spare_lanes else self._make_lane()
        try:
            answer = await lane.perform(call, timeout)
        except NoAnswer:
            await self._put_back(lane)
            raise
        except BaseException:  # the worker ends, say, and nobody else would close it
            await lane.aclose()
            raise
        await self._put_back(lane)
        return answer

    async def _put_back(self, lane: Lane) -> None:
        """Keep a lane for the next call, unless a burst has left enough of them."""
        if len(self._spare_lanes) < self._plan.concurrency:
            self._spare_lanes.append(lane)
        else:
            await lane.aclose()
