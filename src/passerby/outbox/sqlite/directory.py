"""The directory of a store: its files, whose they are, and the lock by which processes take turns.

The lock is a POSIX record lock on a file of its own. A fork does not inherit it, so a child that outlives a killed
parent does not hold it. It does not exclude threads of one process, so each file has a thread lock as well.
"""

from __future__ import annotations

import fcntl
import os
import re
import socket
import stat
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from weakref import WeakValueDictionary

from ..contract import StorageError

NAME = "passerby-store"
MOUNTS = Path("/proc/self/mountinfo")
DATABASE = "events.sqlite3"
BESIDE = ("", "-wal", "-shm", "-journal")  # what SQLite makes
RESERVE_SIZE = 14 << 20  # bytes; on a small volume a sixth of it
PATIENCE = 1.0  # seconds for a turn
_QUARANTINED = re.compile(rf"{re.escape(DATABASE)}\.(corrupt|salvaged)-\d+")
_EARLIER = re.compile(r"\d+-[0-9a-f]+\.sqlite3|shared\.db")
_WAKE = "wake-"
_WAKE_EVERY = 0.01  # seconds
_LOOK_EVERY = 1.0  # seconds between two looks for sockets
_NETWORK = {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "virtiofs", "fuse", "afs", "ceph", "glusterfs"}


class _FileLock:
    """The thread lock of one lock file, with its descriptor."""

    def __init__(self, path: str) -> None:
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        self.descriptor: int = os.open(path, flags, 0o600)
        self.identity: tuple[int, int] | None = identity_of(self.descriptor)
        self.mutex: threading.Lock = threading.Lock()

    def __del__(self) -> None:
        os.close(self.descriptor)


_locks: WeakValueDictionary[tuple[int, tuple[int, int] | None], _FileLock] = WeakValueDictionary()
_finding = threading.Lock()


