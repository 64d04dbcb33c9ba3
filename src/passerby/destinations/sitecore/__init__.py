"""Sitecore as a destination: the Engage form for Sitecore CDP, and the edge form for SitecoreAI and XM Cloud."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, overload
from urllib.parse import urlsplit

from ...errors import SettingsError
from ...events.event import COMMON_KINDS, Event, EventKind
from ...http.request import RequestInfo
from ...values.outcome import Delivered
from .. import (
    DestinationResponse,
    IssuedId,
    OutgoingRequest,
    PersonalizationRequest,
    Query,
    SendResult,
    SharedCookie,
)
from ..responses import classify_status, read_json
from ..target import checked_name, origin_of
from .edge_form import EDGE_URL, EdgeDialect, EdgeForm
from .engage_form import EngageForm

PointOfSale = str | Callable[[RequestInfo], str | None]

# A rebuilt destination sends events that have their site, which a function has chosen when they were tracked.
_CHOSEN_BY_REQUEST = "(chosen for each request)"


class Sitecore:
    """Sitecore as a destination, and the issuer of browser IDs. It has two forms, which cannot be mixed.

    With `client_key` it sends what the Engage SDK sends to Sitecore CDP. With `edge_context_id` it sends what the
    newer Cloud SDK and Content SDK send to Sitecore's edge proxy.

    Args:
        client_key: Engage form: the tenant's public client key.
        target_url: Engage form: the Stream API's address, such as ``"https://api-engage-eu.sitecorecloud.io"``.
        point_of_sale: Engage form: the default point of sale, or a callable that returns it for a request.
        requested_at: Engage form: whether events contain the time at which they happened. Otherwise an event that is
            delivered late seems to have happened late. In the edge form they always do.
        adopt_edge_cookie: Engage form: the context ID of an earlier edge form. A visitor who has its cookie keeps the
            browser ID.
        edge_context_id: edge form: the context ID.
        site_name: edge form: the site name, or a callable that returns it for a request. It takes the place of the
            point of sale; an event keeps it until it is sent.
        edge_url: edge form: the edge proxy's address; None means the vendor's, see `EDGE_URL`.
        dialect: edge form: whose headers, error codes and checks are used, "content" (default) for those of the
            Content SDK, "cloud" for those of the Cloud SDK.
        personalize_cookie: edge form: whether the guest ID is kept in the cookie `sc_cid_personalize`.
        adopt_engage_cookie: edge form: the client key of an earlier Engage form. A visitor who has its cookie keeps the
            browser ID.
        include_utm_parameters: whether page views carry the URL's utm parameters; None means the default.
        name: the name of this destination in receipts and statistics.

    Raises:
        SettingsError: with the vendor's codes: MV-0001, MV-0002, MV-0009, IV-0001; with the Content SDK's headers
            MV-001, MV-002, IV-001.
    """

    kinds: frozenset[EventKind] = COMMON_KINDS | frozenset[EventKind]({"form"})
    batch_size = 1
    batch_bytes = 0

    @overload
    def __init__(
        self,
        *,
        client_key: str,
        target_url: str,
        point_of_sale: PointOfSale | None = None,
        include_utm_parameters: bool | None = True,
        requested_at: bool = True,
        adopt_edge_cookie: str | None = None,
        name: str = "sitecore",
    ) -> None: ...
    @overload
    def __init__(
        self,
        *,
        edge_context_id: str,
        site_name: PointOfSale,
        edge_url: str | None = None,
        dialect: EdgeDialect = "content",
        personalize_cookie: bool = False,
        adopt_engage_cookie: str | None = None,
        include_utm_parameters: bool | None = True,
        name: str = "sitecore",
    ) -> None: ...
    def __init__(
        self,
        *,
        client_key: str | None = None,
        target_url: str | None = None,
        point_of_sale: PointOfSale | None = None,
        include_utm_parameters: bool | None = True,
        requested_at: bool = True,
        adopt_edge_cookie: str | None = None,
        edge_context_id: str | None = None,
        site_name: PointOfSale | None = None,
        edge_url: str | None = None,
        dialect: EdgeDialect = "content",
        personalize_cookie: bool = False,
        adopt_engage_cookie: str | None = None,
        name: str = "sitecore",
    ) -> None:
        self.options: Mapping[str, Any] = {
            "client_key": client_key,
            "target_url": target_url,
            # A function is called when an event is tracked, and its result is part of the event.
            "point_of_sale": point_of_sale if isinstance(point_of_sale, str) else None,
            "include_utm_parameters": include_utm_parameters,
            "requested_at": requested_at,
            "adopt_edge_cookie": adopt_edge_cookie,
            "edge_context_id": edge_context_id,
            "site_name": site_name if isinstance(site_name, str | None) else _CHOSEN_BY_REQUEST,
            "edge_url": edge_url,
            "dialect": dialect,
            "personalize_cookie": personalize_cookie,
            "adopt_engage_cookie": adopt_engage_cookie,
            "name": name,
        }
        is_edge = _is_edge(self.options | {"point_of_sale": point_of_sale})
        self._form: EngageForm | EdgeForm = (
            EdgeForm(
                edge_context_id,
                site_name,
                edge_url,
                dialect,
                include_utm_parameters,
                personalize_cookie,
                adopt_engage_cookie,
            )
            if is_edge
            else EngageForm(
                client_key, target_url, point_of_sale, include_utm_parameters, requested_at, adopt_edge_cookie
            )
        )
        self.name: str = checked_name(name)
        #: The point of sale of events; in the edge form the site name.
        self.point_of_sale: PointOfSale | None = site_name if is_edge else point_of_sale

    def __repr__(self) -> str:
        return f"<Sitecore {self.name!r} at {urlsplit(self._form.base).hostname}>"

    @property
    def origin(self) -> str:
        """The scheme, host and port of its requests."""
        return origin_of(self._form.base)

    @property
    def shared_cookie(self) -> SharedCookie:
        """The browser SDK's cookie."""
        return self._form.cookie

    @property
    def cookie_name(self) -> str:
        """A name that differs between accounts: that of the browser SDK's cookie, in the edge form its older name."""
        return self._form.account

    def check(self, event: Event) -> None:
        """Raise ValidationError with the vendor's code and words, in the vendor's order."""
        self._form.check(event, self.name)

    def encoded_size(self, event: Event) -> int:
        """Return 0: each event is sent alone."""
        return 0

    def encode(self, events: Sequence[Event]) -> OutgoingRequest:
        """Return the POST request of one event."""
        (event,) = events
        return self._form.encode(event)

    def classify(self, response: DestinationResponse) -> SendResult:
        """2xx is delivered; temporary failures are tried again; other responses are permanent failures."""
        result = classify_status(response)
        return Delivered(read_json(response)) if result is None else result

    def new_id_query(self) -> Query[IssuedId]:
        """Return the query for a new browser ID."""
        return self._form.new_id_query()

    def guest_query(self, browser_id: str) -> Query[str]:
        """Return the query for the guest ID."""
        return self._form.guest_query(browser_id)

    def personalize_query(self, request: PersonalizationRequest) -> Query[dict[str, Any] | None]:
        """Return the query for a personalisation. Raises ValidationError if required data is missing."""
        return self._form.personalize_query(request)


