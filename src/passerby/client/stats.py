"""Statistics: the recorded events and their outcomes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ..browser_ids.pool import BrowserIdCounts
from ..outbox.counts import BreakerState, DestinationCounts


@dataclass(frozen=True, slots=True)
class DestinationStats:
    """The ledger of one destination: recorded = delivered + pending + dead + the sum of dropped.

    Attributes:
        recorded: all recorded events.
        delivered: events the destination accepted.
        pending: waiting events, including held ones.
        held: events in event queues.
        dead: dead letters.
        dropped: dropped events, by reason.
        unlinked: events recorded before their visitor had a browser ID.
        retries: the number of retries.
        breaker: "closed" normally, "open" while the destination does not respond, "half-open" during a probe.
    """

    recorded: int
    delivered: int
    pending: int
    held: int
    dead: int
    dropped: Mapping[str, int]
    unlinked: int
    retries: int
    breaker: BreakerState

    @classmethod
    def of(cls, counts: DestinationCounts, retries: int) -> DestinationStats:
        """Make the statistics of a destination from the outbox's counts."""
        return cls(
            recorded=counts.recorded,
            delivered=counts.delivered,
            pending=counts.waiting + counts.held,
            held=counts.held,
            dead=counts.dead,
            dropped=counts.dropped,
            unlinked=counts.unlinked,
            retries=retries,
            breaker=counts.breaker,
        )

    @property
    def is_balanced(self) -> bool:
        """Whether the ledger adds up."""
        return self.recorded == self.delivered + self.pending + self.dead + sum(self.dropped.values())


@dataclass(frozen=True, slots=True)
class Stats:
    """The statistics of a `Tracking` at one moment.

    Attributes:
        destinations: the ledger by destination.
        browser_ids: the pool's counts, if a destination issues browser IDs.
        store_timeouts: the number of events that were not stored when their response started, because the wait timed
            out or the disk accepted nothing; see `store_timeout`. They may be stored by now.
        unstored: the number of waiting or held events that are in no file: they are lost if the process dies. With the
            outbox in memory these are all. An event counts once for each destination.
        unread_cookies: the number of requests whose Cookie header was too long to be read; nothing was tracked in them.
        withheld_cookies: the number of responses without a cookie although one was due, by reason: "shared cache",
            "plain http", "cross-site" or "frame".
        unkept_visitors: how many of these had a new visitor with events, who is a new visitor again on the next page.
        outbox: "ok", or "degraded: " and the reason why new events would not survive as the outbox guarantees.
    """

    destinations: Mapping[str, DestinationStats]
    browser_ids: BrowserIdCounts | None
    store_timeouts: int = 0
    unstored: int = 0
    unread_cookies: int = 0
    outbox: str = "ok"
    withheld_cookies: Mapping[str, int] = field(default_factory=dict[str, int])
    unkept_visitors: int = 0
