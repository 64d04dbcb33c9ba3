"""What must hold, and how much is forgiven: the one table of both."""

from __future__ import annotations

from typing import NamedTuple

from .measure import Result

# Shared machines move by up to 1.8x from second to second. Medians over interleaved rounds move by less; what misses
# its target by more than this is not the machine's fault.
TOLERANCE = 1.25


class Target(NamedTuple):
    """One target.

    Attributes:
        limit: the bound.
        at_least: whether more is better.
        checked: whether `--check` fails for it. Rates and latencies are for the eye: they say as much of the machine's
            other guests as of us. CPU time, ratios and sizes are checked.
        always: whether a run fails for it without `--check` too: what is counted, or compared within one round.
    """

    limit: float
    at_least: bool = False
    checked: bool = True
    always: bool = False

    def is_met(self, value: float, tolerance: float = 1.0) -> bool:
        return value >= self.limit / tolerance if self.at_least else value <= self.limit * tolerance

    def __str__(self) -> str:
        return f"{'>=' if self.at_least else '<='} {self.limit:,g}"


TARGETS: dict[str, Target] = {
    "middleware: returning visitor": Target(6.0),
    "middleware: returning visitor, whole request / bare": Target(1.5),
    "middleware: returning visitor, signed cookie": Target(9.0),
    "middleware: new visitor, ID from the pool": Target(10.0),
    "middleware: returning visitor and page_view()": Target(16.0),
    "faces: Flask, returning visitor, whole request / bare": Target(1.1),
    "faces: Django under WSGI, returning visitor, whole request / bare": Target(1.1),
    "faces: Django under ASGI, returning visitor": Target(40.0),
    "call: page_view() / Segment's track()": Target(0.3),
    "call: page_view(), p99": Target(20.0, checked=False),
    "call: identity() / Segment's identify()": Target(0.35),
    "delivery: instant sink, 10 at once": Target(2_700, at_least=True, checked=False),
    "delivery: instant sink, 10 at once, CPU per 10k": Target(4.0),
    "delivery: sink of 50 ms, 50 at once": Target(940, at_least=True, checked=False),
    "delivery: 100 a batch, instant sink, 10 at once": Target(25_000, at_least=True, checked=False),
    "delivery: 100 a batch, sink of 50 ms, 6 at once": Target(10_000, at_least=True, checked=False),
    "memory: per waiting event, 100,000 wait": Target(1_024),
    "outbox: record, claim and settle, 100,000 wait / 1,000 wait": Target(1.25),
    "durable: put at 250/s, sqlite, p50": Target(25.0, checked=False),
    "durable: put at 250/s, sqlite, p99": Target(60.0, checked=False),
    "durable: CPU per event at 250/s, sqlite": Target(220.0),
    "durable: stored, 4 processes, p50": Target(0.4, checked=False),
    "durable: stored, 4 processes, p99": Target(4.5, checked=False),
    "durable: put, claim, settle in a burst, sqlite": Target(40.0),
    "durable: stored when the call returns": Target(15_000, at_least=True, checked=False),
    "durable: sqlite, 100,000 wait / 1,000 wait": Target(2.0),
    "durable: memory, 100,000 wait / 1,000 wait": Target(2.0),
    "durable: memory for a backlog": Target(30.0),
    "collector: batches, events": Target(5_000, at_least=True),
    "collector: batches, lost": Target(0),
    "collector: singles, lost": Target(0),
    "first visit: added, p50": Target(0.5, checked=False),
    "first visit: added, p99": Target(2.0, checked=False),
    **{
        f"saturated: passerby, {name}": Target(limit, at_least=True, always=True)
        for name, limit in {
            "Sitecore, requests / bare": 0.35,
            "Customer.io, requests / bare": 0.4,
            "Customer.io, SQLite, requests / bare": 0.25,
            "Sitecore, arrived at the end of the load": 50.0,
            "Customer.io, arrived at the end of the load": 90.0,
            "Customer.io, SQLite, arrived at the end of the load": 90.0,
        }.items()
    },
    **{
        f"saturated: passerby, {name}, p99 / bare": Target(limit, always=True)
        for name, limit in {"Sitecore": 10.0, "Customer.io": 6.0, "Customer.io, SQLite": 12.0}.items()
    },
    "saturated: passerby, Sitecore, SQLite, worker, requests / bare": Target(0.5, at_least=True),
    "saturated: passerby, Sitecore, SQLite, worker, p99 / bare": Target(4.0),
    "saturated: passerby, Sitecore, SQLite, worker, lost": Target(0, always=True),
    "saturated: passerby, Customer.io, lost": Target(0, always=True),
    "saturated: passerby, Customer.io, SQLite, lost": Target(0, always=True),
    **{
        f"{pace} requests/s: passerby, {name}, lost": Target(0, always=True)
        for pace in ("300", "1,000")
        for name in ("Sitecore", "Customer.io", "Customer.io, SQLite")
    },
}


def verdict(result: Result) -> str:
    """How a result stands to its target, in a word or two; empty if there is none."""
    target = TARGETS.get(result.name)
    if target is None:
        return ""
    if target.is_met(result.spread.median):
        return "met"
    return "near" if target.is_met(result.spread.median, TOLERANCE) else "missed"


def fails_check(result: Result) -> bool:
    """Whether a result misses a target that is checked by more than is forgiven."""
    target = TARGETS.get(result.name)
    return target is not None and target.checked and verdict(result) == "missed"


def fails_always(result: Result) -> bool:
    """Whether a result misses a target that fails a run without `--check` too."""
    target = TARGETS.get(result.name)
    return target is not None and target.always and verdict(result) == "missed"
