"""How processes end: in order, by a signal, by force; while the destination answers and while it does not."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from ..finding import Finding
from ..process import Process
from ..scene import Scene, Trial, scene
from ..servers import begin_uvicorn, wait_until_served
from ..visitors import Visitor, visit_all
from .killing import AT_MOST

LONGEST = 2.0 + 0.5 + 0.5  # seconds: close_timeout, what may come on top, and what a busy interpreter needs itself
NUMBER = 50

# How the program is to end, and what is sent to it.
ENDINGS: dict[str, tuple[str, tuple[signal.Signals, ...]]] = {
    "last line": ("return", ()),
    "sys.exit": ("sys.exit", ()),
    "os._exit": ("os._exit", ()),
    "daemon thread": ("thread", ()),
    "SIGTERM": ("pause", (signal.SIGTERM,)),
    "Ctrl-C": ("pause", (signal.SIGINT,)),
    "Ctrl-C twice": ("pause", (signal.SIGINT, signal.SIGINT)),
}


def exits(trial: Trial) -> Iterator[Finding]:
    """End processes in every way, with a destination that answers and with one that never does."""
    with ThreadPoolExecutor(3) as pool:
        jobs: list[Callable[[], Finding]] = [
            *(lambda name=name, silent=silent: _end(name, silent) for name in ENDINGS for silent in (False, True)),
            *(lambda number=number: _end_uvicorn(number) for number in (signal.SIGTERM, signal.SIGINT)),
            _reload_uvicorn,
        ]
        yield from pool.map(lambda job: job(), jobs)


def _end(name: str, is_silent: bool) -> Finding:
    ending, signals = ENDINGS[name]
    with scene() as where:
        if is_silent:
            where.collector.fail("events", status=None, delay=3600.0)
        process = where.begin("record_some", number=NUMBER, ending=ending)
        process.wait_for("ready")
        begun = time.monotonic()
        for each in signals:
            process.send(each)
            time.sleep(0.1 * (len(signals) - 1))
        took = _end_of(process, begun)
        where.hear(process)
        where.collector.clear_faults()
        where.finish()
        state = "while no response comes" if is_silent else "while all is well"
        # What was under way when a process ended had left, and its answer has not come.
        finding = where.finding(f"exit by {name}", state, duplicates=AT_MOST)
        _check_time(finding, took)
        return finding


def _end_of(process: Process, begun: float) -> float:
    process.wait()
    return time.monotonic() - begun


def _check_time(finding: Finding, took: float) -> None:
    finding.notes.append(f"ended in {took:.2f} s")
    finding.expect(took <= LONGEST, f"the end took {took:.2f} s, more than {LONGEST} s")


def _end_uvicorn(number: signal.Signals) -> Finding:
    with scene() as where:
        where.collector.fail("events", status=None, delay=3600.0)
        process, port = begin_uvicorn(where)
        _visit(where, port)
        begun = time.monotonic()
        process.send(number)
        took = _end_of(process, begun)
        where.hear(process)
        where.collector.clear_faults()
        where.finish()
        finding = where.finding(f"exit of uvicorn by {number.name}", "while no response comes", duplicates=AT_MOST)
        _check_time(finding, took)
        return finding


def _visit(where: Scene, port: int) -> None:
    visitors = [Visitor(port) for _ in range(4)]
    visit_all(visitors, 10)
    where.recorded.update(recorded for visitor in visitors for recorded in visitor.recorded)


def _reload_uvicorn() -> Finding:
    with scene() as where:
        watched = Path(where.directory.parent / "watched")
        watched.mkdir()
        source = watched / "source.py"
        source.write_text("", encoding="utf-8")
        process, port = begin_uvicorn(where, "--reload", "--reload-dir", str(watched))
        for round_ in (1, 2, 3):
            _visit(where, port)
            os.utime(source, (time.time() + round_, time.time() + round_))
            _wait_for_reload(process, round_)
            wait_until_served(process, port)
        _visit(where, port)
        begun = time.monotonic()
        os.killpg(process.popen.pid, signal.SIGINT)  # as a terminal does
        took = _end_of(process, begun)
        where.hear(process)
        where.finish()
        finding = where.finding("uvicorn --reload", "3 reloads, then Ctrl-C", duplicates=AT_MOST * 4)
        _check_time(finding, took)
        return finding


def _wait_for_reload(process: Process, times: int) -> None:
    gives_up = time.monotonic() + 60
    while sum("Application startup complete" in line for line in list(process.complaints)) <= times:
        if time.monotonic() > gives_up:
            raise RuntimeError(f"uvicorn did not reload; its last words were {process.last_words}")
        time.sleep(0.02)
