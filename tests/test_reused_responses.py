"""A response that an app answers several requests with carries to each visitor their own cookies only."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import flask
import pytest
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler
from django.http import HttpResponse, HttpResponseRedirect, JsonResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.test import override_settings
from django.urls import path
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

import tests.django_site  # noqa: F401 - sets Django up
from passerby import Tracking, current_tracker
from passerby.asgi import TrackingMiddleware
from passerby.flask import Passerby
from passerby.http.response import headers_of
from passerby.wsgi import TrackingMiddleware as WsgiMiddleware
from tests.django.wire import environ_of
from tests.making import (
    BROWSER_ID,
    KEY,
    NAVIGATION,
    by_name,
    call,
    cookie_header,
    make_environ,
    make_scope,
    set_cookies,
    value_of,
)

NAME = "passerby_bid"
Ask = Callable[[dict[str, str]], list[str]]  # the headers of a request -> the Set-Cookie headers of its answer


def asgi(app: Any) -> Ask:
    return lambda headers: set_cookies(asyncio.run(call(app, make_scope("/", headers))))


def wsgi(app: Any) -> Ask:
    def ask(headers: dict[str, str]) -> list[str]:
        started: list[Any] = []
        body = app(environ_of("/", headers), lambda *said: started.append(said))
        b"".join(body)
        getattr(body, "close", list)()
        return [value.strip() for name, value in started[-1][1] if name.lower() == "set-cookie"]

    return ask


def identified(view: Callable[..., Any]) -> Callable[..., Any]:
    """A view that tracks who is there, as its request says."""

    def identify(*args: Any) -> Any:
        request = current_tracker().session.request
        assert request is not None
        user = request.header("x-user")
        if user:
            current_tracker().identify(user)
        return view(*args)

    return identify


def raw_asgi(tracking: Tracking) -> tuple[Ask, Any]:
    headers = [(b"content-type", b"text/html")]
    start, end = {"type": "http.response.start", "status": 200, "headers": headers}, {"type": "http.response.body"}

    @identified
    def messages() -> list[dict[str, Any]]:
        return [start, end]

    async def app(scope: Any, receive: Any, send: Any) -> None:
        for message in messages():
            await send(message)

    return asgi(TrackingMiddleware(app, tracking=tracking)), headers


def raw_wsgi(tracking: Tracking) -> tuple[Ask, Any]:
    headers = [("Content-Type", "text/html")]

    @identified
    def app(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", headers)
        return [b"a page"]

    return wsgi(WsgiMiddleware(app, tracking)), headers


def starlette(response: Any) -> Callable[[Tracking], tuple[Ask, Any]]:
    def make(tracking: Tracking) -> tuple[Ask, Any]:
        middleware = [Middleware(TrackingMiddleware, tracking=tracking)]

        async def view(request: Any) -> Any:
            return identified(lambda: response)()

        return asgi(Starlette(routes=[Route("/", view)], middleware=middleware)), response.raw_headers

    return make


def fastapi(tracking: Tracking) -> tuple[Ask, Any]:
    app, response = FastAPI(), JSONResponse({"answer": 42}, headers={"x-app": "1"})

    @app.get("/")
    async def view() -> Any:
        return identified(lambda: response)()

    app.add_middleware(TrackingMiddleware, tracking=tracking)
    return asgi(app), response.raw_headers


def make_flask(in_hook: bool) -> Callable[[Tracking], tuple[Ask, Any]]:
    def make(tracking: Tracking) -> tuple[Ask, Any]:
        app, response = flask.Flask(__name__), flask.Response("a page")
        Passerby(app, tracking)

        @app.get("/")
        def view() -> Any:
            return identified(lambda: "another page" if in_hook else response)()

        if in_hook:
            app.after_request(lambda _: response)
        return wsgi(app), response

    return make


def make_django(face: str, response: HttpResponseBase) -> Callable[[Tracking], tuple[Ask, Any]]:
    def make(tracking: Tracking) -> tuple[Ask, Any]:
        urls = (path("", identified(lambda request: response)),)
        with override_settings(
            MIDDLEWARE=["passerby.django.TrackingMiddleware"], PASSERBY={"tracking": tracking}, ROOT_URLCONF=urls
        ):
            handler: Any = ASGIHandler() if face == "asgi" else WSGIHandler()
        ask = asgi(handler) if face == "asgi" else wsgi(handler)

        def ask_here(headers: dict[str, str]) -> list[str]:
            with override_settings(ROOT_URLCONF=urls):
                return [line.strip() for line in ask(headers)]

        return ask_here, response

    return make


APPS: dict[str, Callable[[Tracking], tuple[Ask, Any]]] = {
    "raw ASGI": raw_asgi,
    "raw WSGI": raw_wsgi,
    "Starlette": starlette(Response("a page")),
    "Starlette, 204": starlette(Response(status_code=204)),
    "Starlette, a redirect": starlette(RedirectResponse("/elsewhere")),
    "FastAPI": fastapi,
    "Flask": make_flask(False),
    "Flask, in a hook": make_flask(True),
}
for face in ("wsgi", "asgi"):
    APPS[f"Django, {face}, 204"] = make_django(face, HttpResponse(status=204))
    APPS[f"Django, {face}, a page"] = make_django(face, HttpResponse("a page", headers={"X-App": "1"}))
    APPS[f"Django, {face}, JSON"] = make_django(face, JsonResponse({"answer": 42}))
    APPS[f"Django, {face}, a redirect"] = make_django(face, HttpResponseRedirect("/elsewhere"))


@pytest.fixture(params=[(KEY,), ()], ids=["signed", "unsigned"])
def tracking(request: Any) -> Tracking:
    return Tracking(**({"secret_key": request.param} if request.param else {}), identity_provider="CRM")


@pytest.mark.parametrize("app", APPS)
@pytest.mark.filterwarnings("ignore:StreamingHttpResponse must consume")
def test_each_visitor_gets_their_own_cookies_only(tracking: Tracking, app: str) -> None:
    ask, reused = APPS[app](tracking)
    before = list(headers_of(reused))
    ada = by_name(ask(NAVIGATION | {"x-user": "ada"}))
    bob = by_name(ask(NAVIGATION | {"x-user": "bob"}))
    guest = by_name(ask(NAVIGATION))
    assert ada.keys() == bob.keys() >= guest.keys() >= {NAME}
    assert f"{NAME}_uid" not in guest
    for name, line in ada.items():
        assert len({value_of(one[name]) for one in (ada, bob, guest) if name in one}) > 1, line
    returning = NAVIGATION | {"cookie": "; ".join(f"{name}={value_of(line)}" for name, line in bob.items())}
    assert set(ask(returning)) <= set(), "nothing is new"
    assert list(headers_of(reused)) == before, "the app's own object"


def test_a_streaming_response_that_django_sends_twice(tracking: Tracking) -> None:
    response = StreamingHttpResponse([b"a", b"b"])
    ask, _ = make_django("wsgi", response)(tracking)
    first, second = by_name(ask(NAVIGATION)), by_name(ask(NAVIGATION))
    assert value_of(first[NAME]) != value_of(second[NAME])
    assert not response.cookies


def test_requests_at_the_same_time(tracking: Tracking) -> None:
    """Each waits in its view for the others, so that all of them hold the same response."""
    together = threading.Barrier(4)
    response = HttpResponse("a page")

    def view(request: Any) -> HttpResponse:
        together.wait(30)
        return response

    urls = (path("", view),)
    settings = {"MIDDLEWARE": ["passerby.django.TrackingMiddleware"], "PASSERBY": {"tracking": tracking}}
    with override_settings(**settings, ROOT_URLCONF=urls), ThreadPoolExecutor(4) as pool:
        ask = wsgi(WSGIHandler())
        for _ in range(5):
            answers = [by_name(lines) for lines in pool.map(ask, [dict(NAVIGATION)] * 4)]
            assert len({value_of(answer[NAME]) for answer in answers}) == 4
    assert not response.cookies
    assert "Cache-Control" not in response.headers


def test_what_a_later_middleware_does_to_djangos_copy_stays_there(tracking: Tracking) -> None:
    response = HttpResponse("a page")

    class Outer:
        def __init__(self, get_response: Any) -> None:
            self.get_response = get_response

        def __call__(self, request: Any) -> Any:
            answer = self.get_response(request)
            answer.write(b" and more")
            answer["X-Outer"] = "1"
            answer.set_cookie("outer", "1")
            return answer

    globals()["Outer"] = Outer
    middleware = [f"{__name__}.Outer", "passerby.django.TrackingMiddleware"]
    with override_settings(
        MIDDLEWARE=middleware, PASSERBY={"tracking": tracking}, ROOT_URLCONF=(path("", lambda request: response),)
    ):
        assert "outer" in by_name(wsgi(WSGIHandler())(NAVIGATION))
    assert response.content == b"a page"
    assert "X-Outer" not in response.headers
    assert not response.cookies


RESPONSES: dict[str, tuple[Callable[..., Any], Callable[[], Any]]] = {
    "a list of bytes": (make_scope, lambda: [(b"content-type", b"text/html")]),
    "a list of text": (make_environ, lambda: [("Content-Type", "text/html")]),
    "an empty list": (make_environ, list),
    "Starlette": (make_scope, lambda: Response("a page")),
    "Flask": (make_environ, lambda: flask.Response("a page")),
    "Django": (make_environ, lambda: HttpResponse("a page")),
}


def ours(response: Any) -> dict[str, str]:
    lines = [value for name, value in headers_of(response) if name.lower() in (b"set-cookie", "set-cookie")]
    texts = [line.decode() if isinstance(line, bytes) else line for line in lines]
    return by_name(line for line in texts if line.startswith(NAME))


@pytest.mark.parametrize("kind", RESPONSES)
@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
def test_handle_cookie_on_a_response_that_is_used_again(
    tracking: Tracking, kind: str, is_async: bool, caplog: pytest.LogCaptureFixture
) -> None:
    make_request, make_response = RESPONSES[kind]
    response, values = make_response(), list[dict[str, str]]()
    for user in ("ada", "bob", ""):
        request = make_request("/", NAVIGATION)
        if user:
            tracking.tracker_for(request).identify(user)
        for _ in range(2):  # the second time it is the same request
            if is_async:
                asyncio.run(tracking.handle_cookie(request, response))
            else:
                tracking.handle_cookie_sync(request, response)
        found = ours(response)
        assert value_of(found[NAME]) == tracking.tracker_for(request).browser_id
        values.append({name: value_of(line) for name, line in found.items()})
    assert values[0].keys() == values[1].keys()
    assert f"{NAME}_uid" not in values[2]
    for name in values[0]:
        assert len({one.get(name) for one in values}) == 3
    assert "cookies of another request" in caplog.text


@pytest.mark.parametrize("kind", RESPONSES)
def test_handle_cookie_leaves_what_the_app_set_itself(tracking: Tracking, kind: str) -> None:
    make_request, make_response = RESPONSES[kind]
    response = make_response()
    if isinstance(response, list):
        is_bytes = kind == "a list of bytes"
        response.append((b"set-cookie", b"passerby_bid=own") if is_bytes else ("Set-Cookie", "passerby_bid=own"))
    else:
        response.set_cookie(NAME, "own")
    tracking.handle_cookie_sync(make_request("/", NAVIGATION), response)
    assert {name: value_of(line) for name, line in ours(response).items()} == {NAME: "own"}


@pytest.mark.parametrize("sent", [NAVIGATION, {"accept": "*/*"}], ids=["a browser", "a program"])
@pytest.mark.parametrize("media_type", [None, "application/json"])
def test_with_the_middleware_handle_cookie_leaves_the_response_to_it(
    tracking: Tracking, sent: dict[str, str], media_type: str | None
) -> None:
    """Whoever asks for the cookie gets it, also where the middleware alone would set none."""
    response = Response("a page", media_type=media_type)

    async def view(request: Any) -> Response:
        await tracking.handle_cookie(request, response)
        return response

    ask = asgi(Starlette(routes=[Route("/", view)], middleware=[Middleware(TrackingMiddleware, tracking=tracking)]))
    first, second = by_name(ask(sent)), by_name(ask(sent))
    assert value_of(first[NAME]) != value_of(second[NAME])
    assert not ours(response)
    came = sent | {"cookie": "; ".join(f"{name}={value_of(line)}" for name, line in first.items())}
    assert value_of(by_name(ask(came))[NAME]) == value_of(first[NAME]), "it is renewed"


@pytest.mark.parametrize("came", [{}, cookie_header(passerby_bid=BROWSER_ID)], ids=["new", "returning"])
@pytest.mark.parametrize(
    "form", [iter, tuple, lambda pairs: (pair for pair in pairs)], ids=["iterator", "tuple", "generator"]
)
@pytest.mark.parametrize("pages", [True, False])
def test_headers_that_can_be_read_only_once(came: dict[str, str], form: Callable[..., Any], pages: bool) -> None:
    tracking = Tracking(auto_page_views=pages)
    listed = [("content-type", "text/html"), ("set-cookie", "session=1"), ("x-app", "1")]
    encoded = [(name.encode(), value.encode()) for name, value in listed]

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": form(encoded)})
        await send({"type": "http.response.body", "body": b""})

    def wsgi_app(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", form(listed))
        return []

    sent = asyncio.run(call(TrackingMiddleware(app, tracking=tracking), make_scope("/", NAVIGATION | came)))
    assert list(sent[0]["headers"])[:3] == encoded
    started: list[Any] = []
    start_response: Any = lambda *said: started.append(said)  # noqa: E731
    WsgiMiddleware(wsgi_app, tracking)(make_environ("/", NAVIGATION | came), start_response)
    assert started[0][1][:3] == listed
    assert len(sent[0]["headers"]) == len(started[0][1]) == (3 if came else 5)
