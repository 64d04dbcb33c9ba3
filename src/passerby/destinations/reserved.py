"""The names that are a system's own: an app's data, which may be a visitor's form, must not change what an event is."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from functools import lru_cache
from typing import Any

from ..errors import ValidationError

_LONGEST = 20  # characters; no name of a system's own has more


def refuse_reserved(names: Iterable[str], reserved: Collection[str], destination: str, what: str) -> None:
    """Raise ValidationError if one of the names is reserved, in whatever spelling.

    Args:
        names: those in the app's data.
        reserved: as `folded` writes them.
        destination: the destination's name.
        what: what the data is called.
    """
    for name in names:
        if len(name) <= _LONGEST and folded(name) in reserved:
            raise ValidationError(
                f"{destination}: {what}: found {name!r}, which is the name of a field that the event has itself; "
                "use another name, or put it into a dict of its own"
            )


def refuse_others(data: Mapping[str, Any], own: Mapping[str, str | None], destination: str, what: str) -> None:
    """Raise ValidationError if data says another ID than the event's, under a name by which the system reads it.

    Args:
        data: the app's data.
        own: the event's own IDs by name, as `folded` writes that; None where it has none.
        destination: the destination's name.
        what: what the data is called.
    """
    for name, value in data.items():
        if is_reserved(name, own) and (own[folded(name)] is None or str(value) != own[folded(name)]):
            raise ValidationError(
                f"{destination}: {what}: found {name!r} with another value than the event's own; "
                "leave it out, or use another name"
            )


def is_reserved(name: str, reserved: Collection[str]) -> bool:
    """Whether a name is one of those reserved, in whatever spelling."""
    return len(name) <= _LONGEST and folded(name) in reserved


@lru_cache(maxsize=1024)
def folded(name: str) -> str:
    """Return a name without what spellings differ in: `browserid` for `browser_id`, `browserId` and `Browser-ID`."""
    return "".join(filter(str.isalnum, name)).lower()
