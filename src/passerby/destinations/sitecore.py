"""Sitecore CDP's Stream API: the requests of the Engage SDK 1.4.3, and the responses.

Sources of the facts: the requests of `@sitecore/engage` 1.4.3 as observed on the wire, and Sitecore's CDP developer
documentation.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import quote, urlsplit

from ..errors import RemoteError, SettingsError, ValidationError
from ..events.attributes import check_attribute_count
from ..events.event import COMMON_KINDS, Event, EventKind
from ..events.identity import identifiers_in
from ..http.request import RequestInfo
from ..values import json
from ..values.app_values import has_control_characters
from ..values.browser_id import is_uuid
from ..values.callbacks import check_function
from ..values.outcome import Delivered
from . import DestinationResponse, OutgoingRequest, Query, SendResult, SharedCookie
from .reserved import is_reserved, refuse_reserved
from .responses import as_object, classify_status, read_json
from .target import checked_name, checked_switch, checked_target, origin_of

MAX_KEY = 128  # characters of a client key; Sitecore's have some 30

PROTOCOL_VERSION = "1.4.3"  # the Engage SDK whose requests these are

PointOfSale = str | Callable[[RequestInfo], str | None]

_is_client_key = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+").fullmatch
_is_minute = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d", re.ASCII).fullmatch
# JavaScript's \s: it counts U+FEFF in and the separators U+001C to U+001F and U+0085 out, other than Python's.
_BLANKS = "\t\n\v\f\r \u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000\ufeff"
_is_email = re.compile(rf"[^{_BLANKS}@]+@[^{_BLANKS}@]+\.[^{_BLANKS}@]+").fullmatch

_IDENTITY_FIELDS = (
    "city", "country", "dob", "email", "gender", "mobile", "phone", "postal_code", "state", "street", "title",
)  # fmt: skip
_IDENTITY_RENAMED = {"first_name": "firstname", "last_name": "lastname"}
# Fields of a custom event that are on the same level as its data: data with these names would overwrite them.
_OWN_FIELDS = frozenset({"type", "clientkey", "browserid", "pos", "requestedat", "ext"})


class Sitecore:
    """Sitecore CDP as a destination, and the issuer of browser IDs.

    Args:
        client_key: the tenant's public client key.
        target_url: the Stream API's address, such as ``"https://api-engage-eu.sitecorecloud.io"``.
        point_of_sale: the default point of sale, or a callable that returns it for a request.
        include_utm_parameters: whether page views carry the URL's utm parameters; None means the default.
        requested_at: whether events contain the time at which they happened, as in Sitecore's newer SDK. Otherwise
            an event that is delivered late seems to have happened late.
        name: the name of this destination in receipts and statistics.

    Raises:
        SettingsError: with the vendor's codes MV-0001, MV-0002, MV-0009, IV-0001.
    """

    kinds: frozenset[EventKind] = COMMON_KINDS
    batch_size = 1
    batch_bytes = 0

    def __init__(
        self,
        *,
        client_key: str,
        target_url: str,
        point_of_sale: PointOfSale | None = None,
        include_utm_parameters: bool | None = True,
        requested_at: bool = True,
        name: str = "sitecore",
    ) -> None:
        if _is_empty(client_key):
            raise SettingsError('"clientKey" is required.', code="MV-0001", setting="client_key")
        if _is_empty(target_url):
            raise SettingsError('"targetURL" is required.', code="MV-0002", setting="target_url")
        if isinstance(point_of_sale, str) and point_of_sale and not point_of_sale.strip():
            raise SettingsError('"pointOfSale" cannot be empty.', code="MV-0009", setting="point_of_sale")
        if isinstance(point_of_sale, str) and (len(point_of_sale) > 255 or has_control_characters(point_of_sale)):
            raise SettingsError("expected at most 255 characters, no control characters", setting="point_of_sale")
        if not isinstance(point_of_sale, str | None):
            check_function(point_of_sale, "point_of_sale", "text or a plain function that makes it from a request")
        self._base = checked_target(
            target_url,
            SettingsError(
                'Incorrect value for "targetURL". Set the value to a valid URL string.',
                code="IV-0001",
                setting="target_url",
            ),
        )
        if not isinstance(client_key, str) or len(client_key) > MAX_KEY or not _is_client_key(client_key):
            raise SettingsError(
                f"expected ASCII letters, digits and -_. only, at most {MAX_KEY}, since it names the cookie",
                setting="client_key",
            )
        self.name: str = checked_name(name)
        self.options: Mapping[str, Any] = {
            "client_key": client_key,
            "target_url": target_url,
            # A function is called when an event is tracked, and its result is part of the event.
            "point_of_sale": point_of_sale if isinstance(point_of_sale, str) else None,
            "include_utm_parameters": include_utm_parameters,
            "requested_at": requested_at,
            "name": name,
        }
        self.point_of_sale = point_of_sale
        self._client_key = client_key
        self._include_utm_parameters = include_utm_parameters is None or not _is_empty(include_utm_parameters)
        self._requested_at = checked_switch(requested_at, "requested_at")
        self._get_headers = {"X-Library-Version": PROTOCOL_VERSION}
        self._post_headers = {"Content-Type": "application/json", **self._get_headers}

    def __repr__(self) -> str:
        return f"<Sitecore {self.name!r} at {urlsplit(self._base).hostname}>"

    @property
    def origin(self) -> str:
        """The scheme, host and port of the target URL."""
        return origin_of(self._base)

    @property
    def shared_cookie(self) -> SharedCookie:
        """The browser SDK's cookie."""
        return SharedCookie(self.cookie_name)

    @property
    def cookie_name(self) -> str:
        """The browser SDK's name for the cookie."""
        return f"bid_{self._client_key}"

    def check(self, event: Event) -> None:
        """Raise ValidationError with the vendor's code and words, in the vendor's order."""
        if not _is_given(event.point_of_sale):
            raise ValidationError('"pointOfSale" is required.', code="MV-0003")
        if event.kind == "identity":
            _check_identity(event.data)
        elif event.kind == "event":
            self._check_event(event)
        if len(event.extension) > 50:
            check_attribute_count(event.extension)

    def _check_event(self, event: Event) -> None:
        refuse_reserved(event.data, _OWN_FIELDS, self.name, "event data")
        if is_reserved(event.type or "", ("identity",)):
            raise ValidationError(f"{self.name}: event type: found that of an identity; call identity or identify")

    def encoded_size(self, event: Event) -> int:
        """Return 0: each event is sent alone."""
        return 0

    def encode(self, events: Sequence[Event]) -> OutgoingRequest:
        """Return the POST request of one event."""
        (event,) = events
        body = _BODIES[event.kind](event, self._include_utm_parameters)
        page = event.data.get("page")
        common = {
            "browser_id": event.browser_id,
            "client_key": self._client_key,
            "page": "" if page is None else page,
            "pos": event.point_of_sale,
        }
        body |= common
        for name in ("channel", "currency"):
            if name in event.data:
                body[name] = event.data[name]
        if event.data.get("language") is not None:
            body["language"] = event.data["language"]
        if event.context.bot:
            body["ext"] = {**body.get("ext", {}), "bot": True}
        body.pop("requested_at", None)
        if self._requested_at:
            body["requested_at"] = event.timestamp_text
        return OutgoingRequest("POST", f"{self._base}/v1.2/events", self._post_headers, json.dumps(body))

    def classify(self, response: DestinationResponse) -> SendResult:
        """2xx is delivered; temporary failures are tried again; other responses are permanent failures."""
        result = classify_status(response)
        return Delivered(read_json(response)) if result is None else result

    def new_id_query(self) -> Query[str]:
        """Return the query for a new browser ID."""
        url = f"{self._base}/v1.2/browser/create.json?client_key={quote(self._client_key)}&message={{}}"
        return Query(OutgoingRequest("GET", url, self._get_headers), _read_browser_id)

    def guest_query(self, browser_id: str) -> Query[str]:
        """Return the query for the guest ID."""
        key = quote(self._client_key)
        url = f"{self._base}/v1.2/browser/{quote(browser_id, safe='')}/show.json?client_key={key}&api_token={key}"
        return Query(OutgoingRequest("GET", url, self._get_headers), _read_guest_id)

    def personalize_query(
        self, data: dict[str, Any], browser_id: str | None, point_of_sale: str | None
    ) -> Query[dict[str, Any] | None]:
        """Return the query for a personalisation. Raises ValidationError MV-0008 or MV-0003."""
        asked = {_PERSONALIZE_RENAMED.get(name, name): value for name, value in data.items()}
        if not str(asked.get("friendlyId") or "").strip():
            raise ValidationError('"friendlyId" is required.', code="MV-0008")
        point_of_sale = asked.pop("pointOfSale", None) or point_of_sale
        if not _is_given(point_of_sale):
            raise ValidationError('"pointOfSale" is required.', code="MV-0003")
        body = _personalize_body(asked)
        body |= {"clientKey": self._client_key, "pointOfSale": point_of_sale}
        if "email" not in body and "identifiers" not in body:
            body["browserId"] = browser_id or ""
        call = OutgoingRequest("POST", f"{self._base}/v2/callFlows", self._post_headers, json.dumps(body))
        return Query(call, _read_personalization)


