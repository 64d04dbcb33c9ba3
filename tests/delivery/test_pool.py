from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from passerby.browser_ids.pool import MAX_SIZE, BrowserIdCounts, BrowserIdPool
from passerby.values.browser_id import IssuedId
from tests.outbox.process import Clock


class Filled:
    """A pool with someone who fills it at once, or when asked."""

    def __init__(self, spare: int = 2) -> None:
        self.clock = Clock()
        self.demands = 0
        self.pool = BrowserIdPool(self.on_demand, spare, self.clock)
        self.serial = 0

    def on_demand(self) -> None:
        self.demands += 1

    def fill(self) -> int:
        """Make what is missing; return how many that were."""
        missing = self.pool.missing()
        for _ in range(missing):
            self.pool.expect()
        for _ in range(missing):
            self.serial += 1
            self.pool.add(IssuedId(f"ID {self.serial}"))
        return missing


def test_two_are_kept_ready_when_nobody_comes() -> None:
    filled = Filled()

    assert filled.pool.missing() == 2
    assert filled.fill() == 2
    assert filled.pool.missing() == 0
    assert filled.pool.counts == BrowserIdCounts(made=2, assigned=0, returned=0, ready=2, failed=0)


def test_those_that_are_coming_are_not_asked_for_again() -> None:
    pool = Filled().pool
    pool.expect()
    assert pool.missing() == 1
    pool.expect()
    assert pool.missing() == 0


def test_ids_are_taken_in_their_order_and_each_once() -> None:
    filled = Filled()
    filled.fill()

    assert [filled.pool.take() for _ in range(3)] == [IssuedId("ID 1"), IssuedId("ID 2"), None]
    assert filled.demands == 3, "whoever fills the pool hears of each"
    assert filled.pool.counts == BrowserIdCounts(made=2, assigned=2, returned=0, ready=0, failed=0)


@pytest.mark.parametrize(("per_second", "target"), [(1, 2), (2, 2), (10, 10), (50, 50), (1000, MAX_SIZE)])
def test_about_one_second_of_new_visitors_is_kept_ready(per_second: int, target: int) -> None:
    filled = Filled()
    for _ in range(3 * per_second):
        filled.clock.now += 1 / per_second
        filled.pool.take()
        filled.fill()

    assert filled.pool.counts.ready in (target, target + 1)


def test_after_a_burst_no_more_are_made_and_what_is_left_is_used_up() -> None:
    """What is made and never used is a phantom guest: there are no more of them than of one second's visitors."""
    filled = Filled()
    filled.fill()
    for _ in range(60):
        filled.clock.now += 1 / 30
        filled.pool.take()
        filled.fill()
    left = filled.pool.counts.ready
    assert left <= 31

    made = filled.pool.counts.made
    for _ in range(left - 2):
        filled.clock.now += 60.0
        assert filled.pool.take() is not None
        assert filled.fill() == 0, "in calm times what is left is used first"

    assert filled.pool.counts.made == made
    assert filled.pool.counts.ready == 2


def test_without_spare_ids_none_is_made_ahead() -> None:
    filled = Filled(spare=0)
    for _ in range(100):
        assert filled.pool.take() is None
    assert filled.pool.missing() == 0

    waiter = filled.pool.wait()
    assert filled.fill() == 1
    assert waiter.result(0) == IssuedId("ID 1")
    assert filled.pool.counts == BrowserIdCounts(made=1, assigned=1, returned=0, ready=0, failed=0)


def test_who_waits_is_served_in_turn_and_asked_for() -> None:
    filled = Filled()
    waiters = [filled.pool.wait() for _ in range(3)]

    assert filled.demands == 3
    assert filled.fill() == 5, "one for each who waits, and the spare ones"
    assert [waiter.result(0) for waiter in waiters] == [IssuedId("ID 1"), IssuedId("ID 2"), IssuedId("ID 3")]
    assert filled.pool.counts == BrowserIdCounts(made=5, assigned=3, returned=0, ready=2, failed=0)


def test_who_gave_up_waiting_gets_nothing_and_costs_nothing() -> None:
    filled = Filled(spare=0)
    gone, patient = filled.pool.wait(), filled.pool.wait()
    assert gone.cancel()

    assert filled.fill() == 1
    assert patient.result(0) == IssuedId("ID 1")


def test_an_id_that_comes_too_late_is_kept_for_the_next() -> None:
    filled = Filled(spare=0)
    waiter = filled.pool.wait()
    filled.pool.expect()
    waiter.cancel()
    filled.pool.add(IssuedId("late"))

    assert filled.pool.take() == IssuedId("late")


