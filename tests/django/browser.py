"""A visitor's browser in front of the project, through Django's own test clients."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from http.cookies import SimpleCookie
from typing import Any, Literal

from django.test import AsyncClient, Client

from tests.making import NAVIGATION, by_name

Face = Literal["wsgi", "asgi"]


@dataclass
class Answer:
    """A response, read to its end."""

    status: int
    text: str
    headers: dict[str, str]
    cookies: dict[str, str]  # the lines of the Set-Cookie headers, by name


class Browser:
    """A browser that comes for the first time and keeps its cookies."""

    def __init__(self, face: Face) -> None:
        self.face: Face = face
        self.cookies: SimpleCookie = SimpleCookie()

    def get(self, path: str = "/", **headers: str) -> Answer:
        """Make a GET request; the headers' names with underscores."""
        return self.ask("GET", path, headers={name.replace("_", "-"): value for name, value in headers.items()})

    def ask(self, method: str, path: str = "/", headers: Mapping[str, str] | None = None) -> Answer:
        """Make a request; `headers` go before those of a browser that goes to a page."""
        named = NAVIGATION | dict(headers or {})
        if self.face == "asgi":
            return asyncio.run(self._ask_async(method, path, named))
        client: Any = Client(raise_request_exception=False)  # a new one, since it keeps the project as it was
        client.cookies = self.cookies
        response = client.generic(method, path, headers=named)
        body = b"".join(response) if response.streaming else response.content
        return self._answer(response, body)

    async def _ask_async(self, method: str, path: str, headers: Mapping[str, str]) -> Answer:
        client: Any = AsyncClient(raise_request_exception=False)
        client.cookies = self.cookies
        response = await client.generic(method, path, headers=headers)
        body = b"".join([piece async for piece in response]) if response.streaming else response.content
        return self._answer(response, body)

    def _answer(self, response: Any, body: bytes) -> Answer:
        for name, morsel in response.cookies.items():
            if morsel["max-age"] == 0:
                del self.cookies[name]
        lines = by_name(morsel.OutputString() for morsel in response.cookies.values())
        return Answer(response.status_code, body.decode(), dict(response.headers), lines)
