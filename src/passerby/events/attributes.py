"""Plain values: converts, checks and flattens the data that an app passes to a tracking call.

A plain value is str, int within 64 bits, finite float, bool, None, list or dict with text keys. Every container is
copied, so that later changes to the app's objects have no effect.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Set
from datetime import UTC, date, datetime, time
from decimal import Decimal
from math import isfinite, nan
from typing import Any, cast

from ..errors import ValidationError
from ..values import json
from ..values.app_values import (
    MISSING,
    bounded,
    bounded_items,
    is_absent,
    is_array,
    is_mapping,
    replace_surrogates,
    unreadable,
    unwrap,
)

MAX_ATTRIBUTES = 50  # Engage SDK: "This event supports maximum 50 attributes"
MAX_DEPTH = 12  # containers inside containers; the data model of an order needs about six
MAX_SIZE = 32_768  # characters of text plus 8 per value; Customer.io, the strictest, takes 32 KB a call
_INT64 = 2**63
_NOT_A_NUMBER = nan  # marks a value that is written as null and not dropped

_SCALARS = frozenset({bool, type(None)})
_BUILT_IN = (list, tuple)
_type_of: Callable[[Any], Any] = type  # not `__class__`, for which a proxy returns the class of its target


def plain(value: Any, name: str, max_size: int = MAX_SIZE, not_a_number: float | None = None) -> dict[str, Any]:
    """Copy the app's mapping into plain values.

    `datetime` becomes ISO 8601 in UTC with milliseconds (a naive one is read as UTC), `date` and `time` their ISO form,
    `UUID` its text, `Decimal` a number, `Enum` its value, a lazy translation its text, a proxy its target, a set a
    sorted list, a scalar of NumPy or pandas its Python value, an array a list. NaN, infinities, NaT and NA, which JSON
    does not have, become None.

    Args:
        value: the mapping; None counts as an empty one.
        name: its name in error messages.
        not_a_number: the value that replaces NaN and the infinities.
        max_size: the largest size that is accepted, in characters of text plus 8 per value.

    Raises:
        ValidationError: not a mapping, a value of an unknown type, an integer beyond 64 bits, nested too deeply, too
            large, or an object of the app raised an exception.
    """
    if value is None:
        return {}
    try:
        if _type_of(value) is not dict and not is_mapping(value):
            raise ValidationError(_no_mapping(value, name))
        return _Copier(name, max_size, not_a_number).mapping(value, MAX_DEPTH)
    except ValidationError:
        raise
    except Exception as error:
        raise unreadable(name, error) from error


def read_extension(value: Any, name: str) -> dict[str, Any]:
    """Copy and flatten the app's extension data. Raises ValidationError as `plain` does.

    As in the Engage SDK, null values are dropped, but NaN is sent as null.
    """
    return flatten(plain(value, name, not_a_number=_NOT_A_NUMBER))


def read_attributes(value: Any, name: str) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """Copy the app's attributes. Return them flattened, and also nested if that is different."""
    if type(value) is not dict and _is_absent(value, name):
        return {}, None
    given = plain(value, name, not_a_number=_NOT_A_NUMBER)
    flat = flatten(given)
    return flat, None if flat.keys() == given.keys() else _without_nan(given)


def _is_absent(value: Any, name: str) -> bool:
    try:
        return is_absent(value)
    except Exception as error:
        raise unreadable(name, error) from error


def flatten(extension: Mapping[str, Any]) -> dict[str, Any]:
    """Flatten plain values as the Engage SDK does.

    Keys are joined with an underscore, lists are not changed, None and empty dicts are dropped, and the later of two
    paths to one key wins. Below an empty key the prefix is lost, as in the SDK.
    """
    flat: dict[str, Any] = {}
    for key, value in extension.items():
        if type(value) is dict:
            _flatten_into(flat, cast("dict[str, Any]", value), key)
        elif value is not None:
            flat[key] = None if value is _NOT_A_NUMBER else value
    return flat


def check_attribute_count(flat: Mapping[str, Any]) -> None:
    """Raise ValidationError IV-0005 if there are more than 50 attributes."""
    if len(flat) > MAX_ATTRIBUTES:
        raise ValidationError(
            "This event supports maximum 50 attributes. Reduce the number of attributes.", code="IV-0005"
        )


def iso_utc(moment: datetime) -> str:
    """Format a moment as ISO 8601 in UTC with milliseconds and Z. A naive one is read as UTC."""
    if moment.tzinfo is not None:
        moment = moment.astimezone(UTC).replace(tzinfo=None)
    return moment.isoformat(timespec="milliseconds") + "Z"


def _flatten_into(flat: dict[str, Any], values: Mapping[str, Any], prefix: str) -> None:
    for key, value in values.items():
        path = f"{prefix}_{key}" if prefix else key
        if type(value) is dict:
            _flatten_into(flat, cast("dict[str, Any]", value), path)
        elif value is not None:
            flat[path] = None if value is _NOT_A_NUMBER else value


def _without_nan(values: dict[str, Any]) -> dict[str, Any]:
    return {
        name: None
        if value is _NOT_A_NUMBER
        else _without_nan(cast("dict[str, Any]", value))
        if type(value) is dict
        else value
        for name, value in values.items()
    }


