"""The checks of the clocks."""

from __future__ import annotations

import time
from datetime import UTC, datetime

from . import Finding

EARLIEST, LATEST = 2024, 2100  # years
LEEWAY = 60.0  # seconds


def check_clock(now: float, newest: float | None, monotonic: tuple[float, float]) -> Finding:
    """Check the system clock and the monotonic clock.

    Args:
        now: seconds since 1970.
        newest: the time of the newest event on disk, if there is one.
        monotonic: two readings of the monotonic clock, some time apart.
    """
    year = _year(now)
    if not EARLIEST <= year <= LATEST:
        return Finding(
            "clock",
            "problem",
            f"the clock shows the year {year}; events would have this time",
            "set the clock, or start NTP",
        )
    if monotonic[1] <= monotonic[0]:
        return Finding(
            "clock",
            "problem",
            "the monotonic clock does not advance; failed deliveries are never retried",
            "restart the machine",
        )
    if newest is not None and newest > now + LEEWAY:
        return Finding(
            "clock",
            "warning",
            f"events on disk are {newest - now:,.0f} s ahead of the clock: it was set back, or was wrong when they "
            "were recorded; times in reports are wrong too",
            "start NTP",
        )
    return Finding("clock", "ok", f"{datetime.fromtimestamp(now, UTC):%Y-%m-%d %H:%M:%S} UTC")


def read_monotonic() -> tuple[float, float]:
    """Read the monotonic clock twice, with some time between."""
    before = time.monotonic()
    time.sleep(0.02)
    return before, time.monotonic()


def _year(now: float) -> int:
    try:
        return datetime.fromtimestamp(now, UTC).year
    except (ValueError, OverflowError, OSError):
        return 0
