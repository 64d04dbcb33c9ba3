"""The server object: any framework's request and response, with and without the middleware; stories from end to end."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable
from contextlib import suppress
from types import SimpleNamespace
from typing import Any
from wsgiref.util import setup_testing_defaults
from wsgiref.validate import validator

import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse

from passerby import (
    BrowserIdUnavailable,
    Delivered,
    Dropped,
    Pending,
    RemoteError,
    RemoteTimeout,
    SettingsError,
    Sitecore,
    Tracking,
    ValidationError,
    init_server,
)
from passerby.asgi import TrackingMiddleware
from passerby.collector import CollectorServer
from passerby.destinations import DestinationResponse, OutgoingRequest
from passerby.events.event import COMMON_KINDS, Event
from passerby.testing import CapturedEvents
from passerby.values.browser_id import is_uuid
from tests.making import (
    BROWSER_ID,
    CHROME,
    KEY,
    NAVIGATION,
    PATIENCE,
    MakeTracking,
    body_of,
    by_name,
    call,
    cookie_header,
    dropped,
    eventually,
    make_environ,
    make_scope,
    page,
    sent_back,
    set_cookies,
    value_of,
)

BID = "bid_key"
LOGIN = {"identifiers": [{"id": "123456", "provider": "BXLP"}], "email": "ada@b.example"}


@pytest.fixture
def tracking(make_tracking: MakeTracking) -> Tracking:
    return make_tracking()


def lines_of(headers: list[Any]) -> list[str]:
    text = [(name.decode() if isinstance(name, bytes) else name, value) for name, value in headers]
    found = [value for name, value in text if name.lower() == "set-cookie"]
    return [value.decode() if isinstance(value, bytes) else value for value in found]


class Silent:
    """A destination that refuses to be reached: what is told of it waits."""

    name = "silent"
    origin = "http://127.0.0.1:9"
    kinds = COMMON_KINDS
    batch_size = 1
    batch_bytes = 0

    def check(self, event: Event) -> None:
        if event.type == "UNWANTED":
            raise ValidationError("silent does not take this")

    def encoded_size(self, event: Event) -> int:
        return 0

    def encode(self, events: Any) -> OutgoingRequest:
        return OutgoingRequest("GET", "http://127.0.0.1:9/")

    def classify(self, response: DestinationResponse) -> Delivered:
        return Delivered()


class TestHandleCookie:
    async def test_a_starlette_request_and_response(self, tracking: Tracking, collector: CollectorServer) -> None:
        request, response = Request(make_scope("/", NAVIGATION)), PlainTextResponse("text")
        response.set_cookie("session", "1")
        await tracking.handle_cookie(request, response)
        cookies = by_name(lines_of(response.raw_headers))
        assert list(cookies) == ["session", BID, "bid_key_sig"]
        assert value_of(cookies[BID]) in collector.browser_ids
        tracking.page_view({"page": "Home"}, request, {"theme": "dark"})
        tracking.identity(LOGIN, request)
        tracking.event("ADD", {"product": 1}, request)
        assert await tracking.aflush(PATIENCE) == 0
        assert [event["type"] for event in collector.events] == ["VIEW", "IDENTITY", "ADD"]
        assert {event["browser_id"] for event in collector.events} == {value_of(cookies[BID])}
        assert collector.events[0]["ext"] == {"theme": "dark"}

    async def test_an_asgi_scope_and_a_header_list(self, tracking: Tracking) -> None:
        scope, headers = make_scope("/", NAVIGATION), [(b"set-cookie", b"session=1")]
        await tracking.handle_cookie(scope, headers)
        assert list(by_name(lines_of(headers))) == ["session", BID, "bid_key_sig"]
        empty: list[Any] = []
        await tracking.handle_cookie(make_scope("/", NAVIGATION), empty)
        assert all(isinstance(part, bytes) for pair in empty for part in pair)

    def test_a_wsgi_app(self, tracking: Tracking) -> None:
        """With the standard library's own checks of what WSGI demands."""

        def app(environ: Any, start_response: Any) -> list[bytes]:
            headers: list[Any] = []
            tracking.handle_cookie_sync(environ, headers)
            headers.append(("Content-Type", "text/plain"))
            tracking.page_view(None, environ)
            start_response("200 OK", headers)
            return [(tracking.tracker_for(environ).browser_id or "").encode()]

        started: list[Any] = []
        environ: dict[str, Any] = make_environ("/", NAVIGATION)
        setup_testing_defaults(environ)
        answer = validator(app)(environ, lambda *args: started.append(args) or (lambda data: None))  # type: ignore[func-returns-value]
        body = b"".join(answer)
        answer.close()  # type: ignore[attr-defined]
        cookies = by_name(lines_of(started[0][1]))
        assert list(cookies) == [BID, "bid_key_sig"]
        assert value_of(cookies[BID]) == body.decode()
        tracking._lifecycle.finish(tracking.tracker_for(environ))
        assert tracking.tracker_for(environ).browser_id == body.decode(), "used, so it stays"

    def test_an_object_with_an_environ(self, tracking: Tracking) -> None:
        request = SimpleNamespace(environ=make_environ("/", NAVIGATION))
        headers = [("Content-Type", "text/plain")]
        tracking.handle_cookie_sync(request, headers)
        assert list(by_name(lines_of(headers))) == [BID, "bid_key_sig"]
        assert tracking.tracker_for(request) is tracking.tracker_for(request.environ)

    async def test_a_returning_visitors_cookie_is_set_again(self, tracking: Tracking) -> None:
        """As the Engage SDK does it; the middleware would only renew it when it is old."""
        first: list[Any] = []
        await tracking.handle_cookie(make_scope("/", NAVIGATION), first)
        again: list[Any] = []
        await tracking.handle_cookie(make_scope("/", NAVIGATION | sent_back(lines_of(first))), again)
        assert value_of(by_name(lines_of(again))[BID]) == value_of(by_name(lines_of(first))[BID])

    async def test_twice_on_one_response(self, tracking: Tracking) -> None:
        scope = make_scope("/", NAVIGATION)
        headers: list[Any] = []
        await tracking.handle_cookie(scope, headers)
        await tracking.handle_cookie(scope, headers)
        assert list(by_name(lines_of(headers))) == [BID, "bid_key_sig"]

    async def test_with_the_middleware_too(self, tracking: Tracking) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            response = PlainTextResponse("text")
            await tracking.handle_cookie(scope, response)
            await response(scope, receive, send)

        sent = await call(TrackingMiddleware(app, tracking=tracking), make_scope("/", NAVIGATION))
        assert list(by_name(set_cookies(sent))) == [BID, "bid_key_sig"]

    @pytest.mark.parametrize(
        ("headers", "target"),
        [
            (NAVIGATION | {"user-agent": "Googlebot/2.1"}, "/"),
            (NAVIGATION | {"sec-gpc": "1"}, "/"),
            (NAVIGATION | {"sec-purpose": "prefetch"}, "/"),
            ({"sec-fetch-dest": "image"}, "/"),
            (NAVIGATION, "/static/a.css"),
        ],
    )
    async def test_where_no_cookie_may_be_set(self, tracking: Tracking, headers: dict[str, str], target: str) -> None:
        response: list[Any] = []
        await tracking.handle_cookie(make_scope(target, headers), response)
        assert response == []

    async def test_a_shared_response(self, tracking: Tracking) -> None:
        response = [(b"cache-control", b"public")]
        await tracking.handle_cookie(make_scope("/", NAVIGATION), response)
        assert response == [(b"cache-control", b"public")]

    async def test_it_does_nothing_where_the_browser_sets_cookies(self, make_tracking: MakeTracking) -> None:
        response: list[Any] = []
        tracking = make_tracking(set_cookie=False)
        await tracking.handle_cookie(make_scope("/", NAVIGATION), response)
        tracking.handle_cookie_sync(make_environ("/", NAVIGATION), response)
        assert response == []

    async def test_no_id_in_the_given_time(self, tracking: Tracking, collector: CollectorServer) -> None:
        collector.fail("create", delay=60, status=None)
        with pytest.raises(RemoteTimeout) as caught:
            await tracking.handle_cookie(make_scope("/", NAVIGATION), [], timeout=0.01)
        assert str(caught.value).startswith("[IE-0003] Timeout exceeded.")
        with pytest.raises(RemoteTimeout):
            await asyncio.to_thread(tracking.handle_cookie_sync, make_environ("/", NAVIGATION), [], timeout=0)

    async def test_no_id_to_be_had(self, tracking: Tracking, collector: CollectorServer) -> None:
        collector.fail("create", status=500)
        with pytest.raises(BrowserIdUnavailable) as caught:
            await tracking.handle_cookie(make_scope("/", NAVIGATION), [], timeout=PATIENCE)
        assert str(caught.value).startswith("[IE-0004] Unable to set the cookie")
        with pytest.raises(BrowserIdUnavailable):
            await asyncio.to_thread(tracking.handle_cookie_sync, make_environ("/", NAVIGATION), [])

    @pytest.mark.parametrize("timeout", [-1, "1", True, float("nan"), [1]])
    async def test_a_timeout_that_is_none(self, tracking: Tracking, collector: CollectorServer, timeout: Any) -> None:
        collector.fail("create", delay=60, status=None)
        with pytest.raises(ValidationError) as caught:
            await tracking.handle_cookie(make_scope("/", NAVIGATION), [], timeout=timeout)
        assert caught.value.code == "IV-0006"
        with pytest.raises(ValidationError):
            tracking.handle_cookie_sync(make_environ("/", NAVIGATION), [], timeout=timeout)

    @pytest.mark.parametrize("given", [None, "text", object(), {}])
    async def test_what_is_no_request(self, tracking: Tracking, given: Any) -> None:
        with pytest.raises(ValidationError, match="request was expected"):
            await tracking.handle_cookie(given, [])
        with pytest.raises(ValidationError, match="request was expected"):
            tracking.page_view(None, given)


