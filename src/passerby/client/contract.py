"""What a tracker stands in front of: the client that takes its events and answers its questions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from typing import Any, Protocol

from ..errors import ValidationError
from ..events.builder import EventInputs
from ..events.event import Event, EventKind
from ..http.session import Session
from .receipt import Receipt


class ClientProtocol(EventInputs, Protocol):
    """Whom a tracker hands its events to, and whom it asks."""

    @property
    def destination_names(self) -> tuple[str, ...]: ...

    @property
    def destinations_for(self) -> Mapping[EventKind, tuple[str, ...]]:
        """The names of the destinations that take each kind of event."""
        ...

    def assign(self, session: Session) -> None:
        """Give the session a browser ID if one is at hand; never wait."""
        ...

    def link(self, visitor: str, browser_id: str) -> str:
        """Note whose the events told before the ID was known are; return the ID they got meanwhile, if any."""
        ...

    def check(self, event: Event, destinations: Sequence[str]) -> None:
        """Raise ValidationError for what a destination can never take."""
        ...

    def capture(
        self,
        session: Session,
        event: Event,
        destinations: Sequence[str],
        receipt: Receipt,
        held: bool,
        undo: Callable[[], None] | None = None,
    ) -> None:
        """Check an event for its destinations and record it; raises ValidationError before anything is stored.

        In a database transaction that fails it is not recorded after all, and `undo` is called. Where no response
        waits for it, it is on disk, if events wait there, when this returns; but an event loop is not held up.
        """
        ...

    def drop(self, reason: str, destinations: Sequence[str], error: ValidationError | None = None) -> Receipt:
        """Count what is not kept. Raises the error if the settings say so."""
        ...

    def release_held(self, session: Session, visitor: str) -> int:
        """Let go of the events held for a visitor, in their order; return how many."""
        ...

    def clear_held(self, session: Session, visitor: str) -> int:
        """Drop the events held for a visitor; return how many."""
        ...

    def ask_guest_id(self, browser_id: str | None, timeout: float | None) -> Future[str]:
        """Ask the owner of the browser ID for the guest's."""
        ...

    def ask_personalization(
        self, data: dict[str, Any], browser_id: str | None, point_of_sale: str | None, timeout: float | None
    ) -> Future[dict[str, Any] | None]:
        """Ask the owner of the browser ID for a personalisation."""
        ...
