"""Messages of Segment's tracking API, in batches. Several services accept them, including Customer.io Data Pipelines.

Sources of the facts: the requests of `segment-analytics-python` 2.4.0 and of `customerio-cdp-analytics` 1.1.0 as
observed on the wire, and the limits in Segment's reference of its HTTP API and in Customer.io's of its Pipelines API.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from ..errors import SettingsError, ValidationError
from ..events.attributes import iso_utc
from ..events.context import own_data
from ..events.event import Context, Event, EventKind
from ..events.identity import traits_of
from ..http.url import cut
from ..values import json
from ..values.outcome import Delivered
from ..values.secret import Secret
from ..version import __version__
from . import DestinationResponse, SendResult, SplitBatch
from .responses import as_object, classify_status, read_json

MAX_KEY = 512  # characters
MAX_MESSAGES = 100  # in a batch, as in the vendors' Python SDKs; no number is documented
MAX_MESSAGE = 32_768  # bytes; the references say 32 KB, and the vendors' Python SDKs count so
MAX_BATCH = 500_000  # bytes; the references say 500 KB
MAX_TOGETHER: int = MAX_BATCH - len(b'{"batch":[]}')  # bytes of the messages of one batch

_ANONYMOUS_ID = len(b',"anonymousId":"%s"' % (b"x" * 36))

_is_key = re.compile(r"[!-~]+").fullmatch
_is_code = re.compile(r"[a-z][a-z0-9_.-]{0,63}", re.ASCII | re.IGNORECASE).fullmatch

# Traits with a reserved meaning in that API, and passerby's fields for them.
_TRAITS = {
    "created_at": "createdAt",
    "dob": "birthday",
    "first_name": "firstName",
    "last_name": "lastName",
    "postal_code": "postalCode",
}
_LIBRARY = {"name": "passerby", "version": __version__}
_CAMPAIGN = {
    "utm_campaign": "name",
    "utm_source": "source",
    "utm_medium": "medium",
    "utm_term": "term",
    "utm_content": "content",
}
_MAX_URL = 1024  # characters; text from a visitor's URL must not use up the size limit of a message
_MAX_CAMPAIGN = 256
_REST = 4096  # bytes of the rest of a message: names, IDs of at most 128 and 255 characters, time, library


def checked_write_key(write_key: object) -> str:
    """Return the key of a source. Raises SettingsError."""
    key = write_key.reveal() if isinstance(write_key, Secret) else write_key
    if not isinstance(key, str):
        found = "none" if key is None else type(key).__name__
        raise SettingsError(f"found {found}, expected the source's API key", setting="write_key")
    if len(key) > MAX_KEY or not _is_key(key.strip()):
        raise SettingsError("expected the source's API key, in printable ASCII without blanks", setting="write_key")
    return key.strip()


def check_message(event: Event, destination: str) -> None:
    """Raise ValidationError if an event's message would be too large, or the name of its page is not text.

    Args:
        event: the event.
        destination: the destination's name.
    """
    for field in ("page", "category") if event.kind == "page_view" else ():
        if not isinstance(event.data.get(field), str | int | float | None):
            found = type(event.data[field]).__name__
            raise ValidationError(f"{destination}: {field} is {found}, expected text")
    if _most_bytes(event) <= MAX_MESSAGE:
        return
    size = size_in_batch(event) - 1
    if size > MAX_MESSAGE:
        raise ValidationError(
            f"{destination}: found a call of {size} bytes, expected at most {MAX_MESSAGE} (32 KB); "
            "send less, or a reference to where it is kept"
        )


def size_in_batch(event: Event) -> int:
    """Return the number of bytes of an event's message and a comma, with an ID if it has none yet."""
    return len(_write(event)) + 1 + (_ANONYMOUS_ID if event.browser_id is None else 0)


def write_batch(events: Sequence[Event]) -> bytes:
    """Return the body of a batch."""
    return b'{"batch":[%s]}' % b",".join(map(_write, events))


def judge_batch(response: DestinationResponse) -> SendResult:
    """Classify the response to a batch: one rejected as a whole is split, else as usual."""
    if response.status in (400, 413):
        code = as_object(read_json(response)).get("code")
        return SplitBatch(
            f"status {response.status}" + (f" ({code})" if isinstance(code, str) and _is_code(code) else "")
        )
    result = classify_status(response)
    return Delivered(read_json(response)) if result is None else result