class TestServerObject:
    async def test_with_the_middleware_it_is_the_same_tracker(
        self, tracking: Tracking, collector: CollectorServer
    ) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            assert tracking.tracker_for(Request(scope)) is scope["state"]["tracker"]
            tracking.page_view({"page": "Home"}, scope)
            await page()(scope, receive, send)

        sent = await call(TrackingMiddleware(app, tracking=tracking), make_scope("/", NAVIGATION))
        assert await tracking.aflush(PATIENCE) == 0
        assert collector.events[0]["browser_id"] == value_of(by_name(set_cookies(sent))[BID])

    def test_init_server(self, collector: CollectorServer) -> None:
        engage = init_server(
            client_key="key", target_url=collector.url, point_of_sale="shop", force_server_cookie_mode=True,
            cookie_expiry_days=30, cookie_path="/shop", secret_key=KEY, browser_id_timeout=PATIENCE,
        )  # fmt: skip
        environ, headers = make_environ("/", NAVIGATION), [("X-App", "yes")]
        engage.handle_cookie_sync(environ, headers)
        engage.page_view({"page": "Home"}, environ)
        assert engage.close(PATIENCE) == 0
        assert "; Max-Age=2592000; Path=/shop;" in by_name(lines_of(headers))[BID]
        assert collector.events[0]["pos"] == "shop"

    def test_for_visitor(self, tracking: Tracking, collector: CollectorServer) -> None:
        collector.accept_any_browser_id = True
        tracker = tracking.for_visitor(BROWSER_ID, user_id="user_123")
        assert (tracker.browser_id, tracker.user_id) == (BROWSER_ID, "user_123")
        receipt = tracker.event("IMPORTED", {"order": 1}, timestamp=1_577_923_200)
        assert receipt.wait_delivered(PATIENCE)["sitecore"] == Delivered(receipt.outcomes["sitecore"].response)  # type: ignore[union-attr]
        (event,) = collector.events
        assert (event["browser_id"], event["requested_at"]) == (BROWSER_ID, "2020-01-02T00:00:00.000Z")

    @pytest.mark.parametrize("browser_id", ["", "x", None, BROWSER_ID + "\n"])
    def test_for_a_visitor_without_id(self, tracking: Tracking, browser_id: Any) -> None:
        with pytest.raises(ValidationError, match="browser ID"):
            tracking.for_visitor(browser_id)

    def test_the_point_of_sale_may_depend_on_the_request(
        self, make_tracking: MakeTracking, collector: CollectorServer, caplog: pytest.LogCaptureFixture
    ) -> None:
        collector.accept_any_browser_id = True
        sites = {"a.example": "site-a", "b.example": "site-b"}
        tracking = make_tracking(point_of_sale=lambda info: sites[info.host])
        for host in ("a.example", "b.example"):
            tracking.page_view(None, make_scope("/", NAVIGATION | cookie_header(bid_key=BROWSER_ID), host=host))
        with pytest.raises(ValidationError, match="MV-0003"):
            tracking.page_view(None, make_scope("/", NAVIGATION, host="c.example"))
        with pytest.raises(ValidationError, match="MV-0003"):
            tracking.for_visitor(BROWSER_ID).page_view()
        assert "the point_of_sale callable raised" in caplog.text
        assert tracking.flush(PATIENCE) == 0
        assert [event["pos"] for event in collector.events] == ["site-a", "site-b"]

    async def test_questions(self, tracking: Tracking, collector: CollectorServer) -> None:
        headers: list[Any] = []
        scope = make_scope("/", NAVIGATION)
        await tracking.handle_cookie(scope, headers)
        tracker = tracking.tracker_for(scope)
        guest = await tracker.guest_id(PATIENCE)
        assert is_uuid(guest)
        assert await asyncio.to_thread(tracker.guest_id_sync, PATIENCE) == guest
        asked = {"friendly_id": "offer", "channel": "WEB"}
        assert isinstance(await tracking.personalize(asked, scope, PATIENCE), dict)
        assert isinstance(await asyncio.to_thread(tracking.personalize_sync, asked, scope, PATIENCE), dict)
        with pytest.raises(ValidationError, match="IV-0006"):
            await tracker.guest_id(-1)
        with pytest.raises(RemoteError):
            await tracking.for_visitor(BROWSER_ID).guest_id(PATIENCE)
        collector.fail("show", delay=60, status=None)
        with pytest.raises(RemoteTimeout):
            await tracker.guest_id(0.05)

    async def test_an_unreachable_service_is_no_personalisation(
        self, tracking: Tracking, collector: CollectorServer, caplog: pytest.LogCaptureFixture
    ) -> None:
        collector.stop()
        asked = {"friendly_id": "offer", "params": {"a": {"b": 1}}}
        tracker = tracking.for_visitor(BROWSER_ID)
        assert await tracker.personalize(asked, PATIENCE) is None
        assert await asyncio.to_thread(tracker.personalize_sync, asked, PATIENCE) is None
        assert caplog.text.count("personalisation failed") == 1, "once a minute"

    def test_the_language_of_a_personalisation_is_inferred(
        self, tracking: Tracking, collector: CollectorServer
    ) -> None:
        headers = NAVIGATION | {"accept-language": "de-CH"}
        tracking.tracker_for(make_environ("/", headers)).personalize_sync({"friendly_id": "offer"}, PATIENCE)
        (asked,) = [one for one in collector.requests if one.route == "callflows"]
        assert asked.json["language"] == "DE"

    async def test_without_consent_nothing_is_asked(self, tracking: Tracking, collector: CollectorServer) -> None:
        tracker = tracking.tracker_for(make_environ("/", NAVIGATION | {"sec-gpc": "1"}))
        assert await tracker.personalize({"friendly_id": "offer", "email": "ada@example.com"}, PATIENCE) is None
        assert tracker.personalize_sync({"friendly_id": "offer", "email": "ada@example.com"}, PATIENCE) is None
        assert not [one for one in collector.requests if one.route == "callflows"]

    async def test_a_cookie_that_comes_after_an_event_is_its_visitors(
        self, make_tracking: MakeTracking, collector: CollectorServer
    ) -> None:
        tracking = make_tracking(browser_id_pool_size=0, retry_base=0.01)
        collector.fail("create", times=1)
        scope, headers = make_scope("/", NAVIGATION), list[tuple[bytes, bytes]]()
        receipt = tracking.page_view(None, scope)
        await receipt.delivered(PATIENCE)
        await tracking.handle_cookie(scope, headers, PATIENCE)
        (event,) = collector.events
        assert event["browser_id"] == tracking.tracker_for(scope).browser_id
        assert event["browser_id"].encode() in headers[0][1]

    async def test_questions_without_an_id(self, make_tracking: MakeTracking) -> None:
        tracker = make_tracking().tracker_for(make_scope("/", NAVIGATION | {"sec-gpc": "1"}))
        with pytest.raises(RemoteError, match="no browser ID yet"):
            await tracker.guest_id()

    async def test_questions_that_only_sitecore_answers(self) -> None:
        tracking = Tracking(secret_key=KEY)
        with pytest.raises(SettingsError, match="only Sitecore"):
            await tracking.for_visitor(BROWSER_ID).guest_id()
        with pytest.raises(SettingsError, match="only Sitecore"):
            await tracking.for_visitor(BROWSER_ID).personalize({"friendly_id": "x"})


