"""The outbox on disk: SQLite files in a folder, one per process. What is recorded survives the process.

All that is asked of it is answered from memory; a thread of its own writes what has changed, all that has gathered in
one transaction, and then tells those who wait. What waits beyond some thousands of entries is on disk only. Files of
dead processes are adopted, and so is the own one of before a restart.

Held events are in the file of the process that holds them. Where workers are to share them, their entries of state
"held" will move into one file for all; `Stock._take_held` and `Window.hold` are where they come and go.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from contextlib import suppress
from dataclasses import replace
from logging import Logger
from typing import Any, TypeVar

from ..event import Event
from ..logs import get_logger
from ..outcome import Dead, Delivered
from . import DeadLetter, Observer, Tally
from .database import Synchronous, Trouble
from .folder import Folder
from .journal import Journal
from .pending import Clocks
from .stock import Closed, Limits, Stock, WhenFull
from .window import SIZE, Stored
from .writer import Writer

log: Logger = get_logger("passerby.outbox")
T = TypeVar("T")

MAX_EVENTS = 1_000_000  # per destination
MAX_BYTES = 1_000_000_000  # of all events in the file
LOOK_EVERY = 10.0  # seconds between two looks for files of dead processes

_inherited: list[object] = []  # connections of a parent: closing them would end what the parent has begun


class SqliteOutbox:
    """Keeps events in a file. Raises SettingsError if the directory is no place for them.

    Args:
        directory: where the files are; made when there is something to write.
        destinations: the names of those that are configured.
        max_events: how many events may wait per destination, and how many may be held.
        max_bytes: how large all of them may be together.
        when_full: "drop_newest" or "drop_oldest" drops and counts what there is no room for; "raise" raises
            ValidationError.
        synchronous: "NORMAL" survives the death of the process, "FULL" also a power cut.
        clock: seconds on the callers' clock, which never goes back.
        now: seconds since 1970.
        window: how many entries of a destination are kept in memory.
        look_every: seconds between two looks for files of dead processes.
        on_ready: called, in any thread, when there may be more to acquire than the callers know of.
    """

    def __init__(
        self,
        directory: str | os.PathLike[str],
        destinations: Sequence[str],
        *,
        max_events: int = MAX_EVENTS,
        max_bytes: int = MAX_BYTES,
        when_full: WhenFull = "drop_newest",
        synchronous: Synchronous = "NORMAL",
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
        window: int = SIZE,
        look_every: float = LOOK_EVERY,
        on_ready: Callable[[], None] | None = None,
    ) -> None:
        self.is_durable: bool = True
        self.on_ready: Callable[[], None] | None = on_ready
        self._names = tuple(destinations)
        self._folder = Folder(directory)
        self._limits = Limits(max_events, max_bytes, when_full, window)
        self._clocks = Clocks(clock, now)
        self._synchronous: Synchronous = synchronous
        self._look_every = look_every
        self._prepare()

    def _prepare(self) -> None:
        self._stock, self._writer, self._journal = self._make()
        self._arriving: Future[None] | None = None
        self._opening = threading.Lock()

    def _make(self) -> tuple[Stock, Writer, Journal]:
        stock = Stock(self._names, self._limits, self._clocks)
        writer = Writer(stock, self._folder, self._synchronous, self._look_every)
        return stock, writer, Journal(writer.work, lambda: self._tell(writer))

    # What is told.

    def put(self, event: Event, destinations: Sequence[str], observer: Observer, now: float) -> None:
        """Record an event as waiting."""
        self._change(lambda stock: stock.record(event, destinations, observer, now, is_held=False))
        self._wake()

    def hold(self, event: Event, destinations: Sequence[str], observer: Observer, now: float) -> None:
        """Record an event as held."""
        self._change(lambda stock: stock.record(event, destinations, observer, now, is_held=True))
        self._wake()

    def release(self, visitor: str) -> int:
        """Make the held events of a visitor waiting; return how many events that were at the most."""
        released = self._change(lambda stock: stock.release(visitor))
        if released:
            self._wake()
        return released

    def clear(self, visitor: str) -> int:
        """Drop the held events of a visitor."""
        cleared = self._change(lambda stock: stock.clear(visitor))
        if cleared:
            self._wake()
        return cleared

    def held(self, visitor: str) -> int:
        """Return how many events are held for a visitor, at the destination that has the most."""
        return self._stock.held(visitor)

    def drop(self, destinations: Sequence[str], reason: str) -> None:
        """Count an event that was told and not kept."""
        self._stock.drop(destinations, reason)

    def link(self, visitor: str, browser_id: str) -> str:
        """Note the browser ID of a visit that had none; the oldest of too many notes are forgotten."""
        linked = self._change(lambda stock: stock.link(visitor, browser_id))
        self._wake()
        return linked

    # What is sent.

    def acquire(self, destination: str, limit: int, now: float) -> list[Stored]:
        """Hand out entries for sending, at most one of each visitor; none while the files are closed."""
        if self.is_closed:
            return []
        entries = self._stock.acquire(destination, limit, now)
        if entries:
            self._wake()
        return entries

    def settle_delivered(self, entry: Stored, answer: Any) -> None:
        """The destination took it."""
        self._stock.settle(entry, Delivered(answer))
        self._wake()

    def settle_dead(self, entry: Stored, reason: str) -> None:
        """The destination will never take it."""
        self._stock.settle(entry, Dead(reason))
        self._wake()

    def settle_retry(self, entry: Stored, due: float, reason: str | None = None) -> None:
        """It is to be tried again at a time; what is behind it of the same visitor waits too."""
        self._stock.settle_retry(entry, due, reason)
        self._wake()

    def next_due(self, destination: str) -> float | None:
        """Return when the next entry that waits for a later attempt is due; None if none in memory does."""
        return self._stock.windows[destination].next_due()

    # What is known.

    def tally(self, destination: str) -> Tally:
        """Return a copy of a destination's counts, taken at one moment."""
        with self._stock.lock:
            window = self._stock.windows.get(destination)
            return replace(window.tally, dropped=dict(window.tally.dropped)) if window is not None else Tally()

    def waiting(self) -> int:
        """Return how many entries wait or are being sent, over all destinations."""
        return sum(window.tally.waiting for window in list(self._stock.windows.values()))

    def dead_letters(self, destination: str) -> list[DeadLetter]:
        """Return the dead letters of a destination, the oldest first; of one that is not configured the newest."""
        with self._stock.lock:
            window = self._stock.windows.get(destination)
            return window.dead_letters() if window is not None else []

    @property
    def destinations(self) -> tuple[str, ...]:
        """All destinations that anything was found for, those that are not configured included."""
        return tuple(self._stock.windows)

    @property
    def is_closed(self) -> bool:
        """Whether the files are closed."""
        return self._stock.is_closed

    @property
    def state(self) -> str:
        """Say "ok", or "degraded: " and why what is told now would not survive."""
        trouble = self._writer.trouble or ("no thread" if self._journal.is_thwarted else None)
        return "ok" if trouble is None else f"degraded: {trouble}"

    # Files.

    def start(self) -> Future[None]:
        """Look for what dead processes left behind, now and from now on; return what to wait for until it is here."""
        if self.is_closed:
            self._open_again()
        self._arriving = self._writer.look_soon()
        self._wake()
        return self._arriving

    def arriving(self) -> Future[None] | None:
        """Return what to wait for until what is looked for is here; None if nothing is."""
        if self._arriving is None or self._arriving.done():
            return None
        return self._writer.look_soon()  # one of its own, which may be cancelled

    def when_stored(self) -> Future[None] | None:
        """Return what to wait for until all that was told so far is recorded, or None if it is."""
        with self._stock.lock:
            waiter = self._stock.pending.when_written()
        if waiter is None or self.is_closed:
            return waiter
        if not self._journal.wake():
            self._journal.step()  # where no thread can be had, this one has to do it
        return None if waiter.done() else waiter

    def flush_to_disk(self, timeout: float) -> bool:
        """Wait until all that was told so far is recorded, but no longer than so many seconds; whether it is."""
        waiter = self.when_stored()
        if waiter is None:
            return True
        if not self.is_closed and not self._journal.is_thwarted:
            with suppress(FutureTimeout):
                waiter.result(timeout)
        return waiter.done()

    def close(self, timeout: float) -> bool:
        """Record what is not yet, and close the files; whether all is recorded. Something told later opens them again.

        If not all is recorded, or the disk does not answer, the files stay as they are until the process ends.
        """
        if self.is_closed:
            return True
        until = time.monotonic() + timeout
        self.flush_to_disk(timeout)
        if not self._journal.stop(max(0.1, until - time.monotonic())) or not self._finish():
            return False
        self._journal.stop(max(0.1, until - time.monotonic()))  # somebody may have begun it again
        try:
            self._journal.do(self._writer.close)
        except Trouble as trouble:
            log.warning("the outbox could not be closed (%s); the next process takes it over", trouble.reason)
        return True

    def _finish(self) -> bool:
        """Write what came since, in this thread; whether that was all, and nothing more can come."""
        while not self._stock.close():
            self._journal.step()
            if self._writer.trouble is not None:
                return False
        return True

    def _wake(self) -> None:
        if not self.is_closed:
            self._journal.wake()

    def _change(self, act: Callable[[Stock], T]) -> T:
        """Do something to the stock; if the files are closed, to the next one."""
        while True:
            try:
                return act(self._stock)
            except Closed:
                self._open_again()

    def _open_again(self) -> None:
        """Open the files again: with what they have now, of which somebody else may be the owner."""
        with self._opening:
            if not self.is_closed:  # somebody else was faster
                return
            tallies = {name: self._stock.windows[name].tally for name in self._names}
            stock, writer, journal = self._make()
            for name, tally in tallies.items():
                left = tally.waiting + tally.held + tally.dead
                fresh = replace(tally, enqueued=tally.enqueued - left, waiting=0, held=0, dead=0)
                stock.windows[name].tally = fresh
            self._arriving = writer.look_soon()
            self._stock, self._writer, self._journal = stock, writer, journal

    def _tell(self, writer: Writer) -> None:
        told, writer.told = writer.told, []
        for observer in told:
            try:
                observer.on_stored()
            except Exception:
                log.exception("who waited for an event failed when told that it is recorded")
        for waiter in writer.done():
            if waiter.set_running_or_notify_cancel():
                waiter.set_result(None)
        if writer.has_more:
            writer.has_more = False
            if self.on_ready is not None:
                self.on_ready()

    # What happens to the process.

    def hold_still(self) -> None:
        """The process is about to fork: nobody is to be in the middle of something."""
        self._journal.hold_still()

    def go_on(self) -> None:
        """The process has forked."""
        self._journal.go_on()

    def begin_afresh(self) -> None:
        """Start empty, with a file to come: in a forked child all that there is is the parent's."""
        _inherited.extend(self._writer.leave_to_parent())
        self._prepare()
