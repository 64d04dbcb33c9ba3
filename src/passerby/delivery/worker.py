"""The worker: one background thread of this process with its own event loop.

Started by the first event, started again after a fork, and stopped when the interpreter exits. The app's event loop is
never used: it may be closed, replaced or blocked at any time.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from contextvars import Context
from logging import Logger
from typing import Any, TypeVar

from ..errors import RemoteError
from ..logs import get_logger
from ..process import leave_signals_to_the_app
from .loop import WorkerLoop

log: Logger = get_logger("passerby.delivery")
T = TypeVar("T")

WAKE_DELAY = (
    0.005  # seconds between waking and looking for work: a busy app wakes the thread 200 times a second at most
)

FORK_WAIT = 1.0  # seconds for which a fork waits for the loop, at most


class Worker:
    """Runs one coroutine function in a separate thread and event loop, until it is stopped.

    Args:
        main: called in the loop; must end soon after `stopping` is set.
        name: the thread's name.
    """

    def __init__(self, main: Callable[[Worker], Coroutine[Any, Any, None]], name: str) -> None:
        self._main = main
        self._name = name
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None
        self._loop: WorkerLoop | None = None
        self._started = threading.Event()
        self._wake = asyncio.Event()
        self._is_sleeping = False
        self._is_woken = False
        self._has_failed_to_start = False
        self._held: WorkerLoop | None = None
        self.stopping: bool = False

    @property
    def is_running(self) -> bool:
        """Whether the thread is alive."""
        thread = self._thread
        return thread is not None and thread.is_alive()

    def start(self) -> bool:
        """Start the thread unless it is running. Returns False if no thread can be started now."""
        return self._thread is not None or self._begin()

    def _begin(self) -> bool:
        with self._starting:
            if self._thread is not None:
                return True
            self.stopping = False
            self._started = threading.Event()
            self._thread = threading.Thread(target=Context().run, args=(self._run,), name=self._name, daemon=True)
            try:
                self._thread.start()
            except RuntimeError as error:
                self._thread = None
                if not self._has_failed_to_start:
                    log.warning("cannot start the delivery thread (%s); events wait, the next one retries", error)
                self._has_failed_to_start = True
                return False
            self._has_failed_to_start = False
        return True

    def wake(self) -> None:
        """Wake the loop because there is work. Cheap while it is awake.

        The caller first adds its work, then sets the flag for work, then checks whether the loop sleeps. The loop first
        sets the flag for sleeping, then checks for work. So in any order at least one sees the other.
        """
        self._is_woken = True
        if self._is_sleeping:
            self._is_sleeping = False  # awake soon: no other thread needs to wake it
            self.call(self._set_wake)
        self.start()  # in case it has ended since the caller looked

    def before_fork(self) -> None:
        """Wait until the loop sleeps, then hold it.

        A fork while it works, for example in OpenSSL or in an import, would leave locks in the child that are never
        released.
        """
        loop = self._loop
        if loop is not None and loop.hold(FORK_WAIT):
            self._held = loop

    def after_fork_in_parent(self) -> None:
        """Let the loop continue."""
        held, self._held = self._held, None
        if held is not None:
            held.release()

    def call(self, function: Callable[[], object]) -> None:
        """Call a function in the loop soon. Does nothing if the loop has ended."""
        loop = self._loop
        if loop is None:
            return
        with suppress(RuntimeError):  # closed in between
            # Without the caller's context, which would keep a request's tracker alive through our connections.
            loop.call_soon_threadsafe(function, context=Context())

    def run(self, coroutine: Coroutine[Any, Any, T]) -> Future[T]:
        """Run a coroutine in the loop; starts the worker if necessary. Raises RuntimeError if that is impossible."""
        loop = self._loop if self.start() and self._started.wait(5) else None
        if loop is None or self.stopping:
            coroutine.close()
            raise RuntimeError("the delivery thread " + ("is ending" if self.stopping else "cannot be started"))
        try:
            running = Context().run(asyncio.run_coroutine_threadsafe, coroutine, loop)
        except RuntimeError:  # closed in between
            coroutine.close()
            raise RuntimeError("the delivery thread is ending") from None
        answer = _follow(running)
        loop.app_futures.add(answer)
        answer.add_done_callback(loop.app_futures.discard)
        if loop.is_closed():  # too late for the thread to see it
            coroutine.close()
            _fail_closed(answer)
        return answer

    async def sleep(self, seconds: float | None) -> None:
        """In the loop: sleep for some seconds or until woken.

        Events recorded during the delay after waking do not wake it again.
        """
        self._is_sleeping = True
        if not self._is_woken:
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._wake.wait()
        self._is_sleeping = False
        self._wake.clear()
        if self.stopping:
            return  # keep the flags that are set from now on
        await asyncio.sleep(WAKE_DELAY)
        with self._starting:
            if not self.stopping:
                self._is_woken = False

    def wake_in_loop(self) -> None:
        """In the loop: end its sleep. Tasks that end because the loop stops must not restart it."""
        with self._starting:
            self._is_woken = not self.stopping or self._is_woken
        self._set_wake()

    def stop(self, timeout: float | None) -> None:
        """Stop the thread and wait for it."""
        with self._starting:
            thread = self._thread
            if thread is None:
                return
            self._is_woken = False
            self.stopping = True
        self.call(self._set_wake)
        thread.join(timeout)

    def _set_wake(self) -> None:
        self._wake.set()

    def _run(self) -> None:
        leave_signals_to_the_app()
        loop: WorkerLoop | None = None
        started = self._started
        try:
            loop = self._loop = WorkerLoop()
            self._wake = asyncio.Event()
            started.set()
            loop.run_until_complete(self._main(self))
            loop.run_until_complete(cancel_others())
            loop.run_until_complete(asyncio.sleep(0))  # closed connections close their sockets now
        except Exception:
            log.exception("the delivery thread failed; the next event starts it again")
        finally:
            self._loop = None
            with self._starting:
                self._thread = None
            started.set()
            if loop is not None:
                loop.close()
                for answer in list(loop.app_futures):
                    _fail_closed(answer)
        if self.stopping and self._is_woken:  # woken while it stopped
            self._begin()


def _follow(running: Future[T]) -> Future[T]:
    """Return a future with the result of another one. Only the app can cancel it."""
    answer: Future[T] = Future()

    def hand_on(ended: Future[T]) -> None:
        if ended.cancelled():  # because the loop has ended, perhaps before its first step
            _fail_closed(answer)
            return
        error = ended.exception()
        with suppress(InvalidStateError):  # cancelled by the app
            if error is not None:
                answer.set_exception(error)
            else:
                answer.set_result(ended.result())

    running.add_done_callback(hand_on)
    answer.add_done_callback(lambda given_up: given_up.cancelled() and running.cancel())
    return answer


def _fail_closed(answer: Future[Any]) -> None:
    """Fail a future because the loop has ended."""
    with suppress(InvalidStateError):
        answer.set_exception(RemoteError("delivery was closed before the response arrived; try again"))


async def cancel_others() -> None:
    """Cancel all other tasks of this loop, including those that they start, and wait until they have ended."""
    await asyncio.sleep(0)  # a task that is cancelled before its first step cannot clean up
    while others := asyncio.all_tasks() - {asyncio.current_task()}:
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
