"""What goes back over the wire, with the delays and accidents a script asks for."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from dataclasses import dataclass

from starlette.types import Message, Receive, Scope, Send

from .ask import Answer
from .connection import transport_of
from .scripted import Scripted


@dataclass(frozen=True, slots=True)
class Reply:
    """Status, headers and body of a response."""

    status: int
    content: bytes
    headers: tuple[tuple[str, str], ...]

    @classmethod
    def make(cls, answer: Answer, scripted: Scripted) -> Reply:
        """Join the service's answer and the script, which stands in its place where it has a status."""
        content_type = "application/json"
        content = json.dumps(answer.body).encode()
        if scripted.status is not None:
            content_type, content = scripted.content_type, scripted.content
        if answer.status in (204, 304):
            return cls(answer.status, b"", tuple(scripted.headers.items()))
        given = {name.lower() for name in scripted.headers}
        own = () if "content-type" in given else (("content-type", content_type),)
        return cls(answer.status, content, (*own, *scripted.headers.items()))

    def sent(self, scripted: Scripted) -> bytes:
        """As much of the content as the script lets through."""
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


async def deliver(reply: Reply, scripted: Scripted, scope: Scope, receive: Receive, send: Send) -> None:
    """Send the reply in the way the script says."""
    if scripted.delay and not await _is_still_there_after(scripted.delay, receive):
        return
    if scripted.reset:
        _reset(transport_of(scope))
        await _connection_lost(receive)
        return
    await send(reply.start(announced=max(1, len(reply.content)) if scripted.truncate else None))
    if scripted.stall_body and not await _is_still_there_after(scripted.stall_body, receive):
        return
    if scripted.truncate:
        await send(_part(reply.sent(scripted), more=True))
        transport_of(scope).close()
        await _connection_lost(receive)
        return
    await send(_part(reply.content, more=False))


def _part(content: bytes, *, more: bool) -> Message:
    return {"type": "http.response.body", "body": content, "more_body": more}


def _reset(transport: asyncio.Transport) -> None:
    # To linger for no time at all makes closing send a RST instead of a FIN.
    linger = struct.pack("ii", 1, 0)
    transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    transport.abort()


async def _is_still_there_after(seconds: float, receive: Receive) -> bool:
    try:
        async with asyncio.timeout(seconds):
            await _connection_lost(receive)
    except TimeoutError:
        return True
    return False


async def _connection_lost(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
