"""An event as it is kept on disk: a JSON list that begins with the version of its form."""

from __future__ import annotations

from typing import Any

from ..events.event import Context, Event
from ..values.json import dumps, loads

VERSION = 1


class UnreadableEvent(ValueError):
    """The text is no event of a form that is known here."""


def write_event(event: Event) -> bytes:
    """Write an event; `read_event` gives back an equal one."""
    # What most events do not have takes no room.
    rest = () if event.nested is None and event.previous_id is None else (event.nested, event.previous_id)
    return dumps([VERSION, *event[:9], list(event.context), event.point_of_sale, event.integrations, *rest])


def read_event(text: bytes | str) -> Event:
    """Read an event; raises UnreadableEvent."""
    try:
        fields: list[Any] = loads(text)
        version, *fields = fields
        if version != VERSION or not isinstance(fields[0], str):
            raise UnreadableEvent("of another version")
        fields[9] = Context(*fields[9])
        return Event(*fields)
    except (ValueError, TypeError, IndexError) as error:
        raise UnreadableEvent(type(error).__name__) from None
