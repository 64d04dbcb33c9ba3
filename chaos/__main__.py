"""Run all scenarios, or those that are named; or compare passerby with its peers."""

from __future__ import annotations

import argparse
import logging
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context

from .finding import Finding
from .peers import table
from .report import print_environment, print_finding
from .scenarios import answers, beside, clocks, disk, exits, forking, killing, model, outage, scarcity, sharing, workers
from .scene import Trial

Scenario = Callable[[Trial], Iterator[Finding]]

# By themselves, as they measure what others would disturb.
ALONE: dict[str, Scenario] = {
    "kill": killing.at_any_moment,
    "outage": outage.outage,
    "slow": answers.slow,
}
# Beside each other, those first that take long.
SIDE_BY_SIDE: dict[str, Scenario] = {
    "sharing": sharing.one_directory,
    "beside": beside.two_destinations,
    "workers": workers.under_load,
    "exits": exits.exits,
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
PEERS = "peers"


def main() -> int:
    arguments = _read_arguments()
    _keep_quiet()
    # A shell that starts this in the background has Ctrl-C ignored here, and in all processes that are begun here.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    begun = time.monotonic()
    print_environment(arguments.seed)
    names = arguments.names or list(SCENARIOS)
    is_well = True
    for finding in _findings(names, arguments):
        is_well &= not finding.faults
        print_finding(finding)
    if PEERS in names:
        is_well &= table.main()
    print(f"{time.monotonic() - begun:.0f} s in all; {'all is well' if is_well else 'SOMETHING IS WRONG'}")
    return 0 if is_well else 1


def _findings(names: Sequence[str], arguments: argparse.Namespace) -> Iterator[Finding]:
    """Run each scenario in a process of its own, as many at once as is well."""
    for group, at_once in ((ALONE, 1), (SIDE_BY_SIDE, arguments.jobs)):
        with ProcessPoolExecutor(at_once, get_context("spawn")) as pool:
            wanted = [name for name in group if name in names]
            running = [pool.submit(_run, name, arguments.seed, arguments.long) for name in wanted]
            for done in as_completed(running):
                yield from done.result()


def _keep_quiet() -> None:
    logging.getLogger("passerby").setLevel(logging.CRITICAL)  # of this process, which only watches


def _run(name: str, seed: int, is_long: bool) -> list[Finding]:
    _keep_quiet()
    return list(_tried(name, Trial(name, seed, is_long)))


def _tried(name: str, trial: Trial) -> Iterator[Finding]:
    """Give a scenario's findings with their times; one that breaks off is a finding too."""
    begun = time.monotonic()
    try:
        for finding in SCENARIOS[name](trial):
            finding.seconds = finding.seconds or time.monotonic() - begun
            yield finding
            begun = time.monotonic()
    except Exception as error:
        fault = f"{type(error).__name__}: {error}"
        yield Finding(name, "broken off", faults=[fault], seconds=time.monotonic() - begun)


def _read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m chaos",
        description="Try what becomes of events when things go wrong. Exits with 1 if anything acknowledged is lost.",
    )
    names = [*SCENARIOS, PEERS]
    parser.add_argument("names", nargs="*", choices=[*names, []], metavar="NAME", help=", ".join(names))
    parser.add_argument("--long", action="store_true", help="the long forms, which take hours")
    parser.add_argument("--jobs", type=int, default=2, help="how many scenarios beside each other, where they may be")
    parser.add_argument("--seed", type=int, default=time.time_ns() % 1_000_000, help="to repeat a run")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
