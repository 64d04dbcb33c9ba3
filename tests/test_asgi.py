"""The ASGI middleware: what a visitor's browser sees, and what the app does not notice."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.middleware import Middleware
from starlette.requests import HTTPConnection, Request
from starlette.responses import FileResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.testclient import TestClient
from starlette.websockets import WebSocket

from passerby import Tracker, Tracking, current_tracker
from passerby.asgi import TrackingMiddleware
from passerby.browser_ids.browser_ids import BrowserIds
from passerby.browser_ids.pool import BrowserIdCounts
from passerby.client.client import Client
from passerby.collector import CollectorServer
from passerby.delivery import Delivery
from passerby.fastapi import get_tracker
from passerby.http.caching import may_be_shared
from passerby.http.policy import Policy
from passerby.http.session_reader import SessionReader
from passerby.outbox.outbox import Outbox
from passerby.testing import CapturedEvents
from passerby.values.browser_id import is_uuid
from tests.making import (
    BROWSER_ID,
    NAVIGATION,
    OTHER_ID,
    PATIENCE,
    App,
    MakeTracking,
    Message,
    body_of,
    by_name,
    call,
    cookie_header,
    dropped,
    eventually,
    eventually_async,
    make_scope,
    page,
    pairs,
    sent_back,
    set_cookies,
    start_of,
    value_of,
)
from tests.user_agents import BOTS

BID = "bid_key"


@pytest.fixture
def tracking(make_tracking: MakeTracking) -> Tracking:
    return make_tracking()


def viewing(*told: str) -> App:
    """An app that tells page views and answers with the browser ID it read."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        tracker: Tracker = scope["state"]["tracker"]
        for name in told or ("Home",):
            tracker.page_view({"page": name})
        await page(body=(tracker.browser_id or "").encode())(scope, receive, send)

    return app


def install(app: App, tracking: Tracking, **options: Any) -> App:
    return TrackingMiddleware(app, tracking=tracking, **options)


