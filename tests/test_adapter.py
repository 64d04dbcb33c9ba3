"""A request that comes through an adapter between ASGI and WSGI is one request: one tracker, one page view."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import queue
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator
from io import BytesIO
from typing import Any

import httpx
import pytest
from asgiref.wsgi import WsgiToAsgi, WsgiToAsgiInstance
from flask import Flask, g
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route
from werkzeug.middleware.dispatcher import DispatcherMiddleware

from passerby import Sitecore, Tracker, Tracking, current_tracker
from passerby.asgi import TrackingMiddleware as AsgiMiddleware
from passerby.flask import Passerby
from passerby.http.request import EnvironRequest, ScopeRequest
from passerby.testing import CapturedEvents
from passerby.wsgi import TrackingMiddleware as WsgiMiddleware
from tests.making import BROWSER_ID, KEY, NAVIGATION, body_of, by_name, call, make_environ, make_scope, set_cookies

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # Starlette deprecates it
    from starlette.middleware.wsgi import WSGIMiddleware

BID = "bid_key"
SITECORE: dict[str, Any] = {"client_key": "key", "target_url": "https://api.example.com", "point_of_sale": "shop"}


class LikeA2wsgi:
    """What `a2wsgi.WSGIMiddleware` does, which is not installed here: a thread with a copy of the context."""

    def __init__(self, app: Any, names_scope: bool = True) -> None:
        self.app = app
        self.names_scope = names_scope

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        body = (await receive()).get("body", b"")
        environ = _environ_of(scope, BytesIO(body))
        if self.names_scope:
            environ["asgi.scope"] = scope
        started: list[tuple[str, list[tuple[str, str]]]] = []

        def start_response(status: str, headers: list[tuple[str, str]], error: Any = None) -> Callable[[bytes], object]:
            started.append((status, headers))
            return lambda piece: None

        def run() -> bytes:
            pieces = self.app(environ, start_response)
            try:
                return b"".join(pieces)
            finally:
                getattr(pieces, "close", lambda: None)()

        work = functools.partial(contextvars.copy_context().run, run)
        sent = await asyncio.get_running_loop().run_in_executor(None, work)
        status, headers = started[-1]
        listed = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers]
        await send({"type": "http.response.start", "status": int(status[:3]), "headers": listed})
        await send({"type": "http.response.body", "body": sent})


def _environ_of(scope: Any, body: BytesIO) -> dict[str, Any]:
    instance: Any = WsgiToAsgiInstance(None)  # type: ignore[no-untyped-call]
    instance.scope = scope
    environ: dict[str, Any] = instance.build_environ(scope, body)
    return environ


class LikeA2wsgiTheOtherWay:
    """What `a2wsgi.ASGIMiddleware` does: the app in the event loop of another thread, begun by the first piece."""

    def __init__(self, app: Any, names_environ: bool = True) -> None:
        self.app = app
        self.names_environ = names_environ
        self.loop = asyncio.new_event_loop()
        threading.Thread(target=self.loop.run_forever, daemon=True).start()

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
        messages: queue.SimpleQueue[Any] = queue.SimpleQueue()
        root = environ.get("SCRIPT_NAME", "")
        headers = [
            (name[5:].lower().replace("_", "-").encode("latin-1"), value.encode("latin-1"))
            for name, value in environ.items()
            if name.startswith("HTTP_")
        ]
        scope = {
            "type": "http",
            "method": environ["REQUEST_METHOD"],
            "scheme": environ["wsgi.url_scheme"],
            "path": (root + environ["PATH_INFO"]).encode("latin-1").decode(),
            "root_path": root,
            "query_string": environ["QUERY_STRING"].encode("ascii"),
            "headers": headers,
        } | ({"wsgi_environ": environ} if self.names_environ else {})

        async def receive() -> Any:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: Any) -> None:
            messages.put(message)

        running = asyncio.run_coroutine_threadsafe(self.app(scope, receive, send), self.loop)
        while (message := messages.get(timeout=30))["type"] == "http.response.start":
            listed = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in message["headers"]]
            start_response(f"{message['status']} It is", listed)
        yield message["body"]
        running.result(30)


TO_WSGI: dict[str, Callable[[Any], Any]] = {
    "starlette": WSGIMiddleware,
    "asgiref": WsgiToAsgi,
    "a2wsgi": LikeA2wsgi,
    "without a mark": functools.partial(LikeA2wsgi, names_scope=False),
}
TO_ASGI: dict[str, Callable[[Any], Any]] = {
    "a2wsgi": LikeA2wsgiTheOtherWay,
    "without a mark": functools.partial(LikeA2wsgiTheOtherWay, names_environ=False),
}
KNOWN = {"cookie": f"theme=dark; {BID}={BROWSER_ID}; basket=3"}


def make_tracking(**settings: Any) -> Tracking:
    return Tracking(Sitecore(**SITECORE), secret_key=KEY, auto_page_views=True, **settings)


def make_flask() -> Flask:
    app = Flask(__name__)
    app.config.update(SECRET_KEY="a key of its own", PASSERBY={"sitecore": SITECORE, "auto_page_views": True})
    Passerby(app)

    @app.route("/", defaults={"rest": ""})
    @app.route("/<path:rest>")
    def page(rest: str) -> str:
        assert g.tracker is current_tracker()
        g.tracker.event("SEEN")
        return str(g.tracker.browser_id)

    return app


def make_wsgi() -> Any:
    def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        tracker = environ["passerby.tracker"]
        assert tracker is current_tracker()
        tracker.event("SEEN")
        start_response("200 OK", [("Content-Type", "text/html")])
        return [str(tracker.browser_id).encode()]

    return WsgiMiddleware(app, make_tracking())


INNER: dict[str, Callable[[], Any]] = {"Flask": make_flask, "WSGI": make_wsgi}


@pytest.mark.parametrize("path", ["/", "/legacy/", "/legacy/shop/caf%C3%A9?color=red&size=4"])
@pytest.mark.parametrize("headers", [{}, KNOWN], ids=["new", "known"])
@pytest.mark.parametrize("inner", INNER)
@pytest.mark.parametrize("adapter", TO_WSGI)
async def test_a_wsgi_app_below_an_asgi_app(
    adapter: str, inner: str, headers: dict[str, str], path: str, captured_events: CapturedEvents
) -> None:
    below = TO_WSGI[adapter](INNER[inner]())
    routed = Starlette(routes=[Mount("/legacy", below), Mount("/", below)])
    sent = await call(AsgiMiddleware(routed, tracking=make_tracking()), make_scope(path, NAVIGATION | headers))
    browser_id = body_of(sent).decode()
    captured_events.assert_event("SEEN", browser_id=browser_id)
    assert [event.kind for event in captured_events.events] == ["event", "page_view"], "it is the outer one's, once"
    assert {event.browser_id for event in captured_events.events} == {browser_id}
    cookies = by_name(set_cookies(sent))
    assert browser_id in (cookies[BID] if not headers else BROWSER_ID)


@pytest.mark.parametrize("path", ["/", "/new/", "/new/shop/caf%C3%A9?color=red"])
@pytest.mark.parametrize("headers", [{}, KNOWN], ids=["new", "known"])
@pytest.mark.parametrize("adapter", TO_ASGI)
def test_an_asgi_app_below_a_wsgi_app(
    adapter: str, headers: dict[str, str], path: str, captured_events: CapturedEvents
) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        tracker = scope["state"]["tracker"]
        assert tracker is current_tracker()
        tracker.event("SEEN")
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/html")]})
        await send({"type": "http.response.body", "body": str(tracker.browser_id).encode()})

    below = TO_ASGI[adapter](AsgiMiddleware(app, tracking=make_tracking()))
    outer = WsgiMiddleware(DispatcherMiddleware(below, {"/new": below}), make_tracking())
    started: list[list[tuple[str, str]]] = []
    body = outer(make_environ(path, NAVIGATION | headers), lambda status, headers: started.append(headers))  # type: ignore[arg-type]
    browser_id = b"".join(body).decode()
    assert [event.kind for event in captured_events.events] == ["event", "page_view"]
    assert {event.browser_id for event in captured_events.events} == {browser_id}
    cookies = by_name(value for name, value in started[0] if name.lower() == "set-cookie")
    assert browser_id in (cookies[BID] if not headers else BROWSER_ID)


async def test_through_two_adapters(captured_events: CapturedEvents) -> None:
    """To WSGI and back, as a2wsgi marks it."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await PlainTextResponse(str(scope["state"]["tracker"].browser_id))(scope, receive, send)

    inner = LikeA2wsgi(LikeA2wsgiTheOtherWay(AsgiMiddleware(app, tracking=make_tracking())))
    sent = await call(AsgiMiddleware(inner, tracking=make_tracking()), make_scope("/", NAVIGATION))
    assert body_of(sent).decode() in by_name(set_cookies(sent))[BID]
    assert list(by_name(set_cookies(sent))) == [BID, "bid_key_sig"]


