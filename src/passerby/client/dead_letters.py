"""The dead letters of an outbox."""

from __future__ import annotations

from dataclasses import dataclass

from ..events.event import Event
from ..outbox.codec import UndecodablePayload, decode
from ..outbox.outbox import Outbox
from ..outbox.reading import StoreQuery

_PAGE = 1_000


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """An event that a destination will never accept.

    Attributes:
        event: the event.
        destination: the destination's name.
        reason: why.
        attempts: how often it was tried.
    """

    event: Event
    destination: str
    reason: str
    attempts: int


def read_dead_letters(outbox: Outbox) -> list[DeadLetter]:
    """Return all dead letters, the oldest first. Raises StorageError if the store cannot be read."""
    letters: list[DeadLetter] = []
    after: int | None = 0
    while after is not None:
        page = outbox.read(StoreQuery(("dead",), after=after, limit=_PAGE))
        for entry in page.entries:
            try:
                event = decode(entry.payload)
            except UndecodablePayload:  # of a newer version; `passerby outbox ls` counts it
                continue
            letters.append(DeadLetter(event, entry.destination, entry.reason or "", entry.attempts))
        after = page.next
    return letters
