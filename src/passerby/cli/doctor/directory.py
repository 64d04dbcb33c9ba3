"""The outbox's directory: whose it is, whether there is room, and whether files and locks do there what they should."""

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

from ...errors import SettingsError
from ...outbox.database import Database, Trouble
from ...outbox.folder import Folder, HeldFile
from ...outbox.row import Row
from . import Finding, held
from .mounts import check_mount, read_mounts

LITTLE = 100_000_000  # bytes of free space
SOME = 2_000_000_000  # the files of two processes may become as large
SLOW = 0.5  # seconds for one commit; responses wait a tenth of that at most
_PATIENCE = 30  # seconds


@dataclass(frozen=True, slots=True)
class DirectoryFacts:
    """What the system says of a directory.

    Attributes:
        path: the directory, or where it is not there the nearest above it that is.
        is_there: whether it is there.
        mode: its permissions.
        owner: the number of the user whose it is.
        user: the number of the user of this process.
        is_writable: whether this user may write there.
        free: bytes that this user may still write.
        files: how many files may still be made; None where there is no limit.
        is_read_only: whether the file system is mounted so.
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
class Trial:
    """What came of using the directory.

    Attributes:
        trouble: why it cannot be used; None if it can.
        seconds: how long a commit took, until the disk had it.
        lock_holds: whether another process finds a lock taken that this one has; None if that could not be tried.
    """

    trouble: str | None = None
    seconds: float = 0.0
    lock_holds: bool | None = None


def read_facts(directory: Path) -> DirectoryFacts:
    """Ask the system of a directory; raises OSError."""
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
    """Whether this user, and nobody else, can use the directory."""
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
        return Finding(name, "ok", f"not there yet; it can be made in {facts.path}")
    if facts.mode & stat.S_IWOTH:
        return Finding(name, "problem", "everybody may write to it; the app refuses it", f"chmod 700 {facts.path}")
    if facts.owner != facts.user:
        return Finding(
            name,
            "warning",
            f"it belongs to user number {facts.owner}, and this one is number {facts.user}",
            "run this, and all processes of the app, as one user",
        )
    if facts.mode & 0o077:
        return Finding(
            name, "warning", f"others may see what is in it (mode {facts.mode:o})", f"chmod 700 {facts.path}"
        )
    return Finding(name, "ok", f"this user's own, mode {facts.mode:o}")


def check_space(facts: DirectoryFacts) -> Finding:
    """Whether there is room for what may wait."""
    name = "free space"
    words = f"{facts.free / 1e9:,.1f} GB"
    if facts.files is not None and facts.files < 100:
        return Finding(
            name,
            "problem",
            f"only {facts.files} more files can be made (inodes)",
            "remove some, or choose another disk",
        )
    if facts.free < LITTLE:
        return Finding(
            name, "problem", f"{words}; on a full disk events wait in memory and are lost with it", "make room"
        )
    if facts.free < SOME:
        return Finding(
            name,
            "warning",
            f"{words}; each process may take up to max_bytes, 1 GB by default",
            "make room, or lower max_bytes",
        )
    return Finding(name, "ok", words)


def check_trial(trial: Trial) -> list[Finding]:
    """Whether what is written can be read again, and a lock is a lock."""
    if trial.trouble is not None:
        return [
            Finding(
                "writing",
                "problem",
                f"a file could not be written and read again: {trial.trouble}",
                "see above, or choose another directory",
            )
        ]
    milliseconds = f"written, committed and read again in {trial.seconds * 1000:.0f} ms"
    if trial.seconds > SLOW:
        writing = Finding(
            "writing",
            "warning",
            f"{milliseconds}, which is slow; responses go on after store_timeout without it",
            "choose a faster disk",
        )
    else:
        writing = Finding("writing", "ok", milliseconds)
    return [writing, _check_lock(trial.lock_holds)]


def try_directory(directory: Path) -> Trial:
    """Make an outbox's file in a directory of its own there, write to it, read it again, and have another process look.

    Nothing of it is left, also where the directory itself had to be made.
    """
    missing = [one for one in (directory, *directory.parents) if not one.exists()]
    try:
        Folder(directory).make()
        # No outbox looks into a directory in its own.
        inner = Path(tempfile.mkdtemp(prefix="doctor-", dir=directory))
        try:
            return _try(Folder(inner).make_file())
        finally:
            shutil.rmtree(inner, ignore_errors=True)
    except Trouble as trouble:
        return Trial(trouble.reason)
    except SettingsError as error:
        return Trial(error.message)
    except OSError as error:
        return Trial((error.strerror or str(error)).lower())
    finally:
        for one in missing:
            try:
                one.rmdir()
            except OSError:
                break


def check_directory(directory: Path) -> list[Finding]:
    """Check a directory that is there or is to be made."""
    try:
        facts = read_facts(directory)
    except OSError as error:
        return [
            Finding(
                "directory",
                "problem",
                f"{directory} cannot be looked at ({error.strerror})",
                "run this as the user that the app runs as",
            )
        ]
    return [
        check_permissions(facts),
        check_mount(directory.resolve(), read_mounts()),
        check_space(facts),
        *check_trial(try_directory(directory)),
    ]


def _try(file: HeldFile) -> Trial:
    begun = time.perf_counter()
    database = Database(file.path, "FULL")
    row = Row(1, "doctor", "dead", "doctor", "doctor", None, time.time(), 0, 0.0, 0.0, None, b"[]")
    database.write(inserts=[row])
    database.close()
    database = Database(file.path, "FULL")
    is_there = database.after(0, 2) == [row]
    seconds = time.perf_counter() - begun
    lock_holds = _ask_another(file.path)
    database.close()
    file.remove()
    return Trial(None if is_there else "something else was read than was written", seconds, lock_holds)


def _ask_another(path: Path) -> bool | None:
    """Have another process say whether a lock of this one is taken; None if it cannot say."""
    command = [sys.executable, "-m", held.__name__, str(path)]
    try:
        run = subprocess.run(command, check=False, capture_output=True, timeout=_PATIENCE)  # noqa: S603 - our own
    except (OSError, subprocess.SubprocessError):
        return None
    return {held.TAKEN: True, held.FREE: False}.get(run.returncode)


def _check_lock(lock_holds: bool | None) -> Finding:
    if lock_holds is None:
        return Finding("locks", "warning", "not tried, as no other process could be started", "see why, and try again")
    if not lock_holds:
        return Finding(
            "locks",
            "problem",
            "another process does not see a lock that this one has; two would write to one file and damage it",
            "choose a directory on a local disk",
        )
    return Finding("locks", "ok", "another process sees a lock that this one has")
