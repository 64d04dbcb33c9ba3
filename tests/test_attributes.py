"""What apps hand over becomes plain values, or is refused in words without its values."""

from __future__ import annotations

import math
import time
from collections import OrderedDict, UserString
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, date, datetime, timedelta, timezone
from datetime import time as time_of_day
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from fractions import Fraction
from types import MappingProxyType
from typing import Any
from unittest.mock import Mock
from uuid import UUID

import pytest
from django.utils.functional import SimpleLazyObject, lazystr
from hypothesis import given
from hypothesis import strategies as st
from werkzeug.local import LocalProxy

from passerby import ValidationError
from passerby.events.attributes import (
    MAX_ATTRIBUTES,
    MAX_DEPTH,
    MAX_SIZE,
    check_attribute_count,
    flatten,
    iso_utc,
    plain,
)
from passerby.values.json import dumps

MARKER = "a-value-that-nobody-may-see"


class Colour(Enum):
    RED = "red"


class Size(IntEnum):
    LARGE = 3


class Word(StrEnum):
    YES = "yes"


class Loud(str):
    __slots__ = ()


class Account(Mapping[str, Any]):
    def __getitem__(self, key: str) -> Any:
        return {"plan": "pro"}[key]

    def __iter__(self) -> Iterator[str]:
        return iter(["plan"])

    def __len__(self) -> int:
        return 1


def refusal(data: Any, **options: Any) -> str:
    with pytest.raises(ValidationError) as caught:
        plain(data, "extension data", **options)
    assert MARKER not in str(caught.value)
    assert str(caught.value).startswith("extension data: ")
    return str(caught.value)


