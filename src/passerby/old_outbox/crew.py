"""The crew: stock, writer and thread of an outbox on disk, from the opening of its file to its closing."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from contextlib import suppress
from logging import Logger
from typing import TypeVar

from ..logs import get_logger
from .database import Trouble
from .journal import Journal
from .stock import Stock
from .writer import Writer

log: Logger = get_logger("passerby.outbox")
T = TypeVar("T")


class Crew:
    """Works together on one file. What is told after its closing is for the next crew.

    Args:
        stock: what is in memory.
        writer: what is done with the files.
        on_ready: called when there may be more to acquire than the callers know of.

    Attributes:
        is_new: whether nothing was recorded yet.
    """

    def __init__(self, stock: Stock, writer: Writer, on_ready: Callable[[], None]) -> None:
        self.stock: Stock = stock
        self.writer: Writer = writer
        self.journal: Journal = Journal(writer.work, self._tell)
        self._on_ready = on_ready
        self.is_new: bool = True

    def wake(self) -> None:
        """See to it that what has changed is written, unless all is over."""
        if not self.stock.is_closed:
            self.journal.wake()

    def look_soon(self) -> Future[None]:
        """Look for files of dead processes; return what to wait for until what is in them is here."""
        here = self.writer.look_soon()
        self.wake()
        return here

    def when_stored(self) -> Future[None] | None:
        """Return what to wait for until all that was told so far is recorded, or None if it is."""
        with self.stock.lock:
            waiter = self.stock.pending.when_written()
        if waiter is None or self.stock.is_closed:
            return waiter
        if not self.journal.wake():
            self.journal.step()  # where no thread can be had, this one has to do it
        return None if waiter.done() else waiter

    def flush_to_disk(self, timeout: float) -> bool:
        """Wait until all that was told so far is recorded, but no longer than so many seconds; whether it is."""
        waiter = self.when_stored()
        if waiter is None:
            return True
        if not self.stock.is_closed and not self.journal.is_thwarted:
            with suppress(FutureTimeout):
                waiter.result(timeout)
        return waiter.done() or self.is_recorded

    def close(self, timeout: float) -> bool:
        """Record what is not yet, and close the files; whether all is recorded."""
        until = time.monotonic() + timeout
        self.flush_to_disk(timeout if self.writer.neighbours.trouble is None else 0.0)
        if not self.journal.stop(max(0.1, until - time.monotonic())) or not self._finish():
            return self.is_recorded  # as it may be, though the files stay open
        self.journal.stop(max(0.1, until - time.monotonic()))  # somebody may have begun it again
        try:
            self.journal.do(self.writer.close)
        except Trouble as trouble:
            log.warning("the outbox could not be closed (%s); the next process takes it over", trouble.reason)
        for waiter in self.writer.upkeep.give_up():
            waiter.cancel()
        self._tell()
        return self.is_recorded

    @property
    def is_recorded(self) -> bool:
        """Whether all that was told so far is recorded."""
        with self.stock.lock:
            return self.stock.pending.is_recorded

    def _finish(self) -> bool:
        """Write what came since, in this thread; whether that was all, and nothing more can come."""
        while not self.stock.close():
            self.journal.step()
            if self.writer.trouble is not None:
                return False
            if self.writer.neighbours.trouble is not None:
                return self.stock.close(even_unposted=True)
        return True

    def _tell(self) -> None:
        writer = self.writer
        told, writer.told = writer.told, []
        for observer in told:
            try:
                observer.on_stored()
            except Exception:
                log.exception("who waited for an event failed when told that it is recorded")
        for waiter in writer.done():
            _answer(waiter, None)
        for waiting, number in writer.upkeep.done():
            _answer(waiting, number)
        for claim, browser_ids in writer.neighbours.answers():
            if not _answer(claim.answer, browser_ids) and browser_ids:  # he has given up meanwhile
                self.stock.put_back(claim.issuer, browser_ids)
        if writer.has_more:
            writer.has_more = False
            self._on_ready()


def _answer(waiter: Future[T], result: T) -> bool:
    """Tell somebody what he waits for; whether he still does."""
    is_waiting = waiter.set_running_or_notify_cancel()
    if is_waiting:
        waiter.set_result(result)
    return is_waiting
