"""Delivery: one object that sends events in the background.

It has the worker thread and one sender for each destination. Events wait in the outbox, which claims them for the
senders. The app's threads and loops only record events and never wait for the network.
"""

from __future__ import annotations

import asyncio
import ssl
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from itertools import groupby
from logging import Logger
from math import inf
from typing import Protocol, TypeVar

from ..destinations import Destination, DestinationResponse, OutgoingRequest, Query
from ..errors import RemoteError, RemoteTimeout
from ..events.event import Event
from ..logs import get_logger, log_loss
from ..outbox.contract import ClaimedEvent
from ..outbox.observers import StoreObserver
from ..outbox.outbox import Outbox
from ..process import register_exit_listener, register_fork_listener
from .sender import RetryPlan, Sender
from .transport import Connection, TransportError, make_ssl_context
from .worker import Worker, cancel_others

log: Logger = get_logger("passerby.delivery")
T = TypeVar("T")

_JUST_NOW = 1.0  # seconds
_NO_THREAD = 1.0  # seconds until a thread that could not be started is tried again
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
        delivers: whether events are sent here; otherwise a worker sends them, and this object only runs queries.
        clock: a monotonic clock, in seconds.
    """

    def __init__(
        self,
        destinations: Sequence[Destination],
        browser_ids: BrowserIdSource,
        outbox: Outbox,
        plan: RetryPlan,
        close_timeout: float,
        delivers: bool = True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._destinations = tuple(destinations)
        self._browser_ids = browser_ids
        self._outbox = outbox
        self._plan = plan
        self._close_timeout = close_timeout
        self._clock = clock
        self._delivers = delivers
        self._recorded = 0
        self._prepare()
        register_exit_listener(self)
        register_fork_listener(self)

    def _prepare(self) -> None:
        self._worker = Worker(self._work, "passerby-delivery")
        self._is_claiming = self._is_closing = False
        self._closing = threading.Lock()
        self._gave_up = -inf
        self._ssl_context: ssl.SSLContext | None = None
        self._claimed: deque[Sequence[ClaimedEvent]] = deque()
        self._senders = {
            destination.name: Sender(
                destination, self._outbox, self._plan, self._make_connection, self._browser_ids.find
            )
            for destination in self._destinations
        }
        self._idle_connections: list[Connection] = []
        self._browser_ids.attach(self)

    # Called by the app's threads.

    def start(self, *, delivers: bool | None = None) -> None:
        """Start the thread, fill the pool, and claim what waits in the store.

        Args:
            delivers: whether events are sent here from now on; by default as before.
        """
        self._delivers = self._delivers if delivers is None else delivers
        self._claim()
        self.wake_now()

    def record(self, event: Event, destinations: Sequence[str], observer: StoreObserver, held: bool = False) -> None:
        """Record an event and have it delivered. Raises ValidationError if the outbox is full and is to raise."""
        self._recorded += 1
        self._outbox.record(event, destinations, observer, held=held)
        if not self._is_claiming:
            self._claim()

    def _claim(self) -> None:
        """Claim events from now on, unless a worker does; one that is closing does so again at its end."""
        if self._delivers and not self._is_claiming and not self._is_closing:
            self._is_claiming = True
            self._worker.start()  # when the interpreter ends, it may be too late
            self._outbox.deliver({name: sender.wish for name, sender in self._senders.items()}, self._take)

    def _take(self, claims: Sequence[ClaimedEvent]) -> None:
        """Have the thread send claimed events; called in an exchange, in any thread."""
        if not self._is_claiming:
            for claim in claims:
                self._outbox.settle(claim, "unsent")
            return
        if self._worker.start():
            self._claimed.append(claims)
            self._worker.wake()
        else:
            for claim in claims:
                self._outbox.settle(claim, "unsent", after=_NO_THREAD)

    def stop_claiming(self) -> None:
        """Claim no more events. Calls that run go on; what was claimed ahead is given back."""
        self._delivers = self._is_claiming = False
        self._outbox.stop_claiming()
        self._worker.call(self._give_back)

    def drain(self, timeout: float) -> bool:
        """Wait until the calls that run have ended and their outcomes are stored. Returns whether that is so."""
        return self._outbox.drain(timeout)

    @property
    def destination_names(self) -> list[str]:
        """The names of the destinations."""
        return list(self._senders)

    @property
    def is_running(self) -> bool:
        """Whether the threads that deliver are alive."""
        return self._worker.is_running and self._outbox.is_running

    @property
    def exchange_seconds(self) -> float:
        """How long the exchange with the store that is under way has taken until now, or 0."""
        return self._outbox.exchange_seconds

    @property
    def request_timeout(self) -> float:
        """How long one request may take, in seconds."""
        return self._plan.timeout

    def can_deliver(self, within: float) -> bool:
        """Return whether an event is being sent, or due within some seconds at a service that answers."""
        return self._outbox.can_deliver(within)

    def run_query(self, question: Query[T], timeout: float | None) -> Future[T]:
        """Perform a query in the background. Raises RemoteError if no thread can be started."""
        try:
            return self._worker.run(self._run_query(question, self._plan.timeout if timeout is None else timeout))
        except RuntimeError as error:
            raise RemoteError(f"{error}; try again later") from None

    def flush(self, timeout: float) -> int:
        """Wait until the events that this process has recorded are delivered, for at most `timeout` seconds.

        Returns the number of those that still wait. If none of them can be sent in that time, because services asked
        for a longer pause or their breakers are open, it returns early. If a worker delivers, it waits until they are
        stored.
        """
        left = self._outbox.flush(timeout)
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
        if not self._closing.acquire(timeout=max(0.0, until - self._clock())):
            return left  # another thread closes it
        self._is_closing = True
        try:
            self._is_claiming = False
            self._outbox.stop_claiming()
            self._worker.call(self._give_back)
            self.drain(until - self._clock())  # calls that are cut off are made again by another process
            self._worker.stop(max(0.1, until - self._clock()))
            self._browser_ids.return_unused()
            self._outbox.close(max(0.1, until - self._clock()))
            if self._recorded == recorded:
                self._worker.stop(0.0)  # it may have been woken meanwhile, for browser IDs or by what was claimed
        finally:
            self._is_closing = False
            self._closing.release()
        if self._recorded != recorded and self._outbox.unsettled > left:  # an event was recorded after the flush
            self.start()
        return left

    def _count_undelivered(self) -> tuple[int, int]:
        """Return the number of events on disk for the next process, and of those that are lost with this one."""
        kept = sum(each.waiting + each.held for each in self._outbox.last_counts().values())
        lost = self._outbox.unstored_entries if self._outbox.is_durable else kept
        return kept - lost, lost

    def retries(self, destination: str) -> int:
        """Return the number of retries of a destination."""
        sender = self._senders.get(destination)
        return sender.retries if sender is not None else 0

    # Called by the source of browser IDs.

    def start_thread(self) -> bool:
        """Start the thread unless it is running. Returns whether it is running then."""
        return self._worker.start()

    def wake_now(self) -> None:
        """Wake the worker, in any thread."""
        if self._worker.start():
            self._worker.wake()

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
        self._outbox.abandon()
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
        """Pause the thread before a fork."""
        self._worker.before_fork()

    def after_fork_in_parent(self) -> None:
        """Continue the thread after a fork."""
        self._worker.after_fork_in_parent()

    def reset_after_fork(self) -> None:
        """Reset all state in a forked child: thread, connections and claims belong to the parent."""
        self._prepare()

    # Run in the worker's loop.

    def _run_once(self) -> float | None:
        """Start all work that is due. Returns when to run again, or None for when woken."""
        looks = [self._run_part(part) for part in (self._send_claimed, self._browser_ids.fill)]
        return min((look for look in looks if look is not None), default=None)

    def _send_claimed(self) -> None:
        while self._claimed:
            for name, claims in groupby(self._claimed.popleft(), lambda claim: claim.destination):
                self._send(name, list(claims))

    def _send(self, name: str, claims: Sequence[ClaimedEvent]) -> None:
        """Hand claims to their sender. What it does not take must not keep others waiting, nor wait for ever."""
        try:
            self._senders[name].add(claims)
        except Exception:
            log.exception("internal error in delivery to %s; will retry in one second", name)
            for claim in claims:
                self._outbox.settle(claim, "retry", after=1.0)

    def _give_back(self) -> None:
        while self._claimed:
            for claim in self._claimed.popleft():
                self._outbox.settle(claim, "unsent")
        for sender in self._senders.values():
            sender.release_claimed()

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
                await worker.sleep(None if due is None else max(0.0, due - self._clock()))
        finally:
            self._give_back()
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
