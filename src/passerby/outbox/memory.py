"""The outbox in memory: fast, bounded, and gone with the process."""

from __future__ import annotations

import heapq
import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from ..event import Event
from ..outcome import Dead, Delivered, Dropped
from . import DeadLetter, Observer, Tally

MAX_EVENTS = 100_000  # per destination: some 100 MB of ordinary events
MAX_DEAD = 1_000  # dead letters kept per destination; older ones are dropped and counted
_MAX_LINKS = 10_000


class MemoryEntry:
    """One event for one destination."""

    __slots__ = ("attempts", "event", "lane", "next", "observer", "since")

    lane: _Lane

    def __init__(self, event: Event, observer: Observer, since: float) -> None:
        self.event: Event = event
        self.observer: Observer = observer
        self.since: float = since
        self.attempts: int = 0
        self.next: MemoryEntry | None = None


class _Lane:
    """The waiting events of one visitor at one destination, linked in order; the first may be acquired or due later."""

    __slots__ = ("browser_id", "first", "last", "shelf", "visitor")

    def __init__(self, shelf: _Shelf, visitor: str) -> None:
        self.shelf: _Shelf = shelf
        self.visitor: str = visitor
        self.browser_id: str | None = None  # of a visit that had none, once it is known
        self.first: MemoryEntry | None = None
        self.last: MemoryEntry | None = None


class _Shelf:
    """What one destination has waiting: every step costs the same whether ten events wait or a million."""

    __slots__ = ("dead", "held", "lanes", "later", "name", "ready", "serial", "tally")

    def __init__(self, name: str) -> None:
        self.name: str = name
        self.lanes: dict[str, _Lane] = {}
        self.ready: deque[_Lane] = deque()
        self.later: list[tuple[float, int, _Lane]] = []
        self.serial: int = 0
        self.held: dict[str, list[MemoryEntry]] = {}
        self.dead: deque[DeadLetter] = deque()
        self.tally: Tally = Tally()

    def append(self, visitor: str, entry: MemoryEntry) -> None:
        lane = self.lanes.get(visitor)
        if lane is None:
            lane = self.lanes[visitor] = _Lane(self, visitor)
        entry.lane = lane
        if lane.last is None:
            lane.first = lane.last = entry
            self.ready.append(lane)
        else:
            lane.last.next = entry
            lane.last = entry

    def remove_first(self, lane: _Lane) -> None:
        lane.first = lane.first.next if lane.first is not None else None
        if lane.first is None:
            del self.lanes[lane.visitor]
            if lane.browser_id is not None and self.lanes.get(lane.browser_id) is lane:
                del self.lanes[lane.browser_id]
        else:
            self.ready.append(lane)

    def link(self, visitor: str, browser_id: str) -> None:
        """Let what waits for a visit go by a browser ID, and what the browser tells from now on come behind it."""
        lane = self.lanes.get(visitor)
        if lane is not None and lane.browser_id is None:
            lane.browser_id = browser_id
            self.lanes.setdefault(browser_id, lane)
        held = self.held.pop(visitor, [])
        if held:  # from now on the browser's later requests can let go of them
            self.held.setdefault(browser_id, []).extend(held)

    def wait_until(self, lane: _Lane, due: float) -> None:
        self.serial += 1
        heapq.heappush(self.later, (due, self.serial, lane))

    def wake(self, now: float) -> None:
        while self.later and self.later[0][0] <= now:
            self.ready.append(heapq.heappop(self.later)[2])


