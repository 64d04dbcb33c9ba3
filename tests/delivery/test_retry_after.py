from __future__ import annotations

from datetime import UTC, datetime
from email.utils import format_datetime

import hypothesis.strategies as st
import pytest
from hypothesis import example, given

from passerby.destinations.responses import MAX_RETRY_AFTER, read_retry_after

NOW = 1_750_000_000.0
DATES = r"[A-Z][a-z]{2}, \d{1,3} [A-Z][a-z]{2} \d{1,6} \d+:\d+:\d+ [A-Z+-]?\d{0,5}"


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("", None),
        ("0", 0.0),
        ("120", 120.0),
        (" 7 ", 7.0),
        ("3600", 3600.0),
        ("999999", MAX_RETRY_AFTER),
        ("9" * 64, MAX_RETRY_AFTER),
        ("9" * 65, None),
        ("-1", None),
        ("1.5", None),
        ("1e3", None),
        ("\u0663", None),
        ("soon", None),
        (format_datetime(datetime.fromtimestamp(NOW + 90, UTC), usegmt=True), 90.0),
        (format_datetime(datetime.fromtimestamp(NOW + 90, UTC)), 90.0),
        (format_datetime(datetime.fromtimestamp(NOW + 1e6, UTC), usegmt=True), MAX_RETRY_AFTER),
        (format_datetime(datetime.fromtimestamp(NOW - 90, UTC), usegmt=True), None),
        ("Fri, 31 Dec 9999 23:59:59 GMT", MAX_RETRY_AFTER),
        ("Mon, 01 Jan 0001 00:00:00 GMT", None),
        ("Wed, 32 Oct 2026 07:28:00 GMT", None),
        ("Wed, 21 Oct 2026 07:28:00 +9999", None),
    ],
)
def test_what_a_retry_after_says(value: str | None, seconds: float | None) -> None:
    assert read_retry_after(value, NOW) == seconds


@given(st.text(max_size=80) | st.from_regex(DATES))
@example("Mon, 01 Jan 99999 00:00:00 GMT")
def test_whatever_it_says_it_is_a_bounded_number_or_nothing(value: str) -> None:
    seconds = read_retry_after(value, NOW)
    assert seconds is None or 0 <= seconds <= MAX_RETRY_AFTER


@pytest.mark.parametrize("zone", ["+99999999999999999", "-2300", "+9999999999999999999999"])
def test_a_date_that_no_calendar_has_says_nothing_or_an_hour(zone: str) -> None:
    assert read_retry_after(f"Mon, 01 Jan 99999 00:00:00 {zone}", NOW) is None
    assert read_retry_after(f"Fri, 31 Dec 9999 23:59:59 {zone}", NOW) in (None, MAX_RETRY_AFTER)
