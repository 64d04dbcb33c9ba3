"""A server that swallows events, in a process of its own: its cost is not counted, and it does not wait for our GIL.

`python -m benchmarks.sink` says its port and ends when its input does. It speaks as much HTTP/1.1 as its callers need:
kept-alive connections, requests behind one another, bodies of a given length; what it does not understand ends the
connection. `GET /count` gives the number of events it was sent so far.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

_content_length = re.compile(rb"\r\ncontent-length:[ \t]*(\d+)[ \t]*\r\n", re.IGNORECASE).search
_MAX_HEAD = 65_536


@contextmanager
def running_sink(delay: float = 0.0) -> Iterator[str]:
    """Run a sink whose answers take `delay` seconds; gives its address."""
    command = [sys.executable, "-m", "benchmarks.sink", "--delay", str(delay)]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[1]
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield f"http://127.0.0.1:{int(process.stdout.readline())}"
    finally:
        process.stdin.close()
        process.wait(10)
        process.stdout.close()


class Connection(asyncio.Protocol):
    """One client: each of its requests is answered, in order, after the delay."""

    transport: asyncio.Transport

    def __init__(self, delay: float, counts: Counter[str]) -> None:
        self._delay = delay
        self._counts = counts
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        while (end := self._received.find(b"\r\n\r\n") + 4) > 3:
            head = self._received[: end - 2]
            length = _content_length(head)
            if length is None and not head.startswith(b"GET "):
                self.transport.close()
                return
            end += int(length[1]) if length is not None else 0
            if len(self._received) < end:
                return
            body, self._received = self._received[len(head) + 2 : end], self._received[end:]
            self._answer(head, body)
        if len(self._received) > _MAX_HEAD:
            self.transport.close()

    def _answer(self, head: bytes, body: bytes) -> None:
        if head.startswith(b"GET /count "):
            answer = _answer_with({"events": self._counts["events"]})
        elif head.startswith(b"GET "):
            answer = _answer_with({"status": "OK", "version": "1.2", "ref": str(uuid4())})
        else:
            self._counts["events"] += len(json.loads(body)["batch"]) if b'"batch"' in body else 1
            answer = _answer_with(_TAKEN)
        if self._delay:
            asyncio.get_running_loop().call_later(self._delay, self._write, answer)
        else:
            self._write(answer)

    def _write(self, answer: bytes) -> None:
        if not self.transport.is_closing():
            self.transport.write(answer)


_TAKEN = {"status": "OK", "version": "1.2", "client_key": "bench"}


def _answer_with(body: Mapping[str, object]) -> bytes:
    text = json.dumps(body).encode()
    return b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(text), text)


async def _serve(delay: float) -> None:
    counts = Counter[str]()
    server = await asyncio.get_running_loop().create_server(lambda: Connection(delay, counts), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.to_thread(sys.stdin.read)
    server.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sink")
    parser.add_argument("--delay", type=float, default=0.0)
    asyncio.run(_serve(parser.parse_args().delay))
