"""The checks of the outbox's directory: permissions, free space, files and locks."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from ...outbox.contract import ExchangeBatch, RecordedEvent, StorageError
from ...outbox.reading import StoreQuery
from ...outbox.sqlite import SqliteStore
from ...outbox.sqlite.directory import NAME
from . import Finding, lock_probe
from .mounts import check_mount, read_mounts

MIN_FREE = 100_000_000  # bytes of free space
LOW_FREE = 2_000_000_000  # twice max_bytes
SLOW_COMMIT = 0.5  # seconds for one commit; responses wait at most a tenth of that
_TURN = 2.0  # seconds to wait for a turn
_PROBE_TIMEOUT = 30  # seconds


@dataclass(frozen=True, slots=True)
class DirectoryFacts:
    """The properties of a directory.

    Attributes:
        path: the directory, or its nearest existing parent.
        is_there: whether the directory exists.
        mode: its permissions.
        owner: the ID of its user.
        user: the ID of this process's user.
        is_writable: whether this user may write to it.
        free: free bytes for this user.
        files: free inodes; None if there is no limit.
        is_read_only: whether the file system is mounted read-only.
    """

    path: Path
    is_there: bool
    mode: int
    owner: int
    user: int
    is_writable: bool
    free: int
    files: int | None
    is_read_only: bool


@dataclass(frozen=True, slots=True)
class WriteTest:
    """The result of writing to the directory.

    Attributes:
        error: why it cannot be used; None if it can.
        seconds: the time of a commit to disk.
        lock_holds: whether another process sees a lock of this one; None if unknown.
    """

    error: str | None = None
    seconds: float = 0.0
    lock_holds: bool | None = None


def read_facts(directory: Path) -> DirectoryFacts:
    """Read the properties of a directory. Raises OSError."""
    path = directory
    while not path.exists() and path != path.parent:
        path = path.parent
    found = path.stat()
    space = os.statvfs(path)
    return DirectoryFacts(
        path=path,
        is_there=path == directory,
        mode=stat.S_IMODE(found.st_mode),
        owner=found.st_uid,
        user=os.geteuid(),
        is_writable=path.is_dir()
        and os.access(path, os.W_OK | os.X_OK, effective_ids=os.access in os.supports_effective_ids),
        free=space.f_bavail * space.f_frsize,
        files=space.f_favail if space.f_files else None,
        is_read_only=bool(space.f_flag & os.ST_RDONLY),
    )


def check_permissions(facts: DirectoryFacts) -> Finding:
    """Check that only this user can use the directory."""
    name = "directory"
    if facts.is_read_only:
        return Finding(name, "problem", f"{facts.path} is on a file system that is mounted read-only", "choose another")
    if not facts.is_writable:
        return Finding(
            name,
            "problem",
            f"{facts.path} is not a directory that this user (number {facts.user}) may write to; its owner is number "
            f"{facts.owner}",
            "run this as the user that the app runs as, or chown the directory to that one",
        )
    if not facts.is_there:
        return Finding(name, "ok", f"does not exist yet; it can be made in {facts.path}")
    if facts.mode & (stat.S_IWGRP | stat.S_IWOTH) and not facts.mode & stat.S_ISVTX:
        whose = "all users" if facts.mode & stat.S_IWOTH else "its group"
        return Finding(
            name,
            "warning",
            f"{whose} may write to it (mode {facts.mode:o}): they cannot read {NAME} in it, but may remove it",
            f"chmod 700 {facts.path}, unless it is a volume of a container, which has a group of its own",
        )
    if facts.owner != facts.user:
        return Finding(
            name,
            "warning",
            f"it belongs to user number {facts.owner}, and this one is number {facts.user}",
            "run this, and all processes of the app, as one user",
        )
    return Finding(name, "ok", f"this user's own, mode {facts.mode:o}; {NAME} in it has mode 700")


def check_space(facts: DirectoryFacts) -> Finding:
    """Check the free space."""
    name = "free space"
    words = f"{facts.free / 1e9:,.1f} GB"
    if facts.files is not None and facts.files < 100:
        return Finding(
            name,
            "problem",
            f"only {facts.files} more files can be made (inodes)",
            "remove some, or choose another disk",
        )
    if facts.free < MIN_FREE:
        return Finding(
            name,
            "problem",
            f"{words}; on a full disk events are only in memory and are lost at exit",
            "free some space",
        )
    if facts.free < LOW_FREE:
        return Finding(
            name,
            "warning",
            f"{words}; what waits may take up to max_bytes, 1 GB by default, and its log some more",
            "free some space, or lower max_bytes",
        )
    return Finding(name, "ok", words)


def check_write_test(trial: WriteTest) -> list[Finding]:
    """Check that written data can be read, and that locks work."""
    if trial.error is not None:
        return [
            Finding(
                "writing",
                "problem",
                f"a file could not be written and read again: {trial.error}",
                "see above, or choose another directory",
            )
        ]
    milliseconds = f"written, committed and read again in {trial.seconds * 1000:.0f} ms"
    if trial.seconds > SLOW_COMMIT:
        writing = Finding(
            "writing",
            "warning",
            f"{milliseconds}, which is slow; responses continue after store_timeout",
            "choose a faster disk",
        )
    else:
        writing = Finding("writing", "ok", milliseconds)
    return [writing, _check_lock(trial.lock_holds)]


def write_test(directory: Path) -> WriteTest:
    """Use a store in a temporary subdirectory: take a turn, write, sync, read; try its lock in another process.

    All files and new directories are removed again.
    """
    missing = [one for one in (directory, *directory.parents) if not one.exists()]
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        inner = Path(tempfile.mkdtemp(prefix="doctor-", dir=directory))
        try:
            return _write_and_read(inner)
        finally:
            shutil.rmtree(inner, ignore_errors=True)
    except StorageError as error:
        return WriteTest(error.reason)
    except OSError as error:
        return WriteTest((error.strerror or str(error)).lower())
    finally:
        for one in missing:
            try:
                one.rmdir()
            except OSError:
                break


def check_directory(directory: Path) -> list[Finding]:
    """Check a directory, which need not exist yet."""
    try:
        facts = read_facts(directory)
    except OSError as error:
        return [
            Finding(
                "directory",
                "problem",
                f"{directory} cannot be read ({error.strerror})",
                "run this as the user that the app runs as",
            )
        ]
    return [
        check_permissions(facts),
        check_mount(directory.resolve(), read_mounts()),
        check_space(facts),
        *check_write_test(write_test(directory)),
    ]


def _write_and_read(directory: Path) -> WriteTest:
    begun = time.perf_counter()
    written = RecordedEvent("doctor", "doctor", ("doctor",), bytes(1_000), 0.0)
    store = SqliteStore(directory, "FULL", patience=_TURN)
    store.exchange(ExchangeBatch("doctor", 1, 0.0, recorded=[written]))
    store.close()
    entries = SqliteStore(directory, patience=_TURN).read(StoreQuery()).entries
    seconds = time.perf_counter() - begun
    is_there = [(one.event_id, one.payload) for one in entries] == [(written.event_id, written.payload)]
    with store.directory.turn(_TURN):
        lock_holds = _probe_lock(directory)
    return WriteTest(
        None if is_there else "the data that was read differs from the data that was written", seconds, lock_holds
    )


def _probe_lock(path: Path) -> bool | None:
    """Return whether another process sees a lock of this one; None if unknown."""
    command = [sys.executable, "-m", lock_probe.__name__, str(path)]
    try:
        run = subprocess.run(command, check=False, capture_output=True, timeout=_PROBE_TIMEOUT)  # noqa: S603 - our own
    except (OSError, subprocess.SubprocessError):
        return None
    return {lock_probe.TAKEN: True, lock_probe.FREE: False}.get(run.returncode)


def _check_lock(lock_holds: bool | None) -> Finding:
    if lock_holds is None:
        return Finding(
            "locks", "warning", "not checked: no other process could be started", "find out why, and try again"
        )
    if not lock_holds:
        return Finding(
            "locks",
            "problem",
            "another process does not see a lock of this one; two processes could damage a file",
            "choose a directory on a local disk",
        )
    return Finding("locks", "ok", "another process sees a lock of this one")
