"""Nobody is told that an event was taken before it is on disk: whatever the framework, and whoever waits."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.testclient import TestClient
from starlette.websockets import WebSocket

from passerby import Tracking
from passerby.asgi import TrackingMiddleware
from passerby.errors import SettingsError
from passerby.outbox.contract import ExchangeBatch, ExchangeResult, StorageError
from passerby.outbox.sqlite import SqliteStore
from passerby.settings.env import read_environment
from passerby.settings.settings import make_settings
from passerby.wsgi import TrackingMiddleware as WsgiMiddleware
from tests.making import (
    BROWSER_ID,
    App,
    MakeTracking,
    Message,
    call,
    cookie_header,
    eventually_async,
    make_environ,
    make_scope,
    page,
)

PATIENCE = 60.0  # seconds, on the slowest machine


class Disk:
    """A disk that takes its time: nothing is written unless it is allowed to."""

    def __init__(self) -> None:
        self.is_written = threading.Event()
        self._may_write = threading.Event()
        self._is_full = False

    def __enter__(self) -> Disk:
        return self

    def __exit__(self, *exception: object) -> None:
        self.go_on()

    def wait(self) -> None:
        self.is_written.set()
        assert self._may_write.wait(PATIENCE)

        if self._is_full:
            raise StorageError("disk full")

    def go_on(self) -> None:
        self._may_write.set()

    def fill(self) -> None:
        self._is_full = True
        self._may_write.set()


@pytest.fixture
def slow_disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[Disk]:
    exchange = SqliteStore.exchange
    with Disk() as disk:

        def wait_and_exchange(store: SqliteStore, batch: ExchangeBatch) -> ExchangeResult:
            if batch.recorded:
                disk.wait()
            return exchange(store, batch)

        monkeypatch.setattr(SqliteStore, "exchange", wait_and_exchange)
        yield disk


@pytest.fixture
def make_durable(make_tracking: MakeTracking, tmp_path: Path) -> MakeTracking:
    """Make a tracking whose events wait on disk."""

    def make(**settings: Any) -> Tracking:
        return make_tracking(**{"outbox": f"sqlite://{tmp_path}/outbox", "store_timeout": PATIENCE} | settings)

    return make


def returning(path: str = "/") -> Any:
    return make_scope(path, cookie_header(bid_key=BROWSER_ID))


def telling(*, after: bool = False, answer: App | None = None) -> App:
    """An app that tells something before its response starts, or after it has."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if not after:
            scope["state"]["tracker"].event("ADD")
        await (answer or page())(scope, receive, send)
        if after:
            scope["state"]["tracker"].event("ADD")

    return app


async def fail(scope: Any, receive: Any, send: Any) -> None:
    raise ZeroDivisionError


