"""Reads one value passed in by the app: unwraps proxies, enums, and scalars of NumPy and pandas.

All code that reads values, IDs and times uses this module. Libraries that passerby does not depend on are recognised by
the methods of their values. Any exception that an object of the app raises while it is read becomes ValidationError.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Set
from datetime import date, datetime, time
from decimal import Decimal
from enum import Enum
from functools import wraps
from itertools import islice
from numbers import Integral, Real
from typing import Any, Final, ParamSpec, TypeGuard, TypeVar, cast
from uuid import UUID

from ..errors import PasserbyError, ValidationError

P = ParamSpec("P")
T = TypeVar("T")

_MAX_ITEMS = 10_000  # of a container of a custom class, which may be endless; no event may have this many
_MAX_LAYERS = 8  # a proxy of an enum of a proxy, and so on
_PROXY_ATTRIBUTES = ("_wrapped", "_get_current_object", "__wrapped__")  # Django, Werkzeug, wrapt
_BUILT_IN = frozenset({str, int, float, bool, type(None)})
_NUMPY_MOMENTS, _NUMPY_SPANS = "M", "m"  # the kinds of dtypes
_type_of: Callable[[Any], Any] = type  # not `__class__`, for which a proxy returns the class of its target
_has_control = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]").search


class Missing(Enum):
    """Marks a missing value, such as pandas's NaT and NA."""

    MISSING = "missing"


MISSING: Final = Missing.MISSING


