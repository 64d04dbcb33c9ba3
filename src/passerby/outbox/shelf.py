"""The shelf: what one destination has waiting, held and dead, in memory. Every outbox keeps its order by it."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Generic, TypeVar

from ..event import Event
from ..outcome import Dropped
from . import DeadLetter, Observer, Tally

MAX_DEAD = 1_000  # dead letters kept per destination; older ones are dropped and counted
_MAX_LINKS = 10_000


class Entry:
    """One event for one destination."""

    __slots__ = ("attempts", "event", "lane", "next", "observer", "since")

    lane: Lane[Any]

    def __init__(self, event: Event, observer: Observer, since: float) -> None:
        self.event: Event = event
        self.observer: Observer = observer
        self.since: float = since
        self.attempts: int = 0
        self.next: Any = None


E = TypeVar("E", bound=Entry)


class Lane(Generic[E]):
    """The waiting events of one visitor at one destination, linked in order; the first may be acquired or due later."""

    __slots__ = ("browser_id", "first", "last", "shelf", "visitor")

    def __init__(self, shelf: Any, visitor: str) -> None:
        self.shelf: Any = shelf
        self.visitor: str = visitor
        self.browser_id: str | None = None  # of a visit that had none, once it is known
        self.first: E | None = None
        self.last: E | None = None


class Shelf(Generic[E]):
    """What one destination has: every step costs the same whether ten events wait or a million.

    Whoever uses it sees to it that one thread does so at a time.
    """

    lane_type: ClassVar[type[Lane[Any]]] = Lane

    def __init__(self, name: str) -> None:
        self.name: str = name
        self.lanes: dict[str, Lane[E]] = {}
        self.ready: deque[Lane[E]] = deque()
        self.later: list[tuple[float, int, Lane[E]]] = []
        self.serial: int = 0
        self.held: dict[str, list[E]] = {}
        self.dead: deque[DeadLetter] = deque()
        self.tally: Tally = Tally()

    def append(self, visitor: str, entry: E) -> None:
        """Put an entry behind whatever waits of its visitor."""
        lane = self.lanes.get(visitor)
        if lane is None:
            lane = self.lanes[visitor] = self.lane_type(self, visitor)
        entry.lane = lane
        if lane.last is None:
            lane.first = lane.last = entry
            self.offer(lane)
        else:
            lane.last.next = entry
            lane.last = entry

    def remove_first(self, lane: Lane[E]) -> None:
        """Take an acquired entry out; what is behind it may be acquired."""
        lane.first = lane.first.next if lane.first is not None else None
        if lane.first is None:
            self.retire(lane)
        else:
            self.offer(lane)

    def offer(self, lane: Lane[E]) -> None:
        """Let the first of a lane be acquired."""
        self.ready.append(lane)

    def retire(self, lane: Lane[E]) -> None:
        """Forget a lane that is empty."""
        if self.lanes.get(lane.visitor) is lane:
            del self.lanes[lane.visitor]
        if lane.browser_id is not None and self.lanes.get(lane.browser_id) is lane:
            del self.lanes[lane.browser_id]

    def take(self, limit: int, now: float, notes: Mapping[str, str]) -> list[E]:
        """Acquire the first of each lane whose first may be acquired, and count the attempt.

        Args:
            limit: how many at most.
            now: the time; who is due is woken.
            notes: which browser ID belongs to which visit.
        """
        while self.later and self.later[0][0] <= now:
            self.ready.append(heapq.heappop(self.later)[2])
        taken: list[E] = []
        while self.ready and len(taken) < limit:
            entry = self.ready.popleft().first
            if entry is None:
                continue
            if entry.event.browser_id is None:
                browser_id = entry.lane.browser_id or notes.get(entry.event.visitor)
                entry.event = entry.event._replace(browser_id=browser_id)
            entry.attempts += 1
            taken.append(entry)
        return taken

    def wait_until(self, lane: Lane[E], due: float) -> None:
        """Let a lane wait until its first is due."""
        self.serial += 1
        heapq.heappush(self.later, (due, self.serial, lane))

    def next_due(self) -> float | None:
        """Return when the next lane that waits is due."""
        later = self.later
        return later[0][0] if later else None

    def link(self, visitor: str, browser_id: str) -> None:
        """Let what waits for a visit go by a browser ID, and what the browser tells from now on come behind it."""
        lane = self.lanes.get(visitor)
        if lane is not None and lane.browser_id is None:
            lane.browser_id = browser_id
            self.lanes.setdefault(browser_id, lane)
        held = self.held.pop(visitor, [])
        if held:  # from now on the browser's later requests can let go of them
            self.held.setdefault(browser_id, []).extend(held)

    def count_dropped(self, reason: str, number: int = 1) -> None:
        """Count what is not kept."""
        if number:
            dropped = self.tally.dropped
            dropped[reason] = dropped.get(reason, 0) + number


class Links:
    """Which browser ID belongs to which visit; the oldest of too many notes are forgotten."""

    __slots__ = ("notes",)

    def __init__(self) -> None:
        self.notes: dict[str, str] = {}

    def link(self, visitor: str, browser_id: str, shelves: Sequence[Shelf[Any]]) -> str:
        """Note a visit's browser ID unless it has one already; return the one that holds."""
        linked = self._linked(visitor, shelves) or browser_id
        if len(self.notes) >= _MAX_LINKS:
            del self.notes[next(iter(self.notes))]
        self.notes[visitor] = linked
        for shelf in shelves:
            shelf.link(visitor, linked)
        return linked

    def whose(self, visitor: str) -> str:
        """Return under what a visitor's events are held: the browser ID once it is known."""
        return self.notes.get(visitor, visitor)

    def _linked(self, visitor: str, shelves: Sequence[Shelf[Any]]) -> str | None:
        """Return the browser ID that a visit has got, if it has; what waits knows it longer than the notes do."""
        lanes = (shelf.lanes.get(visitor) for shelf in shelves)
        return next((lane.browser_id for lane in lanes if lane and lane.browser_id), None) or self.notes.get(visitor)


def tell(observer: Observer, dropped: Sequence[str], is_stored: bool) -> None:
    """Tell an observer where there was no room and whether it is recorded; never in the midst of something."""
    for name in dropped:
        observer.on_settled(name, Dropped("full"))
    if is_stored:
        observer.on_stored()
