"""The shop's destination, the place of its outbox, and events that another process has stored there."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from .receiver import Receiver
from .recording import record

SHOP = ("worker", "--tracking", "tests.worker.shop:tracking")
ROOT = Path(__file__).parents[2]
Record = Callable[..., None]


@pytest.fixture
def directory() -> Iterator[Path]:
    """The outbox's directory; its name is short, so that sockets can be bound in it."""
    with tempfile.TemporaryDirectory() as name:
        yield Path(name, "outbox")


@pytest.fixture
def receiver(directory: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    one = Receiver()
    monkeypatch.setenv("SHOP_RECEIVER", one.url)
    monkeypatch.setenv("SHOP_OUTBOX", str(directory))
    monkeypatch.chdir(ROOT)
    yield one
    one.close()


@pytest.fixture
def store(receiver: Receiver, directory: Path) -> Record:
    """Store events of other processes."""
    return lambda *steps: record(directory, receiver.url, *steps)
