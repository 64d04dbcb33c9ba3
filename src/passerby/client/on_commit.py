"""What an app's database transactions do to the events told in them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol


class Transactions(Protocol):
    """Knows the database transactions of an app."""

    def defer(self, commit: Callable[[], object], rollback: Callable[[], object]) -> bool:
        """Have something done when the transaction that is open now ends.

        Args:
            commit: called once it is committed.
            rollback: called instead if it never will be.

        Returns:
            False if no transaction is open; then neither is called, and the caller acts at once.
        """
        ...
