"""`passerby doctor`: runs all checks and prints the findings."""

from __future__ import annotations

import json
import os
import time
from argparse import Namespace
from collections.abc import Iterable
from pathlib import Path
from textwrap import wrap
from typing import TextIO

from ..outbox.exit_codes import DONE, FAILED, FOUND
from ..outbox.location import CommandError, check_directory, find_directory
from ..outbox.store import CommandStore, StoreSummary
from ..outbox.terminal import printable
from . import Finding
from .clock import check_clock, read_monotonic
from .directory import check_directory as try_out
from .files import FILES, check_store
from .process_limits import check_limits
from .runtime import check_runtime
from .settings import check_settings

_WIDTH = 110
_NAME = 26
_INDENT = " " * (8 + 1 + _NAME + 2)


def run(options: Namespace, out: TextIO, err: TextIO) -> int:
    """Run all checks. Returns 1 if there is a problem, 3 if files were quarantined as damaged."""
    findings = _run_checks(options)
    if options.json:
        out.write(json.dumps([one._asdict() for one in findings], indent=2) + "\n")
    else:
        out.writelines(f"{line}\n" for line in _as_text(findings))
    if any(one.severity == "problem" for one in findings):
        return FAILED
    return FOUND if any(one.check == FILES and one.severity == "warning" for one in findings) else DONE


def _run_checks(options: Namespace) -> list[Finding]:
    directory, findings = _find_directory(options)
    summary = StoreSummary()
    if directory is not None:
        findings += try_out(directory)
        if directory.exists():
            more, summary = _check_store(directory)
            findings += more
    return [
        *check_runtime(),
        check_clock(time.time(), summary.newest, read_monotonic()),
        *check_limits(),
        check_settings(options.find_tracking, os.environ),
        *findings,
    ]


def _find_directory(options: Namespace) -> tuple[Path | None, list[Finding]]:
    try:
        directory = find_directory(options.outbox, options.find_tracking, os.environ)
    except CommandError as refused:
        # Without an outbox on disk the other checks are still useful.
        return None, [Finding("outbox", "problem" if options.outbox else "ok", str(refused))]
    return directory, [Finding("outbox", "ok", str(directory))]


def _check_store(directory: Path) -> tuple[list[Finding], StoreSummary]:
    try:
        check_directory(directory)
        with CommandStore(directory) as store:
            summary = store.summary()
            return check_store(summary, len(store.quarantined())), summary
    except CommandError as error:
        return [Finding(FILES, "problem", str(error), "see above")], StoreSummary()


def _as_text(findings: Iterable[Finding]) -> list[str]:
    lines: list[str] = []
    for one in findings:
        begin = f"{one.severity:<8} {one.check:<{_NAME}}  "
        lines += wrap(printable(one.message, None), _WIDTH, initial_indent=begin, subsequent_indent=_INDENT)
        if one.advice:
            advice = f"-> {printable(one.advice, None)}"
            lines += wrap(advice, _WIDTH, initial_indent=_INDENT, subsequent_indent=f"{_INDENT}   ")
    return lines
