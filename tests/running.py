"""A command of passerby's, running as a user would run it."""

from __future__ import annotations

import os
import queue
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import IO

PATIENCE = 60  # seconds, on the slowest machine


PASSERBY = (sys.executable, "-W", "error", "-m", "passerby.cli.main")


class Running:
    """A process, its output read as it comes."""

    def __init__(self, *arguments: str, program: Sequence[str] = PASSERBY, start_new_session: bool = False) -> None:
        self.process = subprocess.Popen(
            [*program, *arguments],
            start_new_session=start_new_session,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
        )
        self.lines: list[str] = []
        self.complaints: list[str] = []
        self._arriving: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._readers = [
            threading.Thread(target=self._read_output, args=(self.process.stdout,)),
            threading.Thread(target=self._read_complaints, args=(self.process.stderr,)),
        ]
        for reader in self._readers:
            reader.start()

    def wait_for(self, pattern: str) -> re.Match[str]:
        """Return the first match in a line not waited for before."""
        with suppress(queue.Empty):
            while (line := self._arriving.get(timeout=PATIENCE)) is not None:
                self.lines.append(line)
                if found := re.search(pattern, line):
                    return found
        raise AssertionError(f"no {pattern!r} in {self.lines}, {self.complaints}")

    def end(self, number: signal.Signals = signal.SIGINT) -> int:
        """Send a signal, read the rest, and return the exit code."""
        self.process.send_signal(number)
        return self.wait()

    def wait(self) -> int:
        code = self.process.wait(PATIENCE)
        for reader in self._readers:
            reader.join(PATIENCE)
        while not self._arriving.empty():
            line = self._arriving.get()
            if line is not None:
                self.lines.append(line)
        return code

    def _read_output(self, stream: IO[str]) -> None:
        with stream:
            for line in stream:
                self._arriving.put(line.rstrip("\n"))
        self._arriving.put(None)

    def _read_complaints(self, stream: IO[str]) -> None:
        with stream:
            self.complaints += [line.rstrip("\n") for line in stream]


@contextmanager
def running(*arguments: str) -> Iterator[Running]:
    command = Running(*arguments)
    try:
        yield command
    finally:
        try:
            if command.process.poll() is None:
                command.end(signal.SIGTERM)
        finally:
            command.process.kill()
            command.wait()


@contextmanager
def in_a_group(*arguments: str) -> Iterator[Running]:
    """Run a command with its children in a group of their own."""
    command = Running(*arguments, start_new_session=True)
    try:
        yield command
    finally:
        with suppress(ProcessLookupError):
            os.killpg(command.process.pid, signal.SIGKILL)
        command.wait()
