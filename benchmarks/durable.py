"""What the outbox costs its callers, how soon events are stored, and what a backlog takes; without delivery.

Events have some 700 bytes. The floor is SQLite alone: a table with one row per event, in commits of a hundred.
"""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from functools import partial
from operator import truediv
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import uuid4

from passerby.client.receipt import Receipt
from passerby.events.event import Event, new_event_id
from passerby.outbox.codec import encode
from passerby.outbox.contract import (
    ClaimRequest,
    EventStore,
    ExchangeBatch,
    Quotas,
    RecordedEvent,
    Settlement,
    StoreCommand,
)
from passerby.outbox.memory import MemoryStore
from passerby.outbox.outbox import Outbox
from passerby.outbox.sqlite import SqliteStore

from .measure import Result, Spread, cpu_of, pairwise, percentile, take_turns

TITLE = "the outbox without delivery: calls, waits, bursts, backlogs; in memory and on disk"

ROUNDS = 5
RATE = 250  # events a second of each process
SECONDS = 4.0
PROCESSES = 4
BURST = 4_000
COMMIT = 100  # events in each commit of the floor
SINGLES = 2_000
BACKLOGS = (1_000, 100_000)
LARGE = 60_000  # of some 16 KB: 1 GB
NAMES = ("bench",)
MANY = Quotas(max_events=10_000_000, max_bytes=1 << 40)

BACKLOG = """
import resource, sys, time
from passerby.outbox.contract import ClaimRequest, ExchangeBatch, Quotas, Settlement
from passerby.outbox.sqlite import SqliteStore
def memory():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()
before = memory()
store = SqliteStore(sys.argv[1], quotas=Quotas(max_events=10_000_000, max_bytes=1 << 40))
outcomes = []
for number in range(1, 51):
    wanted = [ClaimRequest("bench", 20, 30.0, (1,))]
    result = store.exchange(ExchangeBatch("b", number, 0.0, outcomes=outcomes, wanted=wanted, counts=True))
    outcomes = [Settlement(claim, "delivered") for claim in result.claimed]
print(result.counts["bench"].waiting, memory() - before)
store.close()
"""


class Subject:
    """An outbox before a store, in memory or on disk."""

    def __init__(self, directory: str | None) -> None:
        self.store: EventStore = MemoryStore(MANY) if directory is None else SqliteStore(directory, quotas=MANY)
        self.outbox = Outbox(self.store)

    def put(self, event: Event) -> None:
        self.outbox.record(event, NAMES, Receipt(event.id, NAMES))

    def put_and_wait(self, event: Event) -> None:
        ticket = self.outbox.record(event, NAMES, Receipt(event.id, NAMES), is_awaited=True)
        if not self.outbox.wait_stored(ticket, None):
            raise RuntimeError("not stored")

    def burst(self, events: Sequence[Event]) -> None:
        process = Exchanges(self.store)
        for start in range(0, len(events), 200):
            process.record(events[start : start + 200])
        process.deliver(len(events), 200)

    def close(self) -> None:
        self.outbox.close(60)


class Exchanges:
    """A process that exchanges batches with a store directly."""

    def __init__(self, store: EventStore) -> None:
        self.store = store
        self.name = uuid4().hex
        self.number = 0

    def send(self, **parts: Any) -> Any:
        self.number += 1
        return self.store.exchange(ExchangeBatch(self.name, self.number, 0.0, **parts))

    def record(self, events: Sequence[Event]) -> None:
        self.send(recorded=[RecordedEvent(event.id, event.visitor, NAMES, encode(event), 0.0) for event in events])

    def deliver(self, number: int, limit: int) -> None:
        outcomes: list[Settlement] = []
        while number > 0 or outcomes:
            wanted = [ClaimRequest("bench", min(limit, number), 30.0, (1,))] if number > 0 else []
            claimed = self.send(outcomes=outcomes, wanted=wanted).claimed
            outcomes = [Settlement(claim, "delivered") for claim in claimed]
            number -= len(claimed)


def run() -> Iterator[Result]:
    for kind in ("memory", "sqlite"):
        yield from _at_a_rate(kind)
    yield from _together()
    for kind in ("memory", "sqlite"):
        yield from _bursts(kind)
    yield from _stored_in_a_burst()
    yield from _singles()
    yield from _flat()
    yield from _backlog()


