"""What the outbox on disk costs whoever tells, how soon what was told is recorded, and what a large backlog takes.

The floor is SQLite alone: a table with one row per event, in commits of a hundred, by the thread that measures.
"""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import partial
from operator import truediv
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import uuid4

from passerby.client.receipt import Receipt
from passerby.events.event import Event, new_event_id
from passerby.old_outbox.sqlite import SqliteOutbox

from .measure import Result, Spread, cpu_of, pairwise, percentile, take_turns

TITLE = "the outbox on disk: CPU and wall clock of its callers, and when what they told is recorded"

ROUNDS = 9
BURST = 5_000
TOLD = 4_000  # at a thousand a second
FEW, MANY, LARGE = 1_000, 300_000, 30_000
COMMIT = 100  # events in each commit of the floor
PATIENCE = 300.0  # seconds
_NAMES = ("bench",)

BACKLOG = """
import resource, sys
from passerby.old_outbox.sqlite import SqliteOutbox
with open("/proc/self/statm") as file:
    before = int(file.read().split()[1])
outbox = SqliteOutbox(sys.argv[1], ["bench"])
outbox.start().result(300)
with open("/proc/self/statm") as file:
    print(outbox.waiting(), (int(file.read().split()[1]) - before) * resource.getpagesize())
outbox.close(60)
"""


def run() -> Iterator[Result]:
    with _fresh_outbox() as outbox:
        yield from _at_a_thousand_a_second(outbox)
    with _fresh_outbox() as outbox, _bare_table() as bare:
        rates = take_turns({"burst": partial(_burst, outbox), "floor": partial(_floor, bare)}, ROUNDS)
    yield Result("durable: recorded in a burst", Spread.of(rates["burst"]), "events/s")
    yield Result(f"durable: floor, commits of {COMMIT}", Spread.of(rates["floor"]), "events/s")
    yield Result("durable: recorded in a burst / floor", pairwise(truediv, rates["burst"], rates["floor"]), "x")
    with _fresh_outbox() as few, _fresh_outbox() as many:
        for outbox, number in ((few, FEW), (many, MANY)):
            _put_all(outbox, number)
        cost = take_turns({"few": partial(_steps, few), "many": partial(_steps, many)}, ROUNDS)
    yield Result(f"durable: put, acquire and settle, {FEW:,} wait", Spread.of(cost["few"]), "us")
    yield Result(f"durable: put, acquire and settle, {MANY:,} wait", Spread.of(cost["many"]), "us")
    yield Result(
        f"durable: put, acquire and settle, {MANY:,} wait / {FEW:,} wait",
        pairwise(truediv, cost["many"], cost["few"]),
        "x",
    )
    yield from _backlog("backlog", MANY, size=3_000)
    yield from _backlog("backlog of large events", LARGE, size=30_000)


class _Clock(Receipt):
    """A receipt that notes when its event is recorded."""

    __slots__ = ("recorded",)

    def on_stored(self) -> None:
        self.recorded = time.perf_counter()


def _at_a_thousand_a_second(outbox: SqliteOutbox) -> Iterator[Result]:
    puts: list[float] = []
    begun: list[float] = []
    receipts: list[_Clock] = []
    due = time.perf_counter()
    for _ in range(TOLD):
        event = _event()
        receipt = _Clock(event.id, _NAMES)
        receipts.append(receipt)
        due += 0.001
        time.sleep(max(0.0, due - time.perf_counter()))
        begun.append(time.perf_counter())
        outbox.put(event, _NAMES, receipt, 0.0)
        puts.append((time.perf_counter() - begun[-1]) * 1e6)
    _wait_stored(outbox)
    waits = [(receipt.recorded - moment) * 1e3 for receipt, moment in zip(receipts, begun, strict=True)]
    for percent in (50, 99):
        yield Result(f"durable: put, p{percent}", Spread.exact(percentile(puts, percent)), "us, wall clock")
    for percent in (50, 99):
        yield Result(f"durable: recorded after, p{percent}", Spread.exact(percentile(waits, percent)), "ms, wall clock")


