"""From a tracking call to a real server that misbehaves, and back to the ledger."""

from __future__ import annotations

import itertools
import logging
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import format_datetime

import pytest

from passerby import BrowserIdUnavailable, Dead, Delivered, Pending, Tracking
from passerby.collector import CollectedRequest, CollectorServer
from passerby.collector.faults import ScriptedResponse
from passerby.events.event import Event
from passerby.outbox.reading import StoreQuery
from tests.making import PATIENCE

from .conftest import MakeTracking
from .doubles import Plain, assert_ledger, new_id, numbers_by_visitor, page_request, wait_until

ACCIDENTS = {
    **{f"status {status}": ScriptedResponse(status=status) for status in (408, 425, 429, 500, 502, 503, 504, 599)},
    "reset": ScriptedResponse(reset=True),
    "answer lost": ScriptedResponse(status=None, reset=True),
    "truncated": ScriptedResponse(status=None, truncate=True),
    "not HTTP": ScriptedResponse(status=503, raw="<html>"),
}
DELAYS = {
    "no answer in time": ScriptedResponse(status=200, delay=30.0),
    "body stalls": ScriptedResponse(status=200, body={"ref": "1"}, stall_body=30.0),
}


@pytest.mark.parametrize("accident", ACCIDENTS.values(), ids=ACCIDENTS)
def test_what_the_moment_did_is_tried_again_with_the_same_bytes(
    collector: CollectorServer, make_tracking: MakeTracking, accident: ScriptedResponse
) -> None:
    sent, tracking = send_through(accident, collector, make_tracking(collector.url))

    assert len(sent) == 3
    assert_ledger(tracking.stats().destinations["sitecore"], recorded=1, delivered=1, retries=2)


@pytest.mark.parametrize("delay", DELAYS.values(), ids=DELAYS)
def test_what_took_too_long_is_tried_again_with_the_same_bytes(
    collector: CollectorServer, make_tracking: MakeTracking, delay: ScriptedResponse
) -> None:
    sent, tracking = send_through(delay, collector, make_tracking(collector.url, request_timeout=0.4))

    assert len(sent) >= 3, "more if the machine is busy, for which nobody knows whether an answer is still to come"
    stats = tracking.stats().destinations["sitecore"]
    assert_ledger(stats, recorded=1, delivered=1)
    assert stats.retries >= 2


