"""Database transactions: what is told in one counts once it is committed (U25)."""

from __future__ import annotations

import gc
import logging
import threading
import unittest
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest
from django.db import connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.http import HttpResponse
from django.test import TestCase, override_settings

from passerby import Delivered, Dropped, Pending, Sitecore, Sites, Tracker, Tracking
from passerby.client.receipt import QueueReceipt
from passerby.collector import CollectorServer
from passerby.delivery import Delivery
from passerby.django import TrackedRequest, get_tracking
from passerby.outbox.outbox import Outbox
from passerby.testing import CapturedEvents, capture_events
from tests.making import BROWSER_ID, PATIENCE, dropped, eventually

from .browser import Browser
from .conftest import MakeProject

UID = "bid_key_uid"


class OrderError(Exception):
    """What a shop may not do."""


@pytest.fixture
def tracking(make_project: MakeProject) -> Tracking:
    """Of a project that tells on commit."""
    return make_project(on_commit=True)


@pytest.fixture
def tracker(tracking: Tracking) -> Tracker:
    """Of some visitor, outside of any request: transactions do not know of those."""
    return tracking.for_visitor(BROWSER_ID)


def delivered(tracking: Tracking, collector: CollectorServer) -> list[str]:
    """The types of the events that have arrived, once nothing waits any more."""
    assert tracking.flush(PATIENCE) == 0
    return [event["type"] for event in collector.events]


@contextmanager
def rolled_back(**options: Any) -> Iterator[None]:
    """A transaction, or a part of one, that fails."""
    with suppress(OrderError), transaction.atomic(**options):
        yield
        raise OrderError


class TestCommit:
    def test_events_are_recorded_on_commit_in_their_order(
        self, tracking: Tracking, tracker: Tracker, collector: CollectorServer
    ) -> None:
        with transaction.atomic():
            receipts = [tracker.page_view(), tracker.event("ADD"), tracker.event("CONFIRM")]
            assert [dict(receipt.outcomes) for receipt in receipts] == [{"sitecore": Pending()}] * 3
            assert tracking.stats().destinations["sitecore"].recorded == 0
        assert tracking.stats().destinations["sitecore"].recorded == 3
        assert delivered(tracking, collector) == ["VIEW", "ADD", "CONFIRM"]
        assert all(isinstance(receipt.outcomes["sitecore"], Delivered) for receipt in receipts)

    def test_the_time_is_that_of_the_call(
        self, tracking: Tracking, tracker: Tracker, captured_events: CapturedEvents
    ) -> None:
        with transaction.atomic():
            tracker.event("ADD")
            (event,) = captured_events.events
            told_at = event.timestamp
        assert captured_events.events == [event]
        assert event.timestamp == told_at

    def test_in_savepoints(self, tracking: Tracking, tracker: Tracker, collector: CollectorServer) -> None:
        with transaction.atomic():
            tracker.event("A")
            with transaction.atomic():
                tracker.event("B")
            tracker.event("C")
            assert tracking.stats().destinations["sitecore"].recorded == 0, "a savepoint is no commit"
        assert delivered(tracking, collector) == ["A", "B", "C"]

    def test_outside_of_any_transaction_events_go_at_once(
        self, tracking: Tracking, tracker: Tracker, collector: CollectorServer
    ) -> None:
        tracker.event("BEFORE")
        with transaction.atomic():
            tracker.event("WITHIN")
        tracker.event("AFTER")
        assert delivered(tracking, collector) == ["BEFORE", "WITHIN", "AFTER"]

    def test_without_autocommit_events_go_at_once(
        self, tracking: Tracking, tracker: Tracker, collector: CollectorServer
    ) -> None:
        """Django knows of no commit there."""
        transaction.set_autocommit(False)
        try:
            tracker.event("ADD")
        finally:
            transaction.rollback()
            transaction.set_autocommit(True)
        assert delivered(tracking, collector) == ["ADD"]


