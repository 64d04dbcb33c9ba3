"""Rows of a damaged database, read from its raw pages and the frames of its log.

See https://sqlite.org/fileformat2.html for the form of pages, cells, records and frames. A row counts as found only if
its own checksums hold, so a guess does no harm. A page that cannot be read in order is searched at every offset.
"""

from __future__ import annotations

import os
import struct
from collections import Counter
from collections.abc import Generator, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO, Literal, NamedTuple

from ..codec import is_whole, version_of
from .database import PAGE_SIZE
from .rows import LAST_SLOT, ROOM, SLOTS, entry_sum, event_sum

_LEAF = b"\x0d"  # a leaf page of a table begins with it
_OTHERS = b"\x02", b"\x05", b"\x0a"  # pages of indexes, and inner pages
_WAL_HEADER, _FRAME_HEADER = 32, 24
_EVENT_COLUMNS, _ENTRY_COLUMNS = 8, 16
_LARGEST = 64 << 20  # bytes of a row; a size beyond that is damage


class EventRow(NamedTuple):
    """A row of the table `event`."""

    id: int
    event_id: str
    visitor: str
    user_id: str | None
    browser_id: str | None
    names: str
    sum: int
    payload: bytes


class EntryRow(NamedTuple):
    """What is needed of a row of the table `entry`."""

    seq: int
    codec: int
    state: int
    since: float
    attempts: int
    withdrawn: int
    reason: str | None
    ready: float = 0.0
    token: int | None = None


