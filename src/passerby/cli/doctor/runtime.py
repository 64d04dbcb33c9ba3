"""Python, SQLite, threads and uWSGI."""

from __future__ import annotations

import platform
import sys
import threading

from ...client.uwsgi import ADVICE, runs_threads
from ...outbox.database import SQLITE_VERSION
from . import Finding

OLDEST_PYTHON = (3, 11)
Version = tuple[int, int, int]


def check_python(version: tuple[int, ...], implementation: str) -> Finding:
    """Whether Python is recent enough."""
    words = f"{implementation} {'.'.join(map(str, version[:3]))}"
    if version[:2] < OLDEST_PYTHON:
        return Finding("Python", "problem", words, "passerby needs 3.11 or newer")
    return Finding("Python", "ok", words)


def has_wal_reset_flaw(version: Version) -> bool:
    """Whether SQLite may lose what two connections write, or move out of the log, at the same moment."""
    is_repaired = version >= (3, 51, 3) or (3, 50, 7) <= version < (3, 51, 0) or (3, 44, 6) <= version < (3, 45, 0)
    return version >= (3, 7, 0) and not is_repaired


def check_sqlite(version: Version) -> Finding:
    """Which SQLite there is, and whether it has the WAL-reset flaw."""
    words = ".".join(map(str, version))
    if not has_wal_reset_flaw(version):
        return Finding("SQLite", "ok", f"{words}, without the WAL-reset bug")
    return Finding(
        "SQLite",
        "ok",
        f"{words}, which has the WAL-reset bug (3.7.0 to 3.51.2); it takes two connections that write to one file, and "
        "passerby writes to each by one connection only, reads others' files without writing, and uses no such log in "
        "the file that processes share",
        "let no other program open the files while the app runs",
    )


def check_thread() -> Finding:
    """Whether a thread can be started."""
    started = threading.Event()
    try:
        thread = threading.Thread(target=started.set, name="passerby-doctor", daemon=True)
        thread.start()
    except (RuntimeError, OSError) as error:
        return Finding(
            "threads",
            "problem",
            f"none can be started ({error}); nothing is delivered, and what is told waits in memory",
            "raise the limit of processes (ulimit -u, the container's pids limit)",
        )
    if not started.wait(10):
        return Finding("threads", "problem", "one was started and did not run within 10 s", "see what keeps it")
    thread.join(10)
    return Finding("threads", "ok", "one was started")


def check_uwsgi(runs_threads: bool | None) -> Finding:
    """Whether the uWSGI that runs this process, if one does, runs threads; under one that does not, the log says so."""
    if runs_threads is None:
        return Finding("uWSGI", "ok", "does not run this process; without threads under it, an app says so in its log")
    if not runs_threads:
        return Finding("uWSGI", "problem", "it runs this process without threads; nothing is delivered", ADVICE)
    return Finding("uWSGI", "ok", "it runs this process with threads")


def check_runtime() -> list[Finding]:
    """Check what this process runs on."""
    return [
        check_python(sys.version_info[:3], platform.python_implementation()),
        check_sqlite(SQLITE_VERSION),
        check_thread(),
        check_uwsgi(runs_threads()),
    ]
