"""What comes from the disk into the stock: pages of what waits, and what other processes left behind."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from logging import ERROR, Logger
from typing import TypeGuard

from ..events.event import Event
from ..logs import get_logger, log_loss
from .board import Notice
from .database import Database
from .entry import NOBODY, PURGED, tell_dropped
from .eventtext import UnreadableEvent, read_event
from .fate import decide
from .job import Job, Orders
from .row import Heard, Row
from .stock import Left, Stock
from .window import NOT_HERE, PAGE, UNIT, Stored, Window

log: Logger = get_logger("passerby.outbox")

NOT_CONFIGURED = "destination is not configured"
HELD_NOT_CONFIGURED = "destination is not configured; held"  # it is held again once the destination is configured
LOST = "corrupted"


@dataclass(frozen=True, slots=True)
class Arrival:
    """Rows of another file, with their places in this one."""

    rows: list[Row]
    waiting: Counter[str]
    dropped: Counter[tuple[str, str]]  # destination and reason


class Intake:
    """Brings rows into the stock. Used by one thread at a time, without the stock's lock.

    Args:
        stock: where they are brought.
        about: gives the notices that may concern rows of another file, whose process had heard so much; raises NotNow.
        jobs: lists what the upkeep is to do still; that is done with what is read before it comes to it.
    """

    def __init__(
        self,
        stock: Stock,
        about: Callable[[Sequence[Row], Heard], Sequence[Notice]],
        jobs: Callable[[], list[Job]],
    ) -> None:
        self._stock = stock
        self._about = about
        self._jobs = jobs

    # Pages.

    def fill(self, database: Database) -> bool:
        """Read a page of what each window wants; whether anything came."""
        came = False
        for window in list(self._stock.windows.values()):
            if window.is_configured:
                came |= self._read_lanes(window, database) | self._read_page(window, database)
        return came

    def make_do(self) -> None:
        """While the disk takes nothing: let what waits for it be sent from memory."""
        with self._stock.lock:
            for window in self._stock.windows.values():
                if window.wants_page:
                    window.take_unwritten(window.size)

    def _read_page(self, window: Window, database: Database) -> bool:
        with self._stock.lock:
            if not window.wants_page:
                return False
            edge, horizon = window.edge, window.horizon
            written = window.behind - len(window.unwritten)
        found = database.page(window.name, horizon, PAGE)
        if not found:
            self._count_missing(window, written)
        rows = [row for row in found if edge is None or row.place < edge]
        if not rows:
            return False
        entries = [self._read(window, row) for row in rows]
        orders = Orders(self._jobs, self._stock.links.notes, database, rows)
        with self._stock.lock:
            orders.hear_the_last()
            gone = self._stock.pending.rows_gone()
            for row, entry in zip(rows, entries, strict=True):
                if row.place in gone:  # purged while it was written
                    continue
                window.pass_by(row.place)
                if not self._keep(entry, window, row, orders):
                    continue
                if window.park(row.visitor, row.place):
                    self._stock.leave_observer(entry)
                else:
                    self._hurry(entry, orders)
                    window.load(row.visitor, entry)
                self._join(window, row)
        tell_dropped(orders.purged, PURGED)
        return any(row.place not in gone for row in rows)

    def _read_lanes(self, window: Window, database: Database) -> bool:
        with self._stock.lock:
            short = [(lane, window.next_of(lane)) for lane in window.short]
        for lane, places in short:
            rows = database.entries(places, window.share * UNIT) if places else []
            if rows:  # those behind these did not fit, or are looked for the next time
                places = places[: bisect_right(places, rows[-1].place)]
            entries = [self._read(window, row) for row in rows]
            orders = Orders(self._jobs, self._stock.links.notes, database, rows)
            with self._stock.lock:
                orders.hear_the_last()
                found = zip(rows, entries, strict=True)
                kept = [entry for row, entry in found if self._keep(entry, window, row, orders)]
                for entry in kept:
                    self._hurry(entry, orders)
                window.unpark(lane, len(places), kept)
                self._count_lost(window, len(places) - len(rows))
            tell_dropped(orders.purged, PURGED)
        return bool(short)

    def _keep(self, entry: Stored | None, window: Window, row: Row, orders: Orders) -> TypeGuard[Stored]:
        """Whether an entry could be read and is not purged; if not, that is counted."""
        if entry is None:
            self._lose(window, row)
            return False
        if not orders.are_to_purge(row.place):
            return True
        window.tally.waiting -= 1
        self._stock.drop_entries(window, [entry], PURGED)
        orders.purged.append(entry)
        return False

    def _hurry(self, entry: Stored, orders: Orders) -> None:
        """Let an entry that comes into memory be due if that was asked for."""
        if orders.are_to_hurry(entry.place):
            entry.due = 0.0
            self._stock.pending.mark(entry)

    def _read(self, window: Window, row: Row) -> Stored | None:
        """Make an entry of a row; None if its event cannot be read."""
        try:
            event = read_event(row.body)
        except UnreadableEvent:
            return None
        if row.linked and event.browser_id is None:
            event = event._replace(browser_id=row.linked)
        return self._entry(window, row, event)

    def _entry(self, window: Window, row: Row, event: Event) -> Stored:
        clocks = self._stock.clocks
        observer = self._stock.observers.pop(row.place, NOBODY)
        entry = Stored(window, event, observer, clocks.clock() - clocks.age(row.told_at), row.place, b"")
        entry.row = row.place
        entry.size = len(row.body)
        entry.attempts = row.attempts
        if row.state == "dead":
            entry.due = clocks.clock() - clocks.age(row.due)
        else:
            entry.due = clocks.due(row.due, row.wait)
        entry.reason = row.reason
        entry.is_unlinked = row.linked is not None
        return entry

    def _join(self, window: Window, row: Row) -> None:
        """Let what was told without a browser ID go by the one it got."""
        linked = row.linked or (self._stock.links.notes.get(row.visitor) if row.linked is not None else None)
        if linked:
            window.link(row.visitor, linked)

    def _count_missing(self, window: Window, number: int) -> None:
        """The file has nothing more although it should."""
        if number > 0:
            with self._stock.lock:
                window.behind -= number
                self._count_lost(window, number)

    def _lose(self, window: Window, row: Row) -> None:
        self._count_lost(window, 1)
        gone = Stored(window, NOT_HERE, NOBODY, 0.0, row.place, b"")
        gone.row = row.place
        gone.size = len(row.body)
        self._stock.forget(gone)

    def _count_lost(self, window: Window, number: int) -> None:
        if number:
            window.tally.waiting -= number
            window.count_dropped(LOST, number)
            log_loss(
                log,
                "%d events for %s could not be read from the outbox and are lost",
                *(number, window.name),
                level=ERROR,
            )

    # Arrivals from other files.

    def expect(self, rows: Sequence[Row], heard: Heard, left: Left) -> Arrival:
        """Find places for rows of another file, behind whatever waits; what is told meanwhile comes after them.

        Args:
            rows: as they were found.
            heard: what their process had heard of the others.
            left: what is known of them here.

        Raises NotNow if it cannot be known at once what the other processes ask to be done with them.
        """
        known: list[Row] = []
        waiting: Counter[str] = Counter()
        dropped: Counter[tuple[str, str]] = Counter()
        rows = [
            row._replace(state="waiting") if row.place in left.released else row
            for row in rows
            if row.place not in left.known
        ]
        notices, now = self._about(rows, heard), self._stock.clocks.now()
        with self._stock.lock:
            for found in rows:
                fate = decide(found, notices, now)
                if isinstance(fate, str):
                    dropped[found.destination, fate] += 1
                    continue
                row = self._adapt(fate, now)._replace(place=self._stock.place_of_earlier())
                known.append(row)
                if row.state == "waiting":
                    self._stock.window(row.destination).behind += 1
                    waiting[row.destination] += 1
        return Arrival(known, waiting, dropped)

    def call_off(self, arrival: Arrival) -> None:
        """The rows could not be written here."""
        with self._stock.lock:
            for name, number in arrival.waiting.items():
                self._stock.window(name).behind -= number

    def welcome(self, arrival: Arrival) -> None:
        """The rows are written here: count them."""
        stock = self._stock
        with stock.lock:
            for (name, reason), number in arrival.dropped.items():
                stock.window(name).tally.enqueued += number
                stock.window(name).count_dropped(reason, number)
            for row in arrival.rows:
                window = stock.window(row.destination)
                tally = window.tally
                tally.enqueued += 1
                tally.unlinked += row.linked is not None
                stock.size += len(row.body)
                if row.state == "waiting":
                    tally.waiting += 1
                elif row.state == "held":
                    self._welcome_held(window, row)
                else:
                    self._welcome_dead(window, row)

    def count_lost(self, lost: Counter[str]) -> None:
        """Count what this outbox had in a file that cannot be read."""
        with self._stock.lock:
            for name, number in lost.items():
                if number > 0:
                    window = self._stock.window(name)
                    window.tally.enqueued += number
                    window.tally.waiting += number
                    self._count_lost(window, number)

    def _welcome_held(self, window: Window, row: Row) -> None:
        window.tally.held += 1
        entry = self._read(window, row) if window.in_queues < window.size else None
        window.hold(row.linked or row.visitor, entry or self._entry(window, row, NOT_HERE))

    def _welcome_dead(self, window: Window, row: Row) -> None:
        entry = self._read(window, row)
        if entry is None:
            window.tally.waiting += 1
            self._lose(window, row)
            return
        oldest = window.bury(entry)
        if oldest is not None:
            self._stock.forget(oldest)

    def _adapt(self, row: Row, now: float) -> Row:
        """Bury what is for a destination that is not configured, and unbury it when it is again."""
        window = self._stock.windows.get(row.destination)
        if window is not None and window.is_configured:
            if row.state == "dead" and row.reason == NOT_CONFIGURED:
                return row._replace(state="waiting", reason=None, due=0.0)
            if row.state == "dead" and row.reason == HELD_NOT_CONFIGURED:
                return row._replace(state="held", reason=None, due=0.0)
        elif row.state != "dead":
            reason = HELD_NOT_CONFIGURED if row.state == "held" else NOT_CONFIGURED
            return row._replace(state="dead", reason=reason, due=now, wait=0.0)
        return row
