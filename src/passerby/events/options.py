"""The keyword options of every tracking call, and their validation."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, TypedDict, cast

from ..errors import ValidationError
from ..http.url import without_user_info
from ..values.app_values import (
    bounded,
    bounded_items,
    is_absent,
    is_mapping,
    replace_surrogates,
    unwrap,
    wrap_read_errors,
)
from .attributes import plain, read_attributes
from .context import RedactUrl, masked_fields
from .event import Context

_LONGEST_WAIT = 1e6  # seconds; some systems' clocks do not support more
# Fields of the context that cannot be passed; the name and the language of a page are event data.
_INFERRED = frozenset({"campaign_decoded_twice", "page", "language"})
_CONTEXT_FIELDS = tuple(name for name in Context._fields if name not in _INFERRED)
_CONTEXT_TYPES: Mapping[str, type] = {**dict.fromkeys(_CONTEXT_FIELDS, str), "campaign": dict, "bot": bool}
_CONTEXT_NAMES = {"useragent": "user_agent", "referer": "referrer", "pagevariantid": "variant"}
_OF_A_PAGE = ("url", "path", "referrer")
UTM_NAMES: Mapping[str, str] = {
    "name": "utm_campaign",
    "source": "utm_source",
    "medium": "utm_medium",
    "term": "utm_term",
    "content": "utm_content",
}
_END_OF_TIME = 253_402_300_800  # the year 10000 in seconds: a larger number must be milliseconds


class Options(TypedDict, total=False):
    """The keyword options of every tracking call.

    Attributes:
        timestamp: when the event happened, if not now: a datetime (a naive one is UTC) or seconds since 1970.
        event_id: an ID for the event; destinations that support it count two events with the same ID as one.
        context: fields that replace those of the request's `Context`, by its names or Customer.io's.
        integrations: switches passed on to destinations that support them.
        destinations: the names of the destinations that get the event; by default all.
    """

    timestamp: datetime | float | None
    event_id: str | None
    context: Mapping[str, Any] | None
    integrations: Mapping[str, Any] | None
    destinations: Sequence[str] | None


_NAMES = frozenset(Options.__annotations__)


def check_names(options: Options) -> None:
    """Raise ValidationError for an unknown option, such as a misspelt one."""
    unknown = options.keys() - _NAMES
    if unknown:
        found, known = ", ".join(sorted(unknown)), ", ".join(sorted(_NAMES))
        raise ValidationError(f"found the unknown option {found}; there are {known}")


@wrap_read_errors("timestamp")
def seconds_of(moment: object) -> float:
    """Return a moment in seconds since 1970. A naive datetime is UTC. Raises ValidationError for anything else."""
    found = unwrap(moment)
    if isinstance(found, datetime):
        found = (found if found.tzinfo is not None else found.replace(tzinfo=UTC)).timestamp()
    if isinstance(found, int | float | Decimal) and not isinstance(found, bool) and 0 <= found < _END_OF_TIME:
        return float(found)
    raise ValidationError("timestamp: expected a datetime, or seconds since 1970 (not milliseconds)")


@wrap_read_errors("event_id")
def checked_event_id(event_id: object) -> str:
    """Return an event ID as text. Raises ValidationError unless it is printable text or a UUID."""
    text = unwrap(event_id)
    if type(text) is str and 0 < len(text) <= 128 and text.isprintable():
        return text
    raise ValidationError("event_id: expected printable text of 1 to 128 characters, or a UUID")


def checked_type(value: object, what: str = "event type", example: str = "ADD") -> str:
    """Return an event's type as text. Raises ValidationError unless it is text and not empty.

    Args:
        value: the type, or what takes its place.
        what: its name in error messages.
        example: a valid one.
    """
    if type(value) is str and value.isascii() and value.strip():  # as nearly all are
        return value
    text = wrap_read_errors(what)(unwrap)(value)
    if isinstance(text, str) and text.strip():
        return replace_surrogates(text)
    raise ValidationError(f'{what}: found none, expected text such as "{example}"')


@wrap_read_errors("point of sale")
def checked_point_of_sale(value: object) -> str | None:
    """Return a point of sale as text, None for None; raises ValidationError MV-0009 for anything else."""
    text = unwrap(value)
    if text is None or (isinstance(text, str) and text.strip()):
        return None if text is None else replace_surrogates(text)
    raise ValidationError('"pointOfSale" cannot be empty.', code="MV-0009")


@wrap_read_errors("form")
def form_data(form_id: object, interaction: object, component_instance_id: object) -> dict[str, Any]:
    """Return the data of a form's event. Raises ValidationError unless all are text, the last one text or None."""
    named = {"form_id": unwrap(form_id), "interaction": unwrap(interaction)}
    instance = unwrap(component_instance_id)
    if instance is not None:
        named["component_instance_id"] = instance
    for name, value in named.items():
        if not (isinstance(value, str) and value.strip()):
            found = "empty text" if isinstance(value, str) else type(value).__name__
            raise ValidationError(f"form: {name} is {found}, expected text")
    texts = {name: replace_surrogates(value) for name, value in named.items()}
    return texts | {"interaction": texts["interaction"].upper()}


