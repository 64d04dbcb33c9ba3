"""A command of passerby's, running as a user would run it."""

from __future__ import annotations

import queue
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO

PATIENCE = 30  # seconds, on the slowest machine


class Running:
    """A process, its output read as it comes."""

    def __init__(self, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-X", "dev", "-W", "error", "-m", "passerby.cli", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
        )
        self.lines: list[str] = []
        self.complaints: list[str] = []
        self._arriving: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._readers = [
            threading.Thread(target=self._read, args=(self.process.stdout, self._arriving.put)),
            threading.Thread(target=self._read, args=(self.process.stderr, self.complaints.append)),
        ]
        for reader in self._readers:
            reader.start()

    def wait_for(self, pattern: str) -> re.Match[str]:
        """Return the first match in a line not waited for before."""
        while True:
            try:
                line = self._arriving.get(timeout=PATIENCE)
            except queue.Empty:
                raise AssertionError(f"no {pattern!r} in {self.lines}, {self.complaints}") from None
            self.lines.append(line)
            if found := re.search(pattern, line):
                return found

    def end(self, number: signal.Signals = signal.SIGINT) -> int:
        """Send a signal, read the rest, and return the exit code."""
        self.process.send_signal(number)
        return self.wait()

    def wait(self) -> int:
        code = self.process.wait(PATIENCE)
        for reader in self._readers:
            reader.join(PATIENCE)
        while not self._arriving.empty():
            self.lines.append(self._arriving.get())
        return code

    @staticmethod
    def _read(stream: IO[str] | None, take: Callable[[str], object]) -> None:
        assert stream
        with stream:
            for line in stream:
                take(line.rstrip("\n"))


@contextmanager
def running(*arguments: str) -> Iterator[Running]:
    command = Running(*arguments)
    try:
        yield command
    finally:
        if command.process.poll() is None:
            command.process.kill()
        command.wait()
