"""An entry of an outbox as JSON, with its event and state. It contains personal data."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

from ...events.attributes import iso_utc
from ...events.event import Event
from ...old_outbox.eventtext import UnreadableEvent, read_event
from ...old_outbox.fate import is_about
from ...old_outbox.inventory import OutboxFile
from ...old_outbox.row import Row


class FoundEntry:
    """An entry in a file."""

    def __init__(self, file: OutboxFile, row: Row) -> None:
        self.file: OutboxFile = file
        self.row: Row = row

    @cached_property
    def event(self) -> Event | None:
        """The event; None if it cannot be read."""
        try:
            event = read_event(self.row.body)
        except UnreadableEvent:
            return None
        return event._replace(browser_id=self.row.linked) if self.row.linked and event.browser_id is None else event

    def as_json(self) -> dict[str, Any]:
        """Return it as plain values."""
        row, event = self.row, self.event
        return {
            "event_id": row.event_id,
            "destination": row.destination,
            "state": row.state,
            "created_at": time_text(row.told_at),
            "attempts": row.attempts,
            "next_attempt": time_text(row.due) if row.state == "waiting" and row.due else None,
            "reason": row.reason,
            "file": self.file.path.name,
            "set_aside": self.file.standing == "set aside",
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
    state: str | None = None

    def matches(self, entry: FoundEntry) -> bool:
        """Whether an entry matches."""
        row = entry.row
        return (
            self.event_id in (None, row.event_id)
            and self.destination in (None, row.destination)
            and self.state in (None, row.state)
            and (self.visitor is None or is_about(row, self.visitor))
        )


def time_text(seconds: float) -> str | None:
    """A time in ISO 8601 in UTC; None if it is invalid."""
    try:
        return iso_utc(datetime.fromtimestamp(seconds, UTC))
    except (ValueError, OverflowError, OSError, TypeError):
        return None


def _event_as_json(event: Event) -> dict[str, Any]:
    return {**event._asdict(), "time": time_text(event.time), "context": event.context._asdict()}
