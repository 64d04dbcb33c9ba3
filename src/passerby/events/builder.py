"""Builds the events of one request, and fills in values that a call does not give."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from logging import Logger
from typing import Any, Literal, Protocol

from ..errors import ValidationError
from ..http.request import RequestInfo
from ..http.route import named_route
from ..http.session import Session
from ..http.url import without_user_info
from ..logs import get_logger
from ..values.app_values import unwrap
from ..values.callbacks import discard_awaitable
from .attributes import plain, read_attributes
from .context import IpPolicy, RedactUrl, external_referrer, language_of, page_of, with_page
from .event import Context, Event, EventKind, new_event_id
from .identity import CAMEL_CASE, read_identity, refuse_secrets, user_id_in
from .options import (
    Options,
    checked_event_id,
    checked_point_of_sale,
    checked_type,
    override,
    read_context,
    read_integrations,
    seconds_of,
)
from .redaction import MAX_READ, masked_path

log: Logger = get_logger("passerby")

_CAMEL_CASE: Mapping[EventKind, Mapping[str, str]] = {
    "page_view": {
        "pointOfSale": "point_of_sale",
        "pageVariantId": "page_variant_id",
        "searchData": "search_data",
        "includeUTMParameters": "include_utm_parameters",
    },
    "event": {"pointOfSale": "point_of_sale"},
    "identity": {"pointOfSale": "point_of_sale", **CAMEL_CASE},
    "form": {},
    "screen": {},
    "group": {},
    "alias": {},
}
_WITHOUT_COMMON_DATA = frozenset[EventKind]({"form", "screen", "group", "alias"})
_URLS = ("url", "referrer")  # event data that destinations read as URLs
_SPECIAL = {kind: frozenset((*names, "point_of_sale", *_URLS)) for kind, names in _CAMEL_CASE.items()}
_SPECIAL["page_view"] |= {"include_utm_parameters"}


PageName = Callable[[RequestInfo], "str | None"]
NamedBy = Literal["route", "path"]
OnInvalid = Literal["raise", "drop"]
OnUserChange = Literal["rotate", "refuse", "link"]
SensitiveTraits = Literal["refuse", "allow"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Defaults:
    """The settings used to build events. `passerby.settings.settings.Settings` describes each.

    Attributes:
        remembers_users: whether the user ID is stored in a cookie.
    """

    infer_from_request: bool
    ip: IpPolicy
    redact_url: RedactUrl | None
    page_name: PageName | NamedBy
    identity_provider: str | None
    remembers_users: bool
    on_user_change: OnUserChange
    on_invalid: OnInvalid
    sensitive_traits: SensitiveTraits
    hash_traits: Collection[str]


class EventInputs(Protocol):
    """The sources of values that a call does not give: settings, the request, the clock."""

    @property
    def defaults(self) -> Defaults: ...

    @property
    def common_data(self) -> Sequence[tuple[str, str]]:
        """Default names and values of event data."""
        ...

    def now(self) -> float:
        """The time in seconds since 1970."""
        ...

    def context(self, session: Session) -> Context:
        """Return the context of the session's request."""
        ...

    def point_of_sale(self, session: Session) -> str | None:
        """Return the point of sale of the session's request."""
        ...


