"""Starting, flushing, closing, and starting again; whatever becomes of the app's own loops and threads."""

from __future__ import annotations

import asyncio
import errno
import gc
import logging
import threading
import time
import weakref
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from contextvars import ContextVar, copy_context
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.testclient import TestClient

from passerby import Delivered, Pending, RemoteError, Tracking
from passerby.asgi import TrackingMiddleware
from passerby.browser_ids.pool import BrowserIdCounts
from passerby.collector import CollectorServer
from passerby.delivery.loop import WorkerLoop
from passerby.destinations import Query
from tests.making import PATIENCE, Stopwatch, eventually_async

from .conftest import QUICK, MakeTracking
from .doubles import Plain, assert_ledger, new_id, page_request, wait_until

WORKER = "passerby-delivery"


def workers() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name == WORKER}


def tell(tracking: Tracking, number: int = 1) -> None:
    for _ in range(number):
        tracking.for_visitor(new_id()).event("ADD")


def timed(action: Callable[[], object]) -> float:
    begun = time.monotonic()
    action()
    return time.monotonic() - begun


# Bounds (U5)

LATE = 60.0  # seconds by which a busy machine may be late; what is not waited for would take ten minutes


@pytest.mark.parametrize("timeout", [0.0, 0.3, 1.0])
def test_flush_and_close_end_in_time_though_nobody_answers(
    make_tracking: MakeTracking, black_hole: str, timeout: float
) -> None:
    tracking = make_tracking(black_hole, request_timeout=600.0)
    tell(tracking, 30)

    async def timed_async(action: Callable[[float], Any]) -> float:
        begun = time.monotonic()
        assert await action(timeout) == 30
        return time.monotonic() - begun

    assert timed(lambda: tracking.flush(timeout)) <= timeout + LATE
    assert asyncio.run(timed_async(tracking.aflush)) <= timeout + LATE
    assert timed(lambda: tracking.close(timeout)) <= timeout + LATE
    tell(tracking, 0)
    assert asyncio.run(timed_async(tracking.aclose)) <= timeout + LATE
    assert_ledger(tracking.stats().destinations["sitecore"], recorded=30, pending=30)


def test_close_says_how_many_wait_and_ends_the_thread(make_tracking: MakeTracking, black_hole: str) -> None:
    tracking = make_tracking(black_hole, close_timeout=0.2)
    tell(tracking, 5)
    assert wait_until(lambda: tracking._delivery._worker._thread is not None)
    worker = tracking._delivery._worker._thread
    assert worker is not None

    assert tracking.close() == 5
    assert wait_until(lambda: not worker.is_alive())


def test_flush_with_nothing_waiting_returns_at_once_and_starts_nothing(
    make_tracking: MakeTracking, collector: CollectorServer
) -> None:
    before = workers()
    tracking = make_tracking(collector.url)

    assert (tracking.flush(30), tracking.close(30)) == (0, 0)
    assert workers() <= before


def test_flush_returns_as_soon_as_all_is_delivered(make_tracking: MakeTracking, collector: CollectorServer) -> None:
    tracking = make_tracking(collector.url)
    tell(tracking, 50)

    assert timed(lambda: tracking.flush(600)) < 60
    assert len(collector.events) == 50


def test_many_may_flush_at_the_same_time(make_tracking: MakeTracking, collector: CollectorServer) -> None:
    tracking = make_tracking(collector.url)
    results: list[int] = []

    def tell_and_flush() -> None:
        for _ in range(20):
            tell(tracking)
            results.append(tracking.flush(600))

    threads = [threading.Thread(target=tell_and_flush) for _ in range(6)]
    begun = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert time.monotonic() - begun < 90, "nobody waits in vain"
    assert len(results) == 120
    assert tracking.flush(PATIENCE) == 0
    assert len(collector.events) == 120


# Starting again


def test_an_event_after_close_starts_it_again(make_tracking: MakeTracking, collector: CollectorServer) -> None:
    tracking = make_tracking(collector.url)
    for _ in range(5):
        tell(tracking, 3)
        assert tracking.close(PATIENCE) == 0

    assert len(collector.events) == 15
    assert_ledger(tracking.stats().destinations["sitecore"], recorded=15, delivered=15)


