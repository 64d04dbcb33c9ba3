"""What lies in the folder of an outbox, for who wants to look at it: which files, whose, and what is in them."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from .database import CORRUPTED, Trouble, translated
from .folder import is_set_aside, looked_at, process_of, size_of
from .reading import PAGE, Count, Reading
from .row import Row

Standing = Literal["live", "left behind", "set aside"]


@dataclass(frozen=True, slots=True)
class OutboxFile:
    """A file of the folder.

    Attributes:
        path: where it is.
        standing: "live" while a process has it; "left behind" when its process is gone and the next one, or a
            command, may take it; "set aside" if it was damaged: what was readable of it has been saved.
        size: its bytes on disk.
        process: the number of the process that made it, as its name says.
    """

    path: Path
    standing: Standing
    size: int
    process: int | None


@dataclass(slots=True)
class Share:
    """What is in a file for one destination.

    Attributes:
        waiting: how many entries wait.
        held: how many are held.
        dead: how many are dead letters.
        oldest: when the first of those that wait was told, in seconds since 1970; None if none waits.
        reasons: how many dead letters, by reason.
    """

    waiting: int = 0
    held: int = 0
    dead: int = 0
    oldest: float | None = None
    reasons: dict[str, int] = field(default_factory=dict[str, int])

    def add(self, count: Count) -> None:
        """Add what was counted."""
        if count.state == "waiting":
            self.waiting += count.number
            self.oldest = count.oldest if self.oldest is None else min(self.oldest, count.oldest)
        elif count.state == "held":
            self.held += count.number
        else:
            self.dead += count.number
            reason = count.reason or ""
            self.reasons[reason] = self.reasons.get(reason, 0) + count.number


class Contents:
    """What is in a file, or in several.

    Attributes:
        shares: what there is, by destination.
        newest: when the last entry of all was told, in seconds since 1970; None if there is none.
    """

    def __init__(self) -> None:
        self.shares: dict[str, Share] = {}
        self.newest: float | None = None

    def add(self, count: Count) -> None:
        """Add what was counted."""
        self.shares.setdefault(count.destination, Share()).add(count)
        self.newest = count.newest if self.newest is None else max(self.newest, count.newest)

    @property
    def waiting(self) -> int:
        """How many entries wait, for all destinations."""
        return sum(share.waiting for share in self.shares.values())

    @property
    def dead(self) -> int:
        """How many dead letters there are, for all destinations."""
        return sum(share.dead for share in self.shares.values())

    @property
    def total(self) -> int:
        """How many entries there are."""
        return sum(share.waiting + share.held + share.dead for share in self.shares.values())

    @property
    def oldest(self) -> float | None:
        """When the first of those that wait was told."""
        return min((share.oldest for share in self.shares.values() if share.oldest is not None), default=None)


def list_files(directory: Path) -> list[OutboxFile]:
    """Return the files of an outbox; those whose process has died first, as others may be taking what is in them over.

    Raises OSError.
    """
    found: list[OutboxFile] = []
    for path in sorted(directory.iterdir()):
        try:
            standing = _standing_of(path)
            if standing is not None:
                found.append(OutboxFile(path, standing, size_of(path), process_of(path.name)))
        except FileNotFoundError:  # somebody has just taken it over
            continue
    return sorted(found, key=lambda file: (file.standing == "set aside", _is_alive(file.process)))


@contextmanager
def kept(file: OutboxFile) -> Generator[None]:
    """Have nobody take a file over meanwhile, unless its process lives or somebody is about it. Raises Trouble."""
    with ExitStack() as stack:
        if file.standing != "set aside":
            with translated():
                stack.enter_context(looked_at(file.path))
        yield


@contextmanager
def opened(file: OutboxFile) -> Generator[Reading]:
    """Open a file for reading; as long as it is open, it is kept. Raises Trouble."""
    with kept(file), Reading(file.path) as reading:
        yield reading


def count(file: OutboxFile, *totals: Contents) -> None:
    """Count what is in a file. Raises Trouble."""
    with opened(file) as reading:
        for one in reading.counts():
            for contents in totals:
                contents.add(one)


def rows_of(file: OutboxFile, on_damage: Callable[[OutboxFile, str], None]) -> Iterator[Row]:
    """Give all entries of a file that can be read.

    Args:
        file: a file.
        on_damage: called with the file and in few words why, if some or all of its entries cannot be read.
    """
    try:
        with opened(file) as reading:
            reader = reading.reader()
            while page := reader.read(PAGE):
                yield from page
            if reader.is_damaged:
                on_damage(file, CORRUPTED)
    except Trouble as trouble:
        on_damage(file, trouble.reason)


def _standing_of(path: Path) -> Standing | None:
    if process_of(path.name) is not None:
        with looked_at(path) as is_gone:
            return "left behind" if is_gone else "live"
    return "set aside" if is_set_aside(path.name) else None


def _is_alive(process: int | None) -> bool:
    """Whether there is a process of that number, as far as can be seen from here."""
    if process is None:
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True
