"""Socket calls that do not release the interpreter's lock (the GIL).

The calls of `socket` and `select` release it, and beside an app that computes a thread gets it back only after the
switch interval: 5 ms for what takes the kernel 10 microseconds. In a saturated server that came to 250 deliveries a
second, whatever the concurrency. Calls through `ctypes.PyDLL` keep the lock. They never block: sends and receives pass
MSG_DONTWAIT, polls a timeout of zero. Waiting stays the selector's, which releases the lock.

They are used only while others compute: where the app has little to do, releasing costs nothing, and lets a request in
that comes between two calls. How long an ordinary call takes says which is the case.

Where the C library cannot be called in this way, the ordinary calls are used. Over TLS two calls per delivery still
release the GIL: OpenSSL's read and its write.
"""

from __future__ import annotations

import ctypes
import os
import select
import selectors
import socket
import ssl
import time
from collections.abc import Collection
from math import inf
from typing import Any

_SLOW = 0.001  # seconds; what takes the kernel microseconds has waited for the GIL
_REMEMBERED = 0.25  # seconds until an ordinary call is tried again
_TLS_RECORD = 16_384  # bytes; who asks for that many gets all that has been decrypted
_RECEIVED = 16_384  # bytes received at once at most; ordinary answers have a few hundred


class _PollFd(ctypes.Structure):
    """`struct pollfd` of poll(2), which has one layout on all systems."""

    _fields_ = (("fd", ctypes.c_int), ("events", ctypes.c_short), ("revents", ctypes.c_short))


class _Calls:
    """The C library's functions."""

    def __init__(self) -> None:
        library = ctypes.PyDLL(None, use_errno=True)
        self.send = library.send
        self.send.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_size_t, ctypes.c_int)
        self.send.restype = ctypes.c_ssize_t
        self.receive = library.recv
        self.receive.argtypes = (ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
        self.receive.restype = ctypes.c_ssize_t
        self.poll = library.poll
        self.poll.argtypes = (ctypes.c_void_p, ctypes.c_ulong, ctypes.c_int)
        self.poll.restype = ctypes.c_int


def _find_calls() -> _Calls | None:
    if not hasattr(select, "poll") or not hasattr(socket, "MSG_DONTWAIT"):
        return None
    try:
        return _Calls()
    except (OSError, TypeError, AttributeError, RuntimeError):  # no such library, or an audit hook that refuses
        return None


_calls = _find_calls()


class _Contention:
    """Whether others compute, so that the GIL is slow to come back. Shared by all threads."""

    _until = -inf

    @property
    def is_there(self) -> bool:
        """Whether the GIL is to be kept now."""
        return _calls is not None and time.monotonic() < self._until

    def note(self, begun: float) -> None:
        """A call that never blocks, and released the GIL, began at a time and is over."""
        now = time.monotonic()
        if now - begun > _SLOW:
            self._until = now + _REMEMBERED


contention: _Contention = _Contention()


class GilHoldingSocket(socket.socket):
    """A non-blocking TCP socket whose sends and receives keep the GIL while others compute."""

    def __init__(self, family: int) -> None:
        # The protocol is named, because asyncio switches off Nagle's algorithm only where it is.
        super().__init__(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        self.setblocking(False)
        self._received = bytearray(_RECEIVED)
        self._address = _address_of(self._received)

    def send(self, data: Any, flags: int = 0, /) -> int:
        """Send what the kernel takes at once."""
        if _calls is None or not contention.is_there:
            begun = time.monotonic()
            try:
                return super().send(data, flags)
            finally:
                contention.note(begun)
        sent: int = _calls.send(self.fileno(), bytes(data), len(data), flags | _FLAGS)
        return sent if sent >= 0 else _fail()

    def recv(self, bufsize: int, flags: int = 0, /) -> bytes:
        """Receive what there is."""
        if _calls is None or not contention.is_there:
            return super().recv(bufsize, flags)
        return bytes(memoryview(self._received)[: self._receive(_calls, bufsize, flags)])

    def recv_into(self, buffer: Any, nbytes: int = 0, flags: int = 0) -> int:
        """Receive what there is into a buffer."""
        if _calls is None or not contention.is_there:
            return super().recv_into(buffer, nbytes, flags)
        view = memoryview(buffer).cast("B")
        size = self._receive(_calls, nbytes or len(view), flags)
        view[:size] = memoryview(self._received)[:size]
        return size

    def _receive(self, calls: _Calls, size: int, flags: int) -> int:
        received: int = calls.receive(self.fileno(), self._address, min(size, _RECEIVED), flags | _FLAGS)
        return received if received >= 0 else _fail()


class SparingSSLObject(ssl.SSLObject):
    """TLS that does not ask OpenSSL for more where nothing more was received: asking releases the GIL."""

    _incoming: ssl.MemoryBIO | None = None

    @classmethod
    def _create(cls, incoming: ssl.MemoryBIO, *arguments: Any, **options: Any) -> SparingSSLObject:
        made: Any = super()._create(incoming, *arguments, **options)  # type: ignore[misc]
        made._incoming = incoming
        return made  # type: ignore[no-any-return]

    def read(self, len: int = 1024, buffer: Any = None) -> Any:
        """Decrypt what was received; raises SSLWantReadError where that is nothing."""
        incoming = self._incoming
        if incoming is not None and not incoming.pending and not incoming.eof and len >= _TLS_RECORD:
            raise ssl.SSLWantReadError(ssl.SSL_ERROR_WANT_READ, "nothing more was received")
        return super().read(len, buffer)


class ReadyNow:
    """Says which of some file descriptors are ready, without waiting and without releasing the GIL.

    Args:
        keys: what is waited for, as a selector has it.
    """

    def __init__(self, keys: Collection[selectors.SelectorKey]) -> None:
        self._keys = {key.fd: key for key in keys}
        self._polled = (_PollFd * len(keys))(*(_PollFd(key.fd, _events_of(key.events)) for key in keys))

    def look(self) -> list[tuple[selectors.SelectorKey, int]] | None:
        """Return what is ready, as a selector does; None if an ordinary look does as well."""
        if (
            _calls is None
            or not contention.is_there
            or _calls.poll(ctypes.addressof(self._polled), len(self._polled), 0) < 0
        ):
            return None
        return [
            (self._keys[one.fd], ready)
            for one in self._polled
            if one.revents and (ready := _ready_of(one.revents) & self._keys[one.fd].events)
        ]


def _events_of(events: int) -> int:
    read, write = events & selectors.EVENT_READ, events & selectors.EVENT_WRITE
    return (select.POLLIN if read else 0) | (select.POLLOUT if write else 0)


def _ready_of(revents: int) -> int:
    """Translate as the selectors do: an error or a hang-up is ready for both."""
    read, write = revents & ~select.POLLOUT, revents & ~select.POLLIN
    return (selectors.EVENT_READ if read else 0) | (selectors.EVENT_WRITE if write else 0)


def _address_of(buffer: bytearray) -> int:
    return ctypes.addressof(ctypes.c_char.from_buffer(buffer))


def _fail() -> int:
    number = ctypes.get_errno()
    raise OSError(number, os.strerror(number))  # of the subclass that belongs to the number


# Python ignores SIGPIPE; a host program that embeds it may not.
_FLAGS = getattr(socket, "MSG_DONTWAIT", 0) | getattr(socket, "MSG_NOSIGNAL", 0)
