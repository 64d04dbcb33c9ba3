"""Ramp-up after an outage: for one minute a destination gets at most twice the usual rate of events.

After that, delivery is limited only by the speed of the service.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from math import inf

DURATION = 60.0  # seconds
FACTOR = 1.8  # of the usual rate: above 1, so that the backlog shrinks, and below 2
MIN_RATE = 1.0  # events a second, if the usual rate is lower
_REMEMBERED = 600.0  # seconds over which the usual rate is measured
_EVERY = 10.0  # seconds between two samples


class RampUp:
    """Limits the number of events that may be sent now.

    Args:
        count: returns the number of events recorded so far.
    """

    def __init__(self, count: Callable[[], int]) -> None:
        self._count = count
        self._counts: deque[tuple[float, int]] = deque()
        self._until = -inf
        self._rate = MIN_RATE
        self._room = 1.0
        self._refilled = -inf

    def sample(self, now: float) -> None:
        """Sample the number of recorded events, at most every ten seconds."""
        if self._counts and now < self._counts[-1][0] + _EVERY:
            return
        self._counts.append((now, self._count()))
        while self._counts[0][0] < now - _REMEMBERED:
            self._counts.popleft()

    def start(self, now: float) -> None:
        """Start when the service responds again."""
        self._rate = max(MIN_RATE, FACTOR * self._usual_rate(now))
        self._room = 1.0
        self._refilled = now
        self._until = now + DURATION

    def stop(self) -> None:
        """Stop, because a flush waits until all events are sent."""
        self._until = -inf

    def is_over(self, now: float) -> bool:
        """Return whether the rate is not limited any more."""
        return now >= self._until

    def room(self, now: float) -> int | None:
        """Return how many events may be sent now, or None for no limit."""
        if self.is_over(now):
            return None
        # Unused allowance is kept, but at most that of one second.
        self._room = min(self._room + (now - self._refilled) * self._rate, 1.0 + self._rate)
        self._refilled = now
        return int(self._room)

    def spend(self, number: int) -> None:
        """Note that events are sent."""
        self._room -= number

    def due(self, now: float) -> float | None:
        """Return when one more event may be sent, or None for no limit."""
        return None if self.is_over(now) else now + max(0.0, 1.0 - self._room) / self._rate

    def _usual_rate(self, now: float) -> float:
        """Return the events recorded per second over the last minutes."""
        if not self._counts:
            return 0.0
        since, count = self._counts[0]
        return (self._count() - count) / max(1.0, now - since)
