"""The composer: makes events of what is told in one request, and fills in what a call leaves open."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .attributes import plain, read_attributes
from .context import external_referrer, language_of, page_of
from .desk import Desk
from .errors import ValidationError
from .event import Context, Event, EventKind, new_event_id
from .options import Options, checked_event_id, override, seconds_of
from .person import CAMEL_CASE, guard, read_identity, user_id_in
from .visit import Visit

_CAMEL_CASE: Mapping[EventKind, Mapping[str, str]] = {
    "page_view": {"pointOfSale": "point_of_sale", "pageVariantId": "page_variant_id"},
    "event": {"pointOfSale": "point_of_sale"},
    "identity": {"pointOfSale": "point_of_sale", **CAMEL_CASE},
    "group": {},
    "alias": {},
}


class Composer:
    """Makes the events of one visitor in one request.

    Args:
        desk: whose settings fill in what is the same in all requests.
        visit: whose request fills in the rest.

    Attributes:
        has_page_view: whether a page view was told in this request.
    """

    __slots__ = ("_context", "_desk", "_point_of_sale", "_visit", "has_page_view")

    def __init__(self, desk: Desk, visit: Visit) -> None:
        self._desk = desk
        self._visit = visit
        self._context: Context | None = None
        self._point_of_sale: str | None = None
        self.has_page_view: bool = False

    @property
    def point_of_sale(self) -> str | None:
        """The point of sale that events get which name none."""
        if self._point_of_sale is None:
            self._point_of_sale = self._desk.point_of_sale(self._visit)
        return self._point_of_sale

    @point_of_sale.setter
    def point_of_sale(self, value: str | None) -> None:
        self._point_of_sale = value

    def forget_page_view(self) -> None:
        """A page view was told in a transaction that has failed."""
        self.has_page_view = False

    def context(self, options: Options) -> Context:
        """Return what the request says, but for what the call knows better."""
        if self._context is None:
            self._context = self._desk.context(self._visit)
        overrides = options.get("context")
        return override(self._context, overrides, self._desk.defaults.redact_url) if overrides else self._context

    def compose(
        self,
        kind: EventKind,
        type: str | None,
        event_data: Mapping[str, Any] | None,
        extension_data: Mapping[str, Any] | None,
        options: Options,
        visitor: str,
    ) -> Event:
        """Make an event of a call; raises ValidationError for what no destination could take.

        Args:
            kind: which call it is.
            type: of an event, what it is called.
            event_data: as it was given.
            extension_data: as it was given.
            options: as they were given; their names are checked.
            visitor: under what the event is kept in order.
        """
        if kind == "event" and not (isinstance(type, str) and type.strip()):
            raise ValidationError('event type: found none, expected text such as "ADD"')
        data = read_identity(event_data) if kind == "identity" else plain(event_data, "event data")
        extension, nested = read_attributes(extension_data, "extension data") if extension_data else ({}, None)
        for camel, snake in _CAMEL_CASE[kind].items():
            if camel in data:
                data[snake] = data.pop(camel)
        given_point_of_sale = data.pop("point_of_sale", None)
        context = self.context(options)
        before = user_id = self._visit.user_id
        if kind == "identity":
            user_id = self._identified(data, extension, nested)
        elif kind == "group":
            self._guard({}, data["traits"])
        elif kind == "alias":
            self._check_alias(data["previous_id"])
        self._fill_in(kind, data, context)
        moment, event_id, integrations = options.get("timestamp"), options.get("event_id"), options.get("integrations")
        return Event(
            new_event_id() if event_id is None else checked_event_id(event_id),
            kind,
            type,
            self._desk.now() if moment is None else seconds_of(moment),
            self._visit.browser_id,
            visitor,
            user_id,
            data,
            extension,
            context,
            given_point_of_sale or self.point_of_sale,
            plain(integrations, "integrations") if integrations else None,
            nested,
            before if user_id not in (None, before) else None,
        )

    def _identified(self, data: dict[str, Any], extension: dict[str, Any], nested: dict[str, Any] | None) -> str | None:
        """Return who is meant by identity data, kept free of secrets; without identifiers that is who it was before."""
        self._guard(data, extension, nested)
        if not data.get("identifiers"):
            return self._visit.user_id
        # None of them may be usable; whoever is meant, it need not be the one before.
        return user_id_in(data, self._desk.defaults.identity_provider, self._visit.browser_id)

    def _guard(self, data: dict[str, Any], flat: dict[str, Any], given: dict[str, Any] | None = None) -> None:
        defaults = self._desk.defaults
        refuses_secrets = defaults.sensitive_traits == "refuse"
        guard(data, flat, given, refuses_secrets=refuses_secrets, hashed=defaults.hash_traits)

    def _check_alias(self, previous_id: str) -> None:
        visit = self._visit
        if visit.user_id is None and visit.decision.refusal is None:
            raise ValidationError(
                "alias: found no user ID that the other ID could stand for; identify the visitor first"
            )
        if previous_id == visit.user_id:
            raise ValidationError("alias: found the visitor's own user ID, expected another ID of the same person")

    def _fill_in(self, kind: EventKind, data: dict[str, Any], context: Context) -> None:
        """Fill in what the call left open: channel and currency from the settings, the rest from the request."""
        if kind in ("group", "alias"):
            return
        for name, value in self._desk.common_data:
            if name not in data:
                data[name] = value
        if not self._desk.defaults.infer:
            return
        if data.get("page") is None and context.path is not None:
            data["page"] = page_of(context.path)
        if data.get("language") is None and context.locale is not None:
            data["language"] = language_of(context.locale)
        request = self._visit.request
        if kind == "page_view" and not self.has_page_view and not data.get("referrer") and request is not None:
            data["referrer"] = external_referrer(context, request.host)
