"""The bodies of Sitecore's events, which are the same in both forms apart from a few fields."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ...events.event import Event, EventKind
from ..responses import as_object

_IDENTITY_FIELDS = (
    "city", "country", "dob", "email", "gender", "mobile", "phone", "postal_code", "state", "street", "title",
)  # fmt: skip
_IDENTITY_RENAMED = {"first_name": "firstname", "last_name": "lastname"}
_PERSONALIZE_RENAMED = {
    "friendly_id": "friendlyId",
    "page_variant_ids": "pageVariantIds",
    "point_of_sale": "pointOfSale",
}


def event_body(
    event: Event, client_key: str, point_of_sale: str | None, include_utm_parameters: bool
) -> dict[str, Any]:
    """Return the body of an event without the time at which it happened.

    Args:
        event: the event.
        client_key: the tenant's client key.
        point_of_sale: the event's point of sale.
        include_utm_parameters: whether a page view contains the utm parameters of its URL.
    """
    own = {"browser_id": event.browser_id, "client_key": client_key, "pos": point_of_sale}
    if event.kind == "form":
        return {"type": "FORM", "ext": _form_extension(event.data), **own}
    if event.kind != "page_view":
        body = _BODIES[event.kind](event)
        if event.context.bot:  # as the app says, or an earlier version that sent all events of bots
            body["ext"] = {**body.get("ext", {}), "bot": True}
        return _with_common(body, event.data) | own
    if event.context.bot:
        return _bot_body(event, include_utm_parameters) | own
    return _with_common(_view_body(event, include_utm_parameters), event.data) | own


def _with_common(body: dict[str, Any], data: Mapping[str, Any]) -> dict[str, Any]:
    page = data.get("page")
    body["page"] = "" if page is None else page
    for name in ("channel", "currency"):
        if name in data:
            body[name] = data[name]
    if data.get("language") is not None:
        body["language"] = data["language"]
    return body


def _bot_body(event: Event, include_utm_parameters: bool) -> dict[str, Any]:
    """Return the page view of a bot, which its channel distinguishes from a person's, as in the Content SDK."""
    body = _view_body(event._replace(extension={}), include_utm_parameters)
    body.pop("referrer", None)
    data = {"channel": "bot", "language": event.data.get("language"), "page": event.data.get("page")}
    extension = {**body.get("ext", {}), "sourceUserAgent": event.context.user_agent or ""}
    return _with_common(body, data) | {"ext": extension}


def _view_body(event: Event, include_utm_parameters: bool) -> dict[str, Any]:
    body: dict[str, Any] = {"type": "VIEW"}
    said = event.context
    if include_utm_parameters and said.campaign_decoded_twice is not None:
        body |= said.campaign_decoded_twice  # as the vendor's SDKs do
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


def _identity_body(event: Event) -> dict[str, Any]:
    data = event.data
    body: dict[str, Any] = {name: data[name] for name in _IDENTITY_FIELDS if name in data}
    body |= {theirs: data[ours] for ours, theirs in _IDENTITY_RENAMED.items() if ours in data}
    body["identifiers"] = [
        {name: one[name] for name in ("id", "provider", "expiry_date") if name in one} for one in data["identifiers"]
    ]
    body["type"] = "IDENTITY"
    return body | ({"ext": event.extension} if event.extension else {})


def _custom_body(event: Event) -> dict[str, Any]:
    # Repeat the checks of the call: a stored event may be older than a check.
    body: dict[str, Any] = {"type": event.type}
    body |= {name: value for name, value in event.data.items() if name not in ("type", "ext", "language")}
    body.pop("requested_at", None)
    return body | ({"ext": event.extension} if event.extension else {})


_BODIES: Mapping[EventKind, Callable[[Event], dict[str, Any]]] = {
    "identity": _identity_body,
    "event": _custom_body,
}


def _form_extension(data: Mapping[str, Any]) -> dict[str, Any]:
    named = {"formId": data["form_id"], "interactionType": data["interaction"]}
    instance = data.get("component_instance_id")
    return named if instance is None else {"componentInstanceId": instance, **named}


def personalization_data(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return the data of a personalisation request with the vendor's names."""
    return {_PERSONALIZE_RENAMED.get(name, name): value for name, value in data.items()}


def personalization_body(asked: Mapping[str, Any], browser_id: str | None) -> dict[str, Any]:
    """Return the fields of a personalisation request that are the same in both forms."""
    body: dict[str, Any] = {name: asked[name] for name in ("channel", "friendlyId") if name in asked}
    if asked.get("language") is not None:
        body["language"] = asked["language"]
    if "currency" in asked:
        body["currencyCode"] = asked["currency"]
    if str(asked.get("email") or "").strip():
        body["email"] = asked["email"]
    identifier = as_object(asked.get("identifier"))
    if str(identifier.get("id") or "").strip():
        body["identifiers"] = identifier
    if "email" not in body and "identifiers" not in body:
        body["browserId"] = browser_id or ""
    return body
