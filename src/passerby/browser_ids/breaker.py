"""The circuit breaker of the service that issues browser IDs: it stops requests while the service does not respond."""

from __future__ import annotations

from collections.abc import Callable
from logging import Logger
from math import inf

from ..logs import get_logger
from ..outbox.contract import ServiceReport
from ..outbox.service import FAILURES, ServiceState

log: Logger = get_logger("passerby.delivery")

_PROBE = 60.0  # seconds; a probe ends before


class IssuerBreaker:
    """The breaker of one process. Used by one thread; `is_open` and `next_attempt_at` may be read by any.

    Args:
        name: the service's name, for the log.
        pause: seconds for which it opens the first time; doubled each time, with jitter, up to 30.
        clock: a monotonic clock, in seconds.
    """

    def __init__(self, name: str, pause: float, clock: Callable[[], float]) -> None:
        self._name = name
        self._pause = pause
        self._clock = clock
        self._service = ServiceState(hurry_until=inf)  # a few IDs need no ramp-up

    @property
    def is_open(self) -> bool:
        """Whether requests are held back."""
        return self._service.is_open

    @property
    def next_attempt_at(self) -> float:
        """The time before which no request may be sent."""
        return self._service.not_before

    def slots(self, wanted: int) -> int:
        """Return how many of the wanted requests may be sent now."""
        return self._service.allowed(wanted, self._clock())

    def begin(self) -> None:
        """Note that a request is being sent."""
        self._service.claimed(1, _PROBE, self._clock())

    def on_success(self) -> None:
        """Note a response."""
        if self.is_open:
            log.info("%s responds again; delivery continues", self._name)
        self._report(ServiceReport(self._name, "success"))

    def on_abandoned(self) -> None:
        """Note that a request ended without information about the service."""
        self._report(ServiceReport(self._name, "abandoned"))

    def on_failure(self, reason: str, after: float | None = None) -> None:
        """Note a temporary failure; `after` is the pause in seconds that the service asked for, if any."""
        was_open = self.is_open
        self._report(ServiceReport(self._name, "failure", after, self._pause))
        if self.is_open and not was_open:
            log.warning(
                "%s: %d consecutive failures (%s); delivery pauses and will retry", self._name, FAILURES, reason
            )

    def _report(self, report: ServiceReport) -> None:
        self._service.report(report, self._clock(), 0)
