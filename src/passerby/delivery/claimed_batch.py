"""The events that a sender has claimed and not settled yet, packed into requests."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from itertools import groupby

from ..destinations import Destination
from ..events.event import Event
from ..outbox.codec import decode
from ..outbox.contract import ClaimedEvent


class Envelope:
    """A claimed event. If it has no browser ID, one is added before it is sent."""

    __slots__ = ("claim", "event")

    def __init__(self, claim: ClaimedEvent) -> None:
        event = decode(claim.payload)
        self.claim: ClaimedEvent = claim
        self.event: Event = event if claim.browser_id is None else event._replace(browser_id=claim.browser_id)

    def link(self, browser_id: str) -> None:
        """Add the browser ID of its session."""
        self.event = self.event._replace(browser_id=browser_id)


class ClaimedBatch:
    """Events that were claimed together, packed into requests that are performed one after another.

    Args:
        envelopes: the claimed events, in order.
        destination: defines the size of an event and of a request.
    """

    __slots__ = ("_calls",)

    def __init__(self, envelopes: Sequence[Envelope], destination: Destination) -> None:
        one = len(envelopes) == 1
        self._calls = [list(envelopes)] if one else _pack(envelopes, destination)[::-1]  # the next one last

    @property
    def next_request(self) -> list[Envelope] | None:
        """The events of the next request, or None if nothing is left. Settled events are removed by the caller."""
        while self._calls and not self._calls[-1]:
            self._calls.pop()
        return self._calls[-1] if self._calls else None

    def split(self) -> None:
        """Split the next request into two; the first half is sent first."""
        envelopes = self._calls.pop()
        middle = len(envelopes) // 2
        self._calls += [envelopes[middle:], envelopes[:middle]]

    def take(self, visitors: Collection[str]) -> list[Envelope]:
        """Remove and return the remaining events of some visitors."""
        taken = [each for call in reversed(self._calls) for each in call if each.claim.visitor in visitors]
        for call in self._calls:
            call[:] = [each for each in call if each.claim.visitor not in visitors]
        return taken

    def take_all(self) -> list[Envelope]:
        """Remove and return all remaining events."""
        left = [envelope for call in reversed(self._calls) for envelope in call]
        self._calls.clear()
        return left


def make_batches(envelopes: Sequence[Envelope], destination: Destination) -> list[ClaimedBatch]:
    """Divide claimed events into batches of at most one request; those of one visitor stay together, in order."""
    parts: list[list[Envelope]] = []
    for _, run in groupby(envelopes, lambda envelope: envelope.claim.visitor):
        events = list(run)
        if not parts or len(parts[-1]) + len(events) > destination.batch_size:
            parts.append([])
        parts[-1] += events
    return [ClaimedBatch(part, destination) for part in parts]


def _pack(envelopes: Sequence[Envelope], destination: Destination) -> list[list[Envelope]]:
    """Pack events into as few requests as their order allows.

    Those without a browser ID come last and in separate requests, so that the others do not wait for the ID. A
    visitor's events have all an ID, or none of them has.
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
