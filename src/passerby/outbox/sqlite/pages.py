"""Rows of a damaged database, read from its raw pages and the frames of its log.

See https://sqlite.org/fileformat2.html for the form of pages, cells, records and frames. A row counts as found only if
its own checksums hold, so a guess does no harm. A page that cannot be read in order is searched at every offset.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from ..codec import is_whole
from .database import PAGE_SIZE
from .rows import entry_sum, event_sum

_LEAF = 0x0D  # a leaf page of a table
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


class RawPages:
    """The pages of a database file and its log, each as last committed and in older versions.

    Args:
        path: the database; the log has its name and `-wal`.
    """

    def __init__(self, path: Path) -> None:
        self._file: BinaryIO = path.open("rb")
        self._log: BinaryIO | None = None
        with suppress(FileNotFoundError):
            self._log = path.with_name(f"{path.name}-wal").open("rb")
        self._size: int = PAGE_SIZE  # whatever the header says: it may be damaged
        self._in_log: dict[int, list[int]] = {}
        self._in_file = -(-path.stat().st_size // self._size)
        self._read_log()

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

    def _read_log(self) -> None:
        """Note where the committed frames of each page are."""
        if self._log is None:
            return
        salts = self._log.read(_WAL_HEADER)[16:24]
        frames: list[tuple[int, int]] = []
        committed, place = 0, _WAL_HEADER
        found: list[tuple[bytes, int, int, bool]] = []
        while len(header := self._log.read(_FRAME_HEADER)) == _FRAME_HEADER:
            number, is_commit = int.from_bytes(header[:4], "big"), header[4:8] != bytes(4)
            found.append((header[8:16], number, place + _FRAME_HEADER, is_commit))
            place += _FRAME_HEADER + self._size
            self._log.seek(place)
        if found and all(salt != salts for salt, *_ in found):  # the log's header is damaged
            salts = Counter(salt for salt, *_ in found).most_common(1)[0][0]
        for salt, number, offset, is_commit in found:
            if salt == salts and 0 < number < 1 << 31:
                frames.append((number, offset))
                committed = len(frames) if is_commit else committed
        for number, offset in frames[:committed]:
            self._in_log.setdefault(number, []).append(offset)
        if committed:
            # A frame whose header is damaged may be of any page.
            last = frames[committed - 1][1]
            lost = (offset for salt, _, offset, _ in found if salt != salts and offset < last)
            for number, offset in enumerate(lost, max(self._in_log) + self._in_file + 1):
                self._in_log[number] = [offset]

    def _versions(self, number: int) -> Iterator[bytes]:
        for offset in reversed(self._in_log.get(number, ())):
            if self._log is not None:
                self._log.seek(offset)
                yield self._log.read(self._size)
        self._file.seek((number - 1) * self._size)
        page = self._file.read(self._size)
        if page:
            yield page

    def _rows_of(self, page: bytes) -> Generator[EventRow | EntryRow, None, bool]:
        """Yield the rows of a page. Returns whether it is whole, or certainly none of ours."""
        if not page.strip(b"\0"):
            return True
        offsets = self._cell_offsets(page)
        found = None if offsets is None else [self._row_at(page, offset) for offset in offsets]
        if found is not None and all(found):
            yield from (row for row in found if isinstance(row, EventRow | EntryRow))
            return True
        if page[0] in (0x02, 0x05, 0x0A) and offsets is None:  # pages of indexes, and inner pages
            return True
        for offset in range(8, len(page) - 4):
            row = self._row_at(page, offset)
            if isinstance(row, EventRow | EntryRow):
                yield row
        return False

    def _cell_offsets(self, page: bytes) -> list[int] | None:
        if page[0] != _LEAF:
            return None
        count = int.from_bytes(page[3:5], "big")
        offsets = [int.from_bytes(page[8 + 2 * each : 10 + 2 * each], "big") for each in range(count)]
        return offsets if all(8 + 2 * count <= offset < self._size for offset in offsets) else None

    def _row_at(self, page: bytes, offset: int) -> EventRow | EntryRow | bool:
        """Return the row of a cell, or True for a row of another table, or False for damage."""
        try:
            size, at = _varint(page, offset)
            rowid, at = _varint(page, at)
            if not 8 < size < _LARGEST:
                return 0 < size <= 8
            record = self._record(page, at, size)
            values = _values(record) if record is not None else None
        except (IndexError, ValueError, UnicodeDecodeError):
            return False
        if values is None:
            return False
        if len(values) == _EVENT_COLUMNS:
            return _as_event(rowid, values) or False
        if len(values) == _ENTRY_COLUMNS:
            return _as_entry(rowid, values) or False
        return True

    def _record(self, page: bytes, at: int, size: int) -> bytes | None:
        """Return the bytes of a record, with those on overflow pages."""
        usable = self._size
        if size <= usable - 35:
            return page[at : at + size] if at + size <= usable else None
        least = (usable - 12) * 32 // 255 - 23
        local = least + (size - least) % (usable - 4)
        local = least if local > usable - 35 else local
        record = bytearray(page[at : at + local])
        header, kinds = _kinds(record)
        if header + sum(map(_size_of, kinds)) != size:
            return None  # a guess that is wrong must not lead through the whole file
        following = int.from_bytes(page[at + local : at + local + 4], "big")
        while len(record) < size and (0 < following <= self._in_file or following in self._in_log):
            overflow = next(self._versions(following), b"")
            record += overflow[4 : 4 + size - len(record)]
            following = int.from_bytes(overflow[:4], "big") if len(overflow) > 4 else 0
        return bytes(record) if len(record) == size else None


def _varint(data: bytes | bytearray, at: int) -> tuple[int, int]:
    value = 0
    for number in range(9):
        byte = data[at + number]
        if number == 8:
            return value << 8 | byte, at + 9
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            return value, at + number + 1
    raise ValueError


def _kinds(record: bytes | bytearray) -> tuple[int, list[int]]:
    """Return the size of a record's header, and the kinds of its values. Raises ValueError for none of ours."""
    header, at = _varint(record, 0)
    if not 1 < header <= 64:
        raise ValueError
    kinds: list[int] = []
    while at < header:
        kind, at = _varint(record, at)
        if kind in (10, 11):
            raise ValueError
        kinds.append(kind)
    return header, kinds


