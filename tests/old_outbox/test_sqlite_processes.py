"""The outbox on disk in processes that are killed, that fork, and that share a directory."""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter
from pathlib import Path

import pytest

from passerby.old_outbox.sqlite import SqliteOutbox

from .conftest import MakeSqlite
from .parent import Children, stored_ids, wait_for, wait_for_first_line
from .told import delivered_ids, is_balanced, is_long


def adopted_ids(outbox: SqliteOutbox, destination: str = "a") -> list[str]:
    ids: list[str] = []
    outbox.start().result(60)
    while outbox.tally(destination).waiting:
        ids += delivered_ids(outbox, destination, now=1e12)
        outbox.start().result(60)
        assert is_balanced(outbox, destination)
    return ids


@pytest.mark.long
def test_nothing_that_was_acknowledged_is_lost_when_the_process_is_killed(
    children: Children, make_sqlite: MakeSqlite, directory: Path
) -> None:
    seed = int(os.environ.get("PASSERBY_SEED", time.time_ns() % 1_000_000))
    print("PASSERBY_SEED =", seed)
    moments = random.Random(seed)
    acknowledged: list[str] = []
    for _ in range(1_000 if is_long() else 30):
        process = children.begin("tell", directory)
        acknowledged += stored_ids(wait_for_first_line(process))
        time.sleep(moments.uniform(0.02, 0.15))  # the moment is what the test is about
        process.kill()
        out, err = process.communicate()
        assert err == ""
        acknowledged += stored_ids(out.splitlines())

    found = Counter(adopted_ids(make_sqlite(directory=str(directory))))

    assert len(acknowledged) > 30
    assert set(acknowledged) <= set(found)
    print(f"{len(acknowledged)} acknowledged, {found.total() - len(found)} found twice")


@pytest.mark.long
def test_what_many_dead_processes_left_is_adopted_once(children: Children, directory: Path) -> None:
    tellers = [children.begin("tell_some", directory, 5) for _ in range(20)]
    stored: list[str] = []
    for teller in tellers:
        stored += stored_ids(wait_for(teller, "ready"))
        teller.send_signal(signal.SIGKILL)
    assert len(stored) == 100
    for teller in tellers:
        teller.wait()

    adopters = [children.begin("adopt", directory) for _ in range(4)]
    for adopter in adopters:
        wait_for(adopter, "ready")
    for adopter in adopters:
        assert adopter.stdin is not None
        adopter.stdin.write("go\n")
        adopter.stdin.flush()
    found: list[str] = []
    for adopter in adopters:
        out, err = adopter.communicate(timeout=100)
        assert err == ""
        found += [line.split()[1] for line in out.splitlines() if line.startswith("found")]

    assert sorted(found) == sorted(stored)
    assert list(directory.iterdir()) == []


def test_the_living_keep_their_files(children: Children, make_sqlite: MakeSqlite, directory: Path) -> None:
    teller = children.begin("tell_some", directory, 3)
    stored = stored_ids(wait_for(teller, "ready"))
    outbox = make_sqlite(directory=str(directory))

    assert adopted_ids(outbox) == []
    teller.kill()
    teller.wait()
    assert adopted_ids(outbox) == stored


@pytest.mark.long
def test_forks_while_the_journal_is_busy(children: Children, make_sqlite: MakeSqlite, directory: Path) -> None:
    lines = children.run("fork", directory, 500 if is_long() else 50)
    stored = stored_ids(lines)

    assert lines.count("ended 0") == (500 if is_long() else 50)
    assert lines[-1] == "last True True"
    assert sorted(adopted_ids(make_sqlite(directory=str(directory)))) == sorted(stored)


def test_forks_of_multiprocessing(children: Children, make_sqlite: MakeSqlite, directory: Path) -> None:
    lines = children.run("fork_with_multiprocessing", directory, 10)

    assert lines.count("ended 0") == 10
    assert len(stored_ids(lines)) == 30
    assert sorted(adopted_ids(make_sqlite(directory=str(directory)))) == sorted(stored_ids(lines))


def test_a_forked_child_does_not_keep_the_lock_of_its_dead_parent(
    children: Children, make_sqlite: MakeSqlite, directory: Path
) -> None:
    parent = children.begin("leave_child", directory)
    assert parent.stdout is not None
    stored = parent.stdout.readline().split()[1]
    child = int(parent.stdout.readline().split()[1])
    try:
        outbox = make_sqlite(directory=str(directory))
        assert adopted_ids(outbox) == []
        parent.kill()
        parent.wait()
        assert adopted_ids(outbox) == [stored]
    finally:
        os.kill(child, signal.SIGKILL)


def test_files_that_may_not_grow_are_survived(children: Children, make_sqlite: MakeSqlite, directory: Path) -> None:
    process = children.begin("fill", directory)
    out, err = process.communicate(timeout=100)
    lines = out.splitlines()
    outbox = make_sqlite(directory=str(directory))

    assert "the outbox cannot be written (" in err
    assert "Traceback" not in err
    assert [line for line in lines if not line.startswith("stored")] == [
        "state degraded: I/O error",
        "flushed False",
        "sending 10",
        "flushed True",
        "state ok",
    ]
    assert sorted(adopted_ids(outbox)) == sorted(stored_ids(lines))


@pytest.mark.long
@pytest.mark.parametrize(("number", "size"), [(200_000, 0), (5_000, 30_000)])
def test_a_large_backlog_takes_no_more_memory_than_a_small_one(
    children: Children, directory: Path, number: int, size: int
) -> None:
    lines = [line.split() for line in children.run("tell_many", directory, number, size)]
    sizes = {int(count): int(size) for what, count, size in lines[:-2] if what == "told"}

    assert lines[-1] == ["closed", "True"]
    assert lines[-2][:2] == ["delivered", str(number)]
    assert sizes[number] - sizes[number // 10] < 5_000_000
    assert int(lines[-2][2]) - sizes[0] < 30_000_000


@pytest.mark.parametrize("found", ["read-only", "nothing", "somebody else's"])
def test_a_directory_where_nothing_may_be_written(children: Children, directory: Path, found: str) -> None:
    is_root = os.getuid() == 0
    if found == "nothing":
        directory.parent.chmod(0o511)
    else:
        directory.mkdir(mode=0o500 if found == "read-only" else 0o000)
        if is_root and found == "read-only":
            os.chown(directory, 65534, 65534)

    process = children.begin("cannot_write", directory, found)
    before = wait_for(process, "closed")
    if directory.exists():
        directory.chmod(0o700)
        if is_root:
            os.chown(directory, 65534, 65534)
    else:
        directory.parent.chmod(0o711)
        if is_root:
            os.chown(directory.parent, 65534, 65534)
    out, err = process.communicate("go\n", timeout=100)

    assert before == ["flushed False", "state degraded: permission denied", "sent 1"]
    assert out.splitlines() == ["flushed True", "state ok", f"closed True {found}"]
    assert err.count("the outbox cannot be written (permission denied)") == 1
    assert "Traceback" not in err
    assert len(list(directory.glob("*.sqlite3"))) == 1, "what was told meanwhile is recorded now"