def wrap_read_errors(name: str) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Decorate a function that reads data of the app: any exception becomes ValidationError.

    Args:
        name: the name of the data, for the message.
    """

    def decorate(read: Callable[P, T]) -> Callable[P, T]:
        @wraps(read)
        def call(*args: P.args, **options: P.kwargs) -> T:
            try:
                return read(*args, **options)
            except PasserbyError:
                raise
            except Exception as error:
                raise unreadable(name, error) from error

        return call

    return decorate


def unreadable(name: str, error: Exception) -> ValidationError:
    """Return an error that names the class of the app's exception. Its message may contain a visitor's data."""
    return ValidationError(
        f"{name}: an object raised {_type_of(error).__name__} when it was read; pass values that can be read"
    )


def is_mapping(value: object) -> TypeGuard[Mapping[Any, Any]]:
    """Return whether a value is a mapping. Plain dicts, the usual case, take a fast path."""
    return type(value) is dict or isinstance(value, Mapping)


def is_absent(value: object) -> bool:
    """Return whether a value counts as "no mapping given": None or an empty non-mapping, as in the JavaScript SDKs."""
    return value is None or (type(value) is not dict and not isinstance(value, Mapping) and not value)


def bounded_items(values: Mapping[Any, Any], name: str) -> Collection[tuple[Any, Any]]:
    """Return the items of a mapping. Raises ValidationError for a custom mapping that does not end."""
    return values.items() if _type_of(values) is dict else bounded(values.items(), name)


def bounded(values: Iterable[T], name: str) -> list[T]:
    """Return the values of a custom container. Raises ValidationError if they do not end."""
    found = list(islice(values, _MAX_ITEMS + 1))
    if len(found) > _MAX_ITEMS:
        raise ValidationError(f"{name}: found more than {_MAX_ITEMS} values; send less")
    return found


def unwrap(value: Any) -> Any:
    """Return the plain value behind proxies, enums and scalar wrappers.

    The result is text, int, float, bool, None, a Decimal, datetime, date or time of the standard library, `MISSING`,
    or, for anything else, the value itself. A UUID becomes its text.
    """
    for _ in range(_MAX_LAYERS):
        kind = _type_of(value)
        if kind in _BUILT_IN:
            return value
        if value.__class__ is not kind:
            behind = _unwrap_proxy(value)
            if behind is not value:
                value = behind
                continue
        if not isinstance(value, Enum):
            break
        value = value.value
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, bool | None):
        return value
    if isinstance(value, date | time):
        return _standard_moment(value)
    if isinstance(value, UUID):
        return UUID.__str__(value)
    if isinstance(value, Decimal):
        return Decimal(value)
    is_container = isinstance(value, list | tuple | Mapping | Set) or is_array(value)
    return cast("Any", value) if is_container else _unwrap_scalar(value)


def is_array(value: Any) -> bool:
    """Return whether a value is a NumPy array, or of a library that converts to one, and not a scalar."""
    return hasattr(_type_of(value), "__array__") and getattr(value, "shape", ()) != ()


def _unwrap_scalar(value: Any) -> Any:
    """Unwrap a value whose class is recognised by its methods."""
    kind = _type_of(value)
    if callable(getattr(kind, "item", None)):
        if getattr(getattr(value, "dtype", None), "kind", None) == _NUMPY_SPANS:
            return value  # a span of time, which counts as a number there
        value = _item_of(value)
        if _type_of(value) in _BUILT_IN or value is MISSING:
            return value
    if isinstance(value, Integral):
        return int(value)
    if isinstance(value, Real):
        return float(value)
    if isinstance(value, date | time):
        return _standard_moment(value)
    if callable(getattr(kind, "isoformat", None)):
        return _moment_of_text(str(value.isoformat()), value)
    if kind.__name__ == "UUID" and hasattr(kind, "hex"):  # of another library
        return str(UUID(str(value)))
    if kind.__name__ == "NAType" or (kind.__eq__ is not object.__eq__ and (value == value) is value):  # noqa: PLR0124
        return MISSING  # pandas's NA, with which every comparison is NA
    return str(value) if _is_like_text(value) else value


def _item_of(scalar: Any) -> Any:
    """Return the Python value of a scalar of an array library."""
    dtype = getattr(scalar, "dtype", None)
    if getattr(dtype, "kind", None) == _NUMPY_MOMENTS or _type_of(scalar).__name__ == "datetime64":
        return _moment_of_text(str(scalar), scalar)  # `item()` is only a number if the unit is nanoseconds
    item = scalar.item()
    return item if isinstance(item, str | int | float | date | time | None) else scalar


def _standard_moment(value: date | time) -> Any:
    if isinstance(value, datetime):
        kind = _type_of(value)
        if kind is datetime:
            return value
        # Only pandas's NaT, whose class is a datetime, does not equal itself.
        if value.isoformat() == "NaT" or (issubclass(kind, datetime) and value != value):  # noqa: PLR0124
            return MISSING
        day = date(value.year, value.month, value.day)
        return datetime.combine(day, _time_of(value), value.tzinfo)
    if isinstance(value, date):
        return date(value.year, value.month, value.day)
    return _time_of(value)


def _time_of(value: datetime | time) -> time:
    return time(value.hour, value.minute, value.second, value.microsecond, value.tzinfo, fold=value.fold)


def _moment_of_text(text: str, otherwise: Any) -> Any:
    """Parse the ISO text of a moment of another library."""
    if text == "NaT":
        return MISSING
    for kind in (date, datetime, time):
        try:
            return kind.fromisoformat(text)
        except ValueError:
            continue
    return otherwise


def _unwrap_proxy(proxy: Any) -> Any:
    """Return the target of a proxy.

    Django's lazy objects, Werkzeug's locals and wrapt's proxies report another class than their own, and not all
    operations of that class work with them. If the target cannot be read, its text is converted instead.
    """
    kind: type[Any] = proxy.__class__
    for name in _PROXY_ATTRIBUTES:
        try:
            found = object.__getattribute__(proxy, name)
        except AttributeError:
            continue
        found = found() if name == "_get_current_object" else found
        if _type_of(found) is kind:
            return found
    if kind is type(None):
        return None
    if kind is bool:
        return bool(proxy)
    bases: tuple[type[Any], ...] = () if issubclass(kind, Enum) else (str, int, float, Decimal)
    return next((base(str(proxy)) for base in bases if issubclass(kind, base)), proxy)


def _is_like_text(value: Any) -> bool:
    """Return whether a value behaves like text without being `str`, such as a lazy translation."""
    fold = getattr(value, "casefold", None)
    return callable(fold) and str(fold()) == str(value).casefold()


def replace_surrogates(text: str) -> str:
    """Replace lone surrogates, which UTF-8 cannot encode, by U+FFFD."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def id_text(value: Any) -> str | None:
    """Return the text of an ID without surrounding blanks, or None if the value is no ID, such as a bool or a fraction.

    Text, whole numbers (also Decimal) and UUIDs of any library are IDs.
    """
    if type(value) is str:
        return value.strip()
    found = unwrap(value)
    if isinstance(found, Decimal):
        found = int(found) if found.is_finite() and abs(found) < 2**64 and found == int(found) else None
    if type(found) is int and -(2**63) <= found < 2**63:
        return str(found)
    return found.strip() if type(found) is str else None


def has_control_characters(text: str) -> bool:
    """Return whether a text contains control characters or lone surrogates, which no ID has."""
    return _has_control(text) is not None
