"""The receipt that a tracking call returns. It can be ignored, awaited, or read."""

from __future__ import annotations

import asyncio
from collections.abc import Generator, Mapping, Sequence
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

    __slots__ = ("__weakref__", "_awaited", "_outcomes", "_stored", "_waiters", "event_id")

    def __init__(self, event_id: str | None, destinations: Sequence[str]) -> None:
        self.event_id: str | None = event_id
        self._awaited = destinations
        self._outcomes: dict[str, Outcome] = {}
        self._stored = False
        self._waiters: list[tuple[bool, Future[None]]] = []

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


def _wait(waiter: Future[None], timeout: float | None) -> None:
    try:
        waiter.result(timeout)
    except FutureTimeout:
        raise TimeoutError(f"not done after {timeout} seconds") from None
