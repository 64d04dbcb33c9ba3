"""The entry: one event for one destination, and who hears what becomes of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from logging import Logger
from typing import Any, Literal

from ..errors import ValidationError
from ..events.event import Event
from ..logs import get_logger, log_loss
from ..values.outcome import Dropped
from . import Observer

log: Logger = get_logger("passerby.outbox")

WhenFull = Literal["drop_newest", "drop_oldest", "raise"]

FULL = "full"  # why something is not kept for which there is no room
CLEARED = "cleared"  # why something is not kept that was held
LOST = "lost at exit"  # why something is not kept that was in memory when the process ended
PURGED = "purged"  # why something is not kept that was to be erased


class Nobody:
    """Hears what becomes of an event that nobody waits for."""

    def on_stored(self) -> None:
        """Nobody listens."""

    def on_settled(self, destination: str, outcome: Any) -> None:
        """Nobody listens."""


NOBODY: Observer = Nobody()


class Entry:
    """One event for one destination.

    Attributes:
        shelf: where the destination's entries are.
        event: the event.
        observer: who hears what becomes of it.
        since: when it was told.
        attempts: how often it was tried.
        due: when it is to be tried again; 0 at once. Of a dead one: when it died.
        lane: where it waits.
        next: what comes behind it in its lane.
        is_acquired: whether it is being sent.
        is_purged: whether it is not kept if that fails.
    """

    __slots__ = ("attempts", "due", "event", "is_acquired", "is_purged", "lane", "next", "observer", "shelf", "since")

    lane: Any

    def __init__(self, shelf: Any, event: Event, observer: Observer, since: float) -> None:
        self.shelf: Any = shelf
        self.event: Event = event
        self.observer: Observer = observer
        self.since: float = since
        self.attempts: int = 0
        self.due: float = 0.0
        self.next: Any = None
        self.is_acquired: bool = False
        self.is_purged: bool = False


def tell(observer: Observer, dropped: Sequence[str], is_stored: bool) -> None:
    """Tell an observer where there was no room and whether it is recorded; never in the midst of something."""
    for name in dropped:
        log_loss(log, "the outbox is full: events for %s are dropped and counted (see max_events, when_full)", name)
        observer.on_settled(name, Dropped(FULL))
    if is_stored:
        observer.on_stored()


def check_room(full: Iterable[str]) -> None:
    """Raise ValidationError if there is a destination for which there is no room."""
    name = next(iter(full), None)
    if name is not None:
        raise ValidationError(
            f"the outbox is full: too much waits for {name}; see why it does not answer, allow for more (max_events, "
            "max_bytes), or choose what is dropped (when_full)"
        )


def tell_dropped(entries: Iterable[Entry], reason: str) -> None:
    """Tell who waits for some entries that they are not kept; never in the midst of something."""
    for entry in entries:
        entry.observer.on_settled(entry.shelf.name, Dropped(reason))
