"""`passerby worker -- COMMAND`: runs an app and its worker as two children, and ends with the app.

This file runs as a program of its own, in a process that was `passerby` before. It imports nothing but the standard
library and starts no thread, so that it is small and has nothing that could fail. It also works as the first process of
a container: it reaps what other processes leave behind.

Signals are blocked and taken one by one, so none is lost between two steps.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import NamedTuple

ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)
FORWARDED = (*ENDING, signal.SIGUSR1, signal.SIGUSR2)
KEYBOARD = (signal.SIGINT, signal.SIGQUIT)
SUPERVISED = "--supervised"  # the worker's option for its end of the socket
END, NOW = b"e", b"n"  # to the worker: the app has ended; end at once

START_TIMEOUT = 60.0  # seconds for the worker to load the app, before the app is started anyway
END_TIMEOUT = 10.0  # seconds for the worker to end, beyond the app's close_timeout
UNKNOWN_CLOSE_TIMEOUT = 2.0  # seconds; of a worker that has not reported yet
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0  # seconds before a worker that has ended is started again
HEALTHY = 60.0  # seconds after which the pauses start over
_POLL = 0.02  # seconds between two looks for the worker's report while it starts
_FROM_KERNEL = 0x80  # Linux, SI_KERNEL: from the keyboard, which signals all processes of the terminal
NOT_FOUND, NOT_EXECUTABLE = 127, 126  # exit codes, as a shell has them


class ReceivedSignal(NamedTuple):
    """A signal, and whether it came from the keyboard."""

    number: int
    is_from_keyboard: bool


class Supervisor:
    """Runs a command and a worker.

    Args:
        worker: the worker's command line.
        command: the app's command line.
    """

    def __init__(self, worker: Sequence[str], command: Sequence[str]) -> None:
        self._worker_line = worker
        self._command_line = command
        self._taken: set[int] = set()
        self._mask: set[int] = set()
        self._command: int | None = None
        self._worker: int | None = None
        self._socket: socket.socket | None = None
        self._report = b""
        self._started_at = 0.0
        self._restart_at: float | None = None
        self._restarts = 0
        self._command_code: int | None = None
        self._worker_code: int | None = None

    def run(self) -> int:
        """Run until the command has ended. Returns its exit code."""
        self._take_signals()
        self._start_worker()
        code = self._wait_for_report()
        if code is None:
            code = self._run_command()
        self._end_worker()
        return code

    def _take_signals(self) -> None:
        """Block all signals that are handled here. Those that were ignored before stay ignored, also in the app."""
        self._taken = {each for each in FORWARDED if signal.getsignal(each) is not signal.SIG_IGN}
        self._taken |= {signal.SIGCHLD, signal.SIGALRM}
        for each in (signal.SIGCHLD, signal.SIGALRM):
            signal.signal(each, _do_nothing)  # a signal that is ignored would not be kept
        self._mask = set(signal.pthread_sigmask(signal.SIG_BLOCK, self._taken))

    def _wait_for_report(self) -> int | None:
        """Wait until the worker has loaded the app. Returns an exit code if the command is not to be started."""
        until = time.monotonic() + START_TIMEOUT
        while self._worker is not None and b"\n" not in self._report and time.monotonic() < until:
            received = self._next_signal(_POLL)
            if received is not None and received.number in ENDING:
                self._order_worker(NOW)
                return 128 + received.number
            self._read_report()
        # A worker that refuses its settings is refused together with the app. One that was killed is started again.
        return self._worker_code if self._worker is None and self._worker_code in (1, 2) else None

    def _run_command(self) -> int:
        """Start the command, and keep a worker beside it until it has ended. Returns its exit code."""
        try:
            self._command = self._spawn(self._command_line, self._mask)
        except OSError as error:
            _say(f"cannot start {self._command_line[0]} ({error.strerror})")
            return NOT_FOUND if isinstance(error, FileNotFoundError) else NOT_EXECUTABLE
        if self._worker is None:
            self._plan_restart()
        while self._command_code is None:
            now = time.monotonic()
            received = self._next_signal(None if self._restart_at is None else max(0.0, self._restart_at - now))
            if received is not None and self._command_code is None:
                self._forward(received)
            if self._worker is None and self._restart_at is None:
                self._plan_restart()
            elif self._restart_at is not None and time.monotonic() >= self._restart_at:
                self._start_worker()
        return self._command_code

    def _forward(self, received: ReceivedSignal) -> None:
        """Pass a signal on to the command. One from the keyboard has reached it already."""
        if self._command is not None and not (received.is_from_keyboard and received.number in KEYBOARD):
            with suppress(ProcessLookupError):
                os.kill(self._command, received.number)

    def _end_worker(self) -> None:
        """Let the worker deliver what it can, and wait for its end. A signal ends it at once."""
        self._read_report()
        self._order_worker(END)
        until = time.monotonic() + self._close_timeout() + END_TIMEOUT
        while self._worker is not None and (rest := until - time.monotonic()) > 0:
            received = self._next_signal(rest)
            if received is not None and received.number in ENDING:
                self._order_worker(NOW)
        if self._worker is not None:
            _say("the worker does not end; it is killed, and what it was sending is sent again later")
            os.kill(self._worker, signal.SIGKILL)
            self._worker_code = None
            while self._worker_code is None:
                self._next_signal(None)

    def _start_worker(self) -> None:
        self._restart_at, self._report = None, b""
        self._started_at = time.monotonic()
        own, its = socket.socketpair()
        with its:
            own.setblocking(False)
            its.set_inheritable(True)
            # The worker ignores signals that its whole group gets; it unblocks them when it has said so.
            blocked = self._mask | set(FORWARDED)
            self._worker = self._spawn([*self._worker_line, SUPERVISED, str(its.fileno())], blocked)
        if self._socket is not None:
            self._socket.close()
        self._socket = own

    def _plan_restart(self) -> None:
        lived = time.monotonic() - self._started_at
        self._restarts = 1 if lived > HEALTHY else self._restarts + 1
        pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(self._restarts - 1, 16))
        self._restart_at = time.monotonic() + pause
        _say(
            f"the worker has ended ({_describe(self._worker_code)}); it starts again in {pause:.0f} s, the app goes on"
        )

    def _spawn(self, line: Sequence[str], blocked: set[int]) -> int:
        # Python ignores these two; a command expects them to end it.
        default = [signal.SIGPIPE, signal.SIGXFSZ]
        return os.posix_spawnp(line[0], list(line), os.environ, setsigmask=blocked, setsigdef=default)

    def _next_signal(self, timeout: float | None) -> ReceivedSignal | None:
        """Return the next signal to handle, or None at the timeout or if a child has ended, which is noted here."""
        if timeout is not None:
            signal.setitimer(signal.ITIMER_REAL, max(0.001, timeout))
        if hasattr(signal, "sigwaitinfo"):
            info = signal.sigwaitinfo(self._taken)
            number, is_from_keyboard = info.si_signo, info.si_code == _FROM_KERNEL
        else:
            number = signal.sigwait(self._taken)
            is_from_keyboard = number in KEYBOARD and _is_in_foreground()
        if timeout is not None:
            signal.setitimer(signal.ITIMER_REAL, 0)
        if number == signal.SIGCHLD:
            self._reap()
        return ReceivedSignal(number, is_from_keyboard) if number in FORWARDED else None

    def _reap(self) -> None:
        """Note which children have ended, also those that other processes have left to this one."""
        with suppress(ChildProcessError):
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                code = os.waitstatus_to_exitcode(ended[1])
                if ended[0] == self._command:
                    self._command, self._command_code = None, code if code >= 0 else 128 - code
                elif ended[0] == self._worker:
                    self._worker, self._worker_code = None, code

    def _order_worker(self, what: bytes) -> None:
        if self._socket is not None:
            with suppress(OSError):  # it has just ended
                self._socket.send(what)

    def _read_report(self) -> None:
        if self._socket is not None:
            with suppress(OSError):
                self._report += self._socket.recv(100)

    def _close_timeout(self) -> float:
        """Return the app's close_timeout, as the worker has reported it."""
        line, separator, _ = self._report.partition(b"\n")
        return float(line) if separator else UNKNOWN_CLOSE_TIMEOUT


def _do_nothing(number: int, frame: object) -> None:
    """Handle a signal that is only waited for."""


def _is_in_foreground() -> bool:
    """Whether the keyboard signals this process."""
    try:
        return os.tcgetpgrp(0) == os.getpgrp()
    except OSError:  # no terminal
        return False


def _describe(code: int | None) -> str:
    return f"signal {-code}" if code is not None and code < 0 else f"exit code {code}"


def _say(text: str) -> None:
    with suppress(OSError):
        os.write(2, f"passerby worker: {text}\n".encode(errors="backslashreplace"))


def main(argv: Sequence[str]) -> int:
    """Run; the arguments are the length of the worker's command line, this line, and that of the app."""
    number = 1 + int(argv[0])
    return Supervisor(argv[1:number], argv[number:]).run()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
