"""Processes that share the directory of a test, and what they say."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Self

ROOT = Path(__file__).parents[2]


class Children:
    """Processes of a module such as tests/outbox/children.py; none survives the `with` statement.

    Args:
        module: its first argument says what to do, the others with what.
        warnings: what becomes of warnings there.
    """

    def __init__(self, module: str = "tests.outbox.children", warnings: str = "ignore::DeprecationWarning") -> None:
        self.processes: list[subprocess.Popen[str]] = []
        self._command = [sys.executable, "-W", warnings, "-m", module]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        for process in self.processes:
            process.kill()
            process.communicate()

    def begin(self, what: str, *arguments: object) -> subprocess.Popen[str]:
        """Begin one."""
        process = subprocess.Popen(
            [*self._command, what, *map(str, arguments)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.processes.append(process)
        return process

    def run(self, what: str, *arguments: object) -> list[str]:
        """Run one to its end; return the lines it said."""
        out, err = self.begin(what, *arguments).communicate(timeout=100)
        assert err == ""
        return out.splitlines()


def wait_for(process: subprocess.Popen[str], word: str) -> list[str]:
    """Read what a process says until it says a word; return the lines before."""
    assert process.stdout is not None
    lines: list[str] = []
    for line in process.stdout:
        if line.split()[0] == word:
            return lines
        lines.append(line.strip())
    raise AssertionError(f"{word} was not said: {lines}, {process.communicate()[1]}")


def ask(process: subprocess.Popen[str], *words: object) -> None:
    """Say something to a process."""
    assert process.stdin is not None
    process.stdin.write(" ".join(map(str, words)) + "\n")
    process.stdin.flush()


def words_after(lines: Sequence[str], word: str) -> list[str]:
    """Return what was said after a word."""
    return [line.split()[1] for line in lines if line.startswith(f"{word} ")]
