"""Waiting until all is sent: as long as that may happen in time, and no longer; and what exit loses."""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from passerby import CustomerIO, Dropped, Sitecore, Tracking
from passerby.asgi import TrackingMiddleware
from passerby.collector import CollectorServer, ScriptedResponse
from passerby.delivery.sender import RetryPlan
from tests.making import PATIENCE, eventually

from .conftest import MakeTracking
from .doubles import Plain, assert_ledger, new_id, page_request

# Nothing is due within ALLOWED: whoever waits in vain does so for minutes, and no machine stands still for as long.
LONG = 3600.0  # seconds; with the jitter below an attempt is put off by 1,800 seconds, and the breaker open for more
ALLOWED = 600.0  # seconds, which is not long enough
SOON = 90.0  # seconds; a few milliseconds are expected


@pytest.fixture(autouse=True)
def all_is_put_off_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """No breaker closes sooner than `LONG` says, and no attempt happens to fall within what is allowed."""
    monkeypatch.setattr("passerby.outbox.service.LONGEST", LONG)
    monkeypatch.setattr("passerby.client.parts.RetryPlan", partial(RetryPlan, jitter=lambda: 0.5))


@pytest.fixture
def refusing() -> Iterator[str]:
    """An address at which nobody listens."""
    with closing(socket.socket()) as nobody:
        nobody.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{nobody.getsockname()[1]}"


def _flush(tracking: Tracking, timeout: float) -> int:
    return tracking.flush(timeout)


def _aflush(tracking: Tracking, timeout: float) -> int:
    return asyncio.run(tracking.aflush(timeout))


def _close(tracking: Tracking, timeout: float) -> int:
    return tracking.close(timeout)


def _aclose(tracking: Tracking, timeout: float) -> int:
    return asyncio.run(tracking.aclose(timeout))


WAITS: list[Any] = [_flush, _aflush, _close, _aclose]
Wait = Callable[[Tracking, float], int]


def told(tracking: Tracking, number: int = 6) -> None:
    for _ in range(number):
        tracking.for_visitor(new_id()).event("STEP")


def is_open(tracking: Tracking) -> bool:
    return any(ledger.breaker == "open" for ledger in tracking.stats().destinations.values())


def no_longer_than(limit: float, action: Callable[[], Any]) -> Any:
    begun = time.monotonic()
    result = action()
    assert time.monotonic() - begun < limit
    return result


@pytest.mark.parametrize("wait", WAITS)
def test_nobody_waits_while_the_breaker_is_open_for_longer(
    make_tracking: MakeTracking, refusing: str, wait: Wait
) -> None:
    tracking = make_tracking(refusing, retry_base=LONG, retry_cap=LONG)
    told(tracking)
    eventually(lambda: is_open(tracking))

    assert no_longer_than(SOON, lambda: wait(tracking, ALLOWED)) == 6


@pytest.mark.parametrize("after", ["1200", "1500", "3600"])
@pytest.mark.parametrize("wait", WAITS)
def test_nobody_waits_while_the_service_wants_to_be_left_alone_for_longer(
    make_tracking: MakeTracking, collector: CollectorServer, wait: Wait, after: str
) -> None:
    collector.script("events", [ScriptedResponse(status=429, headers={"Retry-After": after})])
    tracking = make_tracking(collector.url)
    told(tracking, 1)
    eventually(lambda: tracking.stats().destinations["sitecore"].retries)

    assert no_longer_than(SOON, lambda: wait(tracking, ALLOWED)) == 1


def test_one_attempt_that_is_put_off_beyond_the_deadline_ends_the_wait_in_its_midst(
    make_tracking: MakeTracking, refusing: str
) -> None:
    tracking = make_tracking(refusing, retry_base=LONG, retry_cap=LONG)
    tracking._delivery.start()
    told(tracking)

    assert no_longer_than(SOON, lambda: tracking.flush(ALLOWED)) == 6


def test_what_can_be_tried_in_time_is_waited_for(make_tracking: MakeTracking, collector: CollectorServer) -> None:
    collector.script(
        "events", [ScriptedResponse(status=503, headers={"Retry-After": "1"}), ScriptedResponse(status=None)]
    )
    tracking = make_tracking(collector.url)
    told(tracking, 20)

    assert tracking.flush(PATIENCE) == 0
    assert_ledger(tracking.stats().destinations["sitecore"], delivered=20)


def test_another_destination_that_can_be_tried_is_waited_for(
    make_tracking: MakeTracking, collector: CollectorServer, refusing: str
) -> None:
    dead, good = Plain("dead", refusing), Plain("good", collector.url)
    tracking = make_tracking(dead, good, retry_base=LONG, retry_cap=LONG)
    told(tracking, 200)

    assert no_longer_than(SOON, lambda: tracking.flush(ALLOWED)) == 200
    assert_ledger(tracking.stats().destinations["good"], delivered=200)


def test_nobody_waits_for_browser_ids_that_cannot_be_had_in_time(make_tracking: MakeTracking, refusing: str) -> None:
    """The events' own destination may be well; what they lack is the ID."""
    tracking = make_tracking(refusing, retry_base=LONG, retry_cap=LONG, browser_id_timeout=0.0)
    for _ in range(6):
        tracking.tracker_for(page_request()).event("STEP")
    eventually(lambda: tracking._client.browser_ids._fetcher.breaker.is_open)

    assert no_longer_than(SOON, lambda: tracking.flush(ALLOWED)) == 6


def test_a_lifespan_that_ends_does_not_wait_in_vain(make_tracking: MakeTracking, refusing: str) -> None:
    """As mangum has it by default, at every invocation."""
    tracking = make_tracking(refusing, retry_base=LONG, retry_cap=LONG, close_timeout=ALLOWED)
    app = TrackingMiddleware(Starlette(), tracking=tracking)
    told(tracking)
    eventually(lambda: is_open(tracking))

    def invoke() -> None:
        for _ in range(50):
            with TestClient(app):
                pass

    no_longer_than(SOON, invoke)


# Exit


@pytest.mark.parametrize("number", [1, 7, 300])
def test_what_exit_loses_is_counted_and_said(refusing: str, number: int, caplog: pytest.LogCaptureFixture) -> None:
    tracking = Tracking(
        Sitecore(client_key="key", target_url=refusing, point_of_sale="shop"),
        CustomerIO(write_key="key", target_url=refusing),
        close_timeout=0.2,
        retry_base=LONG,
        retry_cap=LONG,
        secret_key="a key for tests",
    )
    receipts = [tracking.for_visitor(new_id()).event("STEP") for _ in range(number)]
    tracking.for_visitor(new_id()).add_to_event_queue("HELD")
    senders = tracking._delivery._senders.values()
    # What is being sent when a busy machine's thread does not end in time is still pending.
    eventually(lambda: all(sender.retries and not sender._busy for sender in senders))

    with caplog.at_level(logging.INFO, "passerby"):
        tracking._delivery.on_exit(0.0)

    for ledger in tracking.stats().destinations.values():
        assert_ledger(ledger, pending=0, held=0, dropped={"lost at exit": number + 1})
    said = [record.getMessage() for record in caplog.records if "before exit" in record.getMessage()]
    assert said == [f"{2 * number + 2} events were not delivered before exit and are lost with this process"]
    outcomes = receipts[0].wait_delivered(0.0)
    assert set(map(type, outcomes.values())) == {Dropped}