@pytest.mark.parametrize(
    ("given", "becomes"),
    [
        (datetime(2026, 2, 3, 4, 5, 6, 789_999, UTC), "2026-02-03T04:05:06.789Z"),
        (datetime(2026, 2, 3, 4, 5, 6), "2026-02-03T04:05:06.000Z"),  # noqa: DTZ001
        (datetime(2026, 2, 3, 1, tzinfo=timezone(timedelta(hours=2))), "2026-02-02T23:00:00.000Z"),
        (datetime(33, 4, 3, tzinfo=UTC), "0033-04-03T00:00:00.000Z"),
        (date(2026, 2, 3), "2026-02-03"),
        (time_of_day(4, 5), "04:05:00"),
        (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (Decimal("12"), 12),
        (Decimal("12.50"), 12.5),
        (Decimal("1E+2"), 100.0),
        (Decimal("NaN"), None),
        (Decimal("Infinity"), None),
        (Fraction(1, 2), 0.5),
        (Colour.RED, "red"),
        (Size.LARGE, 3),
        (Word.YES, "yes"),
        (Loud("text"), "text"),
        (math.nan, None),
        (math.inf, None),
        (-math.inf, None),
        (True, True),
        (None, None),
        (2**63 - 1, 2**63 - 1),
        ((1, None, True, "a"), [1, None, True, "a"]),
        ({7}, [7]),
        (frozenset({7}), [7]),
        (OrderedDict(a=1), {"a": 1}),
        (MappingProxyType({"a": [{"b": Colour.RED}]}), {"a": [{"b": "red"}]}),
        (Account(), {"plan": "pro"}),
        ("\ud83d\ude00", "\U0001f600"),
        ("half \ud83d", "half \ufffd"),
        ("\ude00 half", "\ufffd half"),
        ("ümläut", "ümläut"),
    ],
)
def test_values_take_their_standard_json_form(given: Any, becomes: Any) -> None:
    copy = plain({"key": given, "list": [given]}, "extension data")
    assert copy == {"key": becomes, "list": [becomes]}
    assert type(copy["key"]) is type(becomes)
    dumps(copy)


@pytest.mark.parametrize(
    "value",
    ["text", Loud("loud"), "", True, 3, 1.5, None, {"a": [1.5]}, [2, "x"], Decimal("2.5"), Word.YES, UUID(int=7)],
    ids=repr,
)
@pytest.mark.parametrize("proxy", [SimpleLazyObject, LocalProxy], ids=["Django", "Werkzeug"])
def test_a_proxy_is_what_it_stands_for(proxy: Callable[[Callable[[], Any]], Any], value: Any) -> None:
    given = {"data": proxy(lambda: value), "more": [proxy(lambda: value)]}
    copy = plain(given, "extension data")
    assert copy == plain({"data": value, "more": [value]}, "extension data")
    assert [type(copy["data"]), type(copy["more"][0])] == [type(plain({"data": value}, "x")["data"])] * 2
    assert plain({proxy(lambda: "name"): 1, proxy(lambda: 7): 2}, "extension data") == {"name": 1, "7": 2}


def test_a_lazy_translation_is_its_text() -> None:
    given = {"title": lazystr("Sch\u00f6n"), lazystr("name"): [UserString("a")], UserString("key"): lazystr("\ud800")}
    assert plain(given, "extension data") == {"title": "Sch\u00f6n", "name": ["a"], "key": "\ufffd"}
    assert set(map(type, plain(given, "extension data"))) == {str}
    assert "larger than" in refusal({"title": lazystr("x" * (MAX_SIZE + 1))})


def test_what_only_seems_to_do_what_text_does_is_refused() -> None:
    assert "found a value of type Mock" in refusal({"title": Mock()})
    assert "found a key of type Mock" in refusal({Mock(): 1})


@pytest.mark.parametrize(
    ("key", "becomes"),
    [("text", "text"), (7, "7"), (Size.LARGE, "3"), (Word.YES, "yes"), (Colour.RED, "red"), ("\ud83d", "\ufffd")],
)
def test_keys_become_text(key: Any, becomes: str) -> None:
    assert plain({key: 1}, "extension data") == {becomes: 1}


@pytest.mark.parametrize("key", [None, 1.5, True, b"bytes", ("a", "b")])
def test_a_key_that_is_no_text_is_refused(key: Any) -> None:
    assert "found a key of type" in refusal({key: MARKER})


@pytest.mark.parametrize(
    "value", [MARKER.encode(), bytearray(b"x"), object(), 1j, lambda: None, Exception(MARKER), iter([]), range(3)]
)
def test_a_value_without_json_form_is_refused(value: Any) -> None:
    assert "has no JSON form" in refusal({"key": value})
    assert "has no JSON form" in refusal({"key": [{"deeper": value}]})


@pytest.mark.parametrize("data", ["text", ["a"], 5, object(), [("a", 1)], b"{}", True])
def test_what_is_no_mapping_is_refused(data: Any) -> None:
    assert "expected a mapping" in refusal(data)


def test_none_is_an_empty_mapping() -> None:
    assert plain(None, "extension data") == {}


@pytest.mark.parametrize("number", [2**63, -(2**63) - 1, 10**400, Decimal(2**64)])
def test_a_huge_integer_is_refused(number: Any) -> None:
    assert "beyond 64 bits" in refusal({"key": number})


def test_a_huge_integer_as_key_is_refused() -> None:
    assert "beyond 64 bits" in refusal({2**70: 1})


def test_cycles_are_refused() -> None:
    cycle: dict[str, Any] = {"name": MARKER}
    cycle["self"] = cycle
    assert "within itself" in refusal(cycle)
    ring: list[Any] = []
    ring.append({"ring": ring})
    assert "within itself" in refusal({"ring": ring})


def nested(levels: int) -> dict[str, Any]:
    data: dict[str, Any] = {"value": 1}
    for _ in range(levels - 1):
        data = {"inner": data}
    return data


def test_depth_has_a_limit() -> None:
    assert plain(nested(MAX_DEPTH), "extension data") == nested(MAX_DEPTH)
    assert "nested more than 12 levels" in refusal(nested(MAX_DEPTH + 1))
    assert "nested more than 12 levels" in refusal(nested(100_000))


@pytest.mark.once
@pytest.mark.parametrize(
    "data",
    [
        {"key": MARKER * 400_000},
        {MARKER * 400_000: 1},
        {str(number): number for number in range(500_000)},
        {"key": list(range(500_000))},
        {"key": ["x" * 1000] * 10_000},
        {"key": {str(number): {} for number in range(100_000)}},
    ],
    ids=["text", "key", "many keys", "long list", "list of texts", "many dicts"],
)
def test_a_flood_is_refused_early(data: dict[str, Any]) -> None:
    """10 MB are refused for a small part of what copying them costs."""

    def cost(act: Callable[[], object]) -> float:
        started = time.thread_time()  # of this thread alone, whatever else the machine has to do
        act()
        return time.thread_time() - started

    refusing = min(cost(lambda: refusal(data)) for _ in range(5))
    copying = min(cost(lambda: plain(data, "extension data", max_size=10**9)) for _ in range(3))
    assert f"larger than {MAX_SIZE} characters" in refusal(data)
    assert refusing < copying + 0.005


def test_size_may_be_set() -> None:
    assert "larger than 20" in refusal({"key": "x" * 20}, max_size=20)
    assert plain({"key": "x" * 20}, "extension data", max_size=31) == {"key": "x" * 20}


def test_the_copy_is_independent() -> None:
    tags = ["a"]
    data = {"tags": tags, "inner": {"tags": tags}}
    copy = plain(data, "extension data")
    tags.append("b")
    data["inner"] = {}
    assert copy == {"tags": ["a"], "inner": {"tags": ["a"]}}


anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(codec=None, exclude_categories=()))
    | st.binary()
    | st.decimals()
    | st.uuids()
    | st.datetimes()
    | st.datetimes(timezones=st.timezones())
    | st.dates()
    | st.times(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text() | st.integers(), inner, max_size=3),
    max_leaves=15,
)


