"""The interface to an app's database transactions, whose commit records the events tracked in them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol


class Transactions(Protocol):
    """The database transactions of an app."""

    def defer(self, commit: Callable[[], object], rollback: Callable[[], object]) -> bool:
        """Register callbacks for the end of the open transaction.

        Args:
            commit: called once it is committed.
            rollback: called instead if it never will be.

        Returns:
            False if no transaction is open; then neither is called, and the caller acts at once.
        """
        ...
