"""Processes to which things happen: run as a user would run them, read as they speak, and never left behind."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Any

ROOT = Path(__file__).parents[1]
STORE = "CHAOS_STORE"  # see `chaos.hooks`
PATIENCE = 30.0  # seconds for what should take one, on the slowest machine


class Process:
    """A process of ours, in a group of its own so that its children can be killed with it.

    Args:
        command: what to run.
        environment: added to that of this process.

    Attributes:
        begun: when it was begun, in seconds since 1970.
        environment: what was added to its environment.
        lines: what it has said.
        complaints: what it has said on stderr.
    """

    def __init__(self, command: Sequence[str], environment: Mapping[str, str] | None = None) -> None:
        self.environment = dict(environment or {})
        self.begun = time.time()
        self.popen = subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": _python_path(), "PYTHONUNBUFFERED": "1", **self.environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        self.lines: list[str] = []
        self.complaints: list[str] = []
        self._arriving: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._readers = [
            threading.Thread(target=self._read_lines, args=(self.popen.stdout,), daemon=True),
            threading.Thread(target=self._read_complaints, args=(self.popen.stderr,), daemon=True),
        ]
        for reader in self._readers:
            reader.start()

    def __enter__(self) -> Process:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.kill()

    def wait_for(self, word: str, patience: float = PATIENCE) -> list[str]:
        """Return the words of the next line that begins with a word. Raises RuntimeError if it does not come."""
        gives_up = time.monotonic() + patience
        with suppress(queue.Empty):
            while (line := self._arriving.get(timeout=max(0.0, gives_up - time.monotonic()))) is not None:
                words = line.split()
                if words and words[0] == word:
                    return words[1:]
        raise RuntimeError(f"{word!r} was not said; the last words were {self.last_words}")

    def wait_for_ledger(self) -> dict[str, Any]:
        """Return the figures that it says of its destination."""
        figures: dict[str, Any] = json.loads(" ".join(self.wait_for("ledger")))
        return figures

    def say(self, line: str = "") -> None:
        """Write a line to its input, if it still listens."""
        assert self.popen.stdin is not None
        with suppress(BrokenPipeError):
            self.popen.stdin.write(line + "\n")
            self.popen.stdin.flush()

    def kill(self, number: signal.Signals = signal.SIGKILL) -> None:
        """Kill it with all its children, and read the rest."""
        with suppress(ProcessLookupError):
            os.killpg(self.popen.pid, number)
        self.wait()

    def send(self, number: signal.Signals) -> None:
        """Send it a signal, and it alone."""
        if self.popen.poll() is None:
            self.popen.send_signal(number)

    def wait(self, patience: float = PATIENCE) -> int:
        """Wait for its end, and read the rest; return its exit code. Raises RuntimeError if it does not end."""
        try:
            code = self.popen.wait(patience)
        except subprocess.TimeoutExpired:
            raise RuntimeError(
                f"it did not end within {patience:.0f} s; its last words were {self.last_words}"
            ) from None
        for reader in self._readers:
            reader.join(1.0)  # children that outlive it may hold the pipe
        return code

    @property
    def is_running(self) -> bool:
        """Whether it runs."""
        return self.popen.poll() is None

    @property
    def recorded(self) -> list[str]:
        """The IDs of the events it says it was promised to see delivered."""
        return [line.split()[1] for line in list(self.lines) if line.startswith("recorded ")]

    @property
    def last_words(self) -> str:
        """The end of what it said."""
        return " | ".join([*self.lines[-2:], *self.complaints[-5:]])

    @property
    def traceback(self) -> str | None:
        """The last line of a traceback on its stderr, if there is one."""
        lines = list(self.complaints)
        begun = next((number for number, line in enumerate(lines) if "Traceback" in line), None)
        if begun is None:
            return None
        return next((line for line in lines[begun + 1 :] if line and not line.startswith(" ")), lines[-1])

    def _read_lines(self, stream: IO[str]) -> None:
        with stream:
            for line in stream:
                if line.endswith("\n"):  # else it was cut off by a death
                    self.lines.append(line.strip())
                    self._arriving.put(line)
        self._arriving.put(None)

    def _read_complaints(self, stream: IO[str]) -> None:
        with stream:
            for line in stream:
                self.complaints.append(line.rstrip())


def victim(
    action: str,
    *,
    clock: str | None = None,
    store: Mapping[str, Any] | None = None,
    within: Sequence[str] = (),
    **arguments: Any,
) -> Process:
    """Begin an action of `chaos.victim`, by a clock of its own if one is given, and with hooks into its store.

    See `chaos.clock` and `chaos.hooks`.
    """
    how = ["chaos.victim"] if clock is None else ["chaos.clock", clock]
    environment = {STORE: json.dumps(store)} if store else {}
    return Process([*within, sys.executable, "-m", *how, action, json.dumps(arguments, default=str)], environment)


def _python_path() -> str:
    """This very checkout first: an installed passerby may be another one."""
    inherited = os.environ.get("PYTHONPATH")
    return os.pathsep.join([str(ROOT / "src"), str(ROOT), *([inherited] if inherited else [])])
