"""The outbox in memory: fast, bounded, and gone with the process."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import replace
from typing import Any, TypeVar

from ..events.event import Event
from ..values.outcome import Dead, Delivered, Dropped
from . import DeadLetter, Observer, Tally
from .entry import CLEARED, FULL, LOST, PURGED, Entry, WhenFull, check_room, tell, tell_dropped
from .links import Links
from .shelf import MAX_DEAD, IsMeant, Shelf

T = TypeVar("T")

MAX_EVENTS = 100_000  # per destination: some 100 MB of ordinary events


class Told(Entry):
    """One event for one destination.

    Attributes:
        reason: why the destination will never take it.
    """

    __slots__ = ("reason",)

    reason: str


class MemoryOutbox:
    """Keeps events in memory.

    Args:
        destinations: the names of those that are configured.
        max_events: how many events may wait per destination, and how many may be held.
        when_full: "drop_newest" or "drop_oldest" drops and counts what there is no room for; "raise" raises
            ValidationError.
    """

    state: str = "ok"
    is_durable: bool = False
    is_closed: bool = False
    is_recording: bool = True
    on_ready: Callable[[], None] | None = None

    def __init__(
        self, destinations: Sequence[str], max_events: int = MAX_EVENTS, when_full: WhenFull = "drop_newest"
    ) -> None:
        self._names = tuple(destinations)
        self._max_events = max_events
        self._when_full: WhenFull = when_full
        self.reset_after_fork()

    def reset_after_fork(self) -> None:
        """Start empty: in a forked child what was waiting is the parent's to deliver."""
        # Reentrant, as garbage collection may run what drops an event in the midst of anything.
        self._lock = threading.RLock()
        self._shelves: dict[str, Shelf[Told]] = {name: Shelf(name) for name in self._names}
        self._links = Links()

    def put(self, event: Event, destinations: Sequence[str], observer: Observer, now: float) -> None:
        """Record an event as waiting."""
        full: list[str] = []
        given_up: list[Told] = []
        with self._lock:
            if self._when_full == "raise":
                check_room(name for name in destinations if self._shelves[name].tally.waiting >= self._max_events)
            for name in destinations:
                shelf = self._shelves[name]
                if self._when_full == "drop_oldest" and shelf.tally.waiting >= self._max_events:
                    given_up += self._give_up_oldest(shelf)
                if self._admits(shelf, event, shelf.tally.waiting):
                    shelf.append(event.visitor, Told(shelf, event, observer, now))
                    shelf.tally.waiting += 1
                else:
                    full.append(name)
        for one in given_up:
            tell(one.observer, [one.shelf.name], False)
        tell(observer, full, len(full) < len(destinations))

    def hold(self, event: Event, destinations: Sequence[str], observer: Observer, now: float) -> None:
        """Record an event as held."""
        full: list[str] = []
        with self._lock:
            if self._when_full == "raise":
                check_room(name for name in destinations if self._shelves[name].tally.held >= self._max_events)
            for name in destinations:
                shelf = self._shelves[name]
                if self._admits(shelf, event, shelf.tally.held):
                    queue = shelf.held.setdefault(self._links.whose(event.visitor), [])
                    queue.append(Told(shelf, event, observer, now))
                    shelf.tally.held += 1
                else:
                    full.append(name)
        tell(observer, full, len(full) < len(destinations))

    def release(self, visitor: str) -> int:
        """Make the held events of a visitor waiting; return how many events that were at the most."""
        released = 0
        with self._lock:
            for shelf in self._shelves.values():
                entries = shelf.held.pop(self._links.whose(visitor), [])
                for entry in entries:
                    shelf.append(visitor, entry)
                shelf.tally.held -= len(entries)
                shelf.tally.waiting += len(entries)
                released = max(released, len(entries))
        return released

    def clear(self, visitor: str) -> int:
        """Drop the held events of a visitor."""
        cleared = 0
        gone: list[Told] = []
        with self._lock:
            for shelf in self._shelves.values():
                entries = shelf.held.pop(self._links.whose(visitor), [])
                shelf.tally.held -= len(entries)
                shelf.count_dropped(CLEARED, len(entries))
                gone += entries
                cleared = max(cleared, len(entries))
        tell_dropped(gone, CLEARED)
        return cleared

    def held(self, visitor: str) -> int:
        """Return how many events are held for a visitor, at the destination that has the most."""
        with self._lock:
            whose = self._links.whose(visitor)
            return max((len(shelf.held.get(whose, ())) for shelf in self._shelves.values()), default=0)

    def drop(self, destinations: Sequence[str], reason: str) -> None:
        """Count an event that was told and not kept."""
        with self._lock:
            for name in destinations:
                self._shelves[name].tally.enqueued += 1
                self._shelves[name].count_dropped(reason)

    def acquire(self, destination: str, limit: int, now: float) -> list[Told]:
        """Hand out entries for sending, at most one of each visitor."""
        with self._lock:
            return self._shelves[destination].take(limit, now, self._links.notes)

    def settle_delivered(self, entry: Told, answer: Any) -> None:
        """The destination took it."""
        shelf = entry.shelf
        with self._lock:
            shelf.remove_first(entry.lane)
            shelf.tally.waiting -= 1
            shelf.tally.delivered += 1
        entry.observer.on_settled(shelf.name, Delivered(answer))

    def settle_dead(self, entry: Told, reason: str) -> None:
        """The destination will never take it."""
        shelf = entry.shelf
        with self._lock:
            shelf.remove_first(entry.lane)
            shelf.tally.waiting -= 1
            is_purged = entry.is_purged
            if is_purged:
                shelf.count_dropped(PURGED)
            else:
                self._bury(shelf, entry, reason)
        entry.observer.on_settled(shelf.name, Dropped(PURGED) if is_purged else Dead(reason))

    def _bury(self, shelf: Shelf[Told], entry: Told, reason: str) -> None:
        entry.reason = reason
        entry.is_acquired = False
        shelf.tally.dead += 1
        shelf.letters.append(entry)
        if len(shelf.letters) > MAX_DEAD:
            shelf.letters.popleft()
            shelf.tally.dead -= 1
            shelf.count_dropped("dead letters full")

    def settle_retry(self, entry: Told, due: float, reason: str | None = None) -> None:
        """It is to be tried again at a time; what is behind it of the same visitor waits too."""
        with self._lock:
            is_purged = entry.is_purged
            if not is_purged:
                entry.is_acquired = False
                entry.shelf.wait_until(entry.lane, due)
        if is_purged:
            self.settle_dead(entry, "")

    def next_due(self, destination: str) -> float | None:
        """Return when the next entry that waits for a later attempt is due; None if there is none."""
        with self._lock:
            return self._shelves[destination].next_due()

    def link(self, visitor: str, browser_id: str) -> str:
        """Note the browser ID of a visit that had none; the oldest of too many notes are forgotten."""
        with self._lock:
            return self._links.link(visitor, browser_id, tuple(self._shelves.values()))

    def tally(self, destination: str) -> Tally:
        """Return a copy of a destination's counts, taken at one moment."""
        with self._lock:
            tally = self._shelves[destination].tally
            return replace(tally, dropped=dict(tally.dropped))

    def waiting(self) -> int:
        """Return how many entries wait or are being sent, over all destinations."""
        return sum(shelf.tally.waiting for shelf in self._shelves.values())

    def held_in_all(self) -> int:
        """Return how many entries are held, over all destinations."""
        return sum(shelf.tally.held for shelf in self._shelves.values())

    def unstored(self) -> int:
        """Return how many entries are lost if the process dies: all."""
        return self.waiting() + self.held_in_all()

    def dead_letters(self, destination: str) -> list[DeadLetter]:
        """Return the dead letters of a destination, the oldest first."""
        with self._lock:
            letters = self._shelves[destination].letters
            return [DeadLetter(entry.event, destination, entry.reason, entry.attempts) for entry in letters]

    # What is asked for.

    def purge_visitor(self, visitor: str) -> Future[int]:
        """Drop all that is kept of a visitor, given by browser ID or user ID."""
        gone: list[Told] = []

        def is_meant(entry: Told, whose: str | None) -> bool:
            return whose == visitor or self._links.is_about(entry.event, visitor)

        with self._lock:
            for shelf in self._shelves.values():
                waiting, held = shelf.take_out(is_meant), shelf.take_held(is_meant, list(shelf.held))
                shelf.tally.waiting -= len(waiting)
                shelf.tally.held -= len(held)
                entries = [*waiting, *held, *shelf.take_letters(is_meant)]
                shelf.count_dropped(PURGED, len(entries))
                gone += entries
        tell_dropped(gone, PURGED)
        return _done(len(gone))

    def retry_dead(self, now: float, destination: str | None = None, event_id: str | None = None) -> Future[int]:
        """Let dead letters wait again, as if they were told now."""
        number = 0
        with self._lock:
            for shelf in self._some(destination):
                for entry in shelf.take_letters(_is_letter(event_id)):
                    entry.since, entry.attempts = now, 0
                    shelf.tally.waiting += 1
                    shelf.append(entry.event.visitor, entry)
                    number += 1
        return _done(number)

    def purge_dead(self, destination: str | None = None, event_id: str | None = None) -> Future[int]:
        """Drop dead letters."""
        gone: list[Told] = []
        with self._lock:
            for shelf in self._some(destination):
                entries = shelf.take_letters(_is_letter(event_id))
                shelf.count_dropped(PURGED, len(entries))
                gone += entries
        tell_dropped(gone, PURGED)
        return _done(len(gone))

    def send_now(self) -> Future[int]:
        """Let all that waits for a later attempt be acquired at once."""
        with self._lock:
            return _done(sum(len(shelf.hurry()) for shelf in self._shelves.values()))

    def _some(self, destination: str | None) -> list[Shelf[Told]]:
        return [shelf for name, shelf in self._shelves.items() if destination in (None, name)]

    def claim_browser_ids(self, issuer: str, number: int) -> Future[list[str]]:
        """Take browser IDs that were put back: there are none."""
        return _done([])

    def put_back_browser_ids(self, issuer: str, browser_ids: Sequence[str]) -> None:
        """Leave browser IDs for others: there are none who could take them."""

    @property
    def destinations(self) -> tuple[str, ...]:
        """The names of all destinations."""
        return self._names

    # What an outbox with files has to do; here there is nothing to it.

    def start(self) -> Future[None]:
        """Look for what others left behind: nothing."""
        return _done(None)

    def arriving(self) -> Future[None] | None:
        """Return what to wait for: nothing."""
        return None

    def when_stored(self) -> Future[None] | None:
        """Return what to wait for: nothing."""
        return None

    def flush_to_disk(self, timeout: float) -> bool:
        """All that was put is recorded as well as it can be."""
        return True

    def close(self, timeout: float) -> bool:
        """Let go of what is open: nothing."""
        return True

    def give_up_at_exit(self) -> int:
        """Drop and count all that waits or is held: it is gone with the process."""
        gone: list[Told] = []
        with self._lock:
            for shelf in self._shelves.values():
                waiting, held = shelf.take_out(_is_any), shelf.take_held(_is_any, list(shelf.held))
                shelf.tally.waiting -= len(waiting)
                shelf.tally.held -= len(held)
                shelf.count_dropped(LOST, len(waiting) + len(held))
                gone += [*waiting, *held]
        tell_dropped(gone, LOST)
        return len(gone)

    def before_fork(self) -> None:
        """The process is about to fork."""

    def after_fork_in_parent(self) -> None:
        """The process has forked."""

    def _give_up_oldest(self, shelf: Shelf[Told]) -> list[Told]:
        oldest = shelf.give_up_oldest()
        if oldest is None:
            return []
        shelf.tally.waiting -= 1
        shelf.count_dropped(FULL)
        return [oldest]

    def _admits(self, shelf: Shelf[Told], event: Event, number: int) -> bool:
        """Count an event that is told; whether there is room for it.

        Queues that nobody comes back to must not keep out what is to be sent, so the two have room of their own.
        """
        tally = shelf.tally
        tally.enqueued += 1
        if number >= self._max_events:
            shelf.count_dropped(FULL)
            return False
        if event.browser_id is None:
            tally.unlinked += 1
        return True


def _is_any(entry: Told, whose: str | None) -> bool:
    return True


def _is_letter(event_id: str | None) -> IsMeant[Told]:
    return lambda entry, _: event_id in (None, entry.event.id)


def _done(result: T) -> Future[T]:
    done: Future[T] = Future()
    done.set_result(result)
    return done
