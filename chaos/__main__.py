"""Run all scenarios, or those that are named; or compare passerby with its peers."""

from __future__ import annotations

import argparse
import signal
import sys
import time

from .peers import table
from .programme import SCENARIOS, findings, keep_quiet
from .report import print_environment, print_finding

PEERS = "peers"


def main() -> int:
    arguments = _read_arguments()
    keep_quiet()
    # A shell that starts this in the background has Ctrl-C ignored here, and in all processes that are begun here.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    begun = time.monotonic()
    print_environment(arguments.seed)
    names = arguments.names or list(SCENARIOS)
    is_well = True
    for finding in findings(names, arguments.seed, arguments.long, arguments.jobs, arguments.minutes):
        is_well &= not finding.faults
        print_finding(finding)
    if PEERS in names:
        is_well &= table.main()
    print(f"{time.monotonic() - begun:.0f} s in all; {'all is well' if is_well else 'SOMETHING IS WRONG'}")
    return 0 if is_well else 1


def _read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m chaos",
        description="Try what becomes of events when things go wrong. Exits with 1 if anything acknowledged is lost.",
    )
    names = [*SCENARIOS, PEERS]
    parser.add_argument("names", nargs="*", choices=[*names, []], metavar="NAME", help=", ".join(names))
    parser.add_argument("--long", action="store_true", help="the long forms, which take hours")
    parser.add_argument("--jobs", type=int, default=3, help="how many scenarios beside each other, where they may be")
    parser.add_argument("--minutes", type=float, default=0.0, help="how long `together` kills processes")
    parser.add_argument("--seed", type=int, default=time.time_ns() % 1_000_000, help="to repeat a run")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
