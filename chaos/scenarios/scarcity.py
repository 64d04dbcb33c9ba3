"""T14: no more threads to be had, and no more files."""

from __future__ import annotations

import os
from collections.abc import Iterator

from ..finding import Finding
from ..need import NOBODY
from ..scene import Trial, scene
from .disk import through_need


def scarcity(trial: Trial) -> Iterator[Finding]:
    """Use up the threads or the files before the app tracks for the first time, and while it does.

    The threads and files that it has by then it keeps, and records as ever; only its calls have to wait.
    """
    for need, name in (("threads", "no thread can be started (RLIMIT_NPROC)"), ("files", "no file can be opened")):
        for is_late in (False, True):
            with scene() as where:
                if trial.is_root:  # whom no limit holds
                    os.chown(where.directory.parent, NOBODY, NOBODY)
                where.tolerated = "Too many open files"
                process = where.begin("answer_in_need", need=need, is_late=is_late)
                when = "while it runs" if is_late else "from the start"
                yield through_need(where, process, f"T14 {name}, {when}", lambda: None, is_felt=not is_late)
