"""Workers of a real server that are killed under load: whatever was answered has to arrive."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import suppress

from ..finding import Finding
from ..scene import Trial, scene
from ..servers import begin_gunicorn, children_of
from ..visitors import Visitor, visiting
from .killing import ON_AVERAGE

WORKERS = 5
SECONDS, SECONDS_LONG = 30, 300  # with a kill in each
VISITORS = 12
UVICORN = "uvicorn_worker.UvicornWorker"


def under_load(trial: Trial) -> Iterator[Finding]:
    """Kill one of five gunicorn workers every second while visitors come."""
    seconds = SECONDS_LONG if trial.is_long else SECONDS
    with scene() as where:
        server, port = begin_gunicorn(where, UVICORN, WORKERS)
        visitors = [Visitor(port) for _ in range(VISITORS)]
        kills = 0
        with visiting(visitors, pause=0.01):
            for _ in range(seconds):
                time.sleep(1.0)
                with suppress(ProcessLookupError, IndexError):
                    os.kill(trial.random.choice(children_of(server)), signal.SIGKILL)
                    kills += 1
        server.send(signal.SIGTERM)
        code = server.wait(90.0)  # gunicorn gives its workers thirty seconds
        where.hear(server)
        where.recorded.update(recorded for visitor in visitors for recorded in visitor.recorded)
        where.finish()
        finding = where.finding(
            "5 gunicorn workers under load", f"{kills} kills in {seconds} s", duplicates=ON_AVERAGE * kills
        )
        failures = sum(visitor.failures for visitor in visitors)
        finding.notes.append(f"{failures} requests were not answered")
        finding.expect(code == 0, f"gunicorn ended with {code}")
        finding.expect(finding.recorded > 100, "hardly anything was recorded")
        yield finding
