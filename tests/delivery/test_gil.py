"""Socket calls that keep the GIL, and how the loop of the delivery thread uses them."""

from __future__ import annotations

import asyncio
import gc
import selectors
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from math import inf

import pytest

from passerby.delivery.gil import GilHoldingPoll, GilHoldingSocket, _calls, contention
from passerby.delivery.loop import WorkerLoop
from passerby.delivery.worker import Worker
from tests.making import PATIENCE, eventually

pytestmark = pytest.mark.skipif(_calls is None, reason="the C library cannot be called without releasing the GIL here")

TIMES = 2_000


@pytest.fixture(params=[True, False], ids=["others compute", "nobody computes"])
def computing(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether the GIL is kept; the results are the same."""
    monkeypatch.setattr(contention, "_until", inf if request.param else -inf)


@pytest.fixture
def contended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contention, "_until", inf)


class Rival:
    """A thread that counts; it can do so only while others have released the GIL."""

    def __init__(self) -> None:
        self.count = 0
        self._is_over = False
        self._thread = threading.Thread(target=self._compute, daemon=True)
        self._thread.start()

    def _compute(self) -> None:
        while not self._is_over:
            self.count += 1
            time.sleep(0.0001)  # lets the others go on

    def end(self) -> None:
        self._is_over = True
        self._thread.join(PATIENCE)

    def has_run_during(self, work: Callable[[], object]) -> bool:
        gc.collect()
        gc.disable()  # sockets and files that other tests have left release the GIL as they are collected
        try:
            before = self.count
            work()
            return self.count > before
        finally:
            gc.enable()


@pytest.fixture
def rival(contended: None) -> Iterator[Rival]:
    """With a switch interval that never passes, the GIL changes hands only where it is released."""
    interval = sys.getswitchinterval()
    rival = Rival()
    sys.setswitchinterval(3600.0)
    try:
        yield rival
    finally:
        sys.setswitchinterval(interval)
        rival.end()


@pytest.fixture
def connected() -> Iterator[tuple[GilHoldingSocket, socket.socket]]:
    with socket.create_server(("127.0.0.1", 0)) as listener, closing(GilHoldingSocket(socket.AF_INET)) as ours:
        ours.setblocking(True)
        ours.connect(listener.getsockname())
        ours.setblocking(False)
        theirs, _ = listener.accept()
        with closing(theirs):
            yield ours, theirs


def test_sending_and_receiving_keep_the_gil(rival: Rival, connected: tuple[GilHoldingSocket, socket.socket]) -> None:
    ours, _ = connected
    buffer = bytearray(100)

    def work() -> None:
        for _ in range(TIMES):
            ours.send(b"x")
            with pytest.raises(BlockingIOError):
                ours.recv(100)
            with pytest.raises(BlockingIOError):
                ours.recv_into(buffer)

    assert not rival.has_run_during(work)


def test_looking_what_is_ready_keeps_the_gil(rival: Rival, connected: tuple[GilHoldingSocket, socket.socket]) -> None:
    ours, _ = connected
    now = GilHoldingPoll([selectors.SelectorKey(ours, ours.fileno(), selectors.EVENT_READ, None)])

    def work() -> None:
        for _ in range(TIMES):
            now.poll()

    assert not rival.has_run_during(work)


def test_a_loop_with_work_to_do_keeps_the_gil(rival: Rival) -> None:
    """Each step of a chain of callbacks is an iteration of the loop, and each iteration looks at the connections."""
    loop = WorkerLoop()

    async def step() -> None:
        for _ in range(TIMES):
            await asyncio.sleep(0)

    async def work() -> bool:
        before = rival.count
        await step()
        return rival.count > before

    try:
        assert not loop.run_until_complete(work())
    finally:
        loop.close()


@pytest.mark.parametrize("size", [0, 1, 1_000, 300_000])
@pytest.mark.usefixtures("computing")
async def test_what_is_sent_arrives(connected: tuple[GilHoldingSocket, socket.socket], size: int) -> None:
    ours, theirs = connected
    theirs.setblocking(False)
    text = bytes(number % 251 for number in range(size))
    loop = asyncio.get_running_loop()
    received = bytearray()

    async def receive() -> None:
        while len(received) < len(text):
            received.extend(await loop.sock_recv(theirs, 65_536))

    receiving = asyncio.create_task(receive())
    await loop.sock_sendall(ours, text)
    await receiving
    assert received == text


@pytest.mark.parametrize("wanted", [1, 10, 5_000, 20_000])
@pytest.mark.usefixtures("computing")
def test_what_is_received(connected: tuple[GilHoldingSocket, socket.socket], wanted: int) -> None:
    ours, theirs = connected
    text = bytes(number % 251 for number in range(20_000))
    theirs.sendall(text * 2)

    first = ours.recv(wanted)
    buffer = bytearray(wanted)
    size = ours.recv_into(buffer)

    assert 0 < len(first) <= wanted
    assert 0 < size <= wanted
    assert (text * 2).startswith(first + buffer[:size])


@pytest.mark.usefixtures("computing")
def test_errors_are_those_of_ordinary_sockets(connected: tuple[GilHoldingSocket, socket.socket]) -> None:
    ours, theirs = connected
    with pytest.raises(BlockingIOError):
        _repeat(lambda: ours.send(bytes(100_000)))
    theirs.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    theirs.close()
    with pytest.raises(ConnectionError):
        _repeat(lambda: ours.recv(10))
    ours.close()
    with pytest.raises(OSError, match="descriptor"):
        ours.send(b"x")


def _repeat(work: Callable[[], object]) -> None:
    while True:
        work()


@pytest.mark.usefixtures("contended")
def test_what_is_ready_is_what_a_selector_says(connected: tuple[GilHoldingSocket, socket.socket]) -> None:
    ours, theirs = connected
    with selectors.DefaultSelector() as selector:
        for events in (selectors.EVENT_READ, selectors.EVENT_WRITE, selectors.EVENT_READ | selectors.EVENT_WRITE):
            for step in (lambda: None, lambda: theirs.sendall(b"x"), lambda: ours.recv(1)):
                step()
                selector.register(ours, events)
                assert GilHoldingPoll(selector.get_map().values()).poll() == selector.select(0)
                selector.unregister(ours)
        theirs.close()
        selector.register(ours, selectors.EVENT_READ)
        assert GilHoldingPoll(selector.get_map().values()).poll() == selector.select(PATIENCE)


def test_many_callers_wake_the_loop_once() -> None:
    """Each wake-up is a system call of the app's thread, which releases the GIL."""
    has_begun, rounds = threading.Event(), []

    async def main(worker: Worker) -> None:
        while not worker.stopping:
            has_begun.set()
            await worker.sleep(None)
            rounds.append(1)

    worker = Worker(main, "test")
    worker.start()
    assert has_begun.wait(PATIENCE)
    worker.before_fork()
    try:
        loop = worker._loop
        assert loop is not None
        for _ in range(1_000):
            worker.wake()
        assert len(loop._ready) <= 1  # type: ignore[attr-defined]
    finally:
        worker.after_fork_in_parent()
        worker.stop(PATIENCE)
    assert rounds


def test_who_computes_is_noticed_and_forgotten(
    connected: tuple[GilHoldingSocket, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thread that never lets go by itself keeps each ordinary call waiting for the switch interval."""
    monkeypatch.setattr(contention, "_until", -inf)
    ours, _ = connected
    is_over = threading.Event()

    def compute() -> None:
        while not is_over.is_set():
            sum(range(1_000))

    thread = threading.Thread(target=compute, daemon=True)
    thread.start()
    try:
        eventually(lambda: ours.send(b"x") and contention.is_high)
    finally:
        is_over.set()
        thread.join(PATIENCE)
    eventually(lambda: not contention.is_high)
