"""Those who wait until nothing waits to be sent any more, or until it is known that this cannot be in time."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from typing import NamedTuple

from ..outbox import Outbox


class _Flush(NamedTuple):
    until: float
    drained: Future[bool]


class Flushes:
    """Begun by any thread, ended by the worker's.

    Args:
        outbox: where events wait.
        clock: seconds on a clock that never goes back.
    """

    def __init__(self, outbox: Outbox, clock: Callable[[], float]) -> None:
        self._outbox = outbox
        self._clock = clock
        self._begun: deque[_Flush] = deque()

    def begin(self, until: float) -> Future[bool]:
        """Return what to wait for until nothing waits (True), or nothing will be tried before `until` (False)."""
        flush = _Flush(until, Future())
        self._begun.append(flush)
        return flush.drained

    @property
    def is_waited_for(self) -> bool:
        """Whether anybody waits."""
        return any(not flush.drained.cancelled() for flush in list(self._begun))

    def end(self, next_attempts: Iterable[Callable[[float], float | None]]) -> None:
        """End what can be ended.

        Args:
            next_attempts: give, for each destination, before when nothing that waits is tried; None if nothing waits.
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