class TestCookie:
    async def test_the_very_first_request_has_the_id_that_is_set(
        self, tracking: Tracking, collector: CollectorServer
    ) -> None:
        """U41."""
        sent = await call(install(viewing(), tracking), make_scope("/", NAVIGATION))
        cookies = by_name(set_cookies(sent))
        assert list(cookies) == [BID, "bid_key_sig"]
        assert value_of(cookies[BID]) == body_of(sent).decode() in collector.browser_ids
        assert cookies[BID].endswith("; Max-Age=34560000; Path=/; SameSite=Lax; Secure")
        assert await tracking.aflush(PATIENCE) == 0
        assert [event["browser_id"] for event in collector.events] == [value_of(cookies[BID])]

    async def test_a_returning_visitor_keeps_the_id_and_gets_no_cookie(self, tracking: Tracking) -> None:
        first = await call(install(viewing(), tracking), make_scope("/", NAVIGATION))
        again = await call(install(viewing(), tracking), make_scope("/", NAVIGATION | sent_back(set_cookies(first))))
        assert body_of(again) == body_of(first)
        assert set_cookies(again) == []

    async def test_a_cookie_of_the_browser_sdk_is_adopted_and_signed(self, tracking: Tracking) -> None:
        came = NAVIGATION | cookie_header(bid_key=BROWSER_ID)
        sent = await call(install(viewing(), tracking), make_scope("/", came))
        assert value_of(by_name(set_cookies(sent))[BID]) == body_of(sent).decode() == BROWSER_ID
        script = came | {"sec-fetch-dest": "script", "sec-fetch-mode": "no-cors"}
        assert set_cookies(await call(install(page(), tracking), make_scope("/app.js", script))) == []
        again = await call(install(viewing(), tracking), make_scope("/", NAVIGATION | sent_back(set_cookies(sent))))
        assert set_cookies(again) == []

    async def test_a_signed_cookie_is_renewed_at_most_once_per_period(self, make_tracking: MakeTracking) -> None:
        eager, patient = make_tracking(cookie_renew_after=0), make_tracking()
        first = await call(install(viewing(), patient), make_scope("/", NAVIGATION))
        headers = NAVIGATION | sent_back(set_cookies(first))
        assert set_cookies(await call(install(viewing(), patient), make_scope("/", headers))) == []
        renewed = await call(install(viewing(), eager), make_scope("/", headers))
        assert list(by_name(set_cookies(renewed))) == [BID, "bid_key_sig"]
        assert body_of(renewed) == body_of(first)

    async def test_a_tampered_cookie_is_a_new_visitor(self, tracking: Tracking) -> None:
        first = await call(install(viewing(), tracking), make_scope("/", NAVIGATION))
        came = sent_back(set_cookies(first))["cookie"].replace(body_of(first).decode(), OTHER_ID)
        sent = await call(install(viewing(), tracking), make_scope("/", NAVIGATION | {"cookie": came}))
        assert body_of(sent) not in (b"", OTHER_ID.encode(), body_of(first))

    async def test_the_apps_own_cookies_stay_and_ours_are_appended(self, tracking: Tracking) -> None:
        app = page([("set-cookie", "session=1; Path=/"), ("x-app", "yes"), ("set-cookie", "cart=2")])
        sent = await call(install(app, tracking), make_scope("/", NAVIGATION))
        headers = start_of(sent)["headers"]
        assert headers[:3] == [(b"set-cookie", b"session=1; Path=/"), (b"x-app", b"yes"), (b"set-cookie", b"cart=2")]
        assert list(by_name(set_cookies(sent))) == ["session", "cart", BID, "bid_key_sig"]

    @pytest.mark.parametrize("name", [b"set-cookie", b"Set-Cookie"])
    async def test_an_app_that_sets_the_same_cookie_is_left_alone(self, tracking: Tracking, name: bytes) -> None:
        """U44: neither the cookie nor a signature of ours for the app's value."""

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await send({"type": "http.response.start", "status": 200, "headers": [(name, b"bid_key=mine")]})
            await send({"type": "http.response.body"})

        assert set_cookies(await call(install(app, tracking), make_scope("/", NAVIGATION))) == ["bid_key=mine"]

    @pytest.mark.parametrize(
        "headers",
        [
            {"Cache-Control": "public, max-age=60"},
            {"cache-control": "s-maxage=60"},
            {"cache-control": "max-age=31536000, immutable"},
            {"cache-control": "max-age=300"},
            {"CDN-Cache-Control": "max-age=60"},
            {"surrogate-control": "max-age=60"},
        ],
    )
    async def test_a_publicly_cacheable_page_gets_no_cookie(self, tracking: Tracking, headers: dict[str, str]) -> None:
        """C7, C9; and the ID that nobody has seen goes back."""
        sent = await call(install(page(headers), tracking), make_scope("/", NAVIGATION))
        assert start_of(sent)["headers"] == [(name.encode(), value.encode()) for name, value in headers.items()]
        counts = tracking.stats().browser_ids
        assert counts is not None
        assert (counts.assigned, counts.returned) == (0, 1)

    async def test_an_id_that_the_app_has_read_does_not_go_back(self, tracking: Tracking) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            body = (current_tracker().browser_id or "").encode()
            await page({"cache-control": "public"}, body=body)(scope, receive, send)

        one = await call(install(app, tracking), make_scope("/", NAVIGATION))
        other = await call(install(app, tracking), make_scope("/", NAVIGATION))
        assert is_uuid(body_of(one).decode())
        assert body_of(one) != body_of(other)
        assert set_cookies(one) == []

    async def test_a_tracker_that_outlives_its_request_has_no_id_of_another(self, tracking: Tracking) -> None:
        """The ID went back to the pool and may be the next visitor's."""
        kept: list[Tracker] = []

        async def app(scope: Any, receive: Any, send: Any) -> None:
            kept.append(current_tracker())
            await page({"cache-control": "public"})(scope, receive, send)

        await call(install(app, tracking), make_scope("/", NAVIGATION))
        other = await call(install(viewing(), tracking), make_scope("/", NAVIGATION))
        assert kept[0].browser_id != body_of(other).decode()

    @pytest.mark.parametrize(
        ("headers", "method", "target"),
        [
            ({"sec-fetch-dest": "image"}, "GET", "/"),
            ({"sec-fetch-dest": "empty", "sec-fetch-mode": "cors"}, "POST", "/api"),
            ({"accept": "application/json"}, "GET", "/api"),
            (NAVIGATION | {"sec-purpose": "prefetch"}, "GET", "/"),
            ({"purpose": "prefetch"}, "GET", "/"),
            (NAVIGATION, "HEAD", "/"),
            (NAVIGATION, "OPTIONS", "/"),
            (NAVIGATION, "GET", "/static/logo.svg"),
            (NAVIGATION, "GET", "/favicon.ico"),
            (NAVIGATION, "GET", "/healthz"),
        ],
    )
    async def test_what_is_no_page_gets_no_cookie(
        self, tracking: Tracking, headers: dict[str, str], method: str, target: str
    ) -> None:
        sent = await call(install(page(), tracking), make_scope(target, headers, method=method))
        assert set_cookies(sent) == []
        assert tracking.stats().browser_ids is not None
        assert tracking.stats().browser_ids.assigned == 0  # type: ignore[union-attr]

    async def test_a_subresource_that_tells_something_gets_one(self, tracking: Tracking) -> None:
        tracking.start()
        await eventually_async(lambda: tracking.stats().browser_ids.ready)  # type: ignore[union-attr]
        scope = make_scope("/api/cart", {"sec-fetch-dest": "empty", "accept": "application/json"}, method="POST")
        sent = await call(install(viewing(), tracking), scope)
        assert value_of(by_name(set_cookies(sent))[BID]) == body_of(sent).decode()

    async def test_a_page_with_its_assets_is_one_visitor(self, tracking: Tracking, collector: CollectorServer) -> None:
        """U42: one page, 20 assets and 5 XHR at once make one visitor."""
        app = install(page(), tracking)
        asset = {"sec-fetch-dest": "image", "sec-fetch-mode": "no-cors"}
        xhr = {"sec-fetch-dest": "empty", "sec-fetch-mode": "cors"}
        answers = await asyncio.gather(
            call(app, make_scope("/", NAVIGATION)),
            *(call(app, make_scope(f"/img/{n}", asset)) for n in range(20)),
            *(call(app, make_scope(f"/api/{n}", xhr)) for n in range(5)),
        )
        assert len([line for sent in answers for line in set_cookies(sent) if line.startswith("bid_key=")]) == 1

    @pytest.mark.parametrize(
        ("headers", "options", "reason"),
        [
            ({"user-agent": BOTS[0]}, {}, "bot"),
            ({"sec-gpc": "1"}, {}, "gpc"),
            ({}, {"consent": lambda info: False}, "consent"),
            ({}, {"consent": lambda info: None}, "consent"),
            ({}, {"consent": lambda info: 1 / 0}, "consent"),
        ],
        ids=["bot", "Sec-GPC", "denied", "unknown", "consent raises"],
    )
    async def test_where_nothing_may_be_kept_it_is_counted(
        self, make_tracking: MakeTracking, collector: CollectorServer, headers: Any, options: Any, reason: str
    ) -> None:
        tracking = make_tracking(**options)
        sent = await call(install(viewing("a", "b"), tracking), make_scope("/", NAVIGATION | headers))
        assert set_cookies(sent) == []
        assert body_of(sent) == b""
        assert dropped(tracking) == {reason: 2}
        assert tracking.stats().destinations["sitecore"].is_balanced
        assert await tracking.aflush(1) == 0
        assert collector.events == []

    async def test_a_granted_consent(self, make_tracking: MakeTracking) -> None:
        tracking = make_tracking(consent=lambda info: info.cookies.get("choice") == "all")
        headers = NAVIGATION | {"cookie": "choice=all"}
        assert BID in by_name(set_cookies(await call(install(viewing(), tracking), make_scope("/", headers))))

    async def test_withdrawn_consent_deletes_the_cookies(self, make_tracking: MakeTracking) -> None:
        """U48."""
        tracking = make_tracking(consent=lambda info: False)
        headers = NAVIGATION | cookie_header(bid_key=BROWSER_ID, bid_key_sig="x", bid_key_uid="y")
        cookies = by_name(set_cookies(await call(install(viewing(), tracking), make_scope("/", headers))))
        assert list(cookies) == [BID, "bid_key_sig", "bid_key_uid"]
        assert all("=; Max-Age=0; Path=/" in line for line in cookies.values())
        silent = await call(install(page(), tracking), make_scope("/", headers))
        assert set_cookies(silent) == list(cookies.values()), "also where the app tells nothing"
        unknown = make_tracking(consent=lambda info: None)
        assert set_cookies(await call(install(viewing(), unknown), make_scope("/", headers))) == []

    async def test_cookies_on_a_developers_machine(self, make_tracking: MakeTracking) -> None:
        tracking = make_tracking(cookie_same_site="none", cookie_partitioned=True)
        local = make_scope("/", NAVIGATION, host="localhost:8000", scheme="http")
        public = make_scope("/", NAVIGATION)
        (ours, _) = set_cookies(await call(install(page(), tracking), local))
        assert ours.endswith("; SameSite=Lax")
        (ours, _) = set_cookies(await call(install(page(), tracking), public))
        assert ours.endswith("; SameSite=None; Secure; Partitioned")

    async def test_behind_a_proxy_that_ends_tls(self, make_tracking: MakeTracking) -> None:
        tracking = make_tracking(trusted_proxies=["192.0.2.7"])
        headers = NAVIGATION | {"x-forwarded-proto": "https", "x-forwarded-for": "203.0.113.9"}
        scope = make_scope("/", headers, host="localhost", scheme="http")
        (ours, _) = set_cookies(await call(install(page(), tracking), scope))
        assert ours.endswith("; Secure")

    async def test_without_a_key_there_is_no_signature(self, make_tracking: MakeTracking) -> None:
        tracking = make_tracking(secret_key=None)
        sent = await call(install(viewing(), tracking), make_scope("/", NAVIGATION))
        assert list(by_name(set_cookies(sent))) == [BID]
        again = await call(install(viewing(), tracking), make_scope("/", NAVIGATION | sent_back(set_cookies(sent))))
        assert set_cookies(again) == []

    async def test_without_sitecore_the_cookie_is_our_own(self) -> None:
        tracking = Tracking(secret_key="a key of some length")
        sent = await call(install(viewing(), tracking), make_scope("/", NAVIGATION))
        cookies = by_name(set_cookies(sent))
        assert list(cookies) == ["passerby_bid", "passerby_bid_sig"]
        assert value_of(cookies["passerby_bid"]) == body_of(sent).decode()
        assert cookies["passerby_bid"].endswith("; HttpOnly")

    async def test_cookies_may_be_left_to_the_browser_sdk(self, make_tracking: MakeTracking) -> None:
        tracking = make_tracking(set_cookie=False)
        assert set_cookies(await call(install(viewing(), tracking), make_scope("/", NAVIGATION))) == []

    @pytest.mark.parametrize("hostile", ["a\r\nSet-Cookie: x=y", '"\\\\"' * 1000, "\x00", "é", "=" * 5000])
    async def test_a_hostile_cookie_is_a_new_visitor(self, tracking: Tracking, hostile: str) -> None:
        came = NAVIGATION | {"cookie": f"bid_key={hostile}; bid_key_sig={hostile}; bid_key_uid={hostile}"}
        sent = await call(install(viewing(), tracking), make_scope("/", came))
        assert is_uuid(body_of(sent).decode())
        for line in set_cookies(sent):
            assert line.isprintable()
            assert line.isascii()
            assert hostile not in line

    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
    @given(text=st.text(st.characters(max_codepoint=255), min_size=1))
    def test_nothing_received_is_echoed(self, text: str) -> None:
        tracking = Tracking(secret_key="a key of some length")
        mark = f"mark{text}mark"
        headers = {"cookie": f"passerby_bid={mark}; {mark}={mark}", "user-agent": mark, "x-forwarded-proto": mark}
        scope = make_scope("/", headers, host=mark)
        sent = asyncio.run(call(install(page(), tracking), scope))
        assert len(set_cookies(sent)) == 2
        assert all("mark" not in line and line.isprintable() for line in set_cookies(sent))