class TestRollback:
    def test_events_are_dropped_and_counted(
        self, tracking: Tracking, tracker: Tracker, collector: CollectorServer
    ) -> None:
        with rolled_back():
            receipts = [tracker.page_view(), tracker.event("ADD")]
        assert [dict(receipt.outcomes) for receipt in receipts] == [{"sitecore": Dropped("rollback")}] * 2
        assert receipts[0].wait_delivered(0) == {"sitecore": Dropped("rollback")}
        assert dropped(tracking) == {"rollback": 2}
        assert delivered(tracking, collector) == []

    def test_without_an_exception(self, tracking: Tracking, tracker: Tracker) -> None:
        with transaction.atomic():
            receipt = tracker.event("ADD")
            transaction.set_rollback(True)
        assert receipt.outcomes == {"sitecore": Dropped("rollback")}

    def test_of_a_savepoint(self, tracking: Tracking, tracker: Tracker, collector: CollectorServer) -> None:
        with transaction.atomic():
            tracker.event("BEFORE")
            with rolled_back():
                receipt = tracker.event("WITHIN")
                with transaction.atomic():
                    tracker.event("DEEPER")
            assert receipt.outcomes == {"sitecore": Dropped("rollback")}
            tracker.event("AFTER")
        assert delivered(tracking, collector) == ["BEFORE", "AFTER"]
        assert dropped(tracking) == {"rollback": 2}

    def test_of_the_whole_with_its_savepoints(
        self, tracking: Tracking, tracker: Tracker, collector: CollectorServer
    ) -> None:
        with rolled_back():
            tracker.event("BEFORE")
            with transaction.atomic():
                tracker.event("WITHIN")
            tracker.event("AFTER")
        assert delivered(tracking, collector) == []
        assert dropped(tracking) == {"rollback": 3}

    def test_of_a_part_that_has_no_savepoint(
        self, tracking: Tracking, tracker: Tracker, collector: CollectorServer
    ) -> None:
        """It takes the whole with it."""
        with transaction.atomic():
            tracker.event("BEFORE")
            with rolled_back(savepoint=False):
                tracker.event("WITHIN")
            tracker.event("AFTER")
        assert delivered(tracking, collector) == []
        assert dropped(tracking) == {"rollback": 3}

    def test_of_a_connection_that_is_lost(self, tracking: Tracking, tracker: Tracker) -> None:
        with rolled_back():
            tracker.event("ADD")
            BaseDatabaseWrapper.close(connections["default"])  # not SQLite's own, which keeps what is in memory
        assert dropped(tracking) == {"rollback": 1}

    def test_of_a_connection_that_is_left_behind(self, tracking: Tracking, tracker: Tracker) -> None:
        """A thread ends in the midst of a transaction."""

        def begin() -> None:
            transaction.atomic().__enter__()
            tracker.event("ADD")
            connection: Any = connections["default"].connection
            connection.close()

        thread = threading.Thread(target=begin)
        thread.start()
        thread.join()

        def is_dropped() -> bool:
            gc.collect()
            return dropped(tracking) == {"rollback": 1}

        eventually(is_dropped)  # what a thread leaves behind may be in the hands of another
        assert tracking.stats().destinations["sitecore"].is_balanced

    def test_it_is_told_of_it(self, tracking: Tracking, tracker: Tracker, captured_events: CapturedEvents) -> None:
        with transaction.atomic():
            tracker.event("BEFORE")
            with rolled_back():
                tracker.event("WITHIN")
                captured_events.assert_summary("BEFORE", "WITHIN")
        captured_events.assert_summary("BEFORE")
        captured_events.assert_refused("rollback")


class TestSettings:
    @pytest.mark.parametrize("on_commit", [False, None])
    def test_off(self, make_project: MakeProject, collector: CollectorServer, on_commit: bool | None) -> None:
        tracking = make_project(on_commit=on_commit)
        with rolled_back():
            tracking.for_visitor(BROWSER_ID).event("ADD")
        assert delivered(tracking, collector) == ["ADD"]

    def test_another_database(self, make_project: MakeProject, collector: CollectorServer) -> None:
        tracking = make_project(on_commit=True, using="other")
        tracker = tracking.for_visitor(BROWSER_ID)
        with rolled_back(using="other"):
            tracker.event("OTHER")
        with rolled_back():
            tracker.event("DEFAULT")
        assert delivered(tracking, collector) == ["DEFAULT"]
        assert dropped(tracking) == {"rollback": 1}

    def test_several_sites(self, make_project: MakeProject, collector: CollectorServer) -> None:
        """Also those that are made later."""

        def make(name: str) -> Tracking:
            return Tracking(Sitecore(client_key=name, target_url=collector.url, point_of_sale=name))

        def order(request: TrackedRequest) -> HttpResponse:
            with transaction.atomic():
                request.tracker.event("ORDER")
            with rolled_back():
                request.tracker.event("FAILED")
            return HttpResponse()

        make_project(order)
        sites = Sites(lambda request: "one", make)
        with override_settings(PASSERBY={"tracking": sites, "on_commit": True}):
            assert Browser("wsgi").get().status == 200
        assert delivered(sites["one"], collector) == ["ORDER"]
        assert dropped(sites["one"]) == {"rollback": 1}
        sites.close()


