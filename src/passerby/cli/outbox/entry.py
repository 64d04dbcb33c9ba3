"""An entry of an outbox as JSON, with its event and state. It contains personal data."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

from ...events.attributes import iso_utc
from ...events.event import Event
from ...outbox.codec import UndecodablePayload, decode
from ...outbox.counts import EntryState
from ...outbox.reading import StoredEntry


class FoundEntry:
    """An entry of the store or of a quarantined file.

    Args:
        stored: the entry.
        quarantined: the name of the quarantined file, if it is in one.
    """

    def __init__(self, stored: StoredEntry, quarantined: str | None = None) -> None:
        self.stored: StoredEntry = stored
        self._quarantined = quarantined

    @cached_property
    def event(self) -> Event | None:
        """The event; None if it cannot be read."""
        stored, event = self.stored, event_of(self.stored)
        if event is None:
            return None
        is_linked_since = event.browser_id is None and stored.visitor != event.visitor
        return event._replace(browser_id=stored.visitor) if is_linked_since else event

    def as_json(self) -> dict[str, Any]:
        """Return it as plain values."""
        stored, event, now = self.stored, self.event, time.time()
        return {
            "event_id": stored.event_id,
            "destination": stored.destination,
            "state": stored.state,
            "created_at": time_text(now - stored.age),
            "attempts": stored.attempts,
            "next_attempt": time_text(now + stored.due) if stored.state == "waiting" and stored.due > 0 else None,
            "reason": stored.reason,
            "quarantined": self._quarantined,
            "event": None if event is None else _event_as_json(event),
        }


@dataclass(frozen=True, slots=True)
class Selection:
    """A filter of entries; None matches everything.

    Attributes:
        event_id: the event's ID.
        visitor: a browser ID or a user ID.
        destination: the destination's name.
        state: "waiting", "held" or "dead".
    """

    event_id: str | None = None
    visitor: str | None = None
    destination: str | None = None
    state: EntryState | None = None

    def matches(self, entry: FoundEntry) -> bool:
        """Whether an entry matches."""
        stored = entry.stored
        return (
            self.event_id in (None, stored.event_id)
            and self.destination in (None, stored.destination)
            and self.state in (None, stored.state)
            and (self.visitor is None or self.visitor in _people_of(entry))
        )


def _people_of(entry: FoundEntry) -> tuple[str | None, ...]:
    event = entry.event
    return (entry.stored.visitor, *((event.visitor, event.browser_id, event.user_id) if event is not None else ()))


def event_of(stored: StoredEntry) -> Event | None:
    """The event of an entry as it was recorded; None if it cannot be read."""
    try:
        return decode(stored.payload)
    except (UndecodablePayload, TypeError):  # a damaged row may have anything there
        return None


def time_text(seconds: float) -> str | None:
    """A time in ISO 8601 in UTC; None if it is invalid."""
    try:
        return iso_utc(datetime.fromtimestamp(seconds, UTC))
    except (ValueError, OverflowError, OSError, TypeError):
        return None


def _event_as_json(event: Event) -> dict[str, Any]:
    return {**event._asdict(), "time": time_text(event.time), "context": event.context._asdict()}