@wrap_read_errors("timeout")
def checked_timeout(timeout: object) -> float | None:
    """Return a timeout in seconds; raises ValidationError IV-0006 unless it is None or a number of at least 0."""
    found = unwrap(timeout)
    if found is None:
        return None
    if isinstance(found, bool) or not isinstance(found, int | float | Decimal) or not found >= 0:
        raise ValidationError(
            "Incorrect value for the timeout parameter. Set the value to an integer greater than or equal to 0.",
            code="IV-0006",
        )
    return float(min(found, _LONGEST_WAIT))


@wrap_read_errors("integrations")
def read_integrations(integrations: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return switches as plain values, or None. Raises ValidationError as `plain` does."""
    return None if is_absent(integrations) else plain(integrations, "integrations") or None


@wrap_read_errors("context")
def read_context(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of `Context` passed to a call. Raises ValidationError for an unknown field.

    Names are those of `Context`, or Customer.io's: `userAgent`, `page` with `url`, `path` and `referrer`, `campaign`
    with `name`, `source`, `medium`, `term` and `content`.
    """
    if is_absent(fields):
        return {}
    given: dict[str, Any] = {}
    for name, value in plain(fields, "context").items():
        known = _known(name)
        if known == "page":
            if not isinstance(value, dict):
                raise ValidationError(f"context: page is {type(value).__name__}, expected dict")
            _join(given, _page_fields(cast("dict[str, Any]", value)))
        elif known in _CONTEXT_TYPES:
            _join(given, {known: value})
        else:
            raise ValidationError(f"context: found {name[:100]}, expected only {', '.join(_CONTEXT_FIELDS)}, page")
    for name, value in given.items():
        expected = _CONTEXT_TYPES[name]
        if value is not None and not isinstance(value, expected):
            raise ValidationError(f"context: {name} is {type(value).__name__}, expected {expected.__name__}")
    if given.get("bot", False) is None:
        given["bot"] = False
    given |= {name: without_user_info(given[name]) for name in _OF_A_PAGE if given.get(name)}
    if "campaign" in given:
        given["campaign_decoded_twice"] = None
        given["campaign"] = _campaign(given["campaign"] or {})
    return given


def override(context: Context, given: Mapping[str, Any], redact: RedactUrl | None = None) -> Context:
    """Return the context with the fields that `read_context` returned. Secrets are masked as in a request's context."""
    return context._replace(**masked_fields(given, redact))


@wrap_read_errors("personalize data")
def read_personalization(data: Mapping[str, Any] | None) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """Return the data of a personalisation request as plain values, with flattened `params`, and these unflattened.

    Raises ValidationError.
    """
    if data is None or not is_mapping(data):
        return plain(data, "personalize data"), None
    given = dict(bounded_items(data, "personalize data"))
    params = given.pop("params", None)
    asked = plain(given, "personalize data")
    if is_absent(params) or (is_mapping(params) and not params):
        return asked, None
    flat, nested = read_attributes(params, "params")
    return asked | {"params": flat}, flat if nested is None else nested


def _known(name: str) -> str:
    plain_name = "".join(filter(str.isalnum, name)).lower()
    return _CONTEXT_NAMES.get(plain_name, plain_name)


def _join(given: dict[str, Any], more: Mapping[str, Any]) -> None:
    for name, value in more.items():
        if name in given:
            raise ValidationError(f"context: found {name} in two spellings; give it once")
        given[name] = value


def _page_fields(page: Mapping[str, Any]) -> dict[str, Any]:
    """Return the `Context` fields for Customer.io's names of a page."""
    fields = {name: value for name, value in page.items() if name in _OF_A_PAGE}
    for name, value in page.items():
        if name == "search" and str(value).lstrip("?") == str(page.get("url")).partition("?")[2]:
            continue  # part of the URL
        if name not in _OF_A_PAGE:
            advice = {"title": "; give it in the event data", "search": "; put it into the url"}.get(name, "")
            raise ValidationError(f"context: page: found {name[:100]!r}, expected only {', '.join(_OF_A_PAGE)}{advice}")
    return fields


def _campaign(campaign: Mapping[str, Any]) -> dict[str, str] | None:
    """Return a campaign with the names of utm parameters."""
    named: dict[str, str] = {}
    for name, value in campaign.items():
        utm = UTM_NAMES.get(name.lower(), name.lower())
        if not utm.startswith("utm_"):
            expected = ", ".join(UTM_NAMES)
            raise ValidationError(f"context: campaign: found {name[:100]!r}, expected {expected}, or utm_ names")
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            found = type(cast("object", value)).__name__
            raise ValidationError(f"context: campaign: {name[:100]} is {found}, expected text")
        if utm in named:
            raise ValidationError(f"context: campaign: found {utm} in two spellings; give it once")
        named[utm] = str(value)
    return named or None


@wrap_read_errors("destinations")
def choose_destinations(chosen: Iterable[str], known: Sequence[str]) -> tuple[str, ...]:
    """Return the chosen destinations. Raises ValidationError if one is unknown."""
    names = [] if isinstance(chosen, str | bytes) else list(map(unwrap, bounded(chosen, "destinations")))
    if isinstance(chosen, str | bytes) or any(name not in known for name in names):
        raise ValidationError(f"destinations: expected a list of names out of {', '.join(known)}; found others")
    return tuple(dict.fromkeys(names))
