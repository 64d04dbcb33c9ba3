"""Requests as servers hand them over, and small apps' answers: what tests of the core begin with."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any
from urllib.parse import unquote

from passerby import Tracking
from passerby.http.request import EnvironRequest, ScopeRequest

Headers = Mapping[str, str] | Iterable[tuple[str, str]]
Message = dict[str, Any]
MakeTracking = Callable[..., Tracking]
App = Callable[..., Awaitable[None]]

BROWSER_ID = "7b0d5b0e-1f5c-4f8e-9a52-2f1d1c7a9d10"
OTHER_ID = "11111111-2222-4333-8444-555555555555"
KEY = "a secret key that signs"
CHROME = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36"
PATIENCE = 60.0  # seconds; what is waited for comes at once, but for a machine that is busy with much else
POLL = 0.02  # seconds; who looks more often is in the way of what he waits for
NAVIGATION = {"accept": "text/html", "sec-fetch-dest": "document", "sec-fetch-mode": "navigate", "user-agent": CHROME}


def pairs(headers: Headers) -> list[tuple[str, str]]:
    return list(headers.items()) if isinstance(headers, Mapping) else list(headers)


def make_scope(target: str = "/", headers: Headers = (), **fields: Any) -> dict[str, Any]:
    """An ASGI scope; the target is path and query as in the request line."""
    path, _, query = target.partition("?")
    host = fields.pop("host", "shop.example")
    listed = [("host", host), *pairs(headers)] if host else pairs(headers)
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "https",
        "path": unquote(path),
        "raw_path": path.encode("latin-1"),
        "query_string": query.encode(),
        "root_path": "",
        "headers": [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in listed],
        "client": ("192.0.2.7", 50_000),
        "server": ("10.0.0.1", 443),
    } | fields


def make_environ(target: str = "/", headers: Headers = (), **fields: Any) -> dict[str, Any]:
    """A WSGI environ of the same request."""
    path, _, query = target.partition("?")
    environ: dict[str, Any] = {
        "REQUEST_METHOD": fields.pop("method", "GET"),
        "SCRIPT_NAME": "",
        "PATH_INFO": unquote(path, "latin-1"),
        "QUERY_STRING": query.encode().decode("latin-1"),
        "REMOTE_ADDR": "192.0.2.7",
        "SERVER_NAME": "10.0.0.1",
        "SERVER_PORT": "443",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "wsgi.url_scheme": fields.pop("scheme", "https"),
    }
    host = fields.pop("host", "shop.example")
    joined: dict[str, list[str]] = {}
    for name, value in [("host", host), *pairs(headers)] if host else pairs(headers):
        joined.setdefault(name.upper().replace("-", "_"), []).append(value)
    for name, values in joined.items():
        key = name if name in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{name}"
        environ[key] = ("; " if name == "COOKIE" else ", ").join(values)
    return environ | fields


def request(target: str = "/", headers: Headers = (), **fields: Any) -> ScopeRequest:
    return ScopeRequest(make_scope(target, headers, **fields))


def environ_request(target: str = "/", headers: Headers = (), **fields: Any) -> EnvironRequest:
    return EnvironRequest(make_environ(target, headers, **fields))


def cookie_header(**cookies: str) -> dict[str, str]:
    return {"cookie": "; ".join(f"{name}={value}" for name, value in cookies.items())}


async def call(app: App, scope: Mapping[str, Any], *received: Message) -> list[Message]:
    """Run an ASGI app on one scope; return what it sent. After what it is given the client stays and is silent."""
    sent: list[Message] = []
    incoming = list(received) or [{"type": "http.request", "body": b"", "more_body": False}]

    async def receive() -> Message:
        if not incoming:
            await asyncio.Event().wait()
        return incoming.pop(0)

    async def send(message: Message) -> None:
        sent.append(message)

    await app(scope, receive, send)
    return sent


def start_of(sent: Iterable[Message]) -> Message:
    """The message that begins the response."""
    (start,) = [message for message in sent if message["type"] == "http.response.start"]
    return start


def set_cookies(sent: Iterable[Message]) -> list[str]:
    """All Set-Cookie headers of a response."""
    headers = start_of(sent).get("headers", ())
    return [value.decode("latin-1") for name, value in headers if name.lower() == b"set-cookie"]


def body_of(sent: Iterable[Message]) -> bytes:
    return b"".join(message.get("body", b"") for message in sent if message["type"] == "http.response.body")


def value_of(set_cookie: str) -> str:
    return set_cookie.partition(";")[0].partition("=")[2]


def by_name(lines: Iterable[str]) -> dict[str, str]:
    """Cookies by name; no name may come twice."""
    listed = [(line.partition("=")[0], line) for line in lines]
    assert len(dict(listed)) == len(listed), "a cookie is set twice"
    return dict(listed)


def sent_back(lines: Iterable[str]) -> dict[str, str]:
    """The Cookie header a browser sends next, after Set-Cookie headers."""
    return cookie_header(**{name: value_of(line) for name, line in by_name(lines).items() if "Max-Age=0" not in line})


def page(headers: Headers = (), *, status: int = 200, body: bytes = b"a page") -> App:
    """An app that answers one thing and tells nothing."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        listed = [(name.encode(), value.encode()) for name, value in pairs(headers)]
        await send({"type": "http.response.start", "status": status, "headers": listed})
        await send({"type": "http.response.body", "body": body})

    return app


def eventually(holds: Callable[[], object], timeout: float = PATIENCE) -> None:
    """Wait until something holds."""
    ends = time.monotonic() + timeout
    while not holds():
        assert time.monotonic() < ends, "it never came to hold"
        time.sleep(POLL)


async def eventually_async(holds: Callable[[], object], timeout: float = PATIENCE) -> None:
    """Wait until something holds, leaving the loop to others."""
    async with asyncio.timeout(timeout):
        while not holds():  # noqa: ASYNC110 - what it waits for happens in another thread
            await asyncio.sleep(POLL)


class Stopwatch:
    """Measures how long something takes on a machine that runs: of a moment in which it stands still little counts.

    A thread ticks beside it. What lies between two ticks counts for no longer than a tick usually takes. So a test may
    say that something ends soon, where what would be wrong ends only somewhat later.
    """

    TICK = 0.02  # seconds

    def __init__(self) -> None:
        self._seconds = 0.0
        self._is_over = threading.Event()
        self._ticking = threading.Thread(target=self._tick, daemon=True)

    def __enter__(self) -> Stopwatch:
        self._ticking.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._is_over.set()
        self._ticking.join()

    @property
    def seconds(self) -> float:
        """How long the machine has run since the beginning."""
        return self._seconds

    def _tick(self) -> None:
        last = time.monotonic()
        while not self._is_over.wait(self.TICK):
            now = time.monotonic()
            self._seconds += min(now - last, 2 * self.TICK)
            last = now


def let_go(tracking: Tracking) -> None:
    """Close a tracking, whatever waits."""
    tracking.close(0)


def dropped(tracking: Tracking, name: str = "sitecore") -> dict[str, int]:
    return dict(tracking.stats().destinations[name].dropped)
