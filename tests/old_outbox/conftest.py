"""The outboxes that are held to the contract."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from passerby.old_outbox import Outbox
from passerby.old_outbox.board import Board
from passerby.old_outbox.entry import WhenFull
from passerby.old_outbox.folder import Folder
from passerby.old_outbox.memory import MemoryOutbox
from passerby.old_outbox.sqlite import SqliteOutbox
from passerby.old_outbox.window import SIZE

from .parent import Children
from .told import MakeOutbox, PatientOutbox

MakeSqlite = Callable[..., SqliteOutbox]
OpenBoard = Callable[..., Board]


@pytest.fixture
def make_sqlite() -> Iterator[MakeSqlite]:
    """Make an outbox on disk, in a directory of its own unless one is given; it is closed in the end."""
    made: list[SqliteOutbox] = []
    with tempfile.TemporaryDirectory() as directory:  # the model makes hundreds in one test

        def make(
            destinations: Sequence[str] = ("a", "b"),
            max_events: int = 1_000_000,
            directory: str = directory,
            kind: type[SqliteOutbox] = SqliteOutbox,
            **options: Any,
        ) -> SqliteOutbox:
            outbox = kind(directory, destinations, max_events=max_events, **options)
            made.append(outbox)
            return outbox

        yield make
        for outbox in made:
            outbox.close(10.0)


@pytest.fixture(params=["memory", "sqlite", "sqlite-small"])
def make_outbox(request: pytest.FixtureRequest, make_sqlite: MakeSqlite) -> MakeOutbox:
    """Make an outbox for "a" and "b", or others, of at most so many events each; so many are in memory."""
    if request.param == "memory":

        def make_memory(
            destinations: Sequence[str] = ("a", "b"),
            max_events: int = 1_000_000,
            window: int = 0,
            when_full: WhenFull = "drop_newest",
        ) -> Outbox:
            return MemoryOutbox(destinations, max_events, when_full)

        return make_memory

    is_small = request.param == "sqlite-small"

    def make(
        destinations: Sequence[str] = ("a", "b"),
        max_events: int = 1_000_000,
        window: int = 2 if is_small else SIZE,
        when_full: WhenFull = "drop_newest",
    ) -> Outbox:
        directory = tempfile.mkdtemp(dir=request.getfixturevalue("tmp_path"))
        # Two entries in memory: all others have to be paged in.
        kind = PatientOutbox if is_small else SqliteOutbox
        return make_sqlite(destinations, max_events, directory=directory, kind=kind, window=window, when_full=when_full)

    return make


@pytest.fixture
def outbox(make_outbox: MakeOutbox) -> Outbox:
    return make_outbox()


@pytest.fixture
def open_board() -> Iterator[OpenBoard]:
    """Open the board of a folder, as another process has it; it is closed in the end."""
    opened: list[Board] = []

    def open_one(folder: Path, **options: Any) -> Board:
        opened.append(Board(Folder(folder), **options))
        return opened[-1]

    yield open_one
    for board in opened:
        board.close()


@pytest.fixture
def children() -> Iterator[Children]:
    with Children() as children:
        yield children


@pytest.fixture
def directory() -> Iterator[Path]:
    """A directory that other users can reach, unlike pytest's own."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o711)
        yield Path(name) / "outbox"
