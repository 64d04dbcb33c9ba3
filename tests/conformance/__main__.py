"""`python -m tests.conformance FILE.jsonl`: replay recorded cases against passerby.

The file says whose SDK they were recorded from: Sitecore's Engage SDK, its SDKs for the edge, or Customer.io's.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Callable
from pathlib import Path

from .case import read_cases
from .customerio import case as customerio_case
from .customerio import checking, differences
from .edge import case as edge_case
from .edge import checking as edge_checking
from .edge import differences as edge_differences
from .report import check, report, table
from .segment import differences as segment_differences
from .stage import Stage


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.conformance", description=__doc__)
    parser.add_argument("file", type=Path, nargs="?", help="cases in the format of tests/conformance/engage.jsonl")
    parser.add_argument(
        "--table",
        choices=["engage", "edge", "customerio", "segment"],
        nargs="?",
        const="engage",
        help="print the table of differences instead, for docs/differences.md",
    )
    chosen = parser.parse_args(arguments)
    if chosen.table:
        print(TABLES[chosen.table](), end="")
        return 0
    if chosen.file is None:
        parser.error("a file with cases is needed")
    if not chosen.file.is_file():
        parser.error(f"{chosen.file} is not there")
    logging.getLogger("passerby").addHandler(logging.NullHandler())
    logging.getLogger("passerby").propagate = False  # what a case provokes is no news
    with Stage() as stage:
        is_good = replay_all(chosen.file, stage)
    return 0 if is_good else 1


def replay_all(file: Path, stage: Stage) -> bool:
    """Replay all cases of a file and report on them; whether all passed."""
    if customerio_case.is_of_customerio(file):
        verdicts = (checking.check(case, stage) for case in customerio_case.read_cases(file))
        return report(verdicts, sys.stdout, differences.DIFFERENCES, "The SDKs:")
    if edge_case.is_of_edge(file):
        edge_verdicts = (edge_checking.check(case, stage) for case in edge_case.read_cases(file))
        return report(edge_verdicts, sys.stdout, edge_differences.DIFFERENCES, "The SDKs")
    return report((check(case, stage) for case in read_cases(file)), sys.stdout)


def edge_table() -> str:
    return table(edge_differences.DIFFERENCES, "the SDKs for the edge")


def customerio_table() -> str:
    return table(differences.DIFFERENCES, "Customer.io's SDKs")


def segment_table() -> str:
    return table(segment_differences.DIFFERENCES, "Segment's SDK")


TABLES: dict[str, Callable[[], str]] = {
    "engage": table,
    "edge": edge_table,
    "customerio": customerio_table,
    "segment": segment_table,
}


if __name__ == "__main__":
    sys.exit(main())
