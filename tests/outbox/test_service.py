"""The state of a service: breaker, pauses that the service asked for, and ramp-up."""

from __future__ import annotations

from typing import Any

import pytest

from passerby.outbox import service as service_module
from passerby.outbox.contract import ServiceReport
from passerby.outbox.service import FACTOR, FAILURES, LONGEST, MIN_RATE, RAMP_UP, ServiceState

LEASE = 30.0


@pytest.fixture(autouse=True)
def jitter(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses are the longest that may be."""
    monkeypatch.setattr(service_module, "_random", lambda: 1.0)


def report(state: ServiceState, kind: Any, now: float = 0.0, recorded: int = 0, after: float | None = None) -> None:
    state.report(ServiceReport("a", kind, after, pause=1.0), now, recorded)


def fail(state: ServiceState, times: int, now: float = 0.0, after: float | None = None) -> None:
    for _ in range(times):
        report(state, "failure", now, after=after)


def opened(now: float = 0.0) -> ServiceState:
    state = ServiceState()
    fail(state, FAILURES, now)
    return state


def probe(state: ServiceState, now: float) -> None:
    assert state.allowed(10, now) == 1
    state.claimed(1, LEASE, now)


def test_a_closed_breaker_lets_all_calls_through() -> None:
    state = ServiceState()

    assert (state.breaker(0.0), state.is_open, state.allowed(10, 0.0)) == ("closed", False, 10)
    assert state.next_call(0.0) < 0.0


def test_it_opens_at_so_many_failures_in_a_row() -> None:
    state = ServiceState()
    fail(state, FAILURES - 1)
    assert (state.breaker(0.0), state.allowed(10, 0.0)) == ("closed", 10)

    fail(state, 1)

    assert (state.breaker(0.0), state.is_open, state.allowed(10, 0.0)) == ("open", True, 0)


def test_an_answer_in_between_begins_the_count_anew() -> None:
    state = ServiceState()
    for _ in range(5):
        fail(state, FAILURES - 1)
        report(state, "success")

    assert state.breaker(0.0) == "closed"


def test_a_call_that_says_nothing_does_not_begin_the_count_anew() -> None:
    state = ServiceState()
    fail(state, FAILURES - 1)
    report(state, "abandoned")
    fail(state, 1)

    assert state.breaker(0.0) == "open"


def test_an_open_breaker_lets_one_probe_through_when_its_time_has_come() -> None:
    state = opened()

    assert [state.allowed(10, now) for now in (0.0, 0.99, 1.0)] == [0, 0, 1]
    assert state.allowed(0, 1.0) == 0
    assert state.next_call(0.0) == 1.0
    probe(state, 1.0)
    assert (state.breaker(1.0), state.allowed(10, 1.0)) == ("half-open", 0)
    assert state.next_call(1.0) == 1.0 + LEASE, "who asks again before that would keep a thread busy"


def test_a_probe_whose_process_died_leaves_room_for_another_when_its_lease_ends() -> None:
    state = opened()
    probe(state, 1.0)

    assert (state.breaker(1.0 + LEASE), state.allowed(10, 1.0 + LEASE)) == ("open", 1)


def test_a_good_probe_closes_it() -> None:
    state = opened()
    probe(state, 1.0)
    report(state, "success", 1.0)

    assert (state.breaker(1.0), state.is_open) == ("closed", False)
    assert state.allowed(10, 1.0 + RAMP_UP) == 10


def test_a_probe_that_says_nothing_leaves_room_for_another() -> None:
    state = opened()
    probe(state, 1.0)
    report(state, "abandoned", 1.0)

    assert (state.breaker(1.0), state.allowed(10, 1.0)) == ("open", 1)


@pytest.mark.parametrize(
    ("jitter", "pauses"),
    [
        (1.0, [1, 2, 4, 8, 16, LONGEST, LONGEST]),
        (0.0, [0.5, 1, 2, 4, 8, LONGEST / 2, LONGEST / 2]),
    ],
)
def test_each_bad_probe_doubles_the_pause_up_to_a_limit(
    monkeypatch: pytest.MonkeyPatch, jitter: float, pauses: list[float]
) -> None:
    monkeypatch.setattr(service_module, "_random", lambda: jitter)
    state = opened()
    now, seen = 0.0, []
    for _ in pauses:
        seen.append(state.next_call(now) - now)
        now = state.next_call(now)
        probe(state, now)
        fail(state, 1, now)

    assert seen == pauses


def test_the_pauses_begin_anew_after_it_was_closed() -> None:
    state = opened()
    fail(state, 1, 1.0)
    report(state, "success", 3.0)
    fail(state, FAILURES, 100.0)

    assert state.next_call(100.0) == 101.0


def test_calls_that_were_under_way_when_it_opened_do_not_lengthen_the_pause() -> None:
    state = ServiceState()
    fail(state, FAILURES + 9)

    assert state.next_call(0.0) == 1.0


@pytest.mark.parametrize("failures", [1, FAILURES])
def test_no_call_is_made_before_the_time_the_service_asked_for(failures: int) -> None:
    state = ServiceState()
    fail(state, failures, now=10.0, after=60.0)

    assert [state.allowed(10, now) > 0 for now in (10.0, 69.9, 70.0)] == [False, False, True]
    assert state.next_call(10.0) == 70.0


def test_a_shorter_wish_does_not_undo_a_longer_one() -> None:
    state = ServiceState()
    fail(state, 1, now=0.0, after=60.0)
    fail(state, 1, now=0.0, after=1.0)

    assert state.next_call(0.0) == 60.0


# Ramp-up: a service that comes back is not overrun.


class Traffic:
    """A service for which some events a second are recorded, and which always has a backlog."""

    def __init__(self, usual: float) -> None:
        self.usual = usual
        self.now = self.begun = 1_000.0
        self.recorded_before = 0
        self.state = ServiceState()

    @property
    def recorded(self) -> int:
        return self.recorded_before + int((self.now - self.begun) * self.usual)

    def change(self, usual: float) -> None:
        """Record another number of events a second from now on."""
        self.recorded_before, self.begun, self.usual = self.recorded, self.now, usual

    def answer(self, seconds: float, kind: str = "success", step: float = 0.1) -> None:
        """Let time pass, while calls say the same all the time."""
        for _ in range(round(seconds / step)):
            report(self.state, kind, self.now, self.recorded)
            self.now += step

    def recover(self) -> None:
        """Let the service fail for a moment, and respond again."""
        for _ in range(FAILURES):
            report(self.state, "failure", self.now, self.recorded)
        self.now = self.state.not_before
        report(self.state, "success", self.now, self.recorded)

    def send(self, seconds: float, step: float = 0.1) -> int:
        """Let time pass; return how many could be claimed."""
        sent, ends = 0, self.now + seconds
        while self.now < ends:
            claimed = self.state.allowed(1_000_000, self.now)
            self.state.claimed(claimed, LEASE, self.now)
            sent += claimed
            self.now += step
        return sent


@pytest.mark.parametrize("minutes", [5, 10, 15, 25])
@pytest.mark.parametrize("usual", [2.0, 50.0, 1_000.0])
def test_for_a_minute_it_gets_less_than_twice_what_comes_usually(usual: float, minutes: int) -> None:
    traffic = Traffic(usual)
    traffic.answer(60.0 * minutes)

    traffic.recover()
    sent = traffic.send(RAMP_UP)

    assert 0.9 * RAMP_UP * usual * FACTOR <= sent <= 1.05 * RAMP_UP * usual * FACTOR
    assert traffic.state.allowed(1_000_000, traffic.now + 0.1) == 1_000_000, "then as many as it takes"


@pytest.mark.parametrize("minutes", [9, 10, 11, 60])
def test_a_long_outage_does_not_hide_what_comes_usually(minutes: int) -> None:
    """While the service fails, events are recorded as before, and each probe is a report."""
    traffic = Traffic(100.0)
    traffic.answer(60.0)
    traffic.answer(60.0 * minutes, "failure", step=10.0)
    traffic.now = max(traffic.now, traffic.state.not_before)
    report(traffic.state, "success", traffic.now, traffic.recorded)

    assert traffic.send(RAMP_UP) == pytest.approx(RAMP_UP * 100.0 * FACTOR, rel=0.1)


def test_where_next_to_nothing_comes_it_gets_one_a_second() -> None:
    traffic = Traffic(0.01)
    traffic.answer(300)

    traffic.recover()

    assert traffic.send(RAMP_UP) == pytest.approx(RAMP_UP * MIN_RATE, rel=0.05)


def test_what_was_usual_long_ago_does_not_count() -> None:
    traffic = Traffic(100.0)
    traffic.answer(60)
    traffic.change(0.0)
    traffic.answer(1_300)

    traffic.recover()

    assert traffic.send(RAMP_UP) == pytest.approx(RAMP_UP * MIN_RATE, rel=0.05)


def test_one_may_go_at_once_and_the_next_when_it_says() -> None:
    state = opened()
    report(state, "success", 1_000.0)

    assert state.allowed(10, 1_000.0) == 1
    state.claimed(1, LEASE, 1_000.0)
    assert state.allowed(10, 1_000.0) == 0
    due = state.next_call(1_000.0)
    assert due == 1_000.0 + 1 / MIN_RATE
    assert state.allowed(10, due) == 1


def test_allowance_that_is_not_used_is_kept_for_a_second_at_most() -> None:
    state = opened()
    report(state, "success", 1_000.0)

    assert state.allowed(10, 1_000.0 + RAMP_UP / 2) == 1 + MIN_RATE


def test_nothing_is_held_back_once_a_flush_waits() -> None:
    state = opened()
    report(state, "success", 1_000.0)
    report(state, "hurry", 1_000.0)

    assert state.allowed(1_000_000, 1_000.0) == 1_000_000
    assert state.next_call(1_000.0) < 1_000.0
