"""Waits until events are stored, so that no response confirms an event before."""

from __future__ import annotations

import asyncio
from concurrent.futures import Future

from ..outbox.outbox import Outbox
from ..values.futures import wait_async, wait_while_async

_CHECK_INTERVAL = 0.1  # seconds between two checks whether the store still accepts events, if the wait has no limit


class StoreWait:
    """Waits for the outbox to store events, and counts those that it did not store in time.

    Args:
        outbox: the outbox.
        timeout: the longest wait in seconds; None for no limit.

    Attributes:
        is_needed: whether events are stored outside of this process's memory, so that there is something to wait for.
        store_timeouts: the number of events that were not stored in time. They may be stored later.
    """

    def __init__(self, outbox: Outbox, timeout: float | None) -> None:
        self._outbox = outbox
        self._timeout = timeout
        self.is_needed: bool = outbox.is_durable
        self.store_timeouts: int = 0

    def start(self, number: int) -> Future[None] | None:
        """Return a future for which to wait until events are stored, or None if there is nothing to wait for.

        While the store accepts nothing it returns None, because waiting would be useless.
        """
        if not self._outbox.unstored:
            return None
        if not self._outbox.is_working:
            self.store_timeouts += number
            return None
        return self._outbox.when_stored()

    async def wait_async(self, recorded: Future[None], number: int) -> None:
        """Wait for the future that `start` returned."""
        is_recorded = (
            await wait_while_async(recorded, _CHECK_INTERVAL, lambda: self._outbox.is_working)
            if self._timeout is None
            else await wait_async(recorded, self._timeout)
        )
        if not is_recorded:
            self.store_timeouts += number

    def wait_sync(self, number: int) -> None:
        """Wait until events are stored, for at most the timeout; without one until the store accepts nothing."""
        if not self._outbox.wait_stored(self._outbox.ticket, self._timeout):
            self.store_timeouts += number

    def wait_at_once(self) -> None:
        """Wait for one event for which no response waits, if waiting is allowed.

        An event loop must not block: there the app can await `Receipt.stored`.
        """
        if not _is_in_event_loop():
            self.wait_sync(1)


def _is_in_event_loop() -> bool:
    """Return whether a task of an event loop calls. A running loop is no proof: with gevent ours is in every thread."""
    try:
        return asyncio.current_task() is not None
    except RuntimeError:
        return False
