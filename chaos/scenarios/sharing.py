"""T15: many processes on one file, most of which die; and twenty that start at once."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from ..finding import Finding
from ..scene import Trial, scene

PROCESSES, PROCESSES_LONG = 40, 500
AT_ONCE = 20
DELIVERY = 90.0  # seconds; a service that comes back is not given all at once
EACH = 5  # events


def one_directory(trial: Trial) -> Iterator[Finding]:
    """Start twenty processes at once and kill them, beside two that live on, while the destination is away."""
    number = PROCESSES_LONG if trial.is_long else PROCESSES
    with scene() as where:
        where.collector.stop()  # so that nothing is under way when they die, and nothing may come twice
        with ThreadPoolExecutor(AT_ONCE) as pool:
            survivors = list(pool.map(lambda _: where.begin("record_some", number=EACH, ending="ledger"), range(2)))
            for _ in range(number // AT_ONCE):
                wave = list(pool.map(lambda _: where.begin("record_some", number=EACH, ending="pause"), range(AT_ONCE)))
                for process in wave:
                    process.wait_for("ready", 60.0)
                for process in wave:
                    where.kill(process)
        for survivor in survivors:
            survivor.wait_for("ready")
            where.recorded.update(survivor.recorded)
            where.kill(survivor)
        begun = time.monotonic()
        where.bring_back()
        where.finish(patience=DELIVERY)
        finding = where.finding("T15 one file", f"{number} processes killed, {AT_ONCE} started at once")
        finding.notes.append(f"all delivered within {time.monotonic() - begun:.1f} s of the next start")
        yield finding
