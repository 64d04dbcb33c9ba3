"""Processes that share one directory: many at once, forked, stopped, and without room or permission."""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from passerby.outbox.contract import BrowserIdExchange
from passerby.outbox.reading import StoreQuery

from .conftest import MakeSqlite
from .parent import Children, ask, wait_for, words_after
from .process import Process, is_long


@pytest.fixture
def children() -> Iterator[Children]:
    with Children() as children:
        yield children


def test_twenty_processes_that_start_at_once(children: Children, make_sqlite: MakeSqlite, directory: Path) -> None:
    """What must be survived: twenty processes starting at once; nothing is lost, doubled, or given to two."""
    number, each = 20, 10 if is_long() else 3
    processes = [children.begin("share", directory, f"p{name}", each) for name in range(number)]
    for process in processes:
        wait_for(process, "ready")
    for process in processes:
        ask(process, "go")
    lines: list[str] = []
    for process in processes:
        out, err = process.communicate(timeout=100)
        assert err == ""
        lines += out.splitlines()

    assert lines.count("closed 0") == number
    assert sum(map(int, words_after(lines, "released"))) == number * each
    names = [f"p{name}-{count}" for name in range(number) for count in range(each)]
    heir = Process(make_sqlite())
    delivered = heir.deliver_all()
    assert Counter(delivered) == Counter(words_after(lines, "stored")) == Counter(names)
    for name in range(number):
        for visitor in range(3):
            own = [f"p{name}-{count}" for count in range(visitor, each, 3)]
            assert [event_id for event_id in delivered if event_id in own] == own
    assert Counter(heir.deliver_all("b")) == Counter(f"held-{name}" for name in names)
    left = heir.ask(BrowserIdExchange("issuer", wanted=10_000))
    assert Counter([*words_after(lines, "taken"), *left]) == Counter(names)
    assert (heir.counts("a").dead, heir.counts("b").held) == (0, 0)


def test_forks_while_others_record_and_deliver(children: Children, make_sqlite: MakeSqlite, directory: Path) -> None:
    """What must be survived: fork; parent and child never share a writer, and every child's event is stored."""
    times = 200 if is_long() else 20
    lines = children.run("fork", directory, times)

    assert lines.count("ended 0") == times
    assert lines[-1] == "closed 0"
    stored = words_after(lines, "stored")
    assert {f"child-{number}" for number in range(times)} <= set(stored)
    delivered = Counter([*words_after(lines, "delivered"), *Process(make_sqlite()).deliver_all()])
    assert set(delivered) == set(stored)
    assert len(stored) == len(set(stored))


def test_forks_of_multiprocessing(children: Children, make_sqlite: MakeSqlite, directory: Path) -> None:
    lines = children.run("fork_with_multiprocessing", directory, 5)

    assert lines.count("ended 0") == 5
    assert sorted(Process(make_sqlite()).deliver_all()) == sorted(words_after(lines, "stored"))
    assert len(words_after(lines, "stored")) == 10


def test_a_parent_killed_in_its_turn_with_a_living_child(
    children: Children, make_sqlite: MakeSqlite, directory: Path
) -> None:
    """Decision "SQLite's turns": a child that outlives a killed parent keeps no process waiting."""
    parent = children.begin("die_in_turn", directory)
    assert parent.stdout is not None
    assert parent.stdout.readline() == "stored before\n"
    child = int(parent.stdout.readline().split()[1])
    try:
        parent.kill()
        parent.wait()
        other = Process(make_sqlite())
        after = other.put("ben")
        assert sorted(other.deliver_all()) == sorted(["before", after])
    finally:
        os.kill(child, signal.SIGKILL)


def test_a_process_that_is_stopped_in_its_turn_and_goes_on(
    children: Children, make_sqlite: MakeSqlite, directory: Path
) -> None:
    """What must be survived: a process stopped inside its turn; the others are in trouble until it goes on."""
    stopped = children.begin("stop_in_turn", directory)
    wait_for(stopped, "has")
    os.waitid(os.P_PID, stopped.pid, os.WSTOPPED | os.WNOWAIT)
    other = Process(make_sqlite(patience=0.05))
    with pytest.raises(Exception, match="waited too long for a turn"):
        other.put("ben")
    stopped.send_signal(signal.SIGCONT)
    out, err = stopped.communicate(timeout=60)

    assert (out.splitlines(), err) == (["stored after", "closed 0"], "")
    heir = Process(make_sqlite())
    recorded = heir.put("ben")
    assert sorted(heir.deliver_all()) == sorted(["before", "after", recorded])


def test_files_that_may_not_grow_are_trouble(children: Children, make_sqlite: MakeSqlite, directory: Path) -> None:
    """What must be survived: disk full, by a limit here; what waits in the buffer is stored when there is room."""
    process = children.begin("fill", directory)
    out, err = process.communicate(timeout=100)
    lines = out.splitlines()

    assert "the outbox's store fails (" in err
    assert "Traceback" not in err
    states = words_after(lines, "state")
    assert (len(states), states[-1], "unstored True" in lines) == (2, "ok", True)
    assert states[0] != "ok"
    heir, delivered = Process(make_sqlite()), list[str]()
    for _ in range(100):
        delivered += heir.deliver_all()
    assert Counter(delivered) == Counter(words_after(lines, "stored"))


@pytest.mark.parametrize("found", ["read-only", "nothing", "another user's"])
def test_a_directory_where_nothing_may_be_written(
    children: Children, make_sqlite: MakeSqlite, directory: Path, found: str
) -> None:
    """Decision "trouble": read-only, misconfigured; what was recorded meanwhile is stored when it is changed."""
    directory.parent.chmod(0o511 if found == "nothing" else 0o711)
    if found != "nothing":
        directory.mkdir(mode=0o500 if found == "read-only" else 0o000)
        if os.getuid() == 0 and found == "read-only":
            os.chown(directory, 65534, 65534)
    process = children.begin("cannot_write", directory)
    before = wait_for(process, "waits")
    changed = directory if directory.exists() else directory.parent
    changed.chmod(0o700)
    if os.getuid() == 0:
        os.chown(changed, 65534, 65534)
    out, err = process.communicate("go\n", timeout=100)

    assert before[0] == "unstored 1"
    assert before[1].startswith("state ")
    assert "permission" in before[1] or "writ" in before[1]
    assert out.splitlines() == ["state ok", "closed 0"]
    assert err.count("the outbox's store fails (") == 1
    assert "Traceback" not in err
    if os.getuid() == 0:
        os.chown(directory.parent, 0, 0)
        for path in (directory, *directory.rglob("*")):
            os.chown(path, 0, 0)
    assert [entry.event_id for entry in make_sqlite().read(StoreQuery()).entries] == ["first"]
