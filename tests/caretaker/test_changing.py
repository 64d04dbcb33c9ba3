"""retry and purge: in files without a process, and by the processes that have one."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

from passerby.old_outbox.board import Board, read_which_dead
from passerby.old_outbox.database import Database
from passerby.old_outbox.folder import Folder, looked_at
from passerby.old_outbox.inventory import list_files
from passerby.old_outbox.sqlite import SqliteOutbox
from tests.old_outbox.parent import wait_for
from tests.old_outbox.told import delivered_ids

from .conftest import Owners, Run
from .owners import EMAIL, event_about, fill
from .test_looking import ADA, BEN, corrupt, left_behind


def where_it_stands(directory: Path, *texts: str) -> list[str]:
    """Return the files in which one of the texts stands."""
    return [
        path.name for path in sorted(directory.iterdir()) if any(text.encode() in path.read_bytes() for text in texts)
    ]


def die(outbox: SqliteOutbox, directory: Path) -> None:
    """Leave the file behind as it is when its process is killed: with a log, and with pages that were used once."""
    copies = {path: path.read_bytes() for path in directory.iterdir() if path.suffix != ".lock"}
    assert outbox.close(30)
    for path, text in copies.items():
        path.write_bytes(text)
        path.chmod(0o600)


def test_retried_dead_letters_are_delivered_by_the_next_process(run: Run, directory: Path, owners: Owners) -> None:
    owners.killed(directory, ADA, BEN, dead=2)
    dead = [one["event_id"] for one in run("export", "--dead").lines]

    answer = run("retry", "--all")

    assert (answer.code, answer.out, answer.err) == (0, "2 entries retried\n", "")
    again = [one for one in run("export", "--destination", "a").lines if one["event_id"] in dead]
    assert [(one["state"], one["attempts"], one["reason"]) for one in again] == [("waiting", 0, None)] * 2
    outbox = SqliteOutbox(directory, ("a", "b"))
    outbox.start().result(30)
    assert sorted(delivered_ids(outbox, "a", now=1e12)) == sorted(dead)
    assert outbox.close(30)


def test_one_event_is_retried_at_one_destination(run: Run, directory: Path) -> None:
    outbox = SqliteOutbox(directory, ("a", "b"), look_every=1e6)
    fill(outbox, [event_about(ADA), event_about(BEN)])
    for name in ("a", "b"):
        for entry in outbox.acquire(name, 2, time.monotonic()):
            outbox.settle_dead(entry, "no")
    assert outbox.close(30)
    event_id = run("export").lines[0]["event_id"]

    assert run("retry", event_id, "--destination", "b").out == "1 entry retried\n"

    assert [one["destination"] for one in run("export").lines if one["state"] == "waiting"] == ["b"]
    assert run("retry", event_id, "--destination", "b").code == 1
    assert run("retry", event_id).out == "1 entry retried\n"


def test_where_there_is_nothing_to_do_that_is_said(run: Run, directory: Path, owners: Owners) -> None:
    owners.killed(directory, ADA)
    for arguments in (["retry", "--all"], ["purge", "--dead", "--yes"]):
        answer = run(*arguments)
        assert (answer.code, answer.out) == (0, "")
        assert "found no dead letters, so there is nothing to do" in answer.err
    assert run("retry", "nothing").code == 1
    assert run("purge", "nothing", "--yes").code == 1


def test_purged_dead_letters_are_gone(run: Run, directory: Path, owners: Owners) -> None:
    owners.killed(directory, ADA, BEN, dead=1)
    assert run("purge", "--dead", "--yes").out == "1 entry deleted\n"
    assert [one["state"] for one in run("export").lines] == ["waiting"] * 3


def test_a_file_that_is_empty_then_is_removed(run: Run, directory: Path, owners: Owners) -> None:
    owners.killed(directory, ADA)
    assert run("purge", "--visitor", ADA, "--yes").code == 0
    assert list(directory.iterdir()) == []


def test_nothing_of_a_purged_visitor_is_left_in_any_file(run: Run, directory: Path) -> None:
    """Neither of what waits, is dead or held, nor of what was delivered long ago, nor in logs and unused pages."""
    outbox = SqliteOutbox(directory, ("a", "b"), look_every=1e6)
    fill(outbox, [event_about(ADA, "user-7") for _ in range(60)])
    fill(outbox, [event_about(BEN) for _ in range(20)], dead=1)
    assert len(delivered_ids(outbox, "b", now=1e12)) == 80
    fill(outbox, [event_about(ADA, "user-7"), event_about(BEN)])
    die(outbox, directory)
    other = SqliteOutbox(directory / "other", ("a", "b"), look_every=1e6)
    fill(other, [event_about(ADA, "user-7")])
    assert other.close(30)
    for path in (directory / "other").iterdir():
        path.rename(directory / path.name)
    (directory / "other").rmdir()
    assert where_it_stands(directory, ADA, EMAIL)
    before = [one for one in run("export").lines if one["event"]["browser_id"] == BEN]

    answer = run("purge", "--visitor", ADA, "--yes")

    assert (answer.code, answer.err) == (0, "")
    assert where_it_stands(directory, ADA, EMAIL, "user-7") == []
    assert [one["event_id"] for one in run("export").lines] == [one["event_id"] for one in before]
    assert run("verify").code == 0


def test_what_was_set_aside_is_purged_with_a_visitor(run: Run, directory: Path) -> None:
    path = left_behind(directory, 2_000)
    corrupt(path)
    path.rename(f"{path}.corrupt-1700000000")
    path.with_suffix(".lock").unlink()
    assert where_it_stands(directory, ADA)

    answer = run("purge", "--visitor", ADA, "--yes")

    assert answer.code == 0
    assert "set aside as damaged, removed" in answer.out
    assert list(directory.iterdir()) == []


def test_a_damaged_file_is_not_said_to_be_purged(run: Run, directory: Path) -> None:
    corrupt(left_behind(directory, 2_000))
    answer = run("purge", "--visitor", ADA, "--yes")
    assert (answer.code, answer.out) == (1, "0 entries deleted\n")
    assert "cannot be changed (file corrupted); start the app" in answer.err


def test_nothing_is_purged_without_confirmation(run: Run, directory: Path, owners: Owners) -> None:
    owners.killed(directory, ADA, dead=1)
    answer = run("purge", "--dead")
    assert answer.code == 2
    assert "use --yes" in answer.err
    assert len(run("export", "--dead").lines) == 1


def test_a_visitor_is_purged_for_all_destinations(run: Run, directory: Path, owners: Owners) -> None:
    owners.killed(directory, ADA)
    answer = run("purge", "--visitor", ADA, "--destination", "a", "--yes")
    assert answer.code == 2
    assert "for all destinations" in answer.err


def ask_on_terminal(directory: Path, reply: bytes) -> tuple[int | None, bytes]:
    master, terminal = pty.openpty()
    command = [sys.executable, "-m", "passerby.cli.main", "outbox", "purge", "--dead", "--outbox", str(directory)]
    with subprocess.Popen(command, stdin=terminal, stdout=terminal, stderr=terminal) as process:
        os.close(terminal)
        seen = b""
        while b"[y/N] " not in seen:
            assert select.select([master], [], [], 30.0)[0], seen
            seen += os.read(master, 4096)
        os.write(master, reply)
        code = process.wait(30)
        while select.select([master], [], [], 0)[0]:
            try:
                more = os.read(master, 4096)
            except OSError:  # the other end is closed
                break
            seen += more
    os.close(master)
    return code, seen


def test_on_a_terminal_a_person_is_asked(run: Run, directory: Path, owners: Owners) -> None:
    owners.killed(directory, ADA, BEN, dead=2)
    code, seen = ask_on_terminal(directory, b"n\n")
    assert code == 1
    assert b"Delete 2 entries? [y/N] " in seen
    assert b"nothing was deleted" in seen
    assert len(run("export", "--dead").lines) == 2
    code, seen = ask_on_terminal(directory, b"y\n")
    assert code == 0
    assert b"2 entries deleted" in seen
    assert run("export", "--dead").out == ""


def test_a_file_that_is_being_read_is_waited_for(run: Run, directory: Path, owners: Owners) -> None:
    owners.killed(directory, ADA, dead=1)
    (file,) = list_files(directory)
    with looked_at(file.path) as is_gone:
        assert is_gone
        answer = run("retry", "--all", "--timeout", "0.1")
    assert answer.code == 3
    assert "0 entries retried" in answer.out
    assert "in use; try again" in answer.err
    assert run("retry", "--all").code == 0


def test_a_process_gets_a_message_with_the_operation(run: Run, directory: Path) -> None:
    """Where it does not do it in time, that is said."""
    file = Folder(directory).make_file()  # held by this process, which heeds no notice
    database = Database(file.path)
    fill_in = SqliteOutbox(directory / "source", ("a", "b"), look_every=1e6)
    fill(fill_in, [event_about(ADA)], dead=1)
    assert fill_in.close(30)
    (source,) = list_files(directory / "source")
    left = Database(source.path)
    database.write(inserts=left.after(0, 10))
    left.close()

    answer = run("retry", "--all", "--timeout", "0")

    assert answer.code == 3
    assert answer.out == "0 entries retried\n"
    assert f"left to process {os.getpid()}, which has not finished" in answer.err
    with closing(Board(Folder(directory))) as board:
        (notice,) = board.after(0)
    assert (notice.kind, read_which_dead(notice.subject)) == ("retry dead", (None, None))
    database.close()
    file.let_go()


def test_a_live_process_retries_its_dead_letters(run: Run, directory: Path, owners: Owners) -> None:
    process = owners.live(directory, ADA, BEN, dead=2)
    owners.live(directory, "c", dead=1)

    answer = run("retry", "--all")

    assert (answer.code, answer.out, answer.err) == (0, "3 entries retried\n", "")
    assert run("export", "--dead").out == ""
    assert owners.end(process) == ["closed True"]


def test_a_live_process_purges_its_dead_letters(run: Run, directory: Path, owners: Owners) -> None:
    process = owners.live(directory, ADA, BEN, dead=1)
    assert run("purge", "--dead", "--yes").out == "1 entry deleted\n"
    assert sorted((one["destination"], one["state"]) for one in run("export").lines) == [
        ("a", "waiting"),
        ("b", "waiting"),
        ("b", "waiting"),
    ]
    assert owners.end(process) == ["closed True"]


def test_nothing_of_a_purged_visitor_is_left_in_files_of_live_processes(
    run: Run, directory: Path, owners: Owners
) -> None:
    first = owners.live(directory, *[ADA] * 50, BEN, dead=1)
    owners.killed(directory, ADA, BEN)
    second = owners.live(directory, ADA)
    assert where_it_stands(directory, ADA)

    answer = run("purge", "--visitor", ADA, "--yes")

    assert (answer.code, answer.err) == (0, "")
    assert where_it_stands(directory, ADA) == []
    assert [one["event"]["visitor"] for one in run("export").lines] == [BEN] * 4
    assert owners.end(first) == owners.end(second) == ["closed True"]


def test_a_process_that_goes_on_telling_is_purged_of_what_it_had(
    run: Run, directory: Path, owners: Owners, tmp_path: Path
) -> None:
    process = owners.begin("keep_tracking", directory, tmp_path / "notes")
    wait_for(process, "ready")
    answer = run("purge", "--visitor", "visitor 7", "--yes", "--timeout", "8")
    assert answer.code == 3  # there is more of the visitor by now
    assert "run the command again" in answer.err
    assert owners.end(process) == ["state ok", "closed True"]
    assert run("purge", "--visitor", "visitor 7", "--yes").code == 0
    assert run("export", "--visitor", "visitor 7").out == ""
