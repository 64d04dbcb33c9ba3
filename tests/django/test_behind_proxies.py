"""Django's own settings for proxies, under WSGI and ASGI."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import pytest
from django.core.handlers.asgi import ASGIRequest
from django.core.handlers.wsgi import WSGIRequest
from django.http import HttpRequest, HttpResponse
from django.test import override_settings

from passerby import Sites, Tracking
from passerby.django import TrackingMiddleware
from passerby.events.event import Context
from passerby.testing import CapturedEvents
from tests.making import NAVIGATION, make_environ, make_scope

HTTPS = ("HTTP_X_FORWARDED_PROTO", "https")


@pytest.fixture(params=["wsgi", "asgi"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def make_request(kind: str, target: str, headers: dict[str, str], **fields: Any) -> HttpRequest:
    fields = {"host": "pod-7:8000", "scheme": "http"} | fields
    if kind == "asgi":
        return ASGIRequest(make_scope(target, NAVIGATION | headers, **fields), BytesIO())
    environ = make_environ(target, NAVIGATION | headers, **fields)
    return WSGIRequest(environ | {"wsgi.input": BytesIO()})


def answer(request: HttpRequest) -> HttpResponse:
    response = HttpResponse("a page")
    request.tracker.page_view()  # type: ignore[attr-defined]
    return response


def see(
    captured_events: CapturedEvents, kind: str, target: str, headers: dict[str, str], **settings: Any
) -> tuple[Context, Any]:
    own = settings.pop("PASSERBY", {})
    passerby = {"sitecore": {"client_key": "key", "target_url": "http://127.0.0.1:9", "point_of_sale": "shop"}} | own
    with override_settings(PASSERBY=passerby, **settings):
        TrackingMiddleware(answer)(make_request(kind, target, headers))
    (event,) = captured_events.events
    return event.context, event.data.get("referrer")


@pytest.mark.parametrize(
    ("settings", "headers", "url"),
    [
        ({}, {"x-forwarded-host": "www.public.example", "x-forwarded-proto": "https"}, "http://pod-7:8000/a"),
        ({"USE_X_FORWARDED_HOST": True}, {"x-forwarded-host": "www.public.example"}, "http://www.public.example/a"),
        ({"USE_X_FORWARDED_HOST": True}, {"x-forwarded-host": "a b"}, "http://pod-7:8000/a"),
        ({"USE_X_FORWARDED_HOST": True}, {}, "http://pod-7:8000/a"),
        ({"SECURE_PROXY_SSL_HEADER": HTTPS}, {"x-forwarded-proto": "https, http"}, "https://pod-7:8000/a"),
        ({"SECURE_PROXY_SSL_HEADER": ("HTTP_X_TLS", "on")}, {"x-tls": "on"}, "https://pod-7:8000/a"),
        ({"SECURE_PROXY_SSL_HEADER": HTTPS}, {"x-forwarded-proto": "http"}, "http://pod-7:8000/a"),
        (
            {"USE_X_FORWARDED_HOST": True, "USE_X_FORWARDED_PORT": True, "SECURE_PROXY_SSL_HEADER": HTTPS},
            {"x-forwarded-host": "www.public.example", "x-forwarded-port": "8443", "x-forwarded-proto": "https"},
            "https://www.public.example:8443/a",
        ),
        (
            {"USE_X_FORWARDED_HOST": True, "USE_X_FORWARDED_PORT": True, "SECURE_PROXY_SSL_HEADER": HTTPS},
            {"x-forwarded-host": "www.public.example", "x-forwarded-port": "443", "x-forwarded-proto": "https"},
            "https://www.public.example/a",
        ),
        ({"FORCE_SCRIPT_NAME": "/shop"}, {}, "http://pod-7:8000/shop/a"),
    ],
)
def test_the_public_url(
    kind: str, settings: dict[str, Any], headers: dict[str, str], url: str, captured_events: CapturedEvents
) -> None:
    context, _ = see(captured_events, kind, "/a", headers, **settings)
    assert context.url == url


def test_they_decide_what_an_external_referrer_is(kind: str, captured_events: CapturedEvents) -> None:
    headers = {"x-forwarded-host": "www.public.example", "referer": "https://www.public.example/b"}
    _, referrer = see(captured_events, kind, "/a", headers, USE_X_FORWARDED_HOST=True)
    assert referrer is None


def test_they_come_before_the_headers_of_trusted_proxies(kind: str, captured_events: CapturedEvents) -> None:
    headers = {"x-forwarded-host": "www.public.example", "x-forwarded-for": "203.0.113.9", "x-tls": "on"}
    context, _ = see(
        captured_events,
        kind,
        "/a",
        headers | {"x-forwarded-proto": "http"},
        SECURE_PROXY_SSL_HEADER=("HTTP_X_TLS", "on"),
        PASSERBY={"trusted_proxies": ["192.0.2.7"]},
    )
    assert (context.url, context.ip) == ("https://www.public.example/a", "203.0.113.0")


def test_sites_are_found_by_the_public_host(kind: str, captured_events: CapturedEvents) -> None:
    made: list[str] = []

    def make(name: str) -> Tracking:
        made.append(name)
        return Tracking()

    sites = Sites(lambda info: info.host, make)
    with override_settings(PASSERBY={"tracking": sites}, USE_X_FORWARDED_HOST=True):
        TrackingMiddleware(answer)(make_request(kind, "/a", {"x-forwarded-host": "www.public.example"}))
    assert made == ["www.public.example"]


@pytest.mark.parametrize(
    "path", ["/50%25-off", "/%C3%A4pfel", "/%E4%BD%A0%E5%A5%BD", "/caf%E9", "/a%20b%23c%3F", "/%25zz"]
)
def test_the_path_is_what_the_browser_sent(kind: str, path: str, captured_events: CapturedEvents) -> None:
    """Django has decoded it by then, under WSGI also where nobody knows any more what it was."""
    context, _ = see(captured_events, kind, f"{path}?utm_source=x", {})
    assert (context.path, context.url) == (path, f"http://pod-7:8000{path}?utm_source=x")


@pytest.mark.parametrize("path", ["/100%25AB", "/%25E9/caf%E9", "/%7Ea%2Fb"])
def test_the_target_of_the_request_decides(path: str, captured_events: CapturedEvents) -> None:
    passerby = {"sitecore": {"client_key": "key", "target_url": "http://127.0.0.1:9", "point_of_sale": "shop"}}
    with override_settings(PASSERBY=passerby):
        TrackingMiddleware(answer)(make_request("wsgi", path, {}, RAW_URI=f"{path}?utm_source=x"))
    (event,) = captured_events.events
    assert event.context.path == path


def test_ignored_paths_below_a_prefix(kind: str) -> None:
    passerby = {"sitecore": {"client_key": "key", "target_url": "http://127.0.0.1:9", "point_of_sale": "shop"}}
    for prefix, target in (("/shop", "/health"), ("/shop/", "/static/app.js")):
        request = make_request(kind, target, {})
        with override_settings(PASSERBY=passerby, FORCE_SCRIPT_NAME=prefix):
            if kind == "wsgi":
                request = make_request(kind, target, {})
            TrackingMiddleware(lambda request: HttpResponse("ok"))(request)
        assert request.tracker.session.decision.assign == "when tracked"  # type: ignore[attr-defined]
