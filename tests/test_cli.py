from __future__ import annotations

import os
import pty
import re
import select
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from functools import partial
from importlib.metadata import version
from pathlib import Path

import httpx
import pytest

from passerby.cli.main import main

from .running import PATIENCE, running

CREATE = "/v1.2/browser/create.json?client_key=key&message={}"

get = partial(httpx.get, timeout=PATIENCE)
post = partial(httpx.post, timeout=PATIENCE)


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-m", "passerby.cli.main", *arguments],
        check=False,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=60,
    )


def run_without(package: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command where `package` is not installed."""
    code = f"import sys; sys.modules[{package!r}] = None; from passerby.cli.main import main; sys.exit(main())"
    return subprocess.run(
        [sys.executable, "-c", code, *arguments], check=False, capture_output=True, text=True, timeout=60
    )


def test_version() -> None:
    answer = run("--version")

    assert (answer.returncode, answer.stdout) == (0, f"passerby {version('passerby')}\n")


@pytest.mark.parametrize("package", ["uvicorn", "fastapi"])
def test_version_needs_no_extra(package: str) -> None:
    assert run_without(package, "--version").returncode == 0


@pytest.mark.parametrize(
    ("package", "command", "extra"),
    [("uvicorn", "collect", "collector"), ("uvicorn", "demo", "demo"), ("fastapi", "demo", "demo")],
)
def test_missing_extra_is_named(package: str, command: str, extra: str) -> None:
    answer = run_without(package, command, "--port", "0")

    assert answer.returncode == 1
    assert answer.stderr.startswith(f"passerby {command}: ")
    assert package in answer.stderr
    assert f'pip install "passerby[{extra}]"' in answer.stderr
    assert answer.stderr.count("\n") == 1


def test_other_missing_modules_are_not_hidden() -> None:
    answer = run_without("sqlite3", "collect")

    assert answer.returncode == 1
    assert "Traceback" in answer.stderr


@pytest.mark.parametrize("arguments", [[], ["--help"], ["collect", "--help"], ["demo", "--help"], ["worker", "--help"]])
def test_help(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(arguments)

    assert end.value.code == (0 if arguments else 2)
    assert "usage: passerby" in "".join(capsys.readouterr())


@pytest.mark.parametrize(
    "arguments",
    [
        ["nothing"],
        ["collect", "--port", "x"],
        ["collect", "--port", "-1"],
        ["collect", "--port", "65536"],
        ["collect", "--client-key"],
        ["demo", "--port", "²"],
        ["collect", "more"],
    ],
)
def test_wrong_usage(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(arguments)

    assert end.value.code == 2
    assert "error:" in capsys.readouterr().err


def test_collect_prints_what_arrives_and_what_is_refused() -> None:
    with running("collect", "--port", "0") as collect:
        url = collect.wait_for(r"Collecting on (http://127\.0\.0\.1:\d+) ")[1]
        browser_id = get(f"{url}{CREATE}").json()["ref"]
        identity = {"type": "IDENTITY", "identifiers": [{"id": "secret-id", "provider": "BXLP"}]}
        for event in ({"type": "VIEW", "page": "Home\x1b[2J"}, identity):
            post(f"{url}/v1.2/events", json={"browser_id": browser_id, **event})
        post(f"{url}/v1.2/events", json={"type": "VIEW"})
        shortened = browser_id[:8]

        collect.wait_for(rf"^\d\d:\d\d:\d\d\.\d{{3}}  VIEW +{shortened}  Home\\x1b\[2J$")
        collect.wait_for(rf"IDENTITY +{shortened}  BXLP$")
        collect.wait_for(r"VIEW +-         400 refused: browser_id is missing$")
        assert collect.end(signal.SIGINT) == 0

    assert collect.lines[-1] == "2 events accepted, 1 refused, 1 browser ID issued"
    assert "secret-id" not in "".join(collect.lines)
    assert collect.complaints == []


def test_collect_ends_on_sigterm_with_a_count() -> None:
    with running("collect", "--port", "0", "--accept-any-browser-id") as collect:
        url = collect.wait_for(r"Collecting on (\S+)")[1]
        post(f"{url}/v1.2/events", json={"type": "VIEW", "browser_id": "x"})
        assert collect.end(signal.SIGTERM) == 0

    assert collect.lines[-1] == "1 event accepted, 0 refused, 0 browser IDs issued"
    assert collect.complaints == []


def test_collect_ends_while_a_request_hangs() -> None:
    with running("collect", "--port", "0") as collect:
        url = collect.wait_for(r"Collecting on (\S+)")[1]
        post(f"{url}/_collector/faults", json={"delay": 600})
        with pytest.raises(httpx.ReadTimeout):
            httpx.get(f"{url}{CREATE}", timeout=httpx.Timeout(PATIENCE, read=0.2))
        with socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2]))) as half:
            half.sendall(b"POST /v1.2/events HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n")
            assert collect.end() == 0

    assert collect.complaints == []


def test_second_signal_changes_nothing() -> None:
    with running("collect", "--port", "0") as collect:
        url = collect.wait_for(r"Collecting on (\S+)")[1]
        post(f"{url}/_collector/faults", json={"delay": 600})
        with socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2]))) as hanging:
            hanging.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGINT):
                collect.process.send_signal(number)
            assert collect.wait() == 0

    assert collect.lines[-1].startswith("0 events accepted")
    assert collect.complaints == []


def test_collect_keeps_everything_in_a_file(tmp_path: Path) -> None:
    path = tmp_path / "collector.db"
    with running("collect", "--port", "0", "--db", str(path), "--client-key", "a", "b", "--client-key", "c") as collect:
        url = collect.wait_for(r"Collecting on (\S+)")[1]
        answers = [get(f"{url}/v1.2/browser/create.json?client_key={key}").status_code for key in "abcd"]
        collect.wait_for("create +- +401 refused: The client key is not one of this service")
        assert collect.end() == 0

    connection = sqlite3.connect(path)
    assert connection.execute("SELECT count(*) FROM requests").fetchone() == (4,)
    connection.close()
    assert answers == [200, 200, 200, 401]
    assert path.stat().st_mode & 0o077 == 0


def test_collect_accepts_only_the_context_ids_that_it_is_given() -> None:
    with running("collect", "--port", "0", "--context-id", "a", "b") as collect:
        url = collect.wait_for(r"Collecting on (\S+)")[1]
        create = f"{url}/v1/events/v1.2/browser/create.json"
        answers = [get(create, headers={"x-sitecore-contextid": one}).status_code for one in "abc"]
        collect.wait_for("create +- +401 refused: The context ID is not one of this service")
        assert collect.end() == 0

    assert answers == [200, 200, 401]


def test_collect_survives_a_reader_that_left() -> None:
    command = subprocess.Popen(
        [sys.executable, "-W", "error", "-m", "passerby.cli.main", "collect", "--port", "0", "--accept-any-browser-id"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert command.stdout
    assert command.stderr
    with command, command.stderr:
        url = command.stdout.readline().split()[2]
        command.stdout.close()
        post(f"{url}/v1.2/events", json={"type": "VIEW", "browser_id": "x"})

        assert command.wait(30) == 0
        assert command.stderr.read() == ""


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "example.com"])
def test_collect_refuses_a_host_that_others_can_reach(host: str) -> None:
    answer = run("collect", "--host", host)

    assert answer.returncode == 2
    assert f"{host} can be reached from other machines" in answer.stderr
    assert "--token" in answer.stderr


def test_collect_serves_such_a_host_with_a_token() -> None:
    with running("collect", "--host", "0.0.0.0", "--port", "0", "--token", "open-sesame") as collect:
        port = collect.wait_for(r"Collecting on http://0\.0\.0\.0:(\d+)")[1]
        assert get(f"http://127.0.0.1:{port}{CREATE}").status_code == 200
        assert collect.end() == 0


@pytest.mark.parametrize("where", ["option", "environment"])
def test_collect_shows_the_outbox_that_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    named = ["--outbox", str(tmp_path)] if where == "option" else []
    monkeypatch.setenv("PASSERBY_OUTBOX", "memory" if where == "option" else f"sqlite://{tmp_path}")
    with running("collect", "--port", "0", *named) as collect:
        url = collect.wait_for(r"Collecting on (\S+)")[1]
        for _ in range(300):
            outbox = get(f"{url}/_collector/health").json()["outbox"]
            if outbox is not None:
                break
            time.sleep(0.1)
        assert collect.end() == 0

    assert outbox == {"state": "ok", "destinations": {}}


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--outbox", "memory"], "--outbox is"),
        (["--outbox", "redis://x"], "expected a directory"),
        (["--token", ""], "the token is empty"),
        (["--token", "a b"], "expected ASCII without spaces"),
    ],
)
def test_collect_says_which_option_is_wrong(options: list[str], complaint: str) -> None:
    answer = run("collect", "--port", "0", *options)

    assert answer.returncode == 2
    assert answer.stdout == ""
    assert complaint in answer.stderr
    assert answer.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("command", "option"), [("collect", "--port"), ("demo", "--port"), ("demo", "--collector-port")]
)
def test_busy_port_is_named_in_one_line(command: str, option: str) -> None:
    ports = {"--port": "0"} | ({"--collector-port": "0"} if command == "demo" else {})
    with socket.create_server(("127.0.0.1", 0)) as busy:
        ports[option] = str(busy.getsockname()[1])
        answer = run(command, *(word for pair in ports.items() for word in pair))

    assert answer.returncode == 1
    assert answer.stdout == ""
    assert answer.stderr == (
        f"passerby {command}: cannot listen on http://127.0.0.1:{ports[option]} (Address already in use). "
        f"Choose another with {option}\n"
    )


def test_unusable_database_is_named_in_one_line(tmp_path: Path) -> None:
    answer = run("collect", "--port", "0", "--db", str(tmp_path))

    assert answer.returncode == 1
    assert answer.stderr == f"passerby collect: {tmp_path} cannot be opened: Is a directory. Choose another with --db\n"


APP = """
import os, signal, sys, time
from passerby import Tracking

tracking = Tracking.from_env()

def end(number, frame):
    print("signals", number, flush=True)
    sys.exit(5)

signal.signal(signal.SIGINT, end)
tracker = tracking.tracker_for({"type": "http", "method": "GET", "path": "/", "headers": []})
tracker.page_view({"page": "Home"})
while True:
    time.sleep(0.05)
"""


def test_collect_runs_an_app_beside_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """It finds the collector, ends with it by one SIGINT, and the events of its shutdown are shown too."""
    monkeypatch.setenv("PASSERBY_SITECORE_CLIENT_KEY", "key")
    monkeypatch.setenv("PASSERBY_SITECORE_POINT_OF_SALE", "shop")
    monkeypatch.setenv("PASSERBY_SECRET_KEY", "a secret key that signs")
    with running("collect", "--port", "0", "--", sys.executable, "-c", APP) as collect:
        collect.wait_for(r"VIEW +\S+  Home$")
        assert collect.end(signal.SIGINT) == 0
    assert "signals 2" in collect.lines
    assert re.fullmatch(r"1 event accepted, 0 refused, \d browser IDs? issued", collect.lines[-1])
    (said,) = collect.complaints
    assert said.startswith("PASSERBY_COLLECTOR_URL is set: events go to the collector at http://127.0.0.1:")


@pytest.mark.parametrize(("program", "code"), [("raise SystemExit(3)", 3), ("", 0)])
def test_collect_ends_with_the_app_and_its_exit_code(program: str, code: int) -> None:
    with running("collect", "--port", "0", "--", sys.executable, "-c", program) as collect:
        assert collect.wait() == code
    assert collect.lines[-1] == "0 events accepted, 0 refused, 0 browser IDs issued"


def test_an_app_that_cannot_be_started_is_named_in_one_line() -> None:
    with running("collect", "--port", "0", "--", "./missing") as collect:
        assert collect.wait() == 1
    assert collect.complaints == ["passerby collect: cannot start ./missing (No such file or directory)"]


def test_only_collect_and_worker_run_an_app(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["demo", "--", "flask", "run"])
    assert end.value.code == 2
    assert "which collect and worker accept" in capsys.readouterr().err


ASKING = """
import signal, time
print("hello", input("name? "), flush=True)
interrupts = []
signal.signal(signal.SIGINT, lambda *args: interrupts.append(1))
print("ready", flush=True)
while not interrupts:
    time.sleep(0.02)
time.sleep(0.3)
print("interrupts", len(interrupts), flush=True)
"""


# Runs a command in a session of its own, whose terminal its standard input is.
TAKE_TERMINAL = """
import fcntl, os, sys, termios
os.setsid()
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""


def test_on_a_terminal_an_app_may_ask_and_is_interrupted_once() -> None:
    master, terminal = pty.openpty()
    command = [sys.executable, "-m", "passerby.cli.main", "collect", "--port", "0", "--", sys.executable, "-c", ASKING]
    process = subprocess.Popen(
        [sys.executable, "-c", TAKE_TERMINAL, *command], stdin=terminal, stdout=terminal, stderr=terminal
    )
    os.close(terminal)
    seen = b""

    def read_until(words: bytes) -> None:
        nonlocal seen
        while words not in seen:
            assert select.select([master], [], [], 30.0)[0], seen
            seen += os.read(master, 4096)

    read_until(b"name? ")
    os.write(master, b"Ada\n")
    read_until(b"ready")
    os.write(master, b"\x03")
    read_until(b"0 browser IDs issued")
    assert process.wait(30) == 0
    assert b"hello Ada" in seen
    assert b"interrupts 1" in seen
    os.close(master)
