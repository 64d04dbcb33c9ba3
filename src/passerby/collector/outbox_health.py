"""How an app's outbox is, for the live page: plain values, filled in as far as they can be known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from ..client.stats import DestinationStats
from ..client.tracking import Tracking
from ..delivery.breaker import BreakerState


@dataclass(frozen=True, slots=True, kw_only=True)
class DestinationHealth:
    """The ledger of one destination; None is what cannot be known.

    Attributes:
        enqueued: all events that were told.
        delivered: those the destination took.
        pending: those that wait, the held ones included.
        held: those in event queues.
        dead: those among the dead letters.
        dropped: those not kept, by reason.
        retries: how often a delivery was put off.
        breaker: "closed" in good times, "open" while the destination does not answer, "half-open" while that is tried.
        oldest: for how many seconds the first of those that wait has been waiting.
    """

    enqueued: int | None = None
    delivered: int | None = None
    pending: int
    held: int
    dead: int
    dropped: Mapping[str, int] | None = None
    retries: int | None = None
    breaker: BreakerState | None = None
    oldest: float | None = None


@dataclass(frozen=True, slots=True)
class OutboxHealth:
    """All destinations at one moment.

    Attributes:
        state: "ok", or "degraded: " and why.
        destinations: the ledgers, by destination.
    """

    state: str
    destinations: Mapping[str, DestinationHealth]

    def as_json(self) -> dict[str, Any]:
        """The same as plain values."""
        return {
            "state": self.state,
            "destinations": {name: asdict(health) for name, health in self.destinations.items()},
        }

    def total(self, name: str) -> int | None:
        """The sum of a figure over all destinations, such as "pending"; None where it is not known of one of them."""
        figures = [getattr(health, name) for health in self.destinations.values()]
        return None if None in figures else sum(figures)


def health_of(tracking: Tracking) -> OutboxHealth:
    """How the outbox of a `Tracking` in this process is."""
    stats = tracking.stats()
    return OutboxHealth(stats.outbox, {name: _of(account) for name, account in stats.destinations.items()})


def _of(account: DestinationStats) -> DestinationHealth:
    return DestinationHealth(
        enqueued=account.recorded,
        delivered=account.delivered,
        pending=account.pending,
        held=account.held,
        dead=account.dead,
        dropped=dict(account.dropped),
        retries=account.retries,
        breaker=account.breaker,
    )
