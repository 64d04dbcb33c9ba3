"""The items in order of arrival, read page by page: each reader goes on from where it was, at its own pace."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from .ask import SYSTEMS
from .item import Content, Item, Place, entries_of, marked
from .store import Store

PAGE = 500  # items
ROWS = 50  # requests read at once; each may hold hundreds of items


class Cursor(NamedTuple):
    """Where to read on: from this request and this position in it."""

    number: int
    position: int = 0

    @property
    def mark(self) -> str:
        """The same for a reader to keep: the last request that was read, as "7"; or how far the next, as "8:500"."""
        return f"{self.number}:{self.position}" if self.position else str(self.number - 1)

    @classmethod
    def behind(cls, mark: str) -> Cursor:
        """Where a reader goes on who kept a mark. Raises ValueError for what is none."""
        number, colon, position = mark.partition(":")
        if not is_number(number) or (colon and not is_number(position)):
            raise ValueError(f"{mark[:20]!r} is no place among the requests")
        return cls(int(number), int(position)) if colon else cls(int(number) + 1)


class Page(NamedTuple):
    """Some items, and where they end.

    Attributes:
        items: what was read.
        contents: what each was made of.
        cursor: where the next page begins.
        clears: the store's at the time of reading.
    """

    items: list[Item]
    contents: list[Content]
    cursor: Cursor
    clears: int


class Feed:
    """Reads the store. May be used by several threads."""

    def __init__(self, store: Store) -> None:
        self._store = store

    @property
    def end(self) -> Cursor:
        """Where what will arrive begins."""
        return Cursor(self._store.last_number + 1)

    def latest(self, count: int) -> Cursor:
        """Where the latest so many requests begin."""
        return Cursor(self._store.first_of_latest(count))

    def has_more(self, cursor: Cursor) -> bool:
        """Whether there may be something to read; asks no database."""
        return cursor.number <= self._store.last_number

    def read(self, cursor: Cursor, limit: int = PAGE) -> Page:
        """Read on; an empty page if there is nothing yet."""
        while True:
            clears = self._store.clears
            page = Page(*self._read(cursor, limit), clears)
            if self._store.clears == clears:  # else some of it may be forgotten by now
                return page

    def pages(self, cursor: Cursor, end: Cursor, limit: int = PAGE) -> Iterator[Page]:
        """Read on page by page, up to an end that was reached before."""
        while cursor < end and (page := self.read(cursor, limit)).cursor != cursor:
            yield page
            cursor = page.cursor

    def _read(self, cursor: Cursor, limit: int) -> tuple[list[Item], list[Content], Cursor]:
        read: list[tuple[Item, Content]] = []
        while len(read) < limit and (rows := self._store.requests(cursor.number, ROWS)):
            for received in rows:
                found = entries_of(received)[cursor.position :]
                room = limit - len(read)
                read += found[:room]
                if len(found) > room:
                    cursor = Cursor(received.number, cursor.position + room)
                    break
                cursor = Cursor(received.number + 1)
        return self._marked([item for item, _ in read]), [content for _, content in read], cursor

    def _marked(self, items: Sequence[Item]) -> list[Item]:
        first: dict[tuple[str, str | None], Place] = {}
        for system in SYSTEMS:
            ids = [item.id for item in items if item.system == system and item.id is not None]
            found = self._store.first_taken(system, ids) if ids else {}
            first.update({(system, name): place for name, place in found.items()})
        return [marked(item, first.get((item.system, item.id))) for item in items]


def is_number(text: str) -> bool:
    """Whether a text is a number that a request may have."""
    return text.isascii() and text.isdigit() and len(text) < 19
