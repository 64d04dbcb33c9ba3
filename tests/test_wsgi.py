"""The WSGI middleware: what is its own, beside the behaviour that all faces share (tests/faces)."""

from __future__ import annotations

import gc
import logging
import weakref
from collections.abc import Callable, Iterable, Iterator
from io import BytesIO
from typing import Any
from wsgiref.util import FileWrapper
from wsgiref.validate import validator

import pytest

from passerby import Tracker, Tracking, current_tracker
from passerby.collector import CollectorServer
from passerby.http.request import TRACKER_KEY
from passerby.testing import CapturedEvents
from passerby.wsgi import TrackingMiddleware
from tests.making import (
    BROWSER_ID,
    NAVIGATION,
    PATIENCE,
    MakeTracking,
    by_name,
    cookie_header,
    eventually,
    make_environ,
    sent_back,
    value_of,
)

BID = "bid_key"

App = Callable[[dict[str, Any], Any], Iterable[bytes]]


class Served:
    """What a server got for one request: status, headers, and the iterable, not yet asked for anything."""

    def __init__(self, app: App, environ: dict[str, Any]) -> None:
        self.started: list[tuple[Any, ...]] = []
        self.written: list[bytes] = []
        self.body: Any = app(environ, self._start)

    def _start(self, *said: Any) -> Callable[[bytes], None]:
        self.started.append(said)
        return self.written.append

    @property
    def cookies(self) -> list[str]:
        return [value for name, value in self.started[-1][1] if name.lower() == "set-cookie"]

    def read(self) -> bytes:
        """Read and close the body, and let go of it, as a server does in the end."""
        body, self.body = self.body, None
        try:
            return b"".join(self.written) + b"".join(body)
        finally:
            if hasattr(body, "close"):
                body.close()


@pytest.fixture
def tracking(make_tracking: MakeTracking) -> Tracking:
    return make_tracking()


@pytest.fixture(autouse=True)
def nobody_is_left_behind() -> Iterator[None]:
    """Once a test has let go of its responses there is no current tracker."""
    yield
    gc.collect()
    with pytest.raises(LookupError):
        current_tracker()


def answering(body: Iterable[bytes], *headers: tuple[str, str]) -> App:
    """An app that tells nothing."""

    def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        start_response("200 OK", [("Content-Type", "text/html"), *headers])
        return body

    return app


def serve(app: App, tracking: Tracking, headers: dict[str, str] | None = None, path: str = "/") -> Served:
    return Served(TrackingMiddleware(app, tracking), make_environ(path, NAVIGATION | (headers or {})))


class Body:
    """An iterable of the app's own, with a `close`."""

    def __init__(self, *pieces: bytes) -> None:
        self.pieces = pieces
        self.is_closed = False

    def __iter__(self) -> Iterator[bytes]:
        return iter(self.pieces)

    def close(self) -> None:
        self.is_closed = True


class TestBody:
    """U30: the server sees the app's iterable as it is."""

    @pytest.mark.parametrize(
        "make_body",
        [
            lambda: [b"a", b"b"],
            lambda: (b"a", b"b"),
            lambda: Body(b"a", b"b"),
            lambda: FileWrapper(BytesIO(b"ab")),
            lambda: iter([b"ab"]),
        ],
        ids=["list", "tuple", "own", "file", "iterator"],
    )
    def test_it_is_the_very_same_object(self, tracking: Tracking, make_body: Callable[[], Iterable[bytes]]) -> None:
        body = make_body()
        served = serve(answering(body), tracking)
        assert served.body is body
        assert BID in by_name(served.cookies)
        assert served.read() == b"ab"

    def test_it_is_closed_by_the_server_and_nobody_else(self, tracking: Tracking) -> None:
        body = Body(b"a")
        served = serve(answering(body), tracking)
        assert not body.is_closed
        served.read()
        assert body.is_closed

    def test_the_old_way_of_writing(self, tracking: Tracking) -> None:
        def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
            write = start_response("200 OK", [("Content-Type", "text/plain")])
            write(b"written, ")
            return [b"and returned"]

        assert serve(app, tracking).read() == b"written, and returned"

    def test_it_is_not_kept_alive(self, tracking: Tracking) -> None:
        """Also where the environ, which the tracker knows during the request, leads to it: the next request ends it."""

        def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
            start_response("200 OK", [])
            environ["app.body"] = body = Body(b"a")
            bodies.append(weakref.ref(body))
            return body

        bodies: list[weakref.ref[Body]] = []
        for _ in range(10):
            serve(app, tracking).read()
        serve(answering([b""]), tracking).read()
        gc.collect()
        assert [body() for body in bodies] == [None] * 10


