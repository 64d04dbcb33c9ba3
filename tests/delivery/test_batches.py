"""Several events in a call: how they are packed, divided and settled."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from passerby.delivery.breaker import FAILURES
from passerby.old_outbox import Tally

from passerby.delivery.sender import NoBrowserId
from passerby.delivery.transport import TransportError
from passerby.destinations import DestinationResponse, OutgoingRequest, SendResult, SplitBatch
from passerby.destinations.responses import classify_status
from passerby.events.event import COMMON_KINDS, Event
from passerby.values.outcome import Dead, Delivered

from .test_sender import OK, Stage

REFUSED = DestinationResponse(400, {}, b"")


class Basket:
    """A destination whose calls hold several events: their IDs, parted by blanks; each weighs what its type says."""

    name = "a"
    origin = "http://localhost"
    kinds = COMMON_KINDS

    def __init__(self, batch_size: int = 100, batch_bytes: int = 1000) -> None:
        self.batch_size = batch_size
        self.batch_bytes = batch_bytes

    def check(self, event: Event) -> None:
        pass

    def encoded_size(self, event: Event) -> int:
        return int(event.type) if event.type and event.type.isdigit() else 1

    def encode(self, events: Sequence[Event]) -> OutgoingRequest:
        if any(event.type == "UNREADABLE" for event in events):
            raise KeyError("secret value")
        return OutgoingRequest("POST", "http://localhost/", {}, " ".join(event.id for event in events).encode())

    def classify(self, response: DestinationResponse) -> SendResult:
        if response.status in (400, 413):
            return SplitBatch(f"status {response.status}")
        return classify_status(response, now=0.0) or Delivered(response.body)


def refuses(*bad: str) -> Any:
    """A service that refuses every call with one of these events in it."""
    return lambda call: REFUSED if set(bad) & set(call.split()) else OK


async def test_what_waits_goes_in_one_call_at_once() -> None:
    stage = Stage(Basket())
    listeners = [stage.tell(f"visitor {number}", str(number)) for number in range(5)]

    assert await stage.settle() is None

    assert stage.calls == ["0 1 2 3 4"]
    assert stage.tally == Tally(enqueued=5, delivered=5)
    assert all(listener.heard == ["stored", ("a", Delivered(b""))] for listener in listeners)
    await stage.sender.aclose()


async def test_one_event_does_not_wait_for_others() -> None:
    stage = Stage(Basket())
    stage.tell("ada", "1")
    await stage.settle()
    stage.tell("ben", "2")
    await stage.settle()

    assert stage.calls == ["1", "2"]
    await stage.sender.aclose()


async def test_a_call_holds_no_more_than_it_may_in_number_and_in_weight() -> None:
    stage = Stage(Basket(batch_size=4, batch_bytes=10), concurrency=1)
    for number, weight in enumerate([4, 6, 1, 9, 11, 5, 5]):
        stage.tell(f"visitor {number}", str(number), type=str(weight))

    await stage.settle()

    assert stage.calls == ["0 1", "2 3", "4", "5 6"], "greedily in order; what is too heavy goes alone"
    assert stage.tally.delivered == 7
    await stage.sender.aclose()


async def test_lanes_send_at_once_what_one_call_does_not_hold() -> None:
    stage = Stage(Basket(batch_size=2), concurrency=3)
    for number in range(10):
        stage.tell(f"visitor {number}", str(number))

    await stage.settle()

    assert stage.at_once == 3
    assert sorted(stage.calls) == ["0 1", "2 3", "4 5", "6 7", "8 9"]
    await stage.sender.aclose()


async def test_each_visitors_events_stay_in_order_and_in_calls_of_their_own() -> None:
    stage = Stage(Basket())
    for number in range(3):
        for visitor in ("ada", "ben"):
            stage.tell(visitor, f"{visitor}{number}")

    await stage.settle()

    assert stage.calls == ["ada0 ben0", "ada1 ben1", "ada2 ben2"]
    await stage.sender.aclose()


@pytest.mark.parametrize("bad", [0, 5, 10])
async def test_a_refused_call_is_halved_until_the_bad_event_stands_alone(bad: int) -> None:
    stage = Stage(Basket())
    stage.answer = refuses(str(bad))
    listeners = [stage.tell(f"visitor {number}", str(number)) for number in range(11)]

    await stage.settle()

    assert stage.tally == Tally(enqueued=11, delivered=10, dead=1)
    (letter,) = stage.outbox.dead_letters("a")
    assert (letter.event.id, letter.reason, letter.attempts) == (str(bad), "status 400", 1)
    assert listeners[bad].heard[-1] == ("a", Dead("status 400"))
    assert len(stage.calls) <= 9
    assert stage.sender.breaker.state == "closed"
    await stage.sender.aclose()


async def test_several_bad_events_are_found_all() -> None:
    stage = Stage(Basket())
    stage.answer = refuses("3", "4", "9")
    for number in range(16):
        stage.tell(f"visitor {number}", str(number))

    await stage.settle()

    assert [letter.event.id for letter in stage.outbox.dead_letters("a")] == ["3", "4", "9"]
    assert stage.tally.delivered == 13
    await stage.sender.aclose()


async def test_what_fails_for_the_moment_puts_the_whole_call_off_and_the_same_call_is_made_again() -> None:
    stage = Stage(Basket(), base=8.0, jitter=lambda: 0.5)
    stage.answer = lambda call: DestinationResponse(503, {}, b"")
    for number in range(3):
        stage.tell(f"visitor {number}", str(number))

    assert await stage.settle() == stage.now + 4.0
    assert stage.sender.retries == 3
    stage.answer = lambda call: OK
    stage.now += 4.0
    await stage.settle()

    assert stage.calls == ["0 1 2", "0 1 2"]
    assert stage.tally == Tally(enqueued=3, delivered=3)
    await stage.sender.aclose()


async def test_a_service_that_fails_while_a_call_is_divided_gets_the_rest_later() -> None:
    stage = Stage(Basket(), base=8.0, jitter=lambda: 0.5)
    answers: Iterator[DestinationResponse | Exception] = iter([REFUSED, OK, TransportError("connection reset"), OK])
    stage.answer = lambda call: next(answers)
    for number in range(4):
        stage.tell(f"visitor {number}", str(number))
    await stage.settle()

    assert stage.calls == ["0 1 2 3", "0 1", "2 3"]
    assert stage.tally == Tally(enqueued=4, delivered=2, waiting=2)
    stage.now += 4.0
    await stage.settle()
    assert stage.calls[3:] == ["2 3"]
    assert stage.tally.delivered == 4
    await stage.sender.aclose()


async def test_who_asks_to_be_left_alone_gets_none_of_the_calls_that_were_to_follow() -> None:
    stage = Stage(Basket(batch_bytes=2), concurrency=1)
    stage.answer = lambda call: DestinationResponse(429, {"retry-after": "60"}, b"")
    for number in range(6):
        stage.tell(f"visitor {number}", str(number), type="1")

    assert await stage.settle() == stage.now + 60.0
    assert stage.calls == ["0 1"]
    assert stage.tally.waiting == 6

    stage.answer = lambda call: OK
    stage.now += 60.0
    await stage.settle()
    assert stage.tally.delivered == 6
    await stage.sender.aclose()


async def test_a_half_open_breaker_lets_one_call_through() -> None:
    stage = Stage(Basket(batch_bytes=2), concurrency=10, base=1.0)
    stage.answer = lambda call: TransportError("cannot connect")
    stage.sender.breaker._failures = FAILURES - 1
    for number in range(30):
        stage.tell(f"visitor {number}", str(number), type="1")
    due = await stage.settle()
    assert due is not None
    assert stage.sender.breaker.is_open

    stage.calls.clear()
    stage.now = due
    await stage.settle()
    assert len(stage.calls) == 1

    stage.answer = lambda call: OK
    while stage.tally.waiting:
        stage.now += 30.0
        await stage.settle()
    assert stage.tally.delivered == 30
    await stage.sender.aclose()


async def test_a_refusal_of_the_call_for_good_is_one_of_all_its_events() -> None:
    stage = Stage(Basket())
    stage.answer = lambda call: DestinationResponse(401, {}, b"")
    for number in range(3):
        stage.tell(f"visitor {number}", str(number))
    await stage.settle()

    assert stage.calls == ["0 1 2"]
    assert {letter.reason for letter in stage.outbox.dead_letters("a")} == {"status 401"}
    assert stage.tally == Tally(enqueued=3, dead=3)
    await stage.sender.aclose()


async def test_our_own_mistake_with_one_event_stops_no_other(caplog: pytest.LogCaptureFixture) -> None:
    stage = Stage(Basket())
    for number in range(8):
        stage.tell(f"visitor {number}", str(number), type="UNREADABLE" if number == 5 else None)
    await stage.settle()

    (letter,) = stage.outbox.dead_letters("a")
    assert (letter.event.id, letter.reason) == ("5", "internal error: KeyError")
    assert stage.tally.delivered == 7
    assert "cannot send event 5 to a" in caplog.text
    await stage.sender.aclose()


async def test_visits_that_have_to_wait_for_an_id_hold_up_no_others() -> None:
    stage = Stage(Basket())
    stage.browser_ids = lambda visitor: NoBrowserId("no browser ID available") if visitor == "session:1" else "found"
    for number in range(4):
        visitor = f"session:{number}"
        stage.tell(visitor, str(number), browser_id=None if number < 3 else "known")
    await stage.settle()

    assert stage.calls == ["3", "0 2"]
    assert stage.tally == Tally(enqueued=4, delivered=3, waiting=1, unlinked=3)
    assert stage.sender.breaker.state == "closed"
    await stage.sender.aclose()


async def test_what_is_given_up_at_the_end_stays_in_the_outbox() -> None:
    stage = Stage(Basket(batch_bytes=2), concurrency=1)
    stage.gate.clear()
    for number in range(6):
        stage.tell(f"visitor {number}", str(number), type="1")
    stage.sender.dispatch()
    await asyncio.sleep(0)
    assert stage.calls == ["0 1"]

    await stage.sender.aclose()

    assert stage.tally == Tally(enqueued=6, waiting=6)
    assert len(stage.outbox.acquire("a", 10, stage.now)) == 6


async def test_an_outbox_that_fails_in_the_midst_keeps_what_was_not_settled(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Stage(Basket())
    settle = stage.outbox.settle_delivered
    turns = iter([None, OSError("disk full")])

    def fail_once(*args: Any) -> None:
        failure = next(turns, None)
        if failure is not None:
            raise failure
        settle(*args)

    monkeypatch.setattr(stage.outbox, "settle_delivered", fail_once)
    for number in range(4):
        stage.tell(f"visitor {number}", str(number))
    await stage.settle()
    assert stage.tally == Tally(enqueued=4, delivered=1, waiting=3)

    stage.now += 100.0
    await stage.settle()
    assert stage.calls == ["0 1 2 3", "1 2 3"]
    assert stage.tally.delivered == 4
