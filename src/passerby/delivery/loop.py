"""An event loop that survives forks and the exit of the interpreter."""

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

from .gil import GilHoldingPoll

AddressInfo = list[tuple[socket.AddressFamily, socket.SocketKind, int, str, Any]]


# Otherwise a host name lookup would load it in a thread that neither a fork nor the interpreter's exit waits for.
codecs.lookup("idna")


class HasFileno(Protocol):
    """A socket or the like."""

    def fileno(self) -> int: ...


FileDescriptorLike = int | HasFileno


class WorkerSelector(selectors.DefaultSelector):
    """Waits for the network, and can be held before it continues.

    The kernel's set of connections is shared with forked children. The copy of the loop there must not change it, or
    the parent would get no more events for its connections.
    """

    def __init__(self) -> None:
        super().__init__()
        self._process = os.getpid()
        self._ready_now: GilHoldingPoll | None = None
        self._holding = threading.Lock()  # the owner keeps the loop from continuing after its sleep
        self._working = threading.Lock()  # owned by the loop unless it sleeps
        self._working.acquire()

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Wait until there is work to do and the loop is not held.

        Only waiting releases the GIL. Polling keeps it, both when the loop has work to do and after a wait, when more
        may be ready, because getting the GIL back takes long while the app computes.
        """
        if timeout is not None and timeout <= 0 and (ready := self._poll_now()) is not None:
            return ready
        self._working.release()
        try:
            ready = super().select(timeout)
        finally:
            with self._holding:
                self._working.acquire()
        return (self._poll_now() if ready else None) or ready

    def _poll_now(self) -> list[tuple[selectors.SelectorKey, int]] | None:
        if self._ready_now is None:
            self._ready_now = GilHoldingPoll(self.get_map().values())
        return self._ready_now.poll()

    @property
    def is_inherited(self) -> bool:
        """Whether this is a forked child and the selector is its parent's."""
        return os.getpid() != self._process

    def register(self, fileobj: FileDescriptorLike, events: int, data: Any = None) -> selectors.SelectorKey:
        """Register a connection."""
        self._ready_now = None
        return super().register(fileobj, events, data)

    def unregister(self, fileobj: FileDescriptorLike) -> selectors.SelectorKey:
        """Unregister a connection."""
        self._ready_now = None
        return self.get_key(fileobj) if self.is_inherited else super().unregister(fileobj)

    def modify(self, fileobj: FileDescriptorLike, events: int, data: Any = None) -> selectors.SelectorKey:
        """Change the events of a connection."""
        self._ready_now = None
        return self.get_key(fileobj) if self.is_inherited else super().modify(fileobj, events, data)

    def hold(self, timeout: float) -> bool:
        """Wait until the loop sleeps, then hold it. Returns False if it did not sleep in time."""
        if not self._holding.acquire(timeout=timeout):
            return False
        if not self._working.acquire(timeout=timeout):
            self._holding.release()
            return False
        return True

    def release(self) -> None:
        """Let the loop continue."""
        self._working.release()
        self._holding.release()


class WorkerLoop(asyncio.SelectorEventLoop):
    """An event loop whose name lookups need no executor, which is not available when the interpreter exits."""

    _is_initialized = False

    def __init__(self) -> None:
        self.app_futures: set[Future[Any]] = set()  # futures the app waits for
        self._lookups: set[threading.Thread] = set()
        self.selector: WorkerSelector = WorkerSelector()
        super().__init__(self.selector)
        self._is_initialized = True

    def hold(self, timeout: float) -> bool:
        """Wait until the loop sleeps and no name lookup is running, then hold it. Returns False if that failed.

        If a fork interrupted a lookup, the C library's locks would never be released in the child.
        """
        until = time.monotonic() + timeout
        if not self.selector.hold(timeout):
            return False
        for lookup in list(self._lookups):
            lookup.join(max(0.0, until - time.monotonic()))
        return True

    def release(self) -> None:
        """Let the loop continue."""
        self.selector.release()

    def is_closed(self) -> bool:
        """Return whether it is closed. In a forked child it is, so that nothing is sent on the parent's connections."""
        if not self._is_initialized:  # no file descriptor was available; asyncio checks again on garbage collection
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
        """Resolve in a daemon thread, which does not delay the exit, or in this thread if none can be started."""
        found: Future[Any] = Future()

        def resolve() -> None:
            try:
                addresses = socket.getaddrinfo(host, port, family, type, proto, flags)
                with suppress(InvalidStateError):  # cancelled meanwhile
                    found.set_result(addresses)
            except BaseException as error:  # passed on to the caller
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