class RawPages:
    """The pages of a database file and its log, each as last committed and in older versions.

    Args:
        path: the database; the log has its name and `-wal`.

    Attributes:
        damaged: the numbers of the pages so far of which not all could be read.
    """

    def __init__(self, path: Path) -> None:
        self._file: BinaryIO = path.open("rb")
        self._log: BinaryIO | None = None
        self._in_log: dict[int, list[int]] = {}
        self.damaged: set[int] = set()
        # Pages have our size whatever the header says: it may be damaged.
        self._in_file = -(-path.stat().st_size // PAGE_SIZE)
        with suppress(FileNotFoundError):
            self._log = path.with_name(f"{path.name}-wal").open("rb")
            self._read_log(self._log)

    def numbers(self) -> Iterator[int]:
        """Yield the numbers of all pages but the first, which has only the schema."""
        yield from range(2, self._in_file + 1)
        yield from sorted(number for number in self._in_log if number > self._in_file)

    def close(self) -> None:
        """Close the files."""
        self._file.close()
        if self._log is not None:
            self._log.close()

    def rows(self, number: int) -> Iterator[EventRow | EntryRow]:
        """Yield the rows of a page: of its last version, and of older ones too if that is damaged."""
        for page in self._versions(number):
            is_whole_page = yield from self._rows_of(page)
            if is_whole_page:
                return
            if page[:1] == _LEAF:  # else it may be one on which a row goes on
                self.damaged.add(number)

    def _read_log(self, log: BinaryIO) -> None:
        """Note where the committed frames of each page are."""
        salts = log.read(_WAL_HEADER)[16:24]
        frames: list[tuple[bytes, int, int, bool]] = []
        while len(header := log.read(_FRAME_HEADER)) == _FRAME_HEADER:
            number, is_commit = int.from_bytes(header[:4], "big"), header[4:8] != bytes(4)
            frames.append((header[8:16], number, log.tell(), is_commit))
            log.seek(PAGE_SIZE, os.SEEK_CUR)
        if frames and all(salt != salts for salt, *_ in frames):  # the log's header is damaged
            salts = Counter(salt for salt, *_ in frames).most_common(1)[0][0]
        committed = max((place for salt, _, place, is_commit in frames if is_commit and salt == salts), default=0)
        lost: list[int] = []
        for salt, number, place, _ in frames:
            if salt == salts and 0 < number < 1 << 31 and place <= committed:
                self._in_log.setdefault(number, []).append(place)
            elif salt != salts and place < committed:
                lost.append(place)
        # A frame whose header is damaged may be of any page.
        first = max(self._in_log, default=0) + self._in_file + 1
        self._in_log |= {number: [place] for number, place in enumerate(lost, first)}

    def _versions(self, number: int) -> Iterator[bytes]:
        for place in reversed(self._in_log.get(number, ())):
            if self._log is not None:
                self._log.seek(place)
                yield self._log.read(PAGE_SIZE)
        self._file.seek((number - 1) * PAGE_SIZE)
        yield self._file.read(PAGE_SIZE)

    def _rows_of(self, page: bytes) -> Generator[EventRow | EntryRow, None, bool]:
        """Yield the rows of a page. Returns whether it is whole, or certainly none of ours."""
        is_leaf = page[:1] == _LEAF
        if not page.strip(b"\0") or page[:1] in _OTHERS:
            return True
        count = int.from_bytes(page[3:5], "big")
        offsets = [int.from_bytes(page[8 + 2 * each : 10 + 2 * each], "big") for each in range(count)]
        is_ordered = is_leaf and all(8 + 2 * count <= offset < PAGE_SIZE for offset in offsets)
        found = [self._row_at(page, offset) for offset in offsets] if is_ordered else []
        is_whole = is_ordered and all(found)
        if not is_whole:
            found = [self._row_at(page, offset) for offset in range(8, len(page) - 4)]
        yield from (row for row in found if isinstance(row, EventRow | EntryRow))
        return is_whole

    def _row_at(self, page: bytes, offset: int) -> EventRow | EntryRow | bool:
        """Return the row of a cell, or True for a row of another table, or False for damage."""
        try:
            size, at = _varint(page, offset)
            rowid, at = _varint(page, at)
            if not 8 < size < _LARGEST:
                return 0 < size <= 8
            values = _values(self._record(page, at, size))
        except (IndexError, ValueError):
            return False
        if len(values) == _EVENT_COLUMNS:
            return _as_event(rowid, values)
        return _as_entry(rowid, values) if len(values) == _ENTRY_COLUMNS else True

    def _record(self, page: bytes, at: int, size: int) -> bytes:
        """Return the bytes of a record, with those on overflow pages. Raises ValueError for damage."""
        local = size
        if size > PAGE_SIZE - 35:
            least = (PAGE_SIZE - 12) * 32 // 255 - 23
            local = least + (size - least) % (PAGE_SIZE - 4)
            local = least if local > PAGE_SIZE - 35 else local
        record = page[at : at + local]
        header, kinds = _kinds(record)
        if header + sum(map(_size_of, kinds)) != size:
            raise ValueError  # a guess that is wrong must not lead through the whole file
        following = int.from_bytes(page[at + local : at + local + 4], "big") if local < size else 0
        while len(record) < size and (0 < following <= self._in_file or following in self._in_log):
            overflow = next(self._versions(following))
            record += overflow[4 : 4 + size - len(record)]
            following = int.from_bytes(overflow[:4], "big")
        if len(record) < size:
            raise ValueError
        return record


def named_entries(event: EventRow, found: Sequence[EntryRow], now: float) -> list[tuple[str, EntryRow]]:
    """Return the entries of an event with their destinations; if none was found, one that waits for each."""
    names, first = event.names.split("\n"), event.id << SLOTS
    if not found:
        codec = version_of(event.payload)
        found = [EntryRow(first | slot, codec, 0, now, 0, 0, None) for slot in range(min(len(names), LAST_SLOT + 1))]
    return [(names[slot], entry) for entry in found if (slot := entry.seq & LAST_SLOT) < len(names)]


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for number in range(8):
        byte = data[at + number]
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            return value, at + number + 1
    return value << 8 | data[at + 8], at + 9


def _kinds(record: bytes) -> tuple[int, list[int]]:
    """Return the size of a record's header, and the kinds of its values. Raises ValueError for none of ours."""
    header, at = _varint(record, 0)
    kinds: list[int] = []
    while at < header <= 64:
        kind, at = _varint(record, at)
        kinds.append(kind)
    if not kinds or 10 in kinds or 11 in kinds:
        raise ValueError
    return header, kinds


def _size_of(kind: int) -> int:
    return (0, 1, 2, 3, 4, 6, 8, 8, 0, 0)[kind] if kind < 12 else (kind - 12) // 2


def _values(record: bytes) -> list[Any]:
    at, kinds = _kinds(record)
    values: list[Any] = []
    for kind in kinds:
        part = record[at : at + _size_of(kind)]
        at += len(part)
        if kind == 7:
            values.append(struct.unpack(">d", part)[0])
        elif 0 < kind < 7:
            values.append(int.from_bytes(part, "big", signed=True))
        elif kind >= 12:
            values.append(part.decode() if kind % 2 else part)
        else:
            values.append((kind - 8) if kind else None)
    return values


def _as_event(rowid: int, values: list[Any]) -> EventRow | Literal[False]:
    _, event_id, visitor, user_id, browser_id, names, check, payload = values
    is_typed = all(isinstance(text, str) for text in (event_id, visitor, names)) and isinstance(payload, bytes)
    if not is_typed or not is_whole(payload) or check != event_sum(event_id, visitor, user_id, browser_id, names):
        return False
    if rowid >> 63 - SLOTS - ROOM:  # its place would be no number that SQLite takes
        return False
    return EventRow(rowid, event_id, visitor, user_id, browser_id, names, check, payload)


def _as_entry(rowid: int, values: list[Any]) -> EntryRow | Literal[False]:
    _, destination, check, codec, _, state, _, _, ready, since, _, token, attempts, _, withdrawn, reason = values
    if not isinstance(destination, int) or check != entry_sum(rowid, destination) or state not in (0, 1, 2):
        return False
    if not isinstance(attempts, int) or not isinstance(codec, int) or not isinstance(since, int | float):
        return False
    reason = reason if isinstance(reason, str) else None
    row = EntryRow(rowid, codec, state, since, attempts, withdrawn == 1, reason)
    is_claimed = isinstance(ready, int | float) and isinstance(token, int)
    return row._replace(ready=ready, token=token) if is_claimed else row