OTHERS: dict[str, dict[str, Any]] = {
    "another path": {"path": "/other"},
    "another query": {"query": "?page=2"},
    "another host": {"headers": {"host": "api.internal.example"}},
    "another client": {"headers": {"user-agent": "python-httpx/0.28"}},
    "another visitor": {"headers": {"cookie": f"{BID}=22222222-2222-4222-8222-222222222222"}},
    "no cookies": {"headers": {"cookie": ""}},
    "another method": {"method": "POST"},
    "another address": {"remote": "10.0.0.9"},
    "other credentials": {"headers": {"authorization": "Bearer of-another"}},
}


@pytest.mark.parametrize("change", OTHERS)
async def test_a_request_that_a_handler_makes_is_another_one(change: str, captured_events: CapturedEvents) -> None:
    """To an app in the same process, as another client, even where all else is the same."""
    other = OTHERS[change]
    inner: list[Tracker] = []
    outer: list[Tracker] = []
    flask = Flask(__name__)
    flask.config.update(SECRET_KEY="a key of its own", PASSERBY={"sitecore": SITECORE})
    Passerby(flask)

    @flask.route("/<path:rest>", methods=["GET", "POST"])
    def page(rest: str) -> str:
        inner.append(g.tracker)
        g.tracker.event("SEEN")
        return "inner"

    async def handler(request: Request) -> PlainTextResponse:
        outer.append(current_tracker())
        transport = httpx.WSGITransport(app=flask, remote_addr=other.get("remote", "192.0.2.7"))
        url = f"https://shop.example{other.get('path', request.url.path)}{other.get('query', '')}"
        headers = dict(request.headers) | other.get("headers", {})
        await asyncio.to_thread(_ask, transport, other.get("method", "GET"), url, headers)
        assert current_tracker() is outer[0]
        return PlainTextResponse("outer")

    asgi = AsgiMiddleware(Starlette(routes=[Route("/inner", handler)]), tracking=make_tracking())
    await call(asgi, make_scope("/inner", NAVIGATION | KNOWN))
    assert len(inner) == len(outer) == 1
    assert inner[0] is not outer[0]
    (seen,) = captured_events.events
    is_same_visitor = change not in ("another visitor", "no cookies")
    assert (seen.browser_id == BROWSER_ID) is is_same_visitor, "it is who its own cookies say"


