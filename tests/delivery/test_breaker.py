from __future__ import annotations

import logging

import pytest
from passerby.delivery.breaker import FAILURES, LONGEST, Breaker


def make_breaker(jitter: float = 1.0, shortest: float = 1.0) -> Breaker:
    return Breaker("sitecore", shortest=shortest, jitter=lambda: jitter)


def fail(breaker: Breaker, times: int, now: float = 0.0, after: float | None = None) -> None:
    for _ in range(times):
        breaker.begin()
        breaker.on_failure(now, "status 503", after)


def test_a_closed_breaker_lets_all_calls_through() -> None:
    breaker = make_breaker()

    assert (breaker.state, breaker.is_open, breaker.slots(0.0, 10), breaker.next_attempt_at()) == (
        "closed",
        False,
        10,
        0.0,
    )


def test_it_opens_at_so_many_failures_in_a_row() -> None:
    breaker = make_breaker()
    fail(breaker, FAILURES - 1)
    assert (breaker.state, breaker.slots(0.0, 10)) == ("closed", 10)

    fail(breaker, 1)

    assert (breaker.state, breaker.is_open, breaker.slots(0.0, 10)) == ("open", True, 0)


def test_an_answer_in_between_begins_the_count_anew() -> None:
    breaker = make_breaker()
    for _ in range(5):
        fail(breaker, FAILURES - 1)
        breaker.on_success()

    assert breaker.state == "closed"


def test_an_open_breaker_lets_one_probe_through_when_its_time_has_come() -> None:
    breaker = make_breaker()
    fail(breaker, FAILURES)

    assert [breaker.slots(now, 10) for now in (0.0, 0.99, 1.0)] == [0, 0, 1]
    assert breaker.slots(1.0, 0) == 0
    breaker.begin()
    assert (breaker.state, breaker.slots(1.0, 10)) == ("half-open", 0)


def test_a_good_probe_closes_it() -> None:
    breaker = make_breaker()
    fail(breaker, FAILURES)
    breaker.begin()
    breaker.on_success()

    assert (breaker.state, breaker.is_open, breaker.slots(1.0, 10)) == ("closed", False, 10)


def test_a_probe_that_says_nothing_leaves_room_for_another() -> None:
    breaker = make_breaker()
    fail(breaker, FAILURES)
    breaker.begin()
    breaker.on_abandoned()

    assert (breaker.state, breaker.slots(1.0, 10)) == ("open", 1)


@pytest.mark.parametrize(
    ("jitter", "pauses"),
    [
        (1.0, [1, 2, 4, 8, 16, LONGEST, LONGEST]),
        (0.0, [0.5, 1, 2, 4, 8, LONGEST / 2, LONGEST / 2]),
    ],
)
def test_each_bad_probe_doubles_the_pause_up_to_a_limit(jitter: float, pauses: list[float]) -> None:
    breaker = make_breaker(jitter)
    fail(breaker, FAILURES)
    now, seen = 0.0, []
    for _ in pauses:
        seen.append(breaker.next_attempt_at() - now)
        now = breaker.next_attempt_at()
        assert breaker.slots(now, 10) == 1
        fail(breaker, 1, now)

    assert seen == pauses


def test_the_pauses_begin_anew_after_it_was_closed() -> None:
    breaker = make_breaker()
    fail(breaker, FAILURES)
    fail(breaker, 1, 1.0)
    breaker.on_success()
    fail(breaker, FAILURES, 100.0)

    assert breaker.next_attempt_at() == 101.0


def test_calls_that_were_under_way_when_it_opened_do_not_lengthen_the_pause() -> None:
    breaker = make_breaker()
    fail(breaker, FAILURES + 9)

    assert breaker.next_attempt_at() == 1.0


@pytest.mark.parametrize("failures", [1, FAILURES])
def test_no_call_is_made_before_the_time_the_service_asked_for(failures: int) -> None:
    breaker = make_breaker()
    fail(breaker, failures, now=10.0, after=60.0)

    assert [breaker.slots(now, 10) > 0 for now in (10.0, 69.9, 70.0)] == [False, False, True]
    assert breaker.next_attempt_at() == 70.0


def test_a_shorter_wish_does_not_undo_a_longer_one() -> None:
    breaker = make_breaker()
    fail(breaker, 1, now=0.0, after=60.0)
    fail(breaker, 1, now=0.0, after=1.0)

    assert breaker.next_attempt_at() == 60.0


def test_the_log_has_one_warning_at_its_opening_and_one_line_at_its_closing(caplog: pytest.LogCaptureFixture) -> None:
    breaker = make_breaker()
    with caplog.at_level(logging.INFO, "passerby"):
        fail(breaker, FAILURES + 20)
        fail(breaker, 5, 1000.0)
        breaker.on_success()
        breaker.on_success()

    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("WARNING", "sitecore: 5 consecutive failures (status 503); delivery pauses and will retry"),
        ("INFO", "sitecore responds again; delivery continues"),
    ]
