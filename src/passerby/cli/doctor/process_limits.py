"""The limits of open files and processes."""

from __future__ import annotations

import os
import resource
from contextlib import suppress
from pathlib import Path

from . import Finding

MIN_FILES = 100  # an outbox opens about ten, and each destination its connections
MIN_PROCESSES = 20  # threads count too; passerby has two per process


def check_files(limit: int | None, used: int | None) -> Finding:
    """Check the limit of open files.

    Args:
        limit: the limit; None if there is none.
        used: the open files of this process; None if unknown.
    """
    name = "open files"
    if limit is None:
        return Finding(name, "ok", "no limit")
    words = f"{limit:,} for each process"
    if limit - (used or 0) < MIN_FILES:
        return Finding(name, "warning", f"{words}, {used or 0:,} are open in this one", "raise it (ulimit -n)")
    return Finding(name, "ok", words)


def check_processes(limit: int | None, used: int | None, *, whose: str) -> Finding:
    """Check the limit of processes and threads.

    Args:
        limit: the limit; None if there is none.
        used: their number; None if unknown.
        whose: whose limit this is.
    """
    name = f"processes of the {whose}"
    if limit is None:
        return Finding(name, "ok", "no limit")
    if used is None:
        return Finding(name, "ok", f"{limit:,}")
    words = f"{used:,} of {limit:,}, threads included"
    if limit - used < MIN_PROCESSES:
        return Finding(name, "warning", words, "raise the limit (ulimit -u, the container's pids limit)")
    return Finding(name, "ok", words)


def check_limits() -> list[Finding]:
    """Check the limits of this process."""
    findings = [check_files(_limit(resource.RLIMIT_NOFILE), _open_files())]
    # This limit does not apply to root.
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
