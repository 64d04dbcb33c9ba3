"""Clocks that go fast, and clocks that jump: `python -m chaos.clock CLOCK ACTION '{...}'` runs a victim by one.

"fast:1440" lets four hours pass in ten seconds: for the clocks that programs read, and for the waits of event loops.
"wall:-86400" sets the wall clock back by a day, and "wall:1970" to the beginning of time; the other clock is as it is.
"""

from __future__ import annotations

import importlib
import selectors
import sys
import time

_real_time, _real_monotonic = time.time, time.monotonic
_begun, _begun_monotonic = _real_time(), _real_monotonic()


def go_fast(factor: float) -> None:
    """Let time pass so many times as fast. Code that has kept one of the functions goes on by the real clock."""
    select = selectors.DefaultSelector.select

    def select_briefly(self: selectors.DefaultSelector, timeout: float | None = None) -> object:
        return select(self, timeout if timeout is None else timeout / factor)

    time.monotonic = lambda: _begun_monotonic + (_real_monotonic() - _begun_monotonic) * factor
    time.time = lambda: _begun + (_real_time() - _begun) * factor
    selectors.DefaultSelector.select = select_briefly  # type: ignore[method-assign, assignment]


def set_wall_clock(change: float) -> None:
    """Put the wall clock forward or back by so many seconds."""
    time.time = lambda: _real_time() + change


def main(clock: str, *what: str) -> None:
    kind, _, value = clock.partition(":")
    if kind == "fast":
        go_fast(float(value))
    else:
        set_wall_clock(-_begun if value == "1970" else float(value))
    importlib.import_module("chaos.victim").main(*what)  # which imports what keeps the clocks for itself


if __name__ == "__main__":
    main(*sys.argv[1:])