def _burst(outbox: SqliteOutbox) -> float:
    events = [_event() for _ in range(BURST)]
    begun = time.perf_counter()
    for event in events:
        outbox.put(event, _NAMES, Receipt(event.id, _NAMES), 0.0)
    _wait_stored(outbox)
    rate = BURST / (time.perf_counter() - begun)
    _deliver_all(outbox)
    return rate


def _floor(connection: sqlite3.Connection) -> float:
    rows = [(event.id, event.visitor, b"x" * 600) for event in (_event() for _ in range(BURST))]
    begun = time.perf_counter()
    for place in range(0, BURST, COMMIT):
        with connection:
            connection.executemany("INSERT INTO event VALUES (NULL, ?, ?, ?)", rows[place : place + COMMIT])
    return BURST / (time.perf_counter() - begun)


def _steps(outbox: SqliteOutbox) -> float:
    events = [_event() for _ in range(1_000)]

    def work() -> None:
        for event in events:
            outbox.put(event, _NAMES, Receipt(event.id, _NAMES), 0.0)
            (entry,) = outbox.acquire("bench", 1, 0.0)
            outbox.settle_delivered(entry, None)

    cost = cpu_of(work).thread * 1e6 / len(events)
    _wait_stored(outbox)
    outbox.start().result(PATIENCE)  # its pages are read again
    return cost


def _backlog(name: str, number: int, size: int) -> Iterator[Result]:
    with TemporaryDirectory() as folder:
        outbox = SqliteOutbox(folder, _NAMES)
        _put_all(outbox, number, size)
        if not outbox.close(PATIENCE):
            raise RuntimeError("the backlog is not written")
        on_disk = sum(file.stat().st_size for file in Path(folder).iterdir())
        found = subprocess.run(
            [sys.executable, "-c", BACKLOG, folder], capture_output=True, text=True, check=True, timeout=PATIENCE
        )
    found_again, growth = map(int, found.stdout.split())
    if found_again != number:
        raise RuntimeError(f"{found_again} of {number} events were found again")
    yield Result(f"durable: {name} on disk", Spread.exact(on_disk / 1e6), "MB")
    yield Result(f"durable: memory for a {name}", Spread.exact(growth / 1e6), "MB")


@contextmanager
def _fresh_outbox() -> Iterator[SqliteOutbox]:
    with TemporaryDirectory() as folder:
        outbox = SqliteOutbox(folder, _NAMES)
        yield outbox
        outbox.close(PATIENCE)


@contextmanager
def _bare_table() -> Iterator[sqlite3.Connection]:
    with TemporaryDirectory() as folder, closing(sqlite3.connect(Path(folder) / "floor")) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("CREATE TABLE event (number INTEGER PRIMARY KEY, id TEXT, visitor TEXT, body BLOB)")
        yield connection


def _put_all(outbox: SqliteOutbox, number: int, size: int = 0) -> None:
    for count in range(number):
        event = _event(size)
        outbox.put(event, _NAMES, Receipt(event.id, _NAMES), 0.0)
        if count % 500 == 0:  # as fast as the disk takes them, not faster
            _wait_stored(outbox)
    _wait_stored(outbox)
    outbox.start().result(PATIENCE)


def _deliver_all(outbox: SqliteOutbox) -> None:
    while outbox.waiting():
        for entry in outbox.acquire("bench", BURST, 0.0):
            outbox.settle_delivered(entry, None)
        outbox.start().result(PATIENCE)


def _wait_stored(outbox: SqliteOutbox) -> None:
    if not outbox.flush_to_disk(PATIENCE):
        raise RuntimeError("not recorded: " + outbox.state)


def _event(size: int = 0) -> Event:
    browser_id = str(uuid4())
    note = os.urandom(size // 2).hex() if size else "dark"
    data = {"page": "Shoes", "channel": "WEB", "currency": "EUR"}
    return Event(new_event_id(), "page_view", None, time.time(), browser_id, browser_id, None, data, {"note": note})
