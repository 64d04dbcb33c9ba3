"""Unix datagram sockets in the store's directory, by which a process wakes those that deliver."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

_PREFIX = "wake-"
_WAKE_EVERY = 0.01  # seconds
_LOOK_EVERY = 1.0  # seconds between two looks for sockets


class WakeSockets:
    """The sockets of all processes, as one of them uses them.

    Args:
        directory: where they are.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._sender: socket.socket | None = None
        self._paths: list[Path] = []
        self._looked = self._woken = 0.0
        self._own: Path | None = None

    def wake(self) -> None:
        """Wake the other processes that deliver, at most once in 10 ms."""
        now = time.monotonic()
        if now - self._woken < _WAKE_EVERY:
            return
        self._woken = now
        if now - self._looked > _LOOK_EVERY:
            self._looked = now
            self._paths = [path for path in self._directory.glob(f"{_PREFIX}*") if path != self._own]
        for path in list(self._paths):
            self._send(path)

    def _send(self, path: Path) -> None:
        try:
            if self._sender is None:
                self._sender = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
                self._sender.setblocking(False)
            self._sender.sendto(b"", str(path))
        except ConnectionRefusedError:  # its process is gone
            self._paths.remove(path)
            with suppress(OSError):
                path.unlink()
        except OSError:  # full, which wakes it as well, or gone
            pass

    def listen(self, on_wake: Callable[[], None]) -> bool:
        """Call a function in a thread of its own when woken. Returns False where no socket can be bound."""
        receiver = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        own = self._directory / f"{_PREFIX}{os.getpid()}-{id(receiver):x}.sock"
        try:
            receiver.bind(str(own))
            own.chmod(0o600)
        except OSError:
            receiver.close()
            return False
        self._own = own
        threading.Thread(target=_receive, args=(receiver, on_wake), name="passerby-wake", daemon=True).start()
        return True

    def close(self) -> None:
        """End the listening thread and remove the socket."""
        own, self._own = self._own, None
        if own is not None:
            with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
                sender.sendto(b"end", str(own))
            with suppress(OSError):
                own.unlink()
        if self._sender is not None:
            self._sender.close()
            self._sender = None


def _receive(receiver: socket.socket, on_wake: Callable[[], None]) -> None:
    with receiver:
        while receiver.recv(8) != b"end":
            on_wake()