def test_a_failure_lets_all_who_wait_go_on_without() -> None:
    filled = Filled()
    waiters = [filled.pool.wait() for _ in range(2)]
    filled.pool.expect()
    filled.pool.fail()

    assert [waiter.result(0) for waiter in waiters] == [None, None]
    assert filled.pool.counts == BrowserIdCounts(made=0, assigned=0, returned=0, ready=0, failed=1)
    assert filled.pool.missing() == 2


def test_an_unused_id_comes_back_and_goes_to_the_next() -> None:
    filled = Filled()
    filled.fill()
    browser_id = filled.pool.take()
    assert browser_id is not None

    filled.pool.put_back(browser_id)

    assert filled.pool.counts == BrowserIdCounts(made=2, assigned=0, returned=1, ready=2, failed=0)
    assert filled.pool.missing() == 0
    assert browser_id in [filled.pool.take() for _ in range(2)]


def test_an_unused_id_goes_to_who_waits() -> None:
    filled = Filled(spare=1)
    filled.fill()
    browser_id = filled.pool.take()
    assert browser_id is not None
    waiter = filled.pool.wait()

    filled.pool.put_back(browser_id)

    assert waiter.result(0) == browser_id


def test_who_comes_to_wait_gets_the_id_that_is_ready() -> None:
    filled = Filled(spare=0)
    filled.pool.wait()
    filled.fill()
    filled.pool.put_back(IssuedId("ID 1"))

    assert filled.pool.wait().result(0) == IssuedId("ID 1")
    assert filled.pool.missing() == 0


def test_ids_made_at_sending_count_as_assigned() -> None:
    pool = Filled().pool
    pool.expect()
    pool.count_direct()

    assert pool.counts == BrowserIdCounts(made=1, assigned=1, returned=0, ready=0, failed=0)
    assert pool.missing() == 2


def test_a_pool_begun_afresh_holds_nothing_of_the_parents() -> None:
    filled = Filled()
    filled.fill()
    filled.pool.take()
    filled.pool.expect()

    filled.pool.reset_after_fork()

    assert filled.pool.take() is None
    assert filled.pool.counts == BrowserIdCounts(made=0, assigned=0, returned=0, ready=0, failed=0)
    assert filled.pool.missing() == 2


def test_threads_never_get_the_same_id() -> None:
    filled = Filled()
    got: list[IssuedId] = []
    done = threading.Event()

    def come() -> None:
        for number in range(300):
            browser_id = filled.pool.take() or filled.pool.wait().result(30)
            assert browser_id is not None
            if number % 7 == 0:
                filled.pool.put_back(browser_id)
            else:
                got.append(browser_id)

    def fill() -> None:
        while not done.is_set():
            filled.fill()

    with ThreadPoolExecutor(7) as threads:
        filling = threads.submit(fill)
        for coming in [threads.submit(come) for _ in range(6)]:
            coming.result()
        done.set()
        filling.result()

    assert len(got) == len(set(got)) == 6 * (300 - 43)
    counts = filled.pool.counts
    assert (counts.made, counts.assigned) == (len(got) + counts.ready, len(got))


def test_what_others_left_unused_is_claimed_before_more_is_made() -> None:
    filled = Filled(spare=3)
    filled.pool.expect(3)

    filled.pool.claim([IssuedId("old 1"), IssuedId("old 2")], 3)

    assert filled.fill() == 1
    assert [filled.pool.take() for _ in range(3)] == [IssuedId("old 1"), IssuedId("old 2"), IssuedId("ID 1")]
    assert filled.pool.counts == BrowserIdCounts(made=1, assigned=3, returned=0, ready=0, failed=0, claimed=2)


def test_what_is_ready_is_left_to_others_at_the_end() -> None:
    filled = Filled()
    filled.fill()
    assert filled.pool.take() == IssuedId("ID 1")

    assert filled.pool.drain() == [IssuedId("ID 2")]

    assert filled.pool.take() is None
    assert filled.pool.counts == BrowserIdCounts(made=2, assigned=1, returned=0, ready=0, failed=0, kept=1)


def test_ids_that_come_back_unused_are_no_reason_for_more() -> None:
    filled = Filled()
    filled.fill()
    for _ in range(100):
        browser_id = filled.pool.take()
        assert browser_id is not None
        filled.fill()
        filled.pool.put_back(browser_id)
    assert filled.serial <= 3
    assert filled.pool.missing() == 0
