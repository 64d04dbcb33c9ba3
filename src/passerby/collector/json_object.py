"""JSON as it comes from outside: an object, or a reason why not."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, NoReturn, TypeAlias, cast

JSONObject: TypeAlias = dict[str, Any]


def parse_object(text: str | bytes) -> JSONObject:
    """Read a JSON object in UTF-8; raise ValueError for anything else."""
    try:
        value = json.loads(text.decode() if isinstance(text, bytes) else text, parse_constant=_refuse_constant)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if not isinstance(value, dict):
        raise ValueError("it is not a JSON object")
    return cast(JSONObject, value)


def as_object(value: object) -> JSONObject:
    """A parsed value if it is an object, else an empty one."""
    return cast(JSONObject, value) if isinstance(value, dict) else {}


def as_list(value: object) -> list[Any]:
    """A parsed value if it is a list, else an empty one."""
    return [*cast("Iterable[Any]", value)] if isinstance(value, list) else []


def _refuse_constant(name: str) -> NoReturn:
    # Python reads NaN and the infinities, which JSON does not have.
    raise ValueError(f"{name} is not JSON")
