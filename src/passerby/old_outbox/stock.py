"""The stock: all that an outbox on disk has in memory, and what may happen to it. It never touches the disk."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Collection, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from logging import Logger
from math import inf
from weakref import WeakValueDictionary

from ..events.event import Event
from ..logs import get_logger
from ..values.outcome import Dead, Delivered, Dropped, Outcome
from . import Observer
from .board import OF_HELD, Kind, Notice, Unused
from .entry import CLEARED, FULL, NOBODY, PURGED, WhenFull, check_room, tell, tell_dropped
from .eventtext import write_event
from .links import Links
from .pending import Batch, Clocks, Pending
from .row import Row
from .window import FIRST_PLACE, NOT_HERE, SIZE, Stored, Window

log: Logger = get_logger("passerby.outbox")

MAX_UNWRITTEN = 32_000_000  # bytes of events that wait for a disk that does not take them
LOOK_TIMEOUT = 5.0  # seconds without progress, as on a disk that hangs, after which earlier files are not waited for


@dataclass(frozen=True, slots=True)
class Limits:
    """How much is kept.

    Attributes:
        max_events: how many events may wait per destination, and how many may be held.
        max_bytes: how large all of them may be.
        when_full: what becomes of an event for which there is no room, or of one that has been there.
        window: how many entries of a destination, of ordinary size, are in memory.
    """

    max_events: int = 1_000_000
    max_bytes: int = 1_000_000_000
    when_full: WhenFull = "drop_newest"
    window: int = SIZE


@dataclass(frozen=True, slots=True)
class Left:
    """What a file has that is left for another.

    Attributes:
        known: the places of what is in memory too, or not wanted any more.
        released: of what is there as held, the places of what has been let go of.
        lost: how many entries are there only, by destination.
    """

    known: Collection[int] = ()
    released: Collection[int] = ()
    lost: Counter[str] | None = None


NOTHING_KNOWN = Left()  # of a file that was another's


class Closed(Exception):
    """The files are closed; what is told now is for another stock."""


class Stock:
    """What is waiting, held and dead, as far as it is in memory, with the counts of all.

    Args:
        destinations: the names of those that are configured.
        limits: how much is kept.
        clocks: what time it is.

    Attributes:
        is_closed: whether nothing more is written; then what changes it raises Closed.
        awaits_earlier: whether earlier files may hold events that come first. Until they are read, events that are
            recorded here are not sent, as one of the same visitor may be among those.
    """

    def __init__(self, destinations: Sequence[str], limits: Limits, clocks: Clocks) -> None:
        # Reentrant, as garbage collection may run what drops an event in the midst of anything.
        self.lock: AbstractContextManager[bool] = threading.RLock()
        self.windows: dict[str, Window] = {name: Window(name, limits.window) for name in destinations}
        self.links: Links = Links()
        self.pending: Pending = Pending(clocks, self.links.notes)
        self.clocks: Clocks = clocks
        self.size: int = 0
        self.is_closed: bool = False
        self.awaits_earlier: bool = True
        # Of events that are on disk only.
        self.observers: WeakValueDictionary[int, Observer] = WeakValueDictionary()
        self._limits = limits
        self._last_place = FIRST_PLACE
        self._last_earlier_place = 0
        self._progress_at = clocks.clock()

    def new_place(self) -> int:
        """Return the next place in the order."""
        self._last_place += 1
        return self._last_place

    def place_of_earlier(self) -> int:
        """Return the next place for an event of an earlier file: before all that is recorded here, if it waits."""
        if not self.awaits_earlier:
            return self.new_place()
        self._progress_at = self.clocks.clock()
        self._last_earlier_place += 1
        return self._last_earlier_place

    def end_wait_for_earlier(self) -> None:
        """Send what is recorded here too: earlier files are read, or cannot be read now."""
        with self.lock:
            if self.awaits_earlier:
                self.awaits_earlier = False
                if self._last_place == FIRST_PLACE and not self._last_earlier_place:
                    self._last_place = 0  # there is nothing yet, so the places can begin with the first
                for window in self.windows.values():
                    window.awaits_earlier = False
                    window.take_unwritten(window.size)

    def window(self, name: str) -> Window:
        """Return the window of a destination, configured or not."""
        window = self.windows.get(name)
        if window is None:
            window = self.windows[name] = Window(name, self._limits.window, is_configured=False)
            window.awaits_earlier = self.awaits_earlier
        return window

    # What is told.

    def record(
        self, event: Event, destinations: Sequence[str], observer: Observer, now: float, *, is_held: bool
    ) -> None:
        """Record an event as waiting or held."""
        try:
            body = write_event(event)
        except (TypeError, ValueError, RecursionError):  # callers see to it that events are plain
            log.exception("an event cannot be written as JSON; it is dropped")
            self.drop(destinations, "internal")
            for name in destinations:
                observer.on_settled(name, Dropped("internal"))
            return
        full: list[str] = []
        given_up: list[Stored] = []
        entry: Stored | None = None
        with self.lock:
            self._check_open()
            if self._limits.when_full == "raise":
                check_room(name for name in destinations if not self._has_room(self.windows[name], len(body), is_held))
            for name in destinations:
                window = self.windows[name]
                window.tally.enqueued += 1
                if not self._make_room(window, len(body), is_held, given_up):
                    window.count_dropped(FULL)
                    full.append(name)
                    continue
                entry = Stored(window, event, observer, now, self.new_place(), body)
                window.tally.unlinked += entry.is_unlinked
                if is_held:
                    window.tally.held += 1
                    window.hold(self.links.whose(event.visitor), entry)
                else:
                    window.tally.waiting += 1
                    window.admit(event.visitor, entry)
                self.size += entry.size
                self.pending.size += entry.size
                self.pending.mark(entry)
            if entry is not None:
                entry.tells = True  # once all of them are written
        for one in given_up:
            tell(one.observer, [one.shelf.name], False)
        if full:
            tell(observer, full, False)

    def drop(self, destinations: Sequence[str], reason: str) -> None:
        """Count an event that was told and not kept."""
        with self.lock:
            for name in destinations:
                self.windows[name].tally.enqueued += 1
                self.windows[name].count_dropped(reason)

    def link(self, visitor: str, browser_id: str) -> str:
        """Note the browser ID of a visit that had none."""
        with self.lock:
            self._check_open()
            linked = self.links.link(visitor, browser_id, tuple(self.windows.values()))
            self.pending.link(visitor, linked)
            return linked

    def close(self, *, even_unposted: bool = False) -> bool:
        """Take nothing more, if all is written; whether that is so.

        Args:
            even_unposted: whether that holds although the other processes have not been told what they should be.
        """
        with self.lock:
            is_ready = not self.pending.is_wanted if even_unposted else self.pending.is_recorded
            self.is_closed = self.is_closed or is_ready
            return self.is_closed

    def _check_open(self) -> None:
        if self.is_closed:
            raise Closed

    # What is held.

    def held(self, visitor: str) -> int:
        """Return how many events are held for a visitor, at the destination that has the most."""
        with self.lock:
            whose = self.links.whose(visitor)
            return max((len(window.held.get(whose, ())) for window in self.windows.values()), default=0)

    def release(self, visitor: str, told_by: float = inf) -> int:
        """Make the held events of a visitor waiting, those that were told by then."""
        released = 0
        with self.lock:
            self._check_open()
            for window in self.windows.values():
                entries = self._take_held(window, visitor, told_by)
                for entry in entries:
                    entry.state = "waiting"
                    entry.place = self.new_place()
                    if entry.event is NOT_HERE:
                        window.behind += 1
                        window.unwritten[entry.place] = entry
                    else:
                        window.admit(visitor, entry)
                    self.pending.mark(entry)
                window.tally.waiting += len(entries)
                released = max(released, len(entries))
        return released

    def release_everywhere(self, visitor: str) -> int:
        """Do as `release` does, and have the other processes do the same."""
        with self.lock:
            released = self.release(visitor)
            self.post("release", visitor)
            return released

    def clear(self, visitor: str, told_by: float = inf) -> int:
        """Drop the held events of a visitor, those that were told by then."""
        cleared = 0
        gone: list[Stored] = []
        with self.lock:
            self._check_open()
            for window in self.windows.values():
                entries = self._take_held(window, visitor, told_by)
                self.drop_entries(window, entries, CLEARED)
                gone += entries
                cleared = max(cleared, len(entries))
        tell_dropped(gone, CLEARED)
        return cleared

    def post(self, kind: Kind, subject: str) -> None:
        """Have the other processes do something as well."""
        with self.lock:
            self._check_open()
            whose = self.links.whose(subject) if kind in OF_HELD else subject
            if self.pending.post(Notice(kind, whose, self.clocks.now())):
                return
        log.warning(
            "too many notices wait until other processes can be told; what these hold for a visitor stays held until "
            "the next %s (see the outbox's state)",
            kind,
        )

    def put_back(self, issuer: str, browser_ids: Sequence[str]) -> None:
        """Have unused browser IDs recorded for whoever claims them."""
        with self.lock:
            self._check_open()
            self.pending.post(Unused(issuer, tuple(browser_ids)))

    def _take_held(self, window: Window, visitor: str, told_by: float) -> list[Stored]:
        whose = self.links.whose(visitor)
        entries = window.held.get(whose, [])
        if entries:
            window.keep_held(whose, [entry for entry in entries if entry.since > told_by])
            entries = [entry for entry in entries if entry.since <= told_by]
        window.tally.held -= len(entries)
        window.leave_queues(entries)
        return entries

    # What is sent.

    def acquire(self, destination: str, limit: int, now: float) -> list[Stored]:
        """Hand out entries for sending; none once the files are closed."""
        with self.lock:
            if self.is_closed:
                return []
            if self.awaits_earlier and self.clocks.clock() > self._progress_at + LOOK_TIMEOUT:
                self.end_wait_for_earlier()
            entries = self.windows[destination].take(limit, now, self.links.notes)
            for entry in entries:
                self.pending.mark(entry)
            return entries

    def settle(self, entry: Stored, outcome: Outcome) -> None:
        """Note an outcome that is final."""
        window = entry.shelf
        with self.lock:
            if entry.is_purged and not isinstance(outcome, Delivered):
                outcome = Dropped(PURGED)
            if self.windows.get(window.name) is window:  # else it was acquired before a fork, or before all was closed
                window.remove_first(entry.lane)
                window.tally.waiting -= 1
                if isinstance(outcome, Dead):
                    self._bury(entry, outcome.reason)
                elif isinstance(outcome, Dropped):
                    self.drop_entries(window, [entry], outcome.reason)
                else:
                    window.tally.delivered += 1
                    self.forget(entry)
        entry.observer.on_settled(window.name, outcome)

    def settle_retry(self, entry: Stored, due: float, reason: str | None) -> None:
        """It is to be tried again at a time."""
        window = entry.shelf
        with self.lock:
            is_purged = entry.is_purged
            if not is_purged and self.windows.get(window.name) is window:
                entry.is_acquired = False
                entry.reason = reason
                window.wait_until(entry.lane, due)
                self.pending.mark(entry)
        if is_purged:
            self.settle(entry, Dropped(PURGED))

    def next_due(self, destination: str) -> float | None:
        """Return when the next entry that waits for a later attempt is due; None if none in memory does."""
        with self.lock:
            return None if self.is_closed else self.windows[destination].next_due()

    def _bury(self, entry: Stored, reason: str) -> None:
        """Keep a dead letter, in the order in which they died."""
        entry.place = self.new_place()
        entry.reason = reason
        entry.due = self.clocks.clock()
        entry.is_acquired = False
        oldest = entry.shelf.bury(entry)
        self.pending.mark(entry)
        if oldest is not None:
            self.forget(oldest)

    def drop_entries(self, window: Window, entries: Sequence[Stored], reason: str) -> None:
        """Count entries as not kept, and have them deleted."""
        window.count_dropped(reason, len(entries))
        for entry in entries:
            self.forget(entry)

    def forget(self, entry: Stored) -> None:
        """Have an entry deleted."""
        entry.state = "gone"
        entry.event = NOT_HERE  # the entry waits in memory until it is deleted
        self.size -= entry.size
        self.pending.mark(entry)

    def revive(self, letter: Stored, now: float) -> None:
        """Let a dead letter wait again, behind whatever waits of its visitor, as if it was told now."""
        letter.state = "waiting"
        letter.place = self.new_place()
        letter.attempts = 0
        letter.due = 0.0
        letter.reason = None
        letter.since = now
        letter.shelf.tally.waiting += 1
        letter.shelf.admit(letter.event.visitor, letter)
        self.pending.mark(letter)

    def take_from_disk(self, row: Row) -> Stored | None:
        """Forget an entry that was on disk only; return what stands for it, or None if it was not counted as there."""
        window = self.windows.get(row.destination)
        if window is None or not window.take_from_disk(row):
            return None
        self.size -= len(row.body)
        return Stored(window, NOT_HERE, self.observers.pop(row.place, NOBODY), 0.0, row.place, b"")

    # What is written.

    def take_batch(self) -> Batch | None:
        """Return what is to be written next, in pieces so that nobody waits long; None if there is nothing."""
        batch = Batch()
        while True:
            with self.lock:
                if not self.pending.is_wanted:
                    return None
                if not self.pending.take(batch):
                    return batch

    def confirm(self, batch: Batch) -> list[Observer]:
        """Note that a batch is written; return who is to hear of it."""
        with self.lock:
            told = self.pending.confirm(batch)
            for entry in batch.entries:
                if entry.row:
                    self._leave_to_disk(entry)
            return told

    def give_back(self, batch: Batch) -> None:
        """Note that a batch is not written."""
        with self.lock:
            self.pending.give_back(batch)

    def forget_file(self) -> Left:
        """Have all that is in memory written into another file; return what is to be known of the old one."""
        with self.lock:
            known, released = self.pending.forget_file()
            lost: Counter[str] = Counter()
            self.size = 0
            for window in self.windows.values():
                lost[window.name] = window.forget_disk()
                for entry in window.in_memory():
                    if entry.row:
                        known.add(entry.row)
                        entry.row = 0
                    if not entry.body:  # the old file has it
                        entry.body = write_event(entry.event)
                        window.resize(entry, len(entry.body))
                        self.pending.size += entry.size
                    self.size += entry.size
                    self.pending.mark(entry)
            return Left(known, released, lost)

    @property
    def is_empty(self) -> bool:
        """Whether nothing is waiting, held or dead."""
        tallies = (window.tally for window in list(self.windows.values()))
        return not any(tally.waiting or tally.held or tally.dead for tally in tallies)

    def leave_observer(self, entry: Stored) -> None:
        """Remember who waits for an entry that is on disk only, as long as he does."""
        if entry.observer is not NOBODY:
            with suppress(TypeError):  # not everything can be held weakly
                self.observers[entry.row] = entry.observer

    def _leave_to_disk(self, entry: Stored) -> None:
        """Let go of an event in memory where there is no room for it."""
        window = entry.shelf
        if window.unwritten and window.unwritten.pop(entry.row, None) is not None:
            self.leave_observer(entry)
        elif entry.state == "held" and window.in_queues > window.size and entry.event is not NOT_HERE:
            window.leave_queues([entry])
            entry.event = NOT_HERE

    # Room.

    def _has_room(self, window: Window, size: int, is_held: bool) -> bool:
        """Whether one more fits. What is to be sent and what is held have room of their own."""
        number = window.tally.held if is_held else window.tally.waiting
        return (
            number < self._limits.max_events
            and self.size + size <= self._limits.max_bytes
            and self.pending.size < MAX_UNWRITTEN
        )

    def _may_fit(self, window: Window, size: int) -> bool:
        """Whether there would be room for so many bytes if all made way that waits in memory at a destination."""
        missing = self.size + size - self._limits.max_bytes
        for entry in window.in_lanes() if missing > 0 else ():
            missing -= 0 if entry.is_acquired else entry.size
            if missing <= 0:
                break
        return missing <= 0

    def _make_room(self, window: Window, size: int, is_held: bool, given_up: list[Stored]) -> bool:
        while not self._has_room(window, size, is_held):
            # Nobody's queue of held events makes way, and what waits for the disk would not make room at once.
            if self._limits.when_full != "drop_oldest" or is_held or self.pending.size >= MAX_UNWRITTEN:
                return False
            oldest = window.give_up_oldest() if self._may_fit(window, size) else None
            if oldest is None:
                return False
            window.tally.waiting -= 1
            window.count_dropped(FULL)
            self.forget(oldest)
            given_up.append(oldest)
        return True
