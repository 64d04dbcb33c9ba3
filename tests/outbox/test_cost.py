"""What an exchange costs does not depend on how many events wait: steps of SQLite's machine, not time."""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest

from passerby.outbox.contract import Quotas
from passerby.outbox.memory import MemoryStore

from .conftest import MakeSqlite
from .process import Clock, Process, event_of, is_long, recorded_of

FEW, MANY = (1_000, 100_000) if is_long() else (300, 12_000)
FACTOR = 2.0  # the goal: flat within 2x


def fill(process: Process, number: int) -> None:
    for start in range(0, number, 200):
        events = [event_of(f"visitor {each}", user_id=f"user {each}") for each in range(start, start + 200)]
        process.record(*events)


def operations(process: Process, clock: Clock) -> dict[str, Callable[[], object]]:
    """Return what a process does, each for one event."""

    def deliver() -> None:
        (claim,) = process.claim(limit=1)
        process.settle([claim], "delivered")

    def retry() -> None:
        (claim,) = process.claim(limit=1)
        process.settle([claim], "retry", after=1e6, reason="busy")

    def kill() -> None:
        (claim,) = process.claim(limit=1)
        process.settle([claim], "dead", reason="no")

    def hold_and_release() -> None:
        process.hold("holder")
        process.command("release", "holder")

    def link() -> None:
        process.put("visit 7", is_linked=False)
        process.link("visit 7", "visitor 17")

    return {
        "record": lambda: process.send(recorded=[recorded_of(event_of("new"))]),
        "deliver": deliver,
        "retry": retry,
        "kill": kill,
        "hold and release": hold_and_release,
        "purge a visitor": lambda: process.command("purge_visitor", "visitor 33"),
        "purge a user": lambda: process.command("purge_visitor", "user 44"),
        "link": link,
        "counts": process.counts,
        "nothing": lambda: process.send(number=0),
    }


class Steps:
    """Counts the steps of SQLite's virtual machine."""

    def __init__(self) -> None:
        self.count = 0

    def follow(self, connection: sqlite3.Connection) -> None:
        connection.set_progress_handler(self.step, 1)

    def step(self) -> int:
        self.count += 1
        return 0

    def of(self, operation: Callable[[], object]) -> int:
        self.count = 0
        operation()
        return self.count


def python_calls(operation: Callable[[], object]) -> int:
    count = 0

    def trace(frame: FrameType, event: str, argument: Any) -> None:
        nonlocal count
        count += event == "call"

    sys.setprofile(trace)
    try:
        operation()
    finally:
        sys.setprofile(None)
    return count


@pytest.mark.timeout(600)
def test_each_operation_on_disk_visits_as_many_rows_whatever_waits(make_sqlite: MakeSqlite, tmp_path: Any) -> None:
    """Decision "purge", and the goal "each cost flat": counted steps of SQLite."""
    steps: list[dict[str, int]] = []
    for number in (FEW, MANY):
        clock, counted = Clock(), Steps()
        quotas = Quotas(max_events=10_000_000)
        store = make_sqlite(tmp_path / str(number), clock=clock, quotas=quotas, on_connect=counted.follow)
        process = Process(store)
        fill(process, number)
        for each in operations(process, clock).values():  # what is done once for each connection
            each()
        steps.append({name: counted.of(each) for name, each in operations(process, clock).items()})
    few, many = steps
    assert all(many[name] <= FACTOR * few[name] + 50 for name in few), (few, many)


@pytest.mark.timeout(600)
def test_each_operation_in_memory_calls_as_much_whatever_waits() -> None:
    calls: list[dict[str, int]] = []
    for number in (FEW, MANY):
        clock = Clock()
        process = Process(MemoryStore(Quotas(max_events=10_000_000), clock))
        fill(process, number)
        for each in operations(process, clock).values():
            each()
        calls.append({name: python_calls(each) for name, each in operations(process, clock).items()})
    few, many = calls
    assert all(many[name] <= FACTOR * few[name] + 20 for name in few), (few, many)


def test_the_partition_of_a_bot_costs_no_more(make_sqlite: MakeSqlite, clock: Clock) -> None:
    """What must be survived: a bot's partition of 50,000."""
    counted = Steps()
    process = Process(make_sqlite(clock=clock, on_connect=counted.follow))
    for _ in range(40 if is_long() else 5):
        process.record(*[event_of("bot") for _ in range(200)])
    recorded = process.put("ada")
    few = counted.of(lambda: process.settle(process.claim(limit=1), "delivered"))
    for _ in range(200 if is_long() else 45):
        process.record(*[event_of("bot") for _ in range(200)])
    many = counted.of(lambda: process.settle(process.claim(limit=1), "delivered"))
    assert many <= FACTOR * few
    assert recorded in {claim.event_id for claim in process.claim()}
