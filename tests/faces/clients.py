"""Clients of a site, as a browser would be one, whether the site is in this process or behind a socket."""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from io import BytesIO, StringIO
from typing import Any

import httpx

from passerby.collector import CollectorServer
from tests.making import NAVIGATION, Message, body_of, make_environ, make_scope, start_of

from .pages import OwnError
from .servers import Server
from .sites import BARE

HOST = "http://127.0.0.1"


@dataclass
class Site:
    """One app on one server, or in this process.

    Attributes:
        collector: where its events go.
        transport: makes what carries requests to it.
        server: the server's process, if it has one.
    """

    collector: CollectorServer
    transport: Callable[[], httpx.AsyncBaseTransport]
    server: Server | None = None

    @asynccontextmanager
    async def visit(self, **headers: str) -> AsyncIterator[httpx.AsyncClient]:
        """A browser that comes for the first time."""
        named = NAVIGATION | {name.replace("_", "-"): value for name, value in headers.items()}
        port = self.server.port if self.server is not None else 80
        async with httpx.AsyncClient(
            base_url=f"{HOST}:{port}", headers=named, transport=self.transport(), timeout=30
        ) as browser:
            yield browser

    def types_of(self, browser_id: str) -> list[str]:
        """The types of the events that have arrived of a visitor."""
        return [event["type"] for event in list(self.collector.events) if event["browser_id"] == browser_id]

    def has_arrived(self, browser_id: str, *types: str) -> bool:
        """Whether events of these types, and no other, have arrived of a visitor.

        They are in this order where one process serves: of several each delivers by itself what it was told.
        """
        arrived = self.types_of(browser_id)
        if self.server is not None and self.server.has_workers:
            return sorted(arrived) == sorted(types)
        return arrived == list(types)


class InLoop(httpx.AsyncBaseTransport):
    """Carries requests to an ASGI app, from a client that stays until it is done."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        headers = [(name, value) for name, value in request.headers.items() if name != "transfer-encoding"]
        scope = make_scope(request.url.raw_path.decode(), headers, method=request.method, scheme="http", host="")
        sent: list[Message] = []
        incoming = [{"type": "http.request", "body": await request.aread(), "more_body": False}]

        async def receive() -> Message:
            if not incoming:
                await asyncio.Event().wait()
            return incoming.pop()

        async def send(message: Message) -> None:
            sent.append(message)

        with suppress(OwnError):
            await self._app(scope, receive, send)
        if not sent:
            return httpx.Response(500)
        content = b"" if request.method == "HEAD" else body_of(sent)
        return httpx.Response(start_of(sent)["status"], headers=start_of(sent)["headers"], content=content)


class InThread(httpx.AsyncBaseTransport):
    """Carries requests to a WSGI app, each in a thread."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        return await asyncio.to_thread(self._answer, request, await request.aread())

    def _answer(self, request: httpx.Request, body: bytes) -> httpx.Response:
        started: list[tuple[str, list[tuple[str, str]]]] = []
        pieces: list[bytes] = []

        def start_response(status: str, headers: list[tuple[str, str]], error: Any = None) -> Any:
            started.append((status, headers))
            return pieces.append

        headers = [(name, value) for name, value in request.headers.items() if name != "transfer-encoding"]
        environ = make_environ(request.url.raw_path.decode(), headers, method=request.method, scheme="http", host="")
        environ |= {"wsgi.input": BytesIO(body), "wsgi.errors": StringIO(), "wsgi.version": (1, 0)}
        environ |= {"wsgi.multithread": True, "wsgi.multiprocess": False, "wsgi.run_once": False}
        try:
            answer = self._app(environ, start_response)
            try:
                pieces.extend(answer)
            finally:
                getattr(answer, "close", list)()
        except OwnError:
            if not pieces:
                return httpx.Response(500)
        status, sent = started[-1]
        # As servers do: blanks around a value are not its own, and HEAD has no body.
        listed = [(name, value.strip()) for name, value in sent]
        content = b"" if request.method == "HEAD" else b"".join(pieces)
        return httpx.Response(int(status[:3]), headers=listed, content=content)


def raw_answer(port: int, method: str, path: str, *, body: bytes = b"", bare: bool = False) -> list[bytes]:
    """The bytes of an answer as they come over a socket, in lines; without date, our cookies, and "private"."""
    lines = [f"{method} {path} HTTP/1.1", "host: 127.0.0.1", "connection: close", f"content-length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in NAVIGATION.items()] + ([f"{BARE}: 1"] if bare else [])
    with socket.create_connection(("127.0.0.1", port), 30) as connection:
        connection.sendall("\r\n".join([*lines, "", ""]).encode() + body)
        answer = b""
        while received := connection.recv(65_536):
            answer += received
    head, found, content = answer.partition(b"\r\n\r\n")
    kept = [_without_private(b"", line) for line in head.split(b"\r\n") if not _is_date_or_ours(line)]
    return [*kept, found, content]


_is_date_or_ours = re.compile(rb"date:|set-cookie: +bid_key|cache-control: private", re.IGNORECASE).match
_without_private = re.compile(rb"(?<=no-cache), private$").sub  # what keeps our cookies out of caches
