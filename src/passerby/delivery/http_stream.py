"""One connection to one origin, kept alive between requests: asyncio's streams for bytes and TLS, h11 for HTTP.

h11 is installed with httpx below 1.0, through httpcore 1. So passerby does not list it as a dependency; if it is
missing nevertheless, the error contains the command that installs it. Using h11 directly takes less than a third of the
CPU time per event. The background thread shares the interpreter with the app.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import SplitResult

try:
    import h11
except ModuleNotFoundError as _error:  # a later httpx may use something else
    raise ModuleNotFoundError(
        'h11 is not installed, which httpx 0.27 and 0.28 bring. Run: pip install "httpx<1" "h11>=0.14"', name="h11"
    ) from _error

from ..destinations import DestinationResponse, OutgoingRequest
from .connecting import connect
from .errors import DeliveryError

ProtocolError = h11.ProtocolError
RemoteProtocolError = h11.RemoteProtocolError

MAX_BODY = 1_000_000  # bytes of a response that are read; no service sends that many in response to events
_MAX_HEAD = 65_536  # bytes of status line and headers, of trailers, and of all interim responses (1xx) together
MAX_PIECES = 2_000  # reads, chunks and interim responses of one response; each costs CPU time, however small it is
_READ = 65_536  # bytes read at once
_KEEP_ALIVE = 30.0  # seconds; common load balancers close connections after 60


class ConnectionClosed(DeliveryError):
    """The other side closed a kept connection before it sent anything for this request."""


class _Reader(asyncio.StreamReader):
    """A stream reader that counts unread bytes.

    Attributes:
        unread: the number of received bytes that have not been read.
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


class _PreparedHead(NamedTuple):
    """A request head, encoded once by h11 and reused for requests that differ only in their bodies.

    Attributes:
        request: the request passed to h11, which needs it to parse the response.
        text: the head up to the length of the body.
    """

    request: h11.Request
    text: bytes


_NO_LENGTH = b"Content-Length: 0\r\n\r\n"  # the end of each reusable head
_END = h11.EndOfMessage()


class HttpStream:
    """A connection to one origin, opened on first use and reopened if it was closed. Belongs to one event loop.

    Args:
        origin: a URL with scheme, host and port of the origin.
        headers: sent with every request.
        ssl_context: verifies certificates and host names; None for http origins.
        public_only: whether to connect to public addresses only.
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
        self._written: tuple[tuple[str, str, tuple[tuple[str, str], ...]], _PreparedHead] | None = None
        self._pieces = 0
        self._received = 0
        self._used_at = 0.0

    async def perform(self, call: OutgoingRequest, target: str) -> DestinationResponse:
        """Perform a request. Raises OSError or h11.ProtocolError. There is no time limit."""
        if self._is_usable():
            try:
                return await self._exchange(call, target)
            except ConnectionClosed:  # closed while idle; not a failure of this request
                pass
        await self._connect()
        try:
            return await self._exchange(call, target)
        except ConnectionClosed:
            raise ConnectionResetError from None

    async def aclose(self) -> None:
        """Close the connection at once."""
        self._close()

    def _close(self) -> None:
        if self._writer is not None:
            self._writer.transport.abort()
        self._reader = self._writer = None

    def _is_usable(self) -> bool:
        if self._reader is None or self._reader.at_eof() or self._reader.unread:
            return False  # bytes received before the request are no response to it
        return time.monotonic() - self._used_at < _KEEP_ALIVE

    async def _connect(self) -> None:
        self._close()
        loop = asyncio.get_running_loop()
        reader = _Reader(loop=loop)
        protocol = asyncio.StreamReaderProtocol(reader, loop=loop)
        connected = await connect(self._host, self._port, public_only=self._public_only)
        try:
            transport, _ = await loop.create_connection(
                lambda: protocol,
                sock=connected,
                ssl=self._ssl_context,
                server_hostname=self._host if self._ssl_context is not None else None,
            )
        except BaseException:
            connected.close()
            raise
        self._reader, self._writer = reader, asyncio.StreamWriter(transport, protocol, reader, loop)
        self._http = h11.Connection(h11.CLIENT, max_incomplete_event_size=_MAX_HEAD)

    async def _exchange(self, call: OutgoingRequest, target: str) -> DestinationResponse:
        try:
            self._send(call, target)
            head = await self._read_head()
            body = await self._read_body()
        except BaseException:
            self._close()
            raise
        self._finish()
        return DestinationResponse(head.status, head.headers, body)

    def _send(self, call: OutgoingRequest, target: str) -> None:
        if self._writer is None:
            raise ConnectionClosed
        if call.body is None:
            headers = self._headers_of(call)
            text = self._http.send(h11.Request(method=call.method, target=target, headers=headers)) or b""
        else:
            text = b"%bContent-Length: %d\r\n\r\n%b" % (self._write_head(call, target), len(call.body), call.body)
        self._http.send(_END)
        self._writer.write(text)

    def _write_head(self, call: OutgoingRequest, target: str) -> bytes:
        key = call.method, target, tuple(call.headers.items())
        if self._written is not None and self._written[0] == key:
            self._http.send(self._written[1].request)
            return self._written[1].text
        headers = [*self._headers_of(call), ("Content-Length", "0")]
        request = h11.Request(method=call.method, target=target, headers=headers)
        text = (self._http.send(request) or b"").removesuffix(_NO_LENGTH)
        self._written = key, _PreparedHead(request, text)
        return text

    def _headers_of(self, call: OutgoingRequest) -> list[tuple[str, str]]:
        """Return the headers of a request; its own replace those of every request."""
        own = {name.lower() for name in call.headers}
        common = [(name, value) for name, value in self._headers.items() if name.lower() not in own]
        return [*common, *call.headers.items()]

    async def _read_head(self) -> _Head:
        self._pieces = self._received = 0
        while True:
            event = self._http.next_event()
            if event is h11.NEED_DATA:
                try:
                    data = await self._read()
                except ConnectionError:
                    if self._received:
                        raise
                    raise ConnectionClosed from None
                if not data and not self._received:
                    raise ConnectionClosed
                self._received += len(data)
                self._http.receive_data(data)
            elif isinstance(event, h11.Response):
                names = {name.decode("latin-1"): value.decode("latin-1") for name, value in event.headers}
                return _Head(event.status_code, names)
            # The received bytes may include the beginning of the body.
            if self._exceeds(self._received, _MAX_HEAD + _READ):
                raise h11.RemoteProtocolError("endless head")

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
            elif isinstance(event, h11.EndOfMessage):
                return b"".join(pieces)
            if self._exceeds(size, MAX_BODY):  # not a usual response; its status is enough
                return b""

    def _exceeds(self, size: int, most: int) -> bool:
        """Count a piece of the response. Returns whether there are too many pieces or bytes."""
        self._pieces += 1
        return self._pieces > MAX_PIECES or size > most

    async def _read(self) -> bytes:
        return await self._reader.read(_READ) if self._reader is not None else b""

    def _finish(self) -> None:
        is_over = self._http.our_state is h11.DONE and self._http.their_state is h11.DONE
        if is_over and not self._http.trailing_data[0]:
            self._http.start_next_cycle()
            self._used_at = time.monotonic()
        else:
            self._close()
