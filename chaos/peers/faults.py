"""The faults, each of which every contestant goes through."""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from ..process import PATIENCE, Process
from .child import event_id_of
from .contestants import Contestant
from .recorder import Recorder

OUTAGE = 10.0  # seconds
UNAVAILABLE = 60.0  # seconds, half of them 503 and half 429
RETRY_AFTER = 5  # seconds that are asked for
RECOVERY = 25.0  # seconds after a fault within which events may still arrive
LONGEST_END = 20.0  # seconds; what has not ended by then is killed
RESTARTED = 3.0  # seconds that the program runs once more
BURST = "burst of 20,000"
BURST_SIZE = 20_000
DELAY = 0.01  # seconds that an answer takes when all is well; none in the burst, where nothing is to be in the way


@dataclass
class Row:
    """What became of one contestant in one fault.

    Attributes:
        told: how many calls were made, taken by the client or not.
        lost: of how many of them the event never arrived.
        duplicated: how many arrivals there were beyond the first of each.
        calls: how many milliseconds each call took, the refused ones included.
        end_ms: how long the program took to end, None if it was killed or ended by force.
        end_was_cut: whether it was killed because it did not end.
        said: what the contestant itself reported of events not delivered.
    """

    contestant: Contestant
    fault: str
    told: int = 0
    lost: int = 0
    duplicated: int = 0
    calls: list[float] = field(default_factory=list[float])
    end_ms: float | None = None
    end_was_cut: bool = False
    said: Counter[str] = field(default_factory=Counter[str])

    @property
    def call_p50(self) -> float:
        return median(self.calls) if self.calls else 0.0

    @property
    def call_max(self) -> float:
        return max(self.calls, default=0.0)


class Run:
    """A contestant's program, the service it reports to, and what is known of both."""

    def __init__(self, contestant: Contestant, fault: str, recorder: Recorder, directory: Path) -> None:
        self.row = Row(contestant, fault)
        self.recorder = recorder
        self._directory = directory
        self._told: set[int] = set()
        self._taken = 0
        self._noted = 0

    def begin(self, way: str, number: int = 0, gap: float = 0.0, rest: float = 0.0) -> Process:
        arguments: dict[str, Any] = {
            "contestant": self.row.contestant.name,
            "url": self.recorder.url,
            "directory": str(self._directory),
            "number": number,
            "gap": gap,
            "way": way,
            "rest": rest,
        }
        process = Process([sys.executable, "-W", "ignore", "-m", "chaos.peers.child", json.dumps(arguments)])
        process.wait_for("ready")
        return process

    def end(self, process: Process, longest: float = LONGEST_END) -> None:
        """Wait until a program has ended, and kill it if it does not."""
        begun = time.monotonic()
        try:
            process.wait_for("ending", longest)
            begun = time.monotonic()
            process.wait(longest)
            self.row.end_ms = (time.monotonic() - begun) * 1000
        except RuntimeError:
            self.row.end_was_cut = process.is_running
            process.kill()
        self.note(process)

    def note(self, process: Process) -> None:
        """Read what a program has said since the last time."""
        lines = process.lines[self._noted :]
        self._noted += len(lines)
        for line in lines:
            what, _, rest = line.partition(" ")
            if what in ("told", "refused"):
                number, took = rest.split()
                self.row.calls.append(float(took))
                self._told.add(int(number))
                self._taken += what == "told"
            elif what == "said":
                self.row.said.update(json.loads(rest))

    def start_again(self) -> None:
        """Start the program once more, as a supervisor would. It tells nothing new, and its end is not looked at."""
        again = self.begin("wait")
        self.wait_for_all(RESTARTED)
        again.kill()

    def wait_for_all(self, longest: float) -> None:
        """Wait until all that was taken has arrived, but not for ever."""
        gives_up = time.monotonic() + longest
        while time.monotonic() < gives_up and len(set(self.recorder.arrived)) < self._taken:
            time.sleep(0.05)

    def close(self) -> Row:
        arrived = Counter(self.recorder.arrived)
        self.row.told = len(self._told)
        self.row.lost = len(self._missing())
        self.row.duplicated = arrived.total() - len(arrived)
        return self.row

    def _missing(self) -> set[str]:
        return {event_id_of(number) for number in self._told} - set(self.recorder.arrived)


def kill(run: Run) -> None:
    """The process is killed while it tells."""
    process = run.begin("pause", number=100_000, gap=0.002)
    for _ in range(350):
        process.wait_for("told")
    process.kill()
    run.note(process)
    run.start_again()


def fork(run: Run) -> None:
    """Four workers are forked after the client was made, tell 50 events each and end six seconds later."""
    process = run.begin("fork", number=50, gap=0.01, rest=6.0)
    run.end(process, LONGEST_END)
    run.start_again()


def exit_at_once(run: Run) -> None:
    """The program ends right after the last call."""
    run.end(run.begin("end", number=100))
    run.start_again()


def exit_by_force(run: Run) -> None:
    """The process ends without any ceremony right after the last call."""
    process = run.begin("os._exit", number=100)
    process.wait(PATIENCE * 2)
    run.note(process)
    run.start_again()


def outage(run: Run) -> None:
    """Connections are refused for ten seconds, while twenty events a second are told."""
    process = run.begin("wait", number=int(20 * (OUTAGE + 2)), gap=0.05)
    time.sleep(1.0)
    run.recorder.refuse()
    time.sleep(OUTAGE)
    run.recorder.behave()
    _recover(run, process)


def unavailable(run: Run) -> None:
    """The service answers 503 and then 429 for a minute, and asks to be left alone for five seconds each time."""
    process = run.begin("wait", number=int(10 * (UNAVAILABLE + 2)), gap=0.1)
    for status in (503, 429):
        run.recorder.fail(status, {"Retry-After": str(RETRY_AFTER)})
        time.sleep(UNAVAILABLE / 2)
    run.recorder.behave()
    _recover(run, process)


def _recover(run: Run, process: Process) -> None:
    """Let everything arrive that still does, and end the program."""
    process.wait_for("waiting", UNAVAILABLE + RECOVERY)
    run.note(process)
    run.wait_for_all(RECOVERY)
    process.say()
    run.end(process)
    run.start_again()


def silence(run: Run) -> None:
    """The service takes requests and never answers; then the program ends. Nothing is to arrive."""
    run.recorder.be_silent()
    run.end(run.begin("end", number=100, gap=0.01), LONGEST_END)
    run.recorder.behave()
    run.start_again()


def burst(run: Run) -> None:
    """Twenty thousand events are told as fast as can be."""
    process = run.begin("wait", number=BURST_SIZE)
    _recover(run, process)


FAULTS: dict[str, Callable[[Run], None]] = {
    "kill -9": kill,
    "exit": exit_at_once,
    "os._exit": exit_by_force,
    BURST: burst,
    "fork after init": fork,
    "outage of 10 s": outage,
    "60 s of 503, 429": unavailable,
    "no answers": silence,
}
# How many contestants go through a fault at once: all of them where everybody mostly waits.
AT_ONCE: dict[str, int] = {"kill -9": 4, "exit": 4, "os._exit": 4, BURST: 2}


@contextmanager
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="passerby-chaos-") as name:
        yield Path(name) / "outbox"


def go_through(contestant: Contestant, fault: str) -> Row:
    """Have a contestant go through a fault."""
    with Recorder(0.0 if fault == BURST else DELAY) as recorder, _folder() as directory:
        run = Run(contestant, fault, recorder, directory)
        FAULTS[fault](run)
        return run.close()
