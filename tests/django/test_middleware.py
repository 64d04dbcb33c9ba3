"""The middleware in Django's chains, sync, async and mixed: where the tracker is, and in which thread all runs."""

from __future__ import annotations

import asyncio
import copy
import gc
import json
import logging
import pickle
import threading
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from io import BytesIO
from typing import Any
from wsgiref.util import FileWrapper

import pytest
from asgiref.sync import iscoroutinefunction
from asgiref.wsgi import WsgiToAsgi
from django.core.handlers.asgi import ASGIHandler, ASGIRequest
from django.core.handlers.wsgi import WSGIHandler, WSGIRequest
from django.db import transaction
from django.http import FileResponse, HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.test import RequestFactory
from django.utils.decorators import async_only_middleware, sync_only_middleware
from django.utils.deprecation import MiddlewareMixin

from passerby import Tracker, Tracking, current_tracker
from passerby.asgi import TrackingMiddleware as AsgiMiddleware
from passerby.browser_ids.browser_ids import BrowserIds
from passerby.client.client import Client
from passerby.collector import CollectorServer
from passerby.delivery import Delivery
from passerby.django import TrackedRequest, TrackingMiddleware, get_tracking
from passerby.django.transactions import DatabaseTransactions
from passerby.http.policy import Policy
from passerby.http.request import RequestInfo
from passerby.http.session_reader import SessionReader
from passerby.outbox.memory import MemoryStore
from passerby.outbox.outbox import Outbox
from passerby.wsgi import TrackingMiddleware as WsgiMiddleware
from tests.making import (
    BROWSER_ID,
    NAVIGATION,
    PATIENCE,
    Message,
    body_of,
    by_name,
    call,
    eventually,
    eventually_async,
    make_scope,
    set_cookies,
    value_of,
)

from .browser import Browser, Face
from .conftest import TRACKING, MakeProject
from .wire import ask, ask_wsgi, environ_of

HERE = "tests.django.test_middleware"
BID = "bid_key"

Place = tuple[int, bool]  # a thread, and whether an event loop runs in it


def place() -> Place:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return threading.get_ident(), False
    return threading.get_ident(), True


@sync_only_middleware
def sync_only(get_response: Callable[[HttpRequest], HttpResponseBase]) -> Callable[[HttpRequest], HttpResponseBase]:
    def answer(request: HttpRequest) -> HttpResponseBase:
        assert current_tracker() is request.tracker  # type: ignore[attr-defined]
        return get_response(request)

    return answer


@async_only_middleware
def async_only(
    get_response: Callable[[HttpRequest], Awaitable[HttpResponseBase]],
) -> Callable[[HttpRequest], Awaitable[HttpResponseBase]]:
    async def answer(request: HttpRequest) -> HttpResponseBase:
        assert current_tracker() is request.tracker  # type: ignore[attr-defined]
        return await get_response(request)

    return answer


def find_tracker(request: TrackedRequest) -> list[str | None]:
    """The browser ID, by each way in which a view can find its tracker."""
    trackers: list[Tracker] = [request.tracker, request.state.tracker, current_tracker()]  # type: ignore[attr-defined]
    assert len(set(map(id, trackers))) == 1
    return [*{tracker.browser_id for tracker in trackers}, *place()]  # type: ignore[list-item]


def sync_view(request: TrackedRequest) -> HttpResponse:
    return JsonResponse(find_tracker(request), safe=False)


async def async_view(request: TrackedRequest) -> HttpResponse:
    return JsonResponse(find_tracker(request), safe=False)


class Wrapped:
    """A request around another one, as Django REST framework has it."""

    def __init__(self, request: HttpRequest) -> None:
        self._request = request

    def __getattr__(self, name: str) -> Any:
        return getattr(self._request, name)


def copying_view(request: TrackedRequest) -> HttpResponse:
    """Every copy of a request, and what passerby is given of it, is of the one visitor."""
    tracker = request.tracker
    tracking = get_tracking()
    assert isinstance(tracking, Tracking)
    assert copy.copy(request).tracker is tracker
    assert copy.copy(tracker) is copy.deepcopy({"of": tracker})["of"] is tracker
    assert copy.deepcopy(vars(request.state))["tracker"] is tracker  # type: ignore[attr-defined]
    assert Wrapped(request).tracker is tracker
    assert pickle.loads(pickle.dumps({"of": tracker})) == {"of": None}
    for each in (request, copy.copy(request), Wrapped(request)):
        assert tracking.tracker_for(each) is tracker
    if isinstance(request, WSGIRequest):
        assert tracking.tracker_for(WSGIRequest(dict(request.environ))) is tracker
    if isinstance(request, ASGIRequest):
        assert tracking.tracker_for(ASGIRequest(dict(request.scope), BytesIO())) is tracker
    return HttpResponse(tracker.browser_id)


