"""The ledger as text: the outcome of every event."""

from __future__ import annotations

from collections.abc import Iterator

from ..client.stats import Stats


def lines_of(stats: Stats) -> Iterator[str]:
    """Yield one equation per destination, and the reasons of dropped events."""
    width = max(map(len, stats.destinations), default=0)
    yield "Ledger"
    for name, account in stats.destinations.items():
        dropped = sum(account.dropped.values())
        yield (
            f"  {name:<{width}}  recorded {account.recorded} = delivered {account.delivered}"
            f" + pending {account.pending} + dead {account.dead} + dropped {dropped}"
        )
        for reason, count in account.dropped.items():
            yield f"  {'':<{width}}  dropped ({reason}): {count}"