def send_through(
    accident: ScriptedResponse, collector: CollectorServer, tracking: Tracking
) -> tuple[list[CollectedRequest], Tracking]:
    """Send an event that arrives after two accidents; return what the service was sent, always the same bytes."""
    collector.script("events", [accident, accident, ScriptedResponse(status=None)])
    tracker = tracking.for_visitor(new_id())

    receipt = tracker.event("ADD", {"price": 9.99, "name": "Müller"}, {"coupon": {"code": "X"}})

    assert isinstance(receipt.wait_delivered(PATIENCE)["sitecore"], Delivered)
    sent = [request for request in collector.requests if request.route == "events"]
    assert len({(request.method, request.path, request.body) for request in sent}) == 1
    assert sent[0].json["price"] == 9.99
    return sent, tracking


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 409, 410, 413, 415, 422, 451])
def test_a_refusal_becomes_a_dead_letter_at_once(
    collector: CollectorServer, make_tracking: MakeTracking, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    collector.script("events", [ScriptedResponse(status=status), ScriptedResponse(status=None)])
    tracking = make_tracking(collector.url)
    tracker = tracking.for_visitor(new_id())

    refused, taken = tracker.event("FIRST"), tracker.event("SECOND")

    assert refused.wait_delivered(PATIENCE) == {"sitecore": Dead(f"status {status}")}
    assert isinstance(taken.wait_delivered(PATIENCE)["sitecore"], Delivered)
    assert [request.json["type"] for request in collector.requests if request.route == "events"] == ["FIRST", "SECOND"]
    assert_ledger(tracking.stats().destinations["sitecore"], recorded=2, delivered=1, dead=1, retries=0)
    assert levels_in(caplog) == ["ERROR"], "an error is logged at the dead letter only"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(collector: CollectorServer, make_tracking: MakeTracking, status: int) -> None:
    collector.script("events", [ScriptedResponse(status=status, headers={"Location": f"{collector.url}/elsewhere"})])
    tracking = make_tracking(collector.url)

    outcome = tracking.for_visitor(new_id()).event("ADD").wait_delivered(PATIENCE)

    assert outcome == {"sitecore": Dead(f"status {status}")}
    assert [request.route for request in collector.requests if request.route != "create"] == ["events"]


def test_one_warning_at_the_beginning_of_an_outage_and_one_line_at_its_end(
    collector: CollectorServer, make_tracking: MakeTracking, caplog: pytest.LogCaptureFixture
) -> None:
    collector.fail("events", times=12)
    tracking = make_tracking(collector.url, browser_id_pool_size=0)
    with caplog.at_level(logging.INFO, "passerby"):
        for _ in range(20):
            tracking.for_visitor(new_id()).event("ADD")
        assert tracking.flush(PATIENCE) == 0

    assert levels_in(caplog) == ["WARNING", "INFO"]


def levels_in(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.levelname for record in caplog.records if record.name == "passerby.delivery"]


# Retry-After (T7)


def attempts(collector: CollectorServer) -> list[float]:
    return [request.time for request in collector.requests if request.route == "events"]


@pytest.mark.parametrize(("status", "as_date"), [(429, False), (503, False), (503, True)])
def test_retry_after_is_obeyed(
    collector: CollectorServer, make_tracking: MakeTracking, status: int, as_date: bool
) -> None:
    moment = int(time.time()) + 3
    value = format_datetime(datetime.fromtimestamp(moment, UTC), usegmt=True) if as_date else "1"
    collector.script(
        "events", [ScriptedResponse(status=status, headers={"Retry-After": value}), ScriptedResponse(status=None)]
    )
    tracking = make_tracking(collector.url)
    first = tracking.for_visitor(new_id()).event("ADD")
    assert wait_until(lambda: tracking.stats().destinations["sitecore"].retries == 1)
    second = tracking.for_visitor(new_id()).event("ADD")

    for receipt in (first, second):
        assert isinstance(receipt.wait_delivered(PATIENCE)["sitecore"], Delivered)
    times = attempts(collector)
    assert len(times) == 3
    stated = moment if as_date else times[0] + 1.0
    assert times[1] >= stated - 0.01, "nothing is sent before the stated time, other visitors' events included"


def test_a_very_long_wish_is_cut_to_an_hour(collector: CollectorServer, make_tracking: MakeTracking) -> None:
    collector.script(
        "events", [ScriptedResponse(status=503, headers={"Retry-After": "999999"}), ScriptedResponse(status=None)]
    )
    tracking = make_tracking(collector.url)
    receipt = tracking.for_visitor(new_id()).event("ADD")

    assert wait_until(lambda: tracking.stats().destinations["sitecore"].retries == 1)
    assert receipt.wait_delivered(0.2) == {"sitecore": Pending()}
    assert len(attempts(collector)) == 1
    (entry,) = tracking._client._outbox.read(StoreQuery()).entries
    assert 3500 < entry.due <= 3600
    assert_ledger(tracking.stats().destinations["sitecore"], pending=1)


@pytest.mark.parametrize("value", ["0", "-5", "soon", "1.5", "", "Wed, 21 Oct 2015 07:28:00 GMT", "9" * 500, "\xb2"])
def test_a_wish_that_says_nothing_is_no_wish(
    collector: CollectorServer, make_tracking: MakeTracking, value: str
) -> None:
    collector.script(
        "events", [ScriptedResponse(status=503, headers={"Retry-After": value}), ScriptedResponse(status=None)]
    )
    tracking = make_tracking(collector.url)
    receipt = tracking.for_visitor(new_id()).event("ADD")

    assert isinstance(receipt.wait_delivered(PATIENCE)["sitecore"], Delivered)
    assert len(attempts(collector)) == 2


@pytest.mark.parametrize("status", [429, 503])
def test_nobody_waits_for_an_id_while_the_service_wants_to_be_left_alone(
    collector: CollectorServer, make_tracking: MakeTracking, status: int
) -> None:
    collector.fail("create", status=status, headers={"Retry-After": "3600"})
    tracking = make_tracking(collector.url)
    tracking.start()
    assert wait_until(lambda: getattr(tracking.stats().browser_ids, "failed", 0) >= 2)
    asked = len(collector.requests)

    begun = time.monotonic()
    with pytest.raises(BrowserIdUnavailable):
        tracking.handle_cookie_sync(page_request(), [], 600)

    assert time.monotonic() - begun < 60
    assert len(collector.requests) == asked


def test_the_pool_is_filled_when_the_time_it_was_asked_to_wait_is_over(
    collector: CollectorServer, make_tracking: MakeTracking
) -> None:
    collector.fail("create", times=2, status=429, headers={"Retry-After": "1"})
    tracking = make_tracking(collector.url)
    tracking.start()

    assert wait_until(lambda: getattr(tracking.stats().browser_ids, "ready", 0) == 2)


# Order and independence


def test_order_per_visitor_is_kept_under_failures(collector: CollectorServer, make_tracking: MakeTracking) -> None:
    good, bad = (
        ScriptedResponse(status=None),
        [ScriptedResponse(status=503), ScriptedResponse(reset=True), ScriptedResponse(status=429)],
    )
    mishaps = itertools.cycle([good, *bad[:2], good, bad[2]])
    collector.script("events", [*itertools.islice(mishaps, 300), good])
    tracking = make_tracking(collector.url)
    visitors = [new_id() for _ in range(8)]
    for number in range(25):
        for visitor in visitors:
            tracking.for_visitor(visitor).event("STEP", {"number": number})

    assert tracking.flush(60) == 0

    assert numbers_by_visitor(collector.events) == {visitor: list(range(25)) for visitor in visitors}
    assert_ledger(tracking.stats().destinations["sitecore"], recorded=200, delivered=200, pending=0, dead=0)


@pytest.fixture
def other_collector() -> Iterator[CollectorServer]:
    with CollectorServer(accept_any_browser_id=True) as server:
        yield server


def test_one_visitors_failing_event_delays_no_other(
    collector: CollectorServer, other_collector: CollectorServer, make_tracking: MakeTracking
) -> None:
    other_collector.fail("events", status=503)
    unlucky, lucky = new_id(), [new_id() for _ in range(5)]

    def url_of(event: Event) -> str:
        return other_collector.url if event.browser_id == unlucky else collector.url

    tracking = make_tracking(Plain("plain", url_of), retry_base=5.0, retry_cap=5.0)
    for number in range(20):
        for visitor in (unlucky, *lucky):
            tracking.for_visitor(visitor).event("STEP", {"number": number})

    events = collector.wait_for_events(100, PATIENCE)

    assert numbers_by_visitor(events) == {visitor: list(range(20)) for visitor in lucky}
    assert {request.json["number"] for request in other_collector.requests} <= {0}, "what is behind it waits for it"
    assert wait_until(lambda: tracking.stats().destinations["plain"].pending == 20)
    assert_ledger(tracking.stats().destinations["plain"], recorded=120, pending=20)


@pytest.mark.parametrize("death", ["refuses", "resets", "hangs", "refuses all"])
def test_one_dead_destination_delays_no_other(
    collector: CollectorServer, other_collector: CollectorServer, make_tracking: MakeTracking, death: str
) -> None:
    if death == "refuses":
        other_collector.stop()
    elif death == "resets":
        other_collector.fail("events", reset=True)
    elif death == "hangs":
        other_collector.fail("events", delay=30)
    else:
        other_collector.fail("events", status=400)
    tracking = make_tracking(Plain("alive", collector.url), Plain("dead", other_collector.url))
    visitors = [new_id() for _ in range(10)]
    receipts = [
        tracking.for_visitor(visitor).event("STEP", {"number": number}) for number in range(20) for visitor in visitors
    ]

    events = collector.wait_for_events(200, PATIENCE)

    assert numbers_by_visitor(events) == {visitor: list(range(20)) for visitor in visitors}
    assert wait_until(lambda: all(isinstance(receipt.outcomes["alive"], Delivered) for receipt in receipts))
    alive, dead = (tracking.stats().destinations[name] for name in ("alive", "dead"))
    assert_ledger(alive, recorded=200, delivered=200, retries=0, breaker="closed")
    assert_ledger(dead, recorded=200, delivered=0)


def test_what_a_dead_destination_missed_arrives_in_order_once_it_is_back(
    collector: CollectorServer, other_collector: CollectorServer, make_tracking: MakeTracking
) -> None:
    other_collector.stop()
    tracking = make_tracking(Plain("alive", collector.url), Plain("dead", other_collector.url))
    visitors = [new_id() for _ in range(5)]
    for number in range(20):
        for visitor in visitors:
            tracking.for_visitor(visitor).event("STEP", {"number": number})
    collector.wait_for_events(100, PATIENCE)

    other_collector.start()

    assert tracking.flush(60) == 0
    assert numbers_by_visitor(other_collector.events) == {visitor: list(range(20)) for visitor in visitors}
    for stats in tracking.stats().destinations.values():
        assert_ledger(stats, recorded=100, delivered=100)


def test_an_event_can_be_for_some_destinations_only(
    collector: CollectorServer, other_collector: CollectorServer, make_tracking: MakeTracking
) -> None:
    tracking = make_tracking(Plain("one", collector.url), Plain("two", other_collector.url))
    outcomes = tracking.for_visitor(new_id()).event("ADD", destinations=["two"]).wait_delivered(PATIENCE)

    assert list(outcomes) == ["two"]
    assert (len(collector.events), len(other_collector.events)) == (0, 1)
    assert_ledger(tracking.stats().destinations["one"], recorded=0)


# Visits without a browser ID


def test_events_without_an_id_get_one_for_the_whole_visit(
    collector: CollectorServer, make_tracking: MakeTracking
) -> None:
    collector.accept_any_browser_id = False
    collector.fail("create", status=503)
    tracking = make_tracking(collector.url)
    sessions = [tracking.tracker_for(page_request()) for _ in range(4)]
    receipts = [session.event("STEP", {"number": number}) for number in range(3) for session in sessions]
    assert all(session.browser_id is None for session in sessions)
    assert tracking.flush(0.3) == 12
    assert collector.events == []

    collector.clear_faults()

    assert tracking.flush(60) == 0
    assert all(isinstance(receipt.outcomes["sitecore"], Delivered) for receipt in receipts)
    numbers = numbers_by_visitor(collector.events)
    assert list(numbers.values()) == [[0, 1, 2]] * 4, "all events of a session have one ID, and keep their order"
    assert set(numbers) <= set(collector.browser_ids)
    assert_ledger(tracking.stats().destinations["sitecore"], recorded=12, delivered=12, unlinked=12)
    counts = tracking.stats().browser_ids
    assert counts is not None
    assert counts.assigned == 4
    assert counts.made <= 4 + 2 + 8, "those who go without an ID at every call are no demand"


def test_a_visit_that_gets_its_id_late_is_one_visitor(collector: CollectorServer, make_tracking: MakeTracking) -> None:
    """No ID is ready at the first call of a request and one is at the second: both events are of one visitor."""
    collector.accept_any_browser_id = False
    collector.fail("create", status=503)
    collector.fail("events", status=503)
    tracking = make_tracking(collector.url)
    tracker = tracking.tracker_for(page_request())
    tracker.event("STEP")
    collector.clear_faults()
    assert wait_until(lambda: bool(collector.events))
    assert wait_until(lambda: ready_ids(tracking) == 2)

    tracker.event("STEP")

    assert tracking.flush(PATIENCE) == 0
    assert [event["browser_id"] for event in collector.events] == [tracker.browser_id] * 2

    def counts() -> tuple[int, int, int]:
        found = tracking.stats().browser_ids
        assert found is not None
        return found.made, found.assigned, found.returned

    assert counts()[1:] == (1, 1)
    assert wait_until(lambda: counts()[0] == len(collector.browser_ids)), "another may have been on its way"


def ready_ids(tracking: Tracking) -> int:
    counts = tracking.stats().browser_ids
    return counts.ready if counts is not None else 0
