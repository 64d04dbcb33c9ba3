"""Several events in a call: how they are packed, divided and settled."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from passerby.delivery.sender import NoBrowserId
from passerby.delivery.transport import TransportError
from passerby.destinations import DestinationResponse, OutgoingRequest, SendResult, SplitBatch
from passerby.destinations.responses import classify_status
from passerby.events.event import Event
from passerby.outbox.contract import ServiceReport
from passerby.outbox.outbox import LEASE
from passerby.outbox.service import FAILURES
from passerby.values.outcome import Dead, Delivered

from .doubles import Plain
from .stage import OK, MakeStage, Stage

REFUSED = DestinationResponse(400, {}, b"")


class Basket(Plain):
    """A destination whose calls hold several events: their IDs, parted by blanks; each weighs what its type says."""

    def __init__(self, batch_size: int = 100, batch_bytes: int = 1000) -> None:
        super().__init__("a", "http://localhost")
        self.batch_size = batch_size
        self.batch_bytes = batch_bytes

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


def summary(stage: Stage) -> dict[str, int]:
    """The counts that are not 0."""
    counts = stage.count()
    found = {name: getattr(counts, name) for name in ("delivered", "waiting", "dead")}
    return {name: number for name, number in found.items() if number}


async def test_what_waits_goes_in_one_call_at_once(make_stage: MakeStage) -> None:
    stage = make_stage(Basket())
    listeners = [stage.record(f"visitor {number}", str(number)) for number in range(5)]

    assert await stage.settle() is None

    assert stage.calls == ["0 1 2 3 4"]
    assert summary(stage) == {"delivered": 5}
    assert all(listener.heard == ["stored", ("a", Delivered(b""))] for listener in listeners)


async def test_one_event_does_not_wait_for_others(make_stage: MakeStage) -> None:
    stage = make_stage(Basket())
    stage.record("ada", "1")
    await stage.settle()
    stage.record("ben", "2")
    await stage.settle()

    assert stage.calls == ["1", "2"]


async def test_a_call_holds_no_more_than_it_may_in_number_and_in_weight(make_stage: MakeStage) -> None:
    stage = make_stage(Basket(batch_size=4, batch_bytes=10), concurrency=2)
    for number, weight in enumerate([4, 6, 1, 9, 11, 5, 5]):
        stage.record(f"visitor {number}", str(number), type=str(weight))

    await stage.settle()

    assert sorted(stage.calls) == ["0 1", "2 3", "4", "5 6"], "greedily in order; what is too heavy goes alone"
    assert summary(stage) == {"delivered": 7}


async def test_connections_send_at_once_what_one_call_does_not_hold(make_stage: MakeStage) -> None:
    stage = make_stage(Basket(batch_size=2), concurrency=3)
    for number in range(10):
        stage.record(f"visitor {number}", str(number))

    await stage.settle()

    assert stage.at_once == 3
    assert sorted(stage.calls) == ["0 1", "2 3", "4 5", "6 7", "8 9"]


async def test_each_visitors_events_go_together_and_in_order(make_stage: MakeStage) -> None:
    stage = make_stage(Basket())
    for number in range(3):
        for visitor in ("ada", "ben"):
            stage.record(visitor, f"{visitor}{number}")

    await stage.settle()

    assert stage.calls == ["ada0 ada1 ada2 ben0 ben1 ben2"]


async def test_a_visitors_events_that_one_call_does_not_hold_go_on_one_connection_in_order(
    make_stage: MakeStage,
) -> None:
    stage = make_stage(Basket(batch_size=10, batch_bytes=2), concurrency=3)
    for number in range(6):
        stage.record("ada", str(number), type="1")

    await stage.settle()

    assert stage.calls == ["0 1", "2 3", "4 5"]
    assert (stage.at_once, len(stage.connections)) == (1, 1)


async def test_a_visitors_long_run_keeps_its_order_over_many_calls(make_stage: MakeStage) -> None:
    stage = make_stage(Basket(batch_size=4), concurrency=3)
    for number in range(30):
        for visitor in ("ada", "ben", "cyd"):
            stage.record(visitor, f"{visitor}{number}")

    await stage.settle()

    sent = [each for call in stage.calls for each in call.split()]
    for visitor in ("ada", "ben", "cyd"):
        assert [each for each in sent if each.startswith(visitor)] == [f"{visitor}{number}" for number in range(30)]
    assert max(len(call.split()) for call in stage.calls) <= 4


@pytest.mark.parametrize("bad", [0, 5, 10])
async def test_a_refused_call_is_halved_until_the_bad_event_stands_alone(make_stage: MakeStage, bad: int) -> None:
    stage = make_stage(Basket())
    stage.answer = refuses(str(bad))
    listeners = [stage.record(f"visitor {number}", str(number)) for number in range(11)]

    await stage.settle()

    assert summary(stage) == {"delivered": 10, "dead": 1}
    (letter,) = stage.entries("dead")
    assert (letter.event_id, letter.reason, letter.attempts) == (str(bad), "status 400", 1)
    assert listeners[bad].heard[-1] == ("a", Dead("status 400"))
    assert len(stage.calls) <= 9
    assert stage.count().breaker == "closed"


async def test_several_bad_events_are_found_all(make_stage: MakeStage) -> None:
    stage = make_stage(Basket())
    stage.answer = refuses("3", "4", "9")
    for number in range(16):
        stage.record(f"visitor {number}", str(number))

    await stage.settle()

    assert [letter.event_id for letter in stage.entries("dead")] == ["3", "4", "9"]
    assert summary(stage) == {"delivered": 13, "dead": 3}


async def test_a_divided_call_keeps_each_visitors_order(make_stage: MakeStage) -> None:
    stage = make_stage(Basket())
    stage.answer = refuses("2")
    for number in range(7):
        stage.record("ada", str(number))

    await stage.settle()

    accepted = [each for call in stage.calls if "2" not in call.split() for each in call.split()]
    assert accepted == ["0", "1", "3", "4", "5", "6"]
    assert summary(stage) == {"delivered": 6, "dead": 1}


async def test_what_fails_for_the_moment_puts_the_whole_call_off_and_the_same_call_is_made_again(
    make_stage: MakeStage,
) -> None:
    stage = make_stage(Basket(), base=8.0, jitter=lambda: 0.5)
    stage.answer = lambda call: DestinationResponse(503, {}, b"")
    for number in range(3):
        stage.record(f"visitor {number}", str(number))

    assert await stage.settle() == stage.now + 4.0
    assert stage.sender.retries == 3
    stage.answer = lambda call: OK
    stage.now += 4.0
    await stage.settle()

    assert stage.calls == ["0 1 2", "0 1 2"]
    assert summary(stage) == {"delivered": 3}


async def test_a_service_that_fails_while_a_call_is_divided_gets_the_rest_later(make_stage: MakeStage) -> None:
    stage = make_stage(Basket(), base=8.0, jitter=lambda: 0.5)
    answers: Iterator[DestinationResponse | Exception] = iter([REFUSED, OK, TransportError("connection reset"), OK])
    stage.answer = lambda call: next(answers)
    for number in range(4):
        stage.record(f"visitor {number}", str(number))
    await stage.settle()

    assert stage.calls == ["0 1 2 3", "0 1", "2 3"]
    assert summary(stage) == {"delivered": 2, "waiting": 2}
    stage.now += 4.0
    await stage.settle()
    assert stage.calls[3:] == ["2 3"]
    assert summary(stage) == {"delivered": 4}


async def test_who_asks_to_be_left_alone_gets_none_of_the_calls_that_were_to_follow(make_stage: MakeStage) -> None:
    stage = make_stage(Basket(batch_bytes=2), concurrency=1)
    stage.answer = lambda call: DestinationResponse(429, {"retry-after": "60"}, b"")
    for number in range(6):
        stage.record(f"visitor {number}", str(number), type="1")

    assert await stage.settle() == stage.now + 60.0
    assert stage.calls == ["0 1"]
    assert [entry.attempts for entry in stage.entries()] == [1, 1, 0, 0, 0, 0], "the others were not sent"

    stage.answer = lambda call: OK
    stage.now += 60.0
    await stage.settle()
    assert summary(stage) == {"delivered": 6}


async def test_a_failure_holds_back_what_is_behind_it_in_the_same_batch(make_stage: MakeStage) -> None:
    stage = make_stage(Basket(batch_bytes=2), base=8.0)
    stage.answer = lambda call: DestinationResponse(503, {}, b"") if "0" in call.split() else OK
    for number in range(6):
        stage.record("ada", str(number), type="1")

    assert await stage.settle() == stage.now + 4.0

    assert stage.calls == ["0 1"]
    assert [entry.attempts for entry in stage.entries()] == [1, 1, 0, 0, 0, 0]


async def test_a_half_open_breaker_lets_one_call_through(make_stage: MakeStage) -> None:
    stage = make_stage(Basket(batch_bytes=2), concurrency=10, base=1.0)
    stage.answer = lambda call: TransportError("cannot connect")
    for _ in range(FAILURES - 1):
        stage.outbox.report(ServiceReport("a", "failure"))
    for number in range(30):
        stage.record(f"visitor {number}", str(number), type="1")
    due = await stage.settle()
    assert due is not None
    assert stage.count().breaker == "open"

    stage.calls.clear()
    stage.now = due
    await stage.settle()
    assert len(stage.calls) == 1

    stage.answer = lambda call: OK
    while stage.count().waiting:
        stage.now += 30.0
        await stage.settle()
    assert summary(stage) == {"delivered": 30}


async def test_a_refusal_of_the_call_for_good_is_one_of_all_its_events(make_stage: MakeStage) -> None:
    stage = make_stage(Basket())
    stage.answer = lambda call: DestinationResponse(401, {}, b"")
    for number in range(3):
        stage.record(f"visitor {number}", str(number))
    await stage.settle()

    assert stage.calls == ["0 1 2"]
    assert [letter.reason for letter in stage.entries("dead")] == ["status 401"] * 3
    assert summary(stage) == {"dead": 3}


async def test_our_own_mistake_with_one_event_stops_no_other(
    make_stage: MakeStage, caplog: pytest.LogCaptureFixture
) -> None:
    stage = make_stage(Basket())
    for number in range(8):
        stage.record(f"visitor {number}", str(number), type="UNREADABLE" if number == 5 else None)
    await stage.settle()

    (letter,) = stage.entries("dead")
    assert (letter.event_id, letter.reason) == ("5", "internal error: KeyError")
    assert summary(stage) == {"delivered": 7, "dead": 1}
    assert "cannot send event 5 to a" in caplog.text


async def test_an_event_whose_size_cannot_be_measured_goes_alone(
    make_stage: MakeStage, monkeypatch: pytest.MonkeyPatch
) -> None:
    basket = Basket()
    stage = make_stage(basket)

    def measure(event: Event) -> int:
        if event.id == "1":
            raise KeyError("secret value")
        return 1

    monkeypatch.setattr(basket, "encoded_size", measure)
    for number in range(4):
        stage.record(f"visitor {number}", str(number))
    await stage.settle()

    assert stage.calls == ["0", "1", "2 3"]


async def test_visits_that_have_to_wait_for_an_id_hold_up_no_others(make_stage: MakeStage) -> None:
    stage = make_stage(Basket())
    stage.browser_ids = lambda visitor: NoBrowserId("no browser ID available") if visitor == "session:1" else "found"
    for number in range(4):
        visitor = f"session:{number}"
        stage.record(visitor, str(number), browser_id=None if number < 3 else "known")
    await stage.settle()

    assert stage.calls == ["3", "0 2"]
    assert summary(stage) == {"delivered": 3, "waiting": 1}
    counts = stage.count()
    assert (counts.unlinked, counts.breaker) == (3, "closed")


async def test_a_visit_that_gets_its_id_only_at_a_later_call_keeps_its_order(make_stage: MakeStage) -> None:
    stage = make_stage(Basket(batch_bytes=2), base=8.0)
    answers: Iterator[str | Exception] = iter([NoBrowserId("no browser ID available")] * 2)
    stage.browser_ids = lambda visitor: next(answers, "found")
    for number in range(6):
        stage.record("session:1", str(number), type="1", browser_id=None)
    stage.record("session:2", "6", type="1", browser_id=None)

    assert await stage.settle() == stage.now + 4.0
    assert stage.calls == ["6"]
    assert [entry.attempts for entry in stage.entries()] == [1, 1, 0, 0, 0, 0]

    stage.now += 4.0
    await stage.settle()
    assert stage.calls == ["6", "0 1", "2 3", "4 5"]


async def test_what_is_given_up_at_the_end_is_given_back_unsent(make_stage: MakeStage) -> None:
    stage = make_stage(Basket(batch_bytes=2), concurrency=1)
    stage.gate.clear()
    for number in range(6):
        stage.record(f"visitor {number}", str(number), type="1")
    stage.begin()
    await stage.until(lambda: stage.calls)
    assert stage.calls == ["0 1"]

    stage.outbox.stop_claiming()
    await stage.sender.aclose()

    assert summary(stage) == {"waiting": 6}
    assert [entry.attempts for entry in stage.entries()] == [0] * 6
    assert len(stage.claim()) == 6


async def test_a_lease_that_ends_between_two_calls_lets_the_second_wait(make_stage: MakeStage) -> None:
    stage = make_stage(Basket(batch_bytes=2), timeout=10.0)
    for number in range(4):
        stage.record("ada", str(number), type="1")
    claims = stage.claim()

    def answer_late(call: str) -> DestinationResponse:
        stage.now += LEASE - 9.0
        return OK

    stage.answer = answer_late
    await stage.send(claims)

    assert stage.calls == ["0 1"]
    assert summary(stage) == {"delivered": 2, "waiting": 2}
    stage.answer = lambda call: OK
    await stage.settle()
    assert stage.calls == ["0 1", "2 3"]
    assert summary(stage) == {"delivered": 4}
