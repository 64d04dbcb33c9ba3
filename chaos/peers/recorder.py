"""The service all contestants report to: it speaks as much of each one's protocol as records the IDs of events."""

from __future__ import annotations

import asyncio
import gzip
import json
import re
import socket
import threading
from collections.abc import Coroutine, Mapping
from contextlib import suppress
from types import TracebackType
from typing import Any

_content_length = re.compile(rb"\r\ncontent-length:[ \t]*(\d+)", re.IGNORECASE).search
_is_gzipped = re.compile(rb"\r\ncontent-encoding:[ \t]*gzip", re.IGNORECASE).search

_ID_FIELDS = ("messageId", "uuid", "told")  # Segment and Customer.io; PostHog; ours


class Recorder:
    """A server on loopback that can refuse, fail, and be silent.

    Args:
        delay: seconds that every answer takes.

    Attributes:
        arrived: the IDs of the events it took, in their order, each as often as it came.
    """

    def __init__(self, delay: float = 0.0) -> None:
        self.delay = delay
        self.arrived: list[str] = []
        self._answer: bytes | None = _answer_with(200)
        self._loop = asyncio.new_event_loop()
        self._server: asyncio.Server | None = None
        self._connections: set[_Connection] = set()
        self._port = 0
        self._thread = threading.Thread(target=self._loop.run_forever, name="recorder", daemon=True)

    def __enter__(self) -> Recorder:
        self._thread.start()
        self._do(self._listen())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._do(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self._port}"

    def behave(self) -> None:
        """Take what comes."""
        self._answer = _answer_with(200)
        if self._server is None:
            self._do(self._listen())

    def refuse(self) -> None:
        """Refuse connections, and end those there are."""
        self._do(self._stop())

    def fail(self, status: int, headers: Mapping[str, str]) -> None:
        """Answer with a status, and take nothing."""
        self._answer = _answer_with(status, headers)

    def be_silent(self) -> None:
        """Read requests and never answer them."""
        self._answer = None

    def take(self, head: bytes, body: bytes) -> bytes | None:
        """Take one request; return the answer, if there is to be one."""
        if self._answer is not None and self._answer.startswith(b"HTTP/1.1 200"):
            self.arrived += _ids_in(gzip.decompress(body) if _is_gzipped(head) else body)
        return self._answer

    def _do(self, what: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(what, self._loop).result(10)

    async def _listen(self) -> None:
        self._server = await self._loop.create_server(lambda: _Connection(self, self._connections), sock=self._bind())

    def _bind(self) -> socket.socket:
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", self._port))
        self._port = listener.getsockname()[1]
        return listener

    async def _stop(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            server.close()
        for connection in list(self._connections):
            connection.transport.abort()
        await asyncio.sleep(0)


class _Connection(asyncio.Protocol):
    """One client."""

    transport: asyncio.Transport

    def __init__(self, recorder: Recorder, all_of_them: set[_Connection]) -> None:
        self._recorder = recorder
        self._all = all_of_them
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self._all.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._all.discard(self)

    def data_received(self, data: bytes) -> None:
        self._received += data
        while (end := self._received.find(b"\r\n\r\n") + 4) > 3:
            head = self._received[:end]
            length = _content_length(head)
            whole = end + (int(length[1]) if length is not None else 0)
            if len(self._received) < whole:
                return
            body, self._received = self._received[end:whole], self._received[whole:]
            answer = self._recorder.take(head, body)
            if answer is not None:
                asyncio.get_running_loop().call_later(self._recorder.delay, self._write, answer)

    def _write(self, answer: bytes) -> None:
        if not self.transport.is_closing():
            self.transport.write(answer)


def _ids_in(body: bytes) -> list[str]:
    """The IDs of the events in a request's body."""
    found: Any = None
    with suppress(ValueError):
        found = json.loads(body)
    if not isinstance(found, dict):
        return []
    events = found.get("batch", [found])
    return [event[name] for event in events for name in _ID_FIELDS if name in event]


def _answer_with(status: int, headers: Mapping[str, str] | None = None) -> bytes:
    body = b'{"status": "OK", "success": true}' if status == 200 else b'{"code": "unavailable", "message": "later"}'
    lines = [f"HTTP/1.1 {status} Told So", "Content-Type: application/json", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    return "\r\n".join([*lines, "", ""]).encode() + body
