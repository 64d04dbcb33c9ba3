"""A vendor's package for Node.js, in a process that answers one line with one line."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Self

from .case import JSON


class NodeProcess:
    """Runs a script until the end of the `with` statement.

    Args:
        script: reads jobs as JSON, one a line, and answers each with a line.
    """

    def __init__(self, script: Path) -> None:
        command = [shutil.which("node") or "node", str(script)]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8"
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(10)
        self._process.stdout.close()

    def ask(self, job: JSON) -> str:
        """Hand over a job; return the answer as it came."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(job) + "\n")
        self._process.stdin.flush()
        return self._process.stdout.readline()
