"""What came of a scenario: the figures, and what is wrong with them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass
class Finding:
    """One line of the report.

    Attributes:
        name: the scenario, and its variant.
        done: what was done.
        recorded: how many events the victim was promised to see delivered.
        delivered: how many different events arrived; also some that were not said to be recorded.
        duplicated: how many arrivals there were beyond the first of each.
        lost: how many of those recorded never arrived and are not accounted for.
        dropped: those that the ledger says were dropped, by reason.
        notes: what else is worth knowing.
        faults: what is wrong.
        skipped: why it was not tried, if it was not.
        seconds: how long it took.
    """

    name: str
    done: str
    recorded: int = 0
    delivered: int = 0
    duplicated: int = 0
    lost: int = 0
    dropped: Mapping[str, int] = field(default_factory=dict[str, int])
    notes: list[str] = field(default_factory=list[str])
    faults: list[str] = field(default_factory=list[str])
    skipped: str | None = None
    seconds: float = 0.0

    @classmethod
    def sum(cls, name: str, done: str, parts: Sequence[Finding]) -> Finding:
        """Make one finding of those of several places."""
        return cls(
            name,
            done,
            recorded=sum(one.recorded for one in parts),
            delivered=sum(one.delivered for one in parts),
            duplicated=sum(one.duplicated for one in parts),
            lost=sum(one.lost for one in parts),
            faults=[fault for one in parts for fault in one.faults],
            seconds=sum(one.seconds for one in parts),
        )

    @property
    def verdict(self) -> str:
        """In a word or two."""
        if self.skipped is not None:
            return f"not tried: {self.skipped}"
        return "FAILED: " + "; ".join(self.faults) if self.faults else "ok"

    def expect(self, is_so: bool, otherwise: str) -> None:
        """Note a fault unless something is so."""
        if not is_so:
            self.faults.append(otherwise)
