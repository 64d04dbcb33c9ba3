"""ls, show, export and verify: what is in the store of others, without being in their way."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import time
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from passerby.outbox.sqlite.directory import StoreDirectory
from tests.outbox.parent import wait_for, words_after

from .conftest import Answer, Owners, Run
from .owners import EMAIL, REASON, event_about, fill, fill_many, link, process_of

ADA, BEN = "0dd0ee8f-51e0-4a2e-a5a9-6b5cb8c5f9a1", "1b2f7a4e-3b77-4c62-8d69-3a8f3c0f6b02"


def corrupt(path: Path) -> None:
    """Damage the middle of a file, which must have been closed."""
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 2)
        file.write(b"\xa5" * 8192)


def quarantine(directory: Path) -> None:
    """Have a damaged database quarantined, and its readable events saved."""
    fill_many(directory, ADA, 2_000)
    path = StoreDirectory(directory).database
    corrupt(path)
    with path.open("r+b") as file:
        file.write(bytes(100))  # SQLite cannot open it
    process = process_of(directory)
    while process.counts().waiting == 0 or StoreDirectory(directory).unsalvaged():
        pass
    process.store.close()


def test_ls_says_how_much_there_is(run: Run, directory: Path, owners: Owners) -> None:
    owners.live(directory, ADA, BEN, "c", dead=1)
    owners.killed(directory, ADA, BEN)

    listed = run("ls", "--json")

    assert listed.code == 0
    destinations = listed.json["destinations"]
    assert {name: (one["waiting"], one["held"], one["dead"]) for name, one in destinations.items()} == {
        "a": (4, 0, 1),
        "b": (5, 0, 0),
    }
    assert listed.json["dead_letters"] == [{"destination": "a", "reason": REASON, "number": 1}]
    assert listed.json["quarantined"] == []
    assert listed.json["bytes"] > 10_000
    assert listed.json["deliverer_seen"] >= destinations["b"]["oldest_waiting"]
    assert ADA not in listed.out


def test_a_retried_event_does_not_hide_how_long_others_wait(run: Run, directory: Path) -> None:
    fill(directory, [event_about(ADA), event_about(BEN)], ("a",), dead=1)

    def oldest() -> datetime:
        return datetime.fromisoformat(run("ls", "--json").json["destinations"]["a"]["oldest_waiting"])

    before = oldest()
    time.sleep(1.0)
    assert run("retry", "--all").code == 0
    assert abs(oldest() - before) < timedelta(seconds=0.5)


@pytest.mark.parametrize(
    "arguments", [["ls"], ["show"], ["export"], ["verify"], ["retry", "--all"], ["flush"]], ids=" ".join
)
def test_a_command_makes_nothing_where_there_is_nothing(run: Run, directory: Path, arguments: list[str]) -> None:
    run(*arguments)
    assert not directory.exists()
    directory.mkdir(mode=0o700)
    run(*arguments)
    assert list(directory.iterdir()) == []


def test_ls_for_people_is_safe_to_show(run: Run, directory: Path, owners: Owners) -> None:
    owners.killed(directory, ADA, BEN, dead=1)

    listed = run("ls")

    assert listed.code == 0
    assert "a deliverer was seen " in listed.out
    assert "\x1b" not in listed.out
    assert r"HTTP 400: no such \x1b[2J point of sale" in listed.out
    assert EMAIL not in listed.out


def test_ls_check_answers_3_for_dead_letters_and_quarantined_files(run: Run, directory: Path, owners: Owners) -> None:
    owners.killed(directory, ADA)
    assert run("ls", "--check").code == 0
    store = StoreDirectory(directory).path
    (store / "events.sqlite3.corrupt-1700000000").write_bytes(b"no database")
    assert run("ls", "--check").code == 3
    assert run("ls").code == 3
    for path in store.glob("*-1700000000"):
        path.unlink()
    owners.killed(directory, ADA, dead=1)
    assert run("ls", "--check").code == 3
    assert run("ls").code == 0


def test_an_empty_directory_has_nothing(run: Run, directory: Path) -> None:
    directory.mkdir(mode=0o700)
    assert "nothing is waiting" in run("ls").out
    assert "nothing to verify" in run("verify").out
    assert run("export") == Answer(0, "", "")


def test_show_says_what_became_of_an_event(run: Run, directory: Path, owners: Owners) -> None:
    owners.killed(directory, ADA, BEN, dead=1)

    shown = run("show", "--dead")

    assert shown.code == 0
    letter = shown.json
    assert (letter["destination"], letter["state"], letter["attempts"]) == ("a", "dead", 1)
    assert letter["reason"] == REASON
    assert letter["next_attempt"] is None
    assert letter["event"]["browser_id"] == ADA
    assert "\x1b" not in shown.out
    by_id = run("show", letter["event_id"], "--destination", "b")
    assert (by_id.json["event_id"], by_id.json["state"]) == (letter["event_id"], "waiting")


def test_show_says_when_the_next_attempt_is(run: Run, directory: Path) -> None:
    fill(directory, [event_about(ADA)], ("a",))
    process = process_of(directory)
    process.settle(process.claim("a"), "retry", after=60.0, reason="HTTP 503")

    shown = run("show", "--state", "waiting").json

    assert shown["reason"] == "HTTP 503"
    assert shown["attempts"] == 1
    assert shown["next_attempt"] > shown["created_at"]
    process.store.close()


def test_show_has_a_limit_and_says_so(run: Run, directory: Path, owners: Owners) -> None:
    owners.killed(directory, ADA, BEN)
    shown = run("show", "--limit", "3")
    assert shown.out.count('"event_id"') == 3
    assert "the first 3" in shown.err


def test_an_unknown_event_is_a_failure(run: Run, directory: Path, owners: Owners) -> None:
    owners.killed(directory, ADA)
    shown = run("show", "nothing")
    assert (shown.code, shown.out) == (1, "")
    assert "found no event of that ID" in shown.err


def test_export_writes_all_events(run: Run, directory: Path, owners: Owners) -> None:
    owners.killed(directory, ADA, BEN, dead=1)
    entries = run("export").lines
    assert sorted((one["event"]["browser_id"], one["destination"], one["state"]) for one in entries) == [
        (ADA, "a", "dead"),
        (ADA, "b", "waiting"),
        (BEN, "a", "waiting"),
        (BEN, "b", "waiting"),
    ]
    assert [one["state"] for one in run("export", "--dead").lines] == ["dead"]
    assert len(run("export", "--destination", "b").lines) == 2


def test_export_finds_a_visitor_by_browser_id_and_by_user_id(run: Run, directory: Path) -> None:
    fill(directory, [event_about(ADA), event_about(ADA, "user-7"), event_about(BEN), event_about(BEN, "user-77")])
    fill(directory, [event_about("a visit")._replace(browser_id=None)])
    link(directory, "a visit", ADA, "user-8")

    of_ada = run("export", "--visitor", ADA).lines
    assert len(of_ada) == 6
    assert {one["event"]["browser_id"] for one in of_ada} == {ADA}
    of_user = run("export", "--visitor", "user-7").lines
    assert {one["event"]["user_id"] for one in of_user} == {"user-7"}
    assert len(of_user) == 2
    assert run("export", "--visitor", "unknown").out == ""


def test_export_to_a_file_is_this_users_alone(run: Run, directory: Path, owners: Owners, tmp_path: Path) -> None:
    owners.killed(directory, ADA)
    target = tmp_path / "export.jsonl"
    exported = run("export", "--to", target)
    assert (exported.code, exported.out) == (0, "")
    assert "2 entries written" in exported.err
    assert target.stat().st_mode & 0o777 == 0o600
    assert len(target.read_text().splitlines()) == 2
    again = run("export", "--to", target)
    assert again.code == 2
    assert "exists already" in again.err
    assert run("export", "--to", tmp_path / "no" / "where").code == 1


def test_what_was_quarantined_is_exported_when_asked_for(run: Run, directory: Path) -> None:
    quarantine(directory)

    plain = run("export")
    assert plain.code == 3
    assert 1_000 < len(plain.lines) < 2_000
    assert not any(one["quarantined"] for one in plain.lines)
    assert "1 quarantined file: damaged" in plain.err
    everything = run("export", "--quarantined")
    assert everything.code == 3
    of_file = [one for one in everything.lines if one["quarantined"]]
    assert {one["quarantined"].partition("-")[0] for one in of_file} == {"events.sqlite3.salvaged"}
    assert len(everything.lines) == 2 * len(plain.lines)
    assert {one["event_id"] for one in of_file} == {one["event_id"] for one in plain.lines}
    of_visitor = run("export", "--visitor", ADA)
    assert len(of_visitor.lines) == len(everything.lines)


def test_verify_finds_damage(run: Run, directory: Path) -> None:
    fill_many(directory, ADA, 2_000)
    good = run("verify")
    assert good.code == 0
    assert good.out == "events.sqlite3: ok, 2,000 entries readable\n"

    corrupt(StoreDirectory(directory).database)
    bad = run("verify", "--json")
    assert bad.code == 3
    assert not bad.json["ok"]
    assert bad.json["problems"]
    assert bad.json["entries"] < 2_000
    assert StoreDirectory(directory).quarantined() == [], "it only looks"


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE event SET payload = x'0163616665' WHERE id = (SELECT min(id) FROM event)",
        "UPDATE event SET visitor = 'another' WHERE id = (SELECT min(id) FROM event)",
        "UPDATE entry SET destination = 77 WHERE seq = (SELECT min(seq) FROM entry)",
        "DELETE FROM event WHERE id = (SELECT min(id) FROM event)",
    ],
    ids=["payload", "visitor", "destination", "event"],
)
def test_verify_finds_rows_that_are_not_as_they_were_written(run: Run, directory: Path, statement: str) -> None:
    fill(directory, [event_about(ADA), event_about(BEN)], ("a",))
    change(directory, statement)
    bad = run("verify")
    assert bad.code == 3
    assert "1 entry readable; 1 event unreadable" in bad.out


def change(directory: Path, statement: str) -> None:
    """Spoil a row of a database that no process uses."""
    with sqlite3.connect(StoreDirectory(directory).database) as connection:
        connection.execute(statement)
    connection.close()


def test_another_programs_file_is_named(run: Run, directory: Path) -> None:
    fill(directory, [event_about(ADA)])
    StoreDirectory(directory).database.write_bytes(b"this is no database at all, and never was one")
    verified = run("verify")
    assert verified.code == 1
    assert "cannot be read: database damaged" in verified.out
    assert run("export").code == 1
    listed = run("ls")
    assert listed.code == 3
    assert "1 quarantined file" in listed.err


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["ls"], 2, "found no outbox; name it with --outbox"),
        (["ls", "--outbox", "memory"], 2, "there are no files"),
        (["ls", "--outbox", "redis://host"], 2, "expected a directory"),
        (["ls", "--outbox", "sqlite:///"], 2, "expected a directory"),
        (["ls", "--outbox", "/no/such/directory"], 1, "found no directory /no/such/directory"),
        (["ls", "--outbox", __file__], 1, "expected a directory"),
        (["export", "--set-aside"], 2, "unrecognized arguments"),
        (["show", "--dead", "--state", "waiting"], 2, "not allowed with"),
        (["show", "--limit", "0"], 2, "expected 1 or more"),
        (["export", "--visitor", " "], 2, "expected an ID"),
        (["retry"], 2, "required"),
        (["purge", "--dead", "--visitor", "x"], 2, "not allowed with"),
        (["flush", "--timeout", "-1"], 2, "expected 0 or more"),
        (["nothing"], 2, "invalid choice"),
        ([], 2, "required"),
    ],
)
def test_wrong_usage_is_said_in_words(run: Run, arguments: list[str], code: int, words: str) -> None:
    answer = run(*arguments, outbox=None)
    assert answer.code == code
    assert words in answer.err
    assert "Traceback" not in answer.err


def test_the_environment_names_the_outbox(
    run: Run, directory: Path, owners: Owners, monkeypatch: pytest.MonkeyPatch
) -> None:
    owners.killed(directory, ADA)
    monkeypatch.setenv("PASSERBY_OUTBOX", f"sqlite://{directory}")
    assert run("ls", outbox=None).out.startswith(f"{directory}: 2 entries")


def test_what_is_in_the_place_of_the_store_is_named(run: Run, directory: Path) -> None:
    directory.mkdir()
    StoreDirectory(directory).path.write_text("a file")
    answer = run("ls")
    assert answer.code == 1
    assert "found a file at" in answer.err


def test_a_store_of_a_newer_version_is_refused(run: Run, directory: Path) -> None:
    fill(directory, [event_about(ADA)])
    change(directory, "UPDATE state SET value = '99' WHERE key = 'min_reader'")
    change(directory, "PRAGMA user_version = 99")
    for verb in ("ls", "export", "verify"):
        answer = run(verb)
        assert answer.code == 1
        assert "the file is of a newer version of passerby; update this process" in answer.out + answer.err


AS_OTHER_USER = """
import os, sys
import passerby.cli.outbox.command  # while it can be read
from passerby.cli.main import main
if os.getuid() == 0:
    os.setegid(65534)
    os.seteuid(65534)
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.parametrize("mode", [0o700, 0o755])
def test_a_directory_of_another_user_is_named(directory: Path, owners: Owners, mode: int) -> None:
    owners.killed(directory, ADA)
    directory.chmod(mode)
    if os.getuid() != 0:
        directory.chmod(0)
    command = [sys.executable, "-c", AS_OTHER_USER, "outbox", "ls", "--outbox", str(directory)]
    answer = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    directory.chmod(0o700)
    assert answer.returncode == 1
    assert "cannot be read (Permission denied); run the command as the user that the app runs as" in answer.stderr