class EventBuilder:
    """Builds the events of one visitor in one request.

    Args:
        inputs: the source of values that are the same in all requests.
        session: the session whose request has the other values.

    Attributes:
        has_page_view: whether a page view was tracked in this request.
    """

    __slots__ = ("_context", "_inputs", "_point_of_sale", "_session", "has_page_view")

    def __init__(self, inputs: EventInputs, session: Session) -> None:
        self._inputs = inputs
        self._session = session
        self._context: Context | None = None
        self._point_of_sale: str | None = None
        self.has_page_view: bool = False

    @property
    def point_of_sale(self) -> str | None:
        """The default point of sale of events."""
        if self._point_of_sale is None:
            self._point_of_sale = self._inputs.point_of_sale(self._session)
        return self._point_of_sale

    def choose_point_of_sale(self, value: object) -> None:
        """Set the default point of sale of later events. Raises ValidationError if it is invalid."""
        self._point_of_sale = checked_point_of_sale(value)

    def mark_page_view(self) -> None:
        """Note that a page view was tracked, so that no automatic one is sent."""
        self.has_page_view = True

    def undo_page_view(self) -> None:
        """Note that the transaction of a page view was rolled back."""
        self.has_page_view = False

    def context(self, given: Mapping[str, Any]) -> Context:
        """Return the context of the request, with the fields that the call gives."""
        if self._context is None:
            self._context = self._inputs.context(self._session)
        return override(self._context, given, self._inputs.defaults.redact_url) if given else self._context

    def locale(self, context: Context, given: Mapping[str, Any]) -> str | None:
        """Return the locale of the page: the language chosen by the app, else the visitor's preferred one."""
        request = self._session.request
        if request is None or "locale" in given:
            return context.locale
        return request.language or context.locale

    def build(
        self,
        kind: EventKind,
        type: str | None,
        event_data: Mapping[str, Any] | None,
        extension_data: Mapping[str, Any] | None,
        options: Options,
        browser_id: str | None,
        visitor: str,
    ) -> Event:
        """Build the event of a call. Raises ValidationError for data that no destination could accept.

        Args:
            kind: the tracking call.
            type: the type of an `event` call, or the name of a screen or a form's event.
            event_data: the event data passed to the call.
            extension_data: the extension data passed to the call.
            options: the options passed to the call, with checked names.
            browser_id: the visitor's browser ID, if there is one yet.
            visitor: the key by which the visitor's events are kept in order.
        """
        named = type
        if kind == "event":
            named = checked_type(type)
        elif kind == "screen":
            named = checked_type(type, "screen name", "Cart")
        data = read_identity(event_data) if kind == "identity" else plain(event_data, "event data")
        extension: dict[str, Any] = {}
        nested: dict[str, Any] | None = None
        if extension_data is not None:
            extension, nested = read_attributes(extension_data, "extension data")
        given_point_of_sale = None if data.keys().isdisjoint(_SPECIAL[kind]) else _convert_special(kind, data)
        overrides = options.get("context") if options else None
        given = {} if overrides is None else read_context(overrides)
        context = self.context(given)
        before = user_id = self._session.user_id
        if kind == "identity":
            user_id = self._resolve_identity(data, extension, nested, browser_id)
        elif kind == "group":
            self._refuse_secrets({}, data["traits"])
        elif kind == "alias":
            self._check_alias(data["previous_id"])
        if kind == "page_view" and "include_utm_parameters" in data:
            includes = data.pop("include_utm_parameters")
            if not (includes or includes is None):
                context = context._replace(campaign=None, campaign_decoded_twice=None)
        context = self._fill_in(kind, data, context, given)
        moment = event_id = integrations = None
        if options:
            moment, event_id = options.get("timestamp"), options.get("event_id")
            integrations = options.get("integrations")
        return Event(
            new_event_id() if event_id is None else checked_event_id(event_id),
            kind,
            named,
            self._inputs.now() if moment is None else seconds_of(moment),
            browser_id,
            visitor,
            user_id,
            data,
            extension,
            context,
            given_point_of_sale or self.point_of_sale,
            None if integrations is None else read_integrations(integrations),
            nested,
            before if user_id not in (None, before) else None,
        )

    def _resolve_identity(
        self, data: dict[str, Any], extension: dict[str, Any], nested: dict[str, Any] | None, browser_id: str | None
    ) -> str | None:
        """Return the user ID of identity data, secrets refused or hashed. Without identifiers it is unchanged."""
        self._refuse_secrets(data, extension, nested)
        if not data.get("identifiers"):
            return self._session.user_id
        # None of them may be a valid user ID. The person may be another one than before.
        return user_id_in(data, self._inputs.defaults.identity_provider, browser_id)

    def _refuse_secrets(self, data: dict[str, Any], flat: dict[str, Any], given: dict[str, Any] | None = None) -> None:
        defaults = self._inputs.defaults
        refuses_secrets = defaults.sensitive_traits == "refuse"
        refuse_secrets(data, flat, given, refuses_secrets=refuses_secrets, hashed=defaults.hash_traits)

    def _check_alias(self, previous_id: str) -> None:
        session = self._session
        if session.user_id is None and session.decision.refusal is None:
            raise ValidationError("alias: found no user ID for the other ID; identify the visitor first")
        if previous_id == session.user_id:
            raise ValidationError("alias: found the visitor's own user ID, expected another ID of the same person")

    def _fill_in(self, kind: EventKind, data: dict[str, Any], context: Context, given: Mapping[str, Any]) -> Context:
        """Fill in missing values: channel and currency from the settings, the others from the request.

        Returns the context, with the page's name if it is not derived from the path.
        """
        if kind in _WITHOUT_COMMON_DATA:
            return context
        for name, value in self._inputs.common_data:
            if name not in data:
                data[name] = value
        if not self._inputs.defaults.infer_from_request:
            return context
        if data.get("page") is None and context.path is not None:
            named = self._name_of_page(given)
            data["page"] = page = page_of(context.path) if named is None else named or page_of("/")
            if named is not None and (("/" in named) or page != page_of(context.path)):
                context = with_page(context, page, context.language)
        request = self._session.request
        if data.get("language") is None and (locale := self.locale(context, given)) is not None:
            data["language"] = language = language_of(locale)
            if locale != context.locale and language != language_of(context.locale):
                context = with_page(context, context.page, language)
        if kind == "page_view" and not self.has_page_view and not data.get("referrer") and request is not None:
            data["referrer"] = external_referrer(context, request.host)
        return context

    def _name_of_page(self, given: Mapping[str, Any]) -> str | None:
        """Return the page's name: the result of the app's callable, else its route.

        It is empty for the root, and None if the last part of the path names the page.
        """
        request, rule = self._session.request, self._inputs.defaults.page_name
        if request is None or (given and not given.keys().isdisjoint(("path", "url"))):
            return None
        name = _call(rule, request) if callable(rule) else None
        if name is None and rule != "path" and (route := request.route) is not None:
            name = named_route(route)
        return name


def _convert_special(kind: EventKind, data: dict[str, Any]) -> Any:
    """Convert names in camelCase, and URLs, in place. Remove the point of sale, and return it."""
    for camel, snake in _CAMEL_CASE[kind].items():
        if camel in data:
            data[snake] = data.pop(camel)
    for name in _URLS:
        if isinstance(data.get(name), str):
            data[name] = without_user_info(data[name])
    return data.pop("point_of_sale", None)


def _call(find: PageName, request: RequestInfo) -> str | None:
    """Call the app's callable for the page's name, and mask secrets in the result, as in a URL."""
    try:
        name: object = unwrap(find(request))
        if discard_awaitable(name) or not isinstance(name, str | None):
            raise TypeError(f"found {type(name).__name__}, expected text or None")
    except Exception as error:  # its message may contain the path, so only its class is logged
        log.error("the page_name callable failed (%s); the page is named by its route", type(error).__name__)
        return None
    return masked_path(name[:MAX_READ]) if name else None
