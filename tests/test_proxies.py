"""What trusted proxies say of host, port, prefix, scheme and address, under ASGI and WSGI alike."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, cast

import pytest
from hypercorn.middleware import ProxyFixMiddleware
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware
from werkzeug.middleware.proxy_fix import ProxyFix

from passerby import CustomerIO, RequestInfo, SettingsError, Sites, Tracking
from passerby.asgi import TrackingMiddleware as AsgiMiddleware
from passerby.events.context import context_of
from passerby.http.proxies import TRUSTED_HEADERS, TrustedProxies
from passerby.http.request import read_request
from passerby.testing import CapturedEvents
from passerby.wsgi import TrackingMiddleware as WsgiMiddleware
from tests.making import (
    NAVIGATION,
    Headers,
    call,
    environ_request,
    make_environ,
    make_scope,
    page,
    request,
    set_cookies,
)

TRUSTED = TrustedProxies(["192.0.2.0/24"])  # the peer is 192.0.2.7
POD = "pod-7:8000"
CUSTOMERIO = CustomerIO(write_key="k" * 20)  # which needs no thread


def both(target: str = "/a", headers: Headers = (), **fields: Any) -> Iterator[RequestInfo]:
    """One request under ASGI and under WSGI; it comes over plain http, as from a proxy that ends TLS."""
    fields = {"host": POD, "scheme": "http"} | fields
    yield request(target, headers, **fields)
    yield environ_request(target, headers, **fields)


@pytest.mark.parametrize(
    ("headers", "url"),
    [
        ({}, "http://pod-7:8000/a"),
        ({"x-forwarded-host": "www.public.example"}, "http://www.public.example/a"),
        ({"x-forwarded-host": "www.public.example:8443"}, "http://www.public.example:8443/a"),
        ({"x-forwarded-host": "[2001:db8::1]:8443"}, "http://[2001:db8::1]:8443/a"),
        ({"x-forwarded-host": "evil.example, www.public.example"}, "http://www.public.example/a"),
        ({"x-forwarded-host": "www.public.example,"}, "http://www.public.example/a"),
        ({"x-forwarded-host": "ada@www.public.example"}, "http://pod-7:8000/a"),
        ({"x-forwarded-host": "a b"}, "http://pod-7:8000/a"),
        ({"x-forwarded-host": ""}, "http://pod-7:8000/a"),
        ({"x-forwarded-proto": "https"}, "https://pod-7:8000/a"),
        ({"x-forwarded-proto": "https", "x-forwarded-port": "443"}, "https://pod-7/a"),
        ({"x-forwarded-proto": "https", "x-forwarded-port": "80"}, "https://pod-7/a"),
        ({"x-forwarded-port": "8080"}, "http://pod-7:8080/a"),
        ({"x-forwarded-port": "99999"}, "http://pod-7:8000/a"),
        ({"x-forwarded-port": "port"}, "http://pod-7:8000/a"),
        ({"x-forwarded-host": "www.public.example", "x-forwarded-port": "8443"}, "http://www.public.example:8443/a"),
        ({"x-forwarded-host": "www.public.example:81", "x-forwarded-port": "82"}, "http://www.public.example:81/a"),
        ({"x-forwarded-prefix": "/shop"}, "http://pod-7:8000/shop/a"),
        ({"x-forwarded-prefix": "/shop/"}, "http://pod-7:8000/shop/a"),
        ({"x-forwarded-prefix": "/a"}, "http://pod-7:8000/a"),
        ({"x-forwarded-prefix": "/"}, "http://pod-7:8000/a"),
        ({"x-forwarded-prefix": "shop"}, "http://pod-7:8000/a"),
        ({"x-forwarded-prefix": "//evil.example"}, "http://pod-7:8000/a"),
        ({"x-forwarded-prefix": "/x y"}, "http://pod-7:8000/a"),
        ({"forwarded": "for=203.0.113.9;host=www.public.example;proto=https"}, "https://www.public.example/a"),
        ({"forwarded": 'for=1.1.1.1;host=evil.example, for=203.0.113.9;host="www.b.example:81"'}, "http://www.b.example:81/a"),
        ({"forwarded": "host=evil.example", "x-forwarded-for": "203.0.113.9"}, "http://pod-7:8000/a"),
        ({"forwarded": 'host="evil.example, host=www.public.example'}, "http://pod-7:8000/a"),
        (
            {"x-forwarded-for": "203.0.113.9, 192.0.2.99", "x-forwarded-host": "www.public.example, inner.example"},
            "http://www.public.example/a",
        ),
        (
            {"x-forwarded-for": "203.0.113.9, 192.0.2.99", "x-forwarded-host": "evil, www.public.example, inner"},
            "http://www.public.example/a",
        ),
    ],
)  # fmt: skip
def test_the_public_url(headers: dict[str, str], url: str) -> None:
    for info in both("/a", headers):
        assert context_of(info, TRUSTED).url == url
    for info in both("/a", headers):  # the same of a peer that is not trusted
        assert (
            context_of(info, TrustedProxies()).url
            == context_of(info, TrustedProxies(["10.0.0.0/8"])).url
            == "http://pod-7:8000/a"
        )


@pytest.mark.parametrize(
    ("forwarded", "ip"),
    [
        ("for=203.0.113.9", "203.0.113.9"),
        ('for="[2001:db8::9]:4711"', "2001:db8::9"),
        ("for=198.51.100.1, for=203.0.113.9, for=192.0.2.1", "203.0.113.9"),
        ("For=203.0.113.9:80;by=192.0.2.1", "203.0.113.9"),
        ("for=unknown", "192.0.2.7"),
        ("for=203.0.113.9, for=_hidden", "192.0.2.7"),
        ("proto=https", "192.0.2.7"),
        ('for="203.0.113.9', "192.0.2.7"),
    ],
)
def test_the_address_in_the_standard_header(forwarded: str, ip: str) -> None:
    for info in both("/", {"forwarded": forwarded}):
        assert TRUSTED.client_ip(info) == ip


def test_an_overlong_list_does_not_hide_what_the_proxy_adds() -> None:
    for info in both("/", {"x-forwarded-for": "1.1.1.1, " * 10_000 + "203.0.113.9"}):
        assert TRUSTED.client_ip(info) == "203.0.113.9"


def test_only_the_headers_that_are_named_are_read() -> None:
    headers = {"x-forwarded-for": "203.0.113.9", "x-forwarded-host": "evil.example", "x-forwarded-prefix": "/evil"}
    headers |= {"forwarded": "for=1.1.1.1;host=evil.example", "x-forwarded-port": "666", "x-forwarded-proto": "https"}
    picky = TrustedProxies(["192.0.2.7"], ["X-Forwarded-For", "x-forwarded-proto"])
    for info in both("/a", headers):
        found = context_of(info, picky, "keep")
        assert (found.ip, found.url) == ("203.0.113.9", "https://pod-7:8000/a")
    with pytest.raises(SettingsError, match="trusted_proxy_headers"):
        Tracking(trusted_proxy_headers=["x-real-ip"])
    assert len(TRUSTED_HEADERS) == 6


@pytest.mark.parametrize("client", [None, ("", -1)])
def test_a_proxy_behind_a_unix_socket(client: tuple[str, int] | None) -> None:
    headers = {"x-forwarded-for": "198.51.100.66, 203.0.113.9", "x-forwarded-host": "www.public.example"}
    for trusted in (["unix"], ["*"], 1, ["unix", "10.0.0.0/8"]):
        for info in (request("/", headers, client=client), environ_request("/", headers, REMOTE_ADDR="")):
            assert TrustedProxies(trusted).client_ip(info) == "203.0.113.9"
            assert TrustedProxies(trusted).authority(info) == "www.public.example"
    for info in (request("/", headers, client=client), environ_request("/", headers, REMOTE_ADDR="")):
        assert TrustedProxies(["10.0.0.0/8"]).client_ip(info) is None


def test_the_number_of_proxies_comes_from_the_environment_too() -> None:
    for text, ip in (("2", "198.51.100.66"), ("1", "203.0.113.9"), ("unix, 192.0.2.7", "203.0.113.9")):
        tracking = Tracking.from_env({"PASSERBY_TRUSTED_PROXIES": text})
        info = request("/", {"x-forwarded-for": "198.51.100.66, 203.0.113.9"})
        tracking.tracker_for(info)
        assert info.proxies is not None
        assert info.proxies.client_ip(info) == ip


# What stands in front and has replaced some of it already.
FORWARDED = {
    "x-forwarded-for": "198.51.100.66, 203.0.113.9",
    "x-forwarded-proto": "https",
    "x-forwarded-prefix": "/shop",
}
FORWARDED |= {"x-forwarded-host": "www.public.example"}
ASGI_FRONTS: Mapping[str, Callable[[Any], Any]] = {
    "none": lambda app: app,
    "uvicorn": lambda app: ProxyHeadersMiddleware(app, "192.0.2.7"),
    "hypercorn": lambda app: ProxyFixMiddleware(app, "legacy", 1),
    "both": lambda app: ProxyHeadersMiddleware(cast(Any, ProxyFixMiddleware(app, "legacy", 1)), "192.0.2.7"),
}
WSGI_FRONTS: Mapping[str, Callable[[Any], Any]] = {
    "none": lambda app: app,
    "address": lambda app: ProxyFix(app, x_for=1),
    "all": lambda app: ProxyFix(app, x_for=1, x_proto=1, x_host=1, x_port=1, x_prefix=1),
}
SETTINGS: list[Any] = [["192.0.2.7"], ["*"], 1]


@pytest.mark.parametrize("trusted", SETTINGS, ids=str)
@pytest.mark.parametrize("front", ASGI_FRONTS)
async def test_nothing_is_applied_twice_under_asgi(front: str, trusted: Any, captured_events: CapturedEvents) -> None:
    tracking = Tracking(CUSTOMERIO, trusted_proxies=trusted, ip="keep", auto_page_views=True)
    app = AsgiMiddleware(page({"content-type": "text/html"}), tracking=tracking)
    headers = FORWARDED | NAVIGATION | {"referer": "https://www.public.example/b"}
    await call(ASGI_FRONTS[front](app), make_scope("/a", headers, host=POD, scheme="http"))
    event = captured_events.assert_page_view()
    assert (event.context.ip, event.context.url) == ("203.0.113.9", "https://www.public.example/shop/a")
    assert event.data["referrer"] is None


@pytest.mark.parametrize("trusted", SETTINGS, ids=str)
@pytest.mark.parametrize("is_inside", [True, False])
@pytest.mark.parametrize("front", WSGI_FRONTS)
def test_nothing_is_applied_twice_under_wsgi(
    front: str, is_inside: bool, trusted: Any, captured_events: CapturedEvents
) -> None:
    def app(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [("Content-Type", "text/html")])
        return [b"a page"]

    tracking = Tracking(CUSTOMERIO, trusted_proxies=trusted, ip="keep", auto_page_views=True)
    fix = WSGI_FRONTS[front]
    whole = WsgiMiddleware(fix(app), tracking) if is_inside else fix(WsgiMiddleware(app, tracking))
    whole(make_environ("/a", FORWARDED | NAVIGATION, host=POD, scheme="http"), lambda *args: print)
    event = captured_events.assert_page_view()
    assert (event.context.ip, event.context.url) == ("203.0.113.9", "https://www.public.example/shop/a")


def test_proxy_fix_alone_is_enough(captured_events: CapturedEvents) -> None:
    def app(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [("Content-Type", "text/html")])
        return [b"a page"]

    whole = WSGI_FRONTS["all"](WsgiMiddleware(app, Tracking(CUSTOMERIO, ip="keep", auto_page_views=True)))
    whole(make_environ("/a", FORWARDED | NAVIGATION, host=POD, scheme="http"), lambda *args: print)
    event = captured_events.assert_page_view()
    assert (event.context.ip, event.context.url) == ("203.0.113.9", "https://www.public.example/shop/a")


def test_a_visitor_without_a_proxy_has_no_say() -> None:
    """Also if a middleware has looked at the request, and whatever the visitor claims to be."""
    headers = {"x-forwarded-for": "192.0.2.7", "x-forwarded-host": "evil.example", "forwarded": "host=evil.example"}
    for info in both("/", headers, client=("203.0.113.9", 50_000), REMOTE_ADDR="203.0.113.9"):
        assert TRUSTED.authority(info) == POD
        assert TRUSTED.client_ip(info) == "203.0.113.9"


@pytest.mark.parametrize(
    ("host", "forwarded", "is_secure"),
    [
        (POD, {}, False),
        (POD, {"x-forwarded-host": "www.public.example"}, True),
        ("www.public.example", {"x-forwarded-host": "localhost:8000"}, False),
        (POD, {"forwarded": "for=203.0.113.9;host=www.public.example"}, True),
        ("www.public.example", {"forwarded": "for=203.0.113.9;host=app.localhost;proto=http"}, False),
        (POD, {"x-forwarded-proto": "https"}, True),
    ],
)
async def test_secure_goes_by_the_public_host(host: str, forwarded: dict[str, str], is_secure: bool) -> None:
    app = AsgiMiddleware(page(), tracking=Tracking(trusted_proxies=["192.0.2.7"]))
    cookies = set_cookies(await call(app, make_scope("/", forwarded | NAVIGATION, host=host, scheme="http")))
    assert cookies
    assert all(("; Secure" in cookie) is is_secure for cookie in cookies)


SITES = {"www.public.example": "public", "shop.example.org": "shop"}


def make_site(name: str) -> Tracking:
    return Tracking(cookie_name=name)


@pytest.mark.parametrize("is_asgi", [True, False], ids=["asgi", "wsgi"])
@pytest.mark.parametrize(
    ("headers", "site"),
    [
        ({"x-forwarded-host": "www.public.example"}, "public"),
        ({"x-forwarded-host": "WWW.Public.Example:8443"}, "public"),
        ({"forwarded": "for=203.0.113.9;host=shop.example.org"}, "shop"),
        ({"x-forwarded-host": "other.example"}, None),
        ({}, None),
    ],
)
def test_sites_are_found_by_the_public_host(is_asgi: bool, headers: dict[str, str], site: str | None) -> None:
    sites = Sites(lambda info: SITES.get(info.host), make_site, trusted_proxies=["192.0.2.7"])
    info = list(both("/", headers))[0 if is_asgi else 1]
    lifecycle = sites.for_request(info)
    tracker = lifecycle.make_tracker(info)
    assert repr(sites) == f"<Sites {site or 'none yet'}>"
    assert (tracker.session.decision.refusal is None) is (site is not None)
    if site is not None:  # all sites trust what the app trusts
        assert (context_of(info, info.proxies or TrustedProxies()).url or "").lower().startswith(f"http://{info.host}")
    sites.close(0)


def test_what_is_read_late_is_still_there() -> None:
    headers = FORWARDED | {"referer": "https://ada:x@partner.example/", "forwarded": "for=1.1.1.1"}
    for info in both("/50%25?utm_source=a%2525", headers, RAW_URI="/50%25?utm_source=a"):
        info.proxies = TRUSTED
        before = context_of(info, TRUSTED)
        info.detach()
        assert context_of(info, TRUSTED) == before
        assert info.host == "www.public.example"


def test_facts_of_a_framework_request_are_public_too() -> None:
    tracking = Tracking(trusted_proxies=1)
    info = read_request(make_environ("/", FORWARDED, host=POD))
    tracking.tracker_for(info)
    assert (info.host, info.authority) == ("www.public.example", "www.public.example")
