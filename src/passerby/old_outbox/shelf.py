"""The shelf: what one destination has waiting, held and dead, in memory. Every outbox keeps its order by it."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar, Generic, TypeVar

from . import Tally
from .entry import Entry

_FEW = 100  # lanes that may stand somewhere in vain
MAX_DEAD = 1_000  # dead letters kept per destination; older ones are dropped and counted

E = TypeVar("E", bound=Entry)
IsMeant = Callable[[E, str | None], bool]  # of an entry, and under whose name it waits or is held


class Lane(Generic[E]):
    """The waiting events of one visitor at one destination, linked in order; the first may be acquired or due later."""

    __slots__ = ("browser_id", "first", "last", "visitor")

    def __init__(self, visitor: str) -> None:
        self.visitor: str = visitor
        self.browser_id: str | None = None  # of a visit that had none, once it is known
        self.first: E | None = None
        self.last: E | None = None


def _waits(lane: Lane[E], entry: E, due: float) -> bool:
    """Whether a lane still waits for its first to be due, and until then."""
    return lane.first is entry and not entry.is_acquired and entry.due == due


class Shelf(Generic[E]):
    """What one destination has: every step costs the same whether ten events wait or a million.

    A lane stands among those that are ready, or is known to be so later, by its first entry. Where another has become
    the first, it may stand there in vain, or twice; who comes to it looks whether its first may be acquired.

    Whoever uses it sees to it that one thread does so at a time.
    """

    lane_type: ClassVar[type[Lane[Any]]] = Lane

    def __init__(self, name: str) -> None:
        self.name: str = name
        self.lanes: dict[str, Lane[E]] = {}
        self.ready: deque[Lane[E]] = deque()
        self.later: list[tuple[float, int, Lane[E], E]] = []
        self.serial: int = 0
        self.held: dict[str, list[E]] = {}
        self.letters: deque[E] = deque()
        self.tally: Tally = Tally()

    def append(self, visitor: str, entry: E) -> None:
        """Put an entry behind whatever waits of its visitor."""
        lane = self.lanes.get(visitor)
        if lane is None:
            lane = self.lanes[visitor] = self.lane_type(visitor)
        entry.lane = lane
        if lane.last is None:
            lane.first = lane.last = entry
            self.offer(lane)
        else:
            lane.last.next = entry
            lane.last = entry

    def remove_first(self, lane: Lane[E]) -> None:
        """Take an acquired entry out; what is behind it may be acquired."""
        first = lane.first
        if first is not None:
            lane.first = first.next
            first.next = None  # dead letters are kept, and what was behind them is not
        if lane.first is None:
            self.retire(lane)
        else:
            self.offer(lane)

    def give_up_oldest(self) -> E | None:
        """Take out an entry of the visitor who has waited longest, but none that is being sent."""
        for lane in self.lanes.values():
            first = lane.first
            if first is None:
                continue
            if not first.is_acquired:
                self.shorten(lane, first)
                lane.first = first.next
                self.follow(lane)
                return first
            second: E | None = first.next
            if second is not None:
                self.shorten(lane, second)
                first.next = second.next
                if second.next is None:
                    lane.last = first
                return second
        return None

    def follow(self, lane: Lane[E]) -> None:
        """Let what comes next in a lane be acquired in place of a first that was not."""
        if lane.first is None:
            lane.last = None
            self.retire(lane)
        else:
            self.offer(lane)
        self._clear_up()

    def shorten(self, lane: Lane[E], entry: E) -> None:
        """Note that an entry was taken out of a lane."""

    def offer(self, lane: Lane[E]) -> None:
        """Let the first of a lane be acquired, when it is due."""
        if lane.first is not None and lane.first.due:
            self.wait_until(lane, lane.first.due)
        else:
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
            due, _, lane, first = heapq.heappop(self.later)
            if _waits(lane, first, due):
                self.ready.append(lane)
        taken: list[E] = []
        while self.ready and len(taken) < limit:
            lane = self.ready.popleft()
            entry = lane.first
            if entry is None or entry.is_acquired:
                continue
            if entry.due > now:
                self.wait_until(lane, entry.due)
                continue
            if entry.event.browser_id is None:
                browser_id = entry.lane.browser_id or notes.get(entry.event.visitor)
                entry.event = entry.event._replace(browser_id=browser_id)
            entry.attempts += 1
            entry.due = 0.0
            entry.is_acquired = True
            taken.append(entry)
        return taken

    def wait_until(self, lane: Lane[E], due: float) -> None:
        """Let a lane wait until its first is due."""
        first = lane.first
        if first is not None:
            first.due = due
            self.serial += 1
            heapq.heappush(self.later, (due, self.serial, lane, first))

    def next_due(self) -> float | None:
        """Return when the next lane that waits is due."""
        while self.later:
            due, _, lane, entry = self.later[0]
            if _waits(lane, entry, due):
                return due
            heapq.heappop(self.later)
        return None

    def hurry(self) -> list[E]:
        """Let all that waits for a later attempt be acquired at once; return it."""
        waiting = {entry: lane for due, _, lane, entry in self.later if _waits(lane, entry, due)}
        self.later.clear()
        for entry, lane in waiting.items():
            entry.due = 0.0
            self.ready.append(lane)
        return list(waiting)

    def take_out(self, is_meant: IsMeant[E]) -> list[E]:
        """Take out what waits and is meant. Of what is being sent it is noted that it is not to be kept."""
        gone: list[E] = []
        for lane in dict.fromkeys(self.lanes.values()):
            first = lane.first
            gone += self.thin(lane, is_meant)
            if lane.first is not first:
                self.follow(lane)
        return gone

    def thin(self, lane: Lane[E], is_meant: IsMeant[E]) -> list[E]:
        """Take out what is meant of one lane."""
        whose = lane.browser_id or lane.visitor
        gone: list[E] = []
        last: E | None = None
        entry = lane.first
        while entry is not None:
            following: E | None = entry.next
            is_gone = is_meant(entry, whose)
            if is_gone and entry.is_acquired:
                entry.is_purged = True
                is_gone = False
            if is_gone:
                gone.append(entry)
                entry.next = None
                if last is None:
                    lane.first = following
                else:
                    last.next = following
            else:
                last = entry
            entry = following
        lane.last = last
        return gone

    def take_held(self, is_meant: IsMeant[E], visitors: Iterable[str]) -> list[E]:
        """Take out what is held for some visitors and meant."""
        gone: list[E] = []
        for whose in visitors:
            entries = self.held.get(whose, ())
            kept = [entry for entry in entries if not is_meant(entry, whose)]
            if len(kept) < len(entries):
                gone += [entry for entry in entries if is_meant(entry, whose)]
                self.keep_held(whose, kept)
        return gone

    def take_letters(self, is_meant: IsMeant[E]) -> list[E]:
        """Take out the dead letters that are meant."""
        gone = [entry for entry in self.letters if is_meant(entry, None)]
        if gone:
            self.letters = deque(entry for entry in self.letters if not is_meant(entry, None))
            self.tally.dead -= len(gone)
        return gone

    def keep_held(self, whose: str, entries: list[E]) -> None:
        """Let only these be held for a visitor."""
        if entries:
            self.held[whose] = entries
        else:
            self.held.pop(whose, None)

    def _clear_up(self) -> None:
        """Take out what stands somewhere in vain, once that is most of it: while nobody sends, nobody comes to it."""
        most = 2 * len(self.lanes) + _FEW
        if len(self.ready) > most:
            ready = (lane for lane in self.ready if lane.first is not None and not lane.first.is_acquired)
            self.ready = deque(dict.fromkeys(ready))
        if len(self.later) > most:
            later = {one[3]: one for one in self.later if _waits(one[2], one[3], one[0])}
            self.later = list(later.values())
            heapq.heapify(self.later)

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
