"""Reserved names: the app's data, which may come from a visitor's form, must not overwrite fields of an event."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from functools import lru_cache
from typing import Any

from ..errors import ValidationError

_LONGEST = 20  # characters; no reserved name is longer


def refuse_reserved(names: Iterable[str], reserved: Collection[str], destination: str, what: str) -> None:
    """Raise ValidationError if one of the names is reserved, in any spelling.

    Args:
        names: the names in the app's data.
        reserved: reserved names, as returned by `normalized`.
        destination: the destination's name.
        what: the name of the data in the message.
    """
    for name in names:
        if len(name) <= _LONGEST and normalized(name) in reserved:
            raise ValidationError(
                f"{destination}: {what}: found {name!r}, which is the name of a field that the event has itself; "
                "use another name, or put it into a dict of its own"
            )


def refuse_conflicting(data: Mapping[str, Any], own: Mapping[str, str | None], destination: str, what: str) -> None:
    """Raise ValidationError if data has another ID than the event's, under a name that the system reads as an ID.

    Args:
        data: the app's data.
        own: the event's IDs by name, as returned by `normalized`; None if it has none.
        destination: the destination's name.
        what: the name of the data in the message.
    """
    for name, value in data.items():
        if is_reserved(name, own) and (own[normalized(name)] is None or str(value) != own[normalized(name)]):
            raise ValidationError(
                f"{destination}: {what}: found {name!r} with another value than the event's own; "
                "leave it out, or use another name"
            )


def is_reserved(name: str, reserved: Collection[str]) -> bool:
    """Return whether a name is reserved, in any spelling."""
    return len(name) <= _LONGEST and normalized(name) in reserved


@lru_cache(maxsize=1024)
def normalized(name: str) -> str:
    """Return a name without case and separators: `browserid` for `browser_id`, `browserId` and `Browser-ID`."""
    return "".join(filter(str.isalnum, name)).lower()