class TestPool:
    async def test_no_id_in_time_no_cookie_and_the_next_request_tries_again(
        self, make_tracking: MakeTracking, collector: CollectorServer
    ) -> None:
        collector.fail("create", times=3, delay=2.0, status=None)
        tracking = make_tracking(browser_id_timeout=0.02)
        app = install(viewing("first"), tracking)
        sent = await call(app, make_scope("/", NAVIGATION))
        assert set_cookies(sent) == []
        assert body_of(sent) == b""
        await eventually_async(lambda: tracking.stats().browser_ids.ready)  # type: ignore[union-attr]
        assert BID in by_name(set_cookies(await call(app, make_scope("/", NAVIGATION))))
        assert await tracking.aflush(PATIENCE) == 0
        ledger = tracking.stats().destinations["sitecore"]
        assert (ledger.delivered, ledger.unlinked) == (2, 1)
        assert len({event["browser_id"] for event in collector.events}) == 2

    async def test_a_request_that_is_given_up_leaves_the_line(
        self, make_tracking: MakeTracking, collector: CollectorServer
    ) -> None:
        """An ID that came for nobody would be a phantom guest."""
        collector.fail("create", delay=2.0, status=None)
        tracking = make_tracking(browser_id_pool_size=1)
        waiting = asyncio.create_task(call(install(page(), tracking), make_scope("/", NAVIGATION)))
        await eventually_async(lambda: collector.requests)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting

        def counts() -> BrowserIdCounts:
            found = tracking.stats().browser_ids
            assert found is not None
            return found

        await eventually_async(lambda: counts().made > 0 and counts().ready == counts().made)
        assert counts().assigned == 0


