"""Rows and their checksums, which say whether a row is as it was written."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import fields, is_dataclass, replace
from typing import Any, NamedTuple, cast
from zlib import crc32

from ..codec import is_whole

SLOTS = 6  # bits for the destinations of an event, in the number of an entry
LAST_SLOT: int = (1 << SLOTS) - 1
ROOM = 14  # bits between two entries of a partition, for those of a linked visit


class ClaimableRow(NamedTuple):
    """An entry with its event, as read for a claim; the event may be missing, or damaged in any way."""

    seq: int
    sum: int
    token: int | None
    lost: int
    withdrawn: int
    attempts: int
    since: float
    part: int
    place: int
    event_id: str | None
    visitor: str
    user_id: str | None
    browser_id: str | None
    names: str
    event_sum: int
    payload: bytes
    ready: float

    @property
    def lost_leases(self) -> int:
        """How many leases have ended without an outcome, the present one included."""
        return self.lost + (self.token is not None)


def sayable(value: Any) -> Any:
    """Return a copy with an escape for each lone surrogate, which UTF-8 cannot say."""
    if isinstance(value, str):
        return value.encode(errors="backslashreplace").decode()
    kind: Any = cast("object", value).__class__
    if kind is list or isinstance(value, tuple):
        items = [sayable(item) for item in cast("Sequence[Any]", value)]
        return items if kind is list else getattr(kind, "_make", tuple)(items)
    if is_dataclass(kind):
        return replace(value, **{field.name: sayable(getattr(value, field.name)) for field in fields(kind)})
    return value


def part_of(visitor: str) -> int:
    """Return the number of a visitor's partition. Two visitors with the same one would only wait for each other."""
    digest = hashlib.blake2b(visitor.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def event_sum(event_id: str, visitor: str, user_id: str | None, browser_id: str | None, names: str) -> int:
    """Return the checksum of an event's columns; its payload has one of its own."""
    text = f"{event_id}\n{visitor}\n{user_id}\n{browser_id}\n{names}"
    return crc32(text.encode("utf-8", "surrogatepass"))


def entry_sum(seq: int, destination: int) -> int:
    """Return the checksum of what an entry is."""
    return crc32(b"%d:%d" % (seq, destination))


def is_genuine(row: ClaimableRow, destination: int) -> bool:
    """Return whether a row is as it was written."""
    if row.event_id is None or row.sum != entry_sum(row.seq, destination) or not isinstance(row.payload, bytes):
        return False
    if not all(isinstance(number, int | float) for number in (row.lost, row.attempts, row.since, row.ready)):
        return False
    check = event_sum(row.event_id, row.visitor, row.user_id, row.browser_id, row.names)
    return check == row.event_sum and is_whole(row.payload)
