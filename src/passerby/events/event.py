"""The event: an immutable fact about one visitor, neutral towards every destination."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple, TypedDict

from .attributes import iso_utc

EventKind = Literal["page_view", "identity", "event", "group", "alias"]

COMMON_KINDS: frozenset[EventKind] = frozenset({"page_view", "identity", "event"})  # which every system takes


class Context(NamedTuple):
    """What of a request an event carries, already stripped of what must not be kept.

    Attributes:
        ip: the visitor's address, truncated unless the settings say otherwise.
        user_agent: the User-Agent header, at most 512 characters.
        locale: the visitor's first preferred language, such as ``"en-GB"``.
        url: scheme, host, path and the kept query parameters, as the visitor's browser has them; None if the request
            names no host.
        path: the path alone.
        referrer: the Referer header without its query and user information.
        campaign: the query's utm parameters, names in lower case, values decoded once.
        variant: the first `variantid` of the query, a Sitecore page variant.
        bot: whether the visitor is a known bot (only with ``bots="tag"``).
        campaign_decoded_twice: the same utm parameters as Sitecore's SDK decodes them, where that is not the same.
        page: the inferred name of the page, where that is not the last part of the path.
        language: the language of the page, where the app has chosen another than that of the locale.
    """

    ip: str | None = None
    user_agent: str | None = None
    locale: str | None = None
    url: str | None = None
    path: str | None = None
    referrer: str | None = None
    campaign: Mapping[str, str] | None = None
    variant: str | None = None
    bot: bool = False
    campaign_decoded_twice: Mapping[str, str] | None = None
    page: str | None = None
    language: str | None = None

    def __repr__(self) -> str:
        return "<Context>"  # what it holds is about a person


NO_CONTEXT = Context()


class Event(NamedTuple):
    """What was told, with everything that was decided when it was told.

    Attributes:
        id: UUIDv7, the same over all attempts; written to each destination's field for it.
        kind: which call it was.
        type: the type given to `event`; None for page views and identities, which each destination names itself.
        time: when it happened, in seconds since 1970 UTC.
        browser_id: the browser's ID, or None where there was none yet and one is to be had at sending.
        visitor: under what events are kept in order: the browser ID, or a stand-in for this visit.
        user_id: who the visitor turned out to be, if known.
        data: the event data, plain values; names passerby knows are in snake_case. Of a group its `group_id` and
            `traits`, of an alias the `previous_id`.
        extension: the app's own attributes, flattened.
        context: what the request said.
        point_of_sale: as decided at the call.
        integrations: switches handed through to destinations that know them.
        nested: the app's own attributes as they were given, where flattening has changed them; else None.
        previous_id: of an identity, the user ID that this browser had until now, if that was another one.
    """

    id: str
    kind: EventKind
    type: str | None
    time: float
    browser_id: str | None
    visitor: str
    user_id: str | None
    data: dict[str, Any]
    extension: dict[str, Any]
    context: Context = NO_CONTEXT
    point_of_sale: str | None = None
    integrations: dict[str, Any] | None = None
    nested: dict[str, Any] | None = None
    previous_id: str | None = None

    def __repr__(self) -> str:
        return f"<Event {self.id} {self.type or self.kind}>"  # the rest is about a person

    @property
    def attributes(self) -> dict[str, Any]:
        """The app's own attributes as they were given."""
        return self.extension if self.nested is None else self.nested

    @property
    def timestamp(self) -> datetime:
        """When it happened, in UTC."""
        return datetime.fromtimestamp(self.time, UTC)

    @property
    def timestamp_text(self) -> str:
        """When it happened: ISO 8601 in UTC with milliseconds."""
        return iso_utc(self.timestamp)


# Of its own, so that an app that seeds the module's generator gets no event ID twice; a forked child begins elsewhere.
_random = random.Random()  # noqa: S311 - an ID need not be secret, only its own
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_random.seed)


def new_event_id(time_ns: Callable[[], int] = time.time_ns) -> str:
    """Make a UUIDv7 (RFC 9562): 48 bits of milliseconds, 12 bits of what is below one, 62 random bits.

    The fraction in the 12 bits, in units of 256 ns (method 3 of the RFC's section 6.2), keeps IDs made by one process
    in order.
    """
    now = time_ns()
    milliseconds = now // 1_000_000
    return "%08x-%04x-7%03x-%04x-%012x" % (  # noqa: UP031 - half the time of an f-string
        milliseconds >> 16,
        milliseconds & 0xFFFF,
        now - milliseconds * 1_000_000 >> 8,
        _random.getrandbits(14) | 0x8000,
        _random.getrandbits(48),
    )


class PageViewData(TypedDict, total=False):
    """Event data of a page view; camelCase works as well. What is not given is filled in from settings and request."""

    channel: str | None
    currency: str | None
    language: str | None
    page: str | None
    point_of_sale: str | None
    referrer: str | None
    page_variant_id: str | None


class Identifier(TypedDict, total=False):
    """One identifier of a guest: its value, who gives it out, and until when it holds (``YYYY-MM-DDThh:mm``)."""

    id: str
    provider: str
    expiry_date: str | None


class IdentityData(TypedDict, total=False):
    """Event data of an identity; camelCase works as well. `dob` is a date, a datetime, or text ``YYYY-MM-DDThh:mm``."""

    channel: str | None
    currency: str | None
    language: str | None
    page: str | None
    point_of_sale: str | None
    identifiers: Sequence[Identifier | Mapping[str, Any]]
    city: str | None
    country: str | None
    dob: object
    email: str | None
    first_name: str | None
    gender: str | None
    last_name: str | None
    mobile: str | None
    phone: str | None
    postal_code: str | None
    state: str | None
    street: Sequence[str] | None
    title: str | None
