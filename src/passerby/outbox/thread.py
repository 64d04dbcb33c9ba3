"""The thread of an outbox: it sleeps until there is something to exchange."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from contextlib import suppress
from logging import Logger

from ..logs import get_logger
from ..process import leave_signals_to_the_app
from .contract import EventStore, StorageError
from .exchanger import COUNT_EVERY, StoreExchanger
from .inflight import InFlight
from .observers import WATCH_EVERY, ObserverRegistry

log: Logger = get_logger("passerby.outbox")

_SOON = 0.001  # seconds
_RETRY = 0.01  # seconds between two attempts while the thread ends


class ExchangeThread:
    """Exchanges what has gathered, in a thread that a call starts. After `stop` it cannot be started again.

    Args:
        store: says when another process has stored something.
        exchanger: exchanges batches.
        in_flight: knows when something is due.
        observers: know whether a caller waits for an outcome.
        lead: held by the thread that exchanges.
        clock: a monotonic clock, in seconds.
        ends_idle: whether the thread ends after some seconds without work, unless this process delivers.
    """

    def __init__(
        self,
        store: EventStore,
        exchanger: StoreExchanger,
        in_flight: InFlight,
        observers: ObserverRegistry,
        lead: threading.Lock,
        clock: Callable[[], float],
        ends_idle: bool,
    ) -> None:
        self._store = store
        self._exchanger = exchanger
        self._in_flight = in_flight
        self._observers = observers
        self._lead = lead
        self._clock = clock
        self._ends_idle = ends_idle
        self._pid = os.getpid()
        self._bell = threading.Lock()
        self._bell.acquire()
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None
        self._is_asleep = self._is_stopped = self._has_run = False
        self._poll_every: float | None = None
        self._looked = clock()
        self._give_up_at: float = 0.0

    @property
    def is_alive(self) -> bool:
        """Whether it runs."""
        return self._thread is not None and self._thread.is_alive()

    def _note_news(self) -> None:
        self._exchanger.look_soon()
        self._ring()

    def wake(self) -> bool:
        """Have the thread look for work; start it if necessary. Returns False if no thread can be started."""
        if self._is_asleep:
            self._ring()
        elif self._thread is None and not self._is_stopped:
            self._start()
        return self._thread is not None

    def _ring(self) -> None:
        self._is_asleep = False
        with suppress(RuntimeError):  # it rings already
            self._bell.release()

    def _start(self) -> None:
        with self._starting:
            if self._thread is not None:
                return
            self._thread = threading.Thread(target=self._run, name="passerby-outbox", daemon=True)
            try:
                self._thread.start()
            except RuntimeError:  # the interpreter ends, or there are too many; the next call tries again
                self._thread = None

    def stop(self, timeout: float) -> None:
        """Have the thread store what waits, for so many seconds at most, close the store and end."""
        self._give_up_at = self._clock() + timeout
        self._is_stopped, self._has_run = True, self._thread is not None
        self._start()
        if self._thread is None:  # the interpreter ends
            self._finish()
        self._ring()

    def join(self, timeout: float) -> None:
        """Wait until the thread has ended."""
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(timeout)

    def _run(self) -> None:
        leave_signals_to_the_app()
        exchanger = self._exchanger
        while self._pid == os.getpid() and not self._is_stopped:
            if self._poll_every is None and self._in_flight.is_delivering:
                with self._lead, suppress(StorageError):  # it is in trouble; asked again at the next turn
                    self._poll_every = self._store.listen(self._note_news)
            self._is_asleep = True
            if not exchanger.has_work():
                is_woken = self._bell.acquire(timeout=self._pause())
                if is_woken and not exchanger.has_work() and self._pause() > _SOON:
                    continue  # another thread has done what this one was woken for
                if not is_woken and self._ends_idle and self._leave():
                    return
            self._is_asleep = False
            self._looked = self._clock()
            with self._lead:
                exchanger.exchange()
        if self._pid == os.getpid():
            self._finish()

    def _leave(self) -> bool:
        """End because there is nothing to do: the next call starts another thread. Returns False if there is."""
        with self._starting:
            self._is_asleep, self._thread = False, None
            is_needed = self._in_flight.is_delivering or self._observers.is_watching or self._is_stopped
            if is_needed or self._exchanger.has_work() or not self._exchanger.is_done:
                self._thread = threading.current_thread()
                return False
        with self._lead:
            if self._thread is None:
                self._poll_every = None
                self._store.close()
        return True

    def _finish(self) -> None:
        with self._lead:
            if self._has_run and self._exchanger.counts:  # the last ones are what the exit speaks of
                self._exchanger.count_next()
                self._exchanger.exchange()
            while not self._exchanger.is_done:
                self._exchanger.retry_now()
                if not self._exchanger.exchange():
                    if self._clock() > self._give_up_at:
                        break
                    self._bell.acquire(timeout=_RETRY)
            self._store.close()

    def _pause(self) -> float:
        """Return how long to sleep without being woken, counted from the last exchange."""
        now = self._clock()
        times = [self._looked - now + (COUNT_EVERY if self._poll_every is None else self._poll_every)]
        if self._exchanger.trouble is not None:
            times.append(self._exchanger.retry_at - now)
        elif (due := self._in_flight.next_due()) is not None:
            times.append(due - now)
        if self._observers.is_watching:
            times.append(self._looked - now + WATCH_EVERY)
        return max(_SOON, min(times))