_PERSONALIZE_RENAMED = {"friendly_id": "friendlyId", "point_of_sale": "pointOfSale"}


def _is_empty(setting: object) -> bool:
    """Return whether a setting is falsy in JavaScript and Python. A value without a truth value is not."""
    try:
        return not setting
    except Exception:
        return False


def _is_given(point_of_sale: object) -> bool:
    return isinstance(point_of_sale, str) and bool(point_of_sale.strip())


def _check_identity(data: dict[str, Any]) -> None:
    if not data.get("identifiers") or not isinstance(data["identifiers"], list):
        raise ValidationError('"identifiers" is required.', code="MV-0004")
    identifiers = identifiers_in(data)
    if not identifiers:
        raise ValidationError('identifiers: expected a list of dicts such as {"id": "123", "provider": "CRM"}')
    if "dob" in data and not _is_real_minute(data["dob"]):
        raise ValidationError('Incorrect value for "dob". Format the value according to ISO 8601.', code="IV-0002")
    lacks_provider = False
    for identifier in identifiers:
        lacks_provider |= "provider" in identifier and identifier["provider"] is None
        if identifier.get("expiry_date") not in (None, "") and not _is_real_minute(identifier["expiry_date"]):
            raise ValidationError(
                'Incorrect value for "expiryDate". Format the value according to ISO 8601.', code="IV-0004"
            )
    email = data.get("email")
    if email is not None and email != "" and not (isinstance(email, str) and _is_email(email)):
        raise ValidationError('Incorrect value for "email". Set the value to a valid email address.', code="IV-0003")
    if lacks_provider:
        raise ValidationError(
            "identify needs to know by which provider Sitecore CDP knows the user ID: set identity_provider"
        )


