"""Whether an object is a destination as a whole: what it lacks is said at the start, not at each call."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, cast, get_args

from ..errors import SettingsError
from ..event import EventKind
from ..function import check_function
from . import SharedCookie
from .target import checked_name

_VALUES = ("name", "origin", "kinds", "batch_size", "batch_bytes")
_METHODS = ("weigh", "check", "encode", "judge")
_QUESTIONS = ("create_question", "guest_question", "personalize_question")  # of one that issues browser IDs
_KINDS = frozenset(get_args(EventKind))


def check_destinations(destinations: Sequence[object]) -> None:
    """Raise SettingsError for an object that is no destination, with the names of what it lacks."""
    for one in destinations:
        try:
            _check_one(one)
        except SettingsError:
            raise
        except Exception as error:  # a property of the app's own
            raise SettingsError(f"{type(one).__name__} raised {type(error).__name__} when it was checked") from error


def _check_one(one: Any) -> None:
    found = type(one).__name__
    missing = [name for name in _VALUES if not hasattr(one, name)] + _not_callable(one, _METHODS)
    if missing:
        raise SettingsError(
            f"found {found} where a destination was expected: pass Sitecore(...) or the like; "
            f"it lacks {', '.join(missing)}"
        )
    if any(hasattr(one, name) for name in _QUESTIONS):
        missing = _not_callable(one, _QUESTIONS) + ([] if hasattr(one, "cookie_name") else ["cookie_name"])
        if missing:
            raise SettingsError(f"found {found}, which issues browser IDs; for that it lacks {', '.join(missing)}")
    for name in (*_METHODS, *_QUESTIONS):
        if hasattr(one, name):
            check_function(getattr(one, name), f"{found}.{name}", "a plain method")
    try:
        checked_name(one.name)
    except SettingsError as error:
        raise error.spelled(lambda setting: f"{found}.{setting}") from None
    _check_values(one, found)


def _check_values(one: Any, found: str) -> None:
    if not isinstance(one.origin, str):
        raise SettingsError("expected text such as https://api.example.com", setting=f"{found}.origin")
    if not _are_kinds(one.kinds):
        expected = ", ".join(sorted(_KINDS))
        raise SettingsError(f"expected a frozenset out of {expected}", setting=f"{found}.kinds")
    for name, least in (("batch_size", 1), ("batch_bytes", 0)):
        number = getattr(one, name)
        if isinstance(number, bool) or not isinstance(number, int) or number < least:
            raise SettingsError(f"expected a whole number of at least {least}", setting=f"{found}.{name}")
    if not isinstance(getattr(one, "shared_cookie", None), SharedCookie | None):
        raise SettingsError("expected a SharedCookie or None", setting=f"{found}.shared_cookie")


def _are_kinds(kinds: object) -> bool:
    if isinstance(kinds, str) or not isinstance(kinds, Collection):
        return False
    given = list(cast("Collection[object]", kinds))
    return bool(given) and all(isinstance(kind, str) and kind in _KINDS for kind in given)


def _not_callable(one: object, names: Sequence[str]) -> list[str]:
    return [name for name in names if not callable(getattr(one, name, None))]
