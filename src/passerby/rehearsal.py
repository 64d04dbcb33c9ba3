"""The rehearsal: while it is on nobody is called, and whoever watches hears what is told.

There is one for the whole process, since tests do not know which `Tracking` an app has made, or when. It is off unless
`passerby.testing` begins it. Only a collector that runs in this very process is called as ever: that is what it was
started for.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol
from urllib.parse import urlsplit

from .event import Event
from .request import is_local_host

REFUSED = "rehearsal"  # the reason under which events are dropped that would have been sent


class Watcher(Protocol):
    """Who hears what is told, at the moment of the call."""

    def on_told(self, event: Event, destinations: Sequence[str]) -> None:
        """An event was taken; one told in a database transaction may still be rolled back."""
        ...

    def on_rolled_back(self, event: Event) -> None:
        """The transaction in which an event was told has failed."""
        ...

    def on_refused(self, reason: str) -> None:
        """Something was told and not taken."""
        ...


class Rehearsal:
    """Whether it is on, and who watches.

    Attributes:
        is_on: whether calls are refused.
        watchers: who hears what is told, whether it is on or not.
        ports: where the collectors of this process listen.
    """

    def __init__(self) -> None:
        self.is_on: bool = False
        self.watchers: list[Watcher] = []
        self.ports: set[int] = set()

    def refuses(self, url: str) -> bool:
        """Whether a call to this address is refused."""
        if not self.is_on:
            return False
        parts = urlsplit(url)
        return not (parts.port in self.ports and is_local_host(parts.hostname or ""))


rehearsal: Rehearsal = Rehearsal()
