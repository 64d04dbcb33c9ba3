"""Plain values: what an app hands over, made into JSON data of passerby's own, checked and flattened.

A plain value is str, int within 64 bits, finite float, bool, None, list or dict with text keys. Making one copies every
container, so that what the app does to its own objects afterwards changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Set
from datetime import UTC, date, datetime, time
from decimal import Decimal
from enum import Enum
from math import isfinite, nan
from numbers import Integral, Real
from typing import Any, TypeGuard, cast
from uuid import UUID

from . import jsontext
from .errors import ValidationError

MAX_ATTRIBUTES = 50  # Engage SDK: "This event supports maximum 50 attributes"
MAX_DEPTH = 12  # containers inside containers; the data model of an order needs about six
MAX_SIZE = 32_768  # characters of text plus 8 per value; Customer.io, the strictest, takes 32 KB a call
_INT64 = 2**63
_NOT_A_NUMBER = nan  # this very object stands for a value that is not dropped but written as null

_SCALARS = frozenset({bool, type(None)})
_type_of: Callable[[Any], Any] = type  # not `__class__`, for which a proxy gives what it stands for


def plain(value: Any, name: str, max_size: int = MAX_SIZE, not_a_number: float | None = None) -> dict[str, Any]:
    """Copy the app's mapping into plain values.

    `datetime` becomes ISO 8601 in UTC with milliseconds (a naive one is taken as UTC), `date` and `time` their ISO
    form, `UUID` its text, `Decimal` a number, `Enum` its value, a lazy translation its text, a proxy what it stands
    for, a set a sorted list; NaN and the infinities, which JSON cannot say, become None.

    Args:
        value: the mapping; None counts as an empty one.
        name: what to call it in an error.
        not_a_number: what becomes of NaN and the infinities.
        max_size: the size at which it is refused, in characters of text plus 8 per value.

    Raises:
        ValidationError: not a mapping, a value of an unknown type, an integer beyond 64 bits, nested too deeply, too
            large.
    """
    if value is None:
        return {}
    if not is_mapping(value):
        raise ValidationError(f"{name}: found {type(value).__name__}, expected a mapping such as a dict")
    return _Copier(name, max_size, not_a_number).mapping(value, MAX_DEPTH)


def read_extension(value: Any, name: str) -> dict[str, Any]:
    """Copy the app's own attributes and flatten them; raises ValidationError as `plain` does.

    The Engage SDK drops what is null, but sends what is no number as null, and so does this.
    """
    return flatten(plain(value, name, not_a_number=_NOT_A_NUMBER))


def read_attributes(value: Any, name: str) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """Copy the app's own attributes; return them flattened, and as they were given where that is something else."""
    given = plain(value, name, not_a_number=_NOT_A_NUMBER)
    flat = flatten(given)
    return flat, None if flat.keys() == given.keys() else _without_nan(given)


