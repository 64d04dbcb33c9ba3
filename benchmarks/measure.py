"""Measuring: what is compared takes turns, CPU time is what counts, and a result is a median with its extremes."""

from __future__ import annotations

import gc
import random
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from statistics import median, quantiles
from typing import NamedTuple, TypeVar

T = TypeVar("T")


class Spread(NamedTuple):
    """The median of what was measured, and the extremes."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Iterable[float]) -> Spread:
        measured = list(values)
        return cls(median(measured), min(measured), max(measured))

    @classmethod
    def exact(cls, value: float) -> Spread:
        return cls(value, value, value)


class Cpu(NamedTuple):
    """CPU seconds: of the thread that called, and of the whole process, background threads included."""

    thread: float
    process: float

    @classmethod
    def now(cls) -> Cpu:
        return cls(time.thread_time(), time.process_time())

    def since(self, before: Cpu) -> Cpu:
        return Cpu(self.thread - before.thread, self.process - before.process)


class Result(NamedTuple):
    """One line of the table.

    Attributes:
        name: what was measured; `targets.TARGETS` knows some by it.
        spread: the figure.
        unit: what it is in.
    """

    name: str
    spread: Spread
    unit: str


def cpu_of(work: Callable[[], object]) -> Cpu:
    """CPU seconds that some work takes. Garbage left by others is collected before."""
    gc.collect()
    before = Cpu.now()
    work()
    return Cpu.now().since(before)


def take_turns(contestants: Mapping[str, Callable[[], T]], rounds: int) -> dict[str, list[T]]:
    """Run each contestant once a round, in a new order each time; what the first round says is not kept."""
    measured: dict[str, list[T]] = {name: [] for name in contestants}
    order = list(contestants)
    shuffle = random.Random(2026).shuffle
    for number in range(rounds + 1):
        shuffle(order)
        for name in order:
            value = contestants[name]()
            if number:
                measured[name].append(value)
    return measured


def pairwise(operation: Callable[[float, float], float], ones: Sequence[float], others: Sequence[float]) -> Spread:
    """Compare round by round: what disturbs one round disturbs both sides of the comparison."""
    return Spread.of(operation(one, other) for one, other in zip(ones, others, strict=True))


def percentile(values: Sequence[float], percent: int) -> float:
    """The value below which so many percent lie."""
    return quantiles(values, n=100, method="inclusive")[percent - 1]