def _is_real_minute(text: object) -> bool:
    """Return whether a text is a valid YYYY-MM-DDThh:mm. The year 0000, not supported by Python, was a leap year."""
    if not isinstance(text, str) or not _is_minute(text):
        return False
    try:
        datetime.fromisoformat(text if text[:4] != "0000" else "2000" + text[4:])
    except ValueError:
        return False
    return True


def _view_body(event: Event, include_utm_parameters: bool) -> dict[str, Any]:
    body: dict[str, Any] = {"type": "VIEW"}
    said = event.context
    if include_utm_parameters and said.campaign_decoded_twice is not None:
        body |= said.campaign_decoded_twice  # as the Engage SDK does
    elif include_utm_parameters and said.campaign:
        body |= {name: value for name, value in said.campaign.items() if name.startswith("utm_")}
    if event.data.get("referrer"):
        body["referrer"] = event.data["referrer"]
    extension = dict(event.extension)
    own = extension.pop("pageVariantId", None)
    variant = event.data.get("page_variant_id") or event.context.variant or own
    if variant:
        extension["pageVariantId"] = variant
    if extension or own is not None:
        body["ext"] = extension
    return body


def _identity_body(event: Event, include_utm_parameters: bool) -> dict[str, Any]:
    data = event.data
    body: dict[str, Any] = {name: data[name] for name in _IDENTITY_FIELDS if name in data}
    body |= {theirs: data[ours] for ours, theirs in _IDENTITY_RENAMED.items() if ours in data}
    body["identifiers"] = [
        {name: one[name] for name in ("id", "provider", "expiry_date") if name in one} for one in data["identifiers"]
    ]
    body["type"] = "IDENTITY"
    return body | ({"ext": event.extension} if event.extension else {})


def _event_body(event: Event, include_utm_parameters: bool) -> dict[str, Any]:
    # Repeat the checks of the call: a stored event may be older than a check.
    body: dict[str, Any] = {"type": event.type}
    body |= {name: value for name, value in event.data.items() if name not in ("type", "ext", "language")}
    return body | ({"ext": event.extension} if event.extension else {})


_BODIES: dict[str, Callable[[Event, bool], dict[str, Any]]] = {
    "page_view": _view_body,
    "identity": _identity_body,
    "event": _event_body,
}


def _personalize_body(asked: dict[str, Any]) -> dict[str, Any]:
    body: dict[str, Any] = {name: asked[name] for name in ("channel", "friendlyId") if name in asked}
    if asked.get("language") is not None:
        body["language"] = asked["language"]
    if "currency" in asked:
        body["currencyCode"] = asked["currency"]
    if "params" in asked:
        body["params"] = asked["params"]
    if str(asked.get("email") or "").strip():
        body["email"] = asked["email"]
    identifier = as_object(asked.get("identifier"))
    if str(identifier.get("id") or "").strip():
        body["identifiers"] = identifier
    return body


def _read_browser_id(response: DestinationResponse) -> str:
    reference = as_object(read_json(response)).get("ref")
    if classify_status(response) is None and is_uuid(reference):
        return str(reference)
    raise RemoteError(f"browser ID: found status {response.status} and no usable ref, expected 2xx and a UUID")


def _read_guest_id(response: DestinationResponse) -> str:
    body = as_object(read_json(response))
    reference = as_object(body.get("customer")).get("ref")
    if classify_status(response) is None and isinstance(reference, str):
        return reference
    if isinstance(body.get("error_msg"), str):
        more = body.get("moreInfo")
        raise RemoteError(body["error_msg"][:200] + (f", for more info: {more[:200]}" if isinstance(more, str) else ""))
    raise RemoteError(f"guest ID: found status {response.status} and no customer ref, expected 2xx with one")


def _read_personalization(response: DestinationResponse) -> dict[str, Any] | None:
    body = read_json(response)
    return as_object(body) if classify_status(response) is None and isinstance(body, dict) else None
