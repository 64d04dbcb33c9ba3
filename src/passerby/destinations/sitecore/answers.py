"""Reads the responses of Sitecore's services, which are the same in both forms."""

from __future__ import annotations

from typing import Any

from ...errors import RemoteError
from ...values.browser_id import is_uuid
from .. import DestinationResponse, IssuedId
from ..responses import as_object, classify_status, read_json


def read_issued_id(response: DestinationResponse) -> IssuedId:
    """Return the browser ID of a response, and the guest ID that it belongs to. Raises RemoteError."""
    body = as_object(read_json(response))
    browser_id, guest_id = body.get("ref"), body.get("customer_ref")
    if classify_status(response) is None and is_uuid(browser_id):
        return IssuedId(str(browser_id), str(guest_id) if is_uuid(guest_id) else None)
    raise RemoteError(f"browser ID: found status {response.status} and no usable ref, expected 2xx and a UUID")


def read_guest_id(response: DestinationResponse) -> str:
    """Return the guest ID of a response. Raises RemoteError with the service's words, if it gives any."""
    body = as_object(read_json(response))
    reference = as_object(body.get("customer")).get("ref")
    if classify_status(response) is None and isinstance(reference, str):
        return reference
    if isinstance(body.get("error_msg"), str):
        more = body.get("moreInfo")
        raise RemoteError(body["error_msg"][:200] + (f", for more info: {more[:200]}" if isinstance(more, str) else ""))
    raise RemoteError(f"guest ID: found status {response.status} and no customer ref, expected 2xx with one")


def read_personalization(response: DestinationResponse) -> dict[str, Any] | None:
    """Return the object of a 2xx response, or None."""
    body = read_json(response)
    return as_object(body) if classify_status(response) is None and isinstance(body, dict) else None
