"""The event: immutable, about one visitor, independent of destinations."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple, TypedDict

from .attributes import iso_utc

EventKind = Literal["page_view", "identity", "event", "form", "screen", "group", "alias"]

COMMON_KINDS: frozenset[EventKind] = frozenset({"page_view", "identity", "event"})  # supported by every system


class Context(NamedTuple):
    """The data of a request that is stored with an event, with sensitive parts removed.

    Attributes:
        ip: the visitor's address, truncated unless the settings say otherwise.
        user_agent: the User-Agent header, at most 512 characters.
        locale: the visitor's first preferred language, such as ``"en-GB"``.
        url: scheme, host, path and the kept query parameters, as in the visitor's browser; None if the request has no
            host.
        path: only the path.
        referrer: the Referer header without its query and user information.
        campaign: the query's utm parameters, names in lower case, values decoded once.
        variant: the first `variantid` of the query, a Sitecore page variant.
        bot: whether the visitor is a known bot (only with ``bots="tag"``, for page views).
        campaign_decoded_twice: the same utm parameters as Sitecore's SDK decodes them, if different.
        page: the inferred name of the page, if it is not the last part of the path.
        language: the language of the page, if the app has chosen another one than that of the locale.
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
    """One tracked event, with everything that was decided when it was tracked.

    Attributes:
        id: UUIDv7, the same for all attempts; sent in each destination's field for it.
        kind: the tracking call.
        type: the type given to `event`, the name of a screen, or a name for a form's event such as "Form Submitted";
            None for the other kinds, which each destination names itself.
        time: when it happened, in seconds since 1970 UTC.
        browser_id: the browser's ID, or None if there was none yet; then one is assigned when the event is sent.
        visitor: the key by which events are kept in order: the browser ID, or a temporary key for this session.
        user_id: the user ID, if known.
        data: the event data, plain values; known names are in snake_case. For a form its `form_id`, `interaction` and
            `component_instance_id`, for a group its `group_id` and `traits`, for an alias the `previous_id`.
        extension: the app's attributes, flattened.
        context: the data of the request.
        point_of_sale: as decided when the event was tracked.
        integrations: switches passed on to destinations that support them.
        nested: the app's attributes before flattening, if that changed them; else None.
        previous_id: for an identity, the previous user ID of this browser, if it was a different one.
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
        """The app's attributes before flattening."""
        return self.extension if self.nested is None else self.nested

    @property
    def timestamp(self) -> datetime:
        """When it happened, in UTC."""
        return datetime.fromtimestamp(self.time, UTC)

    @property
    def timestamp_text(self) -> str:
        """When it happened: ISO 8601 in UTC with milliseconds."""
        return iso_utc(self.timestamp)


# A separate generator: an app that seeds the global one must not get the same event IDs again. Reseeded after a fork.
_random = random.Random()  # noqa: S311 - an ID need not be secret, only its own
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_random.seed)


def new_event_id(time_ns: Callable[[], int] = time.time_ns) -> str:
    """Generate a UUIDv7 (RFC 9562): 48 bits of milliseconds, 12 bits of fractions of one, 62 random bits.

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
    """Event data of a page view; camelCase works as well. Missing values are filled in from settings and request."""

    channel: str | None
    currency: str | None
    language: str | None
    page: str | None
    point_of_sale: str | None
    referrer: str | None
    page_variant_id: str | None
    include_utm_parameters: bool | None
    search_data: Mapping[str, Any] | None


class Identifier(TypedDict, total=False):
    """One identifier of a guest: its value, its provider, and its expiry date (``YYYY-MM-DDThh:mm``)."""

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
