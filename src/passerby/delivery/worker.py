"""The worker: one background thread of this process with an event loop of its own.

Begun by the first piece of work, begun afresh after a fork, and asked to finish when the interpreter exits. The app's
own event loop is never used: it may be closed, replaced or blocked at any time.
"""

from __future__ import annotations

import asyncio
import atexit
import codecs
import logging
import os
import selectors
import socket
import sys
import threading
import weakref
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, Protocol, TypeVar

log = logging.getLogger("passerby.delivery")
T = TypeVar("T")

GATHERING = 0.005  # seconds between waking and looking for work: a busy app wakes the thread 200 times a second at most

HOLDING = 1.0  # seconds that a fork waits for the loop at most

AddressInfo = list[tuple[socket.AddressFamily, socket.SocketKind, int, str, Any]]


# Looking up a host name would load it in a thread that neither a fork nor the interpreter's exit waits for.
codecs.lookup("idna")


class HasFileno(Protocol):
    """A socket or the like."""

    def fileno(self) -> int: ...


FileDescriptorLike = int | HasFileno


class Process(Protocol):
    """What wants to know of the life of the process."""

    def on_exit(self) -> None:
        """The interpreter exits."""
        ...

    def hold_still(self) -> None:
        """The process is about to fork."""
        ...

    def go_on(self) -> None:
        """The process has forked, and this is the parent."""
        ...

    def begin_afresh(self) -> None:
        """This is a forked child; threads, locks and connections of the parent are not ours."""
        ...


_living: weakref.WeakSet[Process] = weakref.WeakSet()


def watch_process(process: Process) -> None:
    """Tell an object of exit and fork for as long as it lives; it is not kept alive by this."""
    _living.add(process)


def _on_exit() -> None:
    for process in list(_living):
        process.on_exit()


def _before_fork() -> None:
    for process in list(_living):
        process.hold_still()


def _after_fork_in_parent() -> None:
    for process in list(_living):
        process.go_on()


def _after_fork_in_child() -> None:
    for process in list(_living):
        process.begin_afresh()
    multiprocessing = sys.modules.get("multiprocessing.util")
    if multiprocessing is not None:  # its forked children end without what is registered with atexit
        multiprocessing.register_after_fork(_on_exit, _finish_with_multiprocessing)


def _finish_with_multiprocessing(on_exit: Callable[[], None]) -> None:
    sys.modules["multiprocessing.util"].Finalize(None, on_exit, exitpriority=0)


# Once per process, never per object: neither registration can be undone.
atexit.register(_on_exit)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child)


class WorkerSelector(selectors.DefaultSelector):
    """Waits for the network, and can be kept from going on.

    The kernel's set of connections is shared with forked children: what is left of the parent's loop there must not
    touch it, or the parent would never hear of its connections again.
    """

    def __init__(self) -> None:
        super().__init__()
        self._process = os.getpid()
        self._holding = threading.Lock()  # whoever has it keeps the loop from going on after its sleep
        self._working = threading.Lock()  # the loop has it unless it sleeps
        self._working.acquire()

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Wait as long as there is nothing to do, or as it is held."""
        self._working.release()
        try:
            return super().select(timeout)
        finally:
            with self._holding:
                self._working.acquire()

    @property
    def is_inherited(self) -> bool:
        """Whether it is the parent's, and this is a forked child."""
        return os.getpid() != self._process

    def unregister(self, fileobj: FileDescriptorLike) -> selectors.SelectorKey:
        """Stop to wait for a connection."""
        return self.get_key(fileobj) if self.is_inherited else super().unregister(fileobj)

    def modify(self, fileobj: FileDescriptorLike, events: int, data: Any = None) -> selectors.SelectorKey:
        """Wait for something else at a connection."""
        return self.get_key(fileobj) if self.is_inherited else super().modify(fileobj, events, data)

    def hold(self, timeout: float) -> bool:
        """Wait until the loop sleeps and keep it from going on; False if it has not slept in time."""
        if not self._holding.acquire(timeout=timeout):
            return False
        if not self._working.acquire(timeout=timeout):
            self._holding.release()
            return False
        return True

    def let_go(self) -> None:
        """Let the loop go on."""
        self._working.release()
        self._holding.release()


