"""What the store on disk survives: damage, special files, several workers, a full volume.

Only what users have is used: `Tracking`, the `passerby outbox` commands, the directory, and a service.
"""

from __future__ import annotations

import os
import random
import re
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from passerby import Sitecore, Tracking
from passerby.collector import CollectorServer
from tests.making import KEY, PATIENCE, dropped, eventually, let_go

as_root = pytest.mark.skipif(os.getuid() != 0, reason="only root can make this")

ROOT = Path(__file__).parents[2]
NUMBER = 300
FILLS = 8_000  # events that fill the volume of a test
LONG = 900  # letters of each event, so that most of what is in the files is event data
SETTLED = 1.0  # seconds without anything that waits, after which nothing more is found
HANGS = 20.0  # seconds after which a command hangs; it takes about one

WORKER = """
import os, sys, time
from passerby import Sitecore, Tracking
sitecore = Sitecore(client_key="key", target_url=sys.argv[1], point_of_sale="shop")
tracking = Tracking(
    sitecore, secret_key="a long key", outbox="sqlite://" + sys.argv[2], browser_id_pool_size=0,
    retry_base=0.1, retry_cap=0.2, store_timeout=None,
)
for line in sys.stdin:
    visitor, number, text = line.split()
    tracking.for_visitor(visitor).event("STEP", {"number": int(number), "text": text})
    print(number, tracking.stats().unstored, tracking.stats().outbox, flush=True)
"""


@pytest.fixture
def collector() -> Iterator[CollectorServer]:
    with CollectorServer(accept_any_browser_id=True) as server:
        yield server


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "outbox"


class Workers:
    """Processes of one app that share a directory."""

    def __init__(self, url: str, directory: Path) -> None:
        self._command = [sys.executable, "-c", WORKER, url, str(directory)]
        self.processes: list[subprocess.Popen[str]] = []

    def begin(self) -> subprocess.Popen[str]:
        pipe: Any = subprocess.PIPE
        process = subprocess.Popen(self._command, cwd=ROOT, env=_outside(), stdin=pipe, stdout=pipe, text=True)
        self.processes.append(process)
        return process

    def record(self, process: subprocess.Popen[str], number: int, who: int = 0, text: str = "x") -> str:
        """Record an event; return what the process says then."""
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(f"{visitor(who)} {number} {text}\n")
        process.stdin.flush()
        return process.stdout.readline()

    def kill(self) -> None:
        for process in self.processes:
            process.send_signal(signal.SIGKILL)
            process.communicate()


@pytest.fixture
def workers(collector: CollectorServer, directory: Path) -> Iterator[Workers]:
    workers = Workers(collector.url, directory)
    yield workers
    workers.kill()


def visitor(number: int) -> str:
    return f"0dd0ee8f-51e0-4a2e-a5a9-{number:012}"


def text_of(number: int) -> str:
    return random.Random(number).choice("abcdefgh") * LONG


def make_tracking(collector: CollectorServer, directory: Path) -> Tracking:
    sitecore = Sitecore(client_key="key", target_url=collector.url, point_of_sale="shop")
    return Tracking(
        sitecore, secret_key=KEY, outbox=f"sqlite://{directory}", browser_id_pool_size=0, retry_base=0.02, retry_cap=0.1
    )


def leave_events(collector: CollectorServer, directory: Path) -> None:
    """Leave events behind that could not be delivered, each of its own visitor."""
    collector.fail("events")
    tracking = make_tracking(collector, directory)
    for number in range(NUMBER):
        tracking.for_visitor(visitor(number)).event("STEP", {"number": number, "text": text_of(number)})
    tracking.close(0.0)
    let_go(tracking)
    collector.clear_faults()
    collector.clear()


def deliver(collector: CollectorServer, directory: Path, timeout: float = 30.0) -> Tracking:
    """Begin the next process, as it were, and give it some time."""
    tracking = make_tracking(collector, directory)
    tracking.start()
    until, since = time.monotonic() + timeout, None
    while (now := time.monotonic()) < until and (since is None or now < since + SETTLED):
        tracking.flush(0.1)  # ends the ramp-up
        time.sleep(0.05)
        is_salvaging = any(directory.rglob("*.corrupt-*"))
        waits = is_salvaging or any(each.pending for each in tracking.stats().destinations.values())
        since = None if waits else since or now
    let_go(tracking)
    return tracking


def delivered(collector: CollectorServer) -> set[int]:
    """Return the numbers of the events that arrived as they were recorded."""
    return {event["number"] for event in collector.events if _is_genuine(event)}


def altered(collector: CollectorServer) -> list[Any]:
    return [event for event in collector.events if not _is_genuine(event)]


def main_file(directory: Path) -> Path:
    """The largest file with events."""
    sizes: dict[Path, int] = {}
    for path in directory.rglob("*"):
        with suppress(FileNotFoundError):  # the log is moved into the file by the last one who closes it
            if path.is_file() and b"STEP" in (content := path.read_bytes()):
                sizes[path] = len(content)
    return max(sizes, key=lambda path: sizes[path])


