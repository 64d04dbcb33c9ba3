"""The folder of the outboxes on disk: one file per process, each held by a lock on a small file beside it.

The lock is on a file of its own, since SQLite has locks of its own on the other. It is let go of by closing, never by
unlocking: a forked child has the same lock, and what it unlocked would be unlocked for its parent too.
"""

from __future__ import annotations

import fcntl
import os
import re
import secrets
import stat
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from logging import Logger
from pathlib import Path

from ..errors import SettingsError
from ..logs import get_logger

log: Logger = get_logger("passerby.outbox")

ENDING = ".sqlite3"
SHARED = "shared.db"  # of another ending: nobody's outbox
_OURS = re.compile(r"(\d+)-[0-9a-f]+")  # the name of an outbox without its ending; whatever else is there is not ours
_ASIDE = ".corrupt-"
_BESIDE = ("", "-wal", "-shm", "-journal")  # what SQLite makes


class HeldFile:
    """A database file that this process alone may use, as long as it has the lock.

    Attributes:
        path: the database.
    """

    def __init__(self, path: Path, lock: int) -> None:
        self.path: Path = path
        self._lock: int | None = lock
        self._inode = _inode(path)

    @property
    def is_in_place(self) -> bool:
        """Whether the file is still where it was made."""
        return self._inode is not None and _inode(self.path) == self._inode

    def let_go(self) -> None:
        """Let go of the lock; the next process may take the file."""
        lock, self._lock = self._lock, None
        if lock is not None:
            os.close(lock)

    def remove(self) -> None:
        """Remove the file, its lock last: who takes the lock in between finds nothing."""
        remove_file(self.path)
        _lock_path(self.path).unlink(missing_ok=True)
        self.let_go()

    def set_aside(self, second: int) -> Path:
        """Give the file a name under which nobody takes it for an outbox; return that."""
        aside = self.path.with_name(f"{self.path.name}{_ASIDE}{second}")
        while aside.exists():
            second += 1
            aside = self.path.with_name(f"{self.path.name}{_ASIDE}{second}")
        for beside in _BESIDE:
            with suppress(FileNotFoundError):
                _path_beside(self.path, beside).rename(_path_beside(aside, beside))
        _lock_path(self.path).unlink(missing_ok=True)
        self.let_go()
        return aside


