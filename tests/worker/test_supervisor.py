"""`passerby worker -- COMMAND`: an app and its worker, which end together."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from passerby.cli.worker.supervisor import FORWARDED
from tests.making import eventually
from tests.running import PASSERBY, PATIENCE, Running, in_a_group, running

from .conftest import SHOP, Record
from .receiver import Receiver
from .recording import count_waiting

RECORD = "from tests.worker.shop import record; record('last')\n"
# Prints each signal; ends by itself with 5 after SIGTERM.
LISTENER = f"""
import signal, sys, time
def note(number, frame):
    print("signal", number, flush=True)
    if number == signal.SIGTERM:
        sys.exit(5)
for number in {[int(each) for each in FORWARDED]}:
    signal.signal(number, note)
print("listening", flush=True)
while True:
    time.sleep(60)
"""


def python(code: str) -> list[str]:
    return ["--", sys.executable, "-c", code]


def children_of(process: int) -> list[int]:
    with suppress(OSError):
        return list(map(int, Path(f"/proc/{process}/task/{process}/children").read_text().split()))
    return []


def worker_of(supervisor: int) -> int:
    """Wait for the worker, which loads the app in a process of its own."""
    found: list[int] = []

    def look() -> list[int]:
        found[:] = [each for each in children_of(supervisor) if b"--supervised" in command_line(each)]
        return found

    eventually(look)
    return found[0]


def command_line(process: int) -> bytes:
    with suppress(OSError):
        return Path(f"/proc/{process}/cmdline").read_bytes()
    return b""


def is_running(process: int) -> bool:
    with suppress(OSError):
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (RECORD, 0),
        (f"{RECORD}raise SystemExit(7)", 7),
        (f"{RECORD}import os, signal; os.kill(os.getpid(), signal.SIGKILL)", 128 + signal.SIGKILL),
    ],
    ids=["0", "7", "killed"],
)
def test_ends_with_the_command_and_its_exit_code(receiver: Receiver, code: str, expected: int) -> None:
    """What the command has stored is delivered before."""
    with running(*SHOP, *python(code)) as supervisor:
        assert supervisor.wait() == expected
    assert receiver.steps == ["last"]
    assert supervisor.complaints == []


@pytest.mark.parametrize(("command", "code"), [("/nowhere/shop", 127), ("/", 126)])
def test_a_command_that_cannot_be_started(receiver: Receiver, command: str, code: int) -> None:
    with running(*SHOP, "--", command) as supervisor:
        assert supervisor.wait() == code
    assert any(line.startswith(f"passerby worker: cannot start {command} (") for line in supervisor.complaints)


def test_every_signal_goes_to_the_command_once(receiver: Receiver) -> None:
    # What this process ignores, such as SIGHUP under nohup, its children ignore too.
    taken = [number for number in FORWARDED if signal.getsignal(number) is not signal.SIG_IGN]
    with running(*SHOP, *python(LISTENER)) as supervisor:
        supervisor.wait_for("listening")
        for number in sorted(taken, key=lambda number: number == signal.SIGTERM):
            supervisor.process.send_signal(number)
            supervisor.wait_for(f"signal {int(number)}$")
        assert supervisor.wait() == 5
    assert len([line for line in supervisor.lines if line.startswith("signal")]) == len(taken)


def test_a_key_reaches_the_command_once(receiver: Receiver) -> None:
    """The terminal sends Ctrl-C to the whole group, so it is not forwarded."""
    with on_a_terminal(*SHOP, *python(LISTENER)) as (process, terminal):
        output = b""
        while b"listening" not in output:
            output += os.read(terminal, 1000)
        os.write(terminal, b"\x03")
        while b"signal 2" not in output:
            output += os.read(terminal, 1000)
        os.kill(process, signal.SIGTERM)  # which comes behind SIGINT
        while b"signal 15" not in output:
            output += os.read(terminal, 1000)
        assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == 5
    assert output.count(b"signal 2") == 1


@contextmanager
def on_a_terminal(*arguments: str) -> Iterator[tuple[int, int]]:
    """Run a command on a terminal of its own."""
    line = [sys.executable, "-m", "passerby.cli.main", *arguments]
    process, terminal = pty.fork()
    if process == 0:
        os.execv(line[0], line)
    try:
        yield process, terminal
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process, signal.SIGKILL)
        os.close(terminal)


LATE = f"""
import signal, sys
def end(number, frame):
    with open(sys.argv[1]) as gate:  # a FIFO
        gate.read()
    {RECORD.strip()}
    sys.exit(3)
signal.signal(signal.SIGTERM, end)
print("listening", flush=True)
while True:
    signal.pause()
"""


def test_the_worker_outlives_a_signal_to_the_whole_group(receiver: Receiver, store: Record, tmp_path: Path) -> None:
    """As systemd sends it, and a Procfile's runner: what is recorded while the app ends is delivered."""
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    with in_a_group(*SHOP, *python(LATE), str(gate)) as supervisor:
        supervisor.wait_for("listening")
        worker = worker_of(supervisor.process.pid)
        for _ in range(2):
            os.killpg(supervisor.process.pid, signal.SIGTERM)
        gate_opens = threading.Thread(target=gate.write_text, args=("",))
        store("meanwhile")
        receiver.wait_for("meanwhile")
        assert is_running(worker)
        gate_opens.start()
        assert supervisor.wait() == 3
        gate_opens.join()
    assert receiver.steps == ["meanwhile", "last"]
    assert supervisor.complaints == []


