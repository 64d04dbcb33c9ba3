"""The checks of Python, SQLite, threads and uWSGI."""

from __future__ import annotations

import platform
import sqlite3
import sys
import threading

from ...client.uwsgi import ADVICE, runs_threads
from . import Finding

OLDEST_PYTHON = (3, 11)
Version = tuple[int, int, int]


def check_python(version: tuple[int, ...], implementation: str) -> Finding:
    """Check the version of Python."""
    words = f"{implementation} {'.'.join(map(str, version[:3]))}"
    if version[:2] < OLDEST_PYTHON:
        return Finding("Python", "problem", words, "passerby needs 3.11 or newer")
    return Finding("Python", "ok", words)


def has_wal_reset_bug(version: Version) -> bool:
    """Whether this SQLite may lose data when two connections write or checkpoint at the same time."""
    is_repaired = version >= (3, 51, 3) or (3, 50, 7) <= version < (3, 51, 0) or (3, 44, 6) <= version < (3, 45, 0)
    return version >= (3, 7, 0) and not is_repaired


def check_sqlite(version: Version) -> Finding:
    """Check SQLite for the WAL-reset bug."""
    words = ".".join(map(str, version))
    if not has_wal_reset_bug(version):
        return Finding("SQLite", "ok", f"{words}, without the WAL-reset bug")
    return Finding(
        "SQLite",
        "ok",
        f"{words}, which has the WAL-reset bug (3.7.0 to 3.51.2); it needs two connections that write or checkpoint at "
        "the same time. passerby's processes take turns: whatever writes to the file or its log does it under a lock",
        "let no other program open the files while the app runs",
    )


def check_thread() -> Finding:
    """Check that a thread can be started."""
    started = threading.Event()
    try:
        thread = threading.Thread(target=started.set, name="passerby-doctor", daemon=True)
        thread.start()
    except (RuntimeError, OSError) as error:
        return Finding(
            "threads",
            "problem",
            f"no thread can be started ({error}); nothing is delivered, and events stay in memory",
            "raise the limit of processes (ulimit -u, the container's pids limit)",
        )
    if not started.wait(10):
        return Finding("threads", "problem", "a thread was started and did not run within 10 s", "find out why")
    thread.join(10)
    return Finding("threads", "ok", "a thread was started")


def check_uwsgi(runs_threads: bool | None) -> Finding:
    """Check that uWSGI, if it runs this process, has threads enabled."""
    if runs_threads is None:
        return Finding("uWSGI", "ok", "does not run this process; an app without threads under uWSGI logs it")
    if not runs_threads:
        return Finding("uWSGI", "problem", "runs this process without threads; nothing is delivered", ADVICE)
    return Finding("uWSGI", "ok", "runs this process with threads")


def check_runtime() -> list[Finding]:
    """Run the checks of the runtime."""
    return [
        check_python(sys.version_info[:3], platform.python_implementation()),
        check_sqlite(sqlite3.sqlite_version_info),
        check_thread(),
        check_uwsgi(runs_threads()),
    ]