def test_what_close_gave_up_is_delivered_after_the_next_start(
    make_tracking: MakeTracking, collector: CollectorServer
) -> None:
    collector.fail("all", delay=30)
    tracking = make_tracking(collector.url, request_timeout=60.0)
    visitor = tracking.for_visitor(new_id())
    for number in range(5):
        visitor.event("STEP", {"number": number})
    tell(tracking, 20)
    assert wait_until(lambda: len(collector.requests) >= 10)
    assert tracking.close(0.2) == 25
    collector.clear_faults()

    tell(tracking)

    assert tracking.flush(60) == 0
    assert [event["number"] for event in collector.events if "number" in event] == list(range(5))
    assert_ledger(tracking.stats().destinations["sitecore"], recorded=26, delivered=26)
    counts = tracking.stats().browser_ids
    assert counts is not None
    assert wait_until(lambda: getattr(tracking.stats().browser_ids, "ready", 0) == 2), "the pool is filled again too"


def test_an_id_that_close_gave_up_is_not_waited_for_after_the_next_start(
    make_tracking: MakeTracking, collector: CollectorServer
) -> None:
    collector.fail("create", delay=30)
    tracking = make_tracking(collector.url, request_timeout=60.0)
    for _ in range(3):
        tracking.tracker_for(page_request()).page_view()
    assert wait_until(lambda: len(collector.requests) >= 3), "three IDs for the events, and perhaps some for the pool"
    assert tracking.close(0.2) == 3
    collector.clear_faults()

    tracking.start()

    assert tracking.flush(60) == 0
    assert wait_until(lambda: getattr(tracking.stats().browser_ids, "ready", 0) >= 2)
    assert wait_until(lambda: tracking._client.browser_ids.pool._in_flight == 0)


def test_events_told_while_it_closes_are_not_forgotten(make_tracking: MakeTracking, collector: CollectorServer) -> None:
    tracking = make_tracking(collector.url)
    done = threading.Event()

    def keep_closing() -> None:
        while not done.is_set():
            tracking.close(0.05)

    closing = threading.Thread(target=keep_closing)
    closing.start()
    for _ in range(200):
        tell(tracking)
        time.sleep(0.001)
    done.set()
    closing.join()

    tracking.start()  # what the last close had no time to send waits for that
    assert tracking.flush(60) == 0
    assert len(collector.events) >= 200
    assert len({event["browser_id"] for event in collector.events}) == 200


def test_an_event_told_as_it_closes_needs_no_other_to_be_sent(
    make_tracking: MakeTracking, collector: CollectorServer
) -> None:
    tracking = make_tracking(collector.url)
    for number in range(30):
        tell(tracking)
        tracking.flush(PATIENCE)
        closing = threading.Thread(target=tracking.close)
        closing.start()
        time.sleep(number * 0.0002)
        tell(tracking)
        closing.join()
        assert wait_until(lambda: tracking.stats().destinations["sitecore"].pending == 0)