@contextmanager
def opened(kind: str) -> Iterator[Subject]:
    with TemporaryDirectory() as directory:
        outbox = Subject(None if kind == "memory" else directory)
        yield outbox
        outbox.close()


def _at_a_rate(kind: str) -> Iterator[Result]:
    """One process at 250 events a second, with a thread that computes now and then as an app does."""
    rounds = [_rate_of(kind) for _ in range(ROUNDS)]
    puts = [value for puts, _, _ in rounds for value in puts]
    for percent in (50, 99):
        value = Spread.exact(percentile(puts, percent))
        yield Result(f"durable: put at {RATE}/s, {kind}, p{percent}", value, "us, wall clock")
    yield Result(f"durable: CPU per event at {RATE}/s, {kind}", Spread.of(cpu for _, _, cpu in rounds), "us")


def _rate_of(kind: str) -> tuple[list[float], list[float], float]:
    with opened(kind) as outbox:
        for _ in range(50):
            outbox.put_and_wait(_event())
        return _pace(outbox, SECONDS / 2)


def _pace(outbox: Subject, seconds: float) -> tuple[list[float], list[float], float]:
    """Return microseconds of each put, milliseconds until each is stored, and CPU microseconds per event."""
    puts: list[float] = []
    waits: list[float] = []
    events = [_event() for _ in range(int(RATE * seconds))]
    done = threading.Semaphore(0)

    def note(begun: float, _: object) -> None:
        waits.append((time.perf_counter() - begun) * 1e3)
        done.release()

    idle = cpu_of(lambda: _sleep(len(events), lambda event: None, events)).process

    def put(event: Event) -> None:
        begun = time.perf_counter()
        outbox.put(event)
        puts.append((time.perf_counter() - begun) * 1e6)
        outbox.outbox.when_stored().add_done_callback(partial(note, begun))

    used = cpu_of(lambda: _sleep(len(events), put, events)).process
    for _ in events:
        done.acquire()
    return puts, waits, (used - idle) * 1e6 / len(events)


def _sleep(number: int, act: Callable[[Event], object], events: Sequence[Event]) -> None:
    due = time.perf_counter()
    for event in events[:number]:
        due += 1 / RATE
        time.sleep(max(0.0, due - time.perf_counter()))
        act(event)


def _together() -> Iterator[Result]:
    """Four processes at once on one file."""
    waits = [value for _ in range(3) for value in _waits_of_processes()]
    for percent in (50, 99):
        value = Spread.exact(percentile(waits, percent))
        yield Result(f"durable: stored, {PROCESSES} processes, p{percent}", value, "ms, wall clock")


def _waits_of_processes() -> list[float]:
    with TemporaryDirectory() as directory:
        command = [sys.executable, "-m", "benchmarks.durable", directory]
        children = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(PROCESSES)]
        outputs = [child.communicate(timeout=120)[0] for child in children]
    return [float(line) for output in outputs for line in output.split()]


def _bursts(kind: str) -> Iterator[Result]:
    with opened(kind) as outbox:
        values = [_burst(outbox) for _ in range(ROUNDS)]
    yield Result(f"durable: put, claim, settle in a burst, {kind}", Spread.of(values), "us CPU an event")


def _burst(outbox: Subject) -> float:
    events = [_event() for _ in range(BURST)]
    return cpu_of(lambda: outbox.burst(events)).process * 1e6 / BURST


def _stored_in_a_burst() -> Iterator[Result]:
    with opened("sqlite") as outbox, _bare_table() as bare:
        rates = take_turns({"burst": partial(_stored_rate, outbox), "floor": partial(_floor, bare)}, ROUNDS)
    yield Result("durable: stored in a burst", Spread.of(rates["burst"]), "events/s")
    yield Result(f"durable: floor, commits of {COMMIT}", Spread.of(rates["floor"]), "events/s")
    yield Result("durable: stored in a burst / floor", pairwise(truediv, rates["burst"], rates["floor"]), "x")


def _stored_rate(outbox: Subject) -> float:
    events = [_event() for _ in range(BURST)]
    begun = time.perf_counter()
    for event in events:
        outbox.put(event)
    outbox.outbox.when_stored().result(60)
    return BURST / (time.perf_counter() - begun)


