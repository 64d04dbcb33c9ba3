"""Requests that cannot keep a cookie, or cannot carry the one that the browser has: no ID is spent, none replaced."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from passerby import Tracking, current_tracker
from passerby.asgi import TrackingMiddleware
from passerby.collector import CollectorServer
from passerby.http.cookie_context import CookieContext
from passerby.http.proxies import TrustedProxies
from passerby.http.set_cookie import CookieAttributes
from passerby.wsgi import TrackingMiddleware as WsgiMiddleware
from tests.making import (
    BROWSER_ID,
    CHROME,
    KEY,
    NAVIGATION,
    PATIENCE,
    MakeTracking,
    by_name,
    call,
    cookie_header,
    environ_request,
    make_environ,
    make_scope,
    page,
    request,
    set_cookies,
)

BROWSER = {"accept": "text/html", "user-agent": CHROME}
TO_PAGE = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}
OLD_SAFARI = BROWSER | {"x-forwarded-proto": "https"}


def obstacle(headers: Mapping[str, str], proxies: tuple[str, ...] = (), fields: Any = (), **attributes: Any) -> Any:
    """What stands against a cookie, which is the same under ASGI and WSGI."""
    context = CookieContext(CookieAttributes(**attributes), TrustedProxies(proxies))
    found = context.obstacle(request("/", headers, **dict(fields)))
    if dict(fields).get("type") != "websocket":
        assert context.obstacle(environ_request("/", headers, **dict(fields))) == found
    return found


@pytest.mark.parametrize(
    ("method", "headers", "expected"),
    [
        ("GET", TO_PAGE, None),
        ("HEAD", TO_PAGE, None),
        ("GET", {"sec-fetch-site": "cross-site"}, None),
        ("POST", TO_PAGE, "cross-site"),
        ("PUT", TO_PAGE, "cross-site"),
        ("POST", {"sec-fetch-site": "Cross-Site"}, "cross-site"),
        ("GET", TO_PAGE | {"sec-fetch-dest": "image", "sec-fetch-mode": "no-cors"}, "cross-site"),
        ("GET", TO_PAGE | {"sec-fetch-dest": "empty", "sec-fetch-mode": "cors"}, "cross-site"),
        ("GET", TO_PAGE | {"sec-fetch-dest": "script", "sec-fetch-mode": "no-cors"}, "cross-site"),
        ("GET", TO_PAGE | {"sec-fetch-dest": "iframe"}, "frame"),
        ("POST", TO_PAGE | {"sec-fetch-dest": "iframe"}, "frame"),
        ("GET", TO_PAGE | {"sec-fetch-dest": "object"}, "frame"),
        ("GET", TO_PAGE | {"sec-fetch-dest": "embed"}, "frame"),
        ("GET", TO_PAGE | {"sec-fetch-dest": "fencedframe"}, "frame"),
        ("GET", {"sec-fetch-site": "same-origin", "sec-fetch-dest": "iframe"}, None),
        (
            "GET",
            {"sec-fetch-site": "same-origin", "sec-fetch-dest": "iframe", "sec-fetch-storage-access": "none"},
            "frame",
        ),
        ("POST", {"sec-fetch-site": "same-site", "origin": "https://pay.shop.example"}, None),
        ("POST", {"sec-fetch-site": "same-origin", "origin": "null"}, None),
        ("POST", {"sec-fetch-site": "none"}, None),
        # Without Sec-Fetch-Site, as from Safari before 16.4: a form says where it comes from.
        ("POST", OLD_SAFARI | {"origin": "https://shop.example"}, None),
        ("POST", OLD_SAFARI | {"origin": "https://SHOP.example:8443"}, None),
        ("POST", OLD_SAFARI | {"origin": "https://www.shop.example"}, None),
        ("POST", OLD_SAFARI | {"origin": "https://pay.example"}, "cross-site"),
        ("POST", OLD_SAFARI | {"origin": "https://notshop.example"}, "cross-site"),
        ("POST", OLD_SAFARI | {"origin": "https://shop.example.evil.example"}, "cross-site"),
        ("POST", OLD_SAFARI | {"origin": "null"}, "cross-site"),
        ("POST", OLD_SAFARI | {"origin": "https://["}, "cross-site"),
        ("GET", OLD_SAFARI | {"origin": "https://other.example"}, "cross-site"),
        # A webhook, or a form of a browser that says nothing.
        ("POST", {"x-forwarded-proto": "https", "content-type": "application/json"}, None),
        ("POST", {}, None),
    ],
)
def test_between_sites(method: str, headers: dict[str, str], expected: str | None) -> None:
    assert obstacle(headers, fields={"method": method}) == expected
    assert obstacle(headers, fields={"method": method}, same_site="none") is None


def test_siblings_share_a_cookie_where_its_domain_is_that_of_both() -> None:
    headers = OLD_SAFARI | {"origin": "https://pay.shop.example"}
    fields = {"method": "POST", "host": "www.shop.example"}
    assert obstacle(headers, fields=fields) == "cross-site"
    assert obstacle(headers, fields=fields, domain=".shop.example") is None
    assert obstacle(headers, fields=fields, domain="other.example") == "cross-site"


def test_a_strict_cookie_is_not_sent_when_another_site_leads_here() -> None:
    assert obstacle(TO_PAGE, same_site="strict") == "cross-site"
    assert obstacle(TO_PAGE | {"sec-fetch-site": "none"}, same_site="strict") is None


def test_a_websocket_of_another_site() -> None:
    fields = {"type": "websocket", "scheme": "wss"}
    assert obstacle(TO_PAGE | {"sec-fetch-mode": "websocket", "sec-fetch-dest": "websocket"}, fields=fields)
    assert obstacle({"origin": "https://other.example"}, fields=fields) == "cross-site"
    assert obstacle({"origin": "https://shop.example"}, fields=fields) is None


@pytest.mark.parametrize(
    ("headers", "host", "attributes", "expected"),
    [
        (BROWSER, "shop.example", {}, "plain http"),
        (BROWSER, "192.0.2.5", {"secure": True}, "plain http"),
        (BROWSER, "shop.example", {"same_site": "none"}, "plain http"),
        (BROWSER | {"x-forwarded-proto": "http"}, "shop.example", {}, "plain http"),
        (BROWSER, "pod-7", {"secure": True}, "plain http"),
        (BROWSER, "shop.example", {"secure": False}, None),
        (BROWSER, "pod-7", {}, None),
        (BROWSER, "localhost:8000", {"secure": True}, None),
        (BROWSER, "127.0.0.1", {"secure": True}, None),
        (BROWSER, "app.localhost", {"secure": True}, None),
        # A proxy that is not listed speaks https; the cookie is Secure whoever is right.
        (BROWSER | {"x-forwarded-proto": "https"}, "shop.example", {}, None),
        (BROWSER | {"x-forwarded-proto": "HTTPS, http"}, "shop.example", {}, None),
        (BROWSER | {"forwarded": 'for=192.0.2.1;proto="https"'}, "shop.example", {}, None),
        (BROWSER | {"x-forwarded-ssl": "on"}, "shop.example", {}, None),
        (BROWSER | {"cf-visitor": '{"scheme":"https"}'}, "shop.example", {}, None),
        # Browsers say this to https only.
        (BROWSER | {"sec-fetch-site": "none"}, "shop.example", {}, None),
        (NAVIGATION, "shop.example", {}, None),
    ],
)
def test_plain_http(headers: dict[str, str], host: str, attributes: dict[str, Any], expected: str | None) -> None:
    fields = {"scheme": "http", "host": host}
    assert obstacle(headers, fields=fields, **attributes) == expected
    assert obstacle(headers, fields=fields | {"scheme": "https"}, **attributes) is None
    trusted = headers | {"x-forwarded-proto": "https"}
    assert obstacle(trusted, ("192.0.2.0/24",), fields=fields, **attributes) is None


@given(
    st.dictionaries(
        st.sampled_from(["origin", "sec-fetch-site", "sec-fetch-dest", "sec-fetch-mode", "forwarded", "cf-visitor"]),
        st.text(st.characters(min_codepoint=1, max_codepoint=255)),
    ),
    st.sampled_from(["GET", "POST", "PURGE"]),
)
def test_no_header_is_too_strange(headers: dict[str, str], method: str) -> None:
    assert obstacle(headers, fields={"method": method}) in (None, "cross-site", "frame")


# What comes of it.


def track(does: str) -> None:
    if does == "track":
        current_tracker().event("PAID")
    if does == "identify":
        current_tracker().identify("ada")


def through_asgi(tracking: Tracking, method: str, headers: dict[str, str], does: str, **fields: Any) -> list[str]:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        track(does)
        await page({"content-type": "text/html"})(scope, receive, send)

    scope = make_scope("/", headers, method=method, **fields)
    return set_cookies(asyncio.run(call(TrackingMiddleware(app, tracking=tracking), scope)))


def through_wsgi(tracking: Tracking, method: str, headers: dict[str, str], does: str, **fields: Any) -> list[str]:
    def app(environ: Any, start_response: Any) -> list[bytes]:
        track(does)
        start_response("200 OK", [("Content-Type", "text/html")])
        return []

    started: list[Any] = []
    start: Any = lambda *said: started.append(said)  # noqa: E731
    WsgiMiddleware(app, tracking)(make_environ("/", headers, method=method, **fields), start)
    return [value for name, value in started[0][1] if name == "Set-Cookie"]


def through_handle_cookie(
    tracking: Tracking, method: str, headers: dict[str, str], does: str, **fields: Any
) -> list[str]:
    scope, response = make_scope("/", headers, method=method, **fields), list[tuple[bytes, bytes]]()
    if does == "track":
        tracking.event("PAID", None, scope)
    if does == "identify":
        tracking.tracker_for(scope).identify("ada")
    tracking.handle_cookie_sync(scope, response)
    return [value.decode() for name, value in response if name == b"set-cookie"]


FACES: list[Any] = [through_asgi, through_wsgi, through_handle_cookie]
REFUSED = [
    ("cross-site", "POST", TO_PAGE, {}),
    ("cross-site", "POST", {"origin": "https://pay.example", "x-forwarded-proto": "https"}, {}),
    ("cross-site", "POST", {"origin": "null", "x-forwarded-proto": "https"}, {}),
    ("frame", "GET", TO_PAGE | {"sec-fetch-dest": "iframe"}, {}),
    ("plain http", "GET", {}, {"scheme": "http"}),
    ("plain http", "POST", {}, {"scheme": "http"}),
]


@pytest.mark.parametrize("does", ["nothing", "track", "identify"])
@pytest.mark.parametrize(("reason", "method", "headers", "fields"), REFUSED)
@pytest.mark.parametrize("face", FACES)
def test_no_id_is_spent_and_no_cookie_set(
    make_tracking: MakeTracking,
    collector: CollectorServer,
    caplog: pytest.LogCaptureFixture,
    face: Any,
    reason: str,
    method: str,
    headers: dict[str, str],
    fields: dict[str, str],
    does: str,
) -> None:
    tracking = make_tracking(browser_id_pool_size=0, auto_page_views=True, identity_provider="CRM")
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            assert face(tracking, method, BROWSER | headers, does, **fields) == []
    stats = tracking.stats()
    assert stats.withheld_cookies == {reason: 3}
    assert stats.unkept_visitors == (0 if does == "nothing" else 3)
    assert caplog.text.count("stats().withheld_cookies counts") == 1
    if does == "nothing":
        assert [one for one in collector.requests if one.route == "create"] == []
        assert stats.destinations["sitecore"].recorded == 0, "nor a page view of a visitor who is nobody"
    assert tracking.flush(PATIENCE) == 0


@pytest.mark.parametrize(("reason", "method", "headers", "fields"), REFUSED)
@pytest.mark.parametrize("face", FACES)
def test_a_visitor_who_has_an_id_keeps_it(
    make_tracking: MakeTracking,
    collector: CollectorServer,
    face: Any,
    reason: str,
    method: str,
    headers: dict[str, str],
    fields: dict[str, str],
) -> None:
    """The request carried the cookie, so its answer may say more of the visitor; but not by plain http."""
    collector.accept_any_browser_id = True
    tracking = make_tracking(identity_provider="CRM", on_bad_signature="adopt")
    came = BROWSER | headers | cookie_header(bid_key=BROWSER_ID)
    found = by_name(face(tracking, method, came, "identify", **fields))
    if reason == "plain http":
        assert not found
    else:
        assert "bid_key_uid" in found
        assert BROWSER_ID in found.get("bid_key", BROWSER_ID)
    assert tracking.flush(PATIENCE) == 0


@pytest.mark.parametrize("face", FACES)
def test_with_same_site_none_frames_and_other_sites_are_as_any(make_tracking: MakeTracking, face: Any) -> None:
    tracking = make_tracking(cookie_same_site="none")
    for _, method, headers, fields in REFUSED[:4]:
        assert len(face(tracking, method, BROWSER | headers, "nothing", **fields)) == 2
    assert tracking.stats().withheld_cookies == {}


@pytest.mark.parametrize("consent", [lambda request: True, lambda request: "granted"], ids=["True", "granted"])
def test_where_consent_is_asked_it_is_the_same(make_tracking: MakeTracking, consent: Any) -> None:
    tracking = make_tracking(consent=consent)
    assert through_asgi(tracking, "POST", BROWSER | TO_PAGE, "nothing") == []
    assert through_asgi(tracking, "POST", BROWSER | TO_PAGE | {"cookie": "other=1"}, "nothing") == []
    assert len(through_asgi(tracking, "GET", BROWSER | TO_PAGE, "nothing")) == 2


@pytest.mark.parametrize("status", ["301", "302", "307", "308"])
@pytest.mark.parametrize(
    ("location", "sets"),
    [
        ("https://shop.example/a%20page?utm_source=x", False),
        ("HTTPS://www.shop.example/a%20page", False),
        ("https://shop.example/a page/", False),
        ("https://shop.example/elsewhere", True),
        ("http://shop.example/a%20page", True),
        ("/a%20page", True),
    ],
)
def test_a_redirect_from_http_to_https(
    make_tracking: MakeTracking, collector: CollectorServer, status: str, location: str, sets: bool
) -> None:
    """Whatever the request says: who is sent to the same page with https came without."""
    tracking = make_tracking()
    headers = [("location", location)]
    app = TrackingMiddleware(page(headers, status=int(status)), tracking=tracking)
    sent = asyncio.run(call(app, make_scope("/a%20page", NAVIGATION, scheme="http")))
    assert bool(set_cookies(sent)) is sets
    assert tracking.stats().withheld_cookies == ({} if sets else {"plain http": 1})
    later = TrackingMiddleware(page(), tracking=tracking)
    found = by_name(set_cookies(asyncio.run(call(later, make_scope("/", NAVIGATION)))))
    assert len(found) == 2, "the ID went back, and the next visitor has one"


@pytest.mark.parametrize("keys", [(KEY,), ()])
def test_local_development_is_as_before(keys: tuple[str, ...]) -> None:
    tracking = Tracking(secret_key=KEY) if keys else Tracking()
    for host in ("localhost:8000", "127.0.0.1", "testserver"):
        assert through_wsgi(tracking, "GET", BROWSER, "nothing", scheme="http", host=host)
