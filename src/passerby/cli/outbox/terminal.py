"""Terminal output: escaped text, and progress on terminals."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TextIO

INTERVAL = 0.2  # seconds between two updates
_LONGEST = 120  # characters of a value
_WIDTH = 78


def printable(text: str, longest: int | None = _LONGEST) -> str:
    """Text in one line, with control characters escaped."""
    shortened = text if longest is None or len(text) <= longest else f"{text[:longest]}..."
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in shortened)


def size_text(size: float) -> str:
    """A readable number of bytes."""
    for unit in ("B", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" or size >= 10 else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:,.1f} GB"


def age_text(seconds: float) -> str:
    """An age in its largest unit."""
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:.0f} {unit}"
    return f"{max(0.0, seconds):.0f} s"


def number_of(number: int, thing: str, things: str | None = None) -> str:
    """A number with its noun."""
    return f"{number:,} {thing if number == 1 else things or f'{thing}s'}"


def entries(number: int) -> str:
    """A number of entries."""
    return number_of(number, "entry", "entries")


class Progress:
    """A progress line on a terminal; prints nothing elsewhere.

    Args:
        err: where it is shown.
        clock: a monotonic clock, in seconds.
    """

    def __init__(self, err: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self._err = err
        self._clock = clock
        self._is_shown = err.isatty()
        self._last = clock()  # short work shows no progress
        self._text = ""
        self._has_line = False

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *error: object) -> None:
        self.clear()

    def start(self, words: str) -> None:
        """Show a new activity, at most once per interval."""
        self._text = words
        self.update()

    def update(self, more: str = "") -> None:
        """Show the activity with more text, at most once per interval."""
        now = self._clock()
        if self._is_shown and now - self._last >= INTERVAL:
            self._last = now
            self._has_line = True
            self._err.write(f"\r\x1b[K{printable(self._text + more)[:_WIDTH]}")
            self._err.flush()

    def clear(self) -> None:
        """Remove the line."""
        if self._has_line:
            self._has_line = False
            self._err.write("\r\x1b[K")
            self._err.flush()
