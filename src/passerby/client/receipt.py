"""The receipt that a tracking call returns. It can be ignored, awaited, or read."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator, Mapping, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from contextlib import suppress
from typing import Any

from ..values.futures import wait_async
from ..values.outcome import Dropped, Outcome, Pending

DEFAULT_WAIT = 2.0  # seconds


class Receipt:
    """The result of a tracking call.

    Attributes:
        event_id: the event's ID, or None if the event was dropped.
    """

    __slots__ = ("__weakref__", "_awaited", "_outcomes", "_stored", "_waiters", "_watch", "event_id")

    def __init__(self, event_id: str | None, destinations: Sequence[str]) -> None:
        self.event_id: str | None = event_id
        self._awaited = destinations
        self._outcomes: dict[str, Outcome] = {}
        self._stored = False
        self._waiters: list[tuple[bool, Future[None]]] = []
        self._watch: Callable[[str, Receipt], None] | None = None

    def watch_with(self, watch: Callable[[str, Receipt], None]) -> None:
        """Set the function that asks for outcomes which another process may bring, called when a caller waits."""
        self._watch = watch

    @classmethod
    def dropped(cls, reason: str, destinations: Sequence[str]) -> Receipt:
        """Make the receipt of a dropped event."""
        receipt = cls(None, destinations)
        for destination in destinations:
            receipt.on_settled(destination, Dropped(reason))
        return receipt

    def on_stored(self) -> None:
        """Note that the outbox has stored the event. Called by the outbox, in any thread."""
        self._stored = True
        if self._waiters:
            self._wake()

    def on_settled(self, destination: str, outcome: Outcome) -> None:
        """Note the outcome of a destination. Called by the outbox, in any thread."""
        self._outcomes[destination] = outcome  # atomic, because several threads may call this
        if self._waiters:
            self._wake()

    @property
    def outcomes(self) -> Mapping[str, Outcome]:
        """The outcomes known now, by destination."""
        return {name: self._outcomes.get(name, Pending()) for name in self._awaited}

    async def stored(self) -> None:
        """Wait until the outbox has stored the event. From then on it survives what the outbox survives."""
        waiter = self._waiter(for_storage=True)
        if waiter is not None:
            await asyncio.wrap_future(waiter)

    def wait_stored(self, timeout: float | None = None) -> None:
        """The same as `stored`, for sync code. Raises TimeoutError after `timeout` seconds."""
        waiter = self._waiter(for_storage=True)
        if waiter is not None:
            _wait(waiter, timeout)

    async def delivered(self, timeout: float | None = DEFAULT_WAIT) -> Mapping[str, Outcome]:
        """Wait at most `timeout` seconds for all destinations. Returns the outcomes by destination."""
        waiter = self._waiter(for_storage=False)
        if waiter is not None:
            await wait_async(waiter, timeout)
        return self.outcomes

    def wait_delivered(self, timeout: float | None = DEFAULT_WAIT) -> Mapping[str, Outcome]:
        """The same as `delivered`, for sync code."""
        waiter = self._waiter(for_storage=False)
        if waiter is not None:
            with suppress(TimeoutError):
                _wait(waiter, timeout)
        return self.outcomes

    def __await__(self) -> Generator[Any, None, Mapping[str, Outcome]]:
        return self.delivered().__await__()

    def __repr__(self) -> str:
        known = ", ".join(f"{name}: {type(outcome).__name__}" for name, outcome in self.outcomes.items())
        return f"<Receipt {self.event_id} {known}>"

    @property
    def _is_settled(self) -> bool:
        return len(self._outcomes) >= len(self._awaited)

    def _waiter(self, for_storage: bool) -> Future[None] | None:
        """Return a future to wait for, or None if there is nothing to wait for.

        The outbox's thread first sets the state and then reads the waiters. This first adds the waiter and then reads
        the state. So in any order at least one sees the other.
        """
        waiter: Future[None] = Future()
        self._waiters.append((for_storage, waiter))
        if self._is_settled or (for_storage and self._stored):
            with suppress(ValueError):  # the outbox's thread may have removed it just now
                self._waiters.remove((for_storage, waiter))
            return None
        if not for_storage and self._watch is not None and self.event_id is not None:
            self._watch(self.event_id, self)
        return waiter

    def _wake(self) -> None:
        for for_storage, waiter in list(self._waiters):
            if self._is_settled or (for_storage and self._stored):
                try:
                    self._waiters.remove((for_storage, waiter))
                except ValueError:  # removed by the thread of another destination
                    continue
                if waiter.set_running_or_notify_cancel():
                    waiter.set_result(None)


class QueueReceipt:
    """The receipt of `process_event_queue` and `clear_event_queue`. It can be ignored, awaited, or read."""

    __slots__ = ("_answer",)

    def __init__(self) -> None:
        self._answer: Future[int] = Future()

    def follow(self, answer: Future[int | None]) -> None:
        """Take the count of another future, which has none if the outbox had no room for the request."""
        answer.add_done_callback(lambda done: self.resolve(done.result() or 0))

    def resolve(self, count: int) -> None:
        """Note how many events were concerned. Called by the outbox, in any thread."""
        if self._answer.set_running_or_notify_cancel():
            self._answer.set_result(count)

    @property
    def count(self) -> int | None:
        """How many events were released or dropped; None while the outbox has not answered."""
        return self._answer.result() if self._answer.done() else None

    async def stored(self) -> int:
        """Wait until the outbox has done it. Returns the count."""
        return await asyncio.shield(asyncio.wrap_future(self._answer))

    def wait_stored(self, timeout: float | None = None) -> int:
        """The same as `stored`, for sync code. Raises TimeoutError after `timeout` seconds."""
        _wait(self._answer, timeout)
        return self._answer.result()

    def __await__(self) -> Generator[Any, None, int]:
        return self.stored().__await__()

    def __repr__(self) -> str:
        return f"<QueueReceipt {self.count}>"


def _wait(waiter: Future[Any], timeout: float | None) -> None:
    try:
        waiter.result(timeout)
    except FutureTimeout:
        raise TimeoutError(f"not done after {timeout} seconds") from None