class TestLedger:
    def test_a_check_of_one_destination_keeps_it_from_all(
        self, make_tracking: MakeTracking, collector: CollectorServer
    ) -> None:
        collector.accept_any_browser_id = True
        sitecore = Sitecore(client_key="key", target_url=collector.url, point_of_sale="shop")
        tracking = Tracking(sitecore, Silent(), secret_key=KEY)
        with pytest.raises(ValidationError, match="silent does not take this"):
            tracking.for_visitor(BROWSER_ID).event("UNWANTED")
        assert all(ledger.recorded == 0 for ledger in tracking.stats().destinations.values())
        receipt = tracking.for_visitor(BROWSER_ID).event("UNWANTED", destinations=["sitecore"])
        assert isinstance(receipt.wait_delivered(PATIENCE)["sitecore"], Delivered)
        other = tracking.for_visitor(BROWSER_ID).event("ADD")
        eventually(lambda: isinstance(other.outcomes["sitecore"], Delivered))  # one dead destination delays no other
        assert isinstance(other.outcomes["silent"], Pending)
        ledgers = tracking.stats().destinations
        assert (ledgers["sitecore"].delivered, ledgers["silent"].pending) == (2, 1)
        assert all(ledger.is_balanced for ledger in ledgers.values())
        assert tracking.close(0.1) == 1

    def test_what_is_invalid_may_be_dropped(
        self, make_tracking: MakeTracking, caplog: pytest.LogCaptureFixture
    ) -> None:
        tracking = make_tracking(on_invalid="drop")
        tracker = tracking.for_visitor(BROWSER_ID)
        with caplog.at_level(logging.DEBUG):
            receipt = tracker.identity({"identifiers": [{"id": "ada-7"}], "email": "ada.b.example"})
        assert receipt.outcomes == {"sitecore": Dropped("invalid")}
        assert dropped(tracking) == {"invalid": 1}
        assert "[IV-0003]" in caplog.text
        assert "ada" not in caplog.text

    def test_the_queue(self, tracking: Tracking, collector: CollectorServer) -> None:
        """Events held under the browser ID, over two requests."""
        collector.accept_any_browser_id = True
        headers = NAVIGATION | cookie_header(bid_key=BROWSER_ID)
        first, second = (tracking.tracker_for(make_scope("/", headers)) for _ in range(2))
        first.add_to_event_queue("ADD", {"n": 1})
        second.add_to_event_queue("ADD", {"n": 2})
        first.page_view()
        assert tracking.flush(PATIENCE) == 0
        assert [event["type"] for event in collector.events] == ["VIEW"]
        assert tracking.stats().destinations["sitecore"].held == 2
        assert second.process_event_queue().wait_stored(PATIENCE) == 2
        assert tracking.flush(PATIENCE) == 0
        assert [event.get("n") for event in collector.events] == [None, 1, 2]
        first.add_to_event_queue("ADD", {"n": 3})
        assert second.clear_event_queue().wait_stored(PATIENCE) == 1
        assert second.process_event_queue().wait_stored(PATIENCE) == 0
        assert dropped(tracking) == {"cleared": 1}
        assert tracking.stats().destinations["sitecore"].is_balanced

    def test_dead_letters(self, tracking: Tracking, collector: CollectorServer) -> None:
        """An ID that the service did not issue."""
        tracking.for_visitor(BROWSER_ID).page_view().wait_delivered(PATIENCE)
        (letter,) = tracking.dead_letters()
        assert (letter.destination, letter.reason, letter.event.browser_id) == ("sitecore", "status 404", BROWSER_ID)
        assert tracking.stats().destinations["sitecore"].dead == 1

    async def test_async_twins(self, tracking: Tracking, collector: CollectorServer) -> None:
        collector.accept_any_browser_id = True
        receipt = tracking.for_visitor(BROWSER_ID).page_view()
        await receipt.stored()
        assert await tracking.aflush(PATIENCE) == 0
        assert await tracking.aclose() == 0
        await tracking.for_visitor(BROWSER_ID).page_view()
        assert await tracking.aclose(PATIENCE) == 0
        assert len(collector.events) == 2

    def test_what_was_told_before_there_was_an_id_gets_the_same(
        self, make_tracking: MakeTracking, collector: CollectorServer
    ) -> None:
        """Two events of one visit: the first while no ID was ready, the second with one."""
        tracking = make_tracking(browser_id_pool_size=1)
        tracker = tracking.tracker_for(make_scope("/api", {"accept": "application/json"}))
        tracker.event("FIRST")
        assert tracking.flush(PATIENCE) == 0
        eventually(lambda: tracking.stats().browser_ids.ready)  # type: ignore[union-attr]
        tracker.event("SECOND")
        assert tracking.flush(PATIENCE) == 0
        assert [event["type"] for event in collector.events] == ["FIRST", "SECOND"]
        assert len({event["browser_id"] for event in collector.events} | {tracker.browser_id}) == 1

    def test_no_thread_before_there_is_work(self) -> None:
        import threading

        before = set(threading.enumerate())
        tracking = Tracking(Sitecore(client_key="key", target_url="http://localhost"), secret_key=KEY)
        assert set(threading.enumerate()) <= before
        assert tracking.stats().browser_ids is not None
        assert Tracking(secret_key=KEY).stats().browser_ids is None


