"""The collector under load, as `passerby collect` runs it, with a live page open: is everything there that was sent?

Collector, sender and page are processes of their own. What arrived is read from the export and compared, ID by ID.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from .measure import Result, Spread, percentile
from .poster import BATCH, event_id

TITLE = f"the collector under load, in batches of {BATCH} and in single posts, watched by a page; nothing is lost"

SECONDS = 20
REQUIRED = 5_000  # events a second in batches
ROOT = Path(__file__).parents[1]
PATIENCE = 180.0  # seconds


def run() -> Iterator[Result]:
    for kind, size in (("batches", BATCH), ("singles", 1)):
        with _running_collector() as (url, process):
            yield from _measure(kind, size, url, process)


def _measure(kind: str, size: int, url: str, process: int) -> Iterator[Result]:
    with _run("benchmarks.watcher", url) as watcher:
        assert watcher.stdout is not None
        watcher.stdout.readline()
        with _run("benchmarks.poster", url, kind, str(SECONDS)) as poster:
            posted = json.loads(poster.communicate(timeout=PATIENCE)[0])
        sent = posted["requests"] * size
        watched = json.loads(watcher.communicate(f"{sent}\n", timeout=PATIENCE)[0].splitlines()[-1])
    rate, waits = sent / posted["seconds"], [wait * 1e3 for wait in posted["waits"]]
    yield Result(f"collector: {kind}, events", Spread.exact(rate), "events/s")
    for percent in (50, 99):
        yield Result(f"collector: {kind}, answered after, p{percent}", Spread.exact(percentile(waits, percent)), "ms")
    yield Result(f"collector: {kind}, shown by the page when the last was sent", Spread.exact(watched["at_end"]), "")
    yield Result(f"collector: {kind}, memory with {sent:,} events", Spread.exact(_memory_of(process)), "MB")
    lost, extra = _compare(url, sent)
    yield Result(f"collector: {kind}, lost", Spread.exact(lost), f"of {sent:,}")
    if lost or extra:
        raise RuntimeError(f"{lost} of {sent} events were lost, and {extra} are there that were not sent")
    if watched["events"] != sent or watched["twice"]:
        raise RuntimeError(f"the page was shown {watched['events']} of {sent} events, {watched['twice']} of them twice")
    if kind == "batches" and rate < REQUIRED:
        raise RuntimeError(f"{rate:,.0f} events a second were taken; {REQUIRED:,} are required")


def _compare(url: str, sent: int) -> tuple[int, int]:
    """How many events are missing, and how many are too many."""
    expected = {event_id(number) for number in range(sent)}
    arrived: list[str] = []
    with httpx.stream("GET", f"{url}/_collector/export", timeout=60.0) as export:
        for line in export.iter_lines():
            item = json.loads(line)
            if item["accepted"] and item["is_event"]:
                arrived.append(item["event"].get("messageId") or item["event"]["page"])
    return len(expected - set(arrived)), len(arrived) - len(expected & set(arrived))


def _memory_of(process: int) -> float:
    text = Path(f"/proc/{process}/status").read_text()
    found = re.search(r"VmRSS:\s+(\d+) kB", text)
    return int(found[1]) / 1e3 if found else 0.0


@contextmanager
def _running_collector() -> Iterator[tuple[str, int]]:
    command = [sys.executable, "-m", "passerby.cli.main", "collect", "--port", "0", "--accept-any-browser-id"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    assert process.stdout is not None
    try:
        url = process.stdout.readline().split()[2]
        drain = subprocess.Popen(["cat"], stdin=process.stdout, stdout=subprocess.DEVNULL)
        process.stdout.close()
        yield url, process.pid
    finally:
        process.terminate()
        process.wait(PATIENCE)
        drain.wait(PATIENCE)


@contextmanager
def _run(module: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", module, *arguments]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        try:
            yield process
        finally:
            process.kill()
