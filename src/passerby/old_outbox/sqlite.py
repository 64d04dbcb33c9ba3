"""The outbox on disk: SQLite files in a folder, one per process. What is recorded survives the process.

All that is asked of it is answered from memory; a thread of its own writes what has changed, all that has gathered in
one transaction, and then tells those who wait. What waits beyond some thousands of entries is on disk only. Files of
dead processes are adopted, and so is the own one of before a restart.

Held events are in the file of the process that holds them. Whoever lets go of them posts that on the board of the
folder; every process looks there about once a second, and does with its own what the notices say. The same way leads to
all owners for whoever erases a visitor, or has dead letters sent once more. What nobody owns any more is subject to the
notices when it is adopted.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import replace
from typing import Any, TypeVar

from ..events.event import Event
from ..values.outcome import Dead, Delivered
from . import DeadLetter, Observer, Tally
from .board import Kind, which_dead
from .crew import Crew
from .database import Synchronous
from .entry import WhenFull
from .folder import Folder
from .pending import Clocks
from .stock import Closed, Limits, Stock
from .upkeep import Upkeep
from .window import SIZE, Stored
from .writer import Writer

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
        window: how many entries of a destination, of ordinary size, are kept in memory; None for a share of 4,000.
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
        window: int | None = None,
        look_every: float = LOOK_EVERY,
        on_ready: Callable[[], None] | None = None,
    ) -> None:
        self.is_durable: bool = True
        self.on_ready: Callable[[], None] | None = on_ready
        self._names = tuple(destinations)
        self._folder = Folder(directory)
        window = window or max(1, SIZE // max(1, len(destinations)))
        self._limits = Limits(max_events, max_bytes, when_full, window)
        self._clocks = Clocks(clock, now)
        self._synchronous: Synchronous = synchronous
        self._look_every = look_every
        self._prepare()

    def _prepare(self) -> None:
        self._crew = self._make_crew()
        self._arriving: Future[None] | None = None
        self._opening = threading.Lock()

    def _make_crew(self) -> Crew:
        stock = Stock(self._names, self._limits, self._clocks)
        return Crew(stock, Writer(stock, self._folder, self._synchronous, self._look_every), self._tell_ready)

    @property
    def _stock(self) -> Stock:
        return self._crew.stock

    @property
    def _writer(self) -> Writer:
        return self._crew.writer

    def _tell_ready(self) -> None:
        if self.on_ready is not None:
            self.on_ready()

    # What is told.

    def put(self, event: Event, destinations: Sequence[str], observer: Observer, now: float) -> None:
        """Record an event as waiting."""
        self._change(lambda stock: stock.record(event, destinations, observer, now, is_held=False))

    def hold(self, event: Event, destinations: Sequence[str], observer: Observer, now: float) -> None:
        """Record an event as held."""
        self._change(lambda stock: stock.record(event, destinations, observer, now, is_held=True))

    def release(self, visitor: str) -> int:
        """Make the held events of a visitor waiting; return how many events that were here at the most.

        Those that another process holds are made waiting there, within a second or two.
        """
        return self._change(lambda stock: stock.release_everywhere(visitor))

    def clear(self, visitor: str) -> int:
        """Drop the held events of a visitor, here and in other processes; return how many were here at the most."""
        self._change(lambda stock: stock.post("clear", visitor))
        return self._change(lambda stock: stock.clear(visitor))

    def held(self, visitor: str) -> int:
        """Return how many events are held here for a visitor, at the destination that has the most."""
        return self._stock.held(visitor)

    def drop(self, destinations: Sequence[str], reason: str) -> None:
        """Count an event that was told and not kept."""
        self._stock.drop(destinations, reason)

    def link(self, visitor: str, browser_id: str) -> str:
        """Note the browser ID of a visit that had none; the oldest of too many notes are forgotten."""
        return self._change(lambda stock: stock.link(visitor, browser_id))

    # What is sent.

    def acquire(self, destination: str, limit: int, now: float) -> list[Stored]:
        """Hand out entries for sending, at most one of each visitor; none while the files are closed."""
        crew = self._crew
        entries = crew.stock.acquire(destination, limit, now)
        if entries:
            crew.wake()
        return entries

    def settle_delivered(self, entry: Stored, answer: Any) -> None:
        """The destination took it."""
        self._settle(lambda stock: stock.settle(entry, Delivered(answer)))

    def settle_dead(self, entry: Stored, reason: str) -> None:
        """The destination will never take it."""
        self._settle(lambda stock: stock.settle(entry, Dead(reason)))

    def settle_retry(self, entry: Stored, due: float, reason: str | None = None) -> None:
        """It is to be tried again at a time; what is behind it of the same visitor waits too."""
        self._settle(lambda stock: stock.settle_retry(entry, due, reason))

    def _settle(self, act: Callable[[Stock], None]) -> None:
        crew = self._crew
        act(crew.stock)
        crew.wake()

    def next_due(self, destination: str) -> float | None:
        """Return when the next entry that waits for a later attempt is due; None if none in memory does."""
        return self._stock.next_due(destination)

    # What is asked for, here and then of the other processes of the folder. What is returned is done when the file is
    # gone through, and is cancelled if the outbox is closed before; whoever adopts the file then does the rest.

    def purge_visitor(self, visitor: str) -> Future[int]:
        """Drop all that is kept of a visitor, given by browser ID or user ID."""
        return self._ask("purge visitor", visitor, lambda upkeep, at: upkeep.purge_visitor(visitor, *at))

    def retry_dead(self, now: float, destination: str | None = None, event_id: str | None = None) -> Future[int]:
        """Let dead letters wait again, as if they were told now."""
        which = which_dead(destination, event_id)
        return self._ask("retry dead", which, lambda upkeep, at: upkeep.retry_dead(destination, event_id, at[0], now))

    def purge_dead(self, destination: str | None = None, event_id: str | None = None) -> Future[int]:
        """Drop dead letters."""
        which = which_dead(destination, event_id)
        return self._ask("purge dead", which, lambda upkeep, at: upkeep.purge_dead(destination, event_id, *at))

    def send_now(self) -> Future[int]:
        """Let all that waits for a later attempt be acquired at once."""
        return self._ask("send now", "", lambda upkeep, at: upkeep.send_now(at[1]))

    def _ask(self, kind: Kind, subject: str, do: Callable[[Upkeep, tuple[float, float]], Future[int]]) -> Future[int]:
        at = self._clocks.clock(), self._clocks.now()
        self._change(lambda stock: stock.post(kind, subject))
        crew = self._crew
        done = do(crew.writer.upkeep, at)
        crew.wake()
        return done

    # Browser IDs that nobody needed.

    def claim_browser_ids(self, issuer: str, number: int) -> Future[list[str]]:
        """Take so many at the most that a process of the folder has put back; none of them is handed out twice.

        Args:
            issuer: a text that names the service and the key they were issued to.
            number: how many at the most.
        """
        if self.is_closed:
            self._open_again()
        crew = self._crew
        answer = crew.writer.neighbours.claim(issuer, number)
        crew.wake()
        return answer

    def put_back_browser_ids(self, issuer: str, browser_ids: Sequence[str]) -> None:
        """Leave some for whoever claims them next, in this process or another; recorded as what is told is."""
        if browser_ids:
            self._change(lambda stock: stock.put_back(issuer, browser_ids))

    # What is known.

    def tally(self, destination: str) -> Tally:
        """Return a copy of a destination's counts, taken at one moment."""
        with self._stock.lock:
            window = self._stock.windows.get(destination)
            return replace(window.tally, dropped=dict(window.tally.dropped)) if window is not None else Tally()

    def waiting(self) -> int:
        """Return how many entries wait or are being sent, over all destinations."""
        return sum(window.tally.waiting for window in list(self._stock.windows.values()))

    def held_in_all(self) -> int:
        """Return how many entries are held, over all destinations."""
        return sum(window.tally.held for window in list(self._stock.windows.values()))

    def unstored(self) -> int:
        """Return how many entries that wait or are held are in no file yet."""
        with self._stock.lock:
            return self._stock.pending.unstored

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
    def is_recording(self) -> bool:
        """Whether what is told now is soon recorded."""
        return self._writer.trouble is None and self._writer.neighbours.trouble is None

    @property
    def state(self) -> str:
        """Say "ok", or "degraded: " and why what is told now would not survive."""
        crew = self._crew
        trouble = crew.writer.trouble or ("no thread" if crew.journal.is_thwarted else None)
        if trouble is None and crew.writer.neighbours.trouble is not None:
            trouble = f"other processes are not told ({crew.writer.neighbours.trouble})"
        return "ok" if trouble is None else f"degraded: {trouble}"

    # Files.

    def start(self) -> Future[None]:
        """Look for what dead processes left behind, now and from now on; return what to wait for until it is here."""
        if self.is_closed:
            self._open_again()
        self._look_for_earlier(self._crew)
        self._arriving = self._crew.look_soon()
        return self._arriving

    def arriving(self) -> Future[None] | None:
        """Return what to wait for until what is looked for is here; None if nothing is."""
        if self._arriving is None or self._arriving.done():
            return None
        return self._crew.look_soon()  # one of its own, which may be cancelled

    def when_stored(self) -> Future[None] | None:
        """Return what to wait for until all told so far is recorded and observers have heard so; None if they have."""
        return self._crew.when_stored()

    def flush_to_disk(self, timeout: float) -> bool:
        """Wait until all that was told so far is recorded, but no longer than so many seconds; whether it is."""
        return self._crew.flush_to_disk(timeout)

    def close(self, timeout: float) -> bool:
        """Record what is not yet, and close the files; whether all is recorded. Something told later opens them again.

        If not all is recorded, or the disk does not answer, the files stay as they are until the process ends.
        """
        crew = self._crew
        if crew.stock.is_closed:
            return True
        is_recorded = crew.close(timeout)
        if self._crew is not crew:  # something was told meanwhile, and who took it has looked too early
            self._arriving = self._crew.look_soon()
        return is_recorded

    def give_up_at_exit(self) -> int:
        """Drop what waits in memory only: nothing is dropped, what is on disk stays."""
        return 0

    def _change(self, act: Callable[[Stock], T]) -> T:
        """Do something to the stock; if the files are closed, to the next one."""
        while True:
            crew = self._crew
            if crew.is_new:
                self._look_for_earlier(crew)
            try:
                result = act(crew.stock)
            except Closed:
                self._open_again()
                continue
            crew.wake()
            return result

    def _look_for_earlier(self, crew: Crew) -> None:
        """Before the first event: where no process left a file, it need not wait until that is read.

        That is seen before the thread begins to read files: those that it holds do not look abandoned.
        """
        with self._opening:
            self._end_wait_if_none(crew)

    def _end_wait_if_none(self, crew: Crew) -> None:
        if crew.is_new and not self._folder.has_abandoned_files():
            crew.stock.end_wait_for_earlier()
        crew.is_new = False

    def _open_again(self) -> None:
        """Open the files again: with what they have now, of which somebody else may be the owner."""
        with self._opening:
            if not self.is_closed:  # somebody else was faster
                return
            tallies = {name: self._stock.windows[name].tally for name in self._names}
            crew = self._make_crew()
            for name, tally in tallies.items():
                left = tally.waiting + tally.held + tally.dead
                fresh = replace(tally, enqueued=tally.enqueued - left, waiting=0, held=0, dead=0)
                crew.stock.windows[name].tally = fresh
            self._crew = crew
            self._end_wait_if_none(crew)
            self._arriving = crew.look_soon()

    # What happens to the process.

    def before_fork(self) -> None:
        """The process is about to fork: nobody is to be in the middle of something."""
        self._crew.journal.before_fork()

    def after_fork_in_parent(self) -> None:
        """The process has forked."""
        self._crew.journal.after_fork_in_parent()

    def reset_after_fork(self) -> None:
        """Start empty, with a file to come: in a forked child all that there is is the parent's."""
        _inherited.extend(self._writer.leave_to_parent())
        self._prepare()
