"""The entries that a sender has claimed and not settled yet, packed into requests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..destinations import Destination
from ..events.event import Event


class Envelope:
    """A claimed entry with its event. If the event has no browser ID, one is added before it is sent."""

    __slots__ = ("entry", "event")

    def __init__(self, entry: Any) -> None:
        self.entry: Any = entry
        self.event: Event = entry.event

    def link(self, browser_id: str) -> None:
        """Add the browser ID of its session."""
        self.event = self.event._replace(browser_id=browser_id)


class ClaimedBatch:
    """Entries that were claimed together, packed into requests that are performed one after another.

    Args:
        entries: the claimed entries, in order; at most as many as go into one request.
        destination: defines the size of an event and of a request.
    """

    __slots__ = ("_calls",)

    def __init__(self, entries: Sequence[Any], destination: Destination) -> None:
        envelopes = [Envelope(entry) for entry in entries]
        self._calls = [envelopes] if len(envelopes) == 1 else _pack(envelopes, destination)[::-1]  # the next one last

    @property
    def next_request(self) -> list[Envelope] | None:
        """The entries of the next request, or None if nothing is left. Settled entries are removed by the caller."""
        while self._calls and not self._calls[-1]:
            self._calls.pop()
        return self._calls[-1] if self._calls else None

    def split(self) -> None:
        """Split the next request into two; the first half is sent first."""
        envelopes = self._calls.pop()
        middle = len(envelopes) // 2
        self._calls += [envelopes[middle:], envelopes[:middle]]

    def take_all(self) -> list[Envelope]:
        """Remove and return all remaining entries."""
        left = [envelope for call in reversed(self._calls) for envelope in call]
        self._calls.clear()
        return left


def _pack(envelopes: Sequence[Envelope], destination: Destination) -> list[list[Envelope]]:
    """Pack entries into as few requests as their order allows.

    Entries without a browser ID come last and in separate requests, so that the others do not wait for the ID.
    """
    known = [envelope for envelope in envelopes if envelope.event.browser_id is not None]
    unknown = [envelope for envelope in envelopes if envelope.event.browser_id is None]
    return [*_fill(known, destination), *_fill(unknown, destination)]


def _fill(envelopes: Sequence[Envelope], destination: Destination) -> list[list[Envelope]]:
    calls: list[list[Envelope]] = []
    room = 0
    for envelope in envelopes:
        weight = _size_of(envelope.event, destination)
        if not calls or weight > room:
            calls.append([])
            room = destination.batch_bytes
        calls[-1].append(envelope)
        room -= weight
    return calls


def _size_of(event: Event, destination: Destination) -> int:
    """Return the encoded size of an event. One that cannot be encoded fills a request, so that it is sent alone."""
    try:
        return destination.encoded_size(event)
    except Exception:  # logged when it is sent
        return destination.batch_bytes + 1