class TestAdapters:
    """A project mounted in an ASGI app by an adapter, with passerby in both."""

    @pytest.mark.parametrize("chain", [[TRACKING], [TRACKING, TRACKING], [TRACKING, f"{HERE}.async_only"]], ids=str)
    async def test_a_project_below_an_asgi_app(
        self, make_project: MakeProject, collector: CollectorServer, chain: list[str]
    ) -> None:
        tracking = make_project(sync_view, middleware=chain, auto_page_views=True)
        project = AsgiMiddleware(WsgiToAsgi(WSGIHandler()), tracking=tracking)  # type: ignore[no-untyped-call]
        sent = await call(project, make_scope("/", NAVIGATION))
        assert json.loads(body_of(sent))[0] == value_of(by_name(set_cookies(sent))[BID])
        assert list(by_name(set_cookies(sent))) == [BID, "bid_key_sig"]


class TestCopies:
    def test_copies_of_a_request(self, make_project: MakeProject, browser: Browser) -> None:
        make_project(copying_view)
        answer = browser.get()
        assert answer.text == value_of(answer.cookies[BID])

    def test_a_request_of_the_request_factory(self, make_project: MakeProject) -> None:
        """A view that a test calls itself gets its tracker by the middleware around it."""
        make_project(sync_view)
        answer = TrackingMiddleware(sync_view)(RequestFactory().get("/"))  # type: ignore[arg-type]
        assert isinstance(answer, HttpResponse)
        assert json.loads(answer.content)[0] == answer.cookies[BID].value


class TestChain:
    """U32, U34."""

    def test_it_is_what_is_behind_it(self, make_project: MakeProject) -> None:
        make_project(sync_view)

        def answer(request: HttpRequest) -> HttpResponse:
            return HttpResponse()

        async def answer_async(request: HttpRequest) -> HttpResponse:
            return HttpResponse()

        assert not iscoroutinefunction(TrackingMiddleware(answer))
        assert iscoroutinefunction(TrackingMiddleware(answer_async))
        assert TrackingMiddleware.sync_capable
        assert TrackingMiddleware.async_capable

    @pytest.mark.parametrize(
        ("face", "behind", "view", "ours_in_loop", "view_in_loop", "in_one_thread"),
        [
            pytest.param("wsgi", [], sync_view, False, False, True, id="all sync"),
            pytest.param("wsgi", ["sync_only"], sync_view, False, False, True, id="all sync, with others"),
            pytest.param("wsgi", [], async_view, False, True, None, id="an async view under WSGI"),
            pytest.param("wsgi", ["async_only"], sync_view, True, False, None, id="async middleware under WSGI"),
            pytest.param("asgi", [], async_view, True, True, True, id="all async"),
            pytest.param("asgi", ["async_only"], async_view, True, True, True, id="all async, with others"),
            pytest.param("asgi", [], sync_view, True, False, False, id="a sync view under ASGI"),
            pytest.param("asgi", ["sync_only"], sync_view, False, False, True, id="sync middleware under ASGI"),
            pytest.param("asgi", ["sync_only"], async_view, False, True, None, id="sync between async"),
            pytest.param("asgi", ["async_only", "sync_only"], async_view, True, True, None, id="mixed"),
        ],
    )
    def test_nothing_is_forced_to_switch(
        self,
        make_project: MakeProject,
        face: Face,
        behind: list[str],
        view: Callable[..., Any],
        ours_in_loop: bool,
        view_in_loop: bool,
        in_one_thread: bool | None,
    ) -> None:
        """And the tracker is everywhere, whatever there is between."""
        ours: list[Place] = []

        def consent(request: RequestInfo) -> bool:  # asked where the middleware runs
            ours.append(place())
            return True

        make_project(view, middleware=[TRACKING, *(f"{HERE}.{name}" for name in behind)], consent=consent)
        browser = Browser(face)
        answer = browser.get()
        browser_id, thread, in_loop = json.loads(answer.text)
        assert browser_id == value_of(answer.cookies[BID])
        ((our_thread, are_ours_in_loop),) = ours
        assert (are_ours_in_loop, in_loop) == (ours_in_loop, view_in_loop)
        if in_one_thread is not None:
            assert (our_thread == thread) is in_one_thread
        if face == "wsgi" and in_one_thread:
            assert thread == threading.get_ident(), "the server's own"

    def test_an_async_chain_stays_with_the_server(self, make_project: MakeProject) -> None:
        make_project(async_view)
        sent = asyncio.run(call(ASGIHandler(), make_scope("/", NAVIGATION)))
        assert json.loads(body_of(sent))[1:] == [threading.get_ident(), True]

    async def test_a_visitor_who_waits_for_an_id_keeps_nobody_else_waiting(
        self, make_project: MakeProject, collector: CollectorServer
    ) -> None:
        collector.fail("create", delay=60.0, status=None)
        make_project(async_view, browser_id_timeout=4.0)

        async def visit(**headers: str) -> None:
            await call(ASGIHandler(), make_scope("/", NAVIGATION | headers))

        new = asyncio.create_task(visit())
        await eventually_async(lambda: collector.requests)
        await visit(cookie=f"{BID}={BROWSER_ID}")
        assert not new.done()
        await new

    def test_the_tracker_ends_with_its_request(self, make_project: MakeProject) -> None:
        make_project(sync_view)
        Browser("wsgi").get()
        with pytest.raises(LookupError):
            current_tracker()