def command(directory: Path, verb: str, collector: CollectorServer, timeout: float = PATIENCE) -> tuple[int, str]:
    """Run a command in a process of its own; one that hangs is an error."""
    settings = {
        "PASSERBY_SITECORE_CLIENT_KEY": "key",
        "PASSERBY_SITECORE_POINT_OF_SALE": "shop",
        "PASSERBY_SITECORE_TARGET_URL": collector.url,
    }
    words = ["doctor"] if verb == "doctor" else ["outbox", verb]
    answer = subprocess.run(
        [sys.executable, "-m", "passerby.cli.main", *words, "--outbox", str(directory)],
        cwd=ROOT, env=_outside() | settings, check=False, capture_output=True, text=True, timeout=timeout,
    )  # fmt: skip
    return answer.returncode, answer.stdout + answer.stderr


# Stored data is not believed.


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_nothing_altered_is_delivered(collector: CollectorServer, directory: Path, seed: int) -> None:
    """120 places of the file are changed; what is there was not recorded, and what is elsewhere is delivered."""
    leave_events(collector, directory)
    path, chance = main_file(directory), random.Random(seed)
    content = bytearray(path.read_bytes())
    for _ in range(120):
        content[chance.randrange(8_192, len(content))] ^= 1 << chance.randrange(8)
    path.write_bytes(content)

    tracking = deliver(collector, directory)

    assert altered(collector) == []
    assert len(delivered(collector)) >= NUMBER - 120
    (account,) = tracking.stats().destinations.values()
    assert account.is_balanced


def test_what_salvage_cannot_read_is_said(
    collector: CollectorServer, directory: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """How many events were on damaged pages is unknown; how many pages there were, the log says."""
    leave_events(collector, directory)
    path, chance = main_file(directory), random.Random(1)
    content = bytearray(path.read_bytes())
    for _ in range(120):
        content[chance.randrange(8_192, len(content))] ^= 1 << chance.randrange(8)
    path.write_bytes(content)

    tracking = deliver(collector, directory)

    lost = NUMBER - len(delivered(collector))
    pages = sum(map(int, re.findall(r"; (\d+) of its pages could not be read in full", caplog.text)))
    rows = dropped(tracking).get("damaged", 0)  # those that could be read, but are not as they were written
    assert 0 < lost <= rows + 2 * pages  # of such events, a page has two at most


def test_one_damaged_row_does_not_keep_the_others_from_being_delivered(
    collector: CollectorServer, directory: Path
) -> None:
    leave_events(collector, directory)
    path = main_file(directory)
    content = path.read_bytes()
    places = [place for place in range(len(content)) if content.startswith(b"sitecore", place)]
    place = places[len(places) // 2]
    path.write_bytes(content[:place] + b"sitecorf" + content[place + 8 :])

    code, words = command(directory, "flush", collector)

    assert len(delivered(collector)) == NUMBER - 1
    assert code == 3
    assert words


# What is whole is found again.


@pytest.mark.parametrize("place", [0, *range(16, 25), 28, 32, 40, 44, 47, 56, 60, 68, 96])
def test_a_damaged_header(collector: CollectorServer, directory: Path, place: int) -> None:
    leave_events(collector, directory)
    path = main_file(directory)
    content = bytearray(path.read_bytes())
    content[place] ^= 0x55
    path.write_bytes(content)

    deliver(collector, directory)

    assert len(delivered(collector)) == NUMBER


@pytest.mark.parametrize("part", [0.5, 0.75, 0.9])
def test_a_file_that_was_cut_off(collector: CollectorServer, directory: Path, part: float) -> None:
    leave_events(collector, directory)
    path = main_file(directory)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * part)])

    deliver(collector, directory)

    assert len(delivered(collector)) >= (part - 0.1) * NUMBER
    assert altered(collector) == []


@pytest.mark.parametrize("part", [0.2, 0.5, 0.8])
def test_a_damaged_log(collector: CollectorServer, directory: Path, workers: Workers, part: float) -> None:
    """Of the log beside a file, a place is damaged after a kill: what is before it is delivered, as it was."""
    collector.fail("events")
    worker = workers.begin()
    for number in range(100):
        workers.record(worker, number, number, text_of(number))
    workers.kill()
    (log,) = [path for path in directory.rglob("*-wal") if path.stat().st_size > 100_000]
    content = bytearray(log.read_bytes())
    place = int(len(content) * part)
    content[place : place + 64] = b"\xa5" * 64
    log.write_bytes(content)
    collector.clear_faults()
    collector.clear()

    deliver(collector, directory, 60.0)  # the killed process may have had the breaker's probe

    found = delivered(collector)
    assert found == set(range(len(found)))
    assert len(found) >= part * 100 - 10
    assert altered(collector) == []


