"""The markers of the vectors file for values that JSON does not have."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Callable, Mapping
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID


class Plan(Enum):
    """What stands for an enum of the app."""

    PRO = "pro"


def _repeat(marker: Mapping[str, Any]) -> str:
    return str(marker["text"] * marker["times"])


_KINDS: dict[str, Callable[[Mapping[str, Any]], Any]] = {
    "datetime": lambda marker: datetime.fromisoformat(marker["value"]),
    "Date": lambda marker: datetime.fromisoformat(marker["value"]),
    "date": lambda marker: date.fromisoformat(marker["value"]),
    "decimal": lambda marker: Decimal(marker["value"]),
    "uuid": lambda marker: UUID(marker["value"]),
    "tuple": lambda marker: tuple(map(decode, marker["items"])),
    "set": lambda marker: set(map(decode, marker["items"])),
    "enum": lambda marker: Plan[marker["value"]],
    "bytes": lambda marker: b64decode(marker["base64"]),
    "nan": lambda marker: float("nan"),
    "infinity": lambda marker: float("inf"),
    "object": lambda marker: object(),
    "repeat": _repeat,
}


def decode(value: Any) -> Any:
    """Return a value with its markers made into what they stand for."""
    if isinstance(value, list):
        return [decode(item) for item in value]
    if not isinstance(value, dict):
        return value
    kind = value.get("$py", value.get("$js"))
    if kind is not None:
        return _KINDS[kind](value)
    return {name: decode(item) for name, item in value.items()}


def unfold(body: Any) -> Any:
    """Return a recorded body with its long texts written out."""
    if isinstance(body, list):
        return [unfold(item) for item in body]
    if not isinstance(body, dict):
        return body
    if "$py" in body:
        return decode(body)
    if "$repeat" in body:
        character, count = body["$repeat"]
        return character * count
    return {name: unfold(item) for name, item in body.items()}
