"""Django's own handlers, called as servers call them: what a response is on the wire."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from io import BytesIO, StringIO
from typing import Any

from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler

from tests.making import NAVIGATION, Headers, body_of, by_name, call, make_environ, make_scope, start_of

from .browser import Face


@dataclass
class Wire:
    """A response as it is sent."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes

    @property
    def cookies(self) -> dict[str, str]:
        """The lines of the Set-Cookie headers by name."""
        return by_name(value.strip() for name, value in self.headers if name == "Set-Cookie")

    @property
    def bare(self) -> tuple[int, list[tuple[str, str]], bytes]:
        """All but our cookies and the header that keeps them out of caches."""
        added = ("Cache-Control", "private")
        theirs = [pair for pair in self.headers if not pair[1].strip().startswith("bid_key") and pair != added]
        return self.status, theirs, self.body


def ask(face: Face, target: str = "/", headers: Headers = NAVIGATION, **fields: Any) -> Wire:
    """Make a request to the project as it is now; `fields` are those of the scope, by which the environ goes too."""
    if face == "wsgi":
        return ask_wsgi(WSGIHandler(), target, headers, **fields)
    sent = asyncio.run(call(ASGIHandler(), make_scope(target, headers, **fields)))
    start = start_of(sent)
    listed = [(name.decode(), value.decode()) for name, value in start["headers"]]
    return Wire(start["status"], listed, body_of(sent))


def ask_wsgi(app: Any, target: str = "/", headers: Headers = NAVIGATION, **fields: Any) -> Wire:
    """Make a request to a WSGI app and let go of its answer, as servers do."""
    started: list[tuple[str, list[tuple[str, str]]]] = []

    def start_response(status: str, headers: list[tuple[str, str]]) -> None:
        started.append((status, headers))

    body = app(environ_of(target, headers, **fields), start_response)
    try:
        sent = b"".join(body)
    finally:
        body.close()
    ((status, listed),) = started
    return Wire(int(status[:3]), listed, sent)


def environ_of(target: str = "/", headers: Headers = NAVIGATION, **fields: Any) -> dict[str, Any]:
    """A WSGI environ with all that a server puts into it."""
    return make_environ(target, headers, **fields) | {"wsgi.input": BytesIO(), "wsgi.errors": StringIO()}