class _Copier:
    """Copies one mapping. Counts the copied values, so that excessive data is refused early."""

    __slots__ = ("max_size", "name", "not_a_number", "size")

    def __init__(self, name: str, max_size: int, not_a_number: float | None) -> None:
        self.name = name
        self.max_size = max_size
        self.not_a_number = not_a_number
        self.size = 0

    def mapping(self, values: Mapping[Any, Any], depth: int) -> dict[str, Any]:
        items = values.items() if _type_of(values) is dict else bounded_items(values, self.name)
        if depth <= 0:
            self._refuse_depth()
        size = self.size + 8 * len(items)  # a local variable, because this runs for every value of every event
        if size > self.max_size:
            self._refuse_size()
        copy: dict[str, Any] = {}
        for key, value in items:
            if type(key) is not str:
                key = self._key(key)
            elif not key.isascii():
                key = replace_surrogates(key)
            size += len(key)
            kind = _type_of(value)
            if kind is str:
                size += len(value)
                copy[key] = value if value.isascii() else replace_surrogates(value)
            elif kind in _SCALARS or (kind is int and -_INT64 <= value < _INT64) or (kind is float and isfinite(value)):
                copy[key] = value
            else:
                self.size = size
                copy[key] = self._other(value, depth - 1)
                size = self.size
        self.size = size
        if size > self.max_size:
            self._refuse_size()
        return copy

    def _sequence(self, values: Iterable[Any], size: int, depth: int) -> list[Any]:
        self._grow(8 * size, depth)
        copies = (value if type(value) in _SCALARS else self._other(value, depth - 1) for value in values)
        return [None if copy is _NOT_A_NUMBER else copy for copy in copies]

    def _other(self, value: Any, depth: int) -> Any:
        """Convert any value to a plain one. Frequent and cheap checks come first."""
        kind = _type_of(value)
        if kind is dict:
            return self.mapping(value, depth)
        if kind in _BUILT_IN:
            return self._sequence(value, len(value), depth)
        value = unwrap(value)
        kind = _type_of(value)
        if kind is str:
            return self._text(value)
        if kind in _SCALARS:
            return value
        if kind is int:
            return self._integer(value)
        if kind is float:
            return value if isfinite(value) else self.not_a_number
        if is_mapping(value):
            return self.mapping(value, depth)
        if isinstance(value, list | tuple | Set):
            values = bounded(cast("Iterable[Any]", value), self.name)
            copies = self._sequence(values, len(values), depth)
            # The order of a set differs between processes, but all of them should send the same body.
            return sorted(copies, key=json.dumps_sorted) if isinstance(value, Set) else copies
        return self._standard_form(value, depth)

    def _standard_form(self, value: Any, depth: int) -> Any:
        if value is MISSING:
            return self.not_a_number
        if isinstance(value, datetime):
            return self._moment(value)
        if isinstance(value, date | time):
            return value.isoformat()
        if isinstance(value, Decimal):
            return self._decimal(value)
        if is_array(value):
            return self._array(value, depth)
        raise ValidationError(
            f"{self.name}: found a value of type {type(value).__name__}, which has no JSON form{_advice(value)}; "
            "pass text, a number, a bool, None, a list, a dict, or a date, datetime, UUID, Decimal or Enum"
        )

    def _array(self, array: Any, depth: int) -> list[Any]:
        self._grow(8 * len(array), depth)  # before it is made a list
        values: list[Any] = bounded(array, self.name)
        # Iterating a table gives the names of its columns, not its content.
        if len(array.shape) > 1 and not all(map(is_array, values)):
            raise ValidationError(f"{self.name}: found a table of type {type(array).__name__}; pass a list of dicts")
        return self._sequence(values, 0, depth)

    def _text(self, text: str) -> str:
        self.size += len(text)
        if self.size > self.max_size:
            self._refuse_size()
        return text if text.isascii() else replace_surrogates(text)

    def _moment(self, value: datetime) -> str:
        try:
            return iso_utc(value)
        except OverflowError:
            raise ValidationError(f"{self.name}: found a datetime in a year that UTC does not have") from None

    def _decimal(self, value: Decimal) -> int | float | None:
        if not value.is_finite():
            return self.not_a_number
        if value.as_tuple().exponent == 0:
            return self._integer(int(value))
        return float(value) if isfinite(float(value)) else self.not_a_number

    def _integer(self, number: int) -> int:
        if -_INT64 <= number < _INT64:
            return number
        raise ValidationError(
            f"{self.name}: found an integer beyond 64 bits, which JSON readers round; pass it as text"
        )

    def _key(self, key: Any) -> str:
        found = unwrap(key)
        if type(found) is int:
            return str(self._integer(found))
        if type(found) is not str:
            raise ValidationError(f"{self.name}: found a key of type {type(key).__name__}, expected text")
        return replace_surrogates(found)

    def _grow(self, size: int, depth: int) -> None:
        if depth <= 0:
            self._refuse_depth()
        self.size += size
        if self.size > self.max_size:
            self._refuse_size()

    def _refuse_depth(self) -> None:
        raise ValidationError(
            f"{self.name}: nested more than {MAX_DEPTH} levels deep (or within itself); pass flatter data"
        )

    def _refuse_size(self) -> None:
        raise ValidationError(
            f"{self.name}: larger than {self.max_size} characters; send less, or a reference to where it is kept"
        )


def _no_mapping(value: Any, name: str) -> str:
    found = _type_of(value).__name__
    return f"{name}: found {found}{_advice(value)}, expected a mapping such as a dict"


def _advice(value: Any) -> str:
    """Return advice how to convert a model to a dict, if it has a method for that."""
    kind = _type_of(value)
    if callable(getattr(kind, "model_dump", None)):
        return " (call its model_dump())"
    if hasattr(kind, "__dataclass_fields__"):
        return " (call dataclasses.asdict)"
    return " (call attrs.asdict)" if hasattr(kind, "__attrs_attrs__") else ""
