"""T5: the destination is away for four hours, by a clock that goes fast; and what its return is like."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

from ..finding import Finding
from ..process import Process
from ..scene import Scene, Trial, scene

HOURS = 4
NUMBER, NUMBER_LONG = 20_000, 200_000
SECONDS, SECONDS_LONG = 10.0, 100.0  # in which the outage passes
ASKED_TO_WAIT = 600  # seconds, by Retry-After
STARTED_UP = 0.25  # of what is recorded; the memory that is used by then is what the rest is compared with
GROWTH = 10_000_000  # bytes

RETURN_FACTOR = 60  # a minute in a second
STEADY = 50  # events a second


def outage(trial: Trial) -> Iterator[Finding]:
    """Let the destination be away, and come back."""
    with ThreadPoolExecutor(2) as both:
        jobs = [both.submit(_four_hours, trial), both.submit(_return)]
        for job in jobs:
            yield job.result()


def _four_hours(trial: Trial) -> Finding:
    number, seconds = (NUMBER_LONG, SECONDS_LONG) if trial.is_long else (NUMBER, SECONDS)
    factor = HOURS * 3600 / seconds
    with scene() as where:
        # A call may take what is half a second by the clock on the wall.
        settings = {"retry_base": 1.0, "request_timeout": factor / 2, "max_events": 10 * number}
        process = where.begin(
            "record_steadily", clock=f"fast:{factor}", number=number, seconds=seconds + 1, settings=settings
        )
        process.wait_for("ready")
        time.sleep(0.5)
        where.collector.stop()
        time.sleep(seconds / 2)
        where.collector.fail("events", status=503, headers={"retry-after": str(ASKED_TO_WAIT)})
        where.bring_back()
        begun = time.time()
        time.sleep(seconds / 2)
        attempts = [moment for moment in where.arrivals.times if moment > begun]
        where.collector.clear_faults()
        _end(where, process, patience=60.0 + number / 500)
        finding = where.finding(f"T5 outage of {HOURS} h by a fast clock", f"{number:,} events in {seconds:.0f} s")
        _check_memory(finding, process)
        _check_attempts(finding, attempts, ASKED_TO_WAIT / factor)
        finding.expect(" breaker open" in " ".join(process.lines), "the breaker was never seen open")
        return finding


def _end(where: Scene, process: Process, patience: float) -> None:
    process.wait_for("done", patience)
    where.recorded.update(process.recorded)
    where.arrivals.wait_for(where.recorded, patience)
    process.say()
    process.wait(patience)
    where.hear(process)
    where.pass_time((HOURS + 1) * 3600)  # its store went by the fast clock
    where.finish()


def _check_memory(finding: Finding, process: Process) -> None:
    sizes = [int(line.split()[1]) for line in process.lines if line.startswith("resident ")]
    growth = sizes[-1] - sizes[int(len(sizes) * STARTED_UP)]
    finding.notes.append(f"memory {sizes[0] / 1e6:.0f} MB, then {sizes[-1] / 1e6:.0f} MB")
    finding.expect(growth < GROWTH, f"memory grew by {growth / 1e6:.0f} MB")


def _check_attempts(finding: Finding, attempts: list[float], asked: float) -> None:
    shortest = min((later - earlier for earlier, later in pairwise(attempts)), default=asked)
    finding.notes.append(f"{len(attempts)} attempts while Retry-After was said")
    finding.expect(len(attempts) >= 2, "nothing was tried while Retry-After was said")
    finding.expect(shortest >= asked * 0.95, f"tried again after {shortest / asked:.0%} of Retry-After")


def _return() -> Finding:
    """Watch the first minute after an outage of five: it must not be a flood."""
    with scene() as where:
        settings = {"retry_base": 1.0, "request_timeout": RETURN_FACTOR / 2}
        process = where.begin(
            "record_steadily", clock=f"fast:{RETURN_FACTOR}", number=STEADY * 9, seconds=9.0, settings=settings
        )
        process.wait_for("ready")
        time.sleep(1.0)
        where.collector.stop()
        time.sleep(5.0)
        stopped = time.time()
        where.bring_back()
        _end(where, process, patience=60.0)
        first = where.arrivals.first_after(stopped) or stopped
        rate = sum(first <= moment < first + 1.0 for moment in where.arrivals.times)
        finding = where.finding("T5 return after an outage", f"5 minutes away by a fast clock, {STEADY * 9} events")
        finding.notes.append(f"{rate / STEADY:.1f} times the steady rate in the first minute")
        finding.expect(rate <= 2 * STEADY, f"{rate / STEADY:.1f} times the steady rate, more than 2")
        return finding
