"""Socket calls that do not release the interpreter's lock (the GIL).

Calls of `socket` and `select` release it. If the app computes meanwhile, a thread gets it back only after the switch
interval of 5 ms, while the kernel needs 10 microseconds. In a saturated server this limited delivery to 250 events a
second, whatever the concurrency. Calls through `ctypes.PyDLL` keep the lock. They never block: sends and receives pass
MSG_DONTWAIT, polls a timeout of zero. Only the selector waits, which releases the lock.

They are used only while other threads compute: in an idle app, releasing the lock costs nothing and lets a request run
between two calls. The duration of an ordinary call shows which is the case.

If the C library cannot be called in this way, ordinary calls are used. Over TLS two calls per delivery still release
the GIL: OpenSSL's read and its write.
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

_SLOW = 0.001  # seconds; a call that took longer has waited for the GIL
_REMEMBERED = 0.25  # seconds until an ordinary call is tried again
_TLS_RECORD = 16_384  # bytes; a read of this size returns everything that has been decrypted
_RECEIVED = 16_384  # bytes received at once, at most; ordinary responses have a few hundred


class _PollFd(ctypes.Structure):
    """`struct pollfd` of poll(2), with the same layout on all systems."""

    _fields_ = (("fd", ctypes.c_int), ("events", ctypes.c_short), ("revents", ctypes.c_short))


class _Calls:
    """Functions of the C library."""

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
    """Whether other threads compute, so that getting the GIL back takes long. Shared by all threads."""

    _until = -inf

    @property
    def is_high(self) -> bool:
        """Whether to keep the GIL now."""
        return _calls is not None and time.monotonic() < self._until

    def note(self, begun: float) -> None:
        """Note the duration of a non-blocking call that released the GIL; it began at `begun` and has just ended."""
        now = time.monotonic()
        if now - begun > _SLOW:
            self._until = now + _REMEMBERED


contention: _Contention = _Contention()


class GilHoldingSocket(socket.socket):
    """A non-blocking TCP socket whose sends and receives keep the GIL while other threads compute."""

    def __init__(self, family: int) -> None:
        # The protocol is passed, because asyncio turns off Nagle's algorithm only if it is set.
        super().__init__(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        self.setblocking(False)
        self._received = bytearray(_RECEIVED)
        self._address = _address_of(self._received)

    def send(self, data: Any, flags: int = 0, /) -> int:
        """Send as much as the kernel accepts at once."""
        if _calls is None or not contention.is_high:
            begun = time.monotonic()
            try:
                return super().send(data, flags)
            finally:
                contention.note(begun)
        sent: int = _calls.send(self.fileno(), bytes(data), len(data), flags | _FLAGS)
        return sent if sent >= 0 else _fail()

    def recv(self, bufsize: int, flags: int = 0, /) -> bytes:
        """Receive the available bytes."""
        if _calls is None or not contention.is_high:
            return super().recv(bufsize, flags)
        return bytes(memoryview(self._received)[: self._receive(_calls, bufsize, flags)])

    def recv_into(self, buffer: Any, nbytes: int = 0, flags: int = 0) -> int:
        """Receive the available bytes into a buffer."""
        if _calls is None or not contention.is_high:
            return super().recv_into(buffer, nbytes, flags)
        view = memoryview(buffer).cast("B")
        size = self._receive(_calls, nbytes or len(view), flags)
        view[:size] = memoryview(self._received)[:size]
        return size

    def _receive(self, calls: _Calls, size: int, flags: int) -> int:
        received: int = calls.receive(self.fileno(), self._address, min(size, _RECEIVED), flags | _FLAGS)
        return received if received >= 0 else _fail()


class GilHoldingSSLObject(ssl.SSLObject):
    """TLS that does not call OpenSSL when no more data was received, since the call releases the GIL."""

    _incoming: ssl.MemoryBIO | None = None

    @classmethod
    def _create(cls, incoming: ssl.MemoryBIO, *arguments: Any, **options: Any) -> GilHoldingSSLObject:
        made: Any = super()._create(incoming, *arguments, **options)  # type: ignore[misc]
        made._incoming = incoming
        return made  # type: ignore[no-any-return]

    def read(self, len: int = 1024, buffer: Any = None) -> Any:
        """Decrypt the received data. Raises SSLWantReadError if there is none."""
        incoming = self._incoming
        if incoming is not None and not incoming.pending and not incoming.eof and len >= _TLS_RECORD:
            raise ssl.SSLWantReadError(ssl.SSL_ERROR_WANT_READ, "nothing more was received")
        return super().read(len, buffer)


class GilHoldingPoll:
    """Polls file descriptors without waiting and without releasing the GIL.

    Args:
        keys: the registered file descriptors of a selector.
    """

    def __init__(self, keys: Collection[selectors.SelectorKey]) -> None:
        self._keys = {key.fd: key for key in keys}
        self._polled = (_PollFd * len(keys))(*(_PollFd(key.fd, _events_of(key.events)) for key in keys))

    def poll(self) -> list[tuple[selectors.SelectorKey, int]] | None:
        """Return the ready file descriptors, as a selector does, or None if an ordinary poll should be used."""
        if (
            _calls is None
            or not contention.is_high
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
    """Translate events as the selectors do: an error or a hang-up means ready for reading and writing."""
    read, write = revents & ~select.POLLOUT, revents & ~select.POLLIN
    return (selectors.EVENT_READ if read else 0) | (selectors.EVENT_WRITE if write else 0)


def _address_of(buffer: bytearray) -> int:
    return ctypes.addressof(ctypes.c_char.from_buffer(buffer))


def _fail() -> int:
    number = ctypes.get_errno()
    raise OSError(number, os.strerror(number))  # of the subclass that belongs to the number


# Python ignores SIGPIPE; a host program that embeds it may not.
_FLAGS = getattr(socket, "MSG_DONTWAIT", 0) | getattr(socket, "MSG_NOSIGNAL", 0)