def _most_bytes(event: Event) -> int:
    """Return an upper limit for the bytes of a message, at a tenth of the cost of encoding it.

    A character takes at most six bytes, and the data of the page occurs twice.
    """
    said = event.context
    size = len(json.dumps([event.data, event.extension, event.nested, event.integrations]))
    texts = (said.url, said.url, said.path, said.referrer, said.user_agent, said.locale, said.ip, event.type)
    campaign = 6 * _MAX_CAMPAIGN * len(_CAMPAIGN) if said.campaign else 0
    return 2 * size + 12 * sum(len(text) for text in texts if text) + campaign + _REST


def _write(event: Event) -> bytes:
    return json.dumps(_message(event))


def _message(event: Event) -> dict[str, Any]:
    page = _page_properties(event.context)
    message: dict[str, Any] = {"messageId": event.id, "timestamp": event.timestamp_text}
    if event.user_id is not None:
        message["userId"] = event.user_id
    if event.browser_id is not None and event.kind != "alias":
        message["anonymousId"] = event.browser_id
    message.update(_MESSAGES[event.kind](event, page))
    message["context"] = _context(event, page)
    if event.integrations:
        message["integrations"] = event.integrations
    return message


def _identify(event: Event, page: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "identify", "traits": _traits(traits_of(event))}


def _group(event: Event, page: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "group", "groupId": event.data["group_id"], "traits": _traits(event.data["traits"])}


def _alias(event: Event, page: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "alias", "previousId": event.data["previous_id"]}


def _track(event: Event, page: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "track", "event": event.type, "properties": own_data(event) | event.attributes}


def _screen(event: Event, page: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "screen", "name": event.type, "properties": own_data(event) | event.attributes}


def _page(event: Event, page: Mapping[str, Any]) -> dict[str, Any]:
    data = own_data(event)
    name, category = data.pop("page", None), data.get("category")
    if data.get("referrer") is None:
        data.pop("referrer", None)
    message: dict[str, Any] = {"type": "page"}
    if name is not None:
        message["name"] = str(name)
    if category is not None:
        message["category"] = data["category"] = str(category)
    message["properties"] = {**page, **data, **event.attributes}
    return message


_MESSAGES: Mapping[EventKind, Callable[[Event, Mapping[str, Any]], dict[str, Any]]] = {
    "page_view": _page,
    "identity": _identify,
    "event": _track,
    "form": _track,
    "screen": _screen,
    "group": _group,
    "alias": _alias,
}


def _traits(traits: Mapping[str, Any]) -> dict[str, Any]:
    named = {_TRAITS.get(name, name): value for name, value in traits.items()}
    if "createdAt" in named:
        named["createdAt"] = _moment(named["createdAt"])
    if "birthday" in named:
        named["birthday"] = _day(named["birthday"])
    return named


def _moment(value: Any) -> Any:
    """Convert seconds or milliseconds since 1970, as in other APIs of the vendor, to ISO 8601."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value
    try:
        return iso_utc(datetime.fromtimestamp(value if abs(value) < 1e11 else value / 1000, UTC))
    except (ValueError, OverflowError, OSError):
        return value


def _day(value: Any) -> Any:
    """Remove the time of day from a date, which only other systems need."""
    return value[:10] if isinstance(value, str) and value[10:] == "T00:00" else value


def _context(event: Event, page: Mapping[str, Any]) -> dict[str, Any]:
    said = event.context
    context: dict[str, Any] = {"library": _LIBRARY, "channel": "server"}
    if said.ip is not None:
        context["ip"] = said.ip
    if said.user_agent is not None:
        context["userAgent"] = said.user_agent
    if said.locale is not None:
        context["locale"] = said.locale
    title = event.data.get("title") if event.kind == "page_view" else None
    if isinstance(title, str):
        context["page"] = {**page, "title": title[:_MAX_URL]}
    elif page:
        context["page"] = page
    if said.campaign:
        named = {_CAMPAIGN[name]: value for name, value in said.campaign.items() if name in _CAMPAIGN}
        context |= {"campaign": {name: str(value)[:_MAX_CAMPAIGN] for name, value in named.items()}} if named else {}
    if said.bot:
        context["bot"] = True
    return context


def _page_properties(context: Context) -> dict[str, Any]:
    facts: dict[str, Any] = {}
    if context.url is not None:
        facts["url"] = cut(context.url, _MAX_URL)
        _, mark, query = context.url.partition("?")
        if mark:
            facts["search"] = cut(f"?{query}", _MAX_URL)
    if context.path is not None:
        facts["path"] = cut(context.path, _MAX_URL)
    if context.referrer is not None:
        facts["referrer"] = cut(context.referrer, _MAX_URL)
    return facts
