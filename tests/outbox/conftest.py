"""The stores that are held to the contract."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from passerby.outbox.contract import EventStore, Quotas
from passerby.outbox.memory import MemoryStore
from passerby.outbox.outbox import Outbox
from passerby.outbox.sqlite import SqliteStore

from .process import Clock, Process

MakeStore = Callable[..., EventStore]
MakeSqlite = Callable[..., SqliteStore]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def directory() -> Iterator[Path]:
    """A directory with a short name, so that sockets can be bound in it."""
    with tempfile.TemporaryDirectory() as name:
        yield Path(name) / "outbox"


@pytest.fixture
def make_sqlite(directory: Path) -> Iterator[MakeSqlite]:
    """Open the store of the test's directory as one more process; closed in the end."""
    made: list[SqliteStore] = []

    def make(path: Path = directory, **options: Any) -> SqliteStore:
        made.append(SqliteStore(path, **options))
        return made[-1]

    yield make
    for store in made:
        store.close()


@pytest.fixture(params=["memory", "sqlite"])
def make_store(request: pytest.FixtureRequest, clock: Clock, make_sqlite: MakeSqlite) -> MakeStore:
    def make(**quotas: Any) -> EventStore:
        if request.param == "memory":
            return MemoryStore(Quotas(**quotas), clock)
        return make_sqlite(quotas=Quotas(**quotas), clock=clock)

    return make


@pytest.fixture
def store(make_store: MakeStore) -> EventStore:
    return make_store()


@pytest.fixture
def process(store: EventStore) -> Process:
    return Process(store)


@pytest.fixture
def make_outbox() -> Iterator[Callable[..., Outbox]]:
    made: list[Outbox] = []

    def make(store: EventStore, **options: Any) -> Outbox:
        made.append(Outbox(store, **options))
        return made[-1]

    yield make
    for outbox in made:
        outbox.close(10.0)


@pytest.fixture(params=["memory", "sqlite"])
def any_store(request: pytest.FixtureRequest, make_sqlite: MakeSqlite) -> EventStore:
    return MemoryStore() if request.param == "memory" else make_sqlite()