def flatten(extension: Mapping[str, Any]) -> dict[str, Any]:
    """Flatten plain values the way the Engage SDK does.

    Keys are joined with an underscore, lists stay whole, None and empty dicts vanish, and the later of two paths to one
    key wins. Below an empty key the prefix is lost, as it is there.
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
    """Write a moment as ISO 8601 in UTC with milliseconds and Z; a naive one is taken as UTC."""
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
    """Copies one mapping; counts what it has copied so that a flood is refused early."""

    __slots__ = ("max_size", "name", "not_a_number", "size")

    def __init__(self, name: str, max_size: int, not_a_number: float | None) -> None:
        self.name = name
        self.max_size = max_size
        self.not_a_number = not_a_number
        self.size = 0

    def mapping(self, values: Mapping[Any, Any], depth: int) -> dict[str, Any]:
        self._grow(8 * len(values), depth)
        copy: dict[str, Any] = {}
        for key, value in values.items():
            if type(key) is not str:
                key = self._key(key)
            elif not key.isascii():
                key = _well_formed(key)
            self.size += len(key)
            kind = _type_of(value)
            if kind is str:
                self.size += len(value)
                copy[key] = value if value.isascii() else _well_formed(value)
            elif kind in _SCALARS or (kind is int and -_INT64 <= value < _INT64) or (kind is float and isfinite(value)):
                copy[key] = value
            else:
                copy[key] = self._other(value, depth - 1)
        if self.size > self.max_size:
            self._refuse_size()
        return copy

    def _sequence(self, values: Sequence[Any] | Set[Any], depth: int) -> list[Any]:
        self._grow(8 * len(values), depth)
        copies = (value if type(value) in _SCALARS else self._other(value, depth - 1) for value in values)
        return [None if copy is _NOT_A_NUMBER else copy for copy in copies]

    def _other(self, value: Any, depth: int) -> Any:
        """Make a plain value of anything; in the order of how often it is met, and of how long it takes to see."""
        kind = _type_of(value)
        if kind is dict:
            return self.mapping(value, depth)
        if kind is list:
            return self._sequence(value, depth)
        if value.__class__ is not kind:
            value = _behind(value)
        if isinstance(value, Enum):
            return self._other(value.value, depth)
        if isinstance(value, str):
            return self._text(str.__str__(value))
        if isinstance(value, bool | None):
            return value
        if isinstance(value, Integral):
            return self._integer(int(value))
        if isinstance(value, Real):
            return float(value) if isfinite(value) else self.not_a_number
        if is_mapping(value):
            return self.mapping(value, depth)
        if isinstance(value, Set) and not isinstance(value, Sequence):
            # A set has another order in each process, and what is sent should be the same from all.
            members: Set[Any] = value
            return sorted(self._sequence(members, depth), key=jsontext.dumps_sorted)
        if isinstance(value, list | tuple | Set):
            values: Sequence[Any] = cast("Sequence[Any]", value)
            return self._sequence(values, depth)
        return self._standard_form(value)

    def _standard_form(self, value: Any) -> Any:
        if isinstance(value, datetime):
            return self._moment(value)
        if isinstance(value, date | time):
            return value.isoformat()
        if isinstance(value, UUID):
            return str(value)
        if isinstance(value, Decimal):
            return self._decimal(value)
        if _is_like_text(value):
            return self._text(str(value))
        raise ValidationError(
            f"{self.name}: found a value of type {type(value).__name__}, which has no JSON form; "
            "pass text, a number, a bool, None, a list, a dict, or a date, datetime, UUID, Decimal or Enum"
        )

    def _text(self, text: str) -> str:
        self.size += len(text)
        if self.size > self.max_size:
            self._refuse_size()
        return text if text.isascii() else _well_formed(text)

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
        if isinstance(key, Enum):
            key = key.value
        if key.__class__ is not type(key):
            key = _behind(key)
        if isinstance(key, str):
            return _well_formed(str.__str__(key))
        if isinstance(key, int) and not isinstance(key, bool):
            return str(self._integer(key))
        if _is_like_text(key):
            return _well_formed(str(key))
        raise ValidationError(f"{self.name}: found a key of type {type(key).__name__}, expected text")

    def _grow(self, size: int, depth: int) -> None:
        if depth <= 0:
            raise ValidationError(
                f"{self.name}: nested more than {MAX_DEPTH} levels deep (or within itself); pass flatter data"
            )
        self.size += size
        if self.size > self.max_size:
            self._refuse_size()

    def _refuse_size(self) -> None:
        raise ValidationError(
            f"{self.name}: larger than {self.max_size} characters; send less, or a reference to where it is kept"
        )


def _behind(proxy: Any) -> Any:
    """Return what a proxy stands for, where nothing takes the proxy in its stead.

    Django's lazy objects and Werkzeug's locals say that they are of another class than they are, and not all that such
    a class can do works with them; text can be had of all.
    """
    kind: type[Any] = proxy.__class__
    if kind is type(None):
        return None
    if kind is bool:
        return bool(proxy)
    bases: tuple[type[Any], ...] = () if issubclass(kind, Enum) else (str, int, float, Decimal)
    return next((base(str(proxy)) for base in bases if issubclass(kind, base)), proxy)


def _is_like_text(value: Any) -> bool:
    """Whether something does what text does without being it, such as a translation that is made when it is used."""
    fold = getattr(value, "casefold", None)
    return callable(fold) and str(fold()) == str(value).casefold()


def is_mapping(value: object) -> TypeGuard[Mapping[Any, Any]]:
    """Whether something is a mapping; a dict, as most are, is told at once."""
    return type(value) is dict or isinstance(value, Mapping)


def _well_formed(text: str) -> str:
    """Replace lone surrogates, which UTF-8 cannot say, by U+FFFD."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text
