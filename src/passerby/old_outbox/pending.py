"""What is still to be written: changed entries and links into the file, notices on the board.

The newest state of an entry is written, once.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from itertools import islice
from typing import cast

from . import Observer
from .board import OF_HELD, Notice, Unused
from .links import MAX_LINKS
from .row import Change, Row, State, well_formed
from .window import NOT_HERE, Stored

BATCH = 500  # entries per transaction
_CHUNK = 50  # entries that are looked at while nobody else may touch them

MAX_NOTICES = 50_000  # that wait for a board which cannot be written; some 15 MB
_CROWD = 1_000  # who wait, among whom it is looked for those who have given up

_READINGS = 10  # of two clocks, until they are
_AT_ONCE = 0.0002  # seconds apart
_TOO_EARLY = 1_577_836_800.0  # 2020: a clock that says less was not set


@dataclass(frozen=True, slots=True)
class Clocks:
    """The callers' clock, and the one that goes on when a process ends.

    Attributes:
        clock: seconds on a clock that never goes back.
        now: seconds since 1970.
    """

    clock: Callable[[], float]
    now: Callable[[], float]

    def age(self, told_at: float) -> float:
        """How long ago something was, as far as the clock can be believed."""
        return max(0.0, self.now() - told_at) if told_at >= _TOO_EARLY else 0.0

    def offset(self) -> float:
        """How many seconds since 1970 the callers' clock began.

        Another thread may run between the two readings; then they are read again, as what was told at one moment must
        not seem to be told after what was posted at the next.
        """
        before, now, after = self.clock(), self.now(), self.clock()
        for _ in range(_READINGS):
            if after - before < _AT_ONCE:
                break
            before, now, after = after, self.now(), self.clock()
        return now - (before + after) / 2

    def due(self, due: float, wait: float) -> float:
        """When something is due, on the callers' clock: never longer from now than it was when that was decided."""
        return self.clock() + min(max(due - self.now(), 0.0), wait) if due else 0.0


@dataclass(slots=True)
class Batch:
    """What is written in one transaction."""

    entries: list[Stored] = field(default_factory=list[Stored])
    rows_before: list[int] = field(default_factory=list[int])
    inserts: list[Row] = field(default_factory=list[Row])
    updates: dict[int, Change] = field(default_factory=dict[int, Change])  # by their new place
    deletes: list[int] = field(default_factory=list[int])
    links: dict[str, str] = field(default_factory=dict[str, str])  # visits and their browser IDs
    number: int = 0

    @property
    def is_last(self) -> bool:
        """Whether it was all that there was to be written."""
        return self.number > 0


