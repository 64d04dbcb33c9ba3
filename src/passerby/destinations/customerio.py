"""Customer.io Data Pipelines: the batch endpoint, as the vendor's SDKs use it, and what its answers mean.

Sources of the facts: the requests of `customerio-cdp-analytics` 1.1.0 and `@customerio/cdp-analytics-node` 0.5.9 as
observed on the wire; limits, strict mode and regions from Customer.io's Pipelines API reference.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from gzip import compress
from typing import Any, Literal, get_args

from .. import jsontext
from ..attributes import iso_utc
from ..context import own_data
from ..errors import SettingsError, ValidationError
from ..event import Context, Event, EventKind
from ..outcome import Delivered
from ..person import traits_of
from ..secret import Secret
from ..url import cut
from ..version import __version__
from . import Answer, Call, Divide, Verdict
from .answers import as_object, judge_status, read_json
from .reserved import refuse_others
from .target import checked_name, checked_switch, checked_target, origin_of

Region = Literal["us", "eu"]

MAX_KEY = 512  # characters
MAX_CALL = 32_768  # bytes of one call; the reference says 32 KB, and the vendor's Python SDK counts so
MAX_BATCH = 500_000  # bytes of one batch; the reference says 500 KB

_HOSTS: Mapping[str | None, str] = {
    "us": "https://cdp.customer.io",
    "eu": "https://cdp-eu.customer.io",
    None: "https://cdp.customer.io",  # where keys of the old form, which name no region, belong
}
_ENVELOPE = len(b'{"batch":[]}')
_ANONYMOUS_ID = len(b',"anonymousId":"%s"' % (b"x" * 36))

_is_key = re.compile(r"[!-~]+").fullmatch
_region_in = re.compile(r"(?:pk|sk)_(us|eu)_").match
_is_code = re.compile(r"[a-z][a-z0-9_.-]{0,63}", re.ASCII | re.IGNORECASE).fullmatch

# Traits that have a meaning of their own there, and fields of our own that are one of them.
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
_MAX_URL = 1024  # characters; what a visitor writes into an address must not use up what a call may hold
_MAX_CAMPAIGN = 256
_REST = 4096  # bytes of all that is left of a call: names, IDs of at most 128 and 255 characters, time, library


class CustomerIO:
    """Customer.io Data Pipelines as a destination.

    Args:
        write_key: the source's API key.
        region: "us" or "eu"; by default the one that the key names, else the US.
        target_url: another address than the region's, such as a proxy of your own.
        gzip: whether bodies are compressed.
        strict: whether a wrong key or an invalid call is answered with an error; without it everything looks delivered.
        name: what this destination goes by in receipts and figures.

    Raises:
        SettingsError: a setting is missing, wrong, or does not fit another one.
    """

    kinds: frozenset[EventKind] = frozenset(get_args(EventKind))
    batch_size = 100  # as in the vendor's Python SDK; no number is documented
    batch_bytes: int = MAX_BATCH - _ENVELOPE

    def __init__(
        self,
        *,
        write_key: str | Secret,
        region: Region | None = None,
        target_url: str | None = None,
        gzip: bool = False,
        strict: bool = True,
        name: str = "customerio",
    ) -> None:
        key = _checked_key(write_key)
        self._target = checked_target(_host_of(key, region) if target_url is None else target_url)
        self.name = checked_name(name)
        self._gzip = checked_switch(gzip, "gzip")
        self._write_key = Secret(key)
        self._headers = {"Content-Type": "application/json"}
        if checked_switch(strict, "strict"):
            self._headers["X-Strict-Mode"] = "1"
        if gzip:
            self._headers["Content-Encoding"] = "gzip"

    def __repr__(self) -> str:
        return f"<CustomerIO {self.name!r} at {self._target.partition('://')[2]}>"

    @property
    def origin(self) -> str:
        """The scheme, host and port of the target."""
        return origin_of(self._target)

    def check(self, event: Event) -> None:
        """Raise ValidationError if the call would be too large, its page has no name, or a trait is another ID."""
        for field in ("page", "category") if event.kind == "page_view" else ():
            if not isinstance(event.data.get(field), str | int | float | None):
                found = type(event.data[field]).__name__
                raise ValidationError(f"{self.name}: {field} is {found}, expected text")
        if event.kind == "identity":
            # A trait of such a name gives the person another ID.
            refuse_others(traits_of(event), {"id": event.user_id, "cioid": None}, self.name, "traits")
        if _most(event) <= MAX_CALL:
            return
        size = self.weigh(event) - 1
        if size > MAX_CALL:
            raise ValidationError(
                f"{self.name}: found a call of {size} bytes, expected at most {MAX_CALL} (32 KB); "
                "send less, or a reference to where it is kept"
            )

    def weigh(self, event: Event) -> int:
        """Return the bytes of its message and the comma before the next one."""
        return len(_written(event)) + 1 + (_ANONYMOUS_ID if event.browser_id is None else 0)

    def encode(self, events: Sequence[Event]) -> Call:
        """Make the POST of a batch."""
        body = b'{"batch":[%s]}' % b",".join(map(_written, events))
        headers = self._headers | {"Authorization": _authorization(self._write_key.reveal())}
        # Without its time a compressed text of the same is the same.
        return Call("POST", f"{self._target}/v1/batch", headers, compress(body, mtime=0) if self._gzip else body)

    def judge(self, answer: Answer) -> Verdict:
        """2xx is delivered; a call that is refused as it stands is divided; else as everywhere."""
        if answer.status in (400, 413):
            return Divide(_reason(answer))
        verdict = judge_status(answer)
        return Delivered(read_json(answer)) if verdict is None else verdict


def _checked_key(write_key: object) -> str:
    key = write_key.reveal() if isinstance(write_key, Secret) else write_key
    if not isinstance(key, str):
        found = "none" if key is None else type(key).__name__
        raise SettingsError(f"found {found}, expected the source's API key", setting="write_key")
    if len(key) > MAX_KEY or not _is_key(key.strip()):
        raise SettingsError("expected the source's API key, in printable ASCII without blanks", setting="write_key")
    return key.strip()


def _host_of(key: str, region: Region | None) -> str:
    if not isinstance(region, str | None) or region not in ("us", "eu", None):
        found = repr(region)[:100] if isinstance(region, str) else type(region).__name__
        raise SettingsError(f'found {found}, expected "us" or "eu"', setting="region")
    named = _region_in(key)
    if named is None:
        return _HOSTS[region]
    if region not in (None, named[1]):
        raise SettingsError(f"found {region!r}, expected {named[1]!r}, which the write key names", setting="region")
    return _HOSTS[named[1]]


def _authorization(key: str) -> str:
    """A key that names its region is a bearer token, one of the old form a user's name without password."""
    return f"Bearer {key}" if _region_in(key) else f"Basic {b64encode(f'{key}:'.encode()).decode()}"


