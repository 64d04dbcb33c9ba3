"""What an operation costs does not depend on how many events wait."""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest

from passerby.old_outbox import Outbox

from .told import Listener, MakeOutbox, event_of

pytestmark = [pytest.mark.once, pytest.mark.long]

FEW, MANY = 1_000, 100_000
GENEROUS = 30  # a cost that grew with the number of events would be a hundredfold


def fill_with_visitors(outbox: Outbox, number: int) -> None:
    for visitor in range(number):
        outbox.put(event_of(f"visitor {visitor}"), ("a",), Listener(), 0.0)


def fill_with_one_visitor(outbox: Outbox, number: int) -> None:
    for _ in range(number):
        outbox.put(event_of("ada"), ("a",), Listener(), 0.0)


def fill_with_later_attempts(outbox: Outbox, number: int) -> None:
    fill_with_visitors(outbox, number)
    for due, entry in enumerate(outbox.acquire("a", number, 0.0)):
        outbox.settle_retry(entry, 1_000.0 + due)


def use(outbox: Outbox) -> None:
    """Let one more event go the whole way, beside what waits."""
    outbox.put(event_of("someone new"), ("a",), Listener(), 0.0)
    outbox.hold(event_of("someone else"), ("a",), Listener(), 0.0)
    outbox.release("someone else")
    retried, *rest = outbox.acquire("a", 3, 0.0)
    for entry in rest:
        outbox.settle_delivered(entry, None)
    outbox.settle_retry(retried, 0.0)
    outbox.next_due("a")
    outbox.tally("a")
    outbox.waiting()


def fewest_calls(action: Callable[[], object]) -> int:
    """How many calls it makes, where no thread has to be woken or waited for if that can be."""
    return min(count_calls(action) for _ in range(10))


def count_calls(action: Callable[[], object]) -> int:
    calls = 0

    def count(frame: FrameType, what: str, argument: Any) -> None:
        nonlocal calls
        calls += what in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        action()
    finally:
        sys.setprofile(before)
    return calls


def measure(action: Callable[[], object]) -> float:
    times: list[float] = []
    for _ in range(101):
        begun = time.thread_time()
        action()
        times.append(time.thread_time() - begun)
    return statistics.median(times)


@pytest.mark.parametrize("fill", [fill_with_visitors, fill_with_one_visitor, fill_with_later_attempts])
def test_the_cost_of_an_operation_is_flat(make_outbox: MakeOutbox, fill: Callable[[Outbox, int], None]) -> None:
    few, many = make_outbox(window=2 * MANY), make_outbox(window=2 * MANY)
    fill(few, FEW)
    fill(many, MANY)

    assert fewest_calls(lambda: use(many)) <= fewest_calls(lambda: use(few)) + 10
    assert measure(lambda: use(many)) <= measure(lambda: use(few)) * GENEROUS
