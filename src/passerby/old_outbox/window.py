"""The window: what one destination of an outbox on disk has in memory, the oldest that waits; the rest is paged in."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, ClassVar, Literal

from ..events.event import Event
from . import DeadLetter, Observer
from .entry import Entry
from .row import Row
from .shelf import MAX_DEAD, IsMeant, Lane, Shelf

SIZE = 4_000  # entries of ordinary size in memory, over all destinations; what comes then is on disk only
UNIT = 1_000  # bytes that are ordinary; an entry of more counts as several
PAGE = 500  # entries read at once, if that many fit
FIRST_PLACE = 2**32  # of what is recorded here; the events of earlier files get places before it
SCARCE = 50  # visitors ready to be sent; with fewer, the next page is read even if the window is full

NOT_HERE = Event("", "event", None, 0.0, None, "", None, {}, {})  # stands for an event that is on disk only


class Stored(Entry):
    """One event for one destination, in memory and on disk.

    Attributes:
        place: where it stands in the order.
        row: the place under which the file knows it; 0 if it does not.
        body: the event as it is to be written; empty once it is.
        size: how many bytes it has.
        state: what it is now; the file hears of it later.
        reason: why it was not taken the last time.
        is_unlinked: whether it came without a browser ID.
        is_dirty: whether the file is still to hear of a change.
        tells: whether its observer is to hear that the event is recorded.
    """

    __slots__ = (
        "body", "is_dirty", "is_unlinked", "place", "reason", "row", "size", "state", "tells",
    )  # fmt: skip

    shelf: Window

    def __init__(self, shelf: Window, event: Event, observer: Observer, since: float, place: int, body: bytes) -> None:
        super().__init__(shelf, event, observer, since)
        self.place: int = place
        self.row: int = 0
        self.body: bytes = body
        self.size: int = len(body)
        self.state: Literal["waiting", "held", "dead", "gone"] = "waiting"
        self.reason: str | None = None
        self.is_unlinked: bool = event.browser_id is None
        self.is_dirty: bool = False
        self.tells: bool = False

    @property
    def weight(self) -> int:
        """As how many entries of ordinary size it counts where memory is bounded."""
        return 1 + self.size // UNIT


class LongLane(Lane[Stored]):
    """A lane that may go on on disk.

    Attributes:
        length: how much of it is in memory, in entries of ordinary size.
        parked: the places of those behind them.
        is_short: whether it has asked for some of them.
    """

    __slots__ = ("is_short", "length", "parked")

    def __init__(self, visitor: str) -> None:
        super().__init__(visitor)
        self.length: int = 0
        self.parked: array[int] | None = None
        self.is_short: bool = False


class Window(Shelf[Stored]):
    """Keeps the order of one destination, of which it knows only the beginning.

    What waits is, in this order: what is in the lanes; what is *parked*, on disk only, behind a visitor who has many in
    memory already; what is *behind* all that, on disk only, or on its way there.

    Args:
        name: the destination's name.
        size: how many entries of ordinary size are in memory.
        is_configured: whether anything is sent there.
    """

    lane_type: ClassVar[type[Lane[Any]]] = LongLane

    def __init__(self, name: str, size: int = SIZE, *, is_configured: bool = True) -> None:
        super().__init__(name)
        self.size: int = size
        self.share: int = max(1, size // SCARCE)  # of one visitor, where there is more of him on disk
        self.is_configured: bool = is_configured
        self.loaded: int = 0
        self.parked: int = 0
        self.behind: int = 0
        self.horizon: int = 0  # what waits beyond this place is behind
        self.unwritten: dict[int, Stored] = {}  # of what is behind, by place
        self.short: list[LongLane] = []
        self.in_queues: int = 0  # of what is held, how much is in memory
        self.awaits_earlier: bool = True  # see `Stock`

    def admit(self, visitor: str, entry: Stored) -> None:
        """Let an entry wait: in memory, or on disk if there is more than fits."""
        if self.awaits_earlier or self.behind or self.parked or self.loaded >= self.size:
            self.behind += 1
            self.unwritten[entry.place] = entry
        else:
            self.load(visitor, entry)

    def load(self, visitor: str, entry: Stored) -> None:
        """Put an entry behind what is in memory."""
        self.append(visitor, entry)
        self.horizon = max(self.horizon, entry.place)

    def append(self, visitor: str, entry: Stored) -> None:
        """Put an entry behind whatever waits of its visitor."""
        super().append(visitor, entry)
        lane: Any = entry.lane
        lane.length += entry.weight
        self.loaded += entry.weight

    def hold(self, whose: str, entry: Stored) -> None:
        """Let an entry be held."""
        entry.state = "held"
        self.held.setdefault(whose, []).append(entry)
        if entry.event is not NOT_HERE:
            self.in_queues += entry.weight

    def remove_first(self, lane: Lane[Any]) -> None:
        """Take an acquired entry out; what is behind it may be acquired."""
        if lane.first is not None:
            self.shorten(lane, lane.first)
        super().remove_first(lane)

    def retire(self, lane: Any) -> None:
        """Forget a lane that is empty, unless it goes on on disk."""
        lane.last = None
        if not lane.parked:
            super().retire(lane)

    def thin(self, lane: Lane[Any], is_meant: IsMeant[Stored]) -> list[Stored]:
        """Take out what is meant of one lane, as far as it is in memory."""
        gone = super().thin(lane, is_meant)
        for entry in gone:
            self.shorten(lane, entry)
        return gone

    def take_out(self, is_meant: IsMeant[Stored]) -> list[Stored]:
        """Take out what waits in memory, or on its way to the disk, and is meant."""
        gone = super().take_out(is_meant)
        for entry in list(self.unwritten.values()):
            if is_meant(entry, None):
                del self.unwritten[entry.place]
                self.behind -= 1
                gone.append(entry)
        return gone

    def take_held(self, is_meant: IsMeant[Stored], visitors: Iterable[str]) -> list[Stored]:
        """Take out what is held for some visitors and meant."""
        gone = super().take_held(is_meant, visitors)
        self.leave_queues(gone)
        return gone

    def leave_queues(self, entries: Iterable[Stored]) -> None:
        """Note that entries are not held any more, or not in memory."""
        self.in_queues -= sum(entry.weight for entry in entries if entry.event is not NOT_HERE)

    def hurry(self) -> list[Stored]:
        """Let all that waits in memory for a later attempt be acquired at once; return it."""
        hurried = super().hurry()
        behind = [entry for entry in self.in_lanes() if entry.due]
        for entry in behind:
            entry.due = 0.0
        return hurried + behind

    def bury(self, entry: Stored) -> Stored | None:
        """Keep a dead letter; return the oldest if there are too many."""
        entry.state = "dead"
        self.tally.dead += 1
        self.letters.append(entry)
        if len(self.letters) <= MAX_DEAD:
            return None
        oldest = self.letters.popleft()
        if not self.is_configured:  # on disk, where commands find it
            return None
        self.tally.dead -= 1
        self.count_dropped("dead letters full")
        return oldest

    def dead_letters(self) -> list[DeadLetter]:
        """Return the dead letters, the oldest first."""
        return [DeadLetter(one.event, self.name, one.reason or "", one.attempts) for one in self.letters]

    # Paging.

    @property
    def wants_page(self) -> bool:
        """Whether some of what is behind is to be read."""
        return self.behind > 0 and (self.loaded < (self.size + 1) // 2 or len(self.ready) < SCARCE)

    @property
    def edge(self) -> int | None:
        """The place from which on what is behind may not be written yet."""
        if self.awaits_earlier:
            return FIRST_PLACE
        return next(iter(self.unwritten), None)

    def pass_by(self, place: int) -> None:
        """Note that the next of what is behind is looked at, in their order: it is in memory, parked or gone now."""
        self.behind -= 1
        self.horizon = place

    def park(self, visitor: str, place: int) -> bool:
        """Leave an entry on disk if its visitor has enough in memory; whether that is so."""
        lane = self.lanes.get(visitor)
        if not isinstance(lane, LongLane) or not (lane.parked or lane.length >= self.share):
            return False
        if lane.parked is None:
            lane.parked = array("q")
        lane.parked.append(place)
        self.parked += 1
        return True

    def take_unwritten(self, number: int) -> None:
        """Take some of what is behind and cannot be written now; what is on disk comes first."""
        if self.behind > len(self.unwritten):
            return
        for entry in list(islice(self.unwritten.values(), number)):
            lane: Any = self.lanes.get(entry.event.visitor)
            if entry.event is NOT_HERE or (lane is not None and lane.parked):
                return
            del self.unwritten[entry.place]
            self.behind -= 1
            self.load(entry.event.visitor, entry)

    def next_of(self, lane: LongLane) -> list[int]:
        """Return the places of what comes next in a lane that is short."""
        return list(lane.parked[: self.share]) if lane.parked else []

    def unpark(self, lane: LongLane, number: int, entries: Iterable[Stored]) -> None:
        """Put entries behind what a lane has in memory, in place of so many that were parked."""
        lane.is_short = False
        self.short.remove(lane)
        if lane.parked is not None:
            del lane.parked[:number]
        self.parked -= number
        for entry in entries:
            self.append(lane.visitor, entry)
        if lane.first is None and not lane.parked:  # none of them was readable
            self.retire(lane)
        self._look_whether_short(lane)

    def take_from_disk(self, row: Row) -> bool:
        """Forget an entry that is on disk only; False if it is not known to be there, or not there alone."""
        if row.state == "dead":
            if self.is_configured:  # then all are in memory
                return False
            self.tally.dead -= 1
            return True
        if row.state != "waiting":
            return False
        if row.place > self.horizon:
            self.behind -= 1
        elif not self._take_parked(row):
            return False
        self.tally.waiting -= 1
        return True

    def _take_parked(self, row: Row) -> bool:
        for lane in dict.fromkeys(self.lanes.values()):
            parked = lane.parked if isinstance(lane, LongLane) else None
            if parked:
                index = bisect_left(parked, row.place)
                if index < len(parked) and parked[index] == row.place:
                    del parked[index]
                    self.parked -= 1
                    if not parked and lane.first is None:
                        self.retire(lane)
                    return True
        return False

    # Another file.

    def in_lanes(self) -> Iterator[Stored]:
        """Return all entries that wait in memory."""
        for visitor, lane in self.lanes.items():
            if visitor != lane.visitor and self.lanes.get(lane.visitor) is lane:
                continue  # it is there by two names
            entry = lane.first
            while entry is not None:
                yield entry
                entry = entry.next

    def in_memory(self) -> Iterator[Stored]:
        """Return all entries whose events are here."""
        yield from self.in_lanes()
        for entries in self.held.values():
            yield from (entry for entry in entries if entry.event is not NOT_HERE)
        yield from self.letters
        yield from (entry for entry in self.unwritten.values() if entry.event is not NOT_HERE)

    def resize(self, entry: Stored, size: int) -> None:
        """Note how many bytes an entry has that is written anew, perhaps with the browser ID that it got meanwhile."""
        before = entry.weight
        entry.size = size
        more = entry.weight - before
        if entry.state == "waiting" and entry.place not in self.unwritten:
            self.loaded += more
            entry.lane.length += more
        elif entry.state == "held":
            self.in_queues += more

    def forget_disk(self) -> int:
        """Forget what was on disk only; return how many entries those were."""
        tally = self.tally
        self.unwritten = {place: entry for place, entry in self.unwritten.items() if entry.event is not NOT_HERE}
        waiting = self.behind + self.parked - len(self.unwritten)
        for whose, entries in list(self.held.items()):
            self.held[whose] = [entry for entry in entries if entry.event is not NOT_HERE]
            if not self.held[whose]:
                del self.held[whose]
        held = tally.held - sum(map(len, self.held.values()))
        dead = tally.dead - len(self.letters)
        self.behind, self.parked, self.short = len(self.unwritten), 0, []
        for lane in list(self.lanes.values()):
            if isinstance(lane, LongLane):
                lane.parked = None
                lane.is_short = False
                if lane.first is None:
                    self.retire(lane)
        tally.waiting -= waiting
        tally.held -= held
        tally.dead -= dead
        tally.enqueued -= waiting + held + dead
        return waiting + held + dead

    def _look_whether_short(self, lane: Lane[Any]) -> None:
        if isinstance(lane, LongLane) and lane.parked and not lane.is_short and lane.length <= self.share // 2:
            lane.is_short = True
            self.short.append(lane)

    def shorten(self, lane: Any, entry: Stored) -> None:
        """Note that an entry was taken out of a lane."""
        self.loaded -= entry.weight
        lane.length -= entry.weight
        self._look_whether_short(lane)
