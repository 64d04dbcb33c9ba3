"""U17: a service that comes back is not overrun."""

from __future__ import annotations

import pytest
from passerby.delivery.ramp_up import DURATION, FACTOR, MIN_RATE, RampUp


class Stage:
    """A service to which some events a second are told, and what a sender with nothing else in its way sends it."""

    def __init__(self, usual: float) -> None:
        self.usual = usual
        self.now = 1_000.0
        self.begun = self.now
        self.recovery = RampUp(lambda: int((self.now - self.begun) * usual))

    def pass_time(self, seconds: float, step: float = 0.1) -> int:
        """Let time pass; return how many were sent."""
        sent = 0
        ends = self.now + seconds
        while self.now < ends:
            self.recovery.sample(self.now)
            room = self.recovery.room(self.now)
            if room:
                self.recovery.spend(room)
                sent += room
            self.now += step
        return sent


@pytest.mark.parametrize("usual", [2.0, 50.0, 1_000.0])
def test_for_a_minute_it_gets_less_than_twice_what_comes_usually(usual: float) -> None:
    stage = Stage(usual)
    stage.pass_time(300)

    stage.recovery.start(stage.now)
    sent = stage.pass_time(DURATION)

    assert 0.9 * DURATION * usual * FACTOR <= sent <= 1.05 * DURATION * usual * FACTOR
    assert stage.recovery.room(stage.now) is None, "then as many as it takes"


def test_where_next_to_nothing_comes_it_gets_one_a_second() -> None:
    stage = Stage(0.01)
    stage.pass_time(300)

    stage.recovery.start(stage.now)

    assert DURATION * MIN_RATE * 0.95 <= stage.pass_time(DURATION) <= DURATION * MIN_RATE * 1.05


def test_what_was_usual_long_ago_does_not_count() -> None:
    stage = Stage(100.0)
    stage.pass_time(60)
    told = stage.recovery._count()
    stage.recovery = RampUp(lambda: told)
    stage.pass_time(1_200)

    stage.recovery.start(stage.now)

    assert stage.pass_time(DURATION) <= DURATION * MIN_RATE * 1.05


def test_one_may_go_at_once_and_the_next_when_it_says() -> None:
    stage = Stage(0.0)
    stage.recovery.start(stage.now)

    assert stage.recovery.room(stage.now) == 1
    stage.recovery.spend(1)
    assert stage.recovery.room(stage.now) == 0
    due = stage.recovery.due(stage.now)
    assert due == stage.now + 1 / MIN_RATE
    assert stage.recovery.room(due) == 1


def test_nothing_is_held_back_once_somebody_waits_for_all() -> None:
    stage = Stage(0.0)
    stage.recovery.start(stage.now)
    stage.recovery.stop()

    assert stage.recovery.room(stage.now) is None
    assert stage.recovery.due(stage.now) is None
