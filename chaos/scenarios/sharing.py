"""T15: many processes on one directory, most of which die."""

from __future__ import annotations

import time
from collections.abc import Iterator

from ..finding import Finding
from ..scene import Trial, scene

PROCESSES, PROCESSES_LONG = 50, 500
AT_ONCE = 10
EACH = 5  # events
ADOPTION = 30.0  # seconds until what the dead have left is with the living


def one_directory(trial: Trial) -> Iterator[Finding]:
    """Start and kill fifty processes beside two that live on, while the destination is away; then it comes back."""
    number = PROCESSES_LONG if trial.is_long else PROCESSES
    with scene() as where:
        where.collector.stop()  # so that nothing is under way when they die, and whatever comes twice was adopted twice
        where.directory.mkdir(mode=0o700)
        (where.directory / "4711-0123456789ab.lock").touch(mode=0o600)  # of a process that died before it had a file
        survivors = [where.begin("tell_some", number=EACH, ending="ledger") for _ in range(2)]
        for survivor in survivors:
            survivor.wait_for("ready")
        for _ in range(number // AT_ONCE):
            wave = [where.begin("tell_some", number=EACH, ending="pause") for _ in range(AT_ONCE)]
            for process in wave:
                process.wait_for("ready")
            for process in wave:
                where.kill(process)
        begun = time.monotonic()
        for survivor in survivors:
            where.told.update(survivor.told)
        where.collector.start()
        where.arrivals.wait_for(where.told, ADOPTION)
        took = time.monotonic() - begun
        for survivor in survivors:
            survivor.say()
            survivor.wait()
            where.hear(survivor)
        where.finish()
        finding = where.finding("T15 one directory", f"{number} processes killed beside 2 that live on")
        finding.notes.append(f"all adopted and delivered {took:.1f} s after the last death")
        finding.expect(took < ADOPTION, f"adoption took {took:.1f} s, more than {ADOPTION:.0f} s")
        yield finding
