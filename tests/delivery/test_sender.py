"""The sender alone: a connection with scripted answers, and a clock that the test moves."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace

import pytest

from passerby.delivery.sender import NoBrowserId, RetryPlan
from passerby.delivery.transport import TransportError
from passerby.destinations import DestinationResponse
from passerby.outbox.contract import EventStore, ServiceReport, StorageError, StoreCommand
from passerby.outbox.outbox import LEASE
from passerby.outbox.service import FAILURES
from passerby.values.outcome import Dead, Delivered
from tests.outbox.surroundings import FaultyStore

from .stage import OK, MakeStage, Stage

VISITORS = ("ada", "ben", "cyd", "dan", "eve")


def fail(stage: Stage, times: int) -> None:
    """Have the store know of calls that failed."""
    for _ in range(times):
        stage.outbox.report(ServiceReport("a", "failure", pause=1.0, reason="status 503"))
    stage.count()


async def test_it_delivers_and_hears_the_answer(make_stage: MakeStage) -> None:
    stage = make_stage()
    listener = stage.record("ada", "1")

    assert await stage.settle() is None

    assert stage.calls == ["ada 1 ada"]
    assert listener.heard == ["stored", ("a", Delivered(None))]


async def test_each_visitors_events_go_one_after_the_other_and_connections_are_used_again(
    make_stage: MakeStage,
) -> None:
    stage = make_stage(concurrency=3)
    for number in range(4):
        for visitor in VISITORS:
            stage.record(visitor, str(number))

    await stage.settle()

    for visitor in VISITORS:
        assert [call.split()[1] for call in stage.calls if call.startswith(visitor)] == ["0", "1", "2", "3"]
    assert stage.at_once == 3, "no more calls at once than the plan allows"
    assert len(stage.connections) == 3
    await stage.sender.aclose()
    assert all(connection.is_closed for connection in stage.connections)


async def test_a_visitors_event_that_fails_holds_back_those_behind_it(make_stage: MakeStage) -> None:
    stage = make_stage(base=8.0)
    stage.answer = lambda call: DestinationResponse(503, {}, b"") if call.startswith("ada") else OK
    for number in range(3):
        stage.record("ada", str(number))
        stage.record("ben", str(number))

    assert await stage.settle() == stage.now + 4.0
    assert [call for call in stage.calls if call.startswith("ada")] == ["ada 0 ada"]

    stage.answer = lambda call: OK
    stage.now += 4.0
    await stage.settle()
    assert [call.split()[1] for call in stage.calls if call.startswith("ada")] == ["0", "0", "1", "2"]
    assert [call.split()[1] for call in stage.calls if call.startswith("ben")] == ["0", "1", "2"]


async def test_what_fails_for_the_moment_is_put_off_with_growing_jittered_waits(make_stage: MakeStage) -> None:
    stage = make_stage(base=8.0, cap=100.0, jitter=lambda: 0.5)
    stage.answer = lambda call: DestinationResponse(503, {}, b"")
    stage.record("ada", "1")
    waits = []
    for _ in range(7):
        due = await stage.settle()
        assert due is not None
        (entry,) = stage.entries()
        waits.append(entry.due)
        assert due >= stage.now + entry.due
        stage.now = due

    assert waits == pytest.approx([4.0, 8.0, 16.0, 32.0, 50.0, 50.0, 50.0])
    assert stage.sender.retries == 7
    assert stage.count().waiting == 1
    assert stage.calls == ["ada 1 ada"] * 7


async def test_full_jitter_lies_anywhere_between_nothing_and_the_whole() -> None:
    jitters: list[Callable[[], float]] = [lambda: 0.0, lambda: 0.25, lambda: 1.0]
    plan = RetryPlan(base=1.0, cap=300.0, age=1000.0, concurrency=1, timeout=10.0)
    assert [replace(plan, jitter=jitter).wait(4) for jitter in jitters] == [0, 2, 8]
    assert replace(plan, jitter=lambda: 1.0).wait(10_000) == 300.0


@pytest.mark.parametrize("after", ["60", "Thu, 01 Jan 1970 00:01:00 GMT"])
async def test_nothing_is_sent_before_the_time_the_service_asked_for(make_stage: MakeStage, after: str) -> None:
    stage = make_stage()
    stage.answer = lambda call: DestinationResponse(429, {"retry-after": after}, b"")
    stage.record("ada", "1")
    begun = stage.now
    await stage.settle()
    stage.record("ben", "2")

    assert await stage.settle() == begun + 60.0
    stage.now = begun + 59.9
    assert await stage.settle() == pytest.approx(begun + 60.0)
    assert stage.calls == ["ada 1 ada"]

    stage.answer = lambda call: OK
    stage.now = begun + 60.0
    await stage.settle()
    assert sorted(stage.calls) == ["ada 1 ada", "ada 1 ada", "ben 2 ben"]


async def test_what_is_too_old_becomes_a_dead_letter(make_stage: MakeStage) -> None:
    stage = make_stage(age=100.0)
    stage.answer = lambda call: TransportError("cannot connect")
    listener = stage.record("ada", "1")
    await stage.settle()
    assert stage.count().waiting == 1
    stage.now += 101.0
    await stage.settle()

    counts = stage.count()
    assert (counts.recorded, counts.dead) == (1, 1)
    assert stage.entries("dead")[0].reason == "too old; last: cannot connect"
    assert listener.heard == ["stored", ("a", Dead("too old; last: cannot connect"))]


async def test_a_refusal_is_a_dead_letter_at_once_and_no_failure_of_the_service(make_stage: MakeStage) -> None:
    stage = make_stage()
    stage.answer = lambda call: DestinationResponse(400, {}, b"")
    for number in range(20):
        stage.record(f"visitor {number}", str(number))
    await stage.settle()

    counts = stage.count()
    assert (counts.recorded, counts.dead, counts.breaker) == (20, 20, "closed")
    assert {entry.reason for entry in stage.entries("dead")} == {"status 400"}


async def test_our_own_mistake_with_one_event_stops_no_other(
    make_stage: MakeStage, caplog: pytest.LogCaptureFixture
) -> None:
    stage = make_stage()
    stage.record("ada", "1", type="UNREADABLE")
    stage.record("ada", "2")
    await stage.settle()

    counts = stage.count()
    assert (counts.recorded, counts.delivered, counts.dead) == (2, 1, 1)
    assert stage.entries("dead")[0].reason == "internal error: KeyError"
    assert "cannot send event 1 to a" in caplog.text


async def test_our_own_mistake_says_nothing_of_the_service(make_stage: MakeStage) -> None:
    stage = make_stage()
    fail(stage, FAILURES)
    stage.record("ada", "6", type="UNREADABLE")
    assert stage.count().breaker == "open"

    stage.now += 30.0
    await stage.settle()

    counts = stage.count()
    assert (counts.dead, counts.breaker) == (1, "open"), "no probe was sent"
    assert stage.calls == []
    stage.record("ben", "7")
    await stage.settle()
    assert stage.calls == ["ben 7 ben"], "the next one is a probe, at once"


async def test_an_open_breaker_holds_back_all_but_one_probe(make_stage: MakeStage) -> None:
    stage = make_stage(concurrency=7, base=1.0)
    stage.answer = lambda call: TransportError("cannot connect")
    for number in range(30):
        stage.record(f"visitor {number}", str(number))
    due = await stage.settle()
    assert len(stage.calls) <= 14, "what was under way, and what was claimed before the store knew of five failures"
    assert due is not None
    assert due > stage.now

    stage.calls.clear()
    stage.now = due
    await stage.settle()
    assert len(stage.calls) == 1

    stage.answer = lambda call: OK
    while stage.count().waiting:
        stage.now += 30.0
        await stage.settle()
    assert stage.count().delivered == 30


async def test_the_log_has_one_warning_when_the_breaker_opens_and_one_line_when_it_closes(
    make_stage: MakeStage, caplog: pytest.LogCaptureFixture
) -> None:
    stage = make_stage()
    stage.answer = lambda call: TransportError("cannot connect")
    stage.record("ada", "1")
    with caplog.at_level(logging.INFO, "passerby.delivery"):
        for _ in range(FAILURES + 3):
            due = await stage.settle()
            assert due is not None
            stage.now = due
        stage.answer = lambda call: OK
        await stage.settle()
        stage.record("ada", "2")
        await stage.settle()

    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("WARNING", "a: 5 consecutive failures (cannot connect); delivery pauses and will retry"),
        ("INFO", "a responds again; delivery continues"),
    ]


async def test_while_a_probe_is_under_way_there_is_nothing_to_look_for(make_stage: MakeStage) -> None:
    """A destination that does not answer must not keep the thread busy, though many events are due."""
    stage = make_stage(concurrency=10)
    fail(stage, FAILURES)
    stage.record("ada", "1")
    stage.record("ben", "2")
    stage.now += 30.0
    stage.gate.clear()
    stage.begin()
    await stage.until(lambda: stage.calls)

    stage.now += LEASE / 2
    counts = stage.count()
    assert counts.breaker == "half-open"
    assert counts.next_due == LEASE / 2
    assert len(stage.outbox.claims) == len(stage.calls) == 1


async def test_it_says_when_the_next_event_is_due(make_stage: MakeStage) -> None:
    stage = make_stage(base=8.0)
    stage.answer = lambda call: DestinationResponse(500, {}, b"")
    stage.record("ada", "1")
    assert await stage.settle() == stage.now + 4.0


async def test_after_a_failure_what_was_claimed_ahead_is_given_back_unsent(make_stage: MakeStage) -> None:
    stage = make_stage(concurrency=1)
    stage.answer = lambda call: DestinationResponse(503, {}, b"")
    for visitor in VISITORS:
        stage.record(visitor, visitor)
    claims = stage.claim()
    assert len(claims) == 4, "some for each connection, so that it need not wait for the next claim"

    await stage.send(claims)

    assert stage.calls == ["ada ada ada"]
    assert stage.outbox.claims == []
    assert [(entry.event_id, entry.attempts, entry.due) for entry in stage.entries()] == [
        ("ada", 1, 4.0),
        *((visitor, 0, 0.0) for visitor in VISITORS[1:]),
    ]


async def send_with(stage: Stage, left: float) -> None:
    """Record and claim an event, and have it sent when so much of its lease is left."""
    stage.record("ada", "1")
    claims = stage.claim()
    stage.now += LEASE - left
    await stage.send(claims)


async def test_no_request_begins_with_less_lease_left_than_it_may_take(make_stage: MakeStage) -> None:
    stage = make_stage(timeout=10.0)

    await send_with(stage, left=9.0)

    assert stage.calls == []
    assert [(entry.attempts, entry.due <= 0.0) for entry in stage.entries()] == [(0, True)]
    await stage.settle()
    assert stage.calls == ["ada 1 ada"]


async def test_a_request_begins_with_just_enough_lease(make_stage: MakeStage) -> None:
    stage = make_stage(timeout=10.0)

    await send_with(stage, left=10.0)

    assert stage.calls == ["ada 1 ada"]


async def test_no_request_begins_with_too_little_lease_after_a_long_search_for_an_id(make_stage: MakeStage) -> None:
    stage = make_stage(timeout=10.0)
    stage.record("session:1", "1", browser_id=None)
    claims = stage.claim()

    def find_late(visitor: str) -> str:
        stage.now += LEASE - 9.0
        return "found"

    stage.browser_ids = find_late
    await stage.send(claims)

    assert stage.calls == []
    assert [entry.attempts for entry in stage.entries()] == [0]
    stage.browser_ids = lambda visitor: "found"
    await stage.settle()
    assert stage.calls == ["session:1 1 found"]


async def test_a_probe_that_is_not_sent_leaves_room_for_another(make_stage: MakeStage) -> None:
    stage = make_stage(timeout=10.0)
    fail(stage, FAILURES)
    stage.record("ada", "1")
    stage.record("ben", "2")
    stage.now += 30.0
    (probe,) = stage.claim()
    await stage.send([probe._replace(payload=b"")])
    assert stage.count().breaker == "open"

    (probe,) = stage.claim()
    stage.now += LEASE - 9.0
    await stage.send([probe])
    assert stage.count().breaker == "open"

    await stage.settle()
    assert stage.calls == ["ben 2 ben"]


async def test_a_visit_without_an_id_gets_one_when_it_is_sent(make_stage: MakeStage) -> None:
    stage = make_stage()
    stage.record("session:1", "1", browser_id=None)
    await stage.settle()

    assert stage.calls == ["session:1 1 for session:1"]


async def test_no_id_to_be_had_says_nothing_of_the_destination(make_stage: MakeStage) -> None:
    stage = make_stage(concurrency=3)
    stage.browser_ids = lambda visitor: NoBrowserId("no browser ID available", after=40.0)
    for number in range(20):
        stage.record(f"session:{number}", str(number), browser_id=None)
    stage.record("ada", "ada")

    assert await stage.settle() == stage.now + 40.0

    assert stage.calls == ["ada ada ada"]
    counts = stage.count()
    assert counts.breaker == "closed"
    assert (counts.recorded, counts.delivered, counts.waiting, counts.unlinked) == (21, 1, 20, 20)


async def test_a_mistake_in_the_search_for_an_id_is_a_dead_letter(
    make_stage: MakeStage, caplog: pytest.LogCaptureFixture
) -> None:
    stage = make_stage()
    stage.browser_ids = lambda visitor: KeyError("secret value")
    stage.record("session:1", "1", browser_id=None)
    stage.record("ada", "2")
    await stage.settle()

    assert [entry.reason for entry in stage.entries("dead")] == ["internal error: KeyError"]
    assert stage.calls == ["ada 2 ada"]
    assert "no browser ID for event 1" in caplog.text


async def test_what_is_given_up_at_the_end_is_given_back_unsent(make_stage: MakeStage) -> None:
    stage = make_stage(concurrency=2)
    stage.gate.clear()
    for visitor in VISITORS:
        stage.record(visitor, "1")
    stage.begin()
    await stage.until(lambda: len(stage.calls) == 2)

    stage.outbox.stop_claiming()
    await stage.sender.aclose()

    counts = stage.count()
    assert (counts.recorded, counts.waiting) == (5, 5)
    assert [entry.attempts for entry in stage.entries()] == [0] * 5
    assert len(stage.claim()) == 5
    assert stage.sender.retries == 0
    assert len(stage.calls) == 2


async def test_what_was_given_up_before_it_began_is_given_back_too(make_stage: MakeStage) -> None:
    stage = make_stage()
    stage.record("ada", "1")
    stage.sender.add(stage.claim())

    await stage.sender.aclose()

    assert [entry.attempts for entry in stage.entries()] == [0]
    assert len(stage.claim()) == 1
    assert all(connection.is_closed for connection in stage.connections)


async def test_a_probe_that_is_given_up_at_the_end_leaves_room_for_another(make_stage: MakeStage) -> None:
    stage = make_stage()
    fail(stage, FAILURES)
    stage.record("ada", "1")
    stage.now += 30.0
    stage.gate.clear()
    stage.begin()
    await stage.until(lambda: stage.calls)
    stage.outbox.stop_claiming()
    await stage.sender.aclose()

    assert stage.count().breaker == "open"
    assert len(stage.claim()) == 1


async def test_without_a_connection_the_event_waits_for_the_next_try(
    make_stage: MakeStage, caplog: pytest.LogCaptureFixture
) -> None:
    stage = make_stage()
    stage.connection_error = OSError("no connection")
    stage.record("ada", "1")
    assert await stage.settle() == stage.now + 4.0
    assert stage.count().waiting == 1
    assert "will retry" in caplog.text

    stage.connection_error = None
    stage.now += 100.0
    await stage.settle()
    assert stage.count().delivered == 1


async def test_what_was_claimed_ahead_does_not_wait_for_an_event_that_failed_here(make_stage: MakeStage) -> None:
    stage = make_stage(concurrency=1)
    for visitor in VISITORS:
        stage.record(visitor, visitor)
    stage.connection_error = OSError("no connection")

    await stage.send(stage.claim())

    assert stage.outbox.claims == []
    assert [entry.attempts for entry in stage.entries()] == [1, 0, 0, 0, 0], "the others were not tried"
    stage.connection_error = None
    await stage.settle()
    assert sorted(stage.calls) == [f"{visitor} {visitor} {visitor}" for visitor in VISITORS[1:]]


async def test_a_store_that_fails_once_learns_the_outcome_later(make_stage: MakeStage) -> None:
    """The event is not sent twice."""
    stores: list[FaultyStore] = []

    def make_faulty(inner: EventStore) -> FaultyStore:
        stores.append(FaultyStore(inner))
        return stores[-1]

    stage = make_stage(store=make_faulty)
    listener = stage.record("ada", "1")
    claims = stage.claim()
    stores[0].fails = StorageError("busy")
    await stage.send(claims)
    await stage.until(lambda: stage.outbox.state == "busy")
    assert listener.heard == ["stored"]

    stores[0].fails = None
    stage.now += 1.0
    await stage.settle()
    assert listener.heard == ["stored", ("a", Delivered(None))]
    assert stage.count().delivered == 1
    assert stage.calls == ["ada 1 ada"]


async def test_what_cannot_be_decoded_is_a_dead_letter(make_stage: MakeStage) -> None:
    stage = make_stage()
    stage.record("ada", "1")
    stage.record("ben", "2")
    first, second = stage.claim()

    await stage.send([first._replace(payload=first.payload[:-1]), second])

    assert [(entry.event_id, entry.reason) for entry in stage.entries("dead")] == [("1", "payload is damaged")]
    assert stage.calls == ["ben 2 ben"]


async def test_what_is_purged_during_the_call_counts_as_delivered_if_it_was(make_stage: MakeStage) -> None:
    stage = make_stage()
    stage.record("ada", "1")
    claims = stage.claim()
    stage.outbox.ask(StoreCommand("purge_visitor", "ada")).result(30)

    await stage.send(claims)

    counts = stage.count()
    assert (counts.delivered, counts.waiting, counts.dropped) == (1, 0, {})