def _reason(answer: Answer) -> str:
    code = as_object(read_json(answer)).get("code")
    return f"status {answer.status}" + (f" ({code})" if isinstance(code, str) and _is_code(code) else "")


def _most(event: Event) -> int:
    """Return how many bytes its call may have at most: a tenth of the work of writing it.

    A character takes six bytes at most, and what is said of the page stands in two places.
    """
    said = event.context
    size = len(jsontext.dumps([event.data, event.extension, event.nested, event.integrations]))
    texts = (said.url, said.url, said.path, said.referrer, said.user_agent, said.locale, said.ip, event.type)
    campaign = 6 * _MAX_CAMPAIGN * len(_CAMPAIGN) if said.campaign else 0
    return 2 * size + 12 * sum(len(text) for text in texts if text) + campaign + _REST


def _written(event: Event) -> bytes:
    return jsontext.dumps(_message(event))


def _message(event: Event) -> dict[str, Any]:
    page = _page_facts(event.context)
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
    """Write seconds or milliseconds since 1970, as other APIs of the vendor take them, as ISO 8601."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value
    try:
        return iso_utc(datetime.fromtimestamp(value if abs(value) < 1e11 else value / 1000, UTC))
    except (ValueError, OverflowError, OSError):
        return value


def _day(value: Any) -> Any:
    """Write a day without a time of day, which only other systems want."""
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


def _page_facts(context: Context) -> dict[str, Any]:
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
