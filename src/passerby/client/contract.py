"""The interface of the client that trackers use."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from typing import Any, Protocol

from ..destinations import PersonalizationRequest
from ..errors import ValidationError
from ..events.builder import EventInputs
from ..events.event import Event, EventKind
from ..http.session import Session
from ..values.browser_id import IssuedId
from .receipt import QueueReceipt, Receipt


class ClientProtocol(EventInputs, Protocol):
    """Records the events of trackers and runs their queries."""

    @property
    def destination_names(self) -> tuple[str, ...]: ...

    @property
    def keeps_guest_id(self) -> bool:
        """Whether the guest ID is kept in a cookie, and used for personalisation."""
        ...

    @property
    def destinations_for(self) -> Mapping[EventKind, tuple[str, ...]]:
        """The names of the destinations that accept each kind of event."""
        ...

    def assign(self, session: Session) -> None:
        """Assign a browser ID to the session if one is ready. Never waits."""
        ...

    def link(self, visitor: str, issued: IssuedId) -> str:
        """Assign an ID to the events recorded before it was known. Returns their ID, which may be an earlier one."""
        ...

    def check(self, event: Event, destinations: Sequence[str]) -> None:
        """Raise ValidationError if a destination can never accept an event."""
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
        """Check an event for its destinations and record it. Raises ValidationError before anything is stored.

        If the database transaction is rolled back, it is not recorded, and `undo` is called. If no response waits for
        it, it is stored when this returns, except in an event loop, which must not wait.
        """
        ...

    def drop(self, reason: str, destinations: Sequence[str], error: ValidationError | None = None) -> Receipt:
        """Count a dropped event. Raises the error if the setting `on_invalid` is "raise"."""
        ...

    def release_held(self, session: Session, visitor: str) -> QueueReceipt:
        """Release the events held for a visitor, in their order."""
        ...

    def clear_held(self, session: Session, visitor: str) -> QueueReceipt:
        """Drop the events held for a visitor."""
        ...

    def ask_guest_id(self, browser_id: str | None, timeout: float | None) -> Future[str]:
        """Request the guest ID of a browser ID."""
        ...

    def check_personalization(self, request: PersonalizationRequest) -> None:
        """Raise ValidationError if required data of a personalisation is missing."""
        ...

    def ask_personalization(
        self, request: PersonalizationRequest, timeout: float | None
    ) -> Future[dict[str, Any] | None]:
        """Request a personalisation."""
        ...
