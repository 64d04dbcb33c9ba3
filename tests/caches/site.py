"""A small app that answers each kind of response, served on this machine; and visitors of it."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.utils import formatdate
from socketserver import ThreadingMixIn
from time import time
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from passerby import Tracking
from passerby.wsgi import TrackingMiddleware
from tests.making import NAVIGATION

ETAG = '"1"'


def _kinds() -> dict[str, list[tuple[str, str]]]:
    """What the app may say of caching; the names are the paths."""
    past, future, changed = formatdate(0, usegmt=True), formatdate(time() + 3600, usegmt=True), "Last-Modified"
    old = formatdate(time() - 1_000_000, usegmt=True)

    def control(value: str, *more: tuple[str, str]) -> list[tuple[str, str]]:
        return [("Cache-Control", value), *more]

    return {
        "nothing": [],
        "last-modified": [(changed, old)],
        "etag": [("ETag", ETAG)],
        "etag-and-last-modified": [("ETag", ETAG), (changed, old)],
        "vary-cookie": [(changed, old), ("Vary", "Cookie")],
        "vary-language": [(changed, old), ("Vary", "Accept-Language")],
        "pragma": [("Pragma", "no-cache"), (changed, old)],
        "expires-past": [("Expires", past), ("ETag", ETAG)],
        "expires-zero": [("Expires", "0"), (changed, old)],
        "expires-future": [("Expires", future)],
        "must-revalidate": control("must-revalidate", (changed, old)),
        "must-revalidate-expires": control("must-revalidate", ("Expires", future)),
        "proxy-revalidate": control("proxy-revalidate", ("ETag", ETAG)),
        "no-cache": control("no-cache", ("ETag", ETAG)),
        "no-cache-max-age": control("no-cache, max-age=600", (changed, old)),
        "no-cache-set-cookie": control('no-cache="set-cookie"', (changed, old)),
        "no-cache-field-max-age": control('no-cache="x-other", max-age=600'),
        "max-age-0": control("max-age=0", ("ETag", ETAG)),
        "max-age-0-expires": control("max-age=0", ("Expires", future)),
        "max-age": control("max-age=600"),
        "max-age-odd": control("  MAX-AGE = 600 ,,  x "),
        "max-age-twice": control("max-age=0", ("Cache-Control", "max-age=600")),
        "s-maxage": control("s-maxage=600"),
        "public": control("public", (changed, old)),
        "public-max-age": control("public, max-age=600"),
        "immutable": control("max-age=600, immutable"),
        "stale": control("max-age=0, stale-while-revalidate=600", ("ETag", ETAG)),
        "private": control("private", (changed, old)),
        "private-max-age": control("private, max-age=600"),
        "private-set-cookie": control('private="set-cookie"', (changed, old)),
        "private-field-max-age": control('private="x-other, x-more", max-age=600'),
        "no-store": control("no-store", (changed, old)),
        "must-understand": control("must-understand, no-store", (changed, old)),
        "quoted-private": control('ext="a, private"', (changed, old)),
        "never-ends": control('ext="never ends, private', (changed, old)),
        "surrogate": control("private", ("Surrogate-Control", "max-age=600")),
        "accelerated": [("X-Accel-Expires", "600")],
        "moved": [("Location", "/elsewhere"), (changed, old)],
        "gone": [(changed, old)],
    }


KINDS = _kinds()
STATUSES = {"moved": "301 Moved Permanently", "gone": "404 Not Found"}


class Site:
    """The app. Who is logged in says a header, so that each page identifies its visitor.

    Attributes:
        seen: who asked, and the user ID that the tracker had before.
        answered: how often the app answered each path.
    """

    def __init__(self) -> None:
        self.seen: list[tuple[str, str | None]] = []
        self.answered: dict[str, int] = {}

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        kind = environ["PATH_INFO"].strip("/").rpartition("/")[2]
        self.answered[environ["PATH_INFO"]] = self.answered.get(environ["PATH_INFO"], 0) + 1
        user = environ.get("HTTP_X_USER", "")
        headers = [("Content-Type", "text/html; charset=utf-8"), *KINDS[kind]]
        tracker = environ.get("passerby.tracker")
        if tracker is None:  # without passerby: an app that sets a cookie of its own
            headers.append(("Set-Cookie", f"own={user or 'guest'}"))
        else:
            self.seen.append((user, tracker.user_id))
            if user:
                tracker.identify(user)
        has_body = environ.get("HTTP_IF_NONE_MATCH") != ETAG or ("ETag", ETAG) not in headers
        start_response(STATUSES.get(kind, "200 OK") if has_body else "304 Not Modified", headers)
        return [b"<p>a page</p>"] if has_body else []


class _Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        pass


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


@contextmanager
def served(**trackings: Tracking) -> Iterator[tuple[int, Site]]:
    """Serve the app with a tracking below each name's path, and below /bare/ without; gives the port and the app."""
    site = Site()
    apps: dict[str, Any] = {name: TrackingMiddleware(site, tracking) for name, tracking in trackings.items()}
    apps["bare"] = site

    def choose(environ: dict[str, Any], start_response: Any) -> Any:
        return apps[environ["PATH_INFO"].split("/")[1]](environ, start_response)

    with make_server("127.0.0.1", 0, choose, _Server, _Quiet) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield server.server_port, site
        finally:
            server.shutdown()
            thread.join()


@dataclass
class Visitor:
    """A browser that keeps its cookies.

    Attributes:
        user: who they are, or empty for a guest.
        got: the values of all cookies they were ever given, by name.
    """

    port: int
    user: str
    cookies: dict[str, str] = field(default_factory=dict[str, str])
    got: dict[str, set[str]] = field(default_factory=dict[str, set[str]])

    def get(self, path: str) -> Mapping[str, str]:
        """Ask for a page; return the headers of the answer."""
        named = NAVIGATION | {"host": "shop.example", "x-forwarded-proto": "https"}
        named |= {"x-user": self.user} if self.user else {}
        named |= {"cookie": "; ".join(map("=".join, self.cookies.items()))} if self.cookies else {}
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request("GET", path, headers=named)
            answer = connection.getresponse()
            answer.read()
        finally:
            connection.close()
        for line in answer.headers.get_all("set-cookie", []):
            name, _, value = line.partition(";")[0].partition("=")
            self.cookies[name] = value
            self.got.setdefault(name, set()).add(value)
        return dict(answer.headers.items())
