"""What a busy server pays, and what of its events arrives: uvicorn in one process, beside other libraries.

One page view per request, each of another visitor. First wrk asks for as much as 16 connections get; then requests come
at a fixed pace. The sink, uvicorn, and what asks are processes of their own. Delivery shares the interpreter with the
app, so what it takes the requests do not get, and the other way round; what has not arrived at the end of the load is
delivered at exit as far as `close_timeout` allows. Figures are compared within the round.

Needs wrk (`apt-get install wrk`), and a machine with nothing else to do: where other processes take the CPU, the app
does not get to the point at which its threads compete. Fails if a target of `targets` is missed.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from operator import truediv
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple
from urllib.request import urlopen

from .measure import Result, Spread, pairwise, percentile, take_turns
from .saturated_app import BARE, NAMES, ON_DISK, WORKER
from .sink import running_sink
from .traffic import CLIENT_KEY, COOKIE_NAME

TITLE = "uvicorn with one page view per request: requests, p99, and events that arrive; beside other libraries"

PACES = (300, 1_000)  # requests a second
CONNECTIONS = 16
ROOT = Path(__file__).parents[1]
PATIENCE = 60.0


class Load(NamedTuple):
    """How long each load takes, in seconds, and how many rounds are kept of the saturated one."""

    seconds: float = 3.0
    rounds: int = 2


LOAD = Load()  # `python -m benchmarks` sets it from its options


class Run(NamedTuple):
    """What one load on one contestant says. Events are counted by the sink.

    Attributes:
        rate: requests a second.
        p99: milliseconds within which 99 % of the answers came.
        recorded: page views of the app.
        at_end: events that had arrived when the load ended.
        after_exit: events that had arrived when the process had ended, and where there is a worker, it was done.
        kept: events that wait on disk for the next process.
        exit: seconds that the exit took.
    """

    rate: float
    p99: float
    recorded: int
    at_end: int
    after_exit: int
    kept: int
    exit: float

    @property
    def lost(self) -> int:
        """Events that are neither with the sink nor on disk."""
        return self.recorded - self.after_exit - self.kept


def run() -> Iterator[Result]:
    if shutil.which("wrk") is None:
        raise RuntimeError("wrk was not found; install it (Debian: apt-get install wrk)")
    runs = take_turns({name: partial(_measure, name, None) for name in NAMES}, LOAD.rounds)
    yield from _describe("saturated", runs)
    for name in NAMES[1:]:
        yield Result(f"saturated: {name}, requests / bare", _compare(runs[name], runs[BARE], "rate"), "x")
        yield Result(f"saturated: {name}, p99 / bare", _compare(runs[name], runs[BARE], "p99"), "x")
    for pace in PACES:
        paced = take_turns({name: partial(_measure, name, pace) for name in NAMES}, 1)
        yield from _describe(f"{pace:,} requests/s", paced)


def _describe(load: str, runs: dict[str, list[Run]]) -> Iterator[Result]:
    for name, several in runs.items():
        yield Result(f"{load}: {name}", Spread.of(one.rate for one in several), "requests/s")
        yield Result(f"{load}: {name}, p99", Spread.of(one.p99 for one in several), "ms")
        if name == BARE:
            continue
        for label, unit, values in (
            ("recorded", "events", [one.recorded for one in several]),
            ("arrived at the end of the load", "%", [100 * one.at_end / one.recorded for one in several]),
            ("arrived after exit", "%", [100 * one.after_exit / one.recorded for one in several]),
            ("on disk after exit", "events", [one.kept for one in several]),
            ("lost", "events", [one.lost for one in several]),
            ("exit took", "s", [one.exit for one in several]),
        ):
            yield Result(f"{load}: {name}, {label}", Spread.of(values), unit)


def _compare(ones: Sequence[Run], others: Sequence[Run], figure: str) -> Spread:
    return pairwise(truediv, [getattr(one, figure) for one in ones], [getattr(other, figure) for other in others])


def _measure(name: str, pace: int | None) -> Run:
    with (
        TemporaryDirectory() as directory,
        running_sink() as sink,
        _running_worker(sink, directory) if name == WORKER else nullcontext(),
        _running_app(name, sink, directory) as app,
    ):
        port = _line_of(app)
        url = f"http://127.0.0.1:{int(port)}/shoes"
        _load(url, None, 0.5)  # caches fill, threads start
        rate, p99 = _load(url, pace, LOAD.seconds)
        at_end = _count(sink)
        begun = time.perf_counter()
        rest, _ = app.communicate(timeout=PATIENCE)
        took = time.perf_counter() - begun
        counted = json.loads(rest.splitlines()[-1])
        time.sleep(0.1)  # what the sink has received, it may not have read
        until = time.monotonic() + (PATIENCE if name == WORKER else 0.0)
        while _count(sink) < counted["requests"] and time.monotonic() < until:
            time.sleep(0.1)  # the worker goes on
        kept = counted.get("waiting", 0) if name in ON_DISK and name != WORKER else 0
        return Run(rate, p99, counted["requests"], at_end, _count(sink), kept, took)


def _load(url: str, pace: int | None, seconds: float) -> tuple[float, float]:
    """Put load on the app; gives requests a second and p99 in milliseconds."""
    if pace is not None:
        command = [sys.executable, "-m", "benchmarks.pacer", url, COOKIE_NAME, str(pace), str(seconds)]
        paced = json.loads(_output_of(command))
        return paced["requests"] / paced["seconds"], percentile(paced["waits"], 99) * 1e3
    script = str(Path(__file__).with_name("visitors.lua"))
    arguments = ["-t1", f"-c{CONNECTIONS}", f"-d{max(1, round(seconds))}s", "-s", script, url]
    found = re.search("^RESULT (.*)$", _output_of(["wrk", *arguments, "--", COOKIE_NAME, str(time.time_ns())]), re.M)
    if found is None:
        raise RuntimeError("wrk gave no result")
    result = json.loads(found[1])
    if result["failed"]:
        raise RuntimeError(f"{result['failed']} requests failed")
    return result["requests"] / result["seconds"], result["p99"]


def _output_of(command: Sequence[str]) -> str:
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True).stdout


def _count(sink: str) -> int:
    with urlopen(f"{sink}/count") as answer:
        return int(json.load(answer)["events"])


def _line_of(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline()


@contextmanager
def _running_worker(sink: str, directory: str) -> Iterator[None]:
    """Run the process that delivers for an app; it ends after the app."""
    settings = {
        "PASSERBY_SITECORE_CLIENT_KEY": CLIENT_KEY,
        "PASSERBY_SITECORE_TARGET_URL": sink,
        "PASSERBY_SITECORE_POINT_OF_SALE": "shop",
        "PASSERBY_BROWSER_ID_POOL_SIZE": "0",
        "PASSERBY_OUTBOX": f"sqlite://{directory}",
        "PASSERBY_DELIVER": "worker",
    }
    command = [sys.executable, "-m", "passerby.cli.main", "worker"]
    with subprocess.Popen(
        command, env={**os.environ, **settings}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=ROOT
    ) as process:
        try:
            yield
        finally:
            process.terminate()


@contextmanager
def _running_app(name: str, sink: str, directory: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "benchmarks.saturated_app", name, sink, directory]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=ROOT
    ) as process:
        try:
            yield process
        finally:
            process.kill()
