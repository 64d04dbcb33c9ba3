"""The event and its IDs."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from passerby.events.event import NO_CONTEXT, Event, new_event_id
from passerby.values.browser_id import BrowserIdFormat, is_uuid


@given(st.integers(0, 253_402_300_799 * 10**9))
def test_an_event_id_is_a_uuid_of_version_7_with_its_time(now: int) -> None:
    made = UUID(new_event_id(lambda: now))
    assert (made.version, made.variant) == (7, "specified in RFC 4122")
    assert made.int >> 80 == now // 10**6
    assert str(made) == new_event_id(lambda: now)[:19] + str(made)[19:]


def test_event_ids_follow_time_within_a_millisecond() -> None:
    base = 1_767_225_600 * 10**9
    made = [new_event_id(lambda at=base + step * 250: at) for step in range(4000)]  # type: ignore[misc]
    assert [one[:18] for one in made] == sorted(one[:18] for one in made)
    assert len({one[:18] for one in made}) > 3900


def test_event_ids_are_of_now_and_never_twice() -> None:
    made = {new_event_id() for _ in range(10_000)}
    assert len(made) == 10_000
    assert abs(time.time() - (UUID(made.pop()).int >> 80) / 1000) < 60


def test_a_browser_id_says_nothing_of_its_time() -> None:
    for form in (BrowserIdFormat(), BrowserIdFormat("anon_")):
        made = form.generate()
        assert UUID(made.removeprefix(form.prefix)).version == 4
        assert form.matches(made)
        assert len(made) == form.length
    assert not BrowserIdFormat().matches(made)
    assert not BrowserIdFormat("anon_").matches(made.removeprefix("anon_"))


@pytest.mark.parametrize("text", ["7B0D5B0E-1F5C-4F8E-9A52-2F1D1C7A9D10", "00000000-0000-0000-0000-000000000000"])
def test_a_uuid(text: str) -> None:
    assert is_uuid(text)


@pytest.mark.parametrize(
    "value",
    [
        None,
        5,
        "",
        "7b0d5b0e1f5c4f8e9a522f1d1c7a9d10",
        "7b0d5b0e-1f5c-4f8e-9a52-2f1d1c7a9d1g",
        "7b0d5b0e-1f5c-4f8e-9a52-2f1d1c7a9d10\n",
        " 7b0d5b0e-1f5c-4f8e-9a52-2f1d1c7a9d10",
        "{7b0d5b0e-1f5c-4f8e-9a52-2f1d1c7a9d1}",
        "\u0667b0d5b0e-1f5c-4f8e-9a52-2f1d1c7a9d10",
        UUID(int=1),
    ],
)
def test_no_uuid(value: Any) -> None:
    assert not is_uuid(value)


def test_an_event_knows_its_time_and_cannot_be_changed() -> None:
    event = Event("id", "event", "ADD", 1_767_225_600.5, None, "visit:1", None, {}, {})
    assert event.timestamp == datetime(2026, 1, 1, 0, 0, 0, 500_000, UTC)
    assert event.timestamp_text == "2026-01-01T00:00:00.500Z"
    assert event.context is NO_CONTEXT
    with pytest.raises(AttributeError):
        event.type = "REMOVE"  # type: ignore[misc]
