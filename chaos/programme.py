"""The programme: all scenarios, each tried in a process of its own."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import suppress
from multiprocessing import get_context
from multiprocessing.connection import Connection

from .finding import Finding
from .scenarios import (
    answers,
    beside,
    clocks,
    disk,
    exits,
    forking,
    killing,
    model,
    outage,
    scarcity,
    shared,
    sharing,
    workers,
)
from .scene import Trial

Scenario = Callable[[Trial], Iterator[Finding]]

# By themselves, as they measure what others would disturb.
ALONE: dict[str, Scenario] = {
    "kill": killing.at_any_moment,
    "outage": outage.outage,
    "slow": answers.slow,
    "exits": exits.exits,
}
# Beside each other, those first that take long.
SIDE_BY_SIDE: dict[str, Scenario] = {
    "together": shared.together,
    "in-turn": shared.in_turn,
    "deliverers": shared.more_and_fewer,
    "crowded": shared.crowded,
    "poison": shared.poison,
    "purge": shared.purge,
    "gone": shared.gone,
    "containers": shared.containers,
    "sharing": sharing.one_directory,
    "beside": beside.two_destinations,
    "workers": workers.under_load,
    "fork": forking.forks,
    "points": killing.at_named_points,
    "model": model.beside_the_store,
    "retry-after": answers.retry_after,
    "disk-full": disk.full,
    "clocks": clocks.jumps,
    "scarcity": scarcity.scarcity,
    "damaged": disk.damaged,
    "no-place": disk.no_place,
}
SCENARIOS = ALONE | SIDE_BY_SIDE


def findings(names: Collection[str], seed: int, is_long: bool, jobs: int, minutes: float = 0.0) -> Iterator[Finding]:
    """Run some scenarios, so many beside each other where they may be; give their findings as they come."""
    for group, at_once in ((ALONE, 1), (SIDE_BY_SIDE, jobs)):
        with ThreadPoolExecutor(at_once) as pool:
            running = [pool.submit(_run_apart, name, seed, is_long, minutes) for name in group if name in names]
            try:
                for done in as_completed(running):
                    yield from done.result()
            except BaseException:  # such as Ctrl-C, which those that run hear too
                pool.shutdown(cancel_futures=True)
                raise


def keep_quiet() -> None:
    """Have this process, which only watches, log nothing."""
    logging.getLogger("passerby").setLevel(logging.CRITICAL)


def _run_apart(name: str, seed: int, is_long: bool, minutes: float) -> list[Finding]:
    """Run a scenario in a process of its own."""
    context = get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_run, args=(theirs, name, seed, is_long, minutes))
    process.start()
    theirs.close()
    try:
        found: list[Finding] = ours.recv()
    except EOFError:
        found = [Finding(name, "broken off", faults=["its process is gone"])]
    process.join()
    return found


def _run(where_to: Connection, name: str, seed: int, is_long: bool, minutes: float) -> None:
    keep_quiet()
    with suppress(KeyboardInterrupt):
        where_to.send(list(_try(SCENARIOS[name], Trial(name, seed, is_long, minutes))))


def _try(scenario: Scenario, trial: Trial) -> Iterator[Finding]:
    """Give a scenario's findings with their times; one that breaks off is a finding too."""
    begun = time.monotonic()
    try:
        for finding in scenario(trial):
            finding.seconds = finding.seconds or time.monotonic() - begun
            yield finding
            begun = time.monotonic()
    except Exception as error:
        fault = f"{type(error).__name__}: {error}"
        yield Finding(trial.name, "broken off", faults=[fault], seconds=time.monotonic() - begun)
