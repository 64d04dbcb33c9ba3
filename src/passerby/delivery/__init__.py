"""Delivery: one object that sends events in the background.

It has the worker thread and one sender for each destination. Events wait in the outbox. The app's threads and loops
only add events and never wait for the network.
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

from ..destinations import Destination, DestinationResponse, OutgoingRequest, Query
from ..errors import RemoteError, RemoteTimeout
from ..events.event import Event
from ..logs import get_logger, log_loss
from ..old_outbox import Observer, Outbox
from ..values.futures import wait_async, wait_sync
from .breaker import BreakerState
from .flush import Flushes
from .process import register_process_listener
from .sender import RetryPlan, Sender
from .transport import Connection, TransportError, make_ssl_context
from .worker import Worker, cancel_others

log: Logger = get_logger("passerby.delivery")
T = TypeVar("T")

_JUST_NOW = 1.0  # seconds
_IMPATIENT = 0.2  # seconds for the outbox after a second Ctrl-C


class BrowserIdSource(Protocol):
    """Fetches browser IDs in the background, for future visitors and for events whose session had none."""

    def attach(self, delivery: Delivery) -> None:
        """Start with a delivery that performs the requests: a new one, or that of a forked child."""
        ...

    def fill(self) -> float | None:
        """Start to fetch missing IDs. Returns when to call again, or None for when woken."""
        ...

    async def find(self, visitor: str) -> str:
        """Get an ID for a session without one. Raises NoBrowserId."""
        ...

    def return_unused(self) -> None:
        """Give the ready IDs back for other processes, or for this one after a restart."""
        ...


class Delivery:
    """Sends events from the outbox to their destinations, in the background.

    Args:
        destinations: the destinations.
        browser_ids: the source of browser IDs.
        outbox: the outbox.
        plan: when to retry.
        close_timeout: seconds by which the interpreter's exit is delayed, at most.
        clock: a monotonic clock, in seconds.
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
        self._recorded = 0
        self._is_closed = False
        outbox.on_ready = self._wake_unless_closed
        self._prepare()
        register_process_listener(self)

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
                self._make_connection,
                self._browser_ids.find,
                self._clock,
                self._worker.wake_in_loop,
            )
            for destination in self._destinations
        }
        self._idle_connections: list[Connection] = []
        self._browser_ids.attach(self)

    # Called by the app's threads.

    def start(self) -> None:
        """Start the thread, fill the pool, and look for events of earlier processes."""
        self._is_closed = False
        self._outbox.start()
        self.wake_now()

    def enqueue(self, event: Event, destinations: Sequence[str], observer: Observer, held: bool = False) -> None:
        """Record an event and start its delivery."""
        put = self._outbox.hold if held else self._outbox.put
        put(event, destinations, observer, self._clock())
        for name in destinations:
            self._senders[name].count_recorded()
        self._resume()

    def release(self, visitor: str) -> int:
        """Release a visitor's held events and start their delivery."""
        released = self._outbox.release(visitor)
        if released:
            self._resume()
        return released

    def run_query(self, question: Query[T], timeout: float | None) -> Future[T]:
        """Perform a query in the background. Raises RemoteError if no thread can be started."""
        try:
            return self._worker.run(self._run_query(question, self._plan.timeout if timeout is None else timeout))
        except RuntimeError as error:
            raise RemoteError(f"{error}; try again later") from None

    def flush(self, timeout: float) -> int:
        """Wait until all events are delivered, or for `timeout` seconds. Returns the number of events that still wait.

        If none of them can be sent in that time, because services asked for a longer pause or their breakers are open,
        it returns at once.
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
            return 0  # events that wait now were recorded later
        left = self._outbox.waiting()
        if left:
            self._gave_up = self._clock()
        return left

    def close(self, timeout: float) -> int:
        """Flush, stop the thread and close the outbox's files. A later event starts them again."""
        left = self._close(timeout)
        stored, lost = self._count_undelivered()
        if stored:
            log.info("%d events were not delivered before close; they are on disk for the next process", stored)
        if lost:
            log.info("%d events were not delivered before close and are lost if the process ends now", lost)
        return left

    def _close(self, timeout: float) -> int:
        """Close. Returns the number of events that still wait."""
        until = self._clock() + timeout
        recorded = self._recorded
        left = self.flush(timeout)
        self._is_closed = True
        self._worker.stop(max(0.1, until - self._clock()))
        self._browser_ids.return_unused()
        self._outbox.close(max(0.1, until - self._clock()))
        if self._recorded == recorded:
            self._worker.stop(0.0)  # the outbox may have woken it at the moment of the close
        # Compared again: an event may have been tracked just before this stop, which forgot that it woke the thread.
        if self._recorded != recorded and self._outbox.waiting() > left:  # an event was tracked after the flush
            self.start()
        return left

    def _count_undelivered(self) -> tuple[int, int]:
        """Return the number of events on disk for the next process, and of those that are lost with this one."""
        left, lost = self._outbox.waiting() + self._outbox.held_in_all(), self._outbox.unstored()
        return max(0, left - lost), lost

    def breaker_state(self, destination: str) -> BreakerState:
        """Return the state of a destination's breaker. Without such a destination it is closed."""
        sender = self._senders.get(destination)
        return sender.breaker.state if sender is not None else "closed"

    def retries(self, destination: str) -> int:
        """Return the number of retries of a destination."""
        sender = self._senders.get(destination)
        return sender.retries if sender is not None else 0

    # Called by the source of browser IDs.

    def start_thread(self) -> bool:
        """Start the thread unless it is running. Returns whether it is running then."""
        return self._worker.start()

    def wake_now(self) -> None:
        """Wake the worker now."""
        if self._worker.start():
            self._worker.wake_now()

    def wake_in_loop(self) -> None:
        """Wake the worker; called in its loop."""
        self._worker.wake_in_loop()

    # Called on exit and fork.

    def on_exit(self, waited: float) -> None:
        """Deliver as many events as possible before the interpreter exits, and log the number of the others.

        All `Delivery` objects deliver at the same time, so the time waited for others is subtracted.
        """
        # If the server has shut the app down, a flush may just have waited for the whole timeout.
        has_waited = self._clock() - self._gave_up < _JUST_NOW
        try:
            self._close(0.0 if has_waited else max(0.0, self._close_timeout - waited))
        except KeyboardInterrupt:  # a second Ctrl-C ends the wait
            self._browser_ids.return_unused()
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

    def before_fork(self) -> None:
        """Pause all threads before a fork."""
        self._worker.before_fork()
        self._outbox.before_fork()

    def after_fork_in_parent(self) -> None:
        """Continue all threads after a fork."""
        self._outbox.after_fork_in_parent()
        self._worker.after_fork_in_parent()

    def reset_after_fork(self) -> None:
        """Reset all state in a forked child: thread, connections, locks and waiting events belong to the parent."""
        self._outbox.reset_after_fork()
        self._prepare()

    # Run in the worker's loop.

    def _run_once(self) -> float | None:
        """Start all work that is due. Returns when to run again, or None for when woken."""
        self._end_ramp_up_for_flush()
        parts = [*(sender.dispatch for sender in self._senders.values()), self._browser_ids.fill, self._end_flushes]
        looks = [self._run_part(part) for part in parts]
        return min((look for look in looks if look is not None), default=None)

    def _end_ramp_up_for_flush(self) -> None:
        """End the ramp-up of services while a flush waits."""
        if self._flushes.has_waiters:
            for sender in self._senders.values():
                sender.ramp_up.stop()

    def _run_part(self, part: Callable[[], float | None]) -> float | None:
        """Run one part. An exception in it must not stop the others."""
        try:
            return part()
        except Exception:
            log.exception("internal error in delivery; will retry in one second")
            return self._clock() + 1.0

    async def _work(self, worker: Worker) -> None:
        try:
            while not worker.stopping:
                due = self._run_once()
                can_send = any(sender.can_send for sender in self._senders.values())
                await worker.sleep(None if due is None else max(0.0, due - self._clock()), for_events=can_send)
        finally:
            for sender in self._senders.values():
                await sender.aclose()
            await cancel_others()  # so that no connection is returned afterwards
            while self._idle_connections:
                await self._idle_connections.pop().aclose()

    def _make_connection(self) -> Connection:
        return Connection(self._get_ssl_context)

    def _get_ssl_context(self) -> ssl.SSLContext:
        if self._ssl_context is None:
            self._ssl_context = make_ssl_context()
        return self._ssl_context

    def _when_drained(self, until: float) -> Future[bool] | None:
        """Return a future that ends when no events wait or none can be sent in time, or None if no thread can run."""
        if not self._outbox.waiting():
            drained: Future[bool] = Future()
            drained.set_result(True)
            return drained
        if self._outbox.is_closed or not self._worker.start():
            return None
        drained = self._flushes.begin(until)
        self._worker.wake_now()
        return drained

    def _end_flushes(self) -> None:
        self._flushes.end(sender.next_attempt for sender in self._senders.values())

    def _resume(self) -> None:
        """Start or wake the thread for an event of this process, also after a close."""
        self._recorded += 1
        self._is_closed = False
        self._wake_for_events()

    def _wake_unless_closed(self) -> None:
        """Wake the thread for events that the outbox found, unless it found them as it closed."""
        if not self._is_closed:
            self._wake_for_events()

    def _wake_for_events(self) -> None:
        if self._worker.start():
            self._worker.wake_for_events()

    async def _run_query(self, question: Query[T], timeout: float) -> T:
        try:
            answer = await self.perform(question.request, timeout)
        except TransportError as error:
            if error.timed_out:
                raise RemoteTimeout from None
            raise RemoteError(f"{error}; is the service reachable at the configured address?") from None
        except asyncio.CancelledError:
            if self._worker.stopping:
                raise RemoteError("delivery was closed before the response arrived; try again") from None
            raise
        return question.parse(answer)

    async def perform(self, call: OutgoingRequest, timeout: float) -> DestinationResponse:
        """Perform a request that delivers no event, on a separate connection."""
        connection = self._idle_connections.pop() if self._idle_connections else self._make_connection()
        try:
            answer = await connection.perform(call, timeout)
        except TransportError:
            await self._return_connection(connection)
            raise
        except BaseException:  # for example the worker stops; nothing else would close it
            await connection.aclose()
            raise
        await self._return_connection(connection)
        return answer

    async def _return_connection(self, connection: Connection) -> None:
        """Keep a connection for the next request, unless there are enough."""
        if len(self._idle_connections) < self._plan.concurrency:
            self._idle_connections.append(connection)
        else:
            await connection.aclose()
