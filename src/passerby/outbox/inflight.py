"""The claimed events of a process: what it wants, what it has, and the leases of that."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .codec import KNOWN
from .contract import MAX_BATCH, ClaimedEvent, ClaimRequest, LeaseExtension
from .counts import DestinationCounts


@dataclass(frozen=True, slots=True)
class DeliveryWish:
    """What a process can deliver to a destination.

    Attributes:
        limit: how many events it can have at a time.
        run: how many consecutive events of one visitor it takes together.
    """

    limit: int
    run: int = 1


class InFlight:
    """What is claimed by this process. Used by all threads.

    Args:
        lease: seconds of a claim; extended at half.
    """

    def __init__(self, lease: float) -> None:
        self._lease = lease
        self._lock = threading.Lock()
        self._wishes: dict[str, DeliveryWish] = {}
        self._claims: dict[tuple[str, int], tuple[ClaimedEvent, float]] = {}
        self._due: dict[str, float | None] = {}
        self._wants_alone = False

    def wish(self, wishes: Mapping[str, DeliveryWish]) -> None:
        """Set what this process can deliver."""
        with self._lock:
            self._wishes = dict(wishes)

    @property
    def is_delivering(self) -> bool:
        """Whether this process delivers at all."""
        return bool(self._wishes)

    @property
    def claims(self) -> list[ClaimedEvent]:
        """All that is claimed."""
        with self._lock:
            return [claim for claim, _ in self._claims.values()]

    def wanted(self) -> list[ClaimRequest]:
        """Return what to ask for."""
        if not self._wishes:
            return []
        with self._lock:
            if self._wants_alone and self._claims:
                return []  # an event that is sent alone waits until nothing else is in flight
            counts: dict[str, int] = {}
            for name, _ in self._claims:
                counts[name] = counts.get(name, 0) + 1
            return [
                ClaimRequest(name, min(room, MAX_BATCH), self._lease, KNOWN, wish.run, not self._claims)
                for name, wish in self._wishes.items()
                if (room := wish.limit - counts.get(name, 0)) > 0
            ]

    def has_due(self, now: float) -> bool:
        """Return whether something wanted can be claimed now, as far as known."""
        return any((due := self._due.get(each.destination)) is not None and due <= now for each in self.wanted())

    def next_due(self) -> float | None:
        """Return when the next event that is wanted is due, as far as known."""
        due = [each for request in self.wanted() if (each := self._due.get(request.destination)) is not None]
        return min(due, default=None)

    def add(self, claims: Sequence[ClaimedEvent], counts: Mapping[str, DestinationCounts], now: float) -> None:
        """Note what an exchange has claimed, and what it said of what is due."""
        if not (claims or counts):
            return
        with self._lock:
            for claim in claims:
                self._claims[claim.destination, claim.key] = claim, now
            for name, each in counts.items():
                self._due[name] = None if each.next_due is None else now + each.next_due
            is_alone = any(claim.is_alone for claim, _ in self._claims.values())
            self._wants_alone = is_alone or any(each.suspects for each in counts.values())

    def remove(self, claim: ClaimedEvent) -> None:
        """Note that a claim has an outcome."""
        with self._lock:
            self._claims.pop((claim.destination, claim.key), None)

    def extensions(self, now: float) -> list[LeaseExtension]:
        """Return the leases to extend, because half of them is over."""
        if not self._claims:
            return []
        with self._lock:
            old = [(key, claim) for key, (claim, at) in self._claims.items() if now - at > self._lease / 2]
            for key, claim in old:
                self._claims[key] = claim, now
        return [LeaseExtension([claim for _, claim in old], self._lease)] if old else []

    def time_left(self, claim: ClaimedEvent, now: float) -> float:
        """Return how long a claim surely holds."""
        with self._lock:
            _, at = self._claims.get((claim.destination, claim.key), (None, now - self._lease))
        return at + self._lease - now
