"""What the collector prints: one line per event, safe to show whatever arrived."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, TextIO

from .item import Item, items_of
from .received import Received

ROUTE_WIDTH = 16
ID_WIDTH = 8
LONGEST = 100  # characters of anything that arrived


def show(line: str, out: TextIO) -> None:
    """Write a line at once, also where somebody reads along through a pipe."""
    out.write(f"{line}\n")
    out.flush()


def lines_of(received: Received) -> list[str]:
    """The lines for a request: one for each event or message in it; none where it is neither that nor refused."""
    time = _time(received)
    return [
        f"{time}  {_line(item)}".rstrip() for item in items_of(received) if item.is_event or item.refusal is not None
    ]


def escaped(value: Any) -> str:
    """Text with everything written out that a terminal could take for an order."""
    text = value if isinstance(value, str) else str(value)
    shortened = text if len(text) <= LONGEST else f"{text[:LONGEST]}..."
    if shortened.isprintable():
        return shortened
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in shortened)


def _time(received: Received) -> str:
    return datetime.fromtimestamp(received.time, UTC).astimezone().strftime("%H:%M:%S.%f")[:-3]


def _line(item: Item) -> str:
    visitor = escaped(item.visitor or "-")[:ID_WIDTH]
    return f"{escaped(item.type):<{ROUTE_WIDTH}}  {visitor:<{ID_WIDTH}}  {_what_it_says(item)}"


def _what_it_says(item: Item) -> str:
    if item.status is None:
        return f"connection reset: {'answer lost' if item.refusal is None else escaped(item.refusal)}"
    if item.refusal is not None:
        return f"{item.status} refused: {escaped(item.refusal)}"
    return escaped(item.says)
