"""What is printed: where it ran, each result as it comes, and the table at the end."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version

from .measure import Result, Spread
from .targets import TARGETS, TOLERANCE, fails_check, verdict

_PACKAGES = ("passerby", "starlette", "flask", "django", "httpx", "httpcore", "h11", "itsdangerous")
_PEERS = ("segment-analytics-python",)
_OPTIONAL = ("orjson", "sniffio")
_WIDTH = 62


def print_environment() -> None:
    print(f"{platform.python_implementation()} {platform.python_version()}, {os.cpu_count()} CPUs, {sys.platform}")
    print(", ".join(f"{name} {_version(name)}" for name in _PACKAGES))
    print(", ".join(f"{name} {_version(name)}" for name in (*_OPTIONAL, *_PEERS)))


def print_result(result: Result) -> None:
    print(f"  {result.name:<{_WIDTH}} {_spread(result.spread):>28} {result.unit}", flush=True)


def print_table(results: Sequence[Result]) -> None:
    print(f"\n{'':<{_WIDTH}} {'median':>9} {'target':>9}   (unit; met, near: within {TOLERANCE}x, missed)")
    for result in results:
        target = TARGETS.get(result.name)
        line = f"{result.name:<{_WIDTH}} {_number(result.spread.median):>9} {target or ''!s:>9}   {result.unit}"
        print(
            f"{line}{'; ' + verdict(result) if target else ''}{'' if not fails_check(result) else ' (fails --check)'}"
        )


def _spread(spread: Spread) -> str:
    if spread.low == spread.high:
        return _number(spread.median)
    return f"{_number(spread.median)} ({_number(spread.low)} to {_number(spread.high)})"


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}" if abs(value) < 1 else f"{value:.1f}"


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"
