"""Checks at start that an object is a complete destination."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from inspect import isclass, signature
from typing import Any, cast, get_args

from ..errors import SettingsError
from ..events.event import EventKind
from ..values.callbacks import check_function
from . import SharedCookie
from .target import checked_name

_VALUES = ("name", "origin", "kinds", "batch_size", "batch_bytes")
_METHODS = {
    "encoded_size": "a plain method that takes an event and returns a number of bytes",
    "check": "a plain method that takes an event and raises ValidationError",
    "encode": "a plain method that takes a list of events and returns an OutgoingRequest",
    "classify": "a plain method that takes a DestinationResponse and returns a SendResult",
}
_QUERIES = ("new_id_query", "guest_query", "personalize_query")
# The members for issuing browser IDs, and for queries about the visitor: either all of them, or none.
_TOGETHER = {
    "issues browser IDs": ("new_id_query", "cookie_name"),
    "answers queries about the visitor": ("guest_query", "personalize_query"),
}
_KINDS = frozenset(get_args(EventKind))
_GUIDE = "see docs/writing-a-destination.md"
_MISSING = object()


def check_destination(one: Any) -> None:
    """Raise SettingsError with the names of all missing and wrong members, if an object is not a destination."""
    if isclass(one):
        raise SettingsError(
            f"found the class {one.__name__} where a destination was expected: pass {one.__name__}(...)"
        )
    found = type(one).__name__
    members = {name: _read(one, name) for name in (*_VALUES, *_METHODS, *_QUERIES, "cookie_name", "shared_cookie")}
    has = {name: value for name, value in members.items() if value is not _MISSING}
    missing = [name for name in (*_VALUES, *_METHODS) if name not in has]
    if missing:
        raise SettingsError(
            f"found {found} where a destination was expected: pass Sitecore(...) or the like, or one of your own "
            f"({_GUIDE}); it lacks {', '.join(missing)}"
        )
    for what, names in _TOGETHER.items():
        lacking = [name for name in names if name not in has]
        if lacking and any(name in has for name in names if name in _QUERIES):
            raise SettingsError(f"found {found}, which {what}; for that it lacks {', '.join(lacking)}")
    try:
        wrong = list(map(str, _wrong(has, found)))
    except Exception as error:  # raised by a value of the app
        raise SettingsError(f"{found} raised {type(error).__name__} when it was checked; {_GUIDE}") from error
    if wrong:
        raise SettingsError(f"{'; '.join(wrong)}; {_GUIDE}")


def _read(one: Any, name: str) -> Any:
    try:
        return getattr(one, name, _MISSING)
    except Exception as error:  # a property of the app
        raise SettingsError(
            f"cannot read {name} of the destination {type(one).__name__}: {type(error).__name__}; {_GUIDE}"
        ) from error


def _wrong(members: Mapping[str, Any], found: str) -> Iterator[SettingsError]:
    try:
        checked_name(members["name"])
    except SettingsError as error:
        yield error.spelled(lambda setting: f"{found}.{setting}")
    if not isinstance(members["origin"], str) or not members["origin"].strip():
        yield SettingsError("expected text such as https://api.example.com", setting=f"{found}.origin")
    if not _are_kinds(members["kinds"]):
        expected = ", ".join(sorted(_KINDS))
        yield SettingsError(f"expected a frozenset out of {expected}", setting=f"{found}.kinds")
    for name, least in (("batch_size", 1), ("batch_bytes", 0)):
        number = members[name]
        if isinstance(number, bool) or not isinstance(number, int) or number < least:
            yield SettingsError(f"expected a whole number of at least {least}", setting=f"{found}.{name}")
    if not isinstance(members.get("shared_cookie"), SharedCookie | None):
        yield SettingsError("expected a SharedCookie or None", setting=f"{found}.shared_cookie")
    yield from _wrong_methods(members, found)


def _wrong_methods(members: Mapping[str, Any], found: str) -> Iterator[SettingsError]:
    for name in (*_METHODS, *_QUERIES):
        expected = _METHODS.get(name, "a plain method")
        if name not in members:
            continue
        try:
            check_function(members[name], f"{found}.{name}", expected)
        except SettingsError as error:
            yield error
        else:
            if name in _METHODS and not _takes_one(members[name]):
                yield SettingsError(f"expected {expected}, found one that takes others", setting=f"{found}.{name}")


def _takes_one(function: Any) -> bool:
    """Return whether a method can be called with one argument, as far as its signature is known."""
    try:
        signature(function).bind(None)
    except TypeError:
        return False
    except ValueError:
        return True
    return True


def _are_kinds(kinds: object) -> bool:
    if isinstance(kinds, str) or not isinstance(kinds, Collection):
        return False
    given = list(cast("Collection[object]", kinds))
    return bool(given) and all(isinstance(kind, str) and kind in _KINDS for kind in given)
