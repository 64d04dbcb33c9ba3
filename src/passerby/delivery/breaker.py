"""The circuit breaker: stops requests to a service that does not respond, and probes it with one request."""

from __future__ import annotations

from collections.abc import Callable
from logging import Logger
from random import SystemRandom
from typing import Literal

from ..logs import get_logger

log: Logger = get_logger("passerby.delivery")

FAILURES = 5  # consecutive failures until it opens
LONGEST = 30.0  # seconds before a probe, at most
JITTER: Callable[[], float] = SystemRandom().random  # from 0 to 1; an app may have seeded the global generator

BreakerState = Literal["closed", "open", "half-open"]


class Breaker:
    """The circuit breaker of one service. Used by one thread; `is_open` may be read by any.

    Args:
        name: the service's name, for the log.
        shortest: seconds for which it opens the first time; doubled each time, with jitter, up to 30.
        jitter: returns a number from 0 to 1.
    """

    def __init__(self, name: str, shortest: float = 1.0, jitter: Callable[[], float] = JITTER) -> None:
        self._name = name
        self._shortest = shortest
        self._jitter = jitter
        self._failures = 0
        self._openings = 0
        self._is_open = False
        self._not_before = 0.0
        self._probing = False

    @property
    def state(self) -> BreakerState:
        """The state of the breaker."""
        if not self._is_open:
            return "closed"
        return "half-open" if self._probing else "open"

    @property
    def is_open(self) -> bool:
        """Whether requests are held back."""
        return self._is_open

    def slots(self, now: float, wanted: int) -> int:
        """Return how many of the wanted requests may be sent now."""
        if now < self._not_before:
            return 0
        if not self._is_open:
            return wanted
        if self._probing:
            return 0
        return min(1, wanted)

    def begin(self) -> None:
        """Note that a request is being sent."""
        self._probing = self._is_open

    def next_attempt_at(self) -> float:
        """Return the time before which no request may be sent."""
        return self._not_before

    def on_success(self) -> None:
        """Note a response. Even a refusal shows that the service is available."""
        self._failures = self._openings = 0
        self._probing = False
        if self._is_open:
            self._is_open = False
            log.info("%s responds again; delivery continues", self._name)

    def on_abandoned(self) -> None:
        """Note that a request ended without information about the service."""
        self._probing = False

    def on_failure(self, now: float, reason: str, after: float | None = None) -> None:
        """Note a temporary failure; `after` is the pause in seconds that the service asked for, if any."""
        self._failures += 1
        self._probing = False
        if after is not None:
            self._not_before = max(self._not_before, now + after)
        if self._is_open or self._failures >= FAILURES:
            self._open(now, reason)

    def _open(self, now: float, reason: str) -> None:
        if not self._is_open:
            self._is_open = True
            log.warning(
                "%s: %d consecutive failures (%s); delivery pauses and will retry",
                self._name,
                self._failures,
                reason,
            )
        if now >= self._not_before:
            pause = min(LONGEST, self._shortest * 2 ** min(self._openings, 16))
            self._not_before = now + pause * (0.5 + self._jitter() / 2)
            self._openings += 1
