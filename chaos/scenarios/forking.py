"""T13: processes that fork after the library was set up, and while its threads work."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib.util import find_spec
from pathlib import Path

from ..finding import Finding
from ..process import Process
from ..scene import Trial, scene
from ..servers import begin_gunicorn
from ..visitors import Visitor, visit_all
from .workers import UVICORN

FORKS, FORKS_LONG = 100, 1_000
CHILDREN, CHILDREN_LONG = 8, 50
PAGES = 125  # of each of eight visitors: a thousand events over four workers
TASKS = 100


def forks(trial: Trial) -> Iterator[Finding]:
    """Fork in all the ways that are in use; what the children and the parent record has to arrive, once."""
    forks = FORKS_LONG if trial.is_long else FORKS
    children = CHILDREN_LONG if trial.is_long else CHILDREN
    jobs: list[Callable[[], Finding]] = [
        _by_celery,  # which takes its time to start
        lambda: _by_os_fork(forks),
        *(partial(_by_multiprocessing, method, children) for method in ("fork", "spawn")),
        *(partial(_by_gunicorn, kind) for kind in ("sync", "gthread", UVICORN)),
    ]
    with ThreadPoolExecutor(2) as both:
        yield from both.map(lambda job: job(), jobs)


def _by_os_fork(number: int) -> Finding:
    with scene() as where:
        process = where.begin("fork_often", number=number)
        code = process.wait(120)
        where.hear(process)
        where.finish()
        finding = where.finding(
            "T13 os.fork while the writer works", f"{number} forks", duplicates=number // 2
        )  # of who left by force
        ended = [line for line in process.lines if line == "ended 0"]
        finding.expect(code == 0 and len(ended) == number, f"only {len(ended)} children ended well")
        return finding


def _by_multiprocessing(method: str, number: int) -> Finding:
    with scene() as where:
        process = where.begin("multiply", method=method, number=number)
        code = process.wait(120)
        where.hear(process)
        where.finish()
        finding = where.finding(f"T13 multiprocessing, {method}", f"{number} children")
        finding.expect(code == 0 and process.lines.count("ended 0") == number, "not all children ended well")
        return finding


def _by_gunicorn(kind: str) -> Finding:
    with scene() as where:
        server, port = begin_gunicorn(where, kind, 4)
        visitors = [Visitor(port) for _ in range(8)]
        visit_all(visitors, PAGES)
        server.send(signal.SIGTERM)
        code = server.wait()
        where.hear(server)
        where.recorded.update(recorded for visitor in visitors for recorded in visitor.recorded)
        where.finish()
        finding = where.finding(f"T13 gunicorn --preload -w 4, {kind.rpartition('.')[2]}", f"{8 * PAGES} pages")
        failures = sum(visitor.failures for visitor in visitors)
        finding.expect(code == 0, f"gunicorn ended with {code}")
        finding.expect(not failures and len(where.recorded) == 8 * PAGES, f"{failures} pages were not answered")
        return finding


def _by_celery() -> Finding:
    name = "T13 Celery, prefork"
    if find_spec("celery") is None:
        return Finding(name, "", skipped="Celery is not installed")
    with scene() as where:
        queue = Path(where.directory.parent / "queue")
        queue.mkdir()
        options = ["-A", "chaos.celery_app", "worker", "--pool", "prefork", "-c", "2", "--loglevel", "ERROR"]
        worker = where.begin_site("celery", *options, "--without-gossip", "--without-mingle", queue=str(queue))
        sender = where.keep(
            Process([sys.executable, "-m", "chaos.celery_app", str(queue), str(TASKS)], worker.environment)
        )
        sender.wait(60)
        where.hear(sender)
        recorded = [line.split()[1] for line in sender.lines if line.startswith("task ")]
        where.recorded.update(recorded)
        worker.send(signal.SIGTERM)
        code = worker.wait()
        where.hear(worker)
        where.finish()
        finding = where.finding(name, f"{TASKS} tasks")
        finding.expect(len(recorded) == TASKS, f"only {len(recorded)} tasks were done: {sender.last_words}")
        finding.expect(code == 0, f"Celery ended with {code}")
        return finding
