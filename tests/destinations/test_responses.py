"""What HTTP answers mean to every destination alike."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from passerby.destinations import DestinationResponse, Rejected, Retry
from passerby.destinations.responses import MAX_RETRY_AFTER, as_object, classify_status, read_json, read_retry_after

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize("status", range(100, 600))
def test_every_status(status: int) -> None:
    verdict = classify_status(DestinationResponse(status, {}, b""))
    if 200 <= status < 300:
        assert verdict is None
    elif status in (408, 425, 429) or status >= 500:
        assert verdict == Retry(f"status {status}")
    else:
        assert verdict == Rejected(f"status {status}")


def test_the_wish_to_be_left_alone_is_heard() -> None:
    assert classify_status(DestinationResponse(503, {"retry-after": "7"}, b"")) == Retry("status 503", 7.0)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("", None),
        ("0", 0.0),
        ("120", 120.0),
        (" 5 ", 5.0),
        ("999999", MAX_RETRY_AFTER),
        ("9" * 63, MAX_RETRY_AFTER),
        ("9" * 65, None),
        ("-5", None),
        ("1.5", None),
        ("٣", None),
        ("soon", None),
        (format_datetime(datetime(2026, 1, 1, 0, 0, 30, tzinfo=UTC), usegmt=True), 30.0),
        ("Thu, 01 Jan 2026 00:00:30 -0000", 30.0),
        (format_datetime(datetime(2027, 1, 1, tzinfo=UTC), usegmt=True), MAX_RETRY_AFTER),
        (format_datetime(datetime(2025, 1, 1, tzinfo=UTC), usegmt=True), None),
        ("Thu, 99 Jan 2026 00:00:30 GMT", None),
    ],
)
def test_retry_after(value: str | None, seconds: float | None) -> None:
    assert read_retry_after(value, NOW.timestamp()) == seconds


def test_retry_after_without_a_given_time() -> None:
    assert read_retry_after("Thu, 01 Jan 1970 00:00:30 GMT") is None


@given(st.text(max_size=70))
def test_no_retry_after_is_too_strange(value: str) -> None:
    seconds = read_retry_after(value)
    assert seconds is None or 0 <= seconds <= MAX_RETRY_AFTER


@pytest.mark.parametrize(
    ("body", "value"), [(b'{"a":1}', {"a": 1}), (b"", None), (b"\xff", None), (b"[" * 100_000, None)]
)
def test_reading_json(body: bytes, value: object) -> None:
    assert read_json(DestinationResponse(200, {}, body)) == value


@pytest.mark.parametrize(("value", "made"), [({"a": 1}, {"a": 1}), ([1], {}), (None, {}), ("x", {})])
def test_objects(value: object, made: dict[str, object]) -> None:
    assert as_object(value) == made
