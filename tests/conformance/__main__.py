"""`python -m tests.conformance FILE.jsonl`: replay recorded cases against passerby."""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path

from .case import read_cases
from .report import check, report, table
from .stage import Stage


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.conformance", description=__doc__)
    parser.add_argument("file", type=Path, nargs="?", help="cases in the format of tests/conformance/engage.jsonl")
    parser.add_argument("--table", action="store_true", help="print the README's table of differences instead")
    chosen = parser.parse_args(arguments)
    if chosen.table:
        print(table(), end="")
        return 0
    if chosen.file is None:
        parser.error("a file with cases is needed")
    if not chosen.file.is_file():
        parser.error(f"{chosen.file} is not there")
    logging.getLogger("passerby").addHandler(logging.NullHandler())
    logging.getLogger("passerby").propagate = False  # what a case provokes is no news
    with Stage() as stage:
        is_good = report((check(case, stage) for case in read_cases(chosen.file)), sys.stdout)
    return 0 if is_good else 1


if __name__ == "__main__":
    sys.exit(main())
