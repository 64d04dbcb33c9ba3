"""uvicorn's connection with access to its transport, which resets and truncated responses need.

It also limits clients: the time and size of headers, and the time in which they must read a response.
"""

from __future__ import annotations

import asyncio
from typing import Any, cast

from starlette.types import Scope

try:
    from uvicorn.protocols.http.auto import AutoHTTPProtocol
except ModuleNotFoundError as _error:
    raise ModuleNotFoundError(
        'The collector is served by uvicorn, which is not installed. Run: pip install "passerby[collector]"',
        name="uvicorn",
    ) from _error

TRANSPORT = "passerby.collector.transport"
MAX_HEAD = 65_536  # bytes of a request before its body
HEAD_TIMEOUT = 30.0  # seconds in which the headers must arrive
UNREAD_TIMEOUT = 10.0  # seconds in which a client must read part of a response
LOOK_EVERY = 2.0  # seconds


class TransportInState(asyncio.Protocol):
    """Put the transport into the state that uvicorn copies into the scope of each request."""

    app_state: dict[str, Any]
    access_log: bool
    cycle: Any  # the latest request of the connection

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Store the transport of a new connection."""
        super().connection_made(transport)
        self.app_state = {**self.app_state, TRANSPORT: transport}
        self.access_log = False  # of this server alone; uvicorn's own switch is one for the whole process
        self._watch = ClientTimeouts(cast(asyncio.Transport, transport))

    def data_received(self, data: bytes) -> None:
        """Process received bytes."""
        before = self.cycle
        is_body = before is not None and before.more_body
        super().data_received(data)
        if self.cycle is not before:
            self._watch.end_head()
        elif not is_body:
            self._watch.add_to_head(len(data))

    def connection_lost(self, exc: Exception | None) -> None:
        """End a connection."""
        self._watch.end()
        super().connection_lost(exc)


class ClientTimeouts:
    """Aborts the connection of a client that is too slow or sends too large headers."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._loop = asyncio.get_running_loop()
        self._head = 0
        self._head_since: float | None = self._loop.time()
        self._unread = 0
        self._unread_for = 0.0
        self._next = self._loop.call_later(LOOK_EVERY, self._look)

    def add_to_head(self, size: int) -> None:
        """Count bytes that arrived before a request."""
        if self._head_since is None:
            self._head_since = self._loop.time()
        self._head += size
        if self._head > MAX_HEAD:
            self._transport.abort()

    def end_head(self) -> None:
        """The headers are complete."""
        self._head, self._head_since = 0, None

    def end(self) -> None:
        """Stop the checks."""
        self._next.cancel()

    def _look(self) -> None:
        now = self._loop.time()
        unread = self._transport.get_write_buffer_size()
        # The time of a process that stood still between two looks is not the client's.
        self._unread_for = self._unread_for + LOOK_EVERY if unread and unread == self._unread else 0.0
        self._unread = unread
        is_slow = self._head_since is not None and now - self._head_since > HEAD_TIMEOUT
        if is_slow or self._unread_for > UNREAD_TIMEOUT:
            self._transport.abort()
            return
        self._next = self._loop.call_later(LOOK_EVERY, self._look)


def transport_of(scope: Scope) -> asyncio.Transport:
    """Return the transport of a request."""
    return cast(asyncio.Transport, scope["state"][TRANSPORT])


Connection: type[asyncio.Protocol] = type("Connection", (TransportInState, AutoHTTPProtocol), {})