@pytest.mark.parametrize("fresh", [False, True], ids=["same kind", "after its end"])
async def test_only_what_an_adapter_could_have_made_counts(fresh: bool, captured_events: CapturedEvents) -> None:
    """Not a scope within a scope, nor what goes on after the response in the context of its request."""
    tracking = make_tracking()
    scopes: list[dict[str, Any]] = []
    context: list[contextvars.Context] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        scopes.append(scope)
        context.append(contextvars.copy_context())
        await PlainTextResponse("page")(scope, receive, send)

    inner = AsgiMiddleware(app, tracking=tracking)

    async def handler(scope: Any, receive: Any, send: Any) -> None:
        if not fresh:
            await call(inner, make_scope("/", NAVIGATION | KNOWN))
        await app(scope, receive, send)

    await call(AsgiMiddleware(handler, tracking=tracking), make_scope("/", NAVIGATION | KNOWN))
    if fresh:
        later = WsgiMiddleware(make_wsgi().app, tracking)
        environ = make_environ("/", NAVIGATION | KNOWN)
        context[0].run(lambda: list(later(environ, lambda status, headers, error=None: lambda piece: None)))
        scopes.append(environ)
    assert len(scopes) == 2
    assert scopes[0]["passerby.tracker"] is not scopes[1]["passerby.tracker"]


def _ask(transport: httpx.WSGITransport, method: str, url: str, headers: dict[str, str]) -> None:
    with httpx.Client(transport=transport) as client:
        assert client.request(method, url, headers=headers).text == "inner"


def test_the_facts_are_the_same_in_both_forms() -> None:
    """What is compared."""
    scope, environ = ScopeRequest(make_scope("/a?b=c", KNOWN)), EnvironRequest(make_environ("/a?b=c", KNOWN))
    for name in ("method", "path", "query_string", "cookie_header", "peer"):
        assert getattr(scope, name) == getattr(environ, name)
