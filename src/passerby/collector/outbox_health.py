"""The health of an app's outbox for the live page; unknown values are None."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from ..client.stats import DestinationStats
from ..client.tracking import Tracking
from ..outbox.counts import BreakerState


@dataclass(frozen=True, slots=True, kw_only=True)
class DestinationHealth:
    """The ledger of one destination; unknown values are None.

    Attributes:
        recorded: the accepted events.
        delivered: the delivered events.
        pending: the queued events, including held ones.
        held: the events that wait for a release.
        dead: the dead letters.
        dropped: the dropped events, by reason.
        retries: the number of retries.
        breaker: "closed" normally, "open" while the destination does not respond, "half-open" during a trial.
        oldest: the age of the oldest pending event, in seconds.
    """

    recorded: int | None = None
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
    """The state of all destinations at one time.

    Attributes:
        state: "ok", or "degraded: " and the reason.
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
        """The sum of a value such as "pending" over all destinations; None if one is unknown."""
        figures = [getattr(health, name) for health in self.destinations.values()]
        return None if None in figures else sum(figures)


def health_of(tracking: Tracking) -> OutboxHealth:
    """The health of the outbox of a `Tracking` in this process."""
    stats = tracking.stats()
    return OutboxHealth(stats.outbox, {name: _of(account) for name, account in stats.destinations.items()})


def _of(account: DestinationStats) -> DestinationHealth:
    return DestinationHealth(
        recorded=account.recorded,
        delivered=account.delivered,
        pending=account.pending,
        held=account.held,
        dead=account.dead,
        dropped=dict(account.dropped),
        retries=account.retries,
        breaker=account.breaker,
    )
