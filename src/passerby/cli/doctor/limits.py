"""How many files and processes this user may still have."""

from __future__ import annotations

import os
import resource
from contextlib import suppress
from pathlib import Path

from . import Finding

FEW_FILES = 100  # an outbox has some ten open, and each destination's connections come on top
FEW_PROCESSES = 20  # threads count as well; passerby has two per process


def check_files(limit: int | None, used: int | None) -> Finding:
    """Whether a process may open enough files.

    Args:
        limit: how many it may; None if there is no limit.
        used: how many this one has; None where that is not known.
    """
    name = "open files"
    if limit is None:
        return Finding(name, "ok", "no limit")
    words = f"{limit:,} for each process"
    if limit - (used or 0) < FEW_FILES:
        return Finding(name, "warning", f"{words}, {used or 0:,} are open in this one", "raise it (ulimit -n)")
    return Finding(name, "ok", words)


def check_processes(limit: int | None, used: int | None, *, whose: str) -> Finding:
    """Whether threads can be started, beyond the one that the doctor has tried.

    Args:
        limit: how many processes and threads there may be; None if there is no limit.
        used: how many there are; None where that is not known.
        whose: whose limit it is.
    """
    name = f"processes of the {whose}"
    if limit is None:
        return Finding(name, "ok", "no limit")
    if used is None:
        return Finding(name, "ok", f"{limit:,}")
    words = f"{used:,} of {limit:,}, threads included"
    if limit - used < FEW_PROCESSES:
        return Finding(name, "warning", words, "raise the limit (ulimit -u, the container's pids limit)")
    return Finding(name, "ok", words)


def check_limits() -> list[Finding]:
    """Check the limits of this process."""
    findings = [check_files(_limit(resource.RLIMIT_NOFILE), _open_files())]
    # The superuser is not held to that one.
    if os.geteuid() != 0:
        findings.append(check_processes(_limit(resource.RLIMIT_NPROC), _tasks_of(os.geteuid()), whose="user"))
    limit, used = _read("pids.max"), _read("pids.current")
    if limit is not None:
        findings.append(check_processes(limit, used, whose="container"))
    return findings


def _limit(kind: int) -> int | None:
    soft, _ = resource.getrlimit(kind)
    return None if soft == resource.RLIM_INFINITY else soft


def _open_files() -> int | None:
    try:
        return len(list(Path("/proc/self/fd").iterdir()))
    except OSError:
        return None


def _tasks_of(user: int) -> int | None:
    """Count the processes and threads of a user."""
    try:
        processes = [path for path in Path("/proc").iterdir() if path.name.isdigit()]
    except OSError:
        return None
    tasks = 0
    for process in processes:
        with suppress(OSError):  # it has ended meanwhile
            if process.stat().st_uid == user:
                tasks += len(list((process / "task").iterdir()))
    return tasks or None


def _read(name: str) -> int | None:
    """Read a number of this process's control group; None where there is none."""
    try:
        text = Path("/sys/fs/cgroup", name).read_text(encoding="ascii").strip()
    except (OSError, UnicodeError):
        return None
    return int(text) if text.isdigit() else None
