"""The responses of Sitecore's Stream API: values in, values out, no network."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Collection
from urllib.parse import unquote

from .api_request import SHOW_ENDING, ApiRequest, ApiResponse
from .json_object import JSONObject, parse_object

MORE_INFO = "https://doc.sitecore.com/cdp"
GUESTS = uuid.UUID("5d0ff2b8-6d1c-4f0b-9b7e-2f6f3b5a9c11")
REASONS = {
    400: "Bad Request",
    401: "Unauthorized",
    404: "Not Found",
    405: "Method Not Allowed",
    413: "Content Too Large",
}


class StreamApi:
    """The emulated service, with the known browser IDs and the valid client keys."""

    def __init__(
        self,
        *,
        is_known: Callable[[str], bool],
        client_keys: Collection[str] = (),  # empty: all keys are valid
        new_id: Callable[[], str] = lambda: str(uuid.uuid4()),
    ) -> None:
        self._is_known = is_known
        self._client_keys = frozenset(client_keys)
        self._new_id = new_id

    def handle(self, request: ApiRequest) -> ApiResponse:
        """Return the response to a request."""
        match request.route:
            case "events":
                return self._take_event(request)
            case "create":
                return self._create(request)
            case "show":
                return self._show(request)
            case "callflows":
                return self._personalize(request)
            case _:
                return _refuse(404, f"The Stream API has no {request.bare_path[:200]}")

    def _create(self, request: ApiRequest) -> ApiResponse:
        client_key = request.parameters.get("client_key", "")
        if request.method != "GET":
            return _refuse(405, "A browser ID is created with GET")
        if not self._is_right_key(client_key):
            return _refuse(401, _about_key(client_key))
        browser_id = self._new_id()
        body = {**_ok(client_key), "ref": browser_id, "customer_ref": guest_id_of(browser_id)}
        return ApiResponse(200, body, browser_id=browser_id)

    def _take_event(self, request: ApiRequest) -> ApiResponse:
        method = "GET" if request.is_event_form else "POST"
        if request.method != method:
            return _refuse(405, f"This address takes events with {method}")
        try:
            event, text = request.read_event()
        except ValueError as exc:
            return _refuse(400, f"The event cannot be read: {exc}")
        refusal = self._refuse_event(event)
        return refusal or ApiResponse(201, {**_ok(event.get("client_key")), "ref": self._new_id()}, event=text)

    def _refuse_event(self, event: JSONObject) -> ApiResponse | None:
        if not self._is_right_key(event.get("client_key")):
            return _refuse(401, _about_key(event.get("client_key")))
        for name in ("browser_id", "type"):
            if not _is_filled_text(event.get(name)):
                return _refuse(400, f"{name} is missing")
        if not self._is_known(event["browser_id"]):
            return _refuse(404, f"browser_id {_shown(event['browser_id'])} was not issued here")
        return None

    def _show(self, request: ApiRequest) -> ApiResponse:
        found = SHOW_ENDING.search(request.bare_path)
        browser_id = unquote(found["browser_id"]) if found else ""
        client_key = request.parameters.get("client_key", "")
        if request.method != "GET":
            return _refuse_show(405, "A browser is shown with GET")
        if not self._is_right_key(client_key):
            return _refuse_show(401, _about_key(client_key))
        if not self._is_known(browser_id):
            return _refuse_show(404, f"Browser {_shown(browser_id)} not found")
        customer = {"ref": guest_id_of(browser_id)}
        return ApiResponse(200, {**_ok(client_key), "ref": browser_id, "customer": customer})

    def _personalize(self, request: ApiRequest) -> ApiResponse:
        if request.method != "POST":
            return _refuse(405, "Call flows are called with POST")
        try:
            call = parse_object(request.body)
        except ValueError as exc:
            return _refuse(400, f"The call cannot be read: {exc}")
        if not self._is_right_key(call.get("clientKey")):
            return _refuse(401, _about_key(call.get("clientKey")))
        if not _is_filled_text(call.get("friendlyId")):
            return _refuse(400, "friendlyId is missing")
        return ApiResponse(200, {"friendlyId": call["friendlyId"], "variant": "A", "decisionOffers": []})

    def _is_right_key(self, client_key: object) -> bool:
        return not self._client_keys or (isinstance(client_key, str) and client_key in self._client_keys)


def guest_id_of(browser_id: str) -> str:
    """The guest ID of a browser ID, always the same one."""
    return str(uuid.uuid5(GUESTS, ascii(browser_id)))


def too_large(limit: int) -> ApiResponse:
    """The response to a body of more than `limit` bytes."""
    return _refuse(413, f"The body is longer than {limit:,} bytes")


def _ok(client_key: object) -> JSONObject:
    return {"status": "OK", "version": "1.2", "client_key": client_key}


def _refuse(status: int, reason: str) -> ApiResponse:
    body = {
        "status": status,
        "code": status,
        "message": REASONS[status],
        "developerMessage": reason,
        "moreInfoUrl": MORE_INFO,
    }
    return ApiResponse(status, body, refusal=reason)


def _refuse_show(status: int, reason: str) -> ApiResponse:
    body = {"status": "api_error", "version": "1.2", "error_msg": reason, "moreInfo": MORE_INFO}
    return ApiResponse(status, body, refusal=reason)


def _is_filled_text(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _about_key(client_key: object) -> str:
    return "The client key is not one of this service" if client_key else "The client key is missing"


def _shown(browser_id: str) -> str:
    return ascii(browser_id[:64])[1:-1]
