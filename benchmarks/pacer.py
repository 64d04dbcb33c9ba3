"""A process that asks for a page at a given pace and says how long the answers took.

`python -m benchmarks.pacer URL COOKIE RATE SECONDS` prints one line of JSON. Requests are spread evenly over the time
and over 16 connections, each from another visitor; what is late because all connections wait is sent as soon as one is
free.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Iterator
from urllib.parse import urlsplit
from uuid import uuid4

CONNECTIONS = 16


class Pacer:
    """Sends requests on 16 connections until their time is over."""

    def __init__(self, url: str, cookie: str, rate: float, seconds: float) -> None:
        self._url = urlsplit(url)
        self._cookie = cookie
        self._times: Iterator[float] = (number / rate for number in range(int(rate * seconds)))
        self.waits: list[float] = []

    async def run(self) -> float:
        """Send all requests; gives the seconds from the first to the last answer."""
        begun = time.perf_counter()
        await asyncio.gather(*(self._send(begun) for _ in range(CONNECTIONS)))
        return time.perf_counter() - begun

    async def _send(self, begun: float) -> None:
        reader, writer = await asyncio.open_connection(self._url.hostname, self._url.port)
        for due in self._times:
            await asyncio.sleep(max(0.0, begun + due - time.perf_counter()))
            sent = time.perf_counter()
            writer.write(self._request())
            head = await reader.readuntil(b"\r\n\r\n")
            if not head.startswith(b"HTTP/1.1 200"):
                raise RuntimeError(f"a page was answered {head[:60]!r}")
            await reader.readexactly(int(head.lower().partition(b"content-length:")[2].split()[0]))
            self.waits.append(time.perf_counter() - sent)
        writer.close()
        await writer.wait_closed()

    def _request(self) -> bytes:
        return (
            f"GET {self._url.path} HTTP/1.1\r\nHost: {self._url.netloc}\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64)"
            f"\r\nAccept: text/html\r\nAccept-Language: en-IE\r\nCookie: {self._cookie}={uuid4()}\r\n\r\n"
        ).encode()


def main() -> None:
    url, cookie, rate, seconds = sys.argv[1:]
    pacer = Pacer(url, cookie, float(rate), float(seconds))
    took = asyncio.run(pacer.run())
    print(json.dumps({"requests": len(pacer.waits), "seconds": took, "waits": sorted(pacer.waits)}))


if __name__ == "__main__":
    main()
