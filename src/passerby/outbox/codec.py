"""Events as bytes: a version, a checksum, and a JSON list.

The first byte is the version, the next four the CRC-32 of what follows. A store keeps payloads as they are; the
process that claims an event decodes it. Changes within a version only append fields.
"""

from __future__ import annotations

from typing import Any
from zlib import crc32

from ..events.event import Context, Event
from ..values.json import dumps, loads
from .contract import StorageError

VERSION = 1
KNOWN: tuple[int, ...] = (VERSION,)
_HEADER = 5  # bytes
_PLAIN = 13  # fields that every event has: those before `nested`


class UndecodablePayload(StorageError):
    """The payload is damaged, or its version is not known here."""


def encode(event: Event) -> bytes:
    """Encode an event; `decode` gives back an equal one."""
    # What most events do not have takes no room.
    rest = () if event.nested is None and event.previous_id is None else (event.nested, event.previous_id)
    body = dumps([*event[:9], list(event.context), event.point_of_sale, event.integrations, *rest])
    return b"\x01%b%b" % (crc32(body).to_bytes(4, "big"), body)


def decode(payload: bytes) -> Event:
    """Decode an event. Raises UndecodablePayload."""
    if version_of(payload) not in KNOWN:
        raise UndecodablePayload("payload of an unknown version")
    if not is_whole(payload):
        raise UndecodablePayload("payload is damaged")
    try:
        fields: list[Any] = loads(payload[_HEADER:])
        fields[9] = Context(*fields[9])
        return Event(*fields)
    except (ValueError, TypeError, IndexError) as error:
        raise UndecodablePayload(f"payload is no event ({type(error).__name__})") from None


def version_of(payload: bytes) -> int:
    """Return the version of a payload."""
    return payload[0] if payload else 0


def is_whole(payload: bytes) -> bool:
    """Return whether a payload is as it was encoded, whatever its version."""
    body = memoryview(payload)[_HEADER:]
    return bool(body) and crc32(body).to_bytes(4, "big") == payload[1:_HEADER]
