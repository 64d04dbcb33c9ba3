"""Waiting for what a thread will do."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import Future, wait
from typing import Any

_LOOK = 0.5  # seconds; a signal that comes just before a thread falls asleep does not wake it


def wait_sync(waiter: Future[Any], timeout: float) -> bool:
    """Wait for a thread's future, at most so many seconds, and give it up then; whether it was done in time.

    Ctrl-C ends it within half a second, whenever it comes.
    """
    until = time.monotonic() + timeout
    while not wait([waiter], max(0.0, min(_LOOK, until - time.monotonic()))).done:
        if time.monotonic() >= until:
            waiter.cancel()
            return False
    return True


async def wait_async(waiter: Future[Any], timeout: float | None) -> bool:
    """Wait for a thread's future, at most so many seconds, and give it up then; whether it was done in time.

    Raises RuntimeError in another event loop than asyncio's.
    """
    wrapped = asyncio.wrap_future(waiter, loop=asyncio.get_running_loop())
    try:
        done, _ = await asyncio.wait([wrapped], timeout=timeout)
    finally:
        wrapped.cancel()  # nothing to one that is done; the other must not wake a loop that may be closed by then
    return bool(done)


async def wait_while_async(waiter: Future[Any], pause: float, goes_on: Callable[[], bool]) -> bool:
    """Wait for a thread's future as long as that makes sense, and give it up then; whether it was done.

    Args:
        waiter: the future.
        pause: seconds between two looks whether waiting makes sense.
        goes_on: says so.

    Raises RuntimeError in another event loop than asyncio's.
    """
    wrapped = asyncio.wrap_future(waiter, loop=asyncio.get_running_loop())
    try:
        while not (await asyncio.wait([wrapped], timeout=pause))[0]:
            if not goes_on():
                return False
    finally:
        wrapped.cancel()
    return True
