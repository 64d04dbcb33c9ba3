"""Waiting, in an event loop, for what a thread will do."""

from __future__ import annotations

import asyncio
from concurrent.futures import Future
from typing import Any


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