# The settings of each form, with the values that count as not given.
_ENGAGE: Mapping[str, Any] = {
    "client_key": None,
    "target_url": None,
    "point_of_sale": None,
    "requested_at": True,
    "adopt_edge_cookie": None,
}
_EDGE: Mapping[str, Any] = {
    "edge_context_id": None,
    "site_name": None,
    "edge_url": None,
    "dialect": "content",
    "personalize_cookie": False,
    "adopt_engage_cookie": None,
}


def _is_edge(options: Mapping[str, Any]) -> bool:
    """Return whether the settings are those of the edge form. Raises SettingsError if they are mixed."""
    of_engage, of_edge = (
        [name for name, default in form.items() if not _is_same(options[name], default)] for form in (_ENGAGE, _EDGE)
    )
    if of_engage and of_edge:
        raise SettingsError(
            f"found settings of both forms, {', '.join(of_engage)} and {', '.join(of_edge)}; give client_key and "
            "target_url for Sitecore CDP, or edge_context_id and site_name for the edge proxy",
            setting=of_edge[0],
        )
    return bool(of_edge)


def _is_same(value: object, default: object) -> bool:
    """Return whether a value is the default. One of another type is not compared: it may raise anything."""
    return value is default or (type(value) is type(default) and value == default)


__all__ = ["EDGE_URL", "EdgeDialect", "PointOfSale", "Sitecore"]
