"""Pending calls of `flush`: they wait until all events are delivered, or no attempt is due in time."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from typing import NamedTuple

from ..old_outbox import Outbox


class _Flush(NamedTuple):
    until: float
    drained: Future[bool]


class Flushes:
    """The pending flushes. Begun by any thread, ended by the worker's thread.

    Args:
        outbox: where events wait.
        clock: a monotonic clock, in seconds.
    """

    def __init__(self, outbox: Outbox, clock: Callable[[], float]) -> None:
        self._outbox = outbox
        self._clock = clock
        self._begun: deque[_Flush] = deque()

    def begin(self, until: float) -> Future[bool]:
        """Return a future: True when no events wait, False if no attempt is due before `until`."""
        flush = _Flush(until, Future())
        self._begun.append(flush)
        return flush.drained

    @property
    def has_waiters(self) -> bool:
        """Whether a flush is waiting."""
        return any(not flush.drained.cancelled() for flush in list(self._begun))

    def end(self, next_attempts: Iterable[Callable[[float], float | None]]) -> None:
        """Complete the flushes that can be completed.

        Args:
            next_attempts: one function per destination. It returns when the next attempt is due, None without events.
        """
        if not self._begun:
            return
        is_drained = not self._outbox.waiting()
        earliest = None
        if not is_drained:
            now = self._clock()
            attempts = [next_attempt(now) for next_attempt in next_attempts]
            earliest = min((attempt for attempt in attempts if attempt is not None), default=None)
        for flush in list(self._begun):
            if flush.drained.cancelled():
                self._begun.remove(flush)
            elif is_drained or (earliest is not None and earliest > flush.until):
                self._begun.remove(flush)
                if flush.drained.set_running_or_notify_cancel():
                    flush.drained.set_result(is_drained)
