"""Memory that an event takes while it waits, and whether it costs the same however many others wait."""

from __future__ import annotations

import gc
import time
import tracemalloc
from collections.abc import Callable, Iterator
from functools import partial
from operator import truediv
from uuid import uuid4

from passerby import Tracking
from passerby.client.receipt import Receipt
from passerby.events.event import Event, new_event_id
from passerby.outbox.contract import ClaimedEvent, Quotas
from passerby.outbox.inflight import DeliveryWish
from passerby.outbox.memory import MemoryStore
from passerby.outbox.outbox import Outbox

from .measure import Result, Spread, cpu_of, pairwise, take_turns
from .traffic import COOKIE_NAME, scope_with, silent_tracking

TITLE = "bytes per waiting event by tracemalloc, context and receipt included; CPU of the outbox per event, all threads"

ROUNDS = 15
STEPS = 2_000  # a round
FEW, SOME, MANY = 1_000, 10_000, 100_000
_NAMES = ("bench",)


def run() -> Iterator[Result]:
    for count in (FEW, SOME, MANY):
        yield Result(f"memory: per waiting event, {count:,} wait", Spread.exact(_memory_per_event(count)), "bytes")
    measured = take_turns({f"{count:,} wait": _outbox_timer(count) for count in (FEW, MANY)}, ROUNDS)
    for name, values in measured.items():
        yield Result(f"outbox: record, claim and settle, {name}", Spread.of(values), "us")
    few, many = measured[f"{FEW:,} wait"], measured[f"{MANY:,} wait"]
    yield Result(f"outbox: record, claim and settle, {MANY:,} wait / {FEW:,} wait", pairwise(truediv, many, few), "x")


def _memory_per_event(count: int) -> float:
    with silent_tracking(channel="WEB", currency="EUR") as tracking:
        view = partial(_view, tracking)
        for _ in range(200):  # caches fill, the thread starts
            view()
        gc.collect()
        tracemalloc.start()
        before, _ = tracemalloc.get_traced_memory()
        for _ in range(count):
            view()
        gc.collect()
        after, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        if tracking.stats().destinations["sitecore"].pending != count + 200:
            raise RuntimeError("not all events wait")
    return (after - before) / count


def _view(tracking: Tracking) -> None:
    tracker = tracking.tracker_for(scope_with(f"{COOKIE_NAME}={uuid4()}"))
    tracker.page_view({"page": "Shoes"}, {"theme": "dark"})


def _outbox_timer(waiting: int) -> Callable[[], float]:
    outbox = Outbox(MemoryStore(Quotas(2 * MANY)))
    for event in _events(waiting):
        outbox.record(event, ("elsewhere",), Receipt(event.id, ("elsewhere",)))
    outbox.wait_stored(outbox.ticket, None)
    claimed: list[ClaimedEvent] = []
    outbox.deliver(dict.fromkeys(_NAMES, DeliveryWish(STEPS)), claimed.extend)

    def measure() -> float:
        events = _events(STEPS)

        def work() -> None:
            for event in events:
                outbox.record(event, _NAMES, Receipt(event.id, _NAMES))
            outbox.wait_stored(outbox.ticket, None)
            while len(claimed) < STEPS:
                outbox.counts()
            for claim in claimed:
                outbox.settle(claim, "delivered")
            claimed.clear()
            outbox.counts()

        return cpu_of(work).process * 1e6 / STEPS

    return measure


def _events(count: int) -> list[Event]:
    return [_event(str(uuid4())) for _ in range(count)]


def _event(browser_id: str) -> Event:
    return Event(new_event_id(), "page_view", None, time.time(), browser_id, browser_id, None, {"page": "Shoes"}, {})
