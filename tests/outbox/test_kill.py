"""Processes that share one file are killed at any moment: nothing acknowledged is lost, nothing is half done."""

from __future__ import annotations

import os
import random
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from passerby.outbox.sqlite.directory import DATABASE, NAME

from .conftest import MakeSqlite
from .process import Process, is_long

ROOT = Path(__file__).parents[2]
KILLS = int(os.environ.get("KILLS", "0")) or (200 if is_long() else 5)


class Victims:
    """Processes, of which one is killed and started again at a time."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.running: list[subprocess.Popen[str]] = []
        self.started = 0

    def start(self, kind: str) -> None:
        self.started += 1
        command = [sys.executable, "-m", "tests.outbox.victim", str(self.directory), f"{kind}-{self.started}"]
        child = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        assert child.stdout is not None
        assert child.stdout.readline() == "runs\n"
        self.running.append(child)

    def kill(self, place: int) -> None:
        child = self.running.pop(place)
        child.kill()
        child.wait()
        assert child.stdout is not None
        child.stdout.close()


def lines(directory: Path, ending: str) -> list[str]:
    return [line for path in directory.glob(f"*.{ending}") for line in path.read_text().splitlines()]


def check_integrity(directory: Path) -> None:
    with closing(sqlite3.connect(directory / "outbox" / NAME / DATABASE, timeout=30)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


@pytest.mark.timeout(3600)
def test_kills_lose_nothing_that_was_acknowledged(make_sqlite: MakeSqlite, directory: Path) -> None:
    """What must be survived: kill -9 in the claim, in the call, before settling; 0 dead letters without a poison."""
    directory.mkdir()
    chance = random.Random()
    victims = Victims(directory)
    try:
        for kind in ("app", "both", "both"):
            victims.start(kind)
        for _ in range(KILLS):
            time.sleep(chance.uniform(0.01, 0.25))
            place = chance.randrange(3)
            victims.kill(place)
            check_integrity(directory)
            victims.start("app" if place == 0 else "both")
    finally:
        while victims.running:
            victims.kill(0)

    heir = Process(make_sqlite(directory / "outbox"))
    rest: list[str] = []
    until = time.monotonic() + 60
    while heir.counts().waiting and time.monotonic() < until:
        rest += heir.deliver_all()
        time.sleep(0.05)
    acknowledged, delivered = set(lines(directory, "acknowledged")), [*lines(directory, "delivered"), *rest]
    assert acknowledged - set(delivered) == set()
    assert heir.counts().dead == 0
    assert heir.counts().waiting == 0
    assert len(acknowledged) > 20 * KILLS
    check_integrity(directory)
