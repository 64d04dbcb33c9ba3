"""retry and purge: in a store without a process, and beside processes that use it."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import sys
from pathlib import Path

from passerby.outbox.outbox import Outbox
from passerby.outbox.sqlite import SqliteStore
from passerby.outbox.sqlite.directory import StoreDirectory
from tests.outbox.parent import wait_for, words_after
from tests.outbox.process import recorded_of

from .conftest import Owners, Run
from .owners import EMAIL, bury, event_about, fill, fill_many, link, process_of, record
from .test_looking import ADA, BEN, change, corrupt, quarantine

VISIT = "3f1c9e0e-58c4-4b0e-9d52-7d7a4b2f9a11"


def where_it_stands(directory: Path, *texts: str) -> list[str]:
    """Return the files in which one of the texts stands."""
    return [
        path.name
        for path in sorted(StoreDirectory(directory).path.iterdir())
        if path.is_file() and any(text.encode() in path.read_bytes() for text in texts)
    ]


def deliver_all(directory: Path, destination: str) -> list[str]:
    """Deliver what is due as one more process; return the IDs."""
    process = process_of(directory)
    delivered = process.deliver_all(destination)
    process.store.close()
    return delivered


def test_retried_dead_letters_are_delivered_by_the_next_process(run: Run, directory: Path, owners: Owners) -> None:
    owners.killed(directory, ADA, BEN, dead=2)
    dead = [one["event_id"] for one in run("export", "--dead").lines]

    answer = run("retry", "--all")

    assert (answer.code, answer.out, answer.err) == (0, "2 entries retried\n", "")
    again = [one for one in run("export", "--destination", "a").lines if one["event_id"] in dead]
    assert [(one["state"], one["attempts"]) for one in again] == [("waiting", 0)] * 2
    assert sorted(deliver_all(directory, "a")) == sorted(dead)


def test_one_event_is_retried_at_one_destination(run: Run, directory: Path) -> None:
    fill(directory, [event_about(ADA), event_about(BEN)])
    for name in ("a", "b"):
        bury(directory, 2, name)
    event_id = run("export").lines[0]["event_id"]

    assert run("retry", event_id, "--destination", "b").out == "1 entry retried\n"

    assert [one["destination"] for one in run("export").lines if one["state"] == "waiting"] == ["b"]
    assert run("retry", event_id, "--destination", "b").code == 1
    assert run("retry", event_id).out == "1 entry retried\n"


def test_where_there_is_nothing_to_do_that_is_said(run: Run, directory: Path, owners: Owners) -> None:
    owners.killed(directory, ADA)
    for arguments in (["retry", "--all"], ["purge", "--dead", "--yes"], ["purge", "--dead"]):
        answer = run(*arguments)
        assert (answer.code, answer.out) == (0, "")
        assert "found no dead letters, so there is nothing to do" in answer.err
    assert run("retry", "nothing").code == 1
    assert run("purge", "nothing", "--yes").code == 1


def test_purged_dead_letters_are_gone(run: Run, directory: Path, owners: Owners) -> None:
    owners.killed(directory, ADA, BEN, dead=1)
    assert run("purge", "--dead", "--yes").out == "1 entry deleted\n"
    assert [one["state"] for one in run("export").lines] == ["waiting"] * 3


def test_nothing_of_a_purged_visitor_is_left_in_any_file(run: Run, directory: Path, owners: Owners) -> None:
    """Neither of what waits, is dead or held, nor of what was delivered long ago, nor in logs, links, unused pages."""
    fill(directory, [event_about(ADA, "user-7") for _ in range(60)])
    fill(directory, [event_about(BEN) for _ in range(20)])
    bury(directory, 2)
    assert len(deliver_all(directory, "b")) == 80
    owners.killed(directory, ADA, BEN)
    outbox = Outbox(SqliteStore(directory))
    record(outbox, [event_about(ADA, "user-7")], held=True)
    assert outbox.close(30) == 0
    link(directory, VISIT, ADA, "user-7")
    assert where_it_stands(directory, ADA, EMAIL)
    before = [one for one in run("export").lines if one["event"]["browser_id"] == BEN]

    answer = run("purge", "--visitor", ADA, "--yes")

    assert (answer.code, answer.err) == (0, "")
    assert where_it_stands(directory, ADA, EMAIL, "user-7", VISIT) == []
    assert [one["event_id"] for one in run("export").lines] == [one["event_id"] for one in before]
    assert run("verify").code == 0


def test_what_was_quarantined_is_purged_with_a_visitor(run: Run, directory: Path) -> None:
    quarantine(directory)
    assert where_it_stands(directory, ADA)

    answer = run("purge", "--visitor", ADA, "--yes")

    assert answer.code == 0
    assert "quarantined, removed" in answer.out
    assert where_it_stands(directory, ADA, EMAIL) == []
    assert run("export").lines == []
    assert run("verify").code == 0


def test_a_damaged_file_is_purged_of_a_visitor(run: Run, directory: Path) -> None:
    fill_many(directory, ADA, 2_000)
    corrupt(StoreDirectory(directory).database)
    answer = run("purge", "--visitor", ADA, "--yes")
    assert answer.code == 0, answer.err
    assert where_it_stands(directory, ADA) == []
    assert deliver_all(directory, "a") == []


def test_damaged_rows_are_purged_with_a_visitor(run: Run, directory: Path) -> None:
    fill(directory, [event_about(ADA), event_about(BEN)], ("a",))
    change(directory, "UPDATE event SET sum = 1 WHERE id = (SELECT min(id) FROM event)")
    assert len(deliver_all(directory, "a")) == 1
    assert "1 damaged rows are kept apart" in run("verify").out

    assert run("purge", "--visitor", ADA, "--yes").code == 0

    assert where_it_stands(directory, ADA) == []
    assert run("verify").code == 0


def test_an_event_of_a_purged_visitor_that_arrives_late_is_dropped(run: Run, directory: Path) -> None:
    """Also one of a visit whose link with the visitor is gone by then."""
    fill(directory, [event_about(BEN)], ("a",))
    link(directory, VISIT, ADA, "user-7")
    assert run("purge", "--visitor", ADA, "--yes").code == 0
    process = process_of(directory)
    late = [event_about(ADA), event_about(VISIT)._replace(browser_id=None)]
    process.send(recorded=[recorded_of(event) for event in late], at=60.0)  # recorded a minute ago
    assert process.counts().dropped == {"purged": 2}
    process.store.close()


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


def test_the_turn_of_another_process_is_waited_for(run: Run, directory: Path, owners: Owners) -> None:
    owners.killed(directory, ADA, dead=1)
    process = owners.begin("take_turn", directory)
    wait_for(process, "ready")
    answer = run("retry", "--all", "--timeout", "0.1")
    assert (answer.code, answer.out) == (1, "")
    assert "the store cannot be used (waited too long for a turn)" in answer.err
    assert "try again" in answer.err
    owners.end(process)
    assert run("retry", "--all").code == 0


def test_dead_letters_are_retried_beside_live_processes(run: Run, directory: Path, owners: Owners) -> None:
    process = owners.live(directory, ADA, BEN, dead=2)
    owners.live(directory, "c", dead=1)

    answer = run("retry", "--all")

    assert (answer.code, answer.out, answer.err) == (0, "3 entries retried\n", "")
    assert run("export", "--dead").out == ""
    assert owners.end(process) == ["closed 0"]


def test_dead_letters_are_purged_beside_a_live_process(run: Run, directory: Path, owners: Owners) -> None:
    process = owners.live(directory, ADA, BEN, dead=1)
    assert run("purge", "--dead", "--yes").out == "1 entry deleted\n"
    assert sorted((one["destination"], one["state"]) for one in run("export").lines) == [
        ("a", "waiting"),
        ("b", "waiting"),
        ("b", "waiting"),
    ]
    assert owners.end(process) == ["closed 0"]


def test_nothing_of_a_purged_visitor_is_left_beside_live_processes(run: Run, directory: Path, owners: Owners) -> None:
    first = owners.live(directory, *[ADA] * 50, BEN, dead=1)
    owners.killed(directory, ADA, BEN)
    second = owners.live(directory, ADA)
    assert where_it_stands(directory, ADA)

    answer = run("purge", "--visitor", ADA, "--yes")

    assert (answer.code, answer.err) == (0, "")
    assert where_it_stands(directory, ADA) == []
    assert [one["event"]["visitor"] for one in run("export").lines] == [BEN] * 4
    assert owners.end(first) == owners.end(second) == ["closed 0"]


def test_what_is_being_sent_is_waited_for(run: Run, directory: Path, owners: Owners) -> None:
    """A call under way is not called back, but it is the last one."""
    owners.killed(directory, ADA, BEN)
    process = owners.begin("claim", directory, "a")
    wait_for(process, "ready")

    answer = run("purge", "--visitor", ADA, "--yes", "--timeout", "1")

    assert (answer.code, answer.out) == (3, "1 entry deleted\n")
    assert "in one that is being sent; run the command again" in answer.err
    owners.end(process)
    assert run("purge", "--visitor", ADA, "--yes").code == 0
    assert where_it_stands(directory, ADA) == []
    assert [one["event"]["visitor"] for one in run("export").lines] == [BEN] * 2


def test_a_process_that_goes_on_tracking_is_purged_of_what_it_had(
    run: Run, directory: Path, owners: Owners, tmp_path: Path
) -> None:
    process = owners.begin("keep_tracking", directory, tmp_path / "notes")
    wait_for(process, "ready")
    had = {one["event_id"] for one in run("export", "--visitor", "visitor 7").lines}
    answer = run("purge", "--visitor", "visitor 7", "--yes", "--timeout", "8")
    if answer.code:  # there is more of the visitor by now
        assert answer.code == 3
        assert "run the command again" in answer.err
    assert had.isdisjoint(one["event_id"] for one in run("export", "--visitor", "visitor 7").lines)
    assert owners.end(process) == ["state ok", "closed 0"]
    assert run("purge", "--visitor", "visitor 7", "--yes").code == 0
    assert run("export", "--visitor", "visitor 7").out == ""
    lines = (tmp_path / "notes").read_text().splitlines()
    assert had <= set(words_after(lines, "stored"))
