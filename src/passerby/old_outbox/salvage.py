"""Reading a file from its beginning to its end, past what is damaged."""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import Protocol

from .database import APPLICATION_ID, CORRUPTED, VERSION, Corruption
from .row import BEGINNING, Row

MAGIC = b"SQLite format 3\0"
_HEADER_SIZE = 100
_PAGE_SIZE = 4096  # bytes; SQLite's default
_TABLE_PAGES = (b"\x05", b"\x0d")  # how pages of a table begin
_MOST = 2**40  # bytes; a header that says more says nothing


def lengthen(path: Path) -> bool:
    """Give a file that was cut off its length back, since SQLite reads nothing of it otherwise; whether it was."""
    with path.open("rb") as file:
        header = file.read(100)
    if not header.startswith(MAGIC):
        return False
    length = int.from_bytes(header[16:18], "big") * int.from_bytes(header[28:32], "big")
    if not path.stat().st_size < length <= _MOST:
        return False
    os.truncate(path, length)
    return True


def renew_header(path: Path) -> bool:
    """Give a file of ours whose header is damaged, and nothing else of its first page, a new one; whether it was.

    What the header says is the same for all files of ours but for their length (https://sqlite.org/fileformat2.html,
    section 1.3). The pages without use are forgotten; nothing is written to the file any more.
    """
    with path.open("rb") as file:
        first = file.read(_PAGE_SIZE)
    length = path.stat().st_size
    if first.startswith(MAGIC) or first[_HEADER_SIZE:][:1] not in _TABLE_PAGES or b"CREATE TABLE entry (" not in first:
        return False
    header = struct.pack(
        ">16sH6B12I20x2I",
        MAGIC,
        _PAGE_SIZE,
        *(2, 2, 0, 64, 32, 32),  # with a log, and SQLite's only fractions of a page
        1,  # how often it was changed
        length // _PAGE_SIZE,
        *(0, 0),  # pages without use
        *(1, 4),  # the schema's version, and its form's
        *(0, 3, 1),  # no cache; with page maps, as it gives space back; UTF-8
        *(VERSION, 1, APPLICATION_ID),
        *(1, 3_040_001),  # the change at which the length was right, and by which SQLite
    )
    with path.open("r+b") as file:
        file.write(header)
    return True


def check_emptied(path: Path) -> None:
    """Raise Corruption for a file without a byte that has a log: SQLite would take it for new, and delete the log."""
    if path.stat().st_size == 0 and size_of_log(path):
        raise Corruption(CORRUPTED)


def size_of_log(path: Path) -> int:
    """Return how many bytes SQLite's log beside a file has."""
    try:
        return path.with_name(f"{path.name}-wal").stat().st_size
    except FileNotFoundError:
        return 0


class Pages(Protocol):
    """A file whose entries are read in pages; see `Database`."""

    def after(self, place: int, limit: int) -> list[Row]: ...
    def before(self, place: int | None, after: int) -> Row | None: ...


class Reader:
    """Gives all entries that can be read, in pages and in order.

    Attributes:
        is_damaged: whether some could not be read.
    """

    def __init__(self, database: Pages, *, is_damaged: bool = False) -> None:
        self._database = database
        self._place = BEGINNING
        self.is_damaged: bool = is_damaged

    def read(self, limit: int) -> list[Row]:
        """Return the next entries; none at the end. Raises Trouble, but not Corruption."""
        while True:
            try:
                rows = self._database.after(self._place, limit)
            except Corruption:
                self.is_damaged = True
                if limit > 1:
                    limit //= 2
                    continue
                rows = self._read_beyond()
            if rows:
                self._place = rows[-1].place
            return rows

    def _read_beyond(self) -> list[Row]:
        """Find out where the damage ends, and return what is readable before the end of it, from behind."""
        beyond: int | None = None
        gap = 1
        while gap < 2**62:
            try:
                found = self._database.after(max(self._place, 0) + gap, 1)
            except Corruption:
                gap *= 2
                continue
            beyond = found[0].place + 1 if found else None
            break
        rows: list[Row] = []
        try:
            while row := self._database.before(beyond, self._place):
                rows.append(row)
                beyond = row.place
        except Corruption:
            pass
        return rows[::-1]
