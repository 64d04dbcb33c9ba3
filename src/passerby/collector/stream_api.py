"""The responses of Sitecore's Stream API, and of the edge in front of it: values in, values out, no network.

The Engage SDK calls the Stream API with a client key. The Cloud SDK and the Content SDK call the edge with a context
ID, and name a site for events and personalisations; their client key is empty, as the edge fills it in.

Guessed of the edge, which was not reachable: everything that it refuses, the statuses and bodies of the refusals, and
that it takes every page view of a bot. Its calls and the bodies of its other responses were seen in the vendor's SDKs.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Collection
from urllib.parse import unquote

from .api_request import SHOW_ENDING, ApiRequest, ApiResponse
from .json_object import JSONObject, as_list, parse_object

MORE_INFO = "https://doc.sitecore.com/cdp"
NO_SCRIPT = "data:text/javascript,"  # an address that every browser can load
BOT = "bot"  # the channel of a bot's page views
GUESTS = uuid.UUID("5d0ff2b8-6d1c-4f0b-9b7e-2f6f3b5a9c11")
REASONS = {
    400: "Bad Request",
    401: "Unauthorized",
    404: "Not Found",
    405: "Method Not Allowed",
    413: "Content Too Large",
}


class StreamApi:
    """The emulated service, with the known browser IDs, the valid client keys and the edge's context IDs."""

    def __init__(
        self,
        *,
        is_known: Callable[[str], bool],
        client_keys: Collection[str] = (),  # empty: all keys are valid
        context_ids: Collection[str] = (),  # empty: all are valid
        new_id: Callable[[], str] = lambda: str(uuid.uuid4()),
    ) -> None:
        self._is_known = is_known
        self._client_keys = frozenset(client_keys)
        self._context_ids = frozenset(context_ids)
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
            case "callflows" | "personalize":
                return self._personalize(request)
            case "cdn":
                return self._show_script(request)
            case _:
                return _refuse(404, f"The Stream API has no {request.bare_path[:200]}")

    def _create(self, request: ApiRequest) -> ApiResponse:
        client_key = request.parameters.get("client_key", "")
        if request.method != "GET":
            return _refuse(405, "A browser ID is created with GET")
        if (reason := self._about_access(request, client_key)) is not None:
            return _refuse(401, reason)
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
        refusal = self._refuse_event(request, event)
        return refusal or ApiResponse(201, {**_ok(event.get("client_key")), "ref": self._new_id()}, event=text)

    def _refuse_event(self, request: ApiRequest, event: JSONObject) -> ApiResponse | None:
        if (reason := self._about_access(request, event.get("client_key"))) is not None:
            return _refuse(401, reason)
        if (reason := _about_site(request)) is not None:
            return _refuse(400, reason)
        for name in ("browser_id", "type"):
            if not _is_filled_text(event.get(name)):
                return _refuse(400, f"{name} is missing")
        # A bot's ID is made from its User-Agent, so that a crawler is one visitor.
        if event.get("channel") != BOT and not self._is_known(event["browser_id"]):
            return _refuse(404, f"browser_id {_shown(event['browser_id'])} was not issued here")
        return None

    def _show(self, request: ApiRequest) -> ApiResponse:
        found = SHOW_ENDING.search(request.bare_path)
        browser_id = unquote(found["browser_id"]) if found else ""
        client_key = request.parameters.get("client_key", "")
        if request.method != "GET":
            return _refuse_show(405, "A browser is shown with GET")
        if (reason := self._about_access(request, client_key)) is not None:
            return _refuse_show(401, reason)
        if not self._is_known(browser_id):
            return _refuse_show(404, f"Browser {_shown(browser_id)} not found")
        customer = {"ref": guest_id_of(browser_id)}
        return ApiResponse(200, {**_ok(client_key), "ref": browser_id, "customer": customer})

    def _personalize(self, request: ApiRequest) -> ApiResponse:
        if request.method != "POST":
            return _refuse(405, "A personalisation is asked for with POST")
        try:
            call = parse_object(request.body)
        except ValueError as exc:
            return _refuse(400, f"The call cannot be read: {exc}")
        if (reason := self._about_access(request, call.get("clientKey"))) is not None:
            return _refuse(401, reason)
        if (reason := _about_site(request)) is not None:
            return _refuse(400, reason)
        if not _is_filled_text(call.get("friendlyId")):
            return _refuse(400, "friendlyId is missing")
        decision: JSONObject = {"friendlyId": call["friendlyId"], "variant": "A", "decisionOffers": []}
        if request.is_edge:
            decision["variantId"] = next((name for name in as_list(call.get("variants")) if isinstance(name, str)), "A")
        return ApiResponse(200, decision)

    def _show_script(self, request: ApiRequest) -> ApiResponse:
        if request.method != "GET":
            return _refuse(405, "The address of the script is asked for with GET")
        if (reason := self._about_access(request, "")) is not None:
            return _refuse(401, reason)
        return ApiResponse(200, {}, text=NO_SCRIPT)

    def _about_access(self, request: ApiRequest, client_key: object) -> str | None:
        """Say why the request's key does not give access; None if it does."""
        if request.is_edge:
            context_id = request.context_id
            is_right = context_id in self._context_ids if self._context_ids else bool(context_id.strip())
            return None if is_right else _about_context(context_id)
        if not self._client_keys or (isinstance(client_key, str) and client_key in self._client_keys):
            return None
        return "The client key is not one of this service" if client_key else "The client key is missing"


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


def _about_context(context_id: str) -> str:
    if context_id.strip():
        return "The context ID is not one of this service"
    return "The context ID is missing: expected sitecoreContextId in the query, or the header x-sitecore-contextid"


def _about_site(request: ApiRequest) -> str | None:
    if not request.is_edge or request.site.strip():
        return None
    return "The site name is missing: expected siteId in the query"


def _shown(browser_id: str) -> str:
    return ascii(browser_id[:64])[1:-1]
