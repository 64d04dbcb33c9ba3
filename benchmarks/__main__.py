"""Run all benchmarks but `saturated`, or those that are named."""

from __future__ import annotations

import argparse
import logging
import sys
import time
from collections.abc import Callable, Iterator

from . import call, collector, delivery, durable, faces, first_visit, memory, middleware, saturated
from .measure import Result
from .report import print_environment, print_result, print_table
from .targets import TOLERANCE, fails_always, fails_check

BENCHMARKS: dict[str, tuple[str, Callable[[], Iterator[Result]]]] = {
    "middleware": (middleware.TITLE, middleware.run),
    "faces": (faces.TITLE, faces.run),
    "call": (call.TITLE, call.run),
    "delivery": (delivery.TITLE, delivery.run),
    "memory": (memory.TITLE, memory.run),
    "durable": (durable.TITLE, durable.run),
    "collector": (collector.TITLE, collector.run),
    "first-visit": (first_visit.TITLE, first_visit.run),
    "saturated": (saturated.TITLE, saturated.run),
}


BY_NAME_ONLY = "saturated"  # it needs wrk, and a machine with nothing else to do


def main() -> int:
    arguments = _read_arguments()
    saturated.LOAD = saturated.Load(arguments.seconds, arguments.rounds)
    logging.getLogger("passerby").setLevel(logging.ERROR)
    begun = time.monotonic()
    print_environment()
    results: list[Result] = []
    for name in arguments.names or [name for name in BENCHMARKS if name != BY_NAME_ONLY]:
        title, run = BENCHMARKS[name]
        print(f"\n{name}: {title}", flush=True)
        for result in run():
            print_result(result)
            results.append(result)
    print_table(results)
    print(f"\nmedian, and (lowest to highest) above; {time.monotonic() - begun:.0f} s in all")
    fails = fails_check if arguments.check else fails_always
    return 1 if any(fails(result) for result in results) else 0


def _read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure what passerby costs.")
    parser.add_argument("names", nargs="*", choices=[*BENCHMARKS, []], metavar="NAME", help=", ".join(BENCHMARKS))
    parser.add_argument(
        "--check", action="store_true", help=f"fail if a checked target is missed by more than {TOLERANCE}x"
    )
    load = saturated.LOAD
    parser.add_argument(
        "--seconds", type=float, default=load.seconds, help=f"of each load of `saturated` (default: {load.seconds:g})"
    )
    parser.add_argument(
        "--rounds", type=int, default=load.rounds, help=f"of `saturated` that are kept (default: {load.rounds})"
    )
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