class TestIdentity:
    """A visitor says who they are: later requests know it until they log out."""

    async def test_the_user_is_remembered(self, make_tracking: MakeTracking, collector: CollectorServer) -> None:
        tracking = make_tracking(identity_provider="CRM")
        users: list[str | None] = []

        async def app(scope: Any, receive: Any, send: Any) -> None:
            tracker = current_tracker()
            if scope["path"] == "/login":
                tracker.identify("user_123", {"email": "ada@b.example"})
            elif scope["path"] == "/logout":
                tracker.reset()
            users.append(tracker.user_id)
            await page()(scope, receive, send)

        jar: dict[str, str] = {}

        async def visit(path: str) -> dict[str, str]:
            sent = await call(install(app, tracking), make_scope(path, NAVIGATION | cookie_header(**jar)))
            lines = by_name(set_cookies(sent))
            for name, line in lines.items():
                if "Max-Age=0" in line:
                    jar.pop(name)
                else:
                    jar[name] = value_of(line)
            return lines

        assert list(await visit("/")) == [BID, "bid_key_sig"]
        assert list(await visit("/login")) == ["bid_key_uid"]
        assert await visit("/") == {}
        assert await visit("/login") == {}, "unchanged: not sent and not set again"
        late = dict(jar)
        assert list(await visit("/logout")) == ["bid_key_uid", "bid_key_out"]
        assert await visit("/") == {}
        assert users == [None, "user_123", "user_123", "user_123", None, None]

        # A request that was under way when the visitor logged out ends after it: it sets nothing.
        sent = await call(install(app, tracking), make_scope("/", NAVIGATION | cookie_header(**late)))
        assert set_cookies(sent) == []
        assert await tracking.aflush(PATIENCE) == 0
        assert [event["type"] for event in collector.events] == ["IDENTITY"]
        assert dropped(tracking) == {"unchanged": 1}

    @pytest.mark.parametrize(
        "refusing", [{"sec-gpc": "1"}, {"user-agent": "Googlebot/2.1"}, {"sec-purpose": "prefetch"}]
    )
    async def test_reset_works_whatever_else_is_refused(
        self, make_tracking: MakeTracking, refusing: dict[str, str]
    ) -> None:
        """To log out takes nobody's permission."""
        tracking = make_tracking(identity_provider="CRM")

        async def app(scope: Any, receive: Any, send: Any) -> None:
            if scope["path"] == "/login":
                current_tracker().identify("user_123")
            else:
                current_tracker().reset()
            await page()(scope, receive, send)

        came = sent_back(set_cookies(await call(install(app, tracking), make_scope("/login", NAVIGATION))))
        sent = await call(install(app, tracking), make_scope("/logout", NAVIGATION | came | refusing))
        assert "Max-Age=0" in by_name(set_cookies(sent))["bid_key_uid"]

    async def test_an_identity_that_was_not_kept_is_not_remembered_as_told(
        self, make_tracking: MakeTracking, collector: CollectorServer
    ) -> None:
        collector.stop()
        tracking = make_tracking(identity_provider="CRM", max_events=1)

        async def app(scope: Any, receive: Any, send: Any) -> None:
            current_tracker().page_view()
            current_tracker().identify("user_123")
            await page()(scope, receive, send)

        came = NAVIGATION | cookie_header(bid_key=BROWSER_ID)
        for _ in range(2):
            sent = await call(install(app, tracking), make_scope("/", came))
            came |= sent_back(set_cookies(sent))
        assert dropped(tracking) == {"full": 3}

    async def test_rotate_gives_a_new_id_and_forgets_the_user(self, make_tracking: MakeTracking) -> None:
        tracking = make_tracking(identity_provider="CRM")

        async def app(scope: Any, receive: Any, send: Any) -> None:
            tracker = current_tracker()
            if scope["path"] == "/login":
                tracker.identify("user_123")
            if scope["path"] == "/rotate":
                tracker.rotate()
            await page(body=(tracker.browser_id or "").encode())(scope, receive, send)

        first = await call(install(app, tracking), make_scope("/login", NAVIGATION))
        await eventually_async(lambda: tracking.stats().browser_ids.ready)  # type: ignore[union-attr]
        came = NAVIGATION | sent_back(set_cookies(first))
        sent = await call(install(app, tracking), make_scope("/rotate", came))
        cookies = by_name(set_cookies(sent))
        assert value_of(cookies[BID]) == body_of(sent).decode()
        assert body_of(sent) not in (b"", body_of(first))
        assert "Max-Age=0" in cookies["bid_key_uid"]

    async def test_rotate_without_an_id_at_hand_takes_the_old_one_away(
        self, make_tracking: MakeTracking, collector: CollectorServer
    ) -> None:
        """Otherwise the next one at this browser would go on as the one before."""
        tracking = make_tracking(browser_id_pool_size=0, identity_provider="CRM", browser_id_timeout=0)

        async def app(scope: Any, receive: Any, send: Any) -> None:
            current_tracker().rotate()
            current_tracker().identify("user_124")
            await page()(scope, receive, send)

        came = NAVIGATION | cookie_header(bid_key=BROWSER_ID)
        cookies = by_name(set_cookies(await call(install(app, tracking), make_scope("/", came))))
        assert {name for name, line in cookies.items() if "Max-Age=0" in line} == {BID, "bid_key_sig", "bid_key_uid"}


