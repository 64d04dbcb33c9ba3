"""T1 and T2: processes that are killed, at any moment and at the worst ones."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from random import Random
from statistics import median

from ..finding import Finding
from ..points import MAY_DUPLICATE, POINTS
from ..scene import Scene, Trial, scene

ROUNDS, ROUNDS_LONG = 100, 5_000
# What a kill may send again is what was sent and not yet settled: ten calls that are under way, and those that were
# answered during an exchange; in the worst case as many as one batch takes.
AT_MOST = 200
ON_AVERAGE = 50
RESTART = 1.0  # seconds from a process's start to the first delivery of what the one before has left
KILLS_AT_POINTS, KILLS_AT_POINTS_LONG = 2, 50
BUSY_POINTS = ("before commit", "after commit")  # a lone write is a transaction by itself


def at_any_moment(trial: Trial) -> Iterator[Finding]:
    """Kill a process that records, again and again; what its calls and its responses promised has to arrive."""
    rounds = (ROUNDS_LONG if trial.is_long else ROUNDS) // 4
    for action, name in (("keep_recording", "wait_stored() returned"), ("keep_answering", "the response started")):
        with scene() as left, scene() as right:
            restarts = _kill_in_both([left, right], trial, action, rounds)
            for where in (left, right):
                where.finish()
            yield _sum_up(f"T1 kill -9, {name}", [left, right], restarts, rounds * 2)


def _kill_in_both(places: list[Scene], trial: Trial, action: str, rounds: int) -> list[float]:
    """Do it in two places at once, since there is more than one processor."""
    with ThreadPoolExecutor(len(places)) as pool:
        jobs = [pool.submit(_kill_often, where, Random(trial.random.random()), action, rounds) for where in places]
        return [restart for job in jobs for restart in job.result()]


def _kill_often(where: Scene, chance: Random, action: str, rounds: int) -> list[float]:
    """Return how many seconds after each start but the first something arrived."""
    restarts: list[float] = []
    for _ in range(rounds):
        where.pass_time()
        process = where.begin(action)
        process.wait_for("recorded")
        time.sleep(chance.uniform(0.05, 0.25))
        where.kill(process)
        arrived = where.arrivals.first_after(process.begun)
        if arrived is not None:
            restarts.append(arrived - process.begun)
    return restarts


def _sum_up(name: str, places: list[Scene], restarts: list[float], kills: int) -> Finding:
    both = [one.finding(name, "", duplicates=ON_AVERAGE * kills // 2) for one in places]
    finding = Finding.sum(name, f"{kills} kills after 50 to 250 ms", both)
    finding.seconds /= len(both)
    finding.notes.append(f"first delivery {median(restarts):.2f} s after a start, at most {max(restarts):.2f} s")
    finding.expect(median(restarts) <= RESTART, f"a restart takes {median(restarts):.2f} s, more than {RESTART} s")
    return finding


def at_named_points(trial: Trial) -> Iterator[Finding]:
    """Kill a process at each point of an event's life; only what was sent and not yet settled may come twice."""
    kills = KILLS_AT_POINTS_LONG if trial.is_long else KILLS_AT_POINTS
    most = {point: 4 if "retry" in point else 15 for point in POINTS}  # of retries there are few in a second
    numbers = {point: [trial.random.randint(2, most[point]) for _ in range(kills)] for point in POINTS}
    with ThreadPoolExecutor(2) as both:
        for point in POINTS:
            findings = list(both.map(lambda number, point=point: _kill_at(point, number), numbers[point]))
            yield Finding.sum(f"T2 killed {point}", f"{kills} kills", findings)


def _kill_at(point: str, number: int) -> Finding:
    is_busy = point in BUSY_POINTS
    with scene() as where:
        if "retry" in point:
            where.collector.fail("events")
        elif "awaited" in point:
            where.collector.fail("events", status=None, delay=0.2)
        process = where.begin("die_at", point=point, number=number, is_busy=is_busy)
        process.wait()
        where.hear(process)
        where.collector.stop()  # what the dead have sent is read before the service behaves
        where.collector.clear_faults()
        where.bring_back()
        where.finish()
        return where.finding(point, "", duplicates=AT_MOST if is_busy else int(point in MAY_DUPLICATE))