async def test_nothing_of_keys_or_people_is_ever_logged(
    make_tracking: MakeTracking, collector: CollectorServer, caplog: pytest.LogCaptureFixture
) -> None:
    """S6: a whole story with every logger at DEBUG, those of the HTTP libraries too; 0 hits."""
    for name in ("httpx", "httpcore", "h11", "asyncio", "passerby"):
        caplog.set_level(logging.DEBUG, logger=name)
    caplog.set_level(logging.DEBUG)
    tracking = make_tracking(
        secret_key="s3cr3t-signing-key", identity_provider="CRM", on_invalid="drop", retry_base=0.01
    )
    secrets = [
        "s3cr3t-signing-key",
        "ada@b.example",
        "ada-user-7",
        "Lovelace",
        "utm-marker",
        "query-marker",
        "203.0.113",
    ]

    async def app(scope: Any, receive: Any, send: Any) -> None:
        tracker = scope["state"]["tracker"]
        tracker.page_view({"page": "Home"}, {"note": "Lovelace"})
        tracker.identify("ada-user-7", {"email": "ada@b.example", "last_name": "Lovelace"})
        tracker.identify("ada-user-7", {"email": "Lovelace"})
        tracker.event("ADD", {"bytes": b"Lovelace"})
        tracker.event("ADD", {"who": "ada@b.example"})
        await page(body=(tracker.browser_id or "").encode())(scope, receive, send)

    cookies: list[str] = []
    headers = NAVIGATION | {"referer": "https://a.example/?q=query-marker"}
    for trouble in ({"status": 503}, {"reset": True}, {"status": 400}, None):
        if trouble:
            collector.fail("events", times=2, **trouble)
        scope = make_scope("/?utm_source=utm-marker&x=query-marker", headers, client=("203.0.113.9", 1))
        sent = await call(TrackingMiddleware(app, tracking=tracking), scope)
        cookies += [value_of(line) for line in set_cookies(sent)]
        secrets.append(body_of(sent).decode())
        await tracking.aflush(PATIENCE)
    tampered = headers | {"cookie": f"bid_key={BROWSER_ID}; bid_key_sig=tampered-marker"}
    await call(TrackingMiddleware(app, tracking=tracking), make_scope("/", tampered))
    collector.fail("create", status=500)
    for _ in range(20):
        with suppress(BrowserIdUnavailable):
            await tracking.handle_cookie(make_scope("/", NAVIGATION), [])
    await tracking.aclose(PATIENCE)

    said = caplog.text + "".join(str(record.__dict__) for record in caplog.records)
    assert "dead letter" in said
    assert len(cookies) >= 8
    for secret in [*secrets, *cookies, "tampered-marker", BROWSER_ID]:
        assert secret
        assert secret not in said, secret
    assert not re.search(r"client_key|/v1\.2/", said)


