"""The barrier: nobody is told that an event was taken before it is recorded."""

from __future__ import annotations

import asyncio
from concurrent.futures import Future, wait

from ..outbox import Outbox
from ..values.futures import wait_async, wait_while_async

_LOOK = 0.1  # seconds between two looks whether the disk still takes events, where the wait has no limit


class StoreWait:
    """Waits for the outbox to record what was told, and counts what it did not record in time.

    Args:
        outbox: where events wait.
        timeout: how many seconds anybody waits at most; None for no limit.

    Attributes:
        store_timeouts: how many events were not recorded in time. They may be recorded all the same.
    """

    def __init__(self, outbox: Outbox, timeout: float | None) -> None:
        self._outbox = outbox
        self._timeout = timeout
        self.store_timeouts: int = 0

    def start(self, number: int) -> Future[None] | None:
        """Return what to wait for until so many events are recorded, or None if there is nothing to wait for.

        While the disk takes nothing nobody waits, as that would be in vain.
        """
        recorded = self._outbox.when_stored()
        if recorded is not None and not self._outbox.is_recording:
            recorded.cancel()
            self.store_timeouts += number
            return None
        return recorded

    async def wait_async(self, recorded: Future[None], number: int) -> None:
        """Wait for what `begin` has returned."""
        is_recorded = (
            await wait_while_async(recorded, _LOOK, self._is_recording)
            if self._timeout is None
            else await wait_async(recorded, self._timeout)
        )
        if not is_recorded:
            self.store_timeouts += number

    def wait_sync(self, recorded: Future[None], number: int) -> None:
        """Do as `pass_async` does, in sync code."""
        pause = _LOOK if self._timeout is None else self._timeout
        while not wait([recorded], pause).done:
            if self._timeout is not None or not self._is_recording():
                recorded.cancel()
                self.store_timeouts += number
                return

    def _is_recording(self) -> bool:
        return self._outbox.is_recording and not self._outbox.is_closed

    def wait_at_once(self) -> None:
        """Wait for one event for which no response waits, where waiting is allowed.

        An event loop must not wait: there the app awaits `Receipt.stored` where it wants to be sure.
        """
        if not _is_in_event_loop():
            recorded = self.start(1)
            if recorded is not None:
                self.wait_sync(recorded, 1)


def _is_in_event_loop() -> bool:
    """Whether a task of an event loop calls. A loop alone says nothing: under gevent ours is in everybody's thread."""
    try:
        return asyncio.current_task() is not None
    except RuntimeError:
        return False
