"""Needs that a process can be put in, by itself and for a while: no threads, no files, files that may not grow."""

from __future__ import annotations

import os
import resource
from collections.abc import Generator
from contextlib import contextmanager

NOBODY = 65534
FEW = 64  # files


@contextmanager
def in_need(need: str) -> Generator[None]:
    """Be in need of something; of "place" and of "nothing" another process sees to it."""
    kinds = {
        "threads": (resource.RLIMIT_NPROC, 1),
        "files": (resource.RLIMIT_NOFILE, FEW),
        "file size": (resource.RLIMIT_FSIZE, 1),
    }
    if need not in kinds:
        yield
        return
    kind, limit = kinds[need]
    before = resource.getrlimit(kind)
    resource.setrlimit(kind, (limit, before[1]))
    opened = _use_up_files() if need == "files" else []
    try:
        yield
    finally:
        for descriptor in opened:
            os.close(descriptor)
        resource.setrlimit(kind, before)


def _use_up_files() -> list[int]:
    opened: list[int] = []
    try:
        while True:
            opened.append(os.open(os.devnull, os.O_RDONLY))
    except OSError:
        return opened


def become_nobody() -> None:
    """Give up what root may do; limits and permissions do not hold root."""
    if os.getuid() == 0:
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)