class TestStream:
    """A response that is under way after the view has returned."""

    def test_pieces_know_their_visitor(self, make_project: MakeProject, browser: Browser) -> None:
        def pieces() -> Iterator[str]:
            for _ in range(3):
                yield f"{current_tracker().browser_id};"

        async def pieces_async() -> AsyncIterator[str]:
            for piece in pieces():
                yield piece
                await asyncio.sleep(0)

        def stream(request: HttpRequest) -> StreamingHttpResponse:
            return StreamingHttpResponse(pieces() if browser.face == "wsgi" else pieces_async())

        async def stream_async(request: HttpRequest) -> StreamingHttpResponse:
            return stream(request)

        make_project(stream, stream_async)
        first = browser.get()
        assert first.text == f"{value_of(first.cookies[BID])};" * 3
        assert browser.get("/stream_async").text == first.text
        with pytest.raises(LookupError):
            current_tracker()

    @pytest.mark.filterwarnings("ignore:StreamingHttpResponse must consume")
    def test_pieces_of_the_other_kind(self, make_project: MakeProject, browser: Browser) -> None:
        """Django gathers them in another thread before the first is sent."""

        def pieces() -> Iterator[str]:
            yield f"{current_tracker().browser_id}"

        async def pieces_async() -> AsyncIterator[str]:
            yield f"{current_tracker().browser_id}"

        def stream(request: HttpRequest) -> StreamingHttpResponse:
            return StreamingHttpResponse(pieces() if browser.face == "asgi" else pieces_async())

        make_project(stream)
        answer = browser.get()
        assert answer.text == value_of(answer.cookies[BID])

    def test_what_is_told_on_the_way_arrives(
        self, make_project: MakeProject, collector: CollectorServer, browser: Browser
    ) -> None:
        def pieces() -> Iterator[str]:
            current_tracker().event("STREAMED")
            yield "a piece"

        async def pieces_async() -> AsyncIterator[str]:
            for piece in pieces():
                yield piece

        def stream(request: HttpRequest) -> StreamingHttpResponse:
            return StreamingHttpResponse(pieces() if browser.face == "wsgi" else pieces_async())

        tracking = make_project(stream)
        answer = browser.get()
        assert tracking.flush(PATIENCE) == 0
        assert [(event["type"], event["browser_id"]) for event in collector.events] == [
            ("STREAMED", value_of(answer.cookies[BID]))
        ]

    @pytest.mark.parametrize("face", ["wsgi", "asgi"])
    def test_an_id_that_nobody_has_seen_goes_back_when_the_body_is_gone(
        self, make_project: MakeProject, face: Face
    ) -> None:
        async def piece() -> AsyncIterator[str]:
            yield "a piece"

        def stream(request: HttpRequest) -> StreamingHttpResponse:
            pieces = iter(["a piece"]) if face == "wsgi" else piece()
            return StreamingHttpResponse(pieces, headers={"Cache-Control": "public, max-age=60"})

        tracking = make_project(stream)
        assert ask(face).cookies == {}
        assert_given_back(tracking)


