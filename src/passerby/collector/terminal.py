"""What the collector prints: one line per event, safe to show whatever arrived."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, TextIO

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
    time = datetime.fromtimestamp(received.time, UTC).astimezone().strftime("%H:%M:%S.%f")[:-3]
    return f"{time}  {kind:<{ROUTE_WIDTH}}  {browser_id:<{ID_WIDTH}}  {_what_it_says(received, event)}".rstrip()


def escaped(value: Any) -> str:
    """Text with everything written out that a terminal could take for an order."""
    text = value if isinstance(value, str) else str(value)
    shortened = text if len(text) <= LONGEST else f"{text[:LONGEST]}..."
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in shortened)


def _what_it_says(received: Received, event: JSONObject) -> str:
    if received.status is None:
        return f"connection reset: {'answer lost' if received.accepted else escaped(received.refusal)}"
    if not received.accepted:
        return f"{received.status} refused: {escaped(received.refusal or 'unreadable')}"
    if event.get("type") == "IDENTITY":
        identifiers = as_list(event.get("identifiers"))
        return ", ".join(escaped(as_object(each).get("provider", "?")) for each in identifiers)
    return escaped(event.get("page") or "")