class TestQueue:
    """Events that are held until they are let go of."""

    def test_committed(self, tracking: Tracking, tracker: Tracker, collector: CollectorServer) -> None:
        with transaction.atomic():
            tracker.add_to_event_queue("FIRST")
            tracker.add_to_event_queue("SECOND")
            tracker.process_event_queue()
            tracker.event("LAST")
        assert delivered(tracking, collector) == ["FIRST", "SECOND", "LAST"]

    def test_rolled_back(self, tracking: Tracking, tracker: Tracker, collector: CollectorServer) -> None:
        """What was held before is held on."""
        receipts: list[QueueReceipt] = []
        tracker.add_to_event_queue("BEFORE")
        for act in (tracker.process_event_queue, tracker.clear_event_queue):
            with rolled_back():
                tracker.add_to_event_queue("WITHIN")
                receipts.append(act())
                assert receipts[-1].count is None
        assert [receipt.count for receipt in receipts] == [0, 0]
        assert tracking.stats().destinations["sitecore"].held == 1
        assert dropped(tracking) == {"rollback": 2}
        assert tracker.process_event_queue().wait_stored(PATIENCE) == 1
        assert delivered(tracking, collector) == ["BEFORE"]

    def test_cleared(self, tracking: Tracking, tracker: Tracker, collector: CollectorServer) -> None:
        tracker.add_to_event_queue("BEFORE")
        with transaction.atomic():
            tracker.clear_event_queue()
            tracker.add_to_event_queue("AFTER")
            assert tracking.stats().destinations["sitecore"].held == 1
        assert dropped(tracking) == {"cleared": 1}
        tracker.process_event_queue()
        assert delivered(tracking, collector) == ["AFTER"]


