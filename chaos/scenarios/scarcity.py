"""T14: no more threads to be had, and no more files."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from ..finding import Finding
from ..need import NOBODY
from ..scene import Trial, scene
from .disk import through_need


def scarcity(trial: Trial) -> Iterator[Finding]:
    """Use up the threads or the files before the app tracks for the first time, and while it does.

    The threads and files that it has by then it keeps, and records as ever; only its calls have to wait. Without a
    thread of the outbox, those who record store what they record.
    """
    with ThreadPoolExecutor(2) as both:
        for name in _NEEDS:
            yield from both.map(partial(_answer_in_need, name, trial.is_root), (False, True))


_NEEDS = {"no thread can be started (RLIMIT_NPROC)": "threads", "no file can be opened": "files"}


def _answer_in_need(name: str, is_root: bool, is_late: bool) -> Finding:
    with scene() as where:
        if is_root:  # whom no limit holds
            os.chown(where.directory.parent, NOBODY, NOBODY)
        where.tolerated = "Too many open files"
        process = where.begin("answer_in_need", need=_NEEDS[name], is_late=is_late)
        when = "while it runs" if is_late else "from the start"
        return through_need(
            where, process, f"T14 {name}, {when}", lambda: None, is_felt=_NEEDS[name] == "files" and not is_late
        )
