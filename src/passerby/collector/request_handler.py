"""The emulated systems as an ASGI app: read a request, make the response, store both, send it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NamedTuple

from starlette.types import Receive, Scope, Send

from . import datalyr_api, pipelines_api
from .api_request import ApiRequest, ApiResponse
from .collected_request import CollectedRequest
from .connection import transport_of
from .datalyr_api import DatalyrApi
from .faults import BY_FAULT, Faults, ScriptedResponse
from .json_object import JSONObject, as_object
from .pipelines_api import PipelinesApi
from .request_record import RequestRecord
from .store import Store
from .stream_api import StreamApi, too_large
from .wire_response import WireResponse, send_response

MAX_BODY = 1_048_576  # bytes
BODY_TIMEOUT = 60.0  # seconds in which the body must arrive
NO_FAULT = ScriptedResponse(status=None)

OnReceived = Callable[[CollectedRequest], None]


class Apis(NamedTuple):
    """The emulated systems."""

    stream: StreamApi
    pipelines: PipelinesApi
    datalyr: DatalyrApi


class RequestHandler:
    """Serve the three systems, as an ASGI app."""

    def __init__(
        self,
        apis: Apis,
        store: Store,
        faults: Faults,
        on_received: OnReceived | None = None,
    ) -> None:
        self._apis = apis
        self._store = store
        self._faults = faults
        self._on_received = on_received

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        body = await read_body(receive, MAX_BODY)
        if body is None:
            transport_of(scope).abort()
            return
        request = ApiRequest(scope["method"], wire_path(scope), body, _headers(scope))
        scripted = self._faults.next_response(request.route) or NO_FAULT
        response = self._respond(request, scripted)
        wire = WireResponse.make(response, scripted)
        self._store_request(request, response, wire, scripted)
        await send_response(wire, scripted, scope, receive, send)

    def _respond(self, request: ApiRequest, scripted: ScriptedResponse) -> ApiResponse:
        if scripted.status is not None:
            return _scripted_response(request, scripted, scripted.status)
        if len(request.body) > MAX_BODY:
            return too_large(MAX_BODY)
        if "webhook-signature" in request.headers:  # of a Webhook destination, at any path; its key is not known
            return ApiResponse(200, {})
        if request.route == "pipelines":
            return self._apis.pipelines.handle(request)
        return self._apis.datalyr.handle(request) if request.route == "datalyr" else self._apis.stream.handle(request)

    def _store_request(
        self, request: ApiRequest, response: ApiResponse, wire: WireResponse, scripted: ScriptedResponse
    ) -> None:
        received = CollectedRequest(
            number=self._store.next_number(),
            time=time.time(),
            method=request.method,
            path=request.path,
            headers=dict(request.headers),
            body=request.body[:MAX_BODY],
            route=request.route,
            status=None if scripted.reset else response.status,
            accepted=response.event is not None or bool(response.messages),
            refusal=response.refusal,
            response_headers={} if scripted.reset else dict(wire.headers),
            response_body=wire.sent_content(scripted),
        )
        self._store.add(
            RequestRecord(
                received,
                response.event,
                response.browser_id,
                response.system,
                response.messages,
                response.positions,
                response.repeated,
            )
        )
        if self._on_received is not None:
            self._on_received(received)


def wire_path(scope: Scope) -> str:
    """The path with its query, undecoded."""
    path: bytes = scope["raw_path"]
    query: bytes = scope["query_string"]
    return (path + b"?" + query if query else path).decode("latin-1")


async def read_body(receive: Receive, limit: int) -> bytes | None:
    """The body, truncated just above `limit`; None if the client disconnects or is too slow."""
    with suppress(TimeoutError):
        async with asyncio.timeout(BODY_TIMEOUT):
            return await _read_body(receive, limit)
    return None


async def _read_body(receive: Receive, limit: int) -> bytes | None:
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return None
        body += message.get("body", b"")
        if len(body) > limit:
            return bytes(body[: limit + 1])
        if not message.get("more_body", False):
            return bytes(body)


def _scripted_response(request: ApiRequest, scripted: ScriptedResponse, status: int) -> ApiResponse:
    if scripted.reset or not 200 <= status <= 299:
        return ApiResponse(status, {}, refusal=BY_FAULT)
    event = _event_text(request) if request.route == "events" else None
    browser_id = _issued_browser_id(scripted.body) if request.route == "create" else None
    if request.route == "pipelines":
        return ApiResponse(status, {}, system="customerio", messages=_messages(request, pipelines_api.read_messages))
    if request.route == "datalyr":
        return ApiResponse(status, {}, system="datalyr", messages=_messages(request, datalyr_api.read_messages))
    return ApiResponse(status, {}, event=event, browser_id=browser_id)


def _messages(request: ApiRequest, read: Callable[[ApiRequest], list[Any]]) -> tuple[JSONObject, ...]:
    try:
        return tuple(as_object(one) for one in read(request))
    except ValueError:
        return ()


def _event_text(request: ApiRequest) -> str | None:
    try:
        return request.read_event()[1]
    except ValueError:
        return None


def _issued_browser_id(body: object) -> str | None:
    browser_id = as_object(body).get("ref")
    return browser_id if isinstance(browser_id, str) and browser_id.isprintable() else None


def _headers(scope: Scope) -> dict[str, str]:
    headers: dict[str, str] = {}
    for raw_name, raw_value in scope["headers"]:
        name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1")
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return headers