def test_an_event_told_when_nothing_waits_any_more_is_sent_after_the_close(
    make_tracking: MakeTracking, collector: CollectorServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between a close's look whether all is sent and its end of the thread."""
    tracking = make_tracking(collector.url)
    tracking.start()
    flush = tracking.delivery.flush

    def record_behind_it(timeout: float) -> int:
        number = flush(timeout)
        monkeypatch.undo()
        tell(tracking)
        return number

    monkeypatch.setattr(tracking.delivery, "flush", record_behind_it)
    assert tracking.close(PATIENCE) == 0
    assert wait_until(lambda: tracking.stats().destinations["sitecore"].delivered == 1)


def test_one_part_that_fails_holds_up_no_other(
    make_tracking: MakeTracking, collector: CollectorServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    tracking = make_tracking(Plain("broken", collector.url), Plain("whole", collector.url))
    broken = tracking._delivery._senders["broken"]
    add = broken.add

    def fail(claims: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(broken, "add", fail)
    tell(tracking)
    assert wait_until(lambda: tracking.stats().destinations["whole"].delivered == 1)
    assert tracking.stats().destinations["broken"].pending == 1

    monkeypatch.setattr(broken, "add", add)
    assert wait_until(lambda: tracking.stats().destinations["broken"].delivered == 1)


@pytest.mark.parametrize(
    "place", ["passerby.delivery.loop.WorkerSelector", "asyncio.selector_events.socket.socketpair"]
)
def test_a_loop_that_cannot_be_made_is_tried_again(
    make_tracking: MakeTracking,
    collector: CollectorServer,
    place: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """As when the process has no file descriptor left, at either of the two places that need one."""

    def fail(*args: object) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    tracking = make_tracking(collector.url)
    with monkeypatch.context() as patch:
        patch.setattr(place, fail)
        tell(tracking)
        assert wait_until(lambda: "the delivery thread failed" in caplog.text)
        assert wait_until(lambda: not tracking._delivery._worker.is_running)
        with Stopwatch() as watch, pytest.raises(RemoteError, match="cannot be started"):
            tracking.for_visitor(new_id()).guest_id_sync(1)
        assert watch.seconds < 3.0
        assert wait_until(tracking._delivery._worker._started.is_set), "nobody waits for it in vain"
    gc.collect()

    tell(tracking)
    assert tracking.flush(PATIENCE) == 0
    assert_ledger(tracking.stats().destinations["sitecore"], delivered=2)


def test_a_name_found_after_nobody_waits_for_it_disturbs_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    found = threading.Event()
    monkeypatch.setattr("passerby.delivery.loop.socket.getaddrinfo", lambda *args: found.wait(5) and [])
    loop = WorkerLoop()

    with pytest.raises(TimeoutError):
        loop.run_until_complete(asyncio.wait_for(loop.getaddrinfo("api.example", 443), 0.05))
    found.set()
    assert wait_until(lambda: not loop._lookups)
    loop.close()


def test_a_mistake_with_ids_is_not_made_again_at_once(
    make_tracking: MakeTracking, collector: CollectorServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    tracking = make_tracking(collector.url, retry_base=30.0)
    issuer = tracking._client.browser_ids.issuer
    mistakes = []

    def fail() -> None:
        mistakes.append(1)
        raise KeyError("secret value")

    monkeypatch.setattr(issuer, "new_id_query", fail)
    tracking.start()
    assert wait_until(lambda: tracking._client.browser_ids._fetcher.breaker.is_open)
    time.sleep(0.2)

    assert len(mistakes) < 10
    assert wait_until(lambda: tracking._client.browser_ids.pool._in_flight == 0)


def test_a_burst_of_questions_leaves_few_connections(make_tracking: MakeTracking, collector: CollectorServer) -> None:
    collector.fail("all", delay=0.1)
    tracking = make_tracking(collector.url, concurrency=3)
    question = tracking._client.browser_ids.issuer
    assert question is not None

    asked = [tracking._delivery.run_query(question.new_id_query(), PATIENCE) for _ in range(20)]
    for answer in asked:
        answer.exception(PATIENCE)

    assert wait_until(lambda: len(tracking._delivery._idle_connections) == 3)


def test_questions_asked_as_it_closes_are_all_answered(make_tracking: MakeTracking, collector: CollectorServer) -> None:
    tracking = make_tracking(collector.url)
    issuer = tracking._client.browser_ids.issuer
    assert issuer is not None
    new_id: Query[Any] = issuer.new_id_query()
    asked: list[Future[Any]] = []
    for _ in range(10):
        tracking.start()
        closing = threading.Thread(target=tracking.close, args=(0.2,))
        closing.start()
        while closing.is_alive():
            with suppress(RemoteError):
                asked.append(tracking._delivery.run_query(new_id, 1.0))
            time.sleep(0.0002)

    errors = [answer.exception(PATIENCE) for answer in asked]
    assert all(error is None or isinstance(error, RemoteError) for error in errors)


# The app's loops (U27)


def test_each_asyncio_run_has_a_loop_of_its_own(make_tracking: MakeTracking, collector: CollectorServer) -> None:
    tracking = make_tracking(collector.url)

    async def tell_and_wait() -> object:
        return (await tracking.for_visitor(new_id()).event("ADD").delivered(PATIENCE))["sitecore"]

    for _ in range(8):
        assert isinstance(asyncio.run(tell_and_wait()), Delivered)


def test_each_test_client_has_a_loop_of_its_own(make_tracking: MakeTracking, collector: CollectorServer) -> None:
    tracking = make_tracking(collector.url)

    async def page(request: Request) -> Response:
        outcomes = await request.state.tracker.page_view().delivered(PATIENCE)
        return PlainTextResponse(type(outcomes["sitecore"]).__name__)

    app = Starlette(routes=[Route("/", page)])
    app.add_middleware(TrackingMiddleware, tracking=tracking)
    for _ in range(5):
        with TestClient(app) as client:  # with its lifespan, whose end flushes
            assert client.get("/").text == "Delivered"
        assert TestClient(app).get("/").text == "Delivered"
    assert len(collector.events) == 10


@pytest.mark.parametrize("wait", ["delivered", "stored", "aflush", "guest_id", "handle_cookie"])
def test_a_loop_that_is_closed_while_something_is_awaited_disturbs_nobody(
    make_tracking: MakeTracking, collector: CollectorServer, wait: str, caplog: pytest.LogCaptureFixture
) -> None:
    collector.fail("all", times=None, status=None, delay=0.4)
    tracking = make_tracking(collector.url)
    tracker = tracking.for_visitor(new_id())
    receipt = tracker.event("ADD")

    async def begin_to_wait() -> None:
        awaited: dict[str, Callable[[], Any]] = {
            "delivered": lambda: receipt.delivered(30),
            "stored": receipt.stored,
            "aflush": lambda: tracking.aflush(30),
            "guest_id": lambda: tracker.guest_id(30),
            "handle_cookie": lambda: tracking.handle_cookie(page_request(), [], 30),
        }
        waiting = asyncio.ensure_future(awaited[wait]())
        await asyncio.sleep(0.05)
        waiting.cancel()
        await asyncio.wait([waiting])

    asyncio.run(begin_to_wait())

    assert tracking.flush(PATIENCE) == 0
    assert wait_until(lambda: getattr(tracking.stats().browser_ids, "ready", 0) >= 2)
    assert isinstance(receipt.outcomes["sitecore"], Delivered)
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == []


def test_a_request_that_is_cancelled_while_it_waits_for_an_id_wastes_none(
    make_tracking: MakeTracking, collector: CollectorServer
) -> None:
    collector.fail("create", times=1, status=None, delay=4.0)
    tracking = make_tracking(collector.url, browser_id_pool_size=0)

    async def give_up() -> None:
        waiting = asyncio.ensure_future(tracking.handle_cookie(page_request(), [], 30))
        await eventually_async(lambda: collector.requests)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting

    asyncio.run(give_up())

    assert wait_until(lambda: getattr(tracking.stats().browser_ids, "made", 0) == 1)
    headers: list[tuple[bytes, bytes]] = []
    tracking.handle_cookie_sync(page_request(), headers, PATIENCE)
    assert collector.browser_ids[0].encode() in headers[0][1]
    assert len(collector.browser_ids) == 1


def test_a_request_that_is_cancelled_at_the_moment_an_id_comes_gives_it_back(
    make_tracking: MakeTracking, collector: CollectorServer
) -> None:
    collector.fail("create", times=1, status=None, delay=0.5)
    tracking = make_tracking(collector.url, browser_id_pool_size=0, browser_id_timeout=PATIENCE)

    async def give_up() -> None:
        waiting = asyncio.ensure_future(app(page_request(), never, never))
        await asyncio.sleep(0)
        assert wait_until(lambda: getattr(tracking.stats().browser_ids, "assigned", 0) == 1)  # which blocks this loop
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting

    async def never(*_: Any) -> Any:
        raise AssertionError("the request is over")

    app = TrackingMiddleware(never, tracking=tracking)
    asyncio.run(give_up())

    counts = tracking.stats().browser_ids
    assert counts is not None
    assert (counts.made, counts.assigned, counts.returned, counts.ready) == (1, 0, 1, 1)


def test_closing_while_a_question_is_asked_answers_it(make_tracking: MakeTracking, collector: CollectorServer) -> None:
    collector.fail("all", delay=60)
    tracking = make_tracking(collector.url, request_timeout=60.0)
    tracking.start()

    def close_once_it_is_asked() -> None:
        assert wait_until(lambda: any(request.route == "show" for request in collector.requests))
        tracking.close(0.0)

    closing = threading.Thread(target=close_once_it_is_asked)
    closing.start()
    with pytest.raises(RemoteError, match="closed before"):
        tracking.for_visitor(new_id()).guest_id_sync(60)
    closing.join()


# No thread to be had (U9)


@pytest.fixture
def no_threads(monkeypatch: pytest.MonkeyPatch) -> Callable[[bool], None]:
    """Let no thread of passerby's start, as long as that is wanted."""
    start = threading.Thread.start

    def refuse(thread: threading.Thread) -> None:
        if thread.name.startswith("passerby-"):
            raise RuntimeError("can't start new thread")
        start(thread)

    def switch(on: bool) -> None:
        monkeypatch.setattr(threading.Thread, "start", refuse if on else start)

    return switch


def test_without_a_thread_the_page_is_answered_and_the_event_waits(
    make_tracking: MakeTracking,
    collector: CollectorServer,
    no_threads: Callable[[bool], None],
    caplog: pytest.LogCaptureFixture,
) -> None:
    tracking = make_tracking(collector.url, browser_id_timeout=PATIENCE)
    receipts = []

    async def page(request: Request) -> Response:
        receipts.append(request.state.tracker.page_view())
        return PlainTextResponse("hello")

    app = Starlette(routes=[Route("/", page)])
    app.add_middleware(TrackingMiddleware, tracking=tracking)
    no_threads(True)
    client = TestClient(app)
    for _ in range(10):
        assert client.get("/").text == "hello"
    assert tracking.flush(0.1) == 10
    assert receipts[0].outcomes == {"sitecore": Pending()}
    assert caplog.text.count("cannot start the delivery thread") == 1, "logged once, not for every event"
    with pytest.raises(RemoteError):
        tracking.for_visitor(new_id()).guest_id_sync(1)

    no_threads(False)
    client.get("/")

    assert tracking.flush(60) == 0
    assert len(collector.events) == 11
    assert_ledger(tracking.stats().destinations["sitecore"], recorded=11, delivered=11, unlinked=10)


# Nothing is left behind (U2)


@pytest.mark.long
def test_a_thousand_trackings_leave_nothing_behind(collector: CollectorServer) -> None:
    before = workers()
    gc.collect()
    left: list[weakref.ref[Any]] = []
    for number in range(1000):
        tracking = Tracking(Plain("plain", collector.url), **QUICK)
        left += [weakref.ref(tracking), weakref.ref(tracking._delivery)]
        if number % 100 == 0:
            tell(tracking)
            assert tracking.close(PATIENCE) == 0
        elif number % 2:
            tracking.start()
            tracking.close()
        del tracking

    gc.collect()

    assert sum(one() is not None for one in left) == 0
    assert wait_until(lambda: workers() <= before)
    assert len(collector.events) == 10


def test_the_thread_keeps_nothing_of_the_context_in_which_it_is_woken(
    make_tracking: MakeTracking, collector: CollectorServer
) -> None:
    """A connection lives long, and would keep the request alive in which it was opened."""

    class Value:
        """What a request keeps in a context variable."""

    variable: ContextVar[Value | None] = ContextVar("variable", default=None)
    tracking = make_tracking(collector.url)
    known: list[weakref.ref[Value]] = []

    def tell_within_a_context() -> None:
        value = Value()
        known.append(weakref.ref(value))
        variable.set(value)
        tell(tracking)
        with suppress(RemoteError):
            tracking.for_visitor(new_id()).guest_id_sync(PATIENCE)

    for _ in range(3):
        copy_context().run(tell_within_a_context)
        assert tracking.flush(PATIENCE) == 0

    def is_nothing_left() -> bool:
        gc.collect()
        return [value() for value in known] == [None] * 3

    assert wait_until(is_nothing_left)


def test_ids_that_nobody_needed_are_left_to_the_next_process(
    collector: CollectorServer, make_tracking: MakeTracking, tmp_path: Path
) -> None:
    """U42: an ID that is made and never used is a guest who never was."""
    outbox = f"sqlite://{tmp_path}/shared"
    first = make_tracking(collector.url, outbox=outbox, browser_id_pool_size=3)
    first.start()
    assert wait_until(lambda: ready_ids(first) == 3)
    made = set(collector.browser_ids)
    assert first.close(PATIENCE) == 0
    assert first.stats().browser_ids == BrowserIdCounts(made=3, assigned=0, returned=0, ready=0, failed=0, kept=3)

    second = make_tracking(collector.url, outbox=outbox, browser_id_pool_size=3)
    second.start()
    assert wait_until(lambda: ready_ids(second) == 3)

    assert second.stats().browser_ids == BrowserIdCounts(made=0, assigned=0, returned=0, ready=3, failed=0, claimed=3)
    assert set(collector.browser_ids) == made


def ready_ids(tracking: Tracking) -> int:
    counts = tracking.stats().browser_ids
    return counts.ready if counts is not None else 0
