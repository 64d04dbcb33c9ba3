"""T12: clocks on the wall that jump by a day, or that were never set."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

from ..finding import Finding
from ..scene import Trial, scene

DAY = 86_400
PATIENCE = 20.0  # seconds until everything is delivered, whatever the clock says

# By which clock the first process records, to which it jumps while events wait for their next attempt, and by which the
# next process goes.
JOURNEYS: dict[str, tuple[str, float, str]] = {
    "a day forward": ("wall:0", DAY, f"wall:{DAY}"),
    "a day back": ("wall:0", -DAY, f"wall:-{DAY}"),
    "1970, then set": ("wall:1970", 0.0, "wall:0"),
    "1970 after a restart": ("wall:0", 0.0, "wall:1970"),
}
NUMBER = 40


def jumps(trial: Trial) -> Iterator[Finding]:
    """Record, jump, record again, restart: retries go by the other clock, and events keep the time of their own."""
    with ThreadPoolExecutor(2) as both:
        yield from both.map(lambda name: _travel(name, *JOURNEYS[name]), JOURNEYS)


def _travel(name: str, first: str, jump: float, second: str) -> Finding:
    with scene() as where:
        where.collector.fail("events")
        process = where.begin("record_through_jump", clock=first, number=NUMBER, jump=jump)
        process.wait_for("ready")
        time.sleep(0.5)  # in which they are tried, and put off
        where.kill(process)
        begun = time.monotonic()
        where.collector.clear_faults()
        where.finish(patience=PATIENCE, clock=second)
        finding = where.finding(f"T12 {name}", f"{NUMBER} before, {NUMBER} after, and a restart")
        finding.notes.append(f"all delivered {time.monotonic() - begun:.1f} s after the restart")
        said = {line.split()[1]: float(line.split()[2]) for line in process.lines if line.startswith("at ")}
        wrong = [event_id for event_id, moment in said.items() if not _is_kept(where.arrivals.bodies, event_id, moment)]
        finding.expect(not wrong, f"{len(wrong)} events have another time than when they were recorded")
        return finding


def _is_kept(bodies: dict[str, list[bytes]], event_id: str, moment: float) -> bool:
    """Whether an event says the time that its process's clock said when it was recorded."""
    for body in bodies.get(event_id, ()):
        text = body.decode().partition('"requested_at":"')[2].partition('"')[0]
        if abs(datetime.fromisoformat(text).timestamp() - moment) > 1.0:
            return False
    return True