class Pending:
    """The queue of changes. Whoever uses it sees to it that one thread does so at a time.

    Attributes:
        size: how many bytes wait to be written.
    """

    def __init__(self, clocks: Clocks, notes: Mapping[str, str]) -> None:
        self._clocks = clocks
        self._notes = notes
        self._entries: deque[Stored] = deque()
        self._links: dict[str, str] = {}  # visits and their browser IDs
        self._inserts = 0  # of the batch that is being written
        self._marked = 0
        self._written = 0
        self._told = 0  # of what is recorded, what those who wait for it have been told of
        self._postings: deque[tuple[int, Notice | Unused]] = deque()
        self._waiters: deque[tuple[int, Future[None]]] = deque()
        self._crowd = _CROWD
        self.size: int = 0

    @property
    def is_wanted(self) -> bool:
        """Whether the file is still to hear of anything."""
        return self._written < self._marked or bool(self._entries)

    @property
    def is_recorded(self) -> bool:
        """Whether everything is in the file or on the board."""
        return not self.is_wanted and not self._postings

    @property
    def marked(self) -> int:
        """How many changes there have been."""
        return self._marked

    @property
    def unstored(self) -> int:
        """How many entries wait or are held, and are in no file."""
        entries = self._entries
        return self._inserts + sum(not entry.row and entry.state in ("waiting", "held") for entry in entries)

    def is_written(self, number: int) -> bool:
        """Whether the file has heard of the first so many changes."""
        return self._written >= number

    @property
    def is_long(self) -> bool:
        """Whether so much is to be written that nothing should be read which adds to it."""
        return len(self._entries) > 4 * BATCH

    def mark(self, entry: Stored) -> None:
        """The file is to hear of an entry."""
        if not entry.is_dirty:
            entry.is_dirty = True
            self._entries.append(entry)
            self._marked += 1

    def link(self, visitor: str, browser_id: str) -> None:
        """The file is to hear whose the events of a visit are; the oldest of too many visits are forgotten."""
        if len(self._links) >= MAX_LINKS:
            del self._links[next(iter(self._links))]
        self._links[well_formed(visitor)] = well_formed(browser_id)
        self._marked += 1

    def post(self, posting: Notice | Unused) -> bool:
        """The other processes are to hear of something; False if so much waits already that they will not.

        That may only be about what is held for one visitor, which is let go of once he comes again.
        """
        if len(self._postings) >= MAX_NOTICES and isinstance(posting, Notice) and posting.kind in OF_HELD:
            return False
        self._marked += 1
        self._postings.append((self._marked, posting))
        return True

    def postings(self) -> list[Notice | Unused]:
        """Return the first of what is to be posted."""
        return [posting for _, posting in islice(self._postings, BATCH)]

    def notices(self) -> list[Notice]:
        """Return all notices that are to be posted."""
        return [posting for _, posting in self._postings if isinstance(posting, Notice)]

    def confirm_posted(self, number: int) -> None:
        """Note that the first so many are posted."""
        for _ in range(number):
            self._postings.popleft()

    def when_written(self) -> Future[None] | None:
        """Return what to wait for until all changes so far are in the file or on the board; None if that is told."""
        if self._told >= self._marked:
            return None
        if len(self._waiters) >= self._crowd:  # a disk that takes nothing must not have them gather
            self._waiters = deque(one for one in self._waiters if not one[1].cancelled())
            self._crowd = max(_CROWD, 2 * len(self._waiters))
        waiter: Future[None] = Future()
        self._waiters.append((self._marked, waiter))
        return waiter

    def take(self, batch: Batch) -> bool:
        """Move some changes into a batch; whether there are more, and room for them."""
        clock, offset = self._clocks.clock(), self._clocks.offset()
        for _ in range(min(_CHUNK, len(self._entries))):
            entry = self._entries.popleft()
            entry.is_dirty = False
            batch.entries.append(entry)
            batch.rows_before.append(entry.row)
            if entry.state == "gone":
                if entry.row:
                    batch.deletes.append(entry.row)
                entry.row = 0
            elif entry.row:
                change = self._change(entry, clock, offset)
                earlier = batch.updates.pop(entry.row, None)  # it has changed while the batch was made
                batch.updates[entry.place] = change if earlier is None else change._replace(row=earlier.row)
                entry.row = entry.place
            else:
                batch.inserts.append(self._row(entry, clock, offset))
                self._inserts += entry.state != "dead"
                entry.row = entry.place
        if self._entries:
            return len(batch.entries) < BATCH
        batch.links, self._links = self._links, {}  # after all entries that they may be about
        batch.number = self._marked
        return False

    def confirm(self, batch: Batch) -> list[Observer]:
        """Note that a batch is written; return who is to hear of it."""
        told: list[Observer] = []
        self._inserts = 0
        for entry in batch.entries:
            if entry.tells:
                entry.tells = False
                told.append(entry.observer)
            if entry.body and (entry.row or entry.state == "gone"):
                self.size -= len(entry.body)
                entry.body = b""
        self._written = batch.number or self._written + len(batch.entries)
        return told

    def give_back(self, batch: Batch) -> None:
        """Take back what could not be written."""
        self._inserts = 0
        for entry, row in zip(reversed(batch.entries), reversed(batch.rows_before), strict=True):
            entry.row = row
            entry.is_dirty = True
            self._entries.appendleft(entry)
        self._links = {**batch.links, **self._links}

    def obsolete(self, limit: int) -> list[Stored]:
        """Return entries whose rows are only in the way; they stay in the queue."""
        found: list[Stored] = []
        for entry in self._entries:
            if entry.state == "gone" and entry.row:
                found.append(entry)
                if len(found) >= limit:
                    break
        return found

    def in_file(self) -> list[Stored]:
        """Return the entries of which the file has an older state."""
        return [entry for entry in self._entries if entry.row]

    def rows_gone(self) -> set[int]:
        """Return the places of rows that are still to be deleted."""
        return {entry.row for entry in self._entries if entry.state == "gone" and entry.row}

    def forget_file(self) -> tuple[set[int], set[int]]:
        """Note that there is a new file which knows of nothing.

        Returns the places of the old one that are not to be asked for, and of what was just released and is there only.
        """
        there = {entry for entry in self._entries if entry.state == "waiting" and entry.event is NOT_HERE}
        released = {entry.row for entry in there}
        self._entries = deque(entry for entry in self._entries if entry not in there)
        gone = {entry.row for entry in self._entries if entry.row}
        for entry in self._entries:
            entry.row = 0
        return gone, released

    def written(self) -> list[Future[None]]:
        """Return who need not wait any longer. Called when those whose events are recorded have heard so."""
        done: list[Future[None]] = []
        self._told = self._recorded
        while self._waiters and self._waiters[0][0] <= self._told:
            done.append(self._waiters.popleft()[1])
        return done

    @property
    def _recorded(self) -> int:
        return min(self._written, self._postings[0][0] - 1) if self._postings else self._written

    def _change(self, entry: Stored, clock: float, offset: float) -> Change:
        return Change(
            place=entry.place,
            state=cast("State", entry.state),
            attempts=entry.attempts,
            due=entry.due + offset if entry.due else 0.0,
            wait=max(0.0, entry.due - clock) if entry.due else 0.0,
            reason=entry.reason and well_formed(entry.reason),
            told_at=entry.since + offset,
            row=entry.row,
        )

    def _row(self, entry: Stored, clock: float, offset: float) -> Row:
        event = entry.event
        linked: str | None = None
        if entry.is_unlinked:
            lane = getattr(entry, "lane", None)
            linked = event.browser_id or (lane and lane.browser_id) or self._notes.get(event.visitor, "")
        return Row(
            place=entry.place,
            destination=entry.shelf.name,
            state=cast("State", entry.state),
            event_id=well_formed(event.id),
            visitor=well_formed(event.visitor),
            linked=linked and well_formed(linked),
            told_at=entry.since + offset,
            attempts=entry.attempts,
            due=entry.due + offset if entry.due else 0.0,
            wait=max(0.0, entry.due - clock) if entry.due else 0.0,
            reason=entry.reason and well_formed(entry.reason),
            body=entry.body,
        )