class TestApp:
    """What passes untouched."""

    @pytest.mark.parametrize("status", [204, 304, 200, 500])
    async def test_statuses(self, tracking: Tracking, status: int) -> None:
        sent = await call(install(page(status=status, body=b""), tracking), make_scope("/", NAVIGATION))
        assert start_of(sent)["status"] == status
        assert sent[1:] == [{"type": "http.response.body", "body": b""}]

    async def test_headers_of_any_iterable(self, tracking: Tracking) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            headers = [(b"content-type", b"text/plain"), (b"set-cookie", b"session=1")]
            await send({"type": "http.response.start", "status": 200, "headers": (pair for pair in headers)})
            await send({"type": "http.response.body", "body": b""})

        headers = list(start_of(await call(install(app, tracking), make_scope("/", NAVIGATION)))["headers"])
        assert headers[:2] == [(b"content-type", b"text/plain"), (b"set-cookie", b"session=1")]
        assert any(value.startswith(b"bid_key=") for _, value in headers)

    def test_starlettes_own_responses(self, make_tracking: MakeTracking, tmp_path: Path) -> None:
        file = tmp_path / "file.txt"
        file.write_bytes(b"x" * 200_000)
        done: list[str] = []

        async def stream() -> AsyncIterator[bytes]:
            for number in range(5):
                yield f"data: {number}\n\n".encode()

        routes = [
            Route("/stream", lambda request: StreamingResponse(stream(), media_type="text/event-stream")),
            Route("/file", lambda request: FileResponse(file)),
            Route("/text", lambda request: PlainTextResponse("text", background=BackgroundTask(done.append, "done"))),
            Route("/empty", lambda request: Response(status_code=204)),
        ]
        bare = TestClient(Starlette(routes=routes))
        tracked = Starlette(routes=routes, middleware=[Middleware(TrackingMiddleware, tracking=make_tracking())])
        for path in ("/stream", "/file", "/text", "/empty"):
            for method in ("GET", "HEAD"):
                plain = bare.request(method, path, headers=NAVIGATION)
                ours = TestClient(tracked).request(method, path, headers=NAVIGATION)
                assert (ours.status_code, ours.content) == (plain.status_code, plain.content)
                cookies = ours.headers.get_list("set-cookie")
                assert len(cookies) == (2 if method == "GET" else 0)
                added = [] if method == "HEAD" else [("cache-control", "private")]
                assert [
                    pair for pair in ours.headers.multi_items() if pair[0] != "set-cookie"
                ] == plain.headers.multi_items() + added
        part = TestClient(tracked).get("/file", headers=NAVIGATION | {"range": "bytes=5-9"})
        assert (part.status_code, part.content) == (206, b"xxxxx")
        assert done == ["done"] * 4

    messages = st.builds(
        lambda status, headers, chunks: [
            {"type": "http.response.start", "status": status, "headers": headers},
            *({"type": "http.response.body", "body": chunk, "more_body": True} for chunk in chunks),
            {"type": "http.response.body", "body": b"", "more_body": False},
        ],
        st.integers(200, 599),
        st.lists(
            st.tuples(st.sampled_from([b"x-a", b"set-cookie", b"cache-control", b"vary"]), st.binary(max_size=20))
        ),
        st.lists(st.binary(max_size=50), max_size=4),
    )

    @settings(max_examples=200)
    @given(
        messages=messages,
        came=st.dictionaries(st.sampled_from(["cookie", "accept", "sec-gpc", "user-agent"]), st.just("1")),
    )
    def test_every_message_is_equal_but_for_our_cookies(self, messages: list[Message], came: dict[str, str]) -> None:
        tracking = Tracking(secret_key="a key of some length")

        async def app(scope: Any, receive: Any, send: Any) -> None:
            for message in messages:
                await send(message)

        before = [dict(message) for message in messages]
        listed = list(messages[0]["headers"])
        sent = asyncio.run(call(install(app, tracking), make_scope("/", came)))
        bare = asyncio.run(call(app, make_scope("/", came)))
        assert messages == before
        assert messages[0]["headers"] == listed, "changed in place"
        ours = [pair for pair in sent[0]["headers"] if pair[1].startswith(b"passerby_bid")]
        theirs = [pair for pair in bare[0]["headers"] if pair[1].startswith(b"passerby_bid")]
        if len(ours) == len(theirs):
            assert sent[0]["headers"] == listed
        others = [pair for pair in sent[0]["headers"] if pair[0] != b"cache-control"]
        assert others == [pair for pair in listed if pair[0] != b"cache-control"] + ours[len(theirs) :]
        assert ours == theirs or not may_be_shared(sent[0]["headers"])
        assert (sent[0] | {"headers": []}, sent[1:]) == (bare[0] | {"headers": []}, bare[1:])

    async def test_headers_may_be_left_out(self, tracking: Tracking) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            await send({"type": "http.response.start", "status": 200})
            await send({"type": "http.response.body"})

        assert len(set_cookies(await call(install(app, tracking), make_scope("/", NAVIGATION)))) == 2

    async def test_an_informational_response_before_it_passes(self, tracking: Tracking) -> None:
        hints = {"type": "http.response.early_hint", "links": [b"</a.css>; rel=preload"]}

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await send(hints)
            await page()(scope, receive, send)

        sent = await call(install(app, tracking), make_scope("/", NAVIGATION))
        assert sent[0] is hints
        assert len(set_cookies(sent)) == 2

    @pytest.mark.parametrize("started", [False, True])
    async def test_the_apps_exception_is_its_own(self, tracking: Tracking, started: bool) -> None:
        error = RuntimeError("the app's own")

        async def app(scope: Any, receive: Any, send: Any) -> None:
            if started:
                await send({"type": "http.response.start", "status": 200, "headers": []})
            raise error

        with pytest.raises(RuntimeError) as caught:
            await call(install(app, tracking), make_scope("/", NAVIGATION))
        assert caught.value is error
        with pytest.raises(LookupError):
            current_tracker()
        counts = tracking.stats().browser_ids
        assert counts is not None
        assert counts.assigned == (1 if started else 0)

    async def test_a_client_that_goes_away(self, tracking: Tracking) -> None:
        seen: list[str] = []

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await receive()
            seen.append((await receive())["type"])
            await send({"type": "http.response.start", "status": 200, "headers": []})
            raise OSError("client disconnected")

        gone: list[Message] = [{"type": "http.request", "body": b""}, {"type": "http.disconnect"}]
        with pytest.raises(OSError, match="disconnected"):
            await call(install(app, tracking), make_scope("/", NAVIGATION), *gone)
        assert seen == ["http.disconnect"]

    async def test_a_cancelled_request_leaves_nothing_behind(self, tracking: Tracking) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            await asyncio.sleep(60)

        tracking.start()
        await eventually_async(lambda: tracking.stats().browser_ids.ready)  # type: ignore[union-attr]
        task = asyncio.create_task(call(install(app, tracking), make_scope("/", NAVIGATION)))
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert tracking.stats().browser_ids.assigned == 0  # type: ignore[union-attr]

    async def test_unknown_scopes_pass(self, tracking: Tracking) -> None:
        scope = {"type": "mqtt", "anything": object()}
        before, seen = dict(scope), []

        async def app(scope: Any, receive: Any, send: Any) -> None:
            seen.append((scope, receive, send))

        await call(install(app, tracking), scope)
        assert seen[0][0] is scope
        assert scope == before

    async def test_no_vary_is_added_and_nothing_else(self, tracking: Tracking) -> None:
        for said, names in (({"vary": "Accept"}, [b"vary"]), ({"cache-control": "no-store"}, [b"cache-control"])):
            sent = await call(install(page(said), tracking), make_scope("/", NAVIGATION))
            added = [] if b"cache-control" in names else [b"cache-control"]
            found = [name for name, _ in start_of(sent)["headers"]]
            assert found == [*names, b"set-cookie", b"set-cookie", *added]


