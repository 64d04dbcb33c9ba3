"""Django's database transactions: events tracked in one are recorded when it is committed."""

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
        """Register callbacks for the end of the open transaction. Returns False if none is open."""
        if not transaction.get_connection(self._using).in_atomic_block:
            return False
        # A method, since Django 5.2 reads the name of a callback that fails.
        transaction.on_commit(_DeferredCallbacks(commit, rollback).commit, using=self._using, robust=True)
        return True


class _DeferredCallbacks:
    """Two callbacks that wait for the end of a transaction.

    Django calls `commit` on commit, but nothing on a rollback, whether to a savepoint or of the whole transaction: it
    only releases the callbacks it has not called. So `__del__` calls `rollback`.
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
            log.exception("cannot undo the events of a transaction that was rolled back")
