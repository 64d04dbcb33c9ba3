"""The orders that a worker gets: by signals, or from the supervisor that runs it beside an app."""

from __future__ import annotations

import os
import select
import signal
import socket
from collections.abc import Generator
from contextlib import contextmanager, suppress
from enum import IntEnum
from types import FrameType

from .supervisor import END, FORWARDED, NOW


class WorkerOrder(IntEnum):
    """What a worker does; a later one replaces an earlier one."""

    DELIVER = 0
    END_WITH_APP = 1  # deliver what can be delivered within the app's close_timeout
    STOP = 2  # claim nothing more, let running calls finish
    STOP_NOW = 3  # give everything back


class OrderReader:
    """Reads orders. Used by the main thread.

    Args:
        supervisor: the number of the socket to the supervisor, or None for a worker of its own.
    """

    def __init__(self, supervisor: int | None) -> None:
        self._supervised = supervisor is not None
        self._supervisor = None if supervisor is None else socket.socket(fileno=supervisor)
        self._own, self._noted = socket.socketpair()
        self._noted.setblocking(False)
        self._order = WorkerOrder.DELIVER

    @property
    def order(self) -> WorkerOrder:
        """What holds now."""
        return self._order

    @contextmanager
    def reading(self) -> Generator[None]:
        """Read signals and what the supervisor says, until the end of the block."""
        if self._supervisor is None:
            before = {each: signal.signal(each, self._note_signal) for each in (signal.SIGTERM, signal.SIGINT)}
        else:
            # They reach the whole group when the app is to end, and the worker ends after the app.
            before = {each: signal.signal(each, signal.SIG_IGN) for each in FORWARDED}
            signal.pthread_sigmask(signal.SIG_UNBLOCK, FORWARDED)
            self._supervisor.set_inheritable(False)
        # The signal may reach another thread, while this one waits.
        wakeup = signal.set_wakeup_fd(self._noted.fileno(), warn_on_full_buffer=False)
        try:
            yield
        finally:
            signal.set_wakeup_fd(wakeup)
            if self._supervised:
                before = {}  # the process ends, and its group may still get signals
            for number, handler in before.items():
                signal.signal(number, handler)
            for each in (self._own, self._noted, self._supervisor):
                if each is not None:
                    each.close()

    def report(self, close_timeout: float) -> None:
        """Report to the supervisor that the app's tracking is loaded."""
        if self._supervisor is not None:
            with suppress(OSError):  # it has ended; noted at the next `wait`
                self._supervisor.sendall(f"{close_timeout}\n".encode())

    def wait(self, timeout: float | None) -> None:
        """Wait for an order, for some seconds at most."""
        sockets = [each for each in (self._own, self._supervisor) if each is not None]
        ready, _, _ = select.select(sockets, [], [], timeout)
        if self._own in ready:
            self._own.recv(100)
        if self._supervisor is not None and self._supervisor in ready:
            self._read_supervisor(self._supervisor)

    def _read_supervisor(self, supervisor: socket.socket) -> None:
        try:
            received = supervisor.recv(100)
        except OSError:
            received = b""
        if NOW in received:
            self._raise_to(WorkerOrder.STOP_NOW)
        elif END in received:
            self._raise_to(WorkerOrder.END_WITH_APP)
        if not received:  # the supervisor was killed
            self._raise_to(WorkerOrder.STOP)
            supervisor.close()
            self._supervisor = None

    def _note_signal(self, number: int, frame: FrameType | None) -> None:
        self._raise_to(WorkerOrder.STOP if self._order < WorkerOrder.STOP else WorkerOrder.STOP_NOW)

    def _raise_to(self, order: WorkerOrder) -> None:
        self._order = max(self._order, order)


def is_supported() -> bool:
    """Whether this system has what a supervisor needs."""
    return hasattr(os, "posix_spawnp") and hasattr(signal, "pthread_sigmask")
