"""The pytest plugin: it comes with the package, sends nothing, and lets marked tests send (U50)."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from passerby import RemoteError, Sitecore, Tracking, current_tracker
from passerby.asgi import TrackingMiddleware
from passerby.collector import CollectorServer
from passerby.delivery.dry_run import dry_run_mode
from passerby.testing import CapturedEvents, dry_run
from tests.making import (
    BROWSER_ID,
    NAVIGATION,
    PATIENCE,
    by_name,
    call,
    dropped,
    eventually_async,
    make_scope,
    page,
    sent_back,
    set_cookies,
)

PUBLIC = "https://api-engage-eu.sitecorecloud.example"


def make_tracking(target_url: str = PUBLIC) -> Tracking:
    sitecore = Sitecore(client_key="key", target_url=target_url, point_of_sale="shop")
    return Tracking(sitecore, secret_key="a secret key that signs")


def test_events_are_dropped_and_counted(captured_events: CapturedEvents) -> None:
    tracking = make_tracking()
    receipt = tracking.for_visitor(BROWSER_ID).event("ADD")
    assert str(receipt.outcomes["sitecore"]) == "Dropped(reason='dry-run')"
    assert dropped(tracking) == {"dry-run": 1}
    assert tracking.stats().destinations["sitecore"].is_balanced
    assert tracking.flush(0.1) == 0
    captured_events.assert_event("ADD")


async def test_new_visitors_get_ids_without_a_network_call(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args: pytest.fail("a name was looked up"))
    before = set(threading.enumerate())
    tracking = make_tracking()
    tracking.start()
    app = TrackingMiddleware(page(), tracking=tracking)
    seen = [by_name(set_cookies(await call(app, make_scope("/", NAVIGATION))))["bid_key"] for _ in range(3)]
    assert len(set(seen)) == 3
    tracking.close(1.0)
    await eventually_async(lambda: set(threading.enumerate()) <= before)


async def test_a_log_in_is_remembered(captured_events: CapturedEvents) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/login":
            current_tracker().identify("user_1")
        current_tracker().event("SEEN")
        await page()(scope, receive, send)

    sitecore = Sitecore(client_key="key", target_url=PUBLIC, point_of_sale="shop")
    tracking = Tracking(sitecore, secret_key="a secret key that signs", identity_provider="CRM")
    tracked_app = TrackingMiddleware(app, tracking=tracking)
    came = sent_back(set_cookies(await call(tracked_app, make_scope("/login", NAVIGATION))))
    await call(tracked_app, make_scope("/", NAVIGATION | came))
    assert [event.user_id for event in captured_events.events] == ["user_1", "user_1", "user_1"]


def test_remote_calls_are_refused() -> None:
    tracking = make_tracking()
    with pytest.raises(RemoteError, match="nothing is sent in a dry run"):
        tracking.for_visitor(BROWSER_ID).guest_id_sync(PATIENCE)
    tracking.close(1.0)


def test_a_collector_of_this_process_still_gets_events(
    collector: CollectorServer, captured_events: CapturedEvents
) -> None:
    collector.accept_any_browser_id = True
    tracking = make_tracking(collector.url)
    tracking.for_visitor(BROWSER_ID).event("ADD")
    assert tracking.close(PATIENCE) == 0
    assert [event["type"] for event in collector.events] == ["ADD"]
    captured_events.assert_event("ADD")


def test_only_a_collector_of_this_process_is_not_refused(collector: CollectorServer) -> None:
    port = collector.port
    for address in (PUBLIC, "http://localhost:8600", "http://10.1.2.3", f"https://api.example.com:{port}"):
        assert dry_run_mode.blocks(address)
    for host in ("127.0.0.1", "localhost"):
        assert not dry_run_mode.blocks(f"http://{host}:{port}/v1.2/events")
    collector.stop()
    assert not dry_run_mode.blocks(collector.url), "an outage is part of the play"
    collector.close()
    assert dry_run_mode.blocks(f"http://127.0.0.1:{port}")


@pytest.mark.passerby_live
def test_a_marked_test_sends_events() -> None:
    assert not dry_run_mode.is_on
    assert not dry_run_mode.blocks(PUBLIC)
    with dry_run():
        assert dry_run_mode.blocks(PUBLIC)
    assert not dry_run_mode.is_on


def test_other_tests_do_not_send_events() -> None:
    assert dry_run_mode.is_on


TESTS = """
import pytest
from passerby import Sitecore, Tracking
from passerby.delivery.dry_run import dry_run_mode

tracking = Tracking(
    Sitecore(client_key="key", target_url="https://api.example.com", point_of_sale="shop"), secret_key="long enough"
)
was_on_at_import = dry_run_mode.is_on


def track():
    tracking.for_visitor("7b0d5b0e-1f5c-4f8e-9a52-2f1d1c7a9d10").page_view({"page": "Home"})


def test_that_passes(captured_events):
    assert was_on_at_import
    track()
    captured_events.assert_page_view("Home")


def test_that_fails(captured_events):
    track()
    captured_events.assert_page_view("Cart")


def test_that_sees_nothing_of_the_others(captured_events):
    captured_events.assert_nothing()
"""


def test_in_a_project_of_its_own(tmp_path: Path) -> None:
    """Nothing is set up: no conftest, no option."""
    (tmp_path / "test_shop.py").write_text(TESTS)
    (tmp_path / "pytest.ini").write_text("[pytest]\naddopts = --strict-markers -W error\n")
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:randomly"],
        cwd=tmp_path,
        env=os.environ | {"PYTEST_ADDOPTS": ""},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "2 passed" in run.stdout
    assert "1 failed" in run.stdout
    assert "expected one page view with page='Cart', found none. Captured events:" in run.stdout
    assert "page view Home  page='Home'" in run.stdout
    assert "not delivered" not in run.stderr


def test_a_nested_run_leaves_the_dry_run_on(tmp_path: Path) -> None:
    (tmp_path / "test_inner.py").write_text("def test_inner(): pass\n")
    assert pytest.main(["-q", "-p", "no:cacheprovider", "-p", "no:randomly", "-c", os.devnull, str(tmp_path)]) == 0
    assert dry_run_mode.is_on