class WorkerLoop(asyncio.SelectorEventLoop):
    """An event loop whose name lookups need no executor, since there is none any more when the interpreter exits."""

    def __init__(self) -> None:
        self.selector = WorkerSelector()
        super().__init__(self.selector)

    def is_closed(self) -> bool:
        """Whether it is over. In a forked child the parent's is: nothing says farewell on the parent's connections."""
        return super().is_closed() or self.selector.is_inherited

    async def getaddrinfo(  # type: ignore[override]
        self,
        host: str | bytes | None,
        port: str | bytes | int | None,
        *,
        family: int = 0,
        type: int = 0,
        proto: int = 0,
        flags: int = 0,
    ) -> AddressInfo:
        """Resolve in a daemon thread, which nothing waits for at exit; where no thread can start, in this one."""
        found: Future[Any] = Future()

        def resolve() -> None:
            try:
                found.set_result(socket.getaddrinfo(host, port, family, type, proto, flags))
            except BaseException as error:  # handed on to whoever awaits
                found.set_exception(error)

        try:
            threading.Thread(target=resolve, name="passerby-resolver", daemon=True).start()
        except RuntimeError:
            resolve()
        result: AddressInfo = await asyncio.wrap_future(found, loop=self)
        return result


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
        self._wanted = False
        self._is_thwarted = False
        self._held: WorkerSelector | None = None
        self.stopping = False

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
            thread = threading.Thread(target=self._run, name=self._name, daemon=True)
            try:
                thread.start()
            except RuntimeError as error:
                if not self._is_thwarted:
                    log.warning("no thread for delivery (%s); events wait and the next one tries again", error)
                self._is_thwarted = True
                return False
            self._is_thwarted = False
            self._thread = thread
        return True

    def wake(self) -> None:
        """Have the loop look for work. Cheap while it is awake.

        The caller first adds its work, then notes that it is wanted, then looks whether the loop sleeps; the loop first
        notes that it sleeps and then looks whether it is wanted: whatever the order of the two, one of them sees the
        other.
        """
        self._wanted = True
        if self._asleep:
            self._asleep = False
            self.call(self._set_wake)

    def hold_still(self) -> None:
        """Wait until the loop sleeps and keep it from going on.

        A fork while it works, say in OpenSSL or in an import, would leave the child with locks that nobody releases.
        """
        loop = self._loop
        if loop is not None and loop.selector.hold(HOLDING):
            self._held = loop.selector

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
            loop.call_soon_threadsafe(function)

    def run(self, coroutine: Coroutine[Any, Any, T]) -> Future[T]:
        """Run a coroutine in the loop; starts the worker if need be. Raises RuntimeError if that cannot be."""
        if not self.start() or not self._started.wait(5) or self._loop is None:
            coroutine.close()
            raise RuntimeError("the delivery thread cannot be started")
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop)

    async def sleep(self, seconds: float | None) -> None:
        """In the loop: sleep until woken, or for some seconds. What comes while it gathers does not wake it again."""
        self._asleep = True
        if not self._wanted:
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._wake.wait()
        self._asleep = False
        self._wake.clear()
        if not self.stopping:
            await asyncio.sleep(GATHERING)
        self._wanted = False

    def nudge(self) -> None:
        """In the loop: end its sleep."""
        self._wanted = True
        self._set_wake()

    def stop(self, timeout: float | None) -> None:
        """Ask the thread to end and wait for it."""
        thread = self._thread
        if thread is None:
            return
        self.stopping = True
        self.call(self._set_wake)
        thread.join(timeout)

    def _set_wake(self) -> None:
        self._wake.set()

    def _run(self) -> None:
        loop = self._loop = WorkerLoop()
        try:
            self._wake = asyncio.Event()
            self._started.set()
            loop.run_until_complete(self._main(self))
            _cancel_rest(loop)
        except Exception:
            log.exception("the delivery thread failed; the next event starts it again")
        finally:
            self._loop = None
            self._thread = None
            loop.close()


def _cancel_rest(loop: asyncio.AbstractEventLoop) -> None:
    tasks = asyncio.all_tasks(loop)
    for task in tasks:
        task.cancel()
    if tasks:
        loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
    loop.run_until_complete(asyncio.sleep(0))  # connections that were let go close their sockets in the next round
