"""What a destination must have: checked at start, so that no event is recorded that nothing could deliver."""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from inspect import isclass, signature
from typing import Any, cast, get_args

from ..errors import SettingsError
from ..event import EventKind
from ..function import check_function

_MISSING = object()
_KINDS = frozenset(get_args(EventKind))
_ATTRIBUTES = {
    "name": "text",
    "origin": 'text such as "https://api.example.com"',
    "kinds": f"a frozenset of {', '.join(sorted(_KINDS))}",
    "batch_size": "a whole number of at least 1",
    "batch_bytes": "a whole number of at least 0",
}
_METHODS = {
    "weigh": "a plain function that takes an event and returns a number of bytes",
    "check": "a plain function that takes an event and raises ValidationError",
    "encode": "a plain function that takes a list of events and returns a Call",
    "judge": "a plain function that takes an Answer and returns a Verdict",
}
_GUIDE = "see docs/writing-a-destination.md"


def check_destination(one: Any) -> None:
    """Raise SettingsError with the names of all that is missing or wrong, if something is no destination."""
    if isclass(one):
        raise SettingsError(
            f"found the class {one.__name__} where a destination was expected: pass {one.__name__}(...)"
        )
    found = type(one).__name__
    values = {name: _read(one, name) for name in (*_ATTRIBUTES, *_METHODS)}
    missing = [name for name, value in values.items() if value is _MISSING]
    if len(missing) == len(values):
        raise SettingsError(
            f"found {found} where a destination was expected: pass Sitecore(...) or the like, or an object of your own "
            f"with {', '.join(values)}; {_GUIDE}"
        )
    if missing:
        raise SettingsError(f"found {found} where a destination was expected: it lacks {', '.join(missing)}; {_GUIDE}")
    wrong = [*_wrong_attributes(values), *_wrong_methods(values)]
    if wrong:
        raise SettingsError(f"the destination {found} has {'; '.join(wrong)}; {_GUIDE}")


def _read(one: Any, name: str) -> Any:
    try:
        return getattr(one, name, _MISSING)
    except Exception as error:  # a property of the app's
        raise SettingsError(
            f"the destination {type(one).__name__} cannot say its {name}: {type(error).__name__}; {_GUIDE}"
        ) from error


def _wrong_attributes(values: dict[str, Any]) -> Iterator[str]:
    for name, expected in _ATTRIBUTES.items():
        value: object = values[name]
        found = type(value).__name__
        if name in ("name", "origin"):
            is_right = isinstance(value, str) and bool(value.strip())
        elif name == "kinds":
            is_right = isinstance(value, AbstractSet) and cast("AbstractSet[object]", value) <= _KINDS
        else:
            least = 1 if name == "batch_size" else 0
            is_right = isinstance(value, int) and not isinstance(value, bool) and value >= least
        if not is_right:
            yield f"{name} = {found}, expected {expected}"


def _wrong_methods(values: dict[str, Any]) -> Iterator[str]:
    for name, expected in _METHODS.items():
        try:
            check_function(values[name], name, expected)
        except SettingsError as error:
            yield str(error)
        else:
            if not _takes_one(values[name]):
                yield f"{name}: expected {expected}, found one that takes other arguments"


def _takes_one(function: Any) -> bool:
    try:
        signature(function).bind(None)
    except TypeError:
        return False
    except ValueError:  # it does not say what it takes
        return True
    return True
