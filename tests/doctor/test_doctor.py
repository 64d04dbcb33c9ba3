"""`passerby doctor` as a user runs it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from passerby.cli.doctor.directory import check_directory, read_facts, write_test
from passerby.cli.doctor.runtime import check_thread
from passerby.outbox.sqlite import SqliteStore
from passerby.outbox.sqlite.directory import StoreDirectory
from tests.cli_outbox.owners import event_about, fill
from tests.outbox.process import Process, recorded_of


def clean_environment(**more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PASSERBY_")}
    return kept | more


def doctor(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-m", "passerby.cli.main", "doctor", *arguments],
        env=clean_environment(**environment),
        check=False,
        capture_output=True,
        text=True,
        timeout=100,
    )


def findings_of(run: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    assert run.stderr == ""
    return {one["check"]: one for one in json.loads(run.stdout)}


def test_a_machine_that_is_well(tmp_path: Path) -> None:
    """Nothing is left of what was tried, and a directory that was not there is not there again."""
    directory = tmp_path / "var" / "outbox"
    run = doctor("--outbox", f"sqlite://{directory}", "--json")
    found = findings_of(run)
    assert run.returncode == 0, found
    assert found["outbox"]["message"] == str(directory)
    assert {found[name]["severity"] for name in ("Python", "SQLite", "threads", "clock", "writing", "locks")} == {"ok"}
    assert "does not exist yet" in found["directory"]["message"]
    assert list(tmp_path.iterdir()) == []


def test_the_text_says_what_to_do(tmp_path: Path) -> None:
    directory = tmp_path / "outbox"
    fill(directory, [event_about("ada")], dead=1)

    run = doctor("--outbox", str(directory))

    assert run.returncode == 0
    assert run.stderr == ""
    lines = run.stdout.splitlines()
    assert any(line.startswith("ok       Python ") for line in lines)
    assert any(line.startswith("warning  dead letters ") for line in lines)
    assert "-> see why: `passerby outbox show --dead`" in run.stdout
    assert all(len(line) <= 110 for line in lines)
    assert list(directory.iterdir()) == [StoreDirectory(directory).path]


def test_that_no_process_delivers_is_a_problem(tmp_path: Path) -> None:
    directory = tmp_path / "outbox"
    event = recorded_of(event_about("ada"))
    store = SqliteStore(directory)
    Process(store).send(recorded=[event], at=90.0)  # it was recorded 90 s ago
    store.close()

    run = doctor("--json", "--outbox", str(directory))

    found = findings_of(run)
    assert run.returncode == 1, found
    assert found["waiting"]["severity"] == "problem"
    assert "no process delivers what is due" in found["waiting"]["message"]
    assert "passerby worker" in found["waiting"]["advice"]


def test_a_store_that_cannot_be_opened_is_a_problem(tmp_path: Path) -> None:
    directory = tmp_path / "outbox"
    fill(directory, [event_about("ada")])
    StoreDirectory(directory).path.chmod(0o755)

    run = doctor("--json", "--outbox", str(directory))

    assert run.returncode == 1
    assert "no directory of this user's own with mode 0700" in findings_of(run)["files"]["message"]


def test_without_an_outbox_the_rest_is_checked() -> None:
    run = doctor("--json")
    found = findings_of(run)
    assert run.returncode == 0, found
    assert "found no outbox" in found["outbox"]["message"]
    assert "writing" not in found
    assert findings_of(doctor("--json", PASSERBY_OUTBOX="memory"))["outbox"]["severity"] == "ok"


def test_wrong_settings_are_a_problem() -> None:
    run = doctor("--json", PASSERBY_CHANEL="WEB")
    assert run.returncode == 1
    assert "PASSERBY_CHANEL" in findings_of(run)["settings"]["message"]


@pytest.mark.parametrize("mode", [0o770, 0o777])
def test_a_directory_that_others_may_write_to_is_said(tmp_path: Path, mode: int) -> None:
    directory = tmp_path / "outbox"
    directory.mkdir()
    directory.chmod(mode)
    run = doctor("--json", "--outbox", str(directory))
    assert run.returncode == 0
    found = findings_of(run)
    assert found["directory"]["severity"] == "warning"
    assert "chmod 700" in found["directory"]["advice"]
    assert found["writing"]["severity"] == "ok"


def test_a_directory_that_is_a_file_is_a_problem(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.touch()
    assert "problem" in {one.severity for one in check_directory(path)}
    assert "problem" in {one.severity for one in check_directory(path / "below")}


AS_OTHER_USER = """
import os, sys
from pathlib import Path
from passerby.cli.doctor.directory import check_directory
if os.getuid() == 0:
    os.setegid(65534)
    os.seteuid(65534)
print(*(one.severity for one in check_directory(Path(sys.argv[1])) if one.check in ("directory", "writing")))
"""


def test_a_directory_of_another_user_is_a_problem(tmp_path: Path) -> None:
    if os.getuid() != 0:
        pytest.skip("only root has directories of others")
    directory = tmp_path / "outbox"
    directory.mkdir(mode=0o700)
    command = [sys.executable, "-c", AS_OTHER_USER, str(directory)]
    run = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
    assert run.stdout.split() in (["problem", "problem"], ["problem"])


def test_facts_and_trial_are_those_of_the_system(tmp_path: Path) -> None:
    facts = read_facts(tmp_path)
    assert facts.is_there
    assert facts.is_writable
    assert facts.owner == facts.user == os.geteuid()
    assert facts.free > 0
    trial = write_test(tmp_path)
    assert (trial.error, trial.lock_holds) == (None, True)
    assert trial.seconds > 0
    assert list(tmp_path.iterdir()) == []


def test_a_clock_that_was_set_back_is_seen_by_the_files(tmp_path: Path) -> None:
    directory = tmp_path / "outbox"
    fill(directory, [event_about("ada")._replace(time=time.time() + 5_000)])
    found = findings_of(doctor("--json", "--outbox", str(directory)))
    assert found["clock"]["severity"] == "warning"
    assert "set back" in found["clock"]["message"]


def test_a_thread_is_started() -> None:
    assert check_thread().severity == "ok"


def test_where_no_thread_can_be_started_that_is_a_problem() -> None:
    """As an address space without room for a thread's stack has it."""
    code = (
        "import resource, threading\n"
        "from passerby.cli.doctor.runtime import check_thread\n"
        "threading.stack_size(512 * 1024 * 1024)\n"
        "used = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize()\n"
        "resource.setrlimit(resource.RLIMIT_AS, (used + 64_000_000, resource.RLIM_INFINITY))\n"
        "print(check_thread().severity)\n"
    )
    run = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=60)
    assert run.stdout.strip() == "problem"
