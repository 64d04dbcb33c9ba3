"""The model of both SDKs: what they do in a case and, with differences switched on, what passerby does instead.

With nothing switched on it must come to what was recorded; a test holds it to that. With everything on, what it says
differently is what is expected of passerby.
"""

from __future__ import annotations

from collections.abc import Collection, Generator, Iterator
from dataclasses import dataclass, field
from typing import Any

from ..case import JSON
from ..server import Server
from .case import EdgeCase
from .visit import Visit
from .wire import ANSWERS

Steps = Generator[float, None, Any]


@dataclass
class Process:
    """What a package keeps for all requests: Cloud its settings and last answer, Content its whole context."""

    server: Server
    sent: list[JSON] = field(default_factory=list)
    chosen: JSON | None = None
    visit: Visit | None = None
    guest_id: Any = None


def run_model(case: EdgeCase, on: Collection[str]) -> JSON:
    """What happens in a case, with some differences switched on."""
    process = Process(Server(case, ANSWERS))
    visits = [Visit(one, process, on) for _, one in case.visits]
    starts = [start for start, _ in case.visits]
    if case.is_overlapping:
        _run_at_once(list(zip(starts, (visit.run() for visit in visits), strict=True)))
    else:
        for visit in visits:
            for _ in visit.run():
                pass
    return {"visits": [visit.outcome for visit in visits], "sent": process.sent}


def _run_at_once(runs: list[tuple[float, Iterator[float]]]) -> None:
    """Run visits beside each other, each as far as it waits."""
    while runs:
        moment, run = min(runs, key=lambda one: one[0])
        runs.remove((moment, run))
        seconds = next(run, None)
        if seconds is not None:
            runs.append((moment + seconds, run))