class TestStart:
    def test_an_error_after_the_start_may_start_again(
        self, tracking: Tracking, captured_events: CapturedEvents
    ) -> None:
        def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
            start_response("200 OK", [("Content-Type", "text/html")])
            try:
                raise KeyError("the app's own")
            except KeyError as error:
                start_response("500 Oh", [("X-Error", "yes")], (type(error), error, error.__traceback__))
            return [b"sorry"]

        served = serve(app, tracking)
        (first, second) = served.started
        assert (first[0], len(first)) == ("200 OK", 2)
        assert (second[0], second[1][0], second[2][0]) == ("500 Oh", ("X-Error", "yes"), KeyError)
        assert list(by_name(served.cookies)) == [BID, "bid_key_sig"]

    def test_the_apps_own_list_of_headers_is_not_touched(self, tracking: Tracking) -> None:
        headers = [("Content-Type", "text/html"), ("Set-Cookie", "session=1")]

        def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
            start_response("200 OK", headers)
            return []

        served = serve(app, tracking)
        assert headers == [("Content-Type", "text/html"), ("Set-Cookie", "session=1")]
        assert list(by_name(served.cookies)) == ["session", BID, "bid_key_sig"]

    def test_a_generator_that_starts_when_it_is_asked_for_its_first_piece(self, tracking: Tracking) -> None:
        def app(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
            start_response("200 OK", [("Content-Type", "text/plain")])
            yield (current_tracker().browser_id or "").encode()

        served = serve(app, tracking)
        assert served.started == []
        assert next(served.body).decode() == value_of(by_name(served.cookies)[BID])
        assert by_name(served.cookies)[BID].endswith("; Secure"), "the scheme is known to the end"

    def test_the_rules_of_wsgi_are_kept(self, tracking: Tracking) -> None:
        app = validator(TrackingMiddleware(validator(answering([b"ok"], ("Content-Length", "2"))), tracking))
        environ = make_environ("/", NAVIGATION) | {"wsgi.input": BytesIO(), "wsgi.errors": logging.lastResort.stream}  # type: ignore[union-attr]
        environ |= {"wsgi.version": (1, 0), "wsgi.multithread": True, "wsgi.multiprocess": True, "wsgi.run_once": False}
        assert Served(app, environ).read() == b"ok"


class TestTracker:
    def test_it_is_in_the_environ_and_current(self, tracking: Tracking) -> None:
        seen: list[Tracker] = []

        def app(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
            start_response("200 OK", [])
            seen.extend((environ["passerby.tracker"], current_tracker()))
            yield b"one"
            seen.append(current_tracker())

        assert serve(app, tracking).read() == b"one"
        assert len(set(map(id, seen))) == 1

    def test_it_is_current_until_the_server_lets_go_of_the_body(self, tracking: Tracking) -> None:
        served = serve(answering(Body(b"a")), tracking)
        assert isinstance(current_tracker(), Tracker)
        served.read()
        with pytest.raises(LookupError):
            current_tracker()

    @pytest.mark.parametrize("body", [[b"a"], (b"a",)], ids=["list", "tuple"])
    def test_a_body_that_is_all_there_is_over_at_once(self, tracking: Tracking, body: Iterable[bytes]) -> None:
        served = serve(answering(body), tracking)
        with pytest.raises(LookupError):
            current_tracker()
        assert served.read() == b"a"

    def test_an_exception_ends_the_request(self, tracking: Tracking) -> None:
        error = RuntimeError("the app's own")

        def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
            raise error

        with pytest.raises(RuntimeError) as caught:
            serve(app, tracking)
        assert caught.value is error
        with pytest.raises(LookupError):
            current_tracker()
        assert tracking.stats().browser_ids.assigned == 0  # type: ignore[union-attr]

    @pytest.mark.parametrize("make_body", [lambda: [b"a"], lambda: Body(b"a")], ids=["list", "own"])
    def test_an_id_that_nobody_has_seen_goes_back_at_the_end(
        self, tracking: Tracking, make_body: Callable[[], Iterable[bytes]]
    ) -> None:
        served = serve(answering(make_body(), ("Cache-Control", "public, max-age=60")), tracking)
        assert served.cookies == []
        served.read()
        counts = tracking.stats().browser_ids
        assert counts is not None
        assert (counts.assigned, counts.returned) == (0, 1)

    def test_installed_twice_it_acts_once(self, tracking: Tracking, captured_events: CapturedEvents) -> None:
        """U36."""

        def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
            environ[TRACKER_KEY].page_view({"page": "Home"})
            start_response("200 OK", [])
            return [b""]

        served = serve(TrackingMiddleware(app, tracking), tracking)
        assert list(by_name(served.cookies)) == [BID, "bid_key_sig"]
        captured_events.assert_summary("page view Home")

    def test_the_server_object_in_front_has_the_same_tracker(
        self, tracking: Tracking, collector: CollectorServer
    ) -> None:
        inner = TrackingMiddleware(answering([b""]), tracking)

        def in_front(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
            tracking.page_view({"page": "in front"}, environ)
            return inner(environ, start_response)

        served = Served(in_front, make_environ("/", NAVIGATION))
        assert tracking.flush(PATIENCE) == 0
        (event,) = collector.events
        assert (event["page"], event["browser_id"]) == ("in front", value_of(by_name(served.cookies)[BID]))

    def test_a_new_visitor_waits_for_an_id_and_a_returning_one_does_not(
        self, make_tracking: MakeTracking, collector: CollectorServer
    ) -> None:
        collector.fail("create", times=10, delay=0.05, status=None)
        tracking = make_tracking(browser_id_timeout=PATIENCE, browser_id_pool_size=0)
        assert BID in by_name(serve(answering([b""]), tracking).cookies)
        served = serve(answering([b""]), tracking, sent_back(serve(answering([b""]), tracking).cookies))
        assert served.cookies == []

    def test_no_id_in_time_no_cookie(self, make_tracking: MakeTracking, collector: CollectorServer) -> None:
        collector.fail("create", times=10, delay=2.0, status=None)
        tracking = make_tracking(browser_id_timeout=0.01)

        def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
            environ[TRACKER_KEY].page_view()
            start_response("200 OK", [])
            return [b""]

        assert serve(app, tracking).cookies == []
        eventually(lambda: tracking.stats().destinations["sitecore"].delivered == 1)
        assert tracking.stats().destinations["sitecore"].unlinked == 1


class TestFaults:
    """U39."""

    @pytest.mark.parametrize(
        "step", ["Policy.decide", "SessionReader.read", "SessionReader.cookies", "Client.assign", "Client.capture"]
    )
    def test_a_step_fails(
        self,
        make_tracking: MakeTracking,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
        step: str,
    ) -> None:
        def fail(*args: Any, **options: Any) -> Any:
            raise RuntimeError("injected")

        def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
            current_tracker().page_view()
            start_response("201 Created", [("X-App", "yes")])
            return [b"a page"]

        places = {
            "Policy": "passerby.http.policy",
            "SessionReader": "passerby.http.session_reader",
            "Client": "passerby.client.client",
        }
        monkeypatch.setattr(f"{places[step.partition('.')[0]]}.{step}", fail)
        for came in ({}, cookie_header(bid_key=BROWSER_ID)):
            served = serve(app, make_tracking(browser_id_timeout=0.01), came)
            assert served.started[0][:1] == ("201 Created",)
            assert served.started[0][1][0] == ("X-App", "yes")
            assert served.read() == b"a page"
        assert "injected" in caplog.text
