"""Django's database transactions: what is told in one counts once it is committed."""

from __future__ import annotations

from collections.abc import Callable
from logging import Logger

from django.db import transaction

from ..logs import get_logger

log: Logger = get_logger("passerby.django")


class DatabaseTransactions:
    """The transactions of one database; see `passerby.client.on_commit.Transactions`.

    Args:
        using: the database's alias.
    """

    def __init__(self, using: str) -> None:
        self._using = using

    def defer(self, commit: Callable[[], object], rollback: Callable[[], object]) -> bool:
        """Have something done when the transaction that is open now ends; False if none is open."""
        if not transaction.get_connection(self._using).in_atomic_block:
            return False
        # A method, since Django 5.2 asks what fails for its name.
        transaction.on_commit(_Pending(commit, rollback).commit, using=self._using, robust=True)
        return True


class _Pending:
    """What waits for the end of a transaction.

    Django calls `commit` on commit and tells nobody of a rollback, to a savepoint or of the whole: it just lets go of
    what it has not called. So does this, and says so.
    """

    __slots__ = ("__weakref__", "_commit", "_rollback")

    def __init__(self, commit: Callable[[], object], rollback: Callable[[], object]) -> None:
        self._commit = commit
        self._rollback: Callable[[], object] | None = rollback

    def commit(self) -> None:
        self._rollback = None
        self._commit()

    def __del__(self) -> None:
        rollback = self._rollback
        if rollback is None:
            return
        try:
            rollback()
        except Exception:
            log.exception("what was told in a transaction that was rolled back could not be taken back")
