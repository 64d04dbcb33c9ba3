"""The load: what a lane of a sender has acquired and not yet settled, packed into calls."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..destinations import Destination
from ..events.event import Event


class Parcel:
    """One entry on its way, with the event as it is to be sent: of a visit without a browser ID, with the one found."""

    __slots__ = ("entry", "event")

    def __init__(self, entry: Any) -> None:
        self.entry: Any = entry
        self.event: Event = entry.event

    def link(self, browser_id: str) -> None:
        """The browser ID of its visit was found."""
        self.event = self.event._replace(browser_id=browser_id)


class Load:
    """What was acquired at once, in calls that are performed one after another.

    Args:
        entries: what was acquired, in order; at most as many as go into one call.
        destination: says what an event weighs, and how much goes into one call.
    """

    __slots__ = ("_calls",)

    def __init__(self, entries: Sequence[Any], destination: Destination) -> None:
        parcels = [Parcel(entry) for entry in entries]
        self._calls = [parcels] if len(parcels) == 1 else _pack(parcels, destination)[::-1]  # the next one last

    @property
    def next_call(self) -> list[Parcel] | None:
        """The parcels of the next call; whoever settles one takes it out. None if nothing is left."""
        while self._calls and not self._calls[-1]:
            self._calls.pop()
        return self._calls[-1] if self._calls else None

    def divide(self) -> None:
        """Make two calls of the next one, the first half first."""
        parcels = self._calls.pop()
        middle = len(parcels) // 2
        self._calls += [parcels[middle:], parcels[:middle]]

    def take_all(self) -> list[Parcel]:
        """Return what is left and let go of it."""
        left = [parcel for call in reversed(self._calls) for parcel in call]
        self._calls.clear()
        return left


def _pack(parcels: Sequence[Parcel], destination: Destination) -> list[list[Parcel]]:
    """Pack parcels into as few calls as their order allows.

    Those whose browser ID has yet to be found come last, and by themselves: the others are not to wait for it.
    """
    known = [parcel for parcel in parcels if parcel.event.browser_id is not None]
    unknown = [parcel for parcel in parcels if parcel.event.browser_id is None]
    return [*_fill(known, destination), *_fill(unknown, destination)]


def _fill(parcels: Sequence[Parcel], destination: Destination) -> list[list[Parcel]]:
    calls: list[list[Parcel]] = []
    room = 0
    for parcel in parcels:
        weight = _weight(parcel.event, destination)
        if not calls or weight > room:
            calls.append([])
            room = destination.batch_bytes
        calls[-1].append(parcel)
        room -= weight
    return calls


def _weight(event: Event, destination: Destination) -> int:
    """Return what an event weighs; one that cannot be written fills a call, where that harms no other."""
    try:
        return destination.weigh(event)
    except Exception:  # told when it is sent
        return destination.batch_bytes + 1
