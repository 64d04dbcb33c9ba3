"""No command exits with 0 or reports an empty outbox if files were unreadable: `flush || keep the disk` is safe."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from passerby.collector import CollectorServer
from passerby.outbox.outbox import Outbox
from passerby.outbox.sqlite import SqliteStore
from passerby.outbox.sqlite.directory import StoreDirectory
from tests.outbox.parent import wait_for

from .conftest import Owners, Run
from .owners import bury, event_about, record
from .test_flushing import leave_behind, settings
from .test_looking import ADA, BEN, change, corrupt

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


def quarantined(path: Path) -> None:
    corrupt(path)
    path.rename(f"{path}.corrupt-1700000000")


def spoil_event(path: Path) -> None:
    change(path.parents[1], "UPDATE event SET payload = x'0163616665' WHERE id = (SELECT max(id) - 7 FROM event)")


DAMAGES: dict[str, Callable[[Path], None]] = {
    "pages": corrupt,
    "no database": overwrite,
    "cut in half": cut,
    "quarantined before": quarantined,
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
    path = StoreDirectory(directory).database
    damage(path)

    answer = run("flush", "--timeout", "5")

    if len(collector.events) < NUMBER or damage is quarantined:
        assert answer.code == 3 or (answer.code == 1 and "the store cannot be used" in answer.err)
        assert "nothing is waiting\n" not in answer.out or "are lost" in answer.err
        assert any(words in answer.err for words in ("quarantined file", "cannot be used", "are lost"))
        if "are lost" not in answer.err:
            assert run("flush", "--timeout", "1").code == answer.code  # and the next time


@pytest.mark.parametrize("seed", range(12))
def test_flush_answers_0_only_where_all_was_delivered(
    run: Run, directory: Path, collector: CollectorServer, seed: int
) -> None:
    """One bit anywhere, or in the first page."""
    chance = random.Random(seed)
    leave_behind(directory, *VISITORS)
    path = StoreDirectory(directory).database
    flip(path, chance.randrange(110 if seed % 3 == 0 else path.stat().st_size), 1 << chance.randrange(8))

    answer = run("flush", "--timeout", "5")

    assert len(collector.events) == NUMBER or (answer.code in (1, 3) and answer.err)


@pytest.mark.parametrize(("verb", "code"), [("ls", 3), ("verify", 1), ("export", 1), ("flush", 3)])
def test_a_file_that_was_emptied_but_for_its_log(
    run: Run, directory: Path, owners: Owners, collector: CollectorServer, verb: str, code: int
) -> None:
    process = owners.begin("own", directory, f"{ADA},{BEN}", 0, "sitecore")
    wait_for(process, "ready")
    process.kill()
    process.communicate()
    StoreDirectory(directory).database.write_bytes(b"")

    answer = run(verb)

    assert answer.code == code
    assert "nothing is waiting\n" not in answer.out
    assert "database damaged" in answer.out + answer.err or "quarantined file" in answer.err
    assert run("flush").code == 3
    assert sorted(event["browser_id"] for event in collector.events) == sorted([ADA, BEN])


@pytest.mark.parametrize("state", ["held", "dead"])
def test_flush_over_what_is_held_or_dead(run: Run, directory: Path, state: str) -> None:
    outbox = Outbox(SqliteStore(directory))
    record(outbox, [event_about(ADA)], ("sitecore",), held=state == "held")
    assert outbox.close(30) == 0
    bury(directory, int(state == "dead"), "sitecore")

    answer = run("flush")

    assert answer.code == 3
    assert ("1 entry held" if state == "held" else "1 dead letter") in answer.out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["ls"], "quarantined file"),
        (["ls", "--check"], "quarantined file"),
        (["verify"], "quarantined as damaged"),
        (["export"], "quarantined file"),
        (["export", "--dead"], "quarantined file"),
        (["show", "no such event"], "found no event of that ID in the readable part"),
        (["show", "--dead"], "found no such event in the readable part"),
        (["retry", "--all"], "quarantined file"),
        (["retry", "no such event"], "quarantined file"),
        (["purge", "--dead", "--yes"], "quarantined file"),
        (["purge", "no such event", "--yes"], "quarantined file"),
        (["flush"], "quarantined file"),
    ],
    ids=" ".join,
)
def test_every_command_says_that_a_file_is_quarantined(
    run: Run, directory: Path, arguments: list[str], words: str
) -> None:
    leave_behind(directory, *VISITORS)
    path = StoreDirectory(directory).database
    quarantined(path)

    answer = run(*arguments)

    assert answer.code == 3
    assert words in answer.out + answer.err


def test_doctor_answers_3_for_a_file_that_is_quarantined(directory: Path) -> None:
    leave_behind(directory, *VISITORS)
    path = StoreDirectory(directory).database
    quarantined(path)
    command = [sys.executable, "-m", "passerby.cli.main", "doctor", "--outbox", str(directory)]

    answer = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)

    assert answer.returncode in (1, 3)  # 1 where this machine has a problem of its own
    assert "0 entries in the readable part" in answer.stdout
    assert "1 file quarantined as damaged" in answer.stdout


def test_show_and_export_say_that_an_event_cannot_be_read(run: Run, directory: Path) -> None:
    leave_behind(directory, *VISITORS)
    path = StoreDirectory(directory).database
    spoil_event(path)

    for arguments in (["export"], ["show", "--limit", "100"]):
        answer = run(*arguments)
        assert answer.code == 3
        assert "1 event cannot be read" in answer.err


def test_flush_of_a_directory_that_cannot_be_looked_at(run: Run, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("a file")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")  # a volume that is not mounted, say
    for place in (tmp_path / "file", tmp_path / "file" / "below", tmp_path / "link"):
        answer = run("flush", outbox=place)
        assert answer.code == 1
        assert "nothing is waiting" not in answer.out
        assert "passerby outbox flush: " in answer.err