# Order over processes.


def test_one_visitors_order_over_three_workers(collector: CollectorServer, workers: Workers) -> None:
    """The service refuses the first event for a second; those that others record meanwhile come behind it."""
    three = [workers.begin() for _ in range(3)]
    for number, worker in enumerate(three):  # each has its file by then
        workers.record(worker, 1_000 + number, 1 + number)
    collector.wait_for_events(3, PATIENCE)
    collector.clear()
    for begin in (0, 6):
        collector.fail("events", 1, headers={"retry-after": "1"})
        workers.record(three[0], begin)
        eventually(lambda: collector.counts["requests"] > 0)
        for number in range(begin + 1, begin + 6):
            workers.record(three[number % 3], number)
        collector.wait_for_events(begin + 6, PATIENCE)

    assert list(dict.fromkeys(event["number"] for event in collector.events)) == list(range(12))


# Special files.


def put_in_place(path: Path, kind: str, elsewhere: Path) -> None:
    path.unlink(missing_ok=True)
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "link":
        path.symlink_to(elsewhere)
    elif kind == "device":
        os.mknod(path, stat.S_IFCHR | 0o600, os.makedev(1, 5))  # /dev/zero, which has no end
    else:
        path.mkdir()


@pytest.mark.parametrize(
    "kind",
    [
        "fifo",
        "link",
        pytest.param("device", marks=as_root),
        "directory",
    ],
)
@pytest.mark.parametrize("verb", ["ls", "verify", "export", "flush", "doctor"])
def test_a_special_file_in_place_of_ours(
    collector: CollectorServer, directory: Path, tmp_path: Path, kind: str, verb: str
) -> None:
    leave_events(collector, directory)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.touch()
    put_in_place(main_file(directory), kind, elsewhere)

    code, words = command(directory, verb, collector, HANGS if kind == "fifo" else PATIENCE)

    assert code in (1, 3)
    assert words
    assert "Traceback" not in words
    assert elsewhere.read_bytes() == b""


@pytest.mark.parametrize("kind", ["fifo", "link", pytest.param("device", marks=as_root), "directory"])
def test_a_special_file_does_not_hold_up_a_process(
    collector: CollectorServer, directory: Path, tmp_path: Path, workers: Workers, kind: str
) -> None:
    """The process says what it found, its events wait in the buffer, and are delivered once the file is gone."""
    leave_events(collector, directory)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.touch()
    path = main_file(directory)
    put_in_place(path, kind, elsewhere)

    said = workers.record(workers.begin(), 1)
    assert said.split()[:2] == ["1", "1"]
    assert "is no regular file" in said
    assert elsewhere.read_bytes() == b""
    if kind == "directory":
        path.rmdir()
    else:
        path.unlink()
    collector.wait_for_events(1, PATIENCE)
    assert [event["number"] for event in collector.events] == [1]


def test_files_are_in_a_directory_that_is_this_users_alone(collector: CollectorServer, directory: Path) -> None:
    """The directory that is named may be the group's, as volumes of Kubernetes are."""
    directory.mkdir()
    directory.chmod(0o770)
    leave_events(collector, directory)

    parents = {path.parent for path in directory.rglob("*") if path.is_file()}
    assert parents
    assert all(stat.S_IMODE(parent.stat().st_mode) == 0o700 for parent in parents)


@as_root
def test_files_of_another_user_are_refused(collector: CollectorServer, directory: Path) -> None:
    leave_events(collector, directory)
    main_file(directory).chmod(0o666)
    os.chown(main_file(directory), 65534, 65534)

    code, words = command(directory, "flush", collector)

    assert collector.events == []
    assert code in (1, 3)
    assert words
    assert main_file(directory).stat().st_uid == 65534


# A full volume.


@as_root
def test_what_filled_a_volume_is_delivered_in_place(
    collector: CollectorServer, directory: Path, workers: Workers
) -> None:
    directory.mkdir(mode=0o700)
    mount = ["mount", "-t", "tmpfs", "-o", "size=5m,mode=0700", "tmpfs", str(directory)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("no file system can be mounted here")
    try:
        collector.fail("events")
        worker = workers.begin()
        stored = 0
        for number in range(FILLS):
            _, unstored, state, *_ = workers.record(worker, number, number, text_of(number)).split()
            if state != "ok":
                break
            stored += unstored == "0"
        assert 50 < stored < FILLS
        workers.kill()
        collector.clear_faults()
        collector.clear()

        deliver(collector, directory, 60.0)  # the killed process may have had the breaker's probe

        assert len(delivered(collector)) >= stored - 1
    finally:
        with suppress(OSError):
            subprocess.run(["umount", "-l", str(directory)], check=False)


def _is_genuine(event: Any) -> bool:
    number = event.get("number")
    return isinstance(number, int) and event.get("text") == text_of(number) and event["browser_id"] == visitor(number)


def _outside() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "PASSERBY"))}
