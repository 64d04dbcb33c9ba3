"""No command exits with 0 or reports an empty outbox if files were unreadable: `flush || keep the disk` is safe."""

from __future__ import annotations

import random
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from passerby.collector import CollectorServer
from passerby.old_outbox.sqlite import SqliteOutbox
from tests.old_outbox.told import Listener

from .conftest import Owners, Run
from .owners import event_about
from .test_flushing import leave_behind, settings
from .test_looking import ADA, BEN, corrupt

__all__ = ["settings"]  # a fixture that is used by every test here

NUMBER = 40
VISITORS = [f"0dd0ee8f-51e0-4a2e-a5a9-{number:012}" for number in range(NUMBER)]


def flip(path: Path, place: int, bit: int = 1) -> None:
    content = bytearray(path.read_bytes())
    content[place] ^= bit
    path.write_bytes(content)


def overwrite(path: Path) -> None:
    path.write_bytes(b"this is no database at all, and never was one")


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def set_aside(path: Path) -> None:
    corrupt(path)
    path.rename(f"{path}.corrupt-1700000000")
    path.with_suffix(".lock").unlink()


def spoil_event(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE entry SET body = '[99, ' WHERE place = 7")
    connection.close()


DAMAGES: dict[str, Callable[[Path], None]] = {
    "pages": corrupt,
    "no database": overwrite,
    "cut in half": cut,
    "set aside before": set_aside,
    "an event": spoil_event,
    "first letter": lambda path: flip(path, 0),
    "version to write": lambda path: flip(path, 18, 4),
    "version to read": lambda path: flip(path, 19, 1),
    "version of the file": lambda path: flip(path, 60, 64),
    "application": lambda path: flip(path, 70, 8),
    "first page": lambda path: flip(path, 103, 32),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_flush_over_a_damaged_file(
    run: Run, directory: Path, collector: CollectorServer, damage: Callable[[Path], None]
) -> None:
    leave_behind(directory, *VISITORS)
    (path,) = directory.glob("*.sqlite3")
    damage(path)

    answer = run("flush", "--timeout", "5")

    if len(collector.events) < NUMBER or damage is set_aside:
        assert answer.code == 3
        assert "nothing is waiting\n" not in answer.out or "are lost" in answer.err
        assert any(words in answer.err for words in ("set aside as damaged", "cannot be read", "are lost"))
        if "are lost" not in answer.err:
            assert run("flush", "--timeout", "1").code == 3  # and the next time


@pytest.mark.parametrize("seed", range(12))
def test_flush_answers_0_only_where_all_was_delivered(
    run: Run, directory: Path, collector: CollectorServer, seed: int
) -> None:
    """One bit anywhere, or in the first page."""
    chance = random.Random(seed)
    leave_behind(directory, *VISITORS)
    (path,) = directory.glob("*.sqlite3")
    flip(path, chance.randrange(110 if seed % 3 == 0 else path.stat().st_size), 1 << chance.randrange(8))

    answer = run("flush", "--timeout", "5")

    assert len(collector.events) == NUMBER or (answer.code == 3 and answer.err)


def test_flush_over_a_file_that_was_emptied_but_for_its_log(
    run: Run, directory: Path, owners: Owners, monkeypatch: pytest.MonkeyPatch
) -> None:
    owners.killed(directory, ADA, BEN)
    (path,) = directory.glob("*.sqlite3")
    path.write_bytes(b"")

    for verb, code in (("ls", 1), ("verify", 1), ("export", 1), ("flush", 3)):
        answer = run(verb)
        assert answer.code == code, verb
        assert "nothing is waiting\n" not in answer.out
        assert "file corrupted" in answer.out + answer.err or "set aside as damaged" in answer.err


@pytest.mark.parametrize("state", ["held", "dead"])
def test_flush_over_what_is_held_or_dead(run: Run, directory: Path, state: str) -> None:
    outbox = SqliteOutbox(directory, ("sitecore",), look_every=1e6)
    (outbox.hold if state == "held" else outbox.put)(event_about(ADA), ("sitecore",), Listener(), 0.0)
    for entry in outbox.acquire("sitecore", 1, 0.0):
        outbox.settle_dead(entry, "HTTP 400")
    assert outbox.close(30)

    answer = run("flush")

    assert answer.code == 3
    assert ("1 entry held" if state == "held" else "1 dead letter") in answer.out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["ls"], "set aside as damaged"),
        (["ls", "--check"], "set aside as damaged"),
        (["verify"], "set aside"),
        (["export"], "set aside as damaged"),
        (["export", "--dead"], "set aside as damaged"),
        (["show", "no such event"], "found no event of that ID in the readable part"),
        (["show", "--dead"], "found no such event in the readable part"),
        (["retry", "--all"], "set aside as damaged"),
        (["retry", "no such event"], "set aside as damaged"),
        (["purge", "--dead", "--yes"], "set aside as damaged"),
        (["purge", "no such event", "--yes"], "set aside as damaged"),
        (["flush"], "set aside as damaged"),
    ],
    ids=" ".join,
)
def test_every_command_says_that_a_file_was_set_aside(
    run: Run, directory: Path, arguments: list[str], words: str
) -> None:
    leave_behind(directory, *VISITORS)
    (path,) = directory.glob("*.sqlite3")
    set_aside(path)

    answer = run(*arguments)

    assert answer.code == 3
    assert words in answer.out + answer.err


def test_doctor_answers_3_for_a_file_that_was_set_aside(run: Run, directory: Path) -> None:
    leave_behind(directory, *VISITORS)
    (path,) = directory.glob("*.sqlite3")
    set_aside(path)
    command = [sys.executable, "-m", "passerby.cli.main", "doctor", "--outbox", str(directory)]

    answer = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)

    assert answer.returncode in (1, 3)  # 1 where this machine has a problem of its own
    assert "0 entries in the readable files" in answer.stdout
    assert "1 file set aside as damaged" in answer.stdout


def test_show_and_export_say_that_an_event_cannot_be_read(run: Run, directory: Path) -> None:
    leave_behind(directory, *VISITORS)
    (path,) = directory.glob("*.sqlite3")
    spoil_event(path)

    for arguments in (["export"], ["show", "--limit", "100"]):
        answer = run(*arguments)
        assert answer.code == 3
        assert "1 event cannot be read" in answer.err


def test_flush_of_a_directory_that_cannot_be_looked_at(run: Run, directory: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("a file")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")  # a volume that is not mounted, say
    for place in (tmp_path / "file", tmp_path / "file" / "below", tmp_path / "link"):
        answer = run("flush", outbox=place)
        assert answer.code == 1
        assert "nothing is waiting" not in answer.out
        assert "passerby outbox flush: " in answer.err
