"""The sender alone: a connection that answers as told, and time that passes as told."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
from passerby.delivery.breaker import FAILURES
from passerby.old_outbox import Tally
from passerby.old_outbox.memory import MemoryOutbox

from passerby.delivery.sender import NoBrowserId, RetryPlan, Sender
from passerby.delivery.transport import TransportError
from passerby.destinations import Destination, DestinationResponse, OutgoingRequest, Rejected, Retry
from passerby.destinations.responses import classify_status
from passerby.events.event import COMMON_KINDS, Event
from passerby.values.outcome import Delivered

from ..outbox.told import Listener, event_of

OK = DestinationResponse(200, {}, b"")


class Echo:
    """A destination whose calls are the events' IDs."""

    name = "a"
    origin = "http://localhost"
    kinds = COMMON_KINDS
    batch_size = 1
    batch_bytes = 0

    def check(self, event: Event) -> None:
        pass

    def encoded_size(self, event: Event) -> int:
        return 0

    def encode(self, events: Sequence[Event]) -> OutgoingRequest:
        (event,) = events
        if event.type == "UNREADABLE":
            raise KeyError("secret value")
        return OutgoingRequest(
            "POST", "http://localhost/", {}, f"{event.visitor} {event.id} {event.browser_id}".encode()
        )

    def classify(self, response: DestinationResponse) -> Delivered | Retry | Rejected:
        return classify_status(response, now=0.0) or Delivered(None)