@given(st.dictionaries(st.text(st.characters(codec=None, exclude_categories=())), anything, max_size=4))
def test_anything_is_plain_or_refused(data: dict[str, Any]) -> None:
    """Whatever comes, it can be written as JSON afterwards, or a ValidationError says what to do."""
    try:
        copy = plain(data, "data")
    except ValidationError:
        assert refusal(data)
    else:
        dumps(copy)
        assert plain(copy, "data") == copy


@pytest.mark.parametrize(
    ("nested", "flat"),
    [
        ({}, {}),
        ({"a": {"b": {"c": 1}}, "d": 2}, {"a_b_c": 1, "d": 2}),
        ({"a": None, "b": {}, "c": {"d": None}}, {}),
        ({"list": [{"a": None}, {}]}, {"list": [{"a": None}, {}]}),
        ({"a": {"b": 1}, "a_b": 2}, {"a_b": 2}),
        ({"a_b": 2, "a": {"b": 1}}, {"a_b": 1}),
        ({"a": {"": {"b": 1}}}, {"a__b": 1}),
        ({"": {"b": 1}}, {"b": 1}),
        ({"a": {"": 1}}, {"a_": 1}),
        ({"zero": 0, "no": False, "empty": "", "none": []}, {"zero": 0, "no": False, "empty": "", "none": []}),
    ],
)
def test_flattening(nested: dict[str, Any], flat: dict[str, Any]) -> None:
    assert flatten(nested) == flat
    assert list(flatten(nested)) == list(flat)


def test_fifty_attributes_are_taken_and_one_more_is_not() -> None:
    check_attribute_count({str(number): MARKER for number in range(MAX_ATTRIBUTES)})
    with pytest.raises(ValidationError) as caught:
        check_attribute_count({str(number): MARKER for number in range(51)})
    assert str(caught.value) == (
        "[IV-0005] This event supports maximum 50 attributes. Reduce the number of attributes."
    )
    assert caught.value.code == "IV-0005"


@given(st.datetimes(timezones=st.none() | st.just(UTC)))
def test_iso_utc_reads_back(moment: datetime) -> None:
    text = iso_utc(moment)
    assert len(text) == 24
    assert text.endswith("Z")
    back = datetime.fromisoformat(text)
    assert timedelta() <= moment.replace(tzinfo=UTC) - back < timedelta(milliseconds=1)


def test_a_moment_at_the_edge_of_the_calendar_is_refused() -> None:
    """Year 1, some hours east of UTC, is in a year that UTC does not have."""
    moment = datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=5)))
    assert "year" in refusal({"key": moment})
