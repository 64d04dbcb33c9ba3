"""The counts of one destination: recorded = delivered + waiting + held + dead + dropped."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

EntryState = Literal["waiting", "held", "dead"]
BreakerState = Literal["closed", "open", "half-open"]


@dataclass(slots=True)
class DestinationCounts:
    """The counts and the state of one destination.

    Attributes:
        recorded: all events accepted.
        delivered: those the destination took.
        waiting: those that wait to be sent, are being sent or wait to be tried again.
        held: those waiting for a release.
        dead: dead letters.
        unlinked: those recorded before their visitor had a browser ID.
        dropped: those not kept, by reason.
        breaker: "closed", "open" or "half-open".
        not_before: seconds until the service may be called again, or 0.
        next_due: seconds until the next event can be claimed, or None without one; 0 or less if one is due now.
        is_next_claimed: whether that event is claimed, so that its outcome may come before.
        suspects: whether an event waits to be claimed alone.
    """

    recorded: int = 0
    delivered: int = 0
    waiting: int = 0
    held: int = 0
    dead: int = 0
    unlinked: int = 0
    dropped: dict[str, int] = field(default_factory=dict[str, int])
    breaker: BreakerState = "closed"
    not_before: float = 0.0
    next_due: float | None = None
    is_next_claimed: bool = False
    suspects: bool = False

    def record(self, state: EntryState, number: int = 1, unlinked: int = 0) -> None:
        """Count events that are recorded as waiting or held."""
        self.recorded += number
        self.unlinked += unlinked
        if state == "waiting":
            self.waiting += number
        else:
            self._add(state, number)

    def move(self, source: EntryState, target: Literal["waiting", "dead", "delivered"], number: int = 1) -> None:
        """Count events that change from one state to another."""
        self._add(source, -number)
        self._add(target, number)

    def drop(self, source: EntryState | None, reason: str, number: int = 1) -> None:
        """Count events that are dropped; without a source they were never kept."""
        if source is None:
            self.recorded += number
        else:
            self._add(source, -number)
        self.dropped[reason] = self.dropped.get(reason, 0) + number

    def _add(self, state: str, number: int) -> None:
        if state == "waiting":
            self.waiting += number
        elif state == "held":
            self.held += number
        elif state == "dead":
            self.dead += number
        else:
            self.delivered += number

    @property
    def is_balanced(self) -> bool:
        """Whether the counts add up."""
        kept = self.delivered + self.waiting + self.held + self.dead
        return self.recorded == kept + sum(self.dropped.values())
