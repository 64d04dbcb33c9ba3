"""ls, show, export and verify: what is in files of others, without being in their way."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from passerby.cli.outbox import listing
from passerby.old_outbox import reading
from passerby.old_outbox.database import Database, Trouble
from passerby.old_outbox.eventtext import write_event
from passerby.old_outbox.folder import Folder, HeldFile
from passerby.old_outbox.inventory import Contents, OutboxFile, count
from passerby.old_outbox.reading import Reading
from passerby.old_outbox.row import Row
from passerby.old_outbox.sqlite import SqliteOutbox
from tests.old_outbox.parent import wait_for, words_after

from .conftest import Answer, Owners, Run
from .owners import EMAIL, event_about, fill

ADA, BEN = "0dd0ee8f-51e0-4a2e-a5a9-6b5cb8c5f9a1", "1b2f7a4e-3b77-4c62-8d69-3a8f3c0f6b02"


def corrupt(path: Path) -> None:
    """Damage the middle of a file, which must have been closed."""
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 2)
        file.write(b"\xa5" * 8192)


def left_behind(directory: Path, number: int) -> Path:
    """Make a file of so many entries, whose process is gone."""
    file = Folder(directory).make_file()
    database = Database(file.path)
    body = write_event(event_about(ADA))
    for begin in range(1, number + 1, 5_000):
        places = range(begin, min(begin + 5_000, number + 1))
        database.write(
            inserts=[
                Row(place, "a", "waiting", f"event {place}", ADA, None, time.time(), 0, 0.0, 0.0, None, body)
                for place in places
            ]
        )
    database.close()
    file.let_go()
    return file.path


def test_ls_says_which_files_there_are_and_how_much_is_in_them(run: Run, directory: Path, owners: Owners) -> None:
    live = owners.live(directory, ADA, BEN, "c", dead=1, look_every=1e6)
    owners.killed(directory, ADA, BEN)

    listed = run("ls", "--json")

    assert listed.code == 0
    files = {file["standing"]: file for file in listed.json["files"]}
    assert files.keys() == {"live", "left behind"}
    assert files["live"]["process"] == live.pid
    destinations = listed.json["destinations"]
    assert {name: (one["waiting"], one["held"], one["dead"]) for name, one in destinations.items()} == {
        "a": (4, 0, 1),
        "b": (5, 0, 0),
    }
    assert listed.json["dead_letters"] == [
        {"destination": "a", "reason": "HTTP 400: no such \x1b[2J point of sale", "number": 1}
    ]
    assert ADA not in listed.out


def test_what_is_left_behind_is_not_counted_once_more_where_it_is_moved_to(
    run: Run, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = {left_behind(directory, number) for number in (3, 5)}
    folder = Folder(directory)
    taken: list[HeldFile | None] = []

    def count_while_others_come(file: OutboxFile, *totals: Contents) -> None:
        count(file, *totals)
        taken.append(folder.take(file.path))

    monkeypatch.setattr(listing, "count", count_while_others_come)

    assert run("ls", "--json").json["destinations"]["a"]["waiting"] == 8
    assert taken == [None, None]
    assert {file.path for file in folder.abandoned_files()} == paths


def test_looking_makes_no_file_where_one_has_just_gone(directory: Path) -> None:
    path = left_behind(directory, 1)
    (file,) = Folder(directory).abandoned_files()

    def go(_: Path) -> bool:
        file.remove()
        return True

    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(reading, "_is_made", go)
        with pytest.raises(Trouble):
            Reading(path)
    assert list(directory.iterdir()) == []


def test_ls_for_people_is_safe_to_show(run: Run, directory: Path, owners: Owners) -> None:
    owners.killed(directory, ADA, BEN, dead=1)

    listed = run("ls")

    assert listed.code == 0
    assert "left behind" in listed.out
    assert "\x1b" not in listed.out
    assert r"HTTP 400: no such \x1b[2J point of sale" in listed.out
    assert EMAIL not in listed.out


def test_ls_check_answers_3_for_dead_letters_and_files_set_aside(run: Run, directory: Path, owners: Owners) -> None:
    owners.killed(directory, ADA)
    assert run("ls", "--check").code == 0
    (directory / "7-aa.sqlite3.corrupt-1700000000").write_bytes(b"no database")
    assert run("ls", "--check").code == 3
    assert run("ls").code == 3
    (directory / "7-aa.sqlite3.corrupt-1700000000").unlink()
    owners.killed(directory, ADA, dead=1)
    assert run("ls", "--check").code == 3
    assert run("ls").code == 0


def test_an_empty_folder_has_nothing(run: Run, directory: Path) -> None:
    directory.mkdir(mode=0o700)
    assert "nothing is waiting" in run("ls").out
    assert "nothing to verify" in run("verify").out
    assert run("export") == Answer(0, "", "")


def test_a_file_that_is_only_being_made_has_no_entries(run: Run, directory: Path) -> None:
    file = Folder(directory).make_file()
    assert run("ls", "--json").json["files"][0]["standing"] == "live"
    file.let_go()
    assert run("verify").code == 0


def test_show_says_what_became_of_an_event(run: Run, directory: Path, owners: Owners) -> None:
    owners.killed(directory, ADA, BEN, dead=1)

    shown = run("show", "--dead")

    assert shown.code == 0
    letter = shown.json
    assert (letter["destination"], letter["state"], letter["attempts"]) == ("a", "dead", 1)
    assert letter["reason"] == "HTTP 400: no such \x1b[2J point of sale"
    assert letter["next_attempt"] is None
    assert letter["event"]["browser_id"] == ADA
    assert "\x1b" not in shown.out
    by_id = run("show", letter["event_id"], "--destination", "b")
    assert (by_id.json["event_id"], by_id.json["state"]) == (letter["event_id"], "waiting")


def test_show_says_when_the_next_attempt_is(run: Run, directory: Path) -> None:
    outbox = SqliteOutbox(directory, ("a",), look_every=1e6)
    fill(outbox, [])
    outbox.put(event_about(ADA), ("a",), _NullObserver(), time.monotonic())
    (entry,) = outbox.acquire("a", 1, time.monotonic())
    outbox.settle_retry(entry, time.monotonic() + 60, "HTTP 503")
    assert outbox.flush_to_disk(30)

    shown = run("show", "--state", "waiting").json

    assert shown["reason"] == "HTTP 503"
    assert shown["next_attempt"] > shown["created_at"]
    assert outbox.close(30)


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
    outbox = SqliteOutbox(directory, ("a", "b"), look_every=1e6)
    fill(outbox, [event_about(ADA), event_about(ADA, "user-7"), event_about(BEN), event_about(BEN, "user-77")])
    linked = event_about("a visit")._replace(browser_id=None)
    fill(outbox, [linked])
    outbox.link("a visit", ADA)
    assert outbox.flush_to_disk(30)

    of_ada = run("export", "--visitor", ADA).lines
    assert len(of_ada) == 6
    assert {one["event"]["browser_id"] for one in of_ada} == {ADA}
    of_user = run("export", "--visitor", "user-7").lines
    assert {one["event"]["user_id"] for one in of_user} == {"user-7"}
    assert len(of_user) == 2
    assert run("export", "--visitor", "nobody").out == ""
    assert outbox.close(30)


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


def test_what_was_set_aside_is_exported_when_asked_for(run: Run, directory: Path) -> None:
    path = left_behind(directory, 2_000)
    corrupt(path)
    path.rename(f"{path}.corrupt-1700000000")
    path.with_suffix(".lock").unlink()

    plain = run("export")
    assert (plain.code, plain.out) == (3, "")
    assert "1 file set aside as damaged" in plain.err
    everything = run("export", "--set-aside")
    assert everything.code == 3
    assert "could not be read completely" in everything.err
    assert 1_000 < len(everything.lines) < 2_000
    assert all(one["set_aside"] for one in everything.lines)
    of_visitor = run("export", "--visitor", ADA)
    assert len(of_visitor.lines) == len(everything.lines)


def test_verify_finds_damage(run: Run, directory: Path, owners: Owners) -> None:
    owners.killed(directory, ADA, BEN)
    good = run("verify")
    assert good.code == 0
    assert "ok, 4 entries readable" in good.out

    path = left_behind(directory, 2_000)
    corrupt(path)
    bad = run("verify", "--json")
    assert bad.code == 3
    verdicts = {one["file"]: one for one in bad.json["files"]}
    assert not verdicts[path.name]["ok"]
    assert verdicts[path.name]["problems"]
    assert 1_000 < verdicts[path.name]["entries"] < 2_000
    assert sum(one["ok"] for one in verdicts.values()) == 1


def test_verify_finds_events_that_cannot_be_read(run: Run, directory: Path) -> None:
    file = Folder(directory).make_file()
    database = Database(file.path)
    database.write(inserts=[Row(1, "a", "waiting", "x", ADA, None, 1.0, 0, 0.0, 0.0, None, b"[99]")])
    database.close()
    file.let_go()
    bad = run("verify")
    assert bad.code == 3
    assert "0 entries readable; 1 event unreadable" in bad.out


def test_another_programs_file_is_named(run: Run, directory: Path) -> None:
    directory.mkdir(mode=0o700)
    (directory / "1-ab.sqlite3").write_bytes(b"this is no database at all, and never was one")
    listed = run("ls")
    assert listed.code == 1
    assert "cannot be read" in listed.out
    assert run("export").code == 1
    assert run("verify").code == 1


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["ls"], 2, "found no outbox; name it with --outbox"),
        (["ls", "--outbox", "memory"], 2, "there are no files"),
        (["ls", "--outbox", "redis://host"], 2, "expected a directory"),
        (["ls", "--outbox", "sqlite:///"], 2, "expected a directory"),
        (["ls", "--outbox", "/no/such/directory"], 1, "found no directory /no/such/directory"),
        (["ls", "--outbox", __file__], 1, "expected a directory"),
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
    assert run("ls", outbox=None).out.startswith(f"{directory}: 1 file")


def test_a_folder_that_everybody_may_write_to_is_refused(run: Run, directory: Path) -> None:
    directory.mkdir()
    directory.chmod(0o777)
    answer = run("ls")
    assert answer.code == 1
    assert "chmod 700" in answer.err


AS_OTHER_USER = """
import os, sys
import passerby.cli.outbox.command  # while it can be read
from passerby.cli.main import main
if os.getuid() == 0:
    os.setegid(65534)
    os.seteuid(65534)
sys.exit(main(sys.argv[1:]))
"""


def test_a_folder_of_another_user_is_named(directory: Path, owners: Owners) -> None:
    owners.killed(directory, ADA)
    if os.getuid() != 0:
        directory.chmod(0)
    command = [sys.executable, "-c", AS_OTHER_USER, "outbox", "ls", "--outbox", str(directory)]
    answer = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    directory.chmod(0o700)
    assert answer.returncode == 1
    assert "cannot be read (Permission denied); run the command as the user that the app runs as" in answer.stderr


def test_a_reader_that_leaves_early_is_no_failure(directory: Path) -> None:
    left_behind(directory, 20_000)
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
        left_behind(folder, number)
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
    assert owners.end(process) == ["state ok", "closed True"]

    lines = notes.read_text().splitlines()
    left = [one["event_id"] for one in run("export").lines]
    stored, delivered = words_after(lines, "stored"), words_after(lines, "delivered")
    assert len(delivered) == len(set(delivered))
    assert sorted(left + delivered) == sorted(stored)


class _NullObserver:
    def on_stored(self) -> None: ...
    def on_settled(self, destination: str, outcome: object) -> None: ...
