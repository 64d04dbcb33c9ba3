"""What the commands print on a terminal."""

from __future__ import annotations

import io

from passerby.cli.outbox.terminal import Progress, age_text, entries, number_of, printable, size_text


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_is_said_a_few_times_a_second_and_taken_away() -> None:
    times = iter([0.0, 0.05, 0.3, 0.35, 0.6])
    err = Terminal()
    with Progress(err, lambda: next(times)) as progress:
        progress.start("too early")
        progress.start("file 1")
        progress.update("too soon")
        progress.update(", entry 7")
    assert err.getvalue() == "\r\x1b[Kfile 1\r\x1b[Kfile 1, entry 7\r\x1b[K"


def test_progress_is_said_on_terminals_only() -> None:
    times = iter(range(100))
    err = io.StringIO()
    with Progress(err, lambda: next(times)) as progress:
        progress.start("file 1")
    assert err.getvalue() == ""


def test_numbers_are_said_as_people_say_them() -> None:
    assert [size_text(size) for size in (0, 999, 1_500, 15_000, 2_500_000, 3e9)] == [
        "0 B", "999 B", "1.5 kB", "15 kB", "2.5 MB", "3.0 GB",
    ]  # fmt: skip
    assert [age_text(age) for age in (-1, 5, 120, 7_200, 200_000)] == ["0 s", "5 s", "2 min", "2 h", "2 d"]
    assert [entries(1), entries(1_000), number_of(2, "file")] == ["1 entry", "1,000 entries", "2 files"]


def test_what_came_from_outside_gives_a_terminal_no_orders() -> None:
    assert printable("a\x1b[2J\n\u202eb") == r"a\x1b[2J\n\u202eb"
    assert printable("x" * 200) == "x" * 120 + "..."
    assert printable("x" * 200, None) == "x" * 200
