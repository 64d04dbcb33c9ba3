"""What the collector prints: one line per event, safe to show whatever arrived."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, TextIO

from . import datalyr_api
from .json_object import JSONObject, as_list, as_object
from .received import Received

ROUTE_WIDTH = 16
ID_WIDTH = 8
LONGEST = 100  # characters of anything that arrived


def show(line: str, out: TextIO) -> None:
    """Write a line at once, also where somebody reads along through a pipe."""
    out.write(f"{line}\n")
    out.flush()


def line_of(received: Received) -> str | None:
    """The line for a request; None where it is neither an event nor refused."""
    if received.route != "events" and received.refusal is None:
        return None
    event = received.event or {}
    kind = escaped(event.get("type") or received.route)
    browser_id = escaped(event.get("browser_id") or "-")[:ID_WIDTH]
    return (
        f"{_time(received)}  {kind:<{ROUTE_WIDTH}}  {browser_id:<{ID_WIDTH}}  {_what_it_says(received, event)}".rstrip()
    )


def lines_of(received: Received) -> list[str]:
    """The lines for a request: one for each event or message in it, or one that says why it was refused."""
    messages = received.messages if received.accepted and received.refusal is None else []
    if not messages:
        line = line_of(received)
        return [] if line is None else [line]
    time = _time(received)
    return [f"{time}  {_message(received.route, one)}".rstrip() for one in messages]


def escaped(value: Any) -> str:
    """Text with everything written out that a terminal could take for an order."""
    text = value if isinstance(value, str) else str(value)
    shortened = text if len(text) <= LONGEST else f"{text[:LONGEST]}..."
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in shortened)


def _time(received: Received) -> str:
    return datetime.fromtimestamp(received.time, UTC).astimezone().strftime("%H:%M:%S.%f")[:-3]


def _message(route: str, message: JSONObject) -> str:
    """What a message to Customer.io or Datalyr is and whose browser's; of traits the names only."""
    if route == "pipelines":
        kind, anonymous_id = message.get("type"), message.get("anonymousId")
        what = message.get("event") or message.get("name") or message.get("groupId")
        traits = as_object(message.get("traits")) if kind == "identify" else {}
    else:
        kind, anonymous_id = datalyr_api.name_of(message), datalyr_api.anonymous_id_of(message)
        properties = as_object(message.get("properties"))
        what = properties.get("groupId") or properties.get("name")
        traits = datalyr_api.traits_of(message) if kind == "$identify" else {}
    details = escaped(", ".join(traits) or what or "")
    return f"{escaped(kind or '?'):<{ROUTE_WIDTH}}  {escaped(anonymous_id or '-')[:ID_WIDTH]:<{ID_WIDTH}}  {details}"


def _what_it_says(received: Received, event: JSONObject) -> str:
    if received.status is None:
        return f"connection reset: {'answer lost' if received.accepted else escaped(received.refusal)}"
    if not received.accepted or received.refusal is not None:
        return f"{received.status} refused: {escaped(received.refusal or 'unreadable')}"
    if event.get("type") == "IDENTITY":
        identifiers = as_list(event.get("identifiers"))
        return ", ".join(escaped(as_object(each).get("provider", "?")) for each in identifiers)
    return escaped(event.get("page") or "")
