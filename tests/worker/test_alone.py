"""A worker in a process of its own."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from passerby.outbox.reading import StoreQuery
from passerby.outbox.sqlite import SqliteStore
from tests.making import eventually
from tests.running import running

from .conftest import SHOP, Record
from .receiver import Receiver
from .recording import count_waiting


def test_delivers_what_others_store_until_sigterm(receiver: Receiver, store: Record, directory: Path) -> None:
    store("before")
    with running(*SHOP) as worker:
        worker.wait_for(f"Delivering what waits in {directory} to webhook$")
        receiver.wait_for("before")
        store("beside")
        receiver.wait_for("beside")
        assert worker.end(signal.SIGTERM) == 0
    assert receiver.begun == ["before", "beside"]
    assert worker.complaints == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
def test_a_signal_lets_running_calls_end_and_gives_back_the_rest(
    receiver: Receiver, store: Record, directory: Path, number: signal.Signals
) -> None:
    """At 10 connections, 10 calls run and the rest is claimed ahead."""
    receiver.is_open.clear()
    store(*map(str, range(25)))
    with running(*SHOP) as worker:
        eventually(lambda: len(receiver.begun) == 10)
        worker.process.send_signal(number)
        eventually(lambda: waiting_unclaimed(directory) == 15)
        receiver.is_open.set()
        assert worker.wait() == 0
    assert len(receiver.steps) == len(receiver.begun) == 10
    assert count_waiting(directory, receiver.url) == 15


def waiting_unclaimed(directory: Path) -> int:
    """How many events any process may claim now."""
    store = SqliteStore(directory)
    try:
        return sum(entry.due <= 0 for entry in store.read(StoreQuery()).entries)
    finally:
        store.close()


def test_a_second_signal_gives_everything_back_at_once(receiver: Receiver, store: Record, directory: Path) -> None:
    """The next worker need not wait for the end of a lease."""
    receiver.is_open.clear()
    store("held up")
    with running(*SHOP) as worker:
        eventually(lambda: receiver.begun)
        worker.process.send_signal(signal.SIGTERM)
        worker.process.send_signal(signal.SIGINT)
        assert worker.wait() == 0
    assert count_waiting(directory, receiver.url) == 1
    receiver.is_open.set()
    with running(*SHOP, "--until-empty") as worker:
        assert worker.wait() == 0
    assert receiver.begun == ["held up", "held up"]
    assert count_waiting(directory, receiver.url) == 0


def test_until_empty_ends_by_itself(receiver: Receiver, store: Record) -> None:
    steps = [str(number) for number in range(60)]
    store(*steps)
    with running(*SHOP, "--until-empty") as worker:
        assert worker.wait() == 0
    assert sorted(receiver.steps) == sorted(steps)
    assert worker.lines[-1] == "nothing is waiting"
    assert worker.complaints == []


def test_until_empty_without_a_store(receiver: Receiver) -> None:
    with running(*SHOP, "--until-empty") as worker:
        assert worker.wait() == 0
    assert worker.lines[-1] == "nothing is waiting"


def test_until_empty_leaves_what_cannot_be_delivered(receiver: Receiver, store: Record) -> None:
    """It tries until the breaker opens."""
    receiver.status = 503
    store("refused")
    with running(*SHOP, "--until-empty") as worker:
        assert worker.wait() == 0
    assert worker.lines[-1] == "1 entry still waiting: 1 for webhook"
    assert any("5 consecutive failures (status 503)" in line for line in worker.complaints)
    assert set(receiver.begun) == {"refused"}
