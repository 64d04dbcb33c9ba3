"""What the commands print: lines that are safe to show whatever is in them, and progress where somebody sits."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TextIO

INTERVAL = 0.2  # seconds between two states of progress
_LONGEST = 120  # characters of anything that came from outside
_WIDTH = 78


def printable(text: str, longest: int | None = _LONGEST) -> str:
    """Text in one line, with everything written out that a terminal could take for an order."""
    shortened = text if longest is None or len(text) <= longest else f"{text[:longest]}..."
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in shortened)


def size_text(size: float) -> str:
    """A number of bytes as people say it."""
    for unit in ("B", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" or size >= 10 else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:,.1f} GB"


def age_text(seconds: float) -> str:
    """How long ago something was, in its largest unit."""
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:.0f} {unit}"
    return f"{max(0.0, seconds):.0f} s"


def number_of(number: int, thing: str, things: str | None = None) -> str:
    """A number of things, in English."""
    return f"{number:,} {thing if number == 1 else things or f'{thing}s'}"


def entries(number: int) -> str:
    """A number of entries."""
    return number_of(number, "entry", "entries")


class Progress:
    """One line on a terminal that changes as work goes on; nothing anywhere else.

    Args:
        err: where it is shown.
        clock: seconds on a clock that never goes back.
    """

    def __init__(self, err: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self._err = err
        self._clock = clock
        self._is_shown = err.isatty()
        self._last = clock()  # what is quickly done shows none
        self._words = ""
        self._is_dirty = False

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *error: object) -> None:
        self.clear()

    def say(self, words: str) -> None:
        """Say what is being done, unless something was said just now."""
        self._words = words
        self.go_on()

    def go_on(self, more: str = "") -> None:
        """Say it again, with what has changed meanwhile."""
        now = self._clock()
        if self._is_shown and now - self._last >= INTERVAL:
            self._last = now
            self._is_dirty = True
            self._err.write(f"\r\x1b[K{printable(self._words + more)[:_WIDTH]}")
            self._err.flush()

    def clear(self) -> None:
        """Take the line away."""
        if self._is_dirty:
            self._is_dirty = False
            self._err.write("\r\x1b[K")
            self._err.flush()
