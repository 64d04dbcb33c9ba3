"""One connection to one origin, kept alive between calls: asyncio's streams for bytes and TLS, h11 for HTTP.

h11 comes with httpx, which speaks through it too. Used directly it delivers an event for less than a third of the CPU
time, which is the app's own: the background thread and the app share one interpreter.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import SplitResult

import h11

from ..destinations import Answer, Call
from ..destinations.target import is_public_address

MAX_BODY = 1_000_000  # bytes of an answer that are read; the rest cannot be an answer to what we send
_MAX_HEAD = 65_536  # bytes of status line and headers
_READ = 65_536  # bytes read at once
_KEEP_ALIVE = 30.0  # seconds; below the 60 at which common load balancers hang up


class HungUp(Exception):
    """The other side ended a kept connection before it said anything to this call."""


class PrivateAddress(OSError):
    """A host that must be public has only addresses that are not."""


class _Reader(asyncio.StreamReader):
    """What was received, and whether all of it was read.

    Attributes:
        unread: how many bytes nobody has read.
    """

    unread: int = 0

    def feed_data(self, data: Any) -> None:
        super().feed_data(data)
        self.unread += len(data)

    async def read(self, n: int = -1) -> bytes:
        data = await super().read(n)
        self.unread -= len(data)
        return data


class _Head(NamedTuple):
    status: int
    headers: dict[str, str]


class Stream:
    """A connection, made when it is first needed and again when it is gone. Belongs to one event loop.

    Args:
        origin: the URL whose scheme, host and port are meant.
        headers: sent with every call.
        ssl_context: verifies certificates and host names; None for http origins.
        public_only: whether only public addresses are connected to.
    """

    def __init__(
        self,
        origin: SplitResult,
        headers: Mapping[str, str],
        ssl_context: ssl.SSLContext | None,
        public_only: bool = False,
    ) -> None:
        self._public_only = public_only
        self._host = origin.hostname or ""
        self._port = origin.port or (443 if origin.scheme == "https" else 80)
        self._headers = {"Host": origin.netloc, **headers}
        self._ssl_context = ssl_context
        self._reader: _Reader | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._http = h11.Connection(h11.CLIENT)
        self._used_at = 0.0

    async def perform(self, call: Call, target: str) -> Answer:
        """Perform a call. Raises OSError or h11.ProtocolError; no time limit is kept."""
        if self._is_usable():
            try:
                return await self._exchange(call, target)
            except HungUp:  # it did so while nothing was going on; that is no failure of this call
                pass
        await self._connect()
        try:
            return await self._exchange(call, target)
        except HungUp:
            raise ConnectionResetError from None

    async def aclose(self) -> None:
        """Let go of the connection at once."""
        self._close()

    def _close(self) -> None:
        if self._writer is not None:
            self._writer.transport.abort()
        self._reader = self._writer = None

    def _is_usable(self) -> bool:
        if self._reader is None or self._reader.at_eof() or self._reader.unread:
            return False  # what comes before a call is no answer to it
        return time.monotonic() - self._used_at < _KEEP_ALIVE

    async def _connect(self) -> None:
        self._close()
        loop = asyncio.get_running_loop()
        reader = _Reader(loop=loop)
        protocol = asyncio.StreamReaderProtocol(reader, loop=loop)
        transport = await self._open(loop, protocol)
        self._reader, self._writer = reader, asyncio.StreamWriter(transport, protocol, reader, loop)
        self._http = h11.Connection(h11.CLIENT, max_incomplete_event_size=_MAX_HEAD)

    async def _open(self, loop: asyncio.AbstractEventLoop, protocol: asyncio.Protocol) -> asyncio.Transport:
        if not self._public_only:
            transport, _ = await loop.create_connection(lambda: protocol, self._host, self._port, ssl=self._ssl_context)
            return transport
        # The name is resolved once, and the address that was checked is the one connected to: an answer that
        # changes between the check and the connection (DNS rebinding) would lead to another address otherwise.
        found = await loop.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM)
        addresses = [str(place[0]) for *_, place in found if is_public_address(str(place[0]))]
        if not addresses:
            raise PrivateAddress
        last: OSError | None = None
        server = self._host if self._ssl_context is not None else None
        for address in addresses:
            try:
                transport, _ = await loop.create_connection(
                    lambda: protocol, address, self._port, ssl=self._ssl_context, server_hostname=server
                )
            except OSError as error:
                last = error
            else:
                return transport
        raise last or PrivateAddress

    async def _exchange(self, call: Call, target: str) -> Answer:
        try:
            self._send(call, target)
            head = await self._read_head()
            body = await self._read_body()
        except BaseException:
            self._close()
            raise
        self._finish()
        return Answer(head.status, head.headers, body)

    def _send(self, call: Call, target: str) -> None:
        if self._writer is None:
            raise HungUp
        headers = [*self._headers.items(), *call.headers.items()]
        if call.body is not None:
            headers.append(("Content-Length", str(len(call.body))))
        text = self._http.send(h11.Request(method=call.method, target=target, headers=headers)) or b""
        if call.body is not None:
            text += self._http.send(h11.Data(data=call.body)) or b""
        self._writer.write(text + (self._http.send(h11.EndOfMessage()) or b""))

    async def _read_head(self) -> _Head:
        heard_anything = False
        while True:
            event = self._http.next_event()
            if event is h11.NEED_DATA:
                try:
                    data = await self._read()
                except ConnectionError:
                    if heard_anything:
                        raise
                    raise HungUp from None
                if not data and not heard_anything:
                    raise HungUp
                heard_anything = True
                self._http.receive_data(data)
            elif isinstance(event, h11.Response):
                names = {name.decode("latin-1"): value.decode("latin-1") for name, value in event.headers}
                return _Head(event.status_code, names)

    async def _read_body(self) -> bytes:
        pieces: list[bytes] = []
        size = 0
        while True:
            event = self._http.next_event()
            if event is h11.NEED_DATA:
                self._http.receive_data(await self._read())
            elif isinstance(event, h11.Data):
                pieces.append(bytes(event.data))
                size += len(event.data)
                if size > MAX_BODY:  # no answer to what we send; its status says enough
                    return b""
            elif isinstance(event, h11.EndOfMessage):
                return b"".join(pieces)

    async def _read(self) -> bytes:
        return await self._reader.read(_READ) if self._reader is not None else b""

    def _finish(self) -> None:
        is_over = self._http.our_state is h11.DONE and self._http.their_state is h11.DONE
        if is_over and not self._http.trailing_data[0]:
            self._http.start_next_cycle()
            self._used_at = time.monotonic()
        else:
            self._close()
