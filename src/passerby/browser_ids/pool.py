"""The pool of browser IDs: kept filled in the background, so that a new visitor need not wait for the service.

Small, since an ID that is made and never used is a phantom guest in the customer's system: about one second of new
visitors, and two at least.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass

SPARE = 2  # IDs kept ready when nobody comes
LARGEST = 200
WINDOW = 2.0  # seconds over which new visitors are counted
AHEAD = 1.0  # seconds of new visitors kept ready


@dataclass(frozen=True, slots=True)
class BrowserIdCounts:
    """The counts of the pool: made + claimed = assigned + ready + kept.

    Attributes:
        made: IDs the service has made for this process.
        assigned: IDs given to visitors.
        returned: IDs that came back unused.
        ready: IDs that wait for a visitor.
        failed: tries to get one that failed.
        claimed: IDs that other processes, or this one before a restart, had left unused.
        kept: IDs left unused for others, when this process closed.
    """

    made: int
    assigned: int
    returned: int
    ready: int
    failed: int
    claimed: int = 0
    kept: int = 0


class BrowserIdPool:
    """Holds IDs ready and knows how many to have.

    `take`, `give_back` and `wait` may be called from any thread; what brings IDs (`missing`, `begin`, `bring`, `fail`)
    belongs to one.

    Args:
        on_demand: called when an ID was taken, so that whoever fills the pool looks after it.
        spare: how many IDs are kept ready when nobody comes; 0 makes none ahead, however many come.
        clock: seconds on a clock that never goes back.
    """

    def __init__(
        self, on_demand: Callable[[], None], spare: int = SPARE, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._on_demand = on_demand
        self._spare = spare
        self._clock = clock
        self.begin_afresh()

    def begin_afresh(self) -> None:
        """Start empty: in a forked child the IDs that were ready are the parent's."""
        self._ready: deque[str] = deque()
        self._waiters: deque[Future[str | None]] = deque()
        self._taken: deque[float] = deque(maxlen=LARGEST * 4)
        self._low = self._spare  # at how many that are ready more are wanted
        self._coming = 0
        self._made = self._assigned = self._returned = self._failed = self._claimed = self._kept = 0

    def take(self) -> str | None:
        """Take an ID if one is ready; never waits."""
        try:
            browser_id = self._ready.popleft()
        except IndexError:
            browser_id = None
        else:
            self._count()
        if len(self._ready) <= self._low:
            self._on_demand()
        return browser_id

    def wait(self) -> Future[str | None]:
        """Get in line for the next ID; the future's value is None if none could be had."""
        waiter: Future[str | None] = Future()
        self._waiters.append(waiter)
        with suppress(IndexError):  # one may have come back meanwhile
            self._hand_out(self._ready.popleft())
        self._on_demand()
        return waiter

    def give_back(self, browser_id: str) -> None:
        """Put back an ID on which nothing depends."""
        self._assigned -= 1
        self._returned += 1
        with suppress(IndexError):  # nobody has come after all for whom more would have to be ready
            self._taken.pop()
        self._hand_out(browser_id)

    @property
    def counts(self) -> BrowserIdCounts:
        """The counts at this moment."""
        return BrowserIdCounts(
            self._made, self._assigned, self._returned, len(self._ready), self._failed, self._claimed, self._kept
        )

    def missing(self) -> int:
        """Return how many IDs should be made now, beside those that are coming."""
        waiting = sum(1 for waiter in list(self._waiters) if not waiter.done())
        return max(0, self._target() + waiting - len(self._ready) - self._coming)

    def begin(self, number: int = 1) -> None:
        """So many IDs are being made."""
        self._coming += number

    def bring(self, browser_id: str) -> None:
        """An ID was made."""
        self._coming -= 1
        self._made += 1
        self._hand_out(browser_id)

    def claim(self, browser_ids: Sequence[str], asked: int) -> None:
        """Of those asked for, and begun, some were to be had unused; the others have to be made."""
        self._coming -= asked
        self._claimed += len(browser_ids)
        for browser_id in browser_ids:
            self._hand_out(browser_id)

    def drain(self) -> list[str]:
        """Let go of all that are ready, so that others can have them."""
        drained: list[str] = []
        with suppress(IndexError):
            while True:
                drained.append(self._ready.popleft())
                self._kept += 1
        return drained

    def bring_for_sending(self) -> None:
        """An ID was made for events that wait to be sent, and is already given."""
        self._coming -= 1
        self._made += 1
        self._assigned += 1

    def fail(self) -> None:
        """An ID could not be made: whoever waits goes on without."""
        self._coming -= 1
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
        target = min(LARGEST, max(self._spare, math.ceil(recent / WINDOW * AHEAD)))
        self._low = target // 2
        return target

    def _count(self) -> None:
        """Another visitor has got an ID; those who go without are not counted, as they would be at every call."""
        self._assigned += 1
        self._taken.append(self._clock())

    def _hand_out(self, browser_id: str) -> None:
        while self._waiters:
            waiter = self._waiters.popleft()
            if waiter.set_running_or_notify_cancel():
                self._count()
                waiter.set_result(browser_id)
                return
        self._ready.append(browser_id)