def test_a_worker_that_is_killed_is_started_again(receiver: Receiver, store: Record) -> None:
    with running(*SHOP, *python(LISTENER)) as supervisor:
        supervisor.wait_for("listening")
        first = worker_of(supervisor.process.pid)
        (app,) = set(children_of(supervisor.process.pid)) - {first}
        os.kill(first, signal.SIGKILL)
        store("after")
        receiver.wait_for("after")
        assert first not in children_of(supervisor.process.pid)
        assert is_running(app)
        assert supervisor.end(signal.SIGTERM) == 5
    assert supervisor.complaints == [
        "passerby worker: the worker has ended (signal 9); it starts again in 1 s, the app goes on"
    ]


def test_a_worker_ends_by_itself_when_the_supervisor_is_killed(receiver: Receiver) -> None:
    with in_a_group(*SHOP, *python(LISTENER)) as supervisor:
        supervisor.wait_for("listening")
        worker = worker_of(supervisor.process.pid)
        supervisor.process.kill()
        eventually(lambda: not is_running(worker))


def test_what_cannot_be_delivered_in_time_is_left(
    receiver: Receiver, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The app's `close_timeout` bounds it."""
    monkeypatch.setenv("SHOP_CLOSE_TIMEOUT", "0.2")
    receiver.is_open.clear()
    with running(*SHOP, *python(RECORD)) as supervisor:
        assert supervisor.wait() == 0
    assert count_waiting(directory, receiver.url) == 1
    assert supervisor.complaints == []


def test_a_signal_after_the_command_has_ended_ends_the_worker_at_once(receiver: Receiver, directory: Path) -> None:
    receiver.is_open.clear()
    with running(*SHOP, *python(f"{RECORD}raise SystemExit(7)")) as supervisor:
        eventually(lambda: receiver.begun)
        eventually(lambda: len(children_of(supervisor.process.pid)) == 1)
        assert supervisor.end(signal.SIGTERM) == 7
    assert count_waiting(directory, receiver.url) == 1


def test_a_worker_that_hangs_is_killed(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_CLOSE_TIMEOUT", "0")
    with running(*SHOP, *python(LISTENER)) as supervisor:
        supervisor.wait_for("listening")
        os.kill(worker_of(supervisor.process.pid), signal.SIGSTOP)
        assert supervisor.end(signal.SIGTERM) == 5
    assert supervisor.complaints == [
        "passerby worker: the worker does not end; it is killed, and what it was sending is sent again later"
    ]


def test_a_worker_that_refuses_its_settings_keeps_the_command_from_starting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PASSERBY_SECRET_KEY", "a secret key that signs")
    mark = tmp_path / "started"
    with running("worker", *python(f"open({str(mark)!r}, 'w')")) as supervisor:
        assert supervisor.wait() == 2
    (said,) = supervisor.complaints
    assert said.startswith("passerby worker: found an outbox in memory, which no other process can see")
    assert not mark.exists()


ORPHANS = f"""
import os, sys, time
assert os.getppid() == 1
reading, writing = os.pipe()
if os.fork() == 0:
    if os.fork() == 0:
        while os.getppid() != 1:
            time.sleep(0.01)
        os.write(writing, str(os.getpid()).encode())
    os._exit(0)
os.wait()
orphan = os.read(reading, 10).decode()
while os.path.exists("/proc/" + orphan):  # a zombie that is not reaped is there
    time.sleep(0.01)
{RECORD}
"""


UNSHARE = ("unshare", "--pid", "--fork", "--kill-child", "--mount-proc")


@pytest.fixture
def namespace() -> tuple[str, ...]:
    """Runs a program as the first process of a PID namespace."""
    tried = subprocess.run([*UNSHARE, "true"], check=False, capture_output=True, timeout=PATIENCE)
    if tried.returncode:
        pytest.skip("namespaces cannot be made: run the tests as root")
    return (*UNSHARE, *PASSERBY)


@pytest.mark.engines("unshare")
def test_reaps_orphans_as_the_first_process_of_a_container(receiver: Receiver, namespace: tuple[str, ...]) -> None:
    supervisor = Running(*SHOP, *python(f"{ORPHANS}sys.exit(9)"), program=namespace)
    assert supervisor.wait() == 9
    assert receiver.steps == ["last"]
    assert supervisor.complaints == []


@pytest.mark.engines("unshare")
def test_signals_reach_the_command_through_the_first_process_of_a_container(
    receiver: Receiver, namespace: tuple[str, ...]
) -> None:
    supervisor = Running(*SHOP, *python(LISTENER), program=namespace)
    supervisor.wait_for("listening")
    (first,) = children_of(supervisor.process.pid)
    os.kill(first, signal.SIGTERM)
    assert supervisor.wait() == 5
    assert supervisor.complaints == []
