"""The ledger in words: what became of every event."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Protocol


class Account(Protocol):
    """The numbers of one destination."""

    @property
    def enqueued(self) -> int: ...
    @property
    def delivered(self) -> int: ...
    @property
    def pending(self) -> int: ...
    @property
    def dead(self) -> int: ...
    @property
    def dropped(self) -> Mapping[str, int]: ...


class Ledger(Protocol):
    """The accounts, by destination."""

    @property
    def destinations(self) -> Mapping[str, Account]: ...


def lines_of(ledger: Ledger) -> Iterator[str]:
    """One equation per destination, and why something was dropped."""
    width = max(map(len, ledger.destinations), default=0)
    yield "Ledger"
    for name, account in ledger.destinations.items():
        dropped = sum(account.dropped.values())
        yield (
            f"  {name:<{width}}  enqueued {account.enqueued} = delivered {account.delivered}"
            f" + pending {account.pending} + dead {account.dead} + dropped {dropped}"
        )
        for reason, count in account.dropped.items():
            yield f"  {'':<{width}}  dropped ({reason}): {count}"
