"""What every tracking call takes by keyword, and what that means."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, TypedDict
from uuid import UUID

from .attributes import plain
from .context import RedactUrl, masked_fields
from .errors import ValidationError
from .event import Context

_END_OF_TIME = 253_402_300_800  # the year 10000 in seconds: what is later was meant as milliseconds


class Options(TypedDict, total=False):
    """What every tracking call takes by keyword.

    Attributes:
        timestamp: when it happened, if not now: a datetime (a naive one is UTC) or seconds since 1970.
        event_id: the event's own ID; destinations that know one take two events with the same for one.
        context: fields of `Context` to put in place of what the request says.
        integrations: switches handed through to destinations that know them.
        destinations: the names of those destinations that get the event; all of them by default.
    """

    timestamp: datetime | float | None
    event_id: str | None
    context: Mapping[str, Any] | None
    integrations: Mapping[str, Any] | None
    destinations: Sequence[str] | None


# The name and the language of the page are event data.
_CONTEXT_FIELDS = tuple(name for name in Context._fields if name not in ("page", "language"))
_NAMES = frozenset(Options.__annotations__)


def check_names(options: Options) -> None:
    """Raise ValidationError for a keyword that no tracking call takes, such as a misspelt one."""
    unknown = options.keys() - _NAMES
    if unknown:
        found, known = ", ".join(sorted(unknown)), ", ".join(sorted(_NAMES))
        raise ValidationError(f"found the unknown option {found}; there are {known}")


def seconds_of(moment: datetime | float) -> float:
    """Return a moment in seconds since 1970; a naive datetime is UTC. Raises ValidationError for anything else."""
    if isinstance(moment, datetime):
        moment = (moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)).timestamp()
    if isinstance(moment, int | float) and not isinstance(moment, bool) and 0 <= moment < _END_OF_TIME:
        return float(moment)
    raise ValidationError("timestamp: expected a datetime, or seconds since 1970 (not milliseconds)")


def checked_event_id(event_id: object) -> str:
    """Return an event ID as text; raises ValidationError unless it is printable text or a UUID."""
    text = event_id if isinstance(event_id, str) else str(event_id) if isinstance(event_id, UUID) else ""
    if 0 < len(text) <= 128 and text.isprintable():
        return text
    raise ValidationError("event_id: expected printable text of 1 to 128 characters, or a UUID")


def override(context: Context, fields: Mapping[str, Any], redact: RedactUrl | None = None) -> Context:
    """Return the context with some fields replaced, in which secrets are masked as in what a request says.

    Raises ValidationError for a field there is not.
    """
    if not isinstance(fields, Mapping):
        raise ValidationError(f"context: found {type(fields).__name__}, expected a mapping such as a dict")
    unknown = set(fields) - set(_CONTEXT_FIELDS)
    if unknown:
        raise ValidationError(
            f"context: found {', '.join(sorted(map(str, unknown)))}, expected only {', '.join(_CONTEXT_FIELDS)}"
        )
    given = plain(fields, "context")
    for name, value in given.items():
        expected = dict if name == "campaign" else bool if name == "bot" else str
        if value is not None and not isinstance(value, expected):
            raise ValidationError(f"context: {name} is {type(value).__name__}, expected {expected.__name__}")
    return context._replace(**masked_fields(given, redact))


def choose(chosen: Sequence[str], known: Sequence[str]) -> tuple[str, ...]:
    """Return the chosen destinations; raises ValidationError if one is not known."""
    if isinstance(chosen, str) or any(name not in known for name in chosen):
        raise ValidationError(f"destinations: expected a list of names out of {', '.join(known)}; found others")
    return tuple(dict.fromkeys(chosen))
