"""Requests as a browser sends them, made into ASGI scopes, and a destination that never answers."""

from __future__ import annotations

import itertools
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO, StringIO
from typing import Any, Unpack

from starlette.types import Message

from passerby import Sitecore, Tracking
from passerby.settings.settings import SettingsValues

CLIENT_KEY = "bench"
COOKIE_NAME = f"bid_{CLIENT_KEY}"
OTHER_COOKIES = "_ga=GA1.1.1184637265.1763990400; theme=dark"
PATH = "/products/shoes"

USER_AGENT = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36"
_HEADERS = (
    (b"host", b"shop.example"),
    (b"user-agent", USER_AGENT.encode()),
    (b"accept", b"text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"),
    (b"accept-language", b"en-IE,en;q=0.9,de;q=0.8"),
    (b"accept-encoding", b"gzip, deflate, br, zstd"),
    (b"referer", b"https://shop.example/products"),
    (b"sec-fetch-dest", b"document"),
    (b"sec-fetch-mode", b"navigate"),
    (b"sec-fetch-site", b"same-origin"),
)  # fmt: skip


def scope_with(*cookies: str) -> dict[str, Any]:
    """The scope of a page's request, with some cookies beside those that every site has.

    As from a server, each has headers of its own, not yet hashed, and its visitor's address.
    """
    header = "; ".join([OTHER_COOKIES, *cookies]).encode("latin-1")
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "https",
        "path": PATH,
        "raw_path": PATH.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [(_fresh(name), _fresh(value)) for name, value in (*_HEADERS, (b"cookie", header))],
        "client": (next(_addresses), 50_000),
        "server": ("shop.example", 443),
        "state": {},
    }


def environ_with(*cookies: str) -> dict[str, Any]:
    """The WSGI environ of the same request."""
    environ: dict[str, Any] = {
        f"HTTP_{name.decode().upper().replace('-', '_')}": _fresh(value).decode("latin-1") for name, value in _HEADERS
    }
    return environ | {
        "HTTP_COOKIE": "; ".join([OTHER_COOKIES, *cookies]),
        "REQUEST_METHOD": "GET",
        "SCRIPT_NAME": "",
        "PATH_INFO": PATH,
        "QUERY_STRING": "",
        "REMOTE_ADDR": next(_addresses),
        "SERVER_NAME": "shop.example",
        "SERVER_PORT": "443",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "wsgi.url_scheme": "https",
        "wsgi.input": BytesIO(),
        "wsgi.errors": StringIO(),
        "wsgi.version": (1, 0),
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    }


def _fresh(text: bytes) -> bytes:
    return bytes(bytearray(text))


_addresses = (f"198.18.{number >> 8 & 255}.{number & 255}" for number in itertools.count())


async def receive() -> Message:
    """The empty body of a GET."""
    return {"type": "http.request", "body": b"", "more_body": False}


@contextmanager
def silent_tracking(**settings: Unpack[SettingsValues]) -> Iterator[Tracking]:
    """A real `Tracking` to a server that takes one connection and never answers.

    So everything is as in an app, the background thread and its being woken included, but no delivery competes for the
    CPU: the first event is under way for ever, and all others wait.
    """
    settings = {
        "concurrency": 1,
        "request_timeout": 3600.0,
        "max_events": 1_000_000,
        "browser_id_pool_size": 0,
        **settings,
    }
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        tracking = Tracking(Sitecore(client_key=CLIENT_KEY, target_url=url, point_of_sale="shop"), **settings)
        try:
            yield tracking
        finally:
            tracking.close(0)