@contextmanager
def _bare_table() -> Iterator[sqlite3.Connection]:
    with TemporaryDirectory() as folder, closing(sqlite3.connect(Path(folder) / "floor")) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("CREATE TABLE event (number INTEGER PRIMARY KEY, id TEXT, visitor TEXT, body BLOB)")
        yield connection


def _floor(connection: sqlite3.Connection) -> float:
    rows = [(event.id, event.visitor, b"x" * 600) for event in (_event() for _ in range(BURST))]
    begun = time.perf_counter()
    for place in range(0, BURST, COMMIT):
        with connection:
            connection.executemany("INSERT INTO event VALUES (NULL, ?, ?, ?)", rows[place : place + COMMIT])
    return BURST / (time.perf_counter() - begun)


def _singles() -> Iterator[Result]:
    with opened("sqlite") as outbox:
        measured = [_single(outbox) for _ in range(ROUNDS)]
    yield Result("durable: stored when the call returns", Spread.of(rate for rate, _ in measured), "events/s")
    yield Result("durable: the same, CPU", Spread.of(cpu for _, cpu in measured), "us an event")


def _single(outbox: Subject) -> tuple[float, float]:
    events = [_event() for _ in range(SINGLES)]
    begun = time.perf_counter()

    def work() -> None:
        for event in events:
            outbox.put_and_wait(event)

    cpu = cpu_of(work).process
    return SINGLES / (time.perf_counter() - begun), cpu * 1e6 / SINGLES


def _flat() -> Iterator[Result]:
    sizes = (*BACKLOGS, 1_000_000) if os.environ.get("MILLION") == "1" else BACKLOGS
    for kind in ("memory", "sqlite"):
        measured: dict[int, list[float]] = {}
        for size in sizes:
            with opened(kind) as subject:
                process = Exchanges(subject.store)
                for start in range(0, size, 200):
                    process.record([_event() for _ in range(min(200, size - start))])
                measured[size] = [_step(process) for _ in range(ROUNDS)]
                purge = cpu_of(partial(_purge, process)).thread * 1e3
            name = f"{kind}, {size:,} wait"
            yield Result(
                f"durable: put, claim, settle one by one, {name}", Spread.of(measured[size]), "us CPU an event"
            )
            yield Result(f"durable: purge of a visitor, {name}", Spread.exact(purge), "ms CPU")
        ratio = pairwise(truediv, measured[sizes[-1]], measured[sizes[0]])
        yield Result(f"durable: {kind}, {sizes[-1]:,} wait / {sizes[0]:,} wait", ratio, "x")


def _step(process: Exchanges) -> float:
    events = [_event() for _ in range(500)]

    def work() -> None:
        for event in events:
            process.record([event])
            process.deliver(1, 1)

    return cpu_of(work).thread * 1e6 / len(events)


def _purge(process: Exchanges) -> None:
    process.send(requests=[StoreCommand("purge_visitor", "unknown")])


def _backlog() -> Iterator[Result]:
    with TemporaryDirectory() as directory:
        store = SqliteStore(directory, quotas=MANY)
        process = Exchanges(store)
        for _ in range(0, LARGE, 100):
            process.record([_event(16_000) for _ in range(100)])
        store.close()
        size = sum(file.stat().st_size for file in Path(directory).rglob("*") if file.is_file())
        output = subprocess.run([sys.executable, "-c", BACKLOG, directory], capture_output=True, text=True, check=True)
    _, growth = map(int, output.stdout.split())
    yield Result("durable: backlog on disk", Spread.exact(size / 1e6), "MB")
    yield Result("durable: memory for a backlog", Spread.exact(growth / 1e6), "MB")


def _event(size: int = 400) -> Event:
    browser_id = str(uuid4())
    data = {"page": "Shoes", "channel": "WEB", "currency": "EUR", "note": os.urandom(size // 2).hex()}
    return Event(new_event_id(), "page_view", None, time.time(), browser_id, browser_id, None, data, {"theme": "dark"})


def main(directory: str) -> None:
    """Print how long each event of this process took to be stored."""
    outbox = Subject(directory)
    for _ in range(50):
        outbox.put_and_wait(_event())
    print(*_pace(outbox, SECONDS)[1], sep="\n")
    outbox.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
