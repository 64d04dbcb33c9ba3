"""Recovery: a service that has just come back is not overrun by all that has waited for it.

For a minute it gets no more than twice what comes usually; then the rest as fast as it takes it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from math import inf

LASTING = 60.0  # seconds
TIMES = 1.8  # what usually comes: more, so that the backlog shrinks, and not twice as much
LEAST = 1.0  # a second, where next to nothing comes
_REMEMBERED = 600.0  # seconds over which what usually comes is counted
_EVERY = 10.0  # seconds between two counts


class Recovery:
    """Says how many events may be sent now.

    Args:
        count: how many events have come so far.
    """

    def __init__(self, count: Callable[[], int]) -> None:
        self._count = count
        self._counts: deque[tuple[float, int]] = deque()
        self._until = -inf
        self._rate = LEAST
        self._room = 1.0
        self._refilled = -inf

    def look(self, now: float) -> None:
        """Note from time to time how many have come."""
        if self._counts and now < self._counts[-1][0] + _EVERY:
            return
        self._counts.append((now, self._count()))
        while self._counts[0][0] < now - _REMEMBERED:
            self._counts.popleft()

    def begin(self, now: float) -> None:
        """The service answers again."""
        self._rate = max(LEAST, TIMES * self._usual(now))
        self._room = 1.0
        self._refilled = now
        self._until = now + LASTING

    def end(self) -> None:
        """Somebody waits for all to be sent."""
        self._until = -inf

    def is_over(self, now: float) -> bool:
        """Whether there is nothing to be spared."""
        return now >= self._until

    def room(self, now: float) -> int | None:
        """Return how many may be sent now; None if that does not matter."""
        if self.is_over(now):
            return None
        # What is not sent at once may be sent later, but no more than a second's worth at a time.
        self._room = min(self._room + (now - self._refilled) * self._rate, 1.0 + self._rate)
        self._refilled = now
        return int(self._room)

    def take(self, number: int) -> None:
        """So many are sent."""
        self._room -= number

    def due(self, now: float) -> float | None:
        """Return when one more may be sent; None if that does not matter."""
        return None if self.is_over(now) else now + max(0.0, 1.0 - self._room) / self._rate

    def _usual(self, now: float) -> float:
        """How many came a second, over the last minutes."""
        if not self._counts:
            return 0.0
        since, count = self._counts[0]
        return (self._count() - count) / max(1.0, now - since)
