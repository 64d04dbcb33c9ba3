"""Waiting, with a time limit, for futures that another thread completes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import Future, wait
from typing import Any

_POLL_INTERVAL = 0.5  # seconds; a signal that arrives just before a thread goes to sleep does not wake it


def wait_sync(waiter: Future[Any], timeout: float) -> bool:
    """Wait for a future for at most `timeout` seconds, then cancel it. Returns whether it was done in time.

    Ctrl-C ends the wait within half a second.
    """
    until = time.monotonic() + timeout
    while not wait([waiter], max(0.0, min(_POLL_INTERVAL, until - time.monotonic()))).done:
        if time.monotonic() >= until:
            waiter.cancel()
            return False
    return True


async def wait_async(waiter: Future[Any], timeout: float | None) -> bool:
    """Wait for a future for at most `timeout` seconds, then cancel it. Returns whether it was done in time.

    Raises RuntimeError in an event loop other than asyncio's.
    """
    wrapped = asyncio.wrap_future(waiter, loop=asyncio.get_running_loop())
    try:
        done, _ = await asyncio.wait([wrapped], timeout=timeout)
    finally:
        wrapped.cancel()  # no effect if it is done; otherwise it must not wake a loop that may be closed by then
    return bool(done)


async def wait_while_async(waiter: Future[Any], interval: float, should_continue: Callable[[], bool]) -> bool:
    """Wait for a future while a condition holds, then cancel it. Returns whether it was done.

    Args:
        waiter: the future.
        interval: seconds between two checks of the condition.
        should_continue: returns whether to go on waiting.

    Raises RuntimeError in an event loop other than asyncio's.
    """
    wrapped = asyncio.wrap_future(waiter, loop=asyncio.get_running_loop())
    try:
        while not (await asyncio.wait([wrapped], timeout=interval))[0]:
            if not should_continue():
                return False
    finally:
        wrapped.cancel()
    return True