def test_a_reader_that_leaves_early_is_no_failure(directory: Path) -> None:
    fill_many(directory, ADA, 20_000)
    command = subprocess.Popen(
        [sys.executable, "-m", "passerby.cli.main", "outbox", "export", "--outbox", str(directory)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with command:
        assert command.stdout is not None
        assert command.stderr is not None
        assert command.stdout.readline()
        command.stdout.close()
        assert command.wait(60) == 0
        assert command.stderr.read() == ""


MEASURED = """
import resource, sys
from passerby.cli.main import main
code = main(sys.argv[1:])
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, file=sys.stderr)
sys.exit(code)
"""


@pytest.mark.long
@pytest.mark.parametrize("verb", ["ls", "export", "verify"])
def test_many_entries_take_no_memory(verb: str, directory: Path, tmp_path: Path) -> None:
    """What a hundred thousand entries take is what one takes, and some pages."""

    def measure(number: int) -> int:
        folder = directory / str(number)
        fill_many(folder, ADA, number)
        with (tmp_path / "out").open("wb") as out:
            command = [sys.executable, "-c", MEASURED, "outbox", verb, "--outbox", str(folder)]
            run = subprocess.run(command, check=True, stdout=out, stderr=subprocess.PIPE, text=True, timeout=200)
        return int(run.stderr.split()[-1]) * 1024

    assert measure(100_000) - measure(1) < 10_000_000


def test_looking_is_never_in_the_way_of_a_process(run: Run, directory: Path, owners: Owners, tmp_path: Path) -> None:
    """It goes on recording and delivering while all is looked at again and again, and its ledger is exact."""
    notes = tmp_path / "notes"
    process = owners.begin("keep_tracking", directory, notes)
    wait_for(process, "ready")
    for _ in range(8):
        assert [run(verb).code for verb in ("ls", "export", "verify")] == [0, 0, 0]
    assert owners.end(process) == ["state ok", "closed 0"]

    lines = notes.read_text().splitlines()
    left = [one["event_id"] for one in run("export").lines]
    stored, delivered = words_after(lines, "stored"), words_after(lines, "delivered")
    assert len(delivered) == len(set(delivered))
    assert sorted(left + delivered) == sorted(stored)