class TestFaults:
    """U39: what fails inside is ours alone."""

    @pytest.mark.parametrize(
        ("owner", "name", "use"),
        [
            (Delivery, "record", lambda tracker: tracker.event("ADD")),
            (Outbox, "ask", lambda tracker: tracker.process_event_queue()),
        ],
    )
    def test_the_apps_own_callbacks_are_called(
        self,
        tracker: Tracker,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
        owner: type,
        name: str,
        use: Callable[[Tracker], object],
    ) -> None:
        def fail(*args: Any, **options: Any) -> Any:
            raise RuntimeError("injected")

        called: list[str] = []
        monkeypatch.setattr(owner, name, fail)
        with caplog.at_level(logging.ERROR), transaction.atomic():
            transaction.on_commit(lambda: called.append("before"))
            use(tracker)
            transaction.on_commit(lambda: called.append("after"))
        assert called == ["before", "after"]
        assert "injected" in caplog.text

    def test_an_event_that_cannot_be_recorded_is_counted(
        self,
        tracking: Tracking,
        tracker: Tracker,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        def fail(*args: Any, **options: Any) -> Any:
            raise RuntimeError("injected")

        monkeypatch.setattr(Delivery, "record", fail)
        with caplog.at_level(logging.ERROR), transaction.atomic():
            receipt = tracker.event("ADD")
        assert receipt.outcomes == {"sitecore": Dropped("internal")}
        assert dropped(tracking) == {"internal": 1}

    def test_a_rollback_that_cannot_be_counted(
        self, tracker: Tracker, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        def fail(*args: Any, **options: Any) -> Any:
            raise RuntimeError("injected")

        monkeypatch.setattr(Outbox, "drop", fail)
        with caplog.at_level(logging.ERROR), rolled_back():
            tracker.event("ADD")
        assert "cannot undo the events" in caplog.text

    def test_a_callback_of_the_apps_own_fails(
        self, tracking: Tracking, tracker: Tracker, collector: CollectorServer
    ) -> None:
        """Django calls none of those that were given to it later."""

        def fail() -> None:
            raise OrderError

        with suppress(OrderError), transaction.atomic():
            tracker.event("BEFORE")
            transaction.on_commit(fail)
            tracker.event("BEHIND")
        gc.collect()
        assert delivered(tracking, collector) == ["BEFORE"]
        assert dropped(tracking) == {"rollback": 1}


class TestRequest:
    def test_atomic_requests_wait_by_default(
        self, atomic_requests: None, make_project: MakeProject, collector: CollectorServer
    ) -> None:
        tracking = make_project(buy, fail_to_buy, look)
        browser = Browser("wsgi")
        assert browser.get().text == "0"
        assert browser.get("/fail_to_buy").status == 500
        assert browser.get("/look").text == "3"
        assert delivered(tracking, collector) == ["BUY", "LOOK"]
        assert dropped(tracking) == {"rollback": 1}

    @pytest.mark.parametrize("view", ["buy", "fail_to_buy"])
    def test_atomic_requests_do_not_wait_if_that_is_not_wanted(
        self, atomic_requests: None, make_project: MakeProject, collector: CollectorServer, view: str
    ) -> None:
        tracking = make_project(buy, fail_to_buy, on_commit=False)
        Browser("wsgi").get(f"/{view}")
        assert delivered(tracking, collector) == ["BUY"]

    def test_in_the_thread_of_a_sync_view(
        self, make_project: MakeProject, browser: Browser, collector: CollectorServer
    ) -> None:
        """Under ASGI the middleware's thread knows nothing of the view's transaction."""

        def order(request: TrackedRequest) -> HttpResponse:
            with transaction.atomic():
                request.tracker.event("ORDER")
            with rolled_back():
                request.tracker.event("FAILED")
            return HttpResponse()

        tracking = make_project(order, on_commit=True, auto_page_views=True)
        assert browser.get().status == 200
        assert delivered(tracking, collector) == ["ORDER", "VIEW"]
        assert dropped(tracking) == {"rollback": 1}


def buy(request: TrackedRequest) -> HttpResponse:
    request.tracker.event("BUY")
    return HttpResponse(recorded())


def fail_to_buy(request: TrackedRequest) -> HttpResponse:
    request.tracker.event("BUY")
    raise OrderError


@transaction.non_atomic_requests
def look(request: TrackedRequest) -> HttpResponse:
    request.tracker.event("LOOK")
    return HttpResponse(recorded())


def recorded() -> int:
    tracking = get_tracking()
    assert isinstance(tracking, Tracking)
    return tracking.stats().destinations["sitecore"].recorded


class TestIdentity:
    """What a visitor is in a transaction they were never, if that fails."""

    def test_committed(self, make_project: MakeProject, browser: Browser, collector: CollectorServer) -> None:
        def log_in(request: TrackedRequest) -> HttpResponse:
            with transaction.atomic():
                request.tracker.identify("user_1")
            return who(request)

        tracking = make_project(log_in, who, on_commit=True)
        answer = browser.get()
        assert (answer.text, UID in answer.cookies) == ("user_1", True)
        assert browser.get("/who").text == "user_1"
        assert delivered(tracking, collector) == ["IDENTITY"]

    def test_rolled_back(self, make_project: MakeProject, browser: Browser, collector: CollectorServer) -> None:
        def log_in(request: TrackedRequest) -> HttpResponse:
            with rolled_back():
                request.tracker.identify("user_1")
                assert request.tracker.user_id == "user_1"
            return who(request)

        tracking = make_project(log_in, who, on_commit=True)
        answer = browser.get()
        assert (answer.text, UID in answer.cookies) == ("None", False)
        assert browser.get("/who").text == "None"
        assert delivered(tracking, collector) == []
        assert dropped(tracking) == {"rollback": 1}

    def test_of_a_failing_request(
        self, atomic_requests: None, make_project: MakeProject, collector: CollectorServer
    ) -> None:
        def log_in(request: TrackedRequest) -> HttpResponse:
            request.tracker.identify(request.GET["user"])
            if "fail" in request.GET:
                raise OrderError
            return who(request)

        tracking = make_project(log_in, who)
        browser = Browser("wsgi")
        assert UID not in browser.get("/log_in?user=user_1&fail").cookies
        assert browser.get("/who").text == "None"
        assert UID in browser.get("/log_in?user=user_1").cookies
        assert UID not in browser.get("/log_in?user=user_2&fail").cookies
        assert browser.get("/who").text == "user_1"
        assert delivered(tracking, collector) == ["IDENTITY"]

    def test_what_was_before_comes_back(self, make_project: MakeProject, browser: Browser) -> None:
        said: list[str | None] = []

        def view(request: TrackedRequest) -> HttpResponse:
            tracker = request.tracker
            with transaction.atomic():
                tracker.identify("user_1")
                with rolled_back():
                    tracker.identify("user_2")
                    tracker.identify("user_3")
                said.append(tracker.user_id)
                with rolled_back():
                    tracker.identify("user_4")
                tracker.identify("user_5")
                with transaction.atomic():
                    tracker.identify("user_6")
                said.append(tracker.user_id)
            with rolled_back():
                tracker.identify("user_7")
                with transaction.atomic():
                    tracker.identify("user_8")
            said.append(tracker.user_id)
            return HttpResponse()

        make_project(view, who, on_commit=True, on_user_change="link")
        browser.get()
        assert said == ["user_1", "user_6", "user_6"]
        assert browser.get("/who").text == "user_6"

    def test_a_new_browser_id_is_taken_back_with_the_identity(
        self, make_project: MakeProject, browser: Browser
    ) -> None:
        """Another person's log-in that failed leaves the browser to whom it belongs."""
        said: list[tuple[str | None, str | None]] = []

        def view(request: TrackedRequest) -> HttpResponse:
            tracker = request.tracker
            tracker.identify("user_1")
            said.append((tracker.browser_id, tracker.user_id))
            with rolled_back():
                tracker.identify("user_2")
                said.append((tracker.browser_id, tracker.user_id))
            said.append((tracker.browser_id, tracker.user_id))
            return HttpResponse()

        tracking = make_project(view, who, on_commit=True)
        browser.get("/who")
        eventually(lambda: tracking.stats().browser_ids.ready)  # type: ignore[union-attr]
        browser.get()
        assert said[0] == said[2] == (browser.cookies["bid_key"].value, "user_1")
        assert said[1][1] == "user_2"
        assert said[1][0] not in (None, said[0][0])
        assert browser.get("/who").text == "user_1"

    def test_told_again_once_it_failed(self, tracking: Tracking, tracker: Tracker, collector: CollectorServer) -> None:
        """What never arrived is not unchanged."""
        with rolled_back():
            tracker.identify("user_1", {"email": "ada@shop.example"})
        with transaction.atomic():
            tracker.identify("user_1", {"email": "ada@shop.example"})
        assert delivered(tracking, collector) == ["IDENTITY"]


def who(request: TrackedRequest) -> HttpResponse:
    return HttpResponse(str(request.tracker.user_id))


class TestTestCase:
    """A test of Django's runs in a transaction that is never committed."""

    def test_what_is_told_is_seen_at_once(self, make_project: MakeProject) -> None:
        class ShopTest(TestCase):
            def test_buying(self) -> None:
                with capture_events() as told:
                    self.client.get("/buy")
                    told.assert_summary("BUY")

            def test_failing(self) -> None:
                with capture_events() as told, rolled_back():
                    self.client.get("/buy")
                told.assert_nothing()
                told.assert_refused("rollback")

        tracking = make_project(buy, on_commit=True)
        run(ShopTest)
        assert dropped(tracking) == {"rollback": 2}

    def test_what_is_told_is_recorded_where_commits_are_captured(
        self, make_project: MakeProject, collector: CollectorServer
    ) -> None:
        class ShopTest(TestCase):
            def test_buying(self) -> None:
                with self.captureOnCommitCallbacks(execute=True) as callbacks:
                    self.client.get("/buy")
                assert len(callbacks) == 1

        tracking = make_project(buy, on_commit=True)
        run(ShopTest)
        assert delivered(tracking, collector) == ["BUY"]
        assert dropped(tracking) == {}, "it does not count as rolled back, too, when the test ends"


def run(case: type[TestCase]) -> None:
    """Run a test case as Django's runner does."""
    result = unittest.TestResult()
    unittest.defaultTestLoader.loadTestsFromTestCase(case).run(result)
    assert result.testsRun
    assert result.wasSuccessful(), "".join(text for _, text in result.failures + result.errors)