class TestInstallation:
    async def test_installed_twice_it_acts_once(self, tracking: Tracking, collector: CollectorServer) -> None:
        """U36."""
        sent = await call(install(install(viewing(), tracking), tracking), make_scope("/", NAVIGATION))
        assert list(by_name(set_cookies(sent))) == [BID, "bid_key_sig"]
        assert await tracking.aflush(PATIENCE) == 0
        assert len(collector.events) == 1

    async def test_below_someone_who_told_something_already(self, tracking: Tracking) -> None:
        """A middleware in front that uses the server object does not switch this one off."""
        inner = install(viewing(), tracking)

        async def in_front(scope: Any, receive: Any, send: Any) -> None:
            tracking.page_view({"page": "in front"}, scope)
            await inner(scope, receive, send)

        sent = await call(in_front, make_scope("/", NAVIGATION))
        assert value_of(by_name(set_cookies(sent))[BID]) == body_of(sent).decode()

    def test_a_mounted_app(self, make_tracking: MakeTracking) -> None:
        tracking = make_tracking()
        stack = [Middleware(TrackingMiddleware, tracking=tracking)]

        def endpoint(request: Request) -> PlainTextResponse:
            return PlainTextResponse(f"{request.state.tracker.browser_id} {current_tracker() is request.state.tracker}")

        inner = Starlette(routes=[Route("/page", endpoint)], middleware=stack)
        client = TestClient(Starlette(routes=[Mount("/sub", inner)], middleware=stack))
        answer = client.get("/sub/page", headers=NAVIGATION)
        assert answer.text == f"{answer.cookies[BID]} True"
        assert len(answer.headers.get_list("set-cookie")) == 2

    def test_an_exception_handler_that_stands_before_it(
        self, make_tracking: MakeTracking, captured_events: CapturedEvents
    ) -> None:
        """Starlette answers what nothing else has caught outside of all middleware."""

        def fail(request: Request) -> Response:
            raise KeyError("the app's own")

        def answer(request: Request, error: Exception) -> PlainTextResponse:
            request.state.tracker.event("FAILED")
            return PlainTextResponse("sorry", 500)

        app = Starlette(
            routes=[Route("/", fail)],
            middleware=[Middleware(TrackingMiddleware, tracking=make_tracking())],
            exception_handlers={Exception: answer},
        )
        client = TestClient(app, raise_server_exceptions=False)
        assert [client.get("/", headers=NAVIGATION).text for _ in range(2)] == ["sorry", "sorry"]
        assert client.get("/missing").status_code == 404
        assert len(captured_events) == 2

    @pytest.mark.parametrize("state", [{}, {"tracker": None}, None, SimpleNamespace()], ids=str)
    async def test_a_middleware_that_replaces_scope_and_state(self, tracking: Tracking, state: Any) -> None:
        """Below it, in an app that has passerby too, the tracker is back."""

        async def endpoint(scope: Any, receive: Any, send: Any) -> None:
            assert (scope["state"]["tracker"] if scope["state"] is not state else kept()) is current_tracker()
            assert await get_tracker(HTTPConnection(scope)) is current_tracker()
            await page()(scope, receive, send)

        def kept() -> Tracker:
            found: Tracker = state.tracker if isinstance(state, SimpleNamespace) else state["tracker"]
            return found

        inner = install(endpoint, tracking)

        async def replace(scope: Any, receive: Any, send: Any) -> None:
            await inner({**scope, "state": state}, receive, send)

        sent = await call(install(replace, tracking), make_scope("/", NAVIGATION))
        assert list(by_name(set_cookies(sent))) == [BID, "bid_key_sig"]

    @pytest.mark.parametrize(
        "state", [None, SimpleNamespace(), object(), "words"], ids=lambda state: type(state).__name__
    )
    async def test_a_server_that_keeps_something_else_as_state(self, tracking: Tracking, state: Any) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            assert current_tracker().browser_id
            await page()(scope, receive, send)

        sent = await call(install(app, tracking), make_scope("/", NAVIGATION, state=state))
        assert start_of(sent)["status"] == 200

    def test_the_tracker_in_sync_and_async_endpoints(self, make_tracking: MakeTracking) -> None:
        def sync_endpoint(request: Request) -> PlainTextResponse:
            assert current_tracker() is request.state.tracker
            assert threading.current_thread() is not threading.main_thread()
            return PlainTextResponse(request.state.tracker.browser_id)

        async def async_endpoint(request: Request) -> PlainTextResponse:
            assert await asyncio.create_task(find()) is request.state.tracker
            return PlainTextResponse(request.state.tracker.browser_id)

        async def find() -> Tracker:
            return current_tracker()

        app = Starlette(
            routes=[Route("/sync", sync_endpoint), Route("/async", async_endpoint)],
            middleware=[Middleware(TrackingMiddleware, tracking=make_tracking())],
        )
        client = TestClient(app)
        first = client.get("/sync", headers=NAVIGATION).text
        assert client.get("/async", headers=NAVIGATION).text == first

    async def test_interleaved_requests_are_never_mixed(
        self, make_tracking: MakeTracking, collector: CollectorServer
    ) -> None:
        """U34: 500 requests at once, in coroutines, threads and streams."""
        collector.accept_any_browser_id = True
        tracking = make_tracking()
        ids = [f"{number:08x}-0000-4000-8000-000000000000" for number in range(500)]

        async def stream(expected: str) -> AsyncIterator[str]:
            for _ in range(3):
                await asyncio.sleep(0)
                yield f"{current_tracker().browser_id == expected};"

        def in_thread(request: Request) -> PlainTextResponse:
            time.sleep(0.001)
            current_tracker().event("THREAD", {"path": request.url.path})
            return PlainTextResponse(f"{current_tracker().browser_id == request.path_params['id']};" * 3)

        async def in_coroutine(request: Request) -> PlainTextResponse:
            said = ""
            for _ in range(3):
                await asyncio.sleep(0)
                said += f"{current_tracker().browser_id == request.path_params['id']};"
            request.state.tracker.event("COROUTINE", {"path": request.url.path})
            return PlainTextResponse(said)

        async def in_stream(request: Request) -> StreamingResponse:
            current_tracker().event("STREAM", {"path": request.url.path})
            return StreamingResponse(stream(request.path_params["id"]))

        routes = [Route("/t/{id}", in_thread), Route("/c/{id}", in_coroutine), Route("/s/{id}", in_stream)]
        app = Starlette(routes=routes, middleware=[Middleware(TrackingMiddleware, tracking=tracking)])
        answers = await asyncio.gather(
            *(
                call(app, make_scope(f"/{'tcs'[at % 3]}/{one}", NAVIGATION | cookie_header(bid_key=one)))
                for at, one in enumerate(ids)
            )
        )
        assert {body_of(sent) for sent in answers} == {b"True;" * 3}
        assert await tracking.aflush(60) == 0
        assert len(collector.events) == 500
        assert all(event["path"].endswith(event["browser_id"]) for event in collector.events)


