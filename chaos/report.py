"""What is printed: where it ran, and one line for each finding."""

from __future__ import annotations

import os
import platform
import sqlite3
import sys
from importlib.metadata import version

from .finding import Finding

_PACKAGES = ("passerby", "starlette", "uvicorn", "gunicorn", "celery", "hypothesis")


def print_environment(seed: int) -> None:
    print(
        f"{platform.python_implementation()} {platform.python_version()}, SQLite {sqlite3.sqlite_version}, "
        f"{os.cpu_count()} CPUs, {sys.platform}, {'root' if os.getuid() == 0 else 'no root'}"
    )
    print(", ".join(f"{name} {version(name)}" for name in _PACKAGES))
    print(f"seed {seed} (repeat with --seed {seed})", flush=True)


def print_finding(finding: Finding) -> None:
    dropped = ", ".join(f"{number:,} dropped ({reason})" for reason, number in finding.dropped.items())
    figures = (
        f"{finding.recorded:,} recorded, {finding.delivered:,} delivered, {finding.duplicated:,} duplicated, "
        f"{finding.lost:,} lost, {dropped or '0 dropped'}"
    )
    parts = [figures] if finding.skipped is None else []
    parts += [*finding.notes, f"{finding.seconds:.1f} s", finding.verdict]
    print(f"{finding.name}: {finding.done}; {'; '.join(parts)}", flush=True)
