"""A process that posts events to a collector, as fast as it is told to or as it can, and says how that went.

`python -m benchmarks.poster URL batches 20` prints one line of JSON. It speaks as much HTTP/1.1 as it needs, so that
what it takes of the machine is small beside what it asks of the collector.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from collections.abc import Iterator
from itertools import count
from typing import Any
from urllib.parse import urlsplit

PACE = 5_100.0  # events a second in batches; a little more than what has to be reached
BATCH = 100
CONNECTIONS = 8
AUTHORIZATION = "Basic c2tfZXVfMTo="
PROPERTIES = {
    "page": {"path": "/shoes/trail", "url": "https://shop.example/shoes/trail", "title": "Trail shoes"},
    "price": 74.5,
    "currency": "EUR",
    "size": "42",
    "colour": "moss",
    "in_stock": True,
}


def event_id(number: int) -> str:
    return f"event-{number:08}"


def _moment() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime())


def _call(number: int, moment: str) -> dict[str, Any]:
    return {
        "type": "track",
        "event": "Product Viewed",
        "messageId": event_id(number),
        "anonymousId": f"7b0d5b0e-1f5c-4f8e-9a52-{number % 500:012}",
        "timestamp": moment,
        "properties": PROPERTIES,
        "context": {"ip": "192.0.2.0", "locale": "en-GB", "userAgent": "Mozilla/5.0 (X11; Linux x86_64)"},
    }


def _event(number: int, moment: str) -> dict[str, Any]:
    return {
        "type": "VIEW",
        "browser_id": f"7b0d5b0e-1f5c-4f8e-9a52-{number % 500:012}",
        "client_key": "bench",
        "channel": "WEB",
        "currency": "EUR",
        "pos": "shop.example",
        "page": event_id(number),
        "requested_at": moment,
        "ext": {"size": "42", "colour": "moss"},
    }


def _requests(kind: str, host: str) -> Iterator[bytes]:
    """One request after the other, each with its events."""
    for number in count():
        if kind == "batches":
            numbers = range(number * BATCH, (number + 1) * BATCH)
            path, body = "/v1/batch", json.dumps({"batch": [_call(each, _moment()) for each in numbers]})
        else:
            path, body = "/v1.2/events", json.dumps(_event(number, _moment()))
        yield (
            f"POST {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: {AUTHORIZATION}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}"
        ).encode()


class Poster:
    """Posts over several connections at once until the time is up."""

    def __init__(self, url: str, kind: str, seconds: float) -> None:
        self._address = urlsplit(url)
        self._requests = _requests(kind, self._address.netloc)
        self._pause = BATCH / PACE if kind == "batches" else 0.0
        self._seconds = seconds
        self._begun = 0.0
        self._taken = 0
        self.waits: list[float] = []  # seconds for each answer

    async def run(self) -> float:
        """Post; gives the seconds from the first request to the last answer."""
        self._begun = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            for _ in range(CONNECTIONS):
                group.create_task(self._post())
        return time.perf_counter() - self._begun

    async def _post(self) -> None:
        reader, writer = await asyncio.open_connection(self._address.hostname, self._address.port)
        while (due := self._taken * self._pause) < self._seconds and self._elapsed() < self._seconds:
            self._taken += 1
            request = next(self._requests)
            await asyncio.sleep(max(0.0, due - self._elapsed()))
            begun = time.perf_counter()
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            if not head.startswith((b"HTTP/1.1 200", b"HTTP/1.1 201")):
                raise RuntimeError(f"an event was answered {head[:60]!r}")
            await reader.readexactly(int(head.lower().partition(b"content-length:")[2].split()[0]))
            self.waits.append(time.perf_counter() - begun)
        writer.close()
        await writer.wait_closed()

    def _elapsed(self) -> float:
        return time.perf_counter() - self._begun


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.poster")
    parser.add_argument("url")
    parser.add_argument("kind", choices=["batches", "singles"])
    parser.add_argument("seconds", type=float)
    options = parser.parse_args()
    poster = Poster(options.url, options.kind, options.seconds)
    seconds = asyncio.run(poster.run())
    print(json.dumps({"requests": len(poster.waits), "seconds": seconds, "waits": sorted(poster.waits)}))


if __name__ == "__main__":
    main()