class TestWebsocket:
    def app(self, tracking: Tracking, **options: Any) -> Starlette:
        async def chat(websocket: WebSocket) -> None:
            tracker = websocket.state.tracker
            assert current_tracker() is tracker
            tracker.event("CHAT_OPENED")
            await websocket.accept(headers=[(b"x-app", b"yes")])
            await websocket.receive_text()
            await websocket.send_text(str(tracker.browser_id))
            await websocket.close()

        stack = [Middleware(TrackingMiddleware, tracking=tracking, **options)]
        return Starlette(routes=[WebSocketRoute("/ws", chat)], middleware=stack)

    @pytest.mark.parametrize("cookies", [False, True])
    def test_a_websocket(self, make_tracking: MakeTracking, collector: CollectorServer, cookies: bool) -> None:
        """U31: the tracker is there, one event is told, a cookie is set only if asked for."""
        tracking = make_tracking()
        tracking.start()
        eventually(lambda: tracking.stats().browser_ids.ready)  # type: ignore[union-attr]
        client = TestClient(self.app(tracking, websocket_cookies=cookies))
        with client.websocket_connect("/ws") as session:
            session.send_text("hello")
            browser_id = session.receive_text()
        headers: dict[bytes, bytes] = dict(session.extra_headers or [])
        assert headers[b"x-app"] == b"yes"
        assert (b"set-cookie" in headers) is cookies
        assert tracking.flush(PATIENCE) == 0
        assert [(event["type"], event["browser_id"]) for event in collector.events] == [("CHAT_OPENED", browser_id)]

    def test_the_cookie_is_read(self, make_tracking: MakeTracking, collector: CollectorServer) -> None:
        client = TestClient(self.app(make_tracking()), cookies={BID: BROWSER_ID})
        with client.websocket_connect("/ws") as session:
            session.send_text("hello")
            assert session.receive_text() == BROWSER_ID

    async def test_a_scope_that_lacks_what_it_may_lack(self, tracking: Tracking) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            await send({"type": "websocket.accept"})

        scope = {"type": "websocket", "path": "/", "headers": []}
        assert await call(install(app, tracking, websocket_cookies=True), scope) == [{"type": "websocket.accept"}]


class TestLifespan:
    def test_startup_starts_and_shutdown_flushes(self, make_tracking: MakeTracking, collector: CollectorServer) -> None:
        tracking = make_tracking()
        started: list[str] = []

        @asynccontextmanager
        async def lifespan(app: Starlette) -> AsyncIterator[dict[str, Any]]:
            started.append("up")
            yield {"app": "state"}
            started.append("down")

        def endpoint(request: Request) -> PlainTextResponse:
            request.state.tracker.page_view()
            return PlainTextResponse(request.state.app)

        app = Starlette(
            routes=[Route("/", endpoint)],
            lifespan=lifespan,
            middleware=[Middleware(TrackingMiddleware, tracking=tracking)],
        )
        with TestClient(app) as client:
            eventually(lambda: tracking.stats().browser_ids.ready)  # type: ignore[union-attr]
            assert client.get("/", headers=NAVIGATION).text == "state"
        assert len(collector.events) == 1, "delivered before shutdown completed"
        assert started == ["up", "down"]

    async def test_an_app_without_lifespan(self, tracking: Tracking) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            assert scope["type"] == "http", "no lifespan here"

        with pytest.raises(AssertionError, match="no lifespan here"):
            await call(install(app, tracking), {"type": "lifespan"})

    @pytest.mark.parametrize(
        "outcome", ["lifespan.shutdown.complete", "lifespan.shutdown.failed", "lifespan.startup.failed"]
    )
    async def test_messages_pass_untouched(self, tracking: Tracking, outcome: str) -> None:
        listed = [{"type": "lifespan.startup.complete"}, {"type": outcome, "message": "why"}]

        async def app(scope: Any, receive: Any, send: Any) -> None:
            for message in listed:
                await send(message)

        sent = await call(install(app, tracking), {"type": "lifespan", "state": {}})
        assert all(one is other for one, other in zip(sent, listed, strict=True))

    def test_in_another_event_loop_than_asyncios(
        self, make_tracking: MakeTracking, collector: CollectorServer, caplog: pytest.LogCaptureFixture
    ) -> None:
        """What is told is delivered, though nothing can be awaited."""
        tracking = make_tracking(browser_id_pool_size=0)
        app = install(viewing(), tracking)

        async def shut_down(scope: Any, receive: Any, send: Any) -> None:
            await send({"type": "lifespan.shutdown.complete"})

        def run(app: App, scope: dict[str, Any]) -> list[Message]:
            sent: list[Message] = []

            async def receive() -> Message:
                return {"type": "http.request", "body": b"", "more_body": False}

            async def send(message: Message) -> None:
                sent.append(message)

            with pytest.raises(StopIteration):  # it is over, and never waited for anything
                app(scope, receive, send).send(None)  # type: ignore[attr-defined]
            return sent

        assert start_of(run(app, make_scope("/", NAVIGATION)))["status"] == 200
        run(app, make_scope("/", NAVIGATION))
        assert len(run(install(shut_down, tracking), {"type": "lifespan"})) == 1
        assert len(collector.events) == 2
        assert "outside asyncio" in caplog.text

    async def test_three_loops_one_after_the_other(
        self, make_tracking: MakeTracking, collector: CollectorServer
    ) -> None:
        """U27: delivery does not live in the app's loop."""
        tracking = make_tracking()

        def run() -> None:
            asyncio.run(call(install(viewing(), tracking), make_scope("/", NAVIGATION)))

        for _ in range(3):
            await asyncio.to_thread(run)
        assert await tracking.aflush(PATIENCE) == 0
        assert len(collector.events) == 3