class TestAsgi:
    async def test_a_response_waits_until_what_was_told_is_on_disk(
        self, make_durable: MakeTracking, slow_disk: Disk
    ) -> None:
        sent: list[Message] = []

        async def send(message: Message) -> None:
            sent.append(message)

        tracking = make_durable()
        answering = asyncio.create_task(self._call(TrackingMiddleware(telling(), tracking=tracking), send))
        await asyncio.to_thread(slow_disk.is_written.wait, PATIENCE)
        await asyncio.sleep(0)

        assert sent == [], "and the loop is free meanwhile"
        slow_disk.go_on()
        await answering
        assert [message["type"] for message in sent] == ["http.response.start", "http.response.body"]
        assert tracking.stats().store_timeouts == 0

    async def _call(self, app: App, send: Any) -> None:
        async def receive() -> Message:
            return {"type": "http.request", "body": b"", "more_body": False}

        await app(returning(), receive, send)

    async def test_it_waits_no_longer_than_the_setting_says(self, make_durable: MakeTracking, slow_disk: Disk) -> None:
        tracking = make_durable(store_timeout=0.01)

        sent = await call(TrackingMiddleware(telling(), tracking=tracking), returning())

        assert sent[0]["status"] == 200
        assert tracking.stats().store_timeouts == 1
        slow_disk.go_on()
        await eventually_async(lambda: not tracking.stats().unstored)  # late is not lost

    async def test_a_request_that_tells_nothing_waits_for_nobody(
        self, make_durable: MakeTracking, slow_disk: Disk
    ) -> None:
        tracking = make_durable()
        tracking.for_visitor(BROWSER_ID).event("ADD")
        await asyncio.to_thread(slow_disk.is_written.wait, PATIENCE)

        sent = await call(TrackingMiddleware(page(), tracking=tracking), returning())

        assert sent[0]["status"] == 200

    async def test_an_exception_waits_too_since_somebody_answers_it(
        self, make_durable: MakeTracking, slow_disk: Disk
    ) -> None:
        app = TrackingMiddleware(telling(answer=fail), tracking=make_durable())
        failing = asyncio.create_task(call(app, returning()))
        await asyncio.to_thread(slow_disk.is_written.wait, PATIENCE)
        await asyncio.sleep(0.01)

        assert not failing.done()
        slow_disk.go_on()
        with pytest.raises(ZeroDivisionError):
            await failing

    async def test_what_is_told_after_the_start_holds_nobody_up(
        self, make_durable: MakeTracking, slow_disk: Disk
    ) -> None:
        """In an event loop; there `stored` is awaited by whoever wants to be sure."""
        tracking = make_durable()

        sent = await call(TrackingMiddleware(telling(after=True), tracking=tracking), returning())

        assert [message["type"] for message in sent] == ["http.response.start", "http.response.body"]
        receipt = tracking.for_visitor(BROWSER_ID).add_to_event_queue("ADD")
        storing = asyncio.create_task(receipt.stored())
        await asyncio.sleep(0.01)
        assert not storing.done()
        slow_disk.go_on()
        await asyncio.wait_for(storing, PATIENCE)

    def test_a_websocket_is_accepted_once_what_was_told_is_on_disk(
        self, make_durable: MakeTracking, slow_disk: Disk
    ) -> None:
        async def chat(websocket: WebSocket) -> None:
            websocket.state.tracker.event("OPENED")
            await websocket.accept()
            await websocket.send_text("hello")
            await websocket.close()

        app = TrackingMiddleware(Starlette(routes=[WebSocketRoute("/", chat)]), tracking=make_durable())

        def visit() -> str:
            with TestClient(app).websocket_connect("/", headers=cookie_header(bid_key=BROWSER_ID)) as session:
                text: str = session.receive_text()
                return text

        with ThreadPoolExecutor() as pool:
            visiting = pool.submit(visit)
            assert slow_disk.is_written.wait(PATIENCE)
            assert not visiting.done()
            slow_disk.go_on()
            assert visiting.result(PATIENCE) == "hello"

    async def test_while_the_disk_is_in_trouble_nobody_waits(self, make_durable: MakeTracking, tmp_path: Path) -> None:
        tracking = make_durable(store_timeout=600.0)
        (tmp_path / "outbox").touch()
        app = TrackingMiddleware(telling(), tracking=tracking)
        tracking.for_visitor(BROWSER_ID).event("FIRST")
        await eventually_async(lambda: tracking.stats().outbox != "ok")

        assert (await asyncio.wait_for(call(app, returning()), PATIENCE))[0]["status"] == 200
        stats = tracking.stats()
        assert stats.outbox.startswith("degraded: found a file where a directory is needed")
        assert stats.store_timeouts >= 1
        (tmp_path / "outbox").unlink()


