"""U24: of two destinations one is away for an hour, by a clock that goes fast; the other must not notice."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from passerby.collector import CollectedRequest, CollectorServer

from ..finding import Finding
from ..process import Process, victim
from ..scene import Trial

HOUR = 3600.0
SECONDS, SECONDS_LONG = 4.0, 40.0  # in which the hour passes
AROUND = 2.0  # seconds before it, and after it
RATE = 100  # events a second
# The lag of an event is some milliseconds on an idle machine. An event that waited for the dead destination
# would wait for the rest of the hour.
SLOWER, LEAST = 2.0, 0.02  # times the median from before, and seconds that it may take in any case

CASES = (
    ("customerio", "sitecore"),  # the one that is away gets batches, the other one event in each call
    ("sitecore", "datalyr"),
)


def two_destinations(trial: Trial) -> Iterator[Finding]:
    """Let one of two destinations be away, and come back."""
    for dead, alive in CASES:
        for outbox in ("memory", "sqlite"):
            yield _hour(dead, alive, outbox, SECONDS_LONG if trial.is_long else SECONDS)


class Arrived(NamedTuple):
    """One event at a destination."""

    event_id: str
    visitor: str
    number: int
    time: float


class Arrivals:
    """What arrives at one destination, of whichever kind, in order of arrival."""

    def __init__(self) -> None:
        self.all: list[Arrived] = []

    def on_received(self, received: CollectedRequest) -> None:
        if received.accepted:
            event = received.event
            for message in received.messages if event is None else [event]:
                self.all.append(_read(message, received.time))

    def wait_for(self, recorded: set[str], patience: float) -> None:
        """Wait until all of these have arrived, or patience has come to its end."""
        gives_up = time.monotonic() + patience
        while not recorded <= {one.event_id for one in list(self.all)} and time.monotonic() < gives_up:
            time.sleep(0.02)

    @property
    def is_in_order(self) -> bool:
        """Whether the events of each visitor have come in the order in which they were recorded."""
        latest: dict[str, int] = {}
        for one in self.all:
            if one.number <= latest.get(one.visitor, -1):
                return False
            latest[one.visitor] = one.number
        return True


def _read(message: dict[str, Any], moment: float) -> Arrived:
    data = message.get("properties", message)
    visitor = next(message[name] for name in ("browser_id", "anonymousId", "anonymous_id") if name in message)
    return Arrived(data["recorded"], visitor, data["number"], moment)


def _hour(dead: str, alive: str, outbox: str, seconds: float) -> Finding:
    factor = HOUR / seconds
    lasting = seconds + 2 * AROUND
    arrivals = {name: Arrivals() for name in ("dead", "alive")}
    with ExitStack() as stack:
        collectors = {
            name: stack.enter_context(CollectorServer(accept_any_browser_id=True, on_received=one.on_received))
            for name, one in arrivals.items()
        }
        directory = stack.enter_context(tempfile.TemporaryDirectory(prefix="passerby-chaos-"))
        process = stack.enter_context(
            victim(
                "record_for_two",
                clock=f"fast:{factor}",
                urls={name: one.url for name, one in collectors.items()},
                kinds={"dead": dead, "alive": alive},
                outbox="memory" if outbox == "memory" else f"sqlite://{Path(directory) / 'outbox'}",
                number=int(RATE * lasting),
                seconds=lasting,
                # A call may take what is half a second by the clock on the wall.
                settings={"retry_base": 1.0, "request_timeout": factor / 2, "browser_id_pool_size": 0},
            )
        )
        begun = time.monotonic()
        process.wait_for("ready")
        time.sleep(AROUND)
        collectors["dead"].stop()
        stopped = time.time()
        time.sleep(seconds)
        before_return = dict(_ledgers(process))
        started = time.time()
        collectors["dead"].start()
        process.wait_for("done", lasting + 30.0)
        recorded = {words[1]: float(words[2]) for words in map(str.split, process.lines) if words[0] == "recorded"}
        arrivals["dead"].wait_for(set(recorded), 30.0)
        process.say()
        process.wait_for("closed", 60.0)
        finding = _settle(f"U24 {dead} away for an hour beside {alive}, {outbox}", recorded, arrivals)
        finding.seconds = time.monotonic() - begun
        _check_ledgers(finding, process, before_return, len(recorded))
        _check_lag(finding, recorded, arrivals["alive"], stopped, started)
        finding.expect(process.traceback is None, f"traceback: {process.traceback}")
        return finding


def _settle(name: str, recorded: dict[str, float], arrivals: dict[str, Arrivals]) -> Finding:
    by_place = {place: [one.event_id for one in list(here.all)] for place, here in arrivals.items()}
    everywhere = set.intersection(*map(set, by_place.values()))
    finding = Finding(
        name,
        f"{len(recorded):,} events, to each of the two",
        recorded=len(recorded),
        delivered=len(everywhere),
        duplicated=sum(len(ids) - len(set(ids)) for ids in by_place.values()),
        lost=len(recorded.keys() - everywhere),
    )
    finding.expect(not finding.lost, f"{finding.lost} lost")
    finding.expect(not finding.duplicated, f"{finding.duplicated} duplicates where none were to be expected")
    for place, here in arrivals.items():
        finding.expect(here.is_in_order, f"the {place} one got a visitor's events in another order")
    return finding


def _ledgers(process: Process) -> Iterator[tuple[str, dict[str, Any]]]:
    """Give all figures that were said so far, with the name of their destination."""
    for line in list(process.lines):
        if line.startswith("ledger "):
            _, name, figures = line.split(" ", 2)
            yield name, json.loads(figures)


def _check_ledgers(finding: Finding, process: Process, before_return: dict[str, dict[str, Any]], recorded: int) -> None:
    said = list(_ledgers(process))
    wrong = [figures for _, figures in said if not figures["is_balanced"]]
    finding.expect(not wrong, f"a ledger did not add up: {wrong[:1]}")
    waiting = before_return["dead"]["pending"]
    finding.notes.append(
        f"{waiting:,} waited for the dead one at the end of the hour, breaker {before_return['dead']['breaker']}"
    )
    finding.expect(waiting > 0 and before_return["dead"]["breaker"] != "closed", "the dead one was not away")
    finding.expect(before_return["alive"]["retries"] == 0, "the living one was tried again")
    for name, figures in dict(said).items():
        expected = {"recorded": recorded, "delivered": recorded, "pending": 0, "dead": 0, "dropped": {}}
        found = {name: figures[name] for name in expected}
        finding.expect(found == expected, f"the ledger of the {name} one says {found}")


def _check_lag(
    finding: Finding, recorded: dict[str, float], arrivals: Arrivals, stopped: float, started: float
) -> None:
    lags: dict[str, list[float]] = {"before": [], "during": []}
    for one in arrivals.all:
        moment = recorded[one.event_id]
        if moment < started:
            lags["before" if moment < stopped else "during"].append(one.time - moment)
    before, during = map(median, (lags["before"], lags["during"]))
    finding.notes.append(
        f"lag of the living one: median {before * 1000:.1f} ms before and {during * 1000:.1f} ms during, "
        f"of 99 in a hundred at most {_most(lags['before']) * 1000:.0f} and {_most(lags['during']) * 1000:.0f} ms"
    )
    finding.expect(during <= max(LEAST, SLOWER * before), "the living one has lagged behind")


def _most(lags: Sequence[float]) -> float:
    return sorted(lags)[int(len(lags) * 0.99)]