class Folder:
    """Where the files are. Raises SettingsError if it is no place for what is told of people.

    Args:
        directory: made, with its parents, when the first file is.
    """

    def __init__(self, directory: str | os.PathLike[str]) -> None:
        # Absolute from the start, as the app may change its working directory.
        self.path: Path = Path(directory).expanduser().absolute()
        with suppress(FileNotFoundError, NotADirectoryError, PermissionError):
            self._check(self.path.stat())

    def make(self) -> None:
        """Make the folder unless it is there; raises OSError."""
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            self._check(self.path.stat())
        except SettingsError as error:
            raise PermissionError(str(error)) from None

    def make_file(self) -> HeldFile:
        """Make an empty file for this process; raises OSError."""
        self.make()
        while True:
            path = self.path / f"{os.getpid()}-{secrets.token_hex(6)}{ENDING}"
            lock = _take_lock(path, os.O_CREAT | os.O_EXCL)
            if lock is None:  # somebody who looks for what is left behind was faster
                continue
            try:
                os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
            except OSError:
                _lock_path(path).unlink(missing_ok=True)
                os.close(lock)
                raise
            return HeldFile(path, lock)

    @property
    def shared_path(self) -> Path:
        """The file that all processes share."""
        return self.path / SHARED

    @property
    def shared_inode(self) -> int | None:
        """Which file that is at the moment; None if there is none."""
        return _inode(self.shared_path)

    def make_shared_file(self) -> int | None:
        """Make the shared file, empty, unless it is there; return which it is. Raises OSError."""
        self.make()
        with suppress(FileExistsError):
            os.close(os.open(self.shared_path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
        return self.shared_inode

    def set_shared_file_aside(self, inode: int | None, second: int) -> Path | None:
        """Rename the shared file if it still is that one; return its new name. Raises OSError."""
        lock = _take_lock(self.shared_path, os.O_CREAT)
        if lock is None:  # somebody else is about to
            return None
        file = HeldFile(self.shared_path, lock)
        if self.shared_inode is not None and self.shared_inode == inode:
            return file.set_aside(second)
        _lock_path(self.shared_path).unlink(missing_ok=True)
        file.let_go()
        return None

    def has_abandoned_files(self) -> bool:
        """Return whether there may be files of an outbox whose process is gone."""
        try:
            for path in self.path.iterdir():
                if process_of(path.name) is not None:
                    with looked_at(path) as is_gone:
                        if is_gone:
                            return True
        except FileNotFoundError:
            return False
        except OSError:
            return True
        return False

    def abandoned_files(self) -> Iterator[HeldFile]:
        """Take one file after another whose process is gone, the oldest first; raises OSError.

        What this user may not take is passed over.
        """
        try:
            names = [path.name for path in self.path.iterdir()]
        except FileNotFoundError:
            return
        stems = {name.removesuffix(ENDING) for name in names if name.endswith(ENDING)}
        stems |= {name.removesuffix(".lock") for name in names if name.endswith(".lock")}
        for stem in sorted(filter(_OURS.fullmatch, stems), key=self._begun_at):
            try:
                file = _take(self.path / (stem + ENDING))
            except OSError as error:
                log.warning("an outbox file cannot be taken over (%s); see whose it is", error.strerror)
                continue
            if file is not None:
                yield file

    def take(self, path: Path) -> HeldFile | None:
        """Take a file whose process is gone; None if it is not, or the file is. Raises OSError."""
        return _take(path) if path.exists() else None

    def _begun_at(self, stem: str) -> tuple[int, str]:
        """Sort by when a process began its file: what was recorded first comes first."""
        # The lock file is made first, and never written.
        for ending in (".lock", ENDING):
            with suppress(OSError):
                return (self.path / (stem + ending)).lstat().st_mtime_ns, stem
        return 0, stem

    def _check(self, found: os.stat_result) -> None:
        if not stat.S_ISDIR(found.st_mode):
            raise SettingsError("found a file, expected a directory", setting="outbox")
        if found.st_mode & stat.S_IWOTH:
            raise SettingsError(
                "found a directory that everybody may write to, expected one of this user's own; "
                "name another, which need not exist yet, or `chmod 700` this one",
                setting="outbox",
            )


def process_of(name: str) -> int | None:
    """Return the number of the process that made a file of this name; None if the file is no outbox."""
    ours = _OURS.fullmatch(name.removesuffix(ENDING)) if name.endswith(ENDING) else None
    return None if ours is None else int(ours[1])


def is_set_aside(name: str) -> bool:
    """Whether a file of this name was one of ours and set aside."""
    before, separator, second = name.partition(_ASIDE)
    return bool(separator) and second.isdigit() and (before == SHARED or process_of(before) is not None)


def remove_file(path: Path) -> None:
    """Remove a file that nobody has, with all that SQLite made beside it; raises OSError."""
    for beside in _BESIDE:
        _path_beside(path, beside).unlink(missing_ok=True)


def size_of(path: Path) -> int:
    """Return how many bytes a file has on disk, with all that SQLite made beside it; raises OSError."""
    size = 0
    for beside in _BESIDE:
        with suppress(FileNotFoundError):
            size += _path_beside(path, beside).stat().st_size
    return size


@contextmanager
def looked_at(path: Path) -> Generator[bool]:
    """Say whether a file's process is gone; if it is, nobody takes the file until the end. Raises OSError.

    Where the process lives it does not notice. Others may look at the same time.
    """
    lock: int | None = None
    try:
        with suppress(FileNotFoundError):
            lock = os.open(_lock_path(path), os.O_RDONLY | os.O_NOFOLLOW)
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        is_gone = True
    except BlockingIOError:
        is_gone = False
    try:
        yield is_gone
    finally:
        if lock is not None:
            os.close(lock)


def _take(path: Path) -> HeldFile | None:
    """Take a file unless another process has it; a lock without a file is removed."""
    lock = _take_lock(path, os.O_CREAT)
    if lock is None:
        return None
    file = HeldFile(path, lock)
    if path.exists():
        return file
    file.remove()
    return None


def _take_lock(path: Path, flags: int) -> int | None:
    """Take the lock of a file without waiting; None if another process has it."""
    lock_path = _lock_path(path)
    try:
        lock = os.open(lock_path, os.O_RDWR | os.O_NOFOLLOW | flags, 0o600)
    except FileExistsError:
        return None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if _inode(lock_path) == os.fstat(lock).st_ino:  # else it was removed in between, and locks nothing
            return lock
    except BlockingIOError:
        pass
    except OSError:
        os.close(lock)
        raise
    os.close(lock)
    return None


def _lock_path(path: Path) -> Path:
    return path.with_suffix(".lock")


def _path_beside(path: Path, ending: str) -> Path:
    return path.with_name(path.name + ending)


def _inode(path: Path) -> int | None:
    try:
        return path.stat().st_ino
    except OSError:
        return None