class TestInstallation:
    def test_installed_twice_it_acts_once(
        self, make_project: MakeProject, collector: CollectorServer, browser: Browser
    ) -> None:
        """U36."""

        def page(request: TrackedRequest) -> HttpResponse:
            return HttpResponse(request.tracker.browser_id)

        tracking = make_project(page, middleware=[TRACKING, TRACKING], auto_page_views=True)
        answer = browser.get()
        assert answer.text == value_of(answer.cookies[BID])
        assert list(answer.cookies) == [BID, "bid_key_sig"]
        assert tracking.flush(PATIENCE) == 0
        assert [event["type"] for event in collector.events] == ["VIEW"]

    @pytest.mark.parametrize("own", [False, True], ids=["of the same tracking", "of another"])
    def test_below_the_wsgi_middleware(self, make_project: MakeProject, own: bool) -> None:
        tracking = make_project(sync_view)
        outer = Tracking(secret_key="a key of some length") if own else tracking
        answer = ask_wsgi(WsgiMiddleware(WSGIHandler(), outer))
        name = "passerby_bid" if own else BID
        assert list(answer.cookies) == [name, f"{name}_sig"]
        assert json.loads(answer.body)[0] == value_of(answer.cookies[name])

    @pytest.mark.parametrize("own", [False, True], ids=["of the same tracking", "of another"])
    @pytest.mark.parametrize("view", [sync_view, async_view])
    def test_below_the_asgi_middleware(
        self, make_project: MakeProject, own: bool, view: Callable[..., HttpResponse]
    ) -> None:
        tracking = make_project(view)
        outer = Tracking(secret_key="a key of some length") if own else tracking
        app: Any = ASGIHandler()
        sent = asyncio.run(call(AsgiMiddleware(app, tracking=outer), make_scope("/", NAVIGATION)))
        name = "passerby_bid" if own else BID
        assert [line.partition("=")[0] for line in set_cookies(sent)] == [name, f"{name}_sig"]
        assert json.loads(body_of(sent))[0] == value_of(set_cookies(sent)[0])

    def test_a_request_within_a_request(self, make_project: MakeProject) -> None:
        """Such as of a page that is put together of others."""

        def outer(request: TrackedRequest) -> HttpResponse:
            inner = ask("wsgi", "/sync_view")
            assert current_tracker() is request.tracker
            return HttpResponse(f"{inner.cookies[BID]} {request.tracker.browser_id}")

        make_project(outer, sync_view)
        answer = ask("wsgi")
        said = answer.body.decode().split()
        assert value_of(said[0]) != said[-1]
        assert said[-1] == value_of(answer.cookies[BID])
        with pytest.raises(LookupError):
            current_tracker()

    @pytest.mark.parametrize("state", [{"app": "its own"}, "CA", None], ids=str)
    def test_a_state_of_the_apps_own_is_left_alone(
        self, make_project: MakeProject, browser: Browser, state: object
    ) -> None:
        def page(request: TrackedRequest) -> HttpResponse:
            return HttpResponse(f"{request.state} {request.tracker.browser_id}")  # type: ignore[attr-defined]

        make_project(page, middleware=[f"{HERE}.SetsState", TRACKING])
        SetsState.state = state
        answer = browser.get()
        assert answer.text == f"{state} {value_of(answer.cookies[BID])}"


class SetsState(MiddlewareMixin):
    """An app that keeps something of its own where others keep a namespace."""

    state: object = None

    def process_request(self, request: HttpRequest) -> None:
        request.state = self.state  # type: ignore[attr-defined]


