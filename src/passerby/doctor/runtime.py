"""Python, SQLite, threads and uWSGI."""

from __future__ import annotations

import os
import platform
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..outbox.database import SQLITE_VERSION
from ..uwsgi import ADVICE, find_options, options_of_command, threads_are_off
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


def check_uwsgi(own: Mapping[str, Any] | None, commands: Mapping[str, Sequence[str]]) -> Finding:
    """Whether a uWSGI that runs no threads is at work.

    Args:
        own: the options of the uWSGI that runs this process, if one does.
        commands: how other processes were started, by what they are to this one.
    """
    if own is not None:
        return _judge_uwsgi("this process", own)
    for whose, command in commands.items():
        options = options_of_command(command)
        if options is not None:
            return _judge_uwsgi(whose, options)
    return Finding("uWSGI", "ok", "not seen; where it runs the app it needs --enable-threads")


def read_command(process: int) -> list[str]:
    """Return how a process was started; empty where that cannot be known."""
    try:
        text = Path(f"/proc/{process}/cmdline").read_bytes()
    except OSError:
        return []
    return text.decode(errors="replace").rstrip("\0").split("\0")


def check_runtime(processes: Mapping[str, int]) -> list[Finding]:
    """Check what this process runs on.

    Args:
        processes: others that may be run by uWSGI, by what they are to this one.
    """
    commands = {whose: read_command(process) for whose, process in processes.items()}
    return [
        check_python(sys.version_info[:3], platform.python_implementation()),
        check_sqlite(SQLITE_VERSION),
        check_thread(),
        check_uwsgi(find_options(), {"the parent of this process": read_command(os.getppid()), **commands}),
    ]


def _judge_uwsgi(whose: str, options: Mapping[str, Any]) -> Finding:
    if threads_are_off(options):
        return Finding("uWSGI", "problem", f"{whose} is run by it without threads; nothing is delivered", ADVICE)
    return Finding("uWSGI", "ok", f"{whose} is run by it with threads")