class MemoryOutbox:
    """Keeps events in memory, at most `max_events` per destination; beyond that new ones are dropped as "full"."""

    def __init__(self, destinations: Sequence[str], max_events: int = MAX_EVENTS) -> None:
        self._names = tuple(destinations)
        self._max_events = max_events
        self.begin_afresh()

    def begin_afresh(self) -> None:
        """Start empty: in a forked child what was waiting is the parent's to deliver."""
        # Reentrant, as garbage collection may run what drops an event in the midst of anything.
        self._lock = threading.RLock()
        self._shelves = {name: _Shelf(name) for name in self._names}
        self._links: dict[str, str] = {}

    def put(self, event: Event, destinations: Sequence[str], observer: Observer, now: float) -> None:
        """Record an event as waiting."""
        with self._lock:
            admitted = self._admit(event, destinations, observer, now)
            for shelf, entry in admitted:
                shelf.append(event.visitor, entry)
                shelf.tally.waiting += 1
        _tell(observer, admitted, destinations)

    def hold(self, event: Event, destinations: Sequence[str], observer: Observer, now: float) -> None:
        """Record an event as held."""
        with self._lock:
            admitted = self._admit(event, destinations, observer, now, is_held=True)
            for shelf, entry in admitted:
                shelf.held.setdefault(self._whose(event.visitor), []).append(entry)
                shelf.tally.held += 1
        _tell(observer, admitted, destinations)

    def release(self, visitor: str) -> int:
        """Make the held events of a visitor waiting; return how many events that were at the most."""
        released = 0
        with self._lock:
            for shelf in self._shelves.values():
                entries = shelf.held.pop(self._whose(visitor), [])
                for entry in entries:
                    shelf.append(visitor, entry)
                shelf.tally.held -= len(entries)
                shelf.tally.waiting += len(entries)
                released = max(released, len(entries))
        return released

    def clear(self, visitor: str) -> int:
        """Drop the held events of a visitor."""
        cleared = 0
        gone: list[tuple[str, MemoryEntry]] = []
        with self._lock:
            for shelf in self._shelves.values():
                entries = shelf.held.pop(self._whose(visitor), [])
                shelf.tally.held -= len(entries)
                _count(shelf.tally.dropped, "cleared", len(entries))
                gone += [(shelf.name, entry) for entry in entries]
                cleared = max(cleared, len(entries))
        for name, entry in gone:
            entry.observer.on_settled(name, Dropped("cleared"))
        return cleared

    def held(self, visitor: str) -> int:
        """Return how many events are held for a visitor, at the destination that has the most."""
        with self._lock:
            whose = self._whose(visitor)
            return max((len(shelf.held.get(whose, ())) for shelf in self._shelves.values()), default=0)

    def drop(self, destinations: Sequence[str], reason: str) -> None:
        """Count an event that was told and not kept."""
        with self._lock:
            for name in destinations:
                tally = self._shelves[name].tally
                tally.enqueued += 1
                _count(tally.dropped, reason, 1)

    def acquire(self, destination: str, limit: int, now: float) -> list[MemoryEntry]:
        """Hand out entries for sending, at most one of each visitor."""
        shelf = self._shelves[destination]
        acquired: list[MemoryEntry] = []
        with self._lock:
            shelf.wake(now)
            while shelf.ready and len(acquired) < limit:
                entry = shelf.ready.popleft().first
                if entry is None:
                    continue
                if entry.event.browser_id is None:
                    browser_id = entry.lane.browser_id or self._links.get(entry.event.visitor)
                    entry.event = entry.event._replace(browser_id=browser_id)
                entry.attempts += 1
                acquired.append(entry)
        return acquired

    def settle_delivered(self, entry: MemoryEntry, answer: Any) -> None:
        """The destination took it."""
        shelf = entry.lane.shelf
        with self._lock:
            shelf.remove_first(entry.lane)
            shelf.tally.waiting -= 1
            shelf.tally.delivered += 1
        entry.observer.on_settled(shelf.name, Delivered(answer))

    def settle_dead(self, entry: MemoryEntry, reason: str) -> None:
        """The destination will never take it."""
        shelf = entry.lane.shelf
        with self._lock:
            shelf.remove_first(entry.lane)
            shelf.tally.waiting -= 1
            shelf.tally.dead += 1
            shelf.dead.append(DeadLetter(entry.event, shelf.name, reason, entry.attempts))
            if len(shelf.dead) > MAX_DEAD:
                shelf.dead.popleft()
                shelf.tally.dead -= 1
                _count(shelf.tally.dropped, "dead letters full", 1)
        entry.observer.on_settled(shelf.name, Dead(reason))

    def settle_retry(self, entry: MemoryEntry, due: float) -> None:
        """It is to be tried again at a time; what is behind it of the same visitor waits too."""
        with self._lock:
            entry.lane.shelf.wait_until(entry.lane, due)

    def next_due(self, destination: str) -> float | None:
        """Return when the next entry that waits for a later attempt is due; None if there is none."""
        later = self._shelves[destination].later
        return later[0][0] if later else None

    def link(self, visitor: str, browser_id: str) -> str:
        """Note the browser ID of a visit that had none; the oldest of too many notes are forgotten."""
        with self._lock:
            linked = self._linked(visitor) or browser_id
            if len(self._links) >= _MAX_LINKS:
                del self._links[next(iter(self._links))]
            self._links[visitor] = linked
            for shelf in self._shelves.values():
                shelf.link(visitor, linked)
            return linked

    def _linked(self, visitor: str) -> str | None:
        """Return the browser ID that a visit has got, if it has; what waits knows it longer than the notes do."""
        lanes = (shelf.lanes.get(visitor) for shelf in self._shelves.values())
        return next((lane.browser_id for lane in lanes if lane and lane.browser_id), None) or self._links.get(visitor)

    def _whose(self, visitor: str) -> str:
        """Return under what a visitor's events are held: the browser ID once it is known."""
        return self._links.get(visitor, visitor)

    def tally(self, destination: str) -> Tally:
        """Return a copy of a destination's counts, taken at one moment."""
        with self._lock:
            tally = self._shelves[destination].tally
            return replace(tally, dropped=dict(tally.dropped))

    def waiting(self) -> int:
        """Return how many entries wait or are being sent, over all destinations."""
        return sum(shelf.tally.waiting for shelf in self._shelves.values())

    def dead_letters(self, destination: str) -> list[DeadLetter]:
        """Return the dead letters of a destination, the oldest first."""
        with self._lock:
            return list(self._shelves[destination].dead)

    def _admit(
        self, event: Event, destinations: Sequence[str], observer: Observer, now: float, *, is_held: bool = False
    ) -> list[tuple[_Shelf, MemoryEntry]]:
        """Make the entries of an event, for those destinations that have room.

        Queues that nobody comes back to must not keep out what is to be sent, so the two have room of their own.
        """
        admitted: list[tuple[_Shelf, MemoryEntry]] = []
        for name in destinations:
            shelf = self._shelves[name]
            tally = shelf.tally
            tally.enqueued += 1
            if (tally.held if is_held else tally.waiting) >= self._max_events:
                _count(tally.dropped, "full", 1)
                continue
            if event.browser_id is None:
                tally.unlinked += 1
            admitted.append((shelf, MemoryEntry(event, observer, now)))
        return admitted


def _tell(observer: Observer, admitted: Sequence[tuple[_Shelf, MemoryEntry]], destinations: Sequence[str]) -> None:
    """Tell an observer what was recorded and what was not; outside of the lock, since it may ask the outbox."""
    if len(admitted) < len(destinations):
        names = {shelf.name for shelf, _ in admitted}
        for name in destinations:
            if name not in names:
                observer.on_settled(name, Dropped("full"))
    if admitted:
        observer.on_stored()


def _count(counts: dict[str, int], reason: str, number: int) -> None:
    if number:
        counts[reason] = counts.get(reason, 0) + number