def _size_of(kind: int) -> int:
    return (0, 1, 2, 3, 4, 6, 8, 8, 0, 0)[kind] if kind < 12 else (kind - 12) // 2


def _values(record: bytes) -> list[Any] | None:
    """Return the values of a record, or None for damage."""
    at, kinds = _kinds(record)
    values: list[Any] = []
    for kind in kinds:
        size = _size_of(kind)
        part = record[at : at + size]
        if len(part) < size:
            return None
        values.append(_value(kind, part))
        at += size
    return values if at == len(record) else None


def _value(kind: int, part: bytes) -> Any:
    if kind == 0:
        return None
    if kind < 7:
        return int.from_bytes(part, "big", signed=True)
    if kind == 7:
        return _float(part)
    if kind in (8, 9):
        return kind - 8
    return part.decode() if kind % 2 else part


def _float(part: bytes) -> float:
    return float(memoryview(part[::-1]).cast("d")[0])


def _as_event(rowid: int, values: list[Any]) -> EventRow | None:
    _, event_id, visitor, user_id, browser_id, names, check, payload = values
    texts = event_id, visitor, names
    if not all(isinstance(text, str) for text in texts) or not isinstance(payload, bytes):
        return None
    if check != event_sum(event_id, visitor, user_id, browser_id, names) or not is_whole(payload):
        return None
    return EventRow(rowid, event_id, visitor, user_id, browser_id, names, check, payload)


def _as_entry(rowid: int, values: list[Any]) -> EntryRow | None:
    _, destination, check, codec, _, state, _, _, _, since, _, _, attempts, _, withdrawn, reason = values
    if not isinstance(destination, int) or check != entry_sum(rowid, destination) or state not in (0, 1, 2):
        return None
    if not isinstance(attempts, int) or not isinstance(codec, int) or not isinstance(since, int | float):
        return None
    reason = reason if isinstance(reason, str) else None
    return EntryRow(rowid, codec, state, since, attempts, withdrawn == 1, reason)