def test_user_agents_are_cut_for_all_destinations(make_tracking: MakeTracking) -> None:
    tracking = make_tracking()
    tracker = tracking.tracker_for(make_scope("/", NAVIGATION | {"user-agent": CHROME + "x" * 10_000}))
    tracker.page_view()
    eventually(lambda: tracking.flush(PATIENCE) == 0)
    assert tracking.stats().destinations["sitecore"].delivered == 1


class UnitOfWork:
    """A transaction of some database, as passerby sees one."""

    def __init__(self) -> None:
        self.is_open = True
        self.on_commit: list[Callable[[], object]] = []
        self.on_rollback: list[Callable[[], object]] = []

    def defer(self, commit: Callable[[], object], rollback: Callable[[], object]) -> bool:
        if self.is_open:
            self.on_commit.append(commit)
            self.on_rollback.append(rollback)
        return self.is_open

    def end(self, callbacks: list[Callable[[], object]]) -> None:
        self.is_open = False
        for callback in callbacks:
            callback()


class TestTransactions:
    """What is told in a transaction counts once it is committed; tests/django has them with a real database."""

    @pytest.fixture
    def unit(self, tracking: Tracking) -> UnitOfWork:
        unit = UnitOfWork()
        tracking.record_with(unit)
        return unit

    def test_committed(self, tracking: Tracking, unit: UnitOfWork, collector: CollectorServer) -> None:
        collector.accept_any_browser_id = True
        tracker = tracking.for_visitor(BROWSER_ID)
        receipts = [tracker.event("ONE"), tracker.event("TWO")]
        assert receipts[0].outcomes == {"sitecore": Pending()}
        assert tracking.stats().destinations["sitecore"].recorded == 0

        unit.end(unit.on_commit)
        tracker.event("THREE")
        assert tracking.flush(PATIENCE) == 0
        assert [event["type"] for event in collector.events] == ["ONE", "TWO", "THREE"]
        assert isinstance(receipts[0].outcomes["sitecore"], Delivered)

    def test_rolled_back(self, tracking: Tracking, unit: UnitOfWork, collector: CollectorServer) -> None:
        tracker = tracking.for_visitor(BROWSER_ID)
        receipt = tracker.event("ONE")
        unit.end(unit.on_rollback)
        assert receipt.outcomes == {"sitecore": Dropped("rollback")}
        assert dropped(tracking) == {"rollback": 1}
        assert tracking.stats().destinations["sitecore"].is_balanced
        assert tracking.flush(1) == 0
        assert collector.events == []

    def test_an_identity_is_forgotten_with_its_transaction(self, make_tracking: MakeTracking) -> None:
        tracking, unit = make_tracking(identity_provider="CRM"), UnitOfWork()
        tracking.record_with(unit)
        scope = make_scope("/", NAVIGATION | cookie_header(bid_key=BROWSER_ID))
        tracker = tracking.tracker_for(scope)
        tracker.identify("user_1")
        seen = [tracker.user_id]
        unit.end(unit.on_rollback)
        assert [*seen, tracker.user_id] == ["user_1", None]
        headers: list[Any] = []
        tracking.handle_cookie_sync(scope, headers)
        assert list(by_name(lines_of(headers))) == [BID, "bid_key_sig"]

    def test_event_queues_keep_to_it(self, tracking: Tracking, unit: UnitOfWork, collector: CollectorServer) -> None:
        collector.accept_any_browser_id = True
        tracker = tracking.for_visitor(BROWSER_ID)
        unit.is_open = False
        tracker.add_to_event_queue("BEFORE")
        unit.is_open = True
        tracker.add_to_event_queue("DURING")
        released = tracker.process_event_queue()
        assert released.count is None
        assert tracking.stats().destinations["sitecore"].held == 1

        unit.end(unit.on_commit)
        assert released.wait_stored(PATIENCE) == 2
        assert tracking.flush(PATIENCE) == 0
        assert [event["type"] for event in collector.events] == ["BEFORE", "DURING"]

    def test_a_queue_that_was_cleared_in_vain_is_still_there(self, tracking: Tracking, unit: UnitOfWork) -> None:
        tracker = tracking.for_visitor(BROWSER_ID)
        unit.is_open = False
        tracker.add_to_event_queue("BEFORE")
        unit.is_open = True
        cleared = tracker.clear_event_queue()
        unit.end(unit.on_rollback)
        assert cleared.count == 0
        assert tracking.stats().destinations["sitecore"].held == 1

    def test_a_mistake_of_ours_at_the_commit_is_counted(
        self,
        tracking: Tracking,
        unit: UnitOfWork,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        def fail(*args: Any) -> None:
            raise RuntimeError("injected")

        receipt = tracking.for_visitor(BROWSER_ID).event("ONE")
        monkeypatch.setattr("passerby.delivery.Delivery.record", fail)
        unit.end(unit.on_commit)
        assert receipt.outcomes == {"sitecore": Dropped("internal")}
        assert tracking.stats().destinations["sitecore"].is_balanced
        assert "cannot record an event after its transaction" in caplog.text


class TestAutoPageViews:
    """What is decided in the door; tests/faces has the rest, for every framework."""

    async def visit(self, tracking: Tracking, headers: dict[str, str], **answer: str) -> list[str]:
        app = TrackingMiddleware(page({"content-type": "text/html", **answer}), tracking=tracking)
        return list(by_name(set_cookies(await call(app, make_scope("/shoes", NAVIGATION | headers)))))

    async def test_a_new_visitor_of_a_shared_page_is_not_told_of(
        self, make_tracking: MakeTracking, captured_events: CapturedEvents
    ) -> None:
        tracking = make_tracking(auto_page_views=True)
        assert await self.visit(tracking, {}, **{"cache-control": "public, max-age=60"}) == []
        captured_events.assert_nothing()
        assert await self.visit(tracking, {}) == [BID, "bid_key_sig"]
        captured_events.assert_summary("page view shoes")

    async def test_one_whose_transaction_failed_does_not_count(
        self, make_tracking: MakeTracking, captured_events: CapturedEvents
    ) -> None:
        tracking, unit = make_tracking(auto_page_views=True), UnitOfWork()
        tracking.record_with(unit)

        async def app(scope: Any, receive: Any, send: Any) -> None:
            scope["state"]["tracker"].page_view({"page": "never was"})
            unit.end(unit.on_rollback)
            await page({"content-type": "text/html"})(scope, receive, send)

        await call(TrackingMiddleware(app, tracking=tracking), make_scope("/shoes", NAVIGATION))
        captured_events.assert_summary("page view shoes")

    async def test_where_the_browser_sdk_sets_the_cookie(
        self, make_tracking: MakeTracking, captured_events: CapturedEvents
    ) -> None:
        tracking = make_tracking(auto_page_views=True, set_cookie=False)
        await self.visit(tracking, {})
        captured_events.assert_nothing()
        await self.visit(tracking, cookie_header(bid_key=BROWSER_ID))
        assert captured_events.assert_page_view("shoes").browser_id == BROWSER_ID

    async def test_one_that_cannot_be_told_is_counted(
        self, make_tracking: MakeTracking, captured_events: CapturedEvents, caplog: pytest.LogCaptureFixture
    ) -> None:
        tracking = make_tracking(auto_page_views=True, point_of_sale=None)
        assert await self.visit(tracking, {}) == [BID, "bid_key_sig"]
        assert dropped(tracking) == {"invalid": 1}
        captured_events.assert_refused("invalid")
        assert "cannot send the page view of a request: [MV-0003]" in caplog.text
