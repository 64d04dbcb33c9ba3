"""The clocks: one says what time it is, the other must never go back."""

from __future__ import annotations

import time
from datetime import UTC, datetime

from . import Finding

EARLIEST, LATEST = 2024, 2100  # years
LEEWAY = 60.0  # seconds


def check_clock(now: float, newest: float | None, monotonic: tuple[float, float]) -> Finding:
    """Whether the clocks can be believed.

    Args:
        now: seconds since 1970.
        newest: when the newest event on disk was told, if there is one.
        monotonic: two readings of the clock that never goes back, some time apart.
    """
    year = _year(now)
    if not EARLIEST <= year <= LATEST:
        return Finding("clock", "problem", f"it says the year {year}; events would carry that", "set it, or start NTP")
    if monotonic[1] <= monotonic[0]:
        return Finding(
            "clock", "problem", "the monotonic clock stands still; nothing is ever tried again", "restart the machine"
        )
    if newest is not None and newest > now + LEEWAY:
        return Finding(
            "clock",
            "warning",
            f"events on disk are {newest - now:,.0f} s ahead of it, so it was set back, or was wrong when they were "
            "told; times in reports will be too",
            "start NTP",
        )
    return Finding("clock", "ok", f"{datetime.fromtimestamp(now, UTC):%Y-%m-%d %H:%M:%S} UTC")


def read_monotonic() -> tuple[float, float]:
    """Read the clock that never goes back twice, with some time between."""
    before = time.monotonic()
    time.sleep(0.02)
    return before, time.monotonic()


def _year(now: float) -> int:
    try:
        return datetime.fromtimestamp(now, UTC).year
    except (ValueError, OverflowError, OSError):
        return 0
