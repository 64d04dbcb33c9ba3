"""An outbox's directory with events of processes that live, and of others that were killed."""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from passerby.cli.main import main
from tests.outbox.parent import Children, wait_for


@dataclass(frozen=True)
class Answer:
    """What a command answered."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def lines(self) -> list[Any]:
        return [json.loads(line) for line in self.out.splitlines()]


Run = Callable[..., Answer]


class Owners(Children):
    """Processes of tests/cli_outbox/owners.py; none survives the test."""

    def __init__(self) -> None:
        super().__init__("tests.cli_outbox.owners", "error")

    def live(self, directory: Path, *visitors: str, dead: int = 0) -> subprocess.Popen[str]:
        """Start a process that has recorded an event of each visitor, and has the store open."""
        process = self.begin("own", directory, ",".join(visitors), dead)
        wait_for(process, "ready")
        return process

    def killed(self, directory: Path, *visitors: str, dead: int = 0) -> None:
        """Leave the store as it is when such a process is killed."""
        process = self.live(directory, *visitors, dead=dead)
        process.kill()
        process.communicate()

    def end(self, process: subprocess.Popen[str]) -> list[str]:
        """Have one end; return what it said since."""
        out, err = process.communicate(timeout=60)
        assert (process.returncode, err) == (0, "")
        return out.splitlines()


@pytest.fixture
def owners() -> Iterator[Owners]:
    with Owners() as owners:
        yield owners


@pytest.fixture
def directory() -> Iterator[Path]:
    """A directory that other users can reach, unlike pytest's own."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o711)
        yield Path(name) / "outbox"


@pytest.fixture
def run(directory: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command for the directory, in this process."""
    monkeypatch.delenv("PASSERBY_OUTBOX", raising=False)

    def run(*arguments: object, outbox: object = directory) -> Answer:
        capfd.readouterr()
        words = [str(argument) for argument in arguments]
        try:
            code = main(["outbox", *words, *([] if outbox is None else ["--outbox", str(outbox)])])
        except SystemExit as end:
            code = int(end.code or 0)
        captured = capfd.readouterr()
        return Answer(code, captured.out, captured.err)

    return run
