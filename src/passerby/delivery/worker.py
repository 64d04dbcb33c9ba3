"""The worker: one background thread of this process with an event loop of its own.

Begun by the first piece of work, begun afresh after a fork, and asked to finish when the interpreter exits. The app's
own event loop is never used: it may be closed, replaced or blocked at any time.
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
from .loop import WorkerLoop

log: Logger = get_logger("passerby.delivery")
T = TypeVar("T")

GATHERING = 0.005  # seconds between waking and looking for work: a busy app wakes the thread 200 times a second at most

HOLDING = 1.0  # seconds that a fork waits for the loop at most


class Worker:
    """Runs one coroutine function in a thread and a loop of its own, until it is told to stop.

    Args:
        main: called in the loop; is to end soon after `stopping` is set.
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
        self._asleep = False
        self._is_sleeping = False
        self._is_roused = False
        self._wanted = False
        self._is_thwarted = False
        self._held: WorkerLoop | None = None
        self.stopping: bool = False

    @property
    def is_running(self) -> bool:
        """Whether the thread is there."""
        thread = self._thread
        return thread is not None and thread.is_alive()

    def start(self) -> bool:
        """Start the thread unless it runs; False if no thread can be started now."""
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
                if not self._is_thwarted:
                    log.warning("no thread for delivery (%s); events wait and the next one tries again", error)
                self._is_thwarted = True
                return False
            self._is_thwarted = False
        return True

    def wake(self) -> None:
        """Have the loop look for events to send. Cheap while it is awake, or while there is no room for any.

        The caller first adds its work, then notes that it is wanted, then looks whether the loop sleeps; the loop first
        notes that it sleeps and then looks whether it is wanted: whatever the order of the two, one of them sees the
        other.
        """
        self._wanted = True
        if self._asleep:
            self._asleep = self._is_sleeping = False
            self.call(self._set_wake)
        self.start()  # in case it has ended since the caller looked

    def rouse(self) -> None:
        """Have the loop look around, whatever it sleeps for."""
        self._is_roused = True
        if self._is_sleeping:
            self._is_sleeping = self._asleep = False  # awake soon: nobody else need wake it
            self.call(self._set_wake)
        self.start()  # in case it has ended since the caller looked

    def hold_still(self) -> None:
        """Wait until the loop sleeps and keep it from going on.

        A fork while it works, say in OpenSSL or in an import, would leave the child with locks that nobody releases.
        """
        loop = self._loop
        if loop is not None and loop.hold(HOLDING):
            self._held = loop

    def go_on(self) -> None:
        """Let the loop go on."""
        held, self._held = self._held, None
        if held is not None:
            held.let_go()

    def call(self, function: Callable[[], object]) -> None:
        """Call a function in the loop soon; nothing happens if the loop is gone."""
        loop = self._loop
        if loop is None:
            return
        with suppress(RuntimeError):  # closed in between
            # Of the caller's context nothing must stay with us: connections would keep a request's tracker alive.
            loop.call_soon_threadsafe(function, context=Context())

    def run(self, coroutine: Coroutine[Any, Any, T]) -> Future[T]:
        """Run a coroutine in the loop; starts the worker if need be. Raises RuntimeError if that cannot be."""
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
        loop.asked.add(answer)
        answer.add_done_callback(loop.asked.discard)
        if loop.is_closed():  # too late for the thread to see it
            coroutine.close()
            _disappoint(answer)
        return answer

    async def sleep(self, seconds: float | None, *, for_events: bool) -> None:
        """In the loop: sleep until roused, or for some seconds; and until woken, if events would find room.

        What comes while it gathers does not wake it again.
        """
        self._is_sleeping = True
        self._asleep = for_events
        if not (self._is_roused or (self._wanted and for_events)):
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._wake.wait()
        self._is_sleeping = self._asleep = False
        self._wake.clear()
        if self.stopping:
            return  # who wants something from now on has to be remembered
        await asyncio.sleep(GATHERING)
        with self._starting:
            if not self.stopping:
                self._wanted = self._is_roused = False

    def nudge(self) -> None:
        """In the loop: end its sleep. What ends because the loop stops is no reason to begin again."""
        with self._starting:
            self._is_roused = not self.stopping or self._is_roused
        self._set_wake()

    def stop(self, timeout: float | None) -> None:
        """Ask the thread to end and wait for it."""
        with self._starting:
            thread = self._thread
            if thread is None:
                return
            self._wanted = self._is_roused = False
            self.stopping = True
        self.call(self._set_wake)
        thread.join(timeout)

    def _set_wake(self) -> None:
        self._wake.set()

    def _run(self) -> None:
        loop: WorkerLoop | None = None
        started = self._started
        try:
            loop = self._loop = WorkerLoop()
            self._wake = asyncio.Event()
            started.set()
            loop.run_until_complete(self._main(self))
            loop.run_until_complete(cancel_others())
            loop.run_until_complete(asyncio.sleep(0))  # connections that were let go close their sockets now
        except Exception:
            log.exception("the delivery thread failed; the next event starts it again")
        finally:
            self._loop = None
            with self._starting:
                self._thread = None
            started.set()
            if loop is not None:
                loop.close()
                for answer in list(loop.asked):
                    _disappoint(answer)
        if self.stopping and (self._wanted or self._is_roused):  # somebody came while it stopped
            self._begin()


def _follow(running: Future[T]) -> Future[T]:
    """Return a future that ends as another does, except that only the app can cancel it."""
    answer: Future[T] = Future()

    def hand_on(ended: Future[T]) -> None:
        if ended.cancelled():  # by the end of the loop, perhaps before its first step
            _disappoint(answer)
            return
        error = ended.exception()
        with suppress(InvalidStateError):  # the app has given up
            if error is not None:
                answer.set_exception(error)
            else:
                answer.set_result(ended.result())

    running.add_done_callback(hand_on)
    answer.add_done_callback(lambda given_up: given_up.cancelled() and running.cancel())
    return answer


def _disappoint(answer: Future[Any]) -> None:
    """Tell whoever waits for what the loop can no longer do."""
    with suppress(InvalidStateError):
        answer.set_exception(RemoteError("delivery was closed before there was an answer; ask again"))


async def cancel_others() -> None:
    """Cancel all other tasks of this loop and see them end, with those that they begin or leave behind."""
    await asyncio.sleep(0)  # a task that is cancelled before its first step could not say why
    while others := asyncio.all_tasks() - {asyncio.current_task()}:
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
