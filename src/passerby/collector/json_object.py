"""Parses JSON objects from outside, and writes JSON for the page."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from typing import Any, NoReturn, TypeAlias, cast

JSONObject: TypeAlias = dict[str, Any]

DEEPEST = 100  # levels; more than real events have, and few enough to be serialised again
BRACKETS = bytes.maketrans(b"{}", b"[]")
ALL_ELSE = bytes(set(range(256)) - set(b"{}[]"))


def parse_object(text: str | bytes) -> JSONObject:
    """Parse a JSON object in UTF-8. Raises ValueError for anything else."""
    try:
        value = json.loads(text.decode() if isinstance(text, bytes) else text, parse_constant=_refuse_constant)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if _may_be_deep(text if isinstance(text, bytes) else text.encode(errors="replace")) and _is_deep(value):
        raise ValueError("it is nested too deeply")
    if not isinstance(value, dict):
        raise ValueError("it is not a JSON object")
    return cast(JSONObject, value)


def json_text(value: object) -> str:
    """Write JSON in ASCII and one line; infinities, parsed from numbers such as 1e999, become null."""
    try:
        return json.dumps(value, allow_nan=False, separators=(",", ":"))
    except ValueError:
        return json.dumps(_finite(value), allow_nan=False, separators=(",", ":"))


def as_object(value: object) -> JSONObject:
    """A parsed value if it is an object, else an empty one."""
    return cast(JSONObject, value) if isinstance(value, dict) else {}


def as_list(value: object) -> list[Any]:
    """A parsed value if it is a list, else an empty one."""
    return [*cast("Iterable[Any]", value)] if isinstance(value, list) else []


def _may_be_deep(text: bytes) -> bool:
    """Take the innermost brackets away, again and again: what then is left is deep, or stands in a text."""
    brackets = text.translate(BRACKETS, ALL_ELSE)
    for _ in range(DEEPEST):
        if not brackets:
            return False
        brackets = brackets.replace(b"[]", b"")
    return bool(brackets)


def _is_deep(value: object) -> bool:
    level = [value]
    for _ in range(DEEPEST):
        level = [inner for outer in level for inner in (as_object(outer).values() or as_list(outer))]
    return any(isinstance(one, dict | list) for one in level)


def _finite(value: object) -> object:
    if isinstance(value, dict):
        return {name: _finite(one) for name, one in cast(JSONObject, value).items()}
    if isinstance(value, list | tuple):
        return [_finite(one) for one in cast("Iterable[object]", value)]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _refuse_constant(name: str) -> NoReturn:
    # Python reads NaN and the infinities, which JSON does not have.
    raise ValueError(f"{name} is not JSON")