class TestFaults:
    """U39: no exception of ours reaches the app; each internal step fails, the response is unchanged."""

    @pytest.mark.parametrize(
        ("owner", "name"),
        [
            (Policy, "decide"),
            (SessionReader, "read"),
            (SessionReader, "cookies"),
            (SessionReader, "has_cookies"),
            (Client, "assign"),
            (Client, "context"),
            (Client, "point_of_sale"),
            (Client, "capture"),
            (Client, "now"),
            (Outbox, "record"),
            (Outbox, "ask_now"),
            (Delivery, "record"),
            (BrowserIds, "take"),
            (BrowserIds, "wait"),
        ],
    )
    async def test_a_step_fails(
        self,
        make_tracking: MakeTracking,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
        owner: type,
        name: str,
    ) -> None:
        tracking = make_tracking(browser_id_timeout=0.05)

        def fail(*args: Any, **options: Any) -> Any:
            raise RuntimeError("injected")

        async def app(scope: Any, receive: Any, send: Any) -> None:
            tracker = current_tracker()
            tracker.page_view()
            tracker.event("ADD")
            assert (tracker.browser_id, tracker.user_id) is not None
            await page({"x-app": "yes"}, status=201)(scope, receive, send)

        monkeypatch.setattr(owner, name, fail)
        for came in (NAVIGATION, NAVIGATION | cookie_header(bid_key=BROWSER_ID)):
            with caplog.at_level(logging.ERROR):
                sent = await call(install(app, tracking), make_scope("/", came))
            assert (start_of(sent)["status"], body_of(sent)) == (201, b"a page")
            assert start_of(sent)["headers"][0] == (b"x-app", b"yes")
        monkeypatch.undo()
        assert tracking.stats().destinations["sitecore"].is_balanced

    async def test_giving_an_id_back_fails(
        self, tracking: Tracking, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        def fail(*args: Any) -> None:
            raise RuntimeError("injected")

        monkeypatch.setattr("passerby.browser_ids.pool.BrowserIdPool.put_back", fail)
        sent = await call(install(page({"cache-control": "public"}), tracking), make_scope("/", NAVIGATION))
        assert body_of(sent) == b"a page"


class TestSharedCache:
    """C8: a cache in front that keeps what it may, and gives it to everybody."""

    @pytest.mark.parametrize(
        "control", [None, "public, max-age=60", "max-age=60", "s-maxage=1", "private, max-age=60", "no-store"]
    )
    async def test_two_visitors_never_get_one_id(self, tracking: Tracking, control: str | None) -> None:
        kept: dict[str, list[Message]] = {}
        hits: list[str] = []
        app = install(page({"cache-control": control} if control else {}), tracking)

        async def through_cache(path: str, headers: dict[str, str]) -> list[Message]:
            if path in kept:
                hits.append(path)
                return kept[path]
            sent = await call(app, make_scope(path, headers))
            said = ",".join(value.decode() for name, value in start_of(sent)["headers"] if name == b"cache-control")
            if ("max-age" in said or "s-maxage" in said) and not ("private" in said or "no-store" in said):
                kept[path] = sent
            return sent

        seen: list[str] = []
        for _ in range(5):
            seen += [
                line for line in set_cookies(await through_cache("/page", NAVIGATION)) if line.startswith("bid_key=")
            ]
        assert len(seen) == len(set(seen))
        assert len(hits) == (4 if control in ("public, max-age=60", "max-age=60", "s-maxage=1") else 0)
        assert len(seen) == (0 if hits else 5)


def test_pairs_of_headers() -> None:
    assert pairs({"a": "b"}) == pairs([("a", "b")]) == [("a", "b")]


async def test_a_site_of_static_pages_is_counted_when_it_is_seen_again(
    make_tracking: MakeTracking, captured_events: CapturedEvents, tmp_path: Path
) -> None:
    (tmp_path / "index.html").write_text("a page")
    (tmp_path / "logo.png").write_text("no page")
    app = install(StaticFiles(directory=tmp_path, html=True), make_tracking(auto_page_views=True))
    first = await call(app, make_scope("/", NAVIGATION))
    etag = dict(start_of(first)["headers"])[b"etag"].decode()
    headers = NAVIGATION | sent_back(set_cookies(first)) | {"if-none-match": etag}
    again = await call(app, make_scope("/", headers))
    await call(app, make_scope("/logo.png", headers))
    assert start_of(again)["status"] == 304
    captured_events.assert_summary("page view Home Page", "page view Home Page")
