"""The ASGI side of the systems that are played: read a request, decide the answer, keep both, send it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NamedTuple

from starlette.types import Receive, Scope, Send

from . import datalyr_api, pipelines_api
from .ask import Answer, Ask
from .connection import transport_of
from .datalyr_api import DatalyrApi
from .json_object import JSONObject, as_object
from .pipelines_api import PipelinesApi
from .received import Received
from .reply import Reply, deliver
from .row import Kept
from .scripted import AS_TOLD, Misbehaviour, Scripted
from .store import Store
from .stream_api import StreamApi, too_large

MAX_BODY = 1_048_576  # bytes
BODY_TIMEOUT = 60.0  # seconds in which a request's body has to come
WELL_BEHAVED = Scripted(status=None)

OnReceived = Callable[[Received], None]


class Apis(NamedTuple):
    """The systems that are played."""

    stream: StreamApi
    pipelines: PipelinesApi
    datalyr: DatalyrApi


class Exchange:
    """Serve the three systems, as an ASGI app."""

    def __init__(
        self,
        apis: Apis,
        store: Store,
        misbehaviour: Misbehaviour,
        on_received: OnReceived | None = None,
    ) -> None:
        self._apis = apis
        self._store = store
        self._misbehaviour = misbehaviour
        self._on_received = on_received

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        body = await read_body(receive, MAX_BODY)
        if body is None:
            transport_of(scope).abort()
            return
        ask = Ask(scope["method"], wire_path(scope), body, _headers(scope))
        scripted = self._misbehaviour.next_answer(ask.route) or WELL_BEHAVED
        answer = self._answer(ask, scripted)
        reply = Reply.make(answer, scripted)
        self._keep(ask, answer, reply, scripted)
        await deliver(reply, scripted, scope, receive, send)

    def _answer(self, ask: Ask, scripted: Scripted) -> Answer:
        if scripted.status is not None:
            return _scripted_answer(ask, scripted, scripted.status)
        if len(ask.body) > MAX_BODY:
            return too_large(MAX_BODY)
        if "webhook-signature" in ask.headers:  # of a Webhook, at whichever path; the key is not known here
            return Answer(200, {})
        if ask.route == "pipelines":
            return self._apis.pipelines.answer(ask)
        return self._apis.datalyr.answer(ask) if ask.route == "datalyr" else self._apis.stream.answer(ask)

    def _keep(self, ask: Ask, answer: Answer, reply: Reply, scripted: Scripted) -> None:
        received = Received(
            number=self._store.next_number(),
            time=time.time(),
            method=ask.method,
            path=ask.path,
            headers=dict(ask.headers),
            body=ask.body[:MAX_BODY],
            route=ask.route,
            status=None if scripted.reset else answer.status,
            accepted=answer.event is not None or bool(answer.messages),
            refusal=answer.refusal,
            answer_headers={} if scripted.reset else dict(reply.headers),
            answer_body=reply.sent(scripted),
        )
        self._store.add(
            Kept(
                received,
                answer.event,
                answer.browser_id,
                answer.system,
                answer.messages,
                answer.positions,
                answer.repeated,
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
    """The body, cut off just above `limit`; None where the client went away before its end, or takes too long."""
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


def _scripted_answer(ask: Ask, scripted: Scripted, status: int) -> Answer:
    if scripted.reset or not 200 <= status <= 299:
        return Answer(status, {}, refusal=AS_TOLD)
    event = _event_text(ask) if ask.route == "events" else None
    browser_id = _issued(scripted.body) if ask.route == "create" else None
    if ask.route == "pipelines":
        return Answer(status, {}, system="customerio", messages=_messages(ask, pipelines_api.read_messages))
    if ask.route == "datalyr":
        return Answer(status, {}, system="datalyr", messages=_messages(ask, datalyr_api.read_messages))
    return Answer(status, {}, event=event, browser_id=browser_id)


def _messages(ask: Ask, read: Callable[[Ask], list[Any]]) -> tuple[JSONObject, ...]:
    try:
        return tuple(as_object(one) for one in read(ask))
    except ValueError:
        return ()


def _event_text(ask: Ask) -> str | None:
    try:
        return ask.read_event()[1]
    except ValueError:
        return None


def _issued(body: object) -> str | None:
    browser_id = as_object(body).get("ref")
    return browser_id if isinstance(browser_id, str) and browser_id.isprintable() else None


def _headers(scope: Scope) -> dict[str, str]:
    headers: dict[str, str] = {}
    for raw_name, raw_value in scope["headers"]:
        name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1")
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return headers
