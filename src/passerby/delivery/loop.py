"""An event loop that survives what happens to a process: forks, and the end of the interpreter."""

from __future__ import annotations

import asyncio
import codecs
import os
import selectors
import socket
import threading
import time
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from typing import Any, Protocol

from .gil import ReadyNow

AddressInfo = list[tuple[socket.AddressFamily, socket.SocketKind, int, str, Any]]


# Looking up a host name would load it in a thread that neither a fork nor the interpreter's exit waits for.
codecs.lookup("idna")


class HasFileno(Protocol):
    """A socket or the like."""

    def fileno(self) -> int: ...


FileDescriptorLike = int | HasFileno


class WorkerSelector(selectors.DefaultSelector):
    """Waits for the network, and can be kept from going on.

    The kernel's set of connections is shared with forked children: what is left of the parent's loop there must not
    touch it, or the parent would never hear of its connections again.
    """

    def __init__(self) -> None:
        super().__init__()
        self._process = os.getpid()
        self._ready_now: ReadyNow | None = None
        self._holding = threading.Lock()  # whoever has it keeps the loop from going on after its sleep
        self._working = threading.Lock()  # the loop has it unless it sleeps
        self._working.acquire()

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Wait as long as there is nothing to do, or as it is held.

        Only waiting releases the GIL: looking does not, neither where the loop has work to do, nor after the wait, when
        more may be ready, since beside an app that computes it takes a while to get the GIL back.
        """
        if timeout is not None and timeout <= 0 and (ready := self._look()) is not None:
            return ready
        self._working.release()
        try:
            ready = super().select(timeout)
        finally:
            with self._holding:
                self._working.acquire()
        return (self._look() if ready else None) or ready

    def _look(self) -> list[tuple[selectors.SelectorKey, int]] | None:
        if self._ready_now is None:
            self._ready_now = ReadyNow(self.get_map().values())
        return self._ready_now.look()

    @property
    def is_inherited(self) -> bool:
        """Whether it is the parent's, and this is a forked child."""
        return os.getpid() != self._process

    def register(self, fileobj: FileDescriptorLike, events: int, data: Any = None) -> selectors.SelectorKey:
        """Wait for a connection."""
        self._ready_now = None
        return super().register(fileobj, events, data)

    def unregister(self, fileobj: FileDescriptorLike) -> selectors.SelectorKey:
        """Stop to wait for a connection."""
        self._ready_now = None
        return self.get_key(fileobj) if self.is_inherited else super().unregister(fileobj)

    def modify(self, fileobj: FileDescriptorLike, events: int, data: Any = None) -> selectors.SelectorKey:
        """Wait for something else at a connection."""
        self._ready_now = None
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

    _is_whole = False

    def __init__(self) -> None:
        self.asked: set[Future[Any]] = set()  # what the app waits for
        self._lookups: set[threading.Thread] = set()
        self.selector: WorkerSelector = WorkerSelector()
        super().__init__(self.selector)
        self._is_whole = True

    def hold(self, timeout: float) -> bool:
        """Wait until the loop sleeps and no name is being looked up, and keep it from going on; False if that failed.

        The C library's locks of a lookup that a fork interrupts would never be released in the child.
        """
        until = time.monotonic() + timeout
        if not self.selector.hold(timeout):
            return False
        for lookup in list(self._lookups):
            lookup.join(max(0.0, until - time.monotonic()))
        return True

    def let_go(self) -> None:
        """Let the loop go on."""
        self.selector.let_go()

    def is_closed(self) -> bool:
        """Whether it is over. In a forked child the parent's is: nothing says farewell on the parent's connections."""
        if not self._is_whole:  # no file descriptor was left for it; asyncio asks once more when it is let go
            return True
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
                addresses = socket.getaddrinfo(host, port, family, type, proto, flags)
                with suppress(InvalidStateError):  # nobody waits any more
                    found.set_result(addresses)
            except BaseException as error:  # handed on to whoever awaits
                with suppress(InvalidStateError):
                    found.set_exception(error)
            finally:
                self._lookups.discard(thread)

        thread = threading.Thread(target=resolve, name="passerby-resolver", daemon=True)
        self._lookups.add(thread)
        try:
            thread.start()
        except RuntimeError:
            resolve()
        result: AddressInfo = await asyncio.wrap_future(found, loop=self)
        return result
