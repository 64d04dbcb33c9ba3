"""Both ways of writing JSON give the same bytes."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from passerby.events.attributes import plain
from passerby.values import json as own_json
from passerby.values.json import dumps, dumps_with_stdlib, loads

scalars = st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | st.text()
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4), max_leaves=20
)


@given(st.dictionaries(st.text(max_size=8), values, max_size=5))
def test_whatever_is_plain_is_the_same_in_both(data: dict[str, Any]) -> None:
    value = plain(data, "data", max_size=10**6)
    assert loads(dumps(value)) == loads(dumps_with_stdlib(value)) == value


@pytest.mark.parametrize(
    "value",
    [
        {"b": 1, "a": [True, None, 'é\u2028"\\\x00\x1f']},
        {"price": 12.5, "large": 2**63 - 1, "small": -(2**63), "zero": 0.0, "none": None},
        {"emoji": "\U0001f600", "rtl": "\u202e", "empty": [], "nothing": {}},
    ],
    ids=["order and escapes", "numbers", "beyond the BMP"],
)
def test_bytes_are_equal(value: dict[str, Any]) -> None:
    assert (
        dumps(value)
        == dumps_with_stdlib(value)
        == json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()
    )


def test_text_is_compact_utf8() -> None:
    assert dumps({"a": [1, "ä"]}) == '{"a":[1,"ä"]}'.encode()


@pytest.mark.parametrize("text", ["", "{", b"\xff", "nonsense", "[1,]"])
def test_what_is_no_json_is_a_value_error(text: str | bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        loads(text)


def test_the_standard_library_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without orjson the module works the same."""
    import importlib
    import sys

    monkeypatch.setitem(sys.modules, "orjson", None)
    monkeypatch.delitem(sys.modules, "passerby.values.json")
    without = importlib.import_module("passerby.values.json")
    assert without is not own_json
    assert without.dumps is without.dumps_with_stdlib
    monkeypatch.setattr("passerby.values.json", own_json)
