"""Every integration says `private` where it sets a cookie, once, and changes nothing where it sets none."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import flask
import pytest
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler
from django.http import HttpResponse
from django.test import override_settings
from django.urls import path
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.httpsredirect import HTTPSRedirectMiddleware
from starlette.responses import Response
from starlette.routing import Route

import tests.django_site  # noqa: F401 - sets Django up
from passerby import Tracking
from passerby.asgi import TrackingMiddleware
from passerby.flask import Passerby
from passerby.http.response import headers_of
from passerby.wsgi import TrackingMiddleware as WsgiMiddleware
from tests.django.wire import environ_of
from tests.making import (
    BROWSER_ID,
    NAVIGATION,
    PATIENCE,
    Headers,
    call,
    cookie_header,
    make_environ,
    make_scope,
    page,
    pairs,
    start_of,
)

Pairs = list[tuple[str, str]]
Face = Callable[[Tracking, Pairs, Headers], Pairs]


def make_tracking(**settings: Any) -> Tracking:
    """Make one that waits for an ID as long as a busy machine takes; without one there is no cookie."""
    return Tracking(browser_id_timeout=PATIENCE, **settings)


def of_asgi(app: Any, came: Headers, **fields: Any) -> Pairs:
    start = start_of(asyncio.run(call(app, make_scope("/", came, **fields))))
    return [(name.decode(), value.decode()) for name, value in start["headers"]]


def of_wsgi(app: Any, came: Headers, **fields: Any) -> Pairs:
    started: list[Any] = []
    start_response: Any = lambda *said: started.append(said)  # noqa: E731
    body = app(environ_of("/", came, **fields), start_response)
    getattr(body, "close", list)()
    return list(started[-1][1])


def through_asgi(tracking: Tracking, said: Pairs, came: Headers) -> Pairs:
    return of_asgi(TrackingMiddleware(page(said), tracking=tracking), came)


def through_wsgi(tracking: Tracking, said: Pairs, came: Headers) -> Pairs:
    def app(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", list(said))
        return []

    return of_wsgi(WsgiMiddleware(app, tracking), came)


def through_flask(tracking: Tracking, said: Pairs, came: Headers) -> Pairs:
    app = flask.Flask(__name__)
    Passerby(app, tracking)
    app.add_url_rule("/", view_func=lambda: flask.Response("a page", headers=said))
    return of_wsgi(app, came)


def through_django(handler: Any, of: Any) -> Face:
    def face(tracking: Tracking, said: Pairs, came: Headers) -> Pairs:
        def view(request: Any) -> HttpResponse:
            response = HttpResponse("a page")
            for name, value in said:  # Django has each header once
                response[name] = f"{response[name]}, {value}" if name in response else value
            return response

        project = {"MIDDLEWARE": ["passerby.django.TrackingMiddleware"], "PASSERBY": {"tracking": tracking}}
        with override_settings(**project, ROOT_URLCONF=(path("", view),)):
            found: Pairs = of(handler(), came)
        return found

    return face


def through_handle_cookie(make_request: Any, make_response: Callable[[Pairs], Any]) -> Face:
    def face(tracking: Tracking, said: Pairs, came: Headers) -> Pairs:
        response = make_response(said)
        tracking.handle_cookie_sync(make_request("/", came), response)
        found = [(name, value) for name, value in headers_of(response)]
        return [
            (name.decode() if isinstance(name, bytes) else name, value.decode() if isinstance(value, bytes) else value)
            for name, value in found
        ]

    return face


def starlette_response(said: Pairs) -> Response:
    response = Response("a page")
    for name, value in said:
        response.headers.append(name, value)
    return response


def django_response(said: Pairs) -> HttpResponse:
    response = HttpResponse("a page")
    for name, value in said:
        response[name] = f"{response[name]}, {value}" if name in response else value
    return response


MIDDLEWARE: dict[str, Face] = {
    "ASGI": through_asgi,
    "WSGI": through_wsgi,
    "Flask": through_flask,
    "Django, WSGI": through_django(WSGIHandler, of_wsgi),
    "Django, ASGI": through_django(ASGIHandler, of_asgi),
}
HANDLE_COOKIE: dict[str, Face] = {
    "a list of bytes": through_handle_cookie(
        make_scope, lambda said: [(name.encode(), value.encode()) for name, value in said]
    ),
    "a list of text": through_handle_cookie(make_environ, list),
    "Starlette": through_handle_cookie(make_scope, starlette_response),
    "Flask's response": through_handle_cookie(make_environ, lambda said: flask.Response("a page", headers=said)),
    "Django's response": through_handle_cookie(make_environ, django_response),
}
FACES = MIDDLEWARE | HANDLE_COOKIE


def cache_control(headers: Pairs) -> list[str]:
    return [value for name, value in headers if name.lower() == "cache-control"]


def has_cookie(headers: Pairs) -> bool:
    return any(name.lower() == "set-cookie" for name, _ in headers)


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ([], ["private"]),
        ([("Cache-Control", "max-age=0")], ["max-age=0, private"]),
        (
            [("Cache-Control", "max-age=0"), ("Cache-Control", "must-revalidate")],
            ["max-age=0, must-revalidate, private"],
        ),
        ([("CACHE-CONTROL", 'private="set-cookie"')], ["private"]),
        ([("Cache-Control", "no-store")], ["no-store"]),
        ([("cache-control", "Private,max-age=5")], ["Private,max-age=5"]),
    ],
)
@pytest.mark.parametrize("face", FACES)
def test_a_response_with_a_cookie_is_private(face: str, said: Pairs, expected: list[str]) -> None:
    headers = FACES[face](make_tracking(), said, NAVIGATION)
    assert has_cookie(headers)
    assert cache_control(headers) == expected


@pytest.mark.parametrize(
    "said",
    [
        [("Cache-Control", "public, max-age=60")],
        [("Cache-Control", 'private="set-cookie", max-age=600')],
        [("Cache-Control", "must-revalidate"), ("Expires", "Thu, 01 Jan 2099 00:00:00 GMT")],
        [("Cache-Control", "private"), ("Surrogate-Control", "max-age=60")],
    ],
)
@pytest.mark.parametrize("face", FACES)
def test_what_caches_may_keep_is_left_alone_or_made_private(face: str, said: Pairs) -> None:
    headers = FACES[face](make_tracking(), said, NAVIGATION)
    assert not has_cookie(headers)
    assert cache_control(headers) == [value for name, value in said if name == "Cache-Control"]
    overridden = FACES[face](make_tracking(cache_control="override"), said, NAVIGATION)
    assert has_cookie(overridden)
    assert "private" in cache_control(overridden)[0].replace(",", " ").split()
    assert not [value for name, value in overridden if name.lower() == "surrogate-control" and value != "no-store"]


@pytest.mark.parametrize("said", [[], [("Cache-Control", "max-age=0")], [("Cache-Control", " odd ,, ")]])
@pytest.mark.parametrize("face", MIDDLEWARE)
def test_without_a_cookie_nothing_is_changed(face: str, said: Pairs) -> None:
    for came in (NAVIGATION | cookie_header(passerby_bid=BROWSER_ID), NAVIGATION | {"sec-gpc": "1"}):
        headers = MIDDLEWARE[face](make_tracking(cache_control="override"), said, came)
        assert not has_cookie(headers)
        assert [value.strip() for value in cache_control(headers)] == [value.strip() for _, value in said]


@pytest.mark.parametrize("face", FACES)
def test_cookies_that_delete_keep_the_response_out_of_caches_too(face: str) -> None:
    tracking = make_tracking(consent=lambda request: False)
    came = NAVIGATION | cookie_header(passerby_bid=BROWSER_ID)
    headers = FACES[face](tracking, [], came)
    assert has_cookie(headers)
    assert cache_control(headers) == ["private"]
    assert not has_cookie(FACES[face](tracking, [("Cache-Control", "s-maxage=9")], came))


@pytest.mark.parametrize("face", FACES)
def test_keep_changes_no_header(face: str) -> None:
    tracking = make_tracking(cache_control="keep")
    for said in ([], [("Cache-Control", "no-cache")], [("Cache-Control", "max-age=60")]):
        headers = FACES[face](tracking, said, NAVIGATION)
        assert not has_cookie(headers)
        assert cache_control(headers) == [value for _, value in said]
    assert has_cookie(FACES[face](tracking, [("Cache-Control", "private")], NAVIGATION))


# Redirects from http to https, as frameworks make them.


def redirected_by_django(tracking: Tracking) -> Pairs:
    middleware = ["passerby.django.TrackingMiddleware", "django.middleware.security.SecurityMiddleware"]
    with override_settings(
        MIDDLEWARE=middleware,
        PASSERBY={"tracking": tracking},
        SECURE_SSL_REDIRECT=True,
        ALLOWED_HOSTS=["*"],
        ROOT_URLCONF=(path("", lambda request: HttpResponse("a page")),),
    ):
        return of_wsgi(WSGIHandler(), NAVIGATION, scheme="http")


def redirected_by_starlette(tracking: Tracking) -> Pairs:
    middleware = [Middleware(TrackingMiddleware, tracking=tracking), Middleware(HTTPSRedirectMiddleware)]
    app = Starlette(routes=[Route("/", lambda request: Response())], middleware=middleware)
    return of_asgi(app, NAVIGATION, scheme="http")


def redirected_by_flask(tracking: Tracking) -> Pairs:
    app = flask.Flask(__name__)
    Passerby(app, tracking)
    app.before_request(lambda: flask.redirect(flask.request.url.replace("http://", "https://", 1), 308))
    return of_wsgi(app, NAVIGATION, scheme="http")


@pytest.mark.parametrize("redirected", [redirected_by_django, redirected_by_starlette, redirected_by_flask])
def test_a_redirect_to_https_sets_no_cookie(redirected: Callable[[Tracking], Pairs]) -> None:
    tracking = make_tracking()
    headers = redirected(tracking)
    assert [value for name, value in pairs(headers) if name.lower() == "location"] == ["https://shop.example/"]
    assert not has_cookie(headers)
    assert not cache_control(headers)
    assert tracking.stats().withheld_cookies == {"plain http": 1}
