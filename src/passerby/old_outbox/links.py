"""The links: which browser ID belongs to which visit that began without one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..events.event import Event
from .shelf import Shelf

MAX_LINKS = 10_000


class Links:
    """Which browser ID belongs to which visit; the oldest of too many notes are forgotten."""

    __slots__ = ("notes",)

    def __init__(self) -> None:
        self.notes: dict[str, str] = {}

    def link(self, visitor: str, browser_id: str, shelves: Sequence[Shelf[Any]]) -> str:
        """Note a visit's browser ID unless it has one already; return the one that holds."""
        linked = self._linked(visitor, shelves) or browser_id
        if len(self.notes) >= MAX_LINKS:
            del self.notes[next(iter(self.notes))]
        self.notes[visitor] = linked
        for shelf in shelves:
            shelf.link(visitor, linked)
        return linked

    def is_about(self, event: Event, who: str) -> bool:
        """Whether an event is of a visitor, given by browser ID or user ID."""
        return who in (event.visitor, event.browser_id, event.user_id) or self.notes.get(event.visitor) == who

    def whose(self, visitor: str) -> str:
        """Return under what a visitor's events are held: the browser ID once it is known."""
        return self.notes.get(visitor, visitor)

    def _linked(self, visitor: str, shelves: Sequence[Shelf[Any]]) -> str | None:
        """Return the browser ID that a visit has got, if it has; what waits knows it longer than the notes do."""
        lanes = (shelf.lanes.get(visitor) for shelf in shelves)
        return next((lane.browser_id for lane in lanes if lane and lane.browser_id), None) or self.notes.get(visitor)
