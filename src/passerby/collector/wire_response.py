"""The response on the wire, with the delays and errors of a scripted response."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from dataclasses import dataclass

from starlette.types import Message, Receive, Scope, Send

from .api_request import ApiResponse
from .connection import transport_of
from .faults import ScriptedResponse


@dataclass(frozen=True, slots=True)
class WireResponse:
    """Status, headers and body of a response."""

    status: int
    content: bytes
    headers: tuple[tuple[str, str], ...]

    @classmethod
    def make(cls, response: ApiResponse, scripted: ScriptedResponse) -> WireResponse:
        """Combine the service's response and the scripted one, which replaces it if it has a status."""
        content_type, content = "application/json", json.dumps(response.body).encode()
        if response.text is not None:
            content_type, content = "text/plain; charset=utf-8", response.text.encode()
        if scripted.status is not None:
            content_type, content = scripted.content_type, scripted.content
        if response.status in (204, 304):
            return cls(response.status, b"", tuple(scripted.headers.items()))
        given = {name.lower() for name in scripted.headers}
        own = () if "content-type" in given else (("content-type", content_type),)
        return cls(response.status, content, (*own, *scripted.headers.items()))

    def sent_content(self, scripted: ScriptedResponse) -> bytes:
        """The part of the content that is sent."""
        if scripted.reset:
            return b""
        return self.content[: len(self.content) // 2] if scripted.truncate else self.content

    def start(self, announced: int | None = None) -> Message:
        """The message with status and headers; `announced` is a length to give instead of the real one."""
        length = len(self.content) if announced is None else announced
        headers = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in self.headers]
        if length or self.status not in (204, 304):
            headers.append((b"content-length", b"%d" % length))
        return {"type": "http.response.start", "status": self.status, "headers": headers}


async def send_response(
    wire: WireResponse, scripted: ScriptedResponse, scope: Scope, receive: Receive, send: Send
) -> None:
    """Send the response as scripted."""
    if scripted.delay and not await _wait_connected(scripted.delay, receive):
        return
    if scripted.reset:
        _reset(transport_of(scope))
        await _wait_disconnected(receive)
        return
    await send(wire.start(announced=max(1, len(wire.content)) if scripted.truncate else None))
    if scripted.stall_body and not await _wait_connected(scripted.stall_body, receive):
        return
    if scripted.truncate:
        await send(_part(wire.sent_content(scripted), more=True))
        transport_of(scope).close()
        await _wait_disconnected(receive)
        return
    await send(_part(wire.content, more=False))


def _part(content: bytes, *, more: bool) -> Message:
    return {"type": "http.response.body", "body": content, "more_body": more}


def _reset(transport: asyncio.Transport) -> None:
    # With a linger time of 0, closing sends a RST instead of a FIN.
    linger = struct.pack("ii", 1, 0)
    transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    transport.abort()


async def _wait_connected(seconds: float, receive: Receive) -> bool:
    try:
        async with asyncio.timeout(seconds):
            await _wait_disconnected(receive)
    except TimeoutError:
        return True
    return False


async def _wait_disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