class TestEnd:
    """U35: nothing of a request is left when it ends before its time."""

    async def test_a_client_that_goes_away(self, make_project: MakeProject) -> None:
        reached = asyncio.Event()

        async def wait(request: HttpRequest) -> HttpResponse:
            reached.set()
            await asyncio.Event().wait()
            raise AssertionError("nobody waits for it")

        tracking = make_project(wait)

        async def arrive() -> AsyncIterator[Message]:
            yield {"type": "http.request", "body": b""}
            await reached.wait()
            yield {"type": "http.disconnect"}

        async def send(message: Mapping[str, Any]) -> None:
            raise AssertionError("to nobody")

        await ASGIHandler()(make_scope("/", NAVIGATION), arrive().__anext__, send)
        assert_given_back(tracking)

    def test_a_view_that_ends_the_process(self, make_project: MakeProject) -> None:
        def leave(request: HttpRequest) -> HttpResponse:
            raise SystemExit(3)

        tracking = make_project(leave)
        with pytest.raises(SystemExit):
            ask("wsgi")
        with pytest.raises(LookupError):
            current_tracker()
        assert_given_back(tracking)

    def test_a_file_that_the_server_sends(self, make_project: MakeProject) -> None:
        """Django ties the file and its response together, so that only the garbage collector could part them."""

        def file(request: TrackedRequest) -> FileResponse:
            trackers.append(weakref.ref(request.tracker))
            return FileResponse(BytesIO(b"a file"), headers={"Cache-Control": "public, max-age=60"})

        trackers: list[weakref.ref[Tracker]] = []
        tracking = make_project(file)
        environ = environ_of() | {"wsgi.file_wrapper": FileWrapper}
        gc.disable()
        try:
            body: Any = WSGIHandler()(environ, lambda *args: print)
            assert isinstance(body, FileWrapper)
            assert current_tracker() is trackers[0]()
            assert b"".join(body) == b"a file"
            body.close()
            with pytest.raises(LookupError):
                current_tracker()
            assert_given_back(tracking)
        finally:
            gc.enable()


def assert_given_back(tracking: Tracking) -> None:
    """An ID that nobody has seen may be the next visitor's."""
    counts = tracking.stats().browser_ids
    assert counts is not None
    assert (counts.assigned, counts.returned) == (0, 1)


STEPS = [
    (Policy, "decide"),
    (SessionReader, "read"),
    (SessionReader, "cookies"),
    (SessionReader, "has_cookies"),
    (SessionReader, "is_page_view"),
    (Client, "assign"),
    (Client, "context"),
    (Client, "point_of_sale"),
    (Client, "capture"),
    (Client, "now"),
    (MemoryStore, "exchange"),
    (Outbox, "record"),
    (Delivery, "record"),
    (BrowserIds, "take"),
    (BrowserIds, "wait"),
    (DatabaseTransactions, "defer"),
    (HttpResponse, "set_cookie"),
]


class TestFaults:
    """U39: no exception of ours reaches the app; each internal step fails, the response is unchanged."""

    @pytest.mark.parametrize(("owner", "name"), STEPS)
    def test_a_step_fails(
        self,
        make_project: MakeProject,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
        browser: Browser,
        owner: type,
        name: str,
    ) -> None:
        def page(request: TrackedRequest) -> HttpResponse:
            tracker = request.tracker
            with transaction.atomic():
                tracker.event("ADD")
                tracker.identify("user_1")
            assert (tracker.browser_id, tracker.user_id) is not None
            return HttpResponse("a page", status=201, headers={"X-App": "yes"})

        def fail(*args: Any, **options: Any) -> Any:
            failed.append(name)
            raise RuntimeError("injected")

        failed: list[str] = []
        make_project(page, browser_id_timeout=0.05, auto_page_views=True, on_commit=True)
        monkeypatch.setattr(owner, name, fail)
        with caplog.at_level(logging.ERROR):
            answers = [browser.get(), browser.get(cookie=f"bid_key={BROWSER_ID}")]
        monkeypatch.undo()
        assert failed
        for answer in answers:
            assert (answer.status, answer.text, answer.headers["X-App"]) == (201, "a page", "yes")

    def test_no_id_in_time(self, make_project: MakeProject, browser: Browser, collector: CollectorServer) -> None:
        """The page goes without, and the next one has it."""
        collector.fail("create", times=3, delay=2.0, status=None)

        def page(request: TrackedRequest) -> HttpResponse:
            request.tracker.page_view()
            return HttpResponse(request.tracker.browser_id or "none")

        tracking = make_project(page, browser_id_timeout=0.02)
        first = browser.get()
        assert (first.text, first.cookies) == ("none", {})
        eventually(lambda: tracking.stats().browser_ids.ready)  # type: ignore[union-attr]
        assert BID in browser.get().cookies
