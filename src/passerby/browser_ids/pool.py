"""The pool of browser IDs: filled in the background, so that new visitors need not wait for the service.

It is small, because an ID that is never used is a phantom guest in the customer's system: enough for about one second
of new visitors, and at least two.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass

from ..values.browser_id import IssuedId

SPARE = 2  # IDs kept ready without visitors
MAX_SIZE = 200
WINDOW = 2.0  # seconds over which new visitors are counted
AHEAD = 1.0  # seconds of new visitors kept ready


@dataclass(frozen=True, slots=True)
class BrowserIdCounts:
    """The counts of the pool: made + claimed = assigned + ready + kept.

    Attributes:
        made: IDs the service has issued to this process.
        assigned: IDs assigned to visitors.
        returned: IDs returned unused.
        ready: IDs available for visitors.
        failed: failed attempts to get an ID.
        claimed: unused IDs from the store, of other processes or of this one before a restart.
        kept: unused IDs given to the store when this process closed.
    """

    made: int
    assigned: int
    returned: int
    ready: int
    failed: int
    claimed: int = 0
    kept: int = 0


class BrowserIdPool:
    """Keeps IDs ready, and decides how many.

    `take`, `put_back` and `wait` may be called from any thread, the methods that fill the pool from one thread only.

    Args:
        on_demand: called when the pool needs to be filled.
        spare: the number of IDs kept ready without visitors; 0 fetches none in advance.
        clock: a monotonic clock, in seconds.
    """

    def __init__(
        self, on_demand: Callable[[], None], spare: int = SPARE, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._on_demand = on_demand
        self._spare = spare
        self._clock = clock
        self.reset_after_fork()

    def reset_after_fork(self) -> None:
        """Empty the pool: in a forked child the ready IDs belong to the parent."""
        self._ready: deque[IssuedId] = deque()
        self._waiters: deque[Future[IssuedId | None]] = deque()
        self._taken: deque[float] = deque(maxlen=MAX_SIZE * 4)
        self._low = self._spare  # refill when only this many are ready
        self._in_flight = 0
        self._made = self._assigned = self._returned = self._failed = self._claimed = self._kept = 0

    def take(self) -> IssuedId | None:
        """Take an ID, or return None if none is ready. Never waits."""
        try:
            issued = self._ready.popleft()
        except IndexError:
            issued = None
        else:
            self._count()
        if len(self._ready) <= self._low:
            self._on_demand()
        return issued

    def wait(self) -> Future[IssuedId | None]:
        """Return a future for the next ID. Its result is None if none could be fetched."""
        waiter: Future[IssuedId | None] = Future()
        self._waiters.append(waiter)
        with suppress(IndexError):  # one may have been returned meanwhile
            self._hand_out(self._ready.popleft())
        self._on_demand()
        return waiter

    def put_back(self, issued: IssuedId) -> None:
        """Return an ID that was not used."""
        self._assigned -= 1
        self._returned += 1
        with suppress(IndexError):  # its visitor does not count for the size of the pool
            self._taken.pop()
        self._hand_out(issued)

    @property
    def counts(self) -> BrowserIdCounts:
        """The counts at this moment."""
        return BrowserIdCounts(
            self._made, self._assigned, self._returned, len(self._ready), self._failed, self._claimed, self._kept
        )

    def missing(self) -> int:
        """Return how many IDs to fetch now, in addition to those in flight."""
        waiting = sum(1 for waiter in list(self._waiters) if not waiter.done())
        return max(0, self._target() + waiting - len(self._ready) - self._in_flight)

    def expect(self, number: int = 1) -> None:
        """Note that IDs are being fetched."""
        self._in_flight += number

    def add(self, issued: IssuedId) -> None:
        """Add a fetched ID."""
        self._in_flight -= 1
        self._made += 1
        self._hand_out(issued)

    def claim(self, claimed: Sequence[IssuedId], asked: int) -> None:
        """Add claimed IDs. `asked` were expected; the others have to be fetched."""
        self._in_flight -= asked
        self._claimed += len(claimed)
        for issued in claimed:
            self._hand_out(issued)

    def drain(self) -> list[IssuedId]:
        """Remove and return all ready IDs, so that other processes can use them."""
        drained: list[IssuedId] = []
        with suppress(IndexError):
            while True:
                drained.append(self._ready.popleft())
                self._kept += 1
        return drained

    def count_direct(self) -> None:
        """Count an ID that was fetched for waiting events and is assigned already."""
        self._in_flight -= 1
        self._made += 1
        self._assigned += 1

    def fail(self) -> None:
        """Note that an ID could not be fetched. All waiters continue without one."""
        self._in_flight -= 1
        self._failed += 1
        while self._waiters:
            waiter = self._waiters.popleft()
            if waiter.set_running_or_notify_cancel():
                waiter.set_result(None)

    def _target(self) -> int:
        if not self._spare:
            return 0
        now = self._clock()
        recent = sum(1 for moment in list(self._taken) if now - moment <= WINDOW)
        target = min(MAX_SIZE, max(self._spare, math.ceil(recent / WINDOW * AHEAD)))
        self._low = target // 2
        return target

    def _count(self) -> None:
        """Count a visitor who got an ID. Visitors without one are not counted, since each of their calls would be."""
        self._assigned += 1
        self._taken.append(self._clock())

    def _hand_out(self, issued: IssuedId) -> None:
        while self._waiters:
            waiter = self._waiters.popleft()
            if waiter.set_running_or_notify_cancel():
                self._count()
                waiter.set_result(issued)
                return
        self._ready.append(issued)
