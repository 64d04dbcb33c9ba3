"""CPU time that passerby adds to a request of Flask and of Django, called in process without a network.

Beside it what each framework's own signed session takes. As in `middleware` it is the CPU time of the thread that
serves; under ASGI the view is async and runs in the loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from operator import sub, truediv
from typing import Any
from uuid import uuid4

import django
import flask
from django.conf import settings
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler
from django.http import HttpRequest, HttpResponse
from django.test import override_settings
from django.urls import path

from passerby import Tracking
from passerby.django import TrackedRequest
from passerby.flask import Passerby

from .measure import Cpu, Result, Spread, cpu_of, pairwise, take_turns
from .traffic import COOKIE_NAME, environ_with, receive, scope_with, silent_tracking

TITLE = "CPU time added to a request of Flask and Django; the thread that serves"

ROUNDS = 15
REQUESTS = 200  # a round, each of another visitor
SECRET = "a long secret that only the benchmark knows"
BARE, RETURNING = "bare", "returning visitor"
_PAGE = "<!doctype html><title>Shoes</title>" + "<p>A shoe.</p>" * 100
_PASSERBY = "passerby.django.TrackingMiddleware"
_SESSION = "django.contrib.sessions.middleware.SessionMiddleware"

Cookies = list[tuple[str, ...]]
Timer = Callable[[Cookies], Cpu]


def run() -> Iterator[Result]:
    if not settings.configured:
        settings.configure(SECRET_KEY=SECRET, ALLOWED_HOSTS=["*"], ROOT_URLCONF=__name__, MIDDLEWARE=[], DATABASES={})
        settings.SESSION_ENGINE = "django.contrib.sessions.backends.signed_cookies"
        django.setup()
    with ExitStack() as stack:
        plain = stack.enter_context(silent_tracking())
        signed = stack.enter_context(silent_tracking(secret_key=SECRET))
        cookies = [_cookies_of(signed, str(uuid4())) for _ in range(REQUESTS)]
        yield from _compare("Flask", _flask(plain, signed), cookies)
        yield from _compare("Django under WSGI", _django_wsgi(plain, signed), cookies)
        yield from _compare("Django under ASGI", _django_asgi(plain, signed), cookies)


def _compare(framework: str, timers: dict[str, Timer], cookies: Cookies) -> Iterator[Result]:
    measured = take_turns({name: partial(timer, cookies) for name, timer in timers.items()}, ROUNDS)
    times = {name: [one.thread * 1e6 / REQUESTS for one in cpus] for name, cpus in measured.items()}
    yield Result(f"faces: {framework}, {BARE}, whole request", Spread.of(times[BARE]), "us")
    for name in (name for name in times if name != BARE):
        yield Result(f"faces: {framework}, {name}", pairwise(sub, times[name], times[BARE]), "us")
    ratio = pairwise(truediv, times[RETURNING], times[BARE])
    yield Result(f"faces: {framework}, {RETURNING}, whole request / bare", ratio, "x")


def _flask(plain: Tracking, signed: Tracking) -> dict[str, Timer]:
    return {
        BARE: _wsgi_timer(_flask_app(None), "/page"),
        "Flask's session read": _wsgi_timer(_flask_app(None), "/session"),
        RETURNING: _wsgi_timer(_flask_app(plain), "/page"),
        "returning visitor, signed cookie": _wsgi_timer(_flask_app(signed), "/page"),
        "returning visitor and page_view()": _wsgi_timer(_flask_app(plain), "/view"),
    }


def _django_wsgi(plain: Tracking, signed: Tracking) -> dict[str, Timer]:
    return {
        BARE: _wsgi_timer(_django(WSGIHandler), "/page"),
        "Django's signed session read": _wsgi_timer(_django(WSGIHandler, _SESSION), "/session"),
        RETURNING: _wsgi_timer(_django(WSGIHandler, _PASSERBY, plain), "/page"),
        "returning visitor, signed cookie": _wsgi_timer(_django(WSGIHandler, _PASSERBY, signed), "/page"),
        "returning visitor and page_view()": _wsgi_timer(_django(WSGIHandler, _PASSERBY, plain), "/view"),
    }


def _django_asgi(plain: Tracking, signed: Tracking) -> dict[str, Timer]:
    return {
        BARE: _asgi_timer(_django(ASGIHandler), "/async"),
        RETURNING: _asgi_timer(_django(ASGIHandler, _PASSERBY, plain), "/async"),
        "returning visitor, signed cookie": _asgi_timer(_django(ASGIHandler, _PASSERBY, signed), "/async"),
    }


def _wsgi_timer(app: Any, target: str) -> Timer:
    def serve(environs: list[dict[str, Any]], statuses: list[str]) -> None:
        while environs:  # a server lets go of a request once it is answered
            body = app(environs.pop(), lambda status, headers, error=None: statuses.append(status))
            for _ in body:
                pass
            body.close()

    def measure(cookies: Cookies) -> Cpu:
        statuses: list[str] = []
        environs = [environ_with(*one) | {"PATH_INFO": target} for one in cookies]
        cpu = cpu_of(lambda: serve(environs, statuses))
        _check(target, [status[:3] for status in statuses])
        return cpu

    return measure


def _asgi_timer(app: Any, target: str) -> Timer:
    async def serve(scopes: list[dict[str, Any]], statuses: list[str]) -> None:
        async def send(message: Any) -> None:
            if message["type"] == "http.response.start":
                statuses.append(str(message["status"]))

        while scopes:
            await app(scopes.pop(), _client_that_stays(), send)

    def measure(cookies: Cookies) -> Cpu:
        statuses: list[str] = []
        scopes = [scope_with(*one) | {"path": target, "raw_path": target.encode()} for one in cookies]
        with asyncio.Runner() as runner:
            runner.get_loop()
            cpu = cpu_of(lambda: runner.run(serve(scopes, statuses)))
        _check(target, statuses)
        return cpu

    return measure


def _client_that_stays() -> Callable[[], Any]:
    has_asked = False

    async def receive_or_wait() -> Any:
        nonlocal has_asked
        if has_asked:
            await asyncio.Event().wait()
        has_asked = True
        return await receive()

    return receive_or_wait


def _check(target: str, statuses: list[str]) -> None:
    """See that the app answers; what is fast because it is broken is not measured."""
    if statuses != ["200"] * REQUESTS:
        raise RuntimeError(
            f"{target}: found the statuses {set(statuses)}, expected 200 for each of {REQUESTS} requests"
        )


def _flask_app(tracking: Tracking | None) -> flask.Flask:
    app = flask.Flask(__name__)
    app.secret_key = SECRET
    app.add_url_rule("/page", "page", lambda: _PAGE)
    app.add_url_rule("/session", "session", lambda: flask.session.get("user") or _PAGE)
    app.add_url_rule("/view", "view", lambda: flask.g.tracker.page_view() and _PAGE)
    if tracking is not None:
        Passerby(app, tracking)
    return app


def _django(handler: Callable[[], Any], middleware: str | None = None, tracking: Tracking | None = None) -> Any:
    with override_settings(MIDDLEWARE=[middleware] if middleware else [], PASSERBY={"tracking": tracking}):
        return handler()


def show(request: HttpRequest) -> HttpResponse:
    return HttpResponse(_PAGE)


async def show_async(request: HttpRequest) -> HttpResponse:
    return HttpResponse(_PAGE)


def read_session(request: HttpRequest) -> HttpResponse:
    return HttpResponse(request.session.get("user") or _PAGE)


def view(request: TrackedRequest) -> HttpResponse:
    request.tracker.page_view()
    return HttpResponse(_PAGE)


urlpatterns = [
    path("page", show),
    path("async", show_async),
    path("session", read_session),
    path("view", view),
]


def _cookies_of(tracking: Tracking, browser_id: str) -> tuple[str, ...]:
    """The visitor's cookies as `tracking` has signed them."""
    headers: list[tuple[bytes, bytes]] = []
    tracking.handle_cookie_sync(scope_with(f"{COOKIE_NAME}={browser_id}"), headers)
    return tuple(value.decode("latin-1").partition(";")[0] for _, value in headers)
