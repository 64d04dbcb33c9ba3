"""Run all scenarios, or those that are named; or compare passerby with its peers."""

from __future__ import annotations

import argparse
import logging
import signal
import sys
import time
from collections.abc import Callable, Iterator

from .finding import Finding
from .peers import table
from .report import print_environment, print_finding
from .scenarios import answers, beside, clocks, disk, exits, forking, killing, model, outage, scarcity, sharing, workers
from .scene import Trial

Scenario = Callable[[Trial], Iterator[Finding]]

SCENARIOS: dict[str, Scenario] = {
    "kill": killing.at_any_moment,
    "points": killing.at_named_points,
    "model": model.beside_the_store,
    "outage": outage.outage,
    "beside": beside.two_destinations,
    "slow": answers.slow,
    "retry-after": answers.retry_after,
    "disk-full": disk.full,
    "no-place": disk.no_place,
    "damaged": disk.damaged,
    "clocks": clocks.jumps,
    "workers": workers.under_load,
    "fork": forking.forks,
    "scarcity": scarcity.scarcity,
    "sharing": sharing.one_directory,
    "exits": exits.exits,
}
PEERS = "peers"


def main() -> int:
    arguments = _read_arguments()
    logging.getLogger("passerby").setLevel(logging.CRITICAL)  # of this process, which only watches
    # A shell that starts this in the background has Ctrl-C ignored here, and in all processes that are begun here.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    begun = time.monotonic()
    print_environment(arguments.seed)
    is_well = True
    for name in arguments.names or SCENARIOS:
        if name == PEERS:
            is_well &= table.main()
            continue
        for finding in _run(name, SCENARIOS[name], Trial(name, arguments.seed, arguments.long)):
            is_well &= not finding.faults
            print_finding(finding)
    print(f"{time.monotonic() - begun:.0f} s in all; {'all is well' if is_well else 'SOMETHING IS WRONG'}")
    return 0 if is_well else 1


def _run(name: str, scenario: Scenario, trial: Trial) -> Iterator[Finding]:
    """Give a scenario's findings with their times; one that breaks off is a finding too."""
    begun = time.monotonic()
    try:
        for finding in scenario(trial):
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
    parser.add_argument("--seed", type=int, default=time.time_ns() % 1_000_000, help="to repeat a run")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