class Turn:
    """Holds a lock while its block runs."""

    __slots__ = ("_lock", "_patience")

    def __init__(self, lock: _FileLock, patience: float) -> None:
        self._lock = lock
        self._patience = patience

    def __enter__(self) -> None:
        if not self._lock.mutex.acquire(timeout=self._patience):
            raise StorageError("waited too long for a turn")
        try:
            self._take()
        except BaseException:
            self._lock.mutex.release()
            raise

    def _take(self) -> None:
        """Take the record lock. It is asked for again and again, as waiting for it has no time limit."""
        pause, until = 0.000_05, time.monotonic() + self._patience
        while True:
            try:
                fcntl.lockf(self._lock.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except (BlockingIOError, PermissionError):
                if time.monotonic() > until:
                    raise StorageError("waited too long for a turn") from None
            except OSError as error:
                raise StorageError("no locks on this file system", is_final=True) from error
            time.sleep(pause)
            pause = min(0.001, pause * 1.5)

    def __exit__(self, *error: object) -> None:
        fcntl.lockf(self._lock.descriptor, fcntl.LOCK_UN)
        self._lock.mutex.release()


class StoreDirectory:
    """A sub-directory that passerby makes inside a named one.

    Args:
        directory: the named directory; made with its parents when the store is first used.
        mounts: lists the file systems, where the system has such a list.

    Attributes:
        reserve_size: how many bytes are reserved for the time when the disk is full.
    """

    def __init__(self, directory: str | os.PathLike[str], mounts: Path = MOUNTS) -> None:
        # Absolute from the start, as the app may change its working directory.
        self.outer: Path = Path(directory).expanduser().absolute()
        self.path: Path = self.outer / NAME
        self.database: Path = self.path / DATABASE
        self._lock_path = str(self.path / "turn.lock")
        self._database_path = str(self.database)
        self._mounts = mounts
        self._lock: _FileLock | None = None
        self.reserve_size: int = RESERVE_SIZE

    @property
    def longest_log(self) -> int:
        """How many bytes the log may have, so that it goes into the file when the reserve is released."""
        return self.reserve_size * 6 // 7

    def make(self) -> None:
        """Make the directories and the lock file. Raises StorageError."""
        with refusals():
            self.outer.mkdir(mode=0o700, parents=True, exist_ok=True)
            if any(_EARLIER.fullmatch(path.name) for path in self.outer.iterdir()):
                raise StorageError("found files of an unreleased outbox; name another directory", is_final=True)
            kind = _filesystem_of(self.outer, self._mounts)
            if kind in _NETWORK or kind.startswith("fuse."):
                raise StorageError(f"a file system of type {kind} has no safe locks; use a local disk", is_final=True)
            with suppress(FileExistsError):
                self.path.mkdir(mode=0o700)
            found = self.path.lstat()
            if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o077:
                raise StorageError(f"{NAME} is no directory of this user's own with mode 0700", is_final=True)
            disk = os.statvfs(self.path)
            self.reserve_size = min(RESERVE_SIZE, disk.f_blocks * disk.f_frsize // 6)
            self._find_lock()

    def _find_lock(self) -> None:
        """Open the lock file, unless another store of this process has it open."""
        self.check_file(Path(self._lock_path))
        with _finding:
            # Not opened twice: closing a descriptor releases the lock that is held through another one.
            self._lock = _locks.get((os.getpid(), identity_of(self._lock_path)))
            if self._lock is None:
                self._lock = _FileLock(self._lock_path)
                _locks[os.getpid(), self._lock.identity] = self._lock

    def reset_after_fork(self) -> None:
        """In a forked child: the lock is the parent's."""
        self._lock = None

    def turn(self, patience: float = PATIENCE) -> Turn:
        """Return a context manager that holds the lock. It raises StorageError if others have it for too long."""
        if self._lock is None or identity_of(self._lock_path) != self._lock.identity:
            self.make()  # or the directory was removed
        assert self._lock is not None  # noqa: S101 - made above
        return Turn(self._lock, patience)

    def check_file(self, path: Path) -> None:
        """Raise StorageError for anything but a regular file of this user, if there is one."""
        with suppress(FileNotFoundError):
            found = path.lstat()
            if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid() or found.st_nlink > 1:
                raise StorageError(f"{path.name} is no regular file of this user alone; remove it", is_final=True)

    def make_database(self) -> None:
        """Make an empty database file unless there is one. Raises StorageError."""
        for ending in BESIDE:
            self.check_file(self.path / (DATABASE + ending))
        with refusals(), suppress(FileExistsError):
            os.close(os.open(self.database, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600))

    def identity(self) -> tuple[int, int] | None:
        """Return which file the database is, or None without one."""
        return identity_of(self._database_path)

    def has_space(self, size: int | None = None) -> bool:
        """Return whether the disk has so many bytes free for this user, by default twice the reserve."""
        found = os.statvfs(self.path)
        return found.f_bavail * found.f_frsize > (2 * self.reserve_size if size is None else size)

    def quarantine(self) -> Path:
        """Rename the database and all that belongs to it. Returns its new name."""
        second = int(time.time())
        while (aside := self.path / f"{DATABASE}.corrupt-{second}").exists():
            second += 1
        with refusals():
            for ending in BESIDE:
                with suppress(FileNotFoundError):
                    self.database.with_name(DATABASE + ending).rename(aside.with_name(aside.name + ending))
        return aside

    def generation(self) -> int:
        """Return how many databases were here before this one."""
        return sum(not path.name.endswith(BESIDE[1:]) for path in self.path.glob(f"{DATABASE}.*"))

    def unsalvaged(self) -> list[Path]:
        """Return the quarantined databases whose whole rows are still to be read, the oldest first."""
        return [path for path in self.quarantined() if path.suffix.startswith(".corrupt-")]

    def quarantined(self) -> list[Path]:
        """Return all quarantined databases."""
        with suppress(OSError):
            return sorted(path for path in self.path.glob(f"{DATABASE}.*") if _QUARANTINED.fullmatch(path.name))
        return []

    # Some space is reserved for the time when the disk is full.

    def reserve(self) -> bool:
        """Reserve some space. Returns whether it is reserved; it needs much free space."""
        path = self.path / "reserve"
        self.check_file(path)
        if path.exists() or not self.has_space():
            return path.exists()
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        try:
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(descriptor, 0, self.reserve_size)
            else:
                os.write(descriptor, bytes(self.reserve_size))
        except OSError:
            path.unlink()
        finally:
            os.close(descriptor)
        return path.exists()

    def release_reserve(self) -> bool:
        """Give the reserved space back to the disk. Returns whether there was any."""
        with suppress(OSError):
            (self.path / "reserve").unlink()
            return True
        return False


class WakeSockets:
    """Unix datagram sockets in the directory, by which a process wakes those that deliver.

    Args:
        directory: where they are.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._others: list[Path] = []
        self._looked = 0.0
        self._own: Path | None = None
        self._receiver: socket.socket | None = None

    def wake(self) -> None:
        """Wake the other processes that deliver."""
        now = time.monotonic()
        if now - self._looked > _LOOK_EVERY:
            self._looked = now
            self._others = [path for path in self._directory.glob(f"{_WAKE}*") if path != self._own]
        for path in self._others:
            _send(path)

    def listen(self, on_wake: Callable[[], None]) -> bool:
        """Call a function in a thread of its own when woken. Returns False where no socket can be bound."""
        receiver = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        own = self._directory / f"{_WAKE}{os.getpid()}-{id(receiver):x}.sock"
        try:
            receiver.bind(str(own))
            own.chmod(0o600)
        except OSError:
            receiver.close()
            return False
        self._own, self._receiver = own, receiver
        threading.Thread(target=_receive, args=(receiver, on_wake), name="passerby-wake", daemon=True).start()
        return True

    def close(self) -> None:
        """End the listening thread and remove the socket."""
        own, self._own = self._own, None
        if own is not None and self._receiver is not None:
            with suppress(OSError):
                self._receiver.shutdown(socket.SHUT_RDWR)
            with suppress(OSError):  # the directory may be gone
                own.unlink()


def _send(path: Path) -> None:
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.setblocking(False)
            sender.sendto(b"w", str(path))
    except ConnectionRefusedError:  # its process is gone
        path.unlink(missing_ok=True)
    except OSError:  # full, which wakes it as well, or gone
        pass


def _receive(receiver: socket.socket, on_wake: Callable[[], None]) -> None:
    """Call a function for what comes, at most once in 10 ms, until the socket is shut down."""
    with receiver:
        while receiver.recv(8):
            with suppress(BlockingIOError):
                while receiver.recv(8, socket.MSG_DONTWAIT):
                    pass
            on_wake()
            time.sleep(_WAKE_EVERY)


def identity_of(file: str | int) -> tuple[int, int] | None:
    """Return which file a path or descriptor leads to, or None for none."""
    try:
        found = os.stat(file)  # noqa: PTH116 - half the time; done twice in every turn
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _filesystem_of(path: Path, mounts: Path) -> str:
    """Return the type of the file system that a directory is on, or "" where that is not known."""
    with suppress(OSError):
        device = path.stat().st_dev
        number = f"{os.major(device)}:{os.minor(device)}"
        for line in mounts.read_text(errors="replace").splitlines():
            fields = line.split()
            if fields[2] == number:
                return fields[fields.index("-") + 1]
    return ""


def sync_file(descriptor: int) -> None:
    """Have the disk keep what was written to a file."""
    full: int | None = getattr(fcntl, "F_FULLFSYNC", None)
    if full is not None:  # macOS, whose fsync leaves it in the disk's cache
        fcntl.fcntl(descriptor, full)
    else:
        os.fdatasync(descriptor)


@contextmanager
def refusals() -> Generator[None]:
    """Raise StorageError for what the system refuses."""
    try:
        yield
    except (FileExistsError, NotADirectoryError) as error:
        reason = "found a file where a directory is needed; remove it, or name another directory"
        raise StorageError(reason, is_final=True) from error
    except OSError as error:  # in a few words, without a path
        raise StorageError(os.strerror(error.errno).lower() if error.errno else "input or output failed") from error