class Performer:
    """A connection that answers what `answer` says."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.is_busy = self.is_closed = False

    async def perform(self, call: OutgoingRequest, timeout: float) -> DestinationResponse:
        assert not self.is_busy
        assert not self.is_closed
        self.is_busy = True
        self.stage.calls.append((call.body or b"").decode())
        self.stage.at_once = max(self.stage.at_once, sum(connection.is_busy for connection in self.stage.connections))
        try:
            await asyncio.sleep(0)
            await self.stage.gate.wait()
            answer = self.stage.answer(self.stage.calls[-1])
        finally:
            self.is_busy = False
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def aclose(self) -> None:
        self.is_closed = True


class Stage:
    """Everything around a sender."""

    def __init__(self, destination: Destination | None = None, **plan: Any) -> None:
        self.now = 1000.0
        self.calls: list[str] = []
        self.connections: list[Performer] = []
        self.at_once = 0
        self.changes = 0
        self.gate = asyncio.Event()
        self.gate.set()
        self.answer: Callable[[str], DestinationResponse | Exception] = lambda call: OK
        self.browser_ids: Callable[[str], str | Exception] = lambda visitor: f"for {visitor}"
        self.outbox = MemoryOutbox(["a"])
        self.destination: Destination = destination or Echo()
        settings: dict[str, Any] = {"base": 8.0, "cap": 100.0, "age": 1000.0, "concurrency": 3, "timeout": 10.0}
        settings["jitter"] = lambda: 0.5
        self.sender = Sender(
            self.destination,
            self.outbox,
            RetryPlan(**settings | plan),
            self.make_connection,
            self.find_browser_id,
            lambda: self.now,
            self.on_change,
        )

    def make_connection(self) -> Performer:
        self.connections.append(Performer(self))
        return self.connections[-1]

    async def find_browser_id(self, visitor: str) -> str:
        found = self.browser_ids(visitor)
        if isinstance(found, Exception):
            raise found
        return found

    def on_change(self) -> None:
        self.changes += 1

    def tell(self, visitor: str, id: str, **fields: Any) -> Listener:
        listener = Listener()
        event = event_of(visitor, id=id)._replace(**fields)
        self.outbox.put(event, ("a",), listener, self.now)
        return listener

    async def settle(self) -> float | None:
        """Dispatch until nothing changes any more; return when to look again."""
        while True:
            changes, calls = self.changes, len(self.calls)
            due = self.sender.dispatch()
            for _ in range(20):
                await asyncio.sleep(0)
            if (changes, calls) == (self.changes, len(self.calls)):
                return due

    @property
    def tally(self) -> Tally:
        return self.outbox.tally("a")


async def test_it_delivers_and_hears_the_answer() -> None:
    stage = Stage()
    listener = stage.tell("ada", "1")

    assert await stage.settle() is None

    assert stage.calls == ["ada 1 a browser ID"]
    assert listener.heard == ["stored", ("a", Delivered(None))]
    await stage.sender.aclose()


async def test_each_visitors_events_go_one_after_the_other_and_lanes_are_used_again() -> None:
    stage = Stage(concurrency=3)
    for number in range(4):
        for visitor in ("ada", "ben", "cyd", "dan", "eve"):
            stage.tell(visitor, str(number))

    await stage.settle()

    for visitor in ("ada", "ben", "cyd", "dan", "eve"):
        assert [call.split()[1] for call in stage.calls if call.startswith(visitor)] == ["0", "1", "2", "3"]
    assert stage.at_once == 3, "no more calls at once than the plan allows"
    assert len(stage.connections) == 3
    await stage.sender.aclose()
    assert all(connection.is_closed for connection in stage.connections)


async def test_what_fails_for_the_moment_is_put_off_with_growing_jittered_waits() -> None:
    stage = Stage(base=8.0, cap=100.0, jitter=lambda: 0.5)
    stage.answer = lambda call: DestinationResponse(503, {}, b"")
    stage.tell("ada", "1")
    waits = []
    for _ in range(7):
        await stage.settle()
        due = stage.outbox.next_due("a")
        assert due is not None
        waits.append(due - stage.now)
        stage.now = max(due, stage.sender.breaker.next_attempt_at())

    assert waits == [4.0, 8.0, 16.0, 32.0, 50.0, 50.0, 50.0]
    assert stage.sender.retries == 7
    assert stage.tally == Tally(enqueued=1, waiting=1)
    assert set(stage.calls) == {"ada 1 a browser ID"}
    await stage.sender.aclose()


async def test_full_jitter_lies_anywhere_between_nothing_and_the_whole() -> None:
    jitters: list[Callable[[], float]] = [lambda: 0.0, lambda: 0.25, lambda: 1.0]
    plan = RetryPlan(base=1.0, cap=300.0, age=1000.0, concurrency=1, timeout=10.0)
    assert [replace(plan, jitter=jitter).wait(4) for jitter in jitters] == [0, 2, 8]
    assert replace(plan, jitter=lambda: 1.0).wait(10_000) == 300.0


@pytest.mark.parametrize("after", ["60", "Thu, 01 Jan 1970 00:01:00 GMT"])
async def test_nothing_is_sent_before_the_time_the_service_asked_for(after: str) -> None:
    stage = Stage()
    stage.answer = lambda call: DestinationResponse(429, {"retry-after": after}, b"")
    stage.tell("ada", "1")
    begun = stage.now
    await stage.settle()
    stage.tell("ben", "2")

    assert await stage.settle() == begun + 60.0
    stage.now = begun + 59.9
    assert await stage.settle() == begun + 60.0
    assert stage.calls == ["ada 1 a browser ID"]

    stage.answer = lambda call: OK
    stage.now = begun + 60.0
    await stage.settle()
    assert sorted(stage.calls) == ["ada 1 a browser ID", "ada 1 a browser ID", "ben 2 a browser ID"]
    await stage.sender.aclose()


async def test_what_is_too_old_becomes_a_dead_letter() -> None:
    stage = Stage(age=100.0)
    stage.answer = lambda call: TransportError("cannot connect")
    stage.tell("ada", "1")
    await stage.settle()
    assert stage.tally.waiting == 1
    stage.now += 101.0
    await stage.settle()

    assert stage.tally == Tally(enqueued=1, dead=1)
    assert stage.outbox.dead_letters("a")[0].reason == "too old; last: cannot connect"
    await stage.sender.aclose()


async def test_a_refusal_is_a_dead_letter_at_once_and_no_failure_of_the_service() -> None:
    stage = Stage()
    stage.answer = lambda call: DestinationResponse(400, {}, b"")
    for number in range(20):
        stage.tell(f"visitor {number}", "1")
    await stage.settle()

    assert stage.tally == Tally(enqueued=20, dead=20)
    assert stage.sender.breaker.state == "closed"
    await stage.sender.aclose()


async def test_our_own_mistake_with_one_event_stops_no_other(caplog: pytest.LogCaptureFixture) -> None:
    stage = Stage()
    stage.tell("ada", "1", type="UNREADABLE")
    stage.tell("ada", "2")
    await stage.settle()

    assert stage.tally == Tally(enqueued=2, delivered=1, dead=1)
    assert stage.outbox.dead_letters("a")[0].reason == "internal error: KeyError"
    assert "cannot send event 1 to a" in caplog.text
    await stage.sender.aclose()


async def test_our_own_mistake_says_nothing_of_the_service() -> None:
    stage = Stage(concurrency=10, base=1.0)
    stage.answer = lambda call: TransportError("connection refused")
    for number in range(5):
        stage.tell(f"visitor {number}", f"{number}")
    await stage.settle()
    assert stage.sender.breaker.is_open
    calls = len(stage.calls)

    for number in range(5):
        stage.outbox.purge_visitor(f"visitor {number}")
    stage.tell("ada", "6", type="UNREADABLE")
    stage.now = stage.sender.breaker.next_attempt_at()
    await stage.settle()

    assert stage.tally.dead == 1
    assert len(stage.calls) == calls
    assert stage.sender.breaker.is_open, "nobody was asked whether it answers again"
    await stage.sender.aclose()


async def test_an_open_breaker_holds_back_all_but_one_probe() -> None:
    stage = Stage(concurrency=10, base=1.0)
    stage.answer = lambda call: TransportError("cannot connect")
    for number in range(30):
        stage.tell(f"visitor {number}", "1")
    due = await stage.settle()
    assert len(stage.calls) <= 14, "five failures and what was under way at the time"
    assert due is not None
    assert due > stage.now

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


async def test_while_a_probe_is_under_way_there_is_nothing_to_look_for() -> None:
    """A destination that does not answer must not keep the thread busy, though many events are due."""
    stage = Stage(concurrency=10, base=1.0, cap=900.0, jitter=lambda: 1.0)
    stage.answer = lambda call: DestinationResponse(503, {}, b"")
    stage.tell("ada", "1")
    stage.sender.breaker._failures = FAILURES - 1
    await stage.settle()
    stage.tell("ben", "2")
    stage.now = stage.sender.breaker.next_attempt_at()
    stage.gate.clear()
    stage.sender.dispatch()
    await asyncio.sleep(0)
    assert stage.sender.breaker.state == "half-open"

    stage.now += 500.0
    assert stage.sender.dispatch() is None
    await stage.sender.aclose()


async def test_it_says_when_the_next_event_is_due() -> None:
    stage = Stage(base=8.0)
    stage.answer = lambda call: DestinationResponse(500, {}, b"")
    stage.tell("ada", "1")
    assert await stage.settle() == stage.now + 4.0
    await stage.sender.aclose()


async def test_a_visit_without_an_id_gets_one_when_it_is_sent() -> None:
    stage = Stage()
    stage.tell("session:1", "1", browser_id=None)
    await stage.settle()

    assert stage.calls == ["session:1 1 for session:1"]
    await stage.sender.aclose()


async def test_no_id_to_be_had_says_nothing_of_the_destination() -> None:
    stage = Stage(concurrency=3)
    stage.browser_ids = lambda visitor: NoBrowserId("no browser ID available")
    for number in range(20):
        stage.tell(f"session:{number}", "1", browser_id=None)
    stage.tell("ada", "2")
    await stage.settle()

    assert stage.calls == ["ada 2 a browser ID"]
    assert stage.sender.breaker.state == "closed"
    assert stage.tally == Tally(enqueued=21, delivered=1, waiting=20, unlinked=20)
    await stage.sender.aclose()


async def test_what_is_given_up_at_the_end_stays_in_the_outbox() -> None:
    stage = Stage(concurrency=2)
    stage.gate.clear()
    for visitor in ("ada", "ben", "cyd"):
        stage.tell(visitor, "1")
    stage.sender.dispatch()
    await asyncio.sleep(0)
    assert len(stage.calls) == 2

    await stage.sender.aclose()

    assert stage.tally == Tally(enqueued=3, waiting=3)
    assert len(stage.outbox.acquire("a", 10, stage.now)) == 3
    assert stage.sender.retries == 0


async def test_what_was_given_up_before_it_began_stays_in_the_outbox_too() -> None:
    stage = Stage()
    stage.tell("ada", "1")
    stage.sender.dispatch()

    await stage.sender.aclose()

    assert len(stage.outbox.acquire("a", 10, stage.now)) == 1
    assert all(connection.is_closed for connection in stage.connections)


async def test_without_a_lane_the_event_waits_for_the_next_try(caplog: pytest.LogCaptureFixture) -> None:
    stage = Stage()
    make_connection = stage.sender._make_connection

    def fail() -> Performer:
        raise OSError("no connection")

    stage.sender._make_connection = fail
    stage.tell("Ada", "1")
    await stage.settle()
    assert stage.tally.waiting == 1
    assert "will retry" in caplog.text

    stage.sender._make_connection = make_connection
    stage.now += 100.0
    await stage.settle()
    assert stage.tally.delivered == 1


async def test_an_outbox_that_fails_once_keeps_the_event(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Stage()
    settle = stage.outbox.settle_delivered
    failures = [OSError("disk full")]

    def fail_once(*args: Any) -> None:
        if failures:
            raise failures.pop()
        settle(*args)

    monkeypatch.setattr(stage.outbox, "settle_delivered", fail_once)
    stage.tell("Ada", "1")
    await stage.settle()
    assert stage.tally.waiting == 1
    assert stage.connections[0].is_closed

    stage.now += 100.0
    await stage.settle()
    assert stage.tally.delivered == 1


async def test_an_outbox_that_gives_nothing_more_takes_nothing_back(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Stage()
    acquire = stage.outbox.acquire
    calls = iter([acquire])

    def fail_later(*args: Any) -> Any:
        return next(calls, fail)(*args)

    def fail(*args: Any) -> Any:
        raise OSError("disk full")

    monkeypatch.setattr(stage.outbox, "acquire", fail_later)
    stage.tell("Ada", "1")
    stage.sender.dispatch()
    await stage.sender._busy.copy().pop()

    assert (stage.tally.delivered, stage.tally.waiting) == (1, 0)
