"""The collector's output: one line per event, with control characters escaped."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, TextIO

from .collected_request import CollectedRequest
from .feed_item import FeedItem, items_of

ROUTE_WIDTH = 16
ID_WIDTH = 8
LONGEST = 100  # characters of a value


def show(line: str, out: TextIO) -> None:
    """Write a line and flush it, also to a pipe."""
    out.write(f"{line}\n")
    out.flush()


def lines_of(received: CollectedRequest) -> list[str]:
    """The lines of a request: one per event or message, and one for a refused request."""
    time = _time(received)
    return [
        f"{time}  {_line(item)}".rstrip() for item in items_of(received) if item.is_event or item.refusal is not None
    ]


def escaped(value: Any) -> str:
    """Text with control characters escaped."""
    text = value if isinstance(value, str) else str(value)
    shortened = text if len(text) <= LONGEST else f"{text[:LONGEST]}..."
    if shortened.isprintable():
        return shortened
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in shortened)


def _time(received: CollectedRequest) -> str:
    return datetime.fromtimestamp(received.time, UTC).astimezone().strftime("%H:%M:%S.%f")[:-3]


def _line(item: FeedItem) -> str:
    visitor = escaped(item.visitor or "-")[:ID_WIDTH]
    return f"{escaped(item.type):<{ROUTE_WIDTH}}  {visitor:<{ID_WIDTH}}  {_description(item)}"


def _description(item: FeedItem) -> str:
    if item.status is None:
        return f"connection reset: {'response lost' if item.refusal is None else escaped(item.refusal)}"
    if item.refusal is not None:
        return f"{item.status} refused: {escaped(item.refusal)}"
    return f"{escaped(item.summary)} (bot)".lstrip() if item.is_bot else escaped(item.summary)