class TestSync:
    def test_a_wsgi_response_waits(self, make_durable: MakeTracking, slow_disk: Disk) -> None:
        started = threading.Event()

        def app(environ: Any, start_response: Any) -> list[bytes]:
            environ["passerby.tracker"].event("ADD")
            start_response("200 OK", [])
            return [b"page"]

        def start(*line: Any) -> Any:
            started.set()

        def answer() -> Any:
            environ = make_environ("/", cookie_header(bid_key=BROWSER_ID))
            return WsgiMiddleware(app, make_durable())(environ, start)

        with ThreadPoolExecutor() as pool:
            answering = pool.submit(answer)
            assert slow_disk.is_written.wait(PATIENCE)
            assert not started.is_set()
            slow_disk.go_on()
            assert list(answering.result(PATIENCE)) == [b"page"]
        assert started.is_set()

    @pytest.mark.parametrize("call", ["event", "add_to_event_queue"])
    def test_where_no_response_waits_the_call_does(
        self, make_durable: MakeTracking, slow_disk: Disk, call: str
    ) -> None:
        tracker = make_durable().for_visitor(BROWSER_ID)

        with ThreadPoolExecutor() as pool:
            telling = pool.submit(getattr(tracker, call), "ADD")
            assert slow_disk.is_written.wait(PATIENCE)
            assert not telling.done()
            slow_disk.go_on()
            assert telling.result(PATIENCE).event_id

    def test_the_call_waits_no_longer_than_the_setting_says(self, make_durable: MakeTracking, slow_disk: Disk) -> None:
        tracking = make_durable(store_timeout=0.01)

        tracking.for_visitor(BROWSER_ID).event("ADD")

        assert tracking.stats().store_timeouts == 1

    def test_in_memory_nothing_is_ever_late(self, make_tracking: MakeTracking) -> None:
        tracking = make_tracking(store_timeout=0.0)
        tracking.for_visitor(BROWSER_ID).event("ADD")
        assert (tracking.stats().store_timeouts, tracking.stats().outbox) == (0, "ok")

    def test_without_a_limit_the_call_waits_as_long_as_it_takes(
        self, make_durable: MakeTracking, slow_disk: Disk
    ) -> None:
        tracking = make_durable(store_timeout=None)
        with ThreadPoolExecutor() as pool:
            telling = pool.submit(tracking.for_visitor(BROWSER_ID).event, "ADD")
            assert slow_disk.is_written.wait(PATIENCE)
            with pytest.raises(TimeoutError):
                telling.result(0.5)  # longer than the default, and than any look whether the disk takes anything
            slow_disk.go_on()
            assert telling.result(PATIENCE).event_id
        assert tracking.stats().store_timeouts == 0


class TestWithoutLimit:
    """`store_timeout=None`: a response waits until its events are stored, or the disk takes nothing."""

    @pytest.fixture(params=["asgi", "wsgi"])
    def answer(self, request: pytest.FixtureRequest) -> Callable[[Tracking], Any]:
        def answer_asgi(tracking: Tracking) -> Any:
            return asyncio.run(call(TrackingMiddleware(telling(), tracking=tracking), returning()))[0]["status"]

        def answer_wsgi(tracking: Tracking) -> Any:
            statuses: list[str] = []

            def app(environ: Any, start_response: Any) -> list[bytes]:
                environ["passerby.tracker"].event("ADD")
                start_response("200 OK", [])
                return [b"page"]

            environ = make_environ("/", cookie_header(bid_key=BROWSER_ID))
            start: Any = lambda status, *_: statuses.append(status)  # noqa: E731 - not typed
            list(WsgiMiddleware(app, tracking)(environ, start))
            return int(statuses[0].split()[0])

        return answer_asgi if request.param == "asgi" else answer_wsgi

    def test_a_response_waits_as_long_as_it_takes(
        self, make_durable: MakeTracking, slow_disk: Disk, answer: Callable[[Tracking], Any]
    ) -> None:
        tracking = make_durable(store_timeout=None)
        with ThreadPoolExecutor() as pool:
            answering = pool.submit(answer, tracking)
            assert slow_disk.is_written.wait(PATIENCE)
            with pytest.raises(TimeoutError):
                answering.result(0.5)
            slow_disk.go_on()
            assert answering.result(PATIENCE) == 200
        assert (tracking.stats().store_timeouts, tracking.stats().unstored) == (0, 0)

    def test_a_disk_that_takes_nothing_any_more_ends_the_wait(
        self, make_durable: MakeTracking, slow_disk: Disk, answer: Callable[[Tracking], Any]
    ) -> None:
        tracking = make_durable(store_timeout=None)
        with ThreadPoolExecutor() as pool:
            answering = pool.submit(answer, tracking)
            assert slow_disk.is_written.wait(PATIENCE)
            slow_disk.fill()
            assert answering.result(PATIENCE) == 200
        assert tracking.stats().store_timeouts == 1
        assert tracking.stats().unstored == 1

    def test_the_environment_says_none(self) -> None:
        assert make_settings(read_environment({"PASSERBY_STORE_TIMEOUT": "None"})).store_timeout is None
        with pytest.raises(SettingsError, match="expected a number"):
            read_environment({"PASSERBY_BROWSER_ID_TIMEOUT": "none"})
