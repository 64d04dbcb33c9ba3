"""The items in order of arrival, read in pages; each reader has its own cursor."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from .api_request import MESSAGE_SYSTEMS
from .feed_item import Content, FeedItem, FeedPosition, items_with_content, with_repeated
from .store import Store

PAGE = 500  # items
ROWS = 50  # requests read at once; each may hold hundreds of items


class Cursor(NamedTuple):
    """The next item to read: a request and a position in it."""

    number: int
    position: int = 0

    @property
    def mark(self) -> str:
        """The cursor as text: the last request that was read, as "7"; or a position in the next, as "8:500"."""
        return f"{self.number}:{self.position}" if self.position else str(self.number - 1)

    @classmethod
    def behind(cls, mark: str) -> Cursor:
        """Make a cursor from its text. Raises ValueError."""
        number, colon, position = mark.partition(":")
        if not is_number(number) or (colon and not is_number(position)):
            raise ValueError(f"{mark[:20]!r} is no cursor")
        return cls(int(number), int(position)) if colon else cls(int(number) + 1)


class Page(NamedTuple):
    """Some items, and the cursor behind them.

    Attributes:
        items: what was read.
        contents: the event or messages of each item.
        cursor: where the next page starts.
        clears: the store's at the time of reading.
    """

    items: list[FeedItem]
    contents: list[Content]
    cursor: Cursor
    clears: int


class Feed:
    """Reads items from the store. Thread-safe."""

    def __init__(self, store: Store) -> None:
        self._store = store

    @property
    def end(self) -> Cursor:
        """The cursor behind the last item."""
        return Cursor(self._store.last_number + 1)

    def latest(self, count: int) -> Cursor:
        """The cursor at the latest `count` requests."""
        return Cursor(self._store.first_of_latest(count))

    def has_more(self, cursor: Cursor) -> bool:
        """Whether there may be items to read; does not read the database."""
        return cursor.number <= self._store.last_number

    def read(self, cursor: Cursor, limit: int = PAGE) -> Page:
        """Read the next page; empty if there are no new items."""
        while True:
            clears = self._store.clears
            page = Page(*self._read(cursor, limit), clears)
            if self._store.clears == clears:  # otherwise some of it may have been deleted
                return page

    def pages(self, cursor: Cursor, end: Cursor, limit: int = PAGE) -> Iterator[Page]:
        """Read pages up to an end."""
        while cursor < end and (page := self.read(cursor, limit)).cursor != cursor:
            yield page
            cursor = page.cursor

    def _read(self, cursor: Cursor, limit: int) -> tuple[list[FeedItem], list[Content], Cursor]:
        read: list[tuple[FeedItem, Content]] = []
        while len(read) < limit and (rows := self._store.requests(cursor.number, ROWS)):
            for received in rows:
                found = items_with_content(received)[cursor.position :]
                room = limit - len(read)
                read += found[:room]
                if len(found) > room:
                    cursor = Cursor(received.number, cursor.position + room)
                    break
                cursor = Cursor(received.number + 1)
        return self._marked([item for item, _ in read]), [content for _, content in read], cursor

    def _marked(self, items: Sequence[FeedItem]) -> list[FeedItem]:
        first: dict[tuple[str, str | None], FeedPosition] = {}
        for system in MESSAGE_SYSTEMS:
            ids = [item.id for item in items if item.system == system and item.id is not None]
            found = self._store.first_accepted(system, ids) if ids else {}
            first.update({(system, name): place for name, place in found.items()})
        return [with_repeated(item, first.get((item.system, item.id))) for item in items]


def is_number(text: str) -> bool:
    """Whether a text is a number that a request may have."""
    return text.isascii() and text.isdigit() and len(text) < 19
