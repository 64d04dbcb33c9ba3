"""The events that an app tracked in a test, and assertions about them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from ..events.event import Event, EventKind


class CapturedEvents:
    """The accepted events in the order of the calls, and assertions whose messages list what was found.

    Fields are compared with event data, extension data and the attributes of the event, such as `user_id` or
    `browser_id`; other fields are not compared.

    Attributes:
        events: the accepted events. An event of a database transaction is added at once and removed on rollback.
        refused: the number of calls that were not accepted, by reason, such as "consent", "bot" or "unchanged".
    """

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.refused: Counter[str] = Counter()

    def __repr__(self) -> str:
        return f"<CapturedEvents {', '.join(self.summary) or 'nothing'}>"

    def __len__(self) -> int:
        return len(self.events)

    @property
    def summary(self) -> list[str]:
        """A short text for each event: ``["page view Home", "identity user_1", "ADD"]``."""
        return [_short(event) for event in self.events]

    def clear(self) -> None:
        """Remove the events and counts so far."""
        self.events.clear()
        self.refused.clear()

    def assert_page_view(self, page: str | None = None, **fields: Any) -> Event:
        """Assert that exactly one page view matches, and return it."""
        return self._assert_one("page_view", "page view", {"page": page, **fields} if page is not None else fields)

    def assert_identity(self, user_id: str | None = None, **fields: Any) -> Event:
        """Assert that exactly one identity matches, and return it."""
        return self._assert_one("identity", "identity", {"user_id": user_id, **fields} if user_id else fields)

    def assert_event(self, type: str, **fields: Any) -> Event:
        """Assert that exactly one custom event of this type matches, and return it."""
        return self._assert_one("event", type, fields, type)

    def assert_form(self, form_id: str, interaction: str | None = None, **fields: Any) -> Event:
        """Assert that exactly one call for this form, and this interaction if one is given, matches, and return it."""
        named = {"form_id": form_id} | ({} if interaction is None else {"interaction": interaction.upper()})
        return self._assert_one("form", "form", {**named, **fields})

    def assert_screen(self, name: str, **fields: Any) -> Event:
        """Assert that exactly one screen of this name matches, and return it."""
        return self._assert_one("screen", f"screen {name}", fields, name)

    def assert_group(self, group_id: str, **fields: Any) -> Event:
        """Assert that exactly one call for this group matches, and return it."""
        return self._assert_one("group", "group", {"group_id": group_id, **fields})

    def assert_alias(self, previous_id: str, **fields: Any) -> Event:
        """Assert that exactly one alias of this ID matches, and return it."""
        return self._assert_one("alias", "alias", {"previous_id": previous_id, **fields})

    def assert_no_event(self, type: str, **fields: Any) -> None:
        """Assert that no event of this type matches."""
        found = self._find("event", fields, type)
        assert not found, f"expected no {_expected(type, fields)}, found {len(found)}. {self._all()}"

    def assert_nothing(self) -> None:
        """Assert that there is no event."""
        assert not self.events, f"expected no events. {self._all()}"

    def assert_summary(self, *summary: str) -> None:
        """Assert that there are exactly these events, in this order; see `summary`."""
        assert self.summary == list(summary), f"expected {', '.join(summary) or 'nothing'}. {self._all()}"

    def assert_refused(self, reason: str, times: int = 1) -> None:
        """Assert how many calls were not accepted for a reason."""
        found = self.refused[reason]
        others = ", ".join(f"{count} x {name}" for name, count in self.refused.items()) or "nothing"
        assert found == times, f"expected {times} x refused ({reason}), found {found}; refused was {others}"

    # The methods of passerby.delivery.dry_run.Watcher.

    def on_captured(self, event: Event, destinations: Sequence[str]) -> None:
        """An event was accepted."""
        self.events.append(event)

    def on_rolled_back(self, event: Event) -> None:
        """The transaction of an event was rolled back."""
        self.events = [one for one in self.events if one is not event]
        self.refused["rollback"] += 1

    def on_dropped(self, reason: str) -> None:
        """A call was not accepted."""
        self.refused[reason] += 1

    def _assert_one(self, kind: EventKind, name: str, fields: Mapping[str, Any], type: str | None = None) -> Event:
        found = self._find(kind, fields, type)
        assert len(found) == 1, f"expected one {_expected(name, fields)}, found {len(found) or 'none'}. {self._all()}"
        return found[0]

    def _find(self, kind: EventKind, fields: Mapping[str, Any], type: str | None) -> list[Event]:
        alike = (event for event in self.events if event.kind == kind and type in (None, event.type))
        return [event for event in alike if all(_field(event, name) == value for name, value in fields.items())]

    def _all(self) -> str:
        lines = [f"  {_short(event)}  {_details(event)}" for event in self.events]
        lines += [f"  refused ({reason}): {count}" for reason, count in self.refused.items()]
        return "\n".join(["Captured events:", *lines]) if lines else "No events were captured."


_NAME_FIELD = {"page_view": "page", "group": "group_id", "alias": "previous_id"}


def _short(event: Event) -> str:
    if event.kind == "event":
        return event.type or ""
    if event.kind in ("form", "screen"):
        name = event.type if event.kind == "screen" else f"{event.data['form_id']} {event.data['interaction']}"
        return f"{event.kind} {name}"
    name = event.user_id if event.kind == "identity" else event.data.get(_NAME_FIELD[event.kind])
    return f"{event.kind.replace('_', ' ')} {name or ''}".rstrip()


def _field(event: Event, name: str) -> Any:
    if name in event.data:
        return event.data[name]
    return event.extension[name] if name in event.extension else getattr(event, name, None)


def _details(event: Event) -> str:
    ids = {"browser_id": event.browser_id, "user_id": event.user_id}
    return " ".join(f"{name}={value!r}" for name, value in {**event.data, **event.extension, **ids}.items())


def _expected(name: str, fields: Mapping[str, Any]) -> str:
    with_fields = " and ".join(f"{field}={value!r}" for field, value in fields.items())
    return f"{name} with {with_fields}" if with_fields else name
