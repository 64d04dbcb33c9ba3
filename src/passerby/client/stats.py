"""The figures: what was told, and what became of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ..browser_ids.pool import BrowserIdCounts
from ..delivery.breaker import BreakerState
from ..outbox import Tally


@dataclass(frozen=True, slots=True)
class DestinationStats:
    """The ledger of one destination: enqueued = delivered + pending + dead + the sum of dropped.

    Attributes:
        enqueued: all events that were told.
        delivered: those the destination took.
        pending: those that wait, the held ones included.
        held: those in event queues.
        dead: those among the dead letters.
        dropped: those not kept, by reason.
        unlinked: those told before their visitor had a browser ID.
        retries: how often a delivery was put off.
        breaker: "closed" in good times, "open" while the destination does not answer, "half-open" while that is tried.
    """

    enqueued: int
    delivered: int
    pending: int
    held: int
    dead: int
    dropped: Mapping[str, int]
    unlinked: int
    retries: int
    breaker: BreakerState

    @classmethod
    def of(cls, tally: Tally, retries: int, breaker: BreakerState) -> DestinationStats:
        """Make the figures of a destination from the outbox's counts."""
        return cls(
            enqueued=tally.enqueued,
            delivered=tally.delivered,
            pending=tally.waiting + tally.held,
            held=tally.held,
            dead=tally.dead,
            dropped=tally.dropped,
            unlinked=tally.unlinked,
            retries=retries,
            breaker=breaker,
        )

    @property
    def is_balanced(self) -> bool:
        """Whether the ledger adds up."""
        return self.enqueued == self.delivered + self.pending + self.dead + sum(self.dropped.values())


@dataclass(frozen=True, slots=True)
class Stats:
    """All figures of a `Tracking` at one moment.

    Attributes:
        destinations: the ledger by destination.
        browser_ids: the pool's counts, if a destination issues browser IDs.
        late: how many events were not in the file when their response started, as the wait for that ran out or the disk
            took nothing; see `barrier_timeout`. They may be there by now.
        unstored: how many events that wait or are held are in no file now: they are lost if the process dies. With the
            outbox in memory these are all. An event counts once for each destination.
        unread_cookies: in how many requests the Cookie header was too long to be read, so that nothing was tracked.
        withheld_cookies: how many responses got no cookie though one was due, by reason: "shared cache", "plain http",
            "cross-site" or "frame".
        unkept_visitors: how many of them belonged to new visitors with events, who are new ones again at the next page.
        outbox: "ok", or "degraded: " and why what is told now would not survive as the outbox promises.
    """

    destinations: Mapping[str, DestinationStats]
    browser_ids: BrowserIdCounts | None
    late: int = 0
    unstored: int = 0
    unread_cookies: int = 0
    outbox: str = "ok"
    withheld_cookies: Mapping[str, int] = field(default_factory=dict[str, int])
    unkept_visitors: int = 0
