"""The journal's thread: writes what has gathered, again and again, so that nobody else ever waits for the disk."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from logging import Logger

from ..logs import get_logger

log: Logger = get_logger("passerby.outbox")

HOLDING = 1.0  # seconds that a fork waits for the disk at most


class Journal:
    """Calls one function in a thread of its own, whenever there is something to do.

    Args:
        work: what is to be done; returns for how many seconds there is nothing to do, and whether that holds whatever
            comes meanwhile; None if there never will be. Nobody else is in the middle of it at the same time.
        tell: called after each piece of work, when others may work again.
    """

    def __init__(self, work: Callable[[], tuple[float, bool] | None], tell: Callable[[], None]) -> None:
        self._work = work
        self._tell = tell
        self._working = threading.RLock()  # whoever has it may touch the files
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None
        self._alarm = threading.Lock()  # whoever sleeps waits for it; an event would cost each caller twice as much
        self._alarm.acquire()
        self._asleep = False
        self._wanted = False
        self._is_held = False
        self.is_thwarted: bool = False
        self.stopping: bool = False

    def wake(self) -> bool:
        """See that there soon is somebody to work; False if no thread can be started now.

        The caller first adds its work, then notes that it is wanted, then looks whether the thread sleeps; the thread
        first notes that it sleeps and then looks whether it is wanted: whatever the order of the two, one of them sees
        the other.
        """
        self._wanted = True
        if self._asleep:
            self._asleep = False
            self._ring()
        return self._thread is not None or self._begin()

    def step(self) -> tuple[float, bool] | None:
        """Do what there is to do, in this thread."""
        with self._working:
            pause = self._work()
        self._tell()
        return pause

    def do(self, action: Callable[[], None]) -> None:
        """Do something else with the files, in this thread."""
        with self._working:
            action()

    def before_fork(self) -> None:
        """Wait until nobody is in the middle of something, and keep everybody from beginning."""
        self._is_held = self._working.acquire(timeout=HOLDING)

    def after_fork_in_parent(self) -> None:
        """Let work go on."""
        if self._is_held:
            self._is_held = False
            self._working.release()

    def stop(self, timeout: float) -> bool:
        """Ask the thread to end, and wait for it; whether it has ended."""
        with self._starting:
            thread = self._thread
            self.stopping = True
        self._ring()
        if thread is not None and thread is not threading.current_thread():
            thread.join(timeout)
        return thread is None or not thread.is_alive()

    def _begin(self) -> bool:
        with self._starting:
            if self._thread is not None:
                return True
            self.stopping = False
            self._thread = threading.Thread(target=self._run, name="passerby-outbox", daemon=True)
            try:
                self._thread.start()
            except RuntimeError as error:
                self._thread = None
                self.is_thwarted = True
                log.warning("no thread for the outbox (%s); events wait in memory and the next one tries again", error)
                return False
            self.is_thwarted = False
        return True

    def _run(self) -> None:
        while not self.stopping:
            self._wanted = False
            try:
                pause = self.step()
            except Exception:
                log.exception("the outbox failed inside; it is tried again in a second")
                pause = (1.0, True)
            if pause is None:
                break
            self._sleep(*pause)
        with self._starting:
            self._thread = None

    def _ring(self) -> None:
        with suppress(RuntimeError):  # it rings already
            self._alarm.release()

    def _sleep(self, pause: float, is_heedless: bool) -> None:
        self._asleep = not is_heedless
        if not self.stopping and (is_heedless or not self._wanted):
            self._alarm.acquire(timeout=pause)
        self._asleep = False
