"""The scene of a scenario: a destination, a directory for the outbox, and the processes to which things happen."""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from random import Random
from typing import Any

from passerby.collector import CollectorServer

from .arrivals import Arrivals
from .finding import Finding
from .process import STORE, Process, victim

PAST_LEASE = 40  # seconds, more than a claim lasts
WAY_OUT = 60.0  # seconds until everything that was recorded has to have arrived, once there is a process and a service


class Trial:
    """How a scenario is to be tried.

    Attributes:
        name: the scenario's.
        random: its own source of chance, from the seed that is printed.
        seed: the same as a number, for what wants one.
        is_long: whether the long form is wanted.
        minutes: how long processes that share a file are to be killed, if that is said.
        is_root: whether file systems can be mounted and users changed.
    """

    def __init__(self, name: str, seed: int, is_long: bool, minutes: float = 0.0) -> None:
        self.name = name
        self.random = Random(f"{seed} {name}")
        self.seed = seed
        self.is_long = is_long
        self.minutes = minutes
        self.is_root = os.getuid() == 0


class Scene:
    """See above.

    Attributes:
        directory: the outbox's directory, not there yet.
        collector: the destination.
        arrivals: what has arrived there.
        recorded: the IDs of the events whose delivery was promised.
        complaints: what went wrong in processes that have ended.
        tolerated: what an error may say that is written to the log with its traceback; None if none may.
        ledger: the figures of the last process, once it has finished.
        store: the hooks into the stores of the processes; see `chaos.hooks`.
        until_its_end: what is to be there as long as the scene.
    """

    def __init__(self, directory: Path, collector: CollectorServer, arrivals: Arrivals) -> None:
        self.directory = directory
        self.collector = collector
        self.arrivals = arrivals
        self.recorded: set[str] = set()
        self.complaints: list[str] = []
        self.tolerated: str | None = None
        self.ledger: dict[str, Any] = {}
        self.until_its_end = ExitStack()
        self._clock = directory.with_name("clock")
        self._clock.touch()
        self.store: dict[str, Any] = {"clock": str(self._clock)}
        self._processes: list[Process] = []
        self._begun = time.monotonic()

    @property
    def place(self) -> dict[str, str]:
        """The arguments by which a victim knows the scene."""
        return {"url": self.collector.url, "directory": str(self.directory)}

    @property
    def database(self) -> Path:
        """The file that the processes of the scene share."""
        return self.directory / "passerby-store" / "events.sqlite3"

    def begin(self, action: str, *, clock: str | None = None, within: Sequence[str] = (), **arguments: Any) -> Process:
        """Begin an action of `chaos.victim` in this scene, by a clock or in a command of its own if one is given."""
        return self.keep(victim(action, clock=clock, within=within, store=self.store, **self.place, **arguments))

    def pass_time(self, seconds: int = PAST_LEASE) -> None:
        """Set the stores' clock forward, so that all claims end."""
        os.truncate(self._clock, self._clock.stat().st_size + seconds)

    def begin_site(self, *command: str, **site: Any) -> Process:
        """Begin a server of `chaos.site` in this scene, with more of the site's description if that is given."""
        described = json.dumps({**self.place, **site})
        environment = {"CHAOS_SITE": described, STORE: json.dumps(self.store)}
        return self.keep(Process([sys.executable, "-m", *command], environment))

    def keep(self, process: Process) -> Process:
        """See to the end of a process."""
        self._processes.append(process)
        return process

    def hear(self, process: Process) -> None:
        """Note what a process that has ended was promised, and whether it complained."""
        self.recorded.update(process.recorded)
        if process.traceback is not None and (self.tolerated is None or self.tolerated not in process.traceback):
            self.complaints.append(f"traceback: {process.traceback}")

    def bring_back(self, patience: float = 10.0) -> None:
        """Start the destination again. Raises OSError if that cannot be.

        A process that is just being begun, by another scenario, may have its old port for a moment longer.
        """
        gives_up = time.monotonic() + patience
        while True:
            try:
                self.collector.start()
                return
            except OSError:
                if time.monotonic() > gives_up:
                    raise
                time.sleep(0.02)

    def kill(self, process: Process) -> None:
        """Kill a process at once, and hear what it said."""
        process.kill()
        self.hear(process)

    def finish(self, patience: float = WAY_OUT, clock: str | None = None, **settings: Any) -> None:
        """Begin a process as after a restart, later: it finds what is left, delivers it, and says its figures."""
        self.pass_time()
        process = self.begin("finish", clock=clock, settings=settings)
        process.wait_for("ready")
        self.arrivals.wait_for(self.recorded, patience)
        process.say()
        self.ledger = process.wait_for_ledger()
        process.wait()
        self.hear(process)

    def finding(self, name: str, done: str, duplicates: int = 0, dropped: Mapping[str, int] | None = None) -> Finding:
        """Settle the account: what was recorded against what arrived, event by event.

        Args:
            duplicates: how many arrivals beyond the first are allowed.
            dropped: what of those recorded was dropped, as its own process said; such events are not lost but counted.
        """
        arrived = self.arrivals.bodies
        dropped = dropped or {}
        missing = self.recorded - arrived.keys()
        finding = Finding(
            name,
            done,
            recorded=len(self.recorded),
            delivered=len(arrived),
            duplicated=sum(map(len, arrived.values())) - len(arrived),
            lost=max(0, len(missing) - sum(dropped.values())),
            dropped=dropped,
            seconds=time.monotonic() - self._begun,
        )
        finding.expect(not finding.lost, f"{finding.lost} lost, such as {min(missing, default='none')}")
        finding.expect(
            finding.duplicated <= duplicates, f"{finding.duplicated} duplicates where {duplicates} were to be expected"
        )
        finding.expect(not self.arrivals.differing, f"{len(self.arrivals.differing)} came again with another body")
        finding.faults += sorted(set(self.complaints))
        self._check_ledger(finding)
        return finding

    def _check_ledger(self, finding: Finding) -> None:
        if not self.ledger:
            return
        finding.expect(self.ledger["is_balanced"], f"the ledger does not add up: {self.ledger}")
        finding.expect(self.ledger["pending"] == 0, f"{self.ledger['pending']} are still pending")
        finding.expect(self.ledger["dead"] == 0, f"{self.ledger['dead']} are dead letters")

    def close(self) -> None:
        for process in self._processes:
            process.kill()
        self.until_its_end.close()


@contextmanager
def scene(within: Path | None = None) -> Iterator[Scene]:
    """Set the scene; in the end nothing of it is left."""
    arrivals = Arrivals()
    with (
        tempfile.TemporaryDirectory(prefix="passerby-chaos-", dir=within) as name,
        CollectorServer(accept_any_browser_id=True, on_received=arrivals.on_received) as collector,
    ):
        Path(name).chmod(0o711)  # other users are to reach what is theirs
        this = Scene(Path(name) / "outbox", collector, arrivals)
        try:
            yield this
        finally:
            this.close()
