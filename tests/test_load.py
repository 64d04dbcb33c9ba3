"""The two stories of an app under load, told by uvicorn in a process of its own.

LONG_TESTS=1 tells them in their long form: an outage of 10 seconds, and a thousand new visitors.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import pytest

from passerby.collector import CollectorServer
from tests.making import Stopwatch

LONG = os.environ.get("LONG_TESTS") == "1"
OUTAGE = 10.0 if LONG else 4.0  # seconds
AROUND = 2.0  # seconds of load before and after it
NEW_VISITORS = 1000 if LONG else 100
PATIENCE = 60.0  # seconds until what waits is delivered, on the slowest machine

pytestmark = [pytest.mark.once, pytest.mark.long, pytest.mark.timeout(400)]


@pytest.fixture
def collector() -> Iterator[CollectorServer]:
    with CollectorServer() as server:
        yield server


@pytest.fixture(autouse=True)
def watch(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Measure by one stopwatch how long pages take."""
    with Stopwatch() as watch:
        monkeypatch.setattr(Visitor, "watch", watch, raising=False)
        yield


@pytest.fixture
def port(collector: CollectorServer) -> Iterator[int]:
    """The port of the app."""
    command = [
        sys.executable,
        "-m",
        "uvicorn",
        "--factory",
        "tests.load_app:make_app",
        "--port",
        "0",
        "--no-access-log",
    ]
    process = subprocess.Popen(
        command,
        cwd=Path(__file__).parent.parent,
        env={**os.environ, "COLLECTOR": f"http://localhost:{collector.port}"},
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr
    lines: list[str] = []
    for line in process.stderr:
        lines.append(line)
        if found := re.search(r"running on http://127\.0\.0\.1:(\d+)", line):
            break
    assert found, lines
    yield int(found[1])
    process.terminate()
    assert "Traceback" not in process.stderr.read()
    process.stderr.close()
    process.wait(PATIENCE)


@dataclass
class Visitor:
    """A browser: one connection, one cookie jar."""

    watch: ClassVar[Stopwatch]
    port: int
    name: str
    cookies: dict[str, str] = field(default_factory=dict)
    told: int = 0
    known_since: int | None = None  # the number that was told when the cookie came
    slowest: float = 0.0
    _streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def visit(self) -> None:
        """Open a page that tells the next number."""
        begun = self.watch.seconds
        status, _ = await self.get(f"/?who={self.name}&number={self.told}")
        self.slowest = max(self.slowest, self.watch.seconds - begun)
        assert status == 200
        if self.known_since is None and self.cookies:
            self.known_since = self.told
        self.told += 1

    async def get(self, path: str) -> tuple[int, bytes]:
        if self._streams is None:
            self._streams = await asyncio.open_connection("127.0.0.1", self.port)
        reader, writer = self._streams
        cookie = "".join(f"cookie: {name}={value}\r\n" for name, value in self.cookies.items())
        writer.write(f"GET {path} HTTP/1.1\r\nhost: localhost\r\nsec-fetch-dest: document\r\n{cookie}\r\n".encode())
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        for name, value in re.findall(r"(?im)^set-cookie: ([^=]+)=([^;\r]*)", head):
            self.cookies[name] = value
        length = re.search(r"(?im)^content-length: (\d+)", head)
        assert length
        return int(head.split()[1]), await reader.readexactly(int(length[1]))

    async def leave(self) -> None:
        if self._streams is not None:
            self._streams[1].close()
            await self._streams[1].wait_closed()


async def report(port: int) -> dict[str, Any]:
    asker = Visitor(port, "asker")
    _, body = await asker.get("/health/stats")
    await asker.leave()
    found: dict[str, Any] = json.loads(body)
    return found


async def report_once(port: int, is_so: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """The report as soon as something is so, or when patience has come to its end."""
    ends = time.monotonic() + PATIENCE
    while True:
        found = await report(port)
        if is_so(found) or time.monotonic() > ends:
            return found
        await asyncio.sleep(0.1)


async def keep_visiting(visitor: Visitor, until: float) -> None:
    while time.monotonic() < until:
        await visitor.visit()
        await asyncio.sleep(0.05)
    await visitor.leave()


async def keep_coming(come: Callable[[int], Awaitable[Visitor]], until: float) -> list[Visitor]:
    came: list[Visitor] = []
    while time.monotonic() < until:
        came.append(await come(len(came)))
        await asyncio.sleep(0.1)
    return came


async def test_an_outage_under_load(collector: CollectorServer, port: int) -> None:
    """Nobody waits for the service that is away; afterwards all is there, in order, and the ledger is exact."""
    ends = time.monotonic() + AROUND + OUTAGE + AROUND
    regulars = [Visitor(port, f"regular{number}") for number in range(25)]

    async def come_once(number: int) -> Visitor:
        visitor = Visitor(port, f"newcomer{number}")
        await visitor.visit()
        await visitor.leave()
        return visitor

    async def break_down() -> None:
        await asyncio.sleep(AROUND)
        await asyncio.to_thread(collector.stop)
        await asyncio.sleep(OUTAGE)
        await asyncio.to_thread(collector.start)

    async with asyncio.TaskGroup() as group:
        coming = group.create_task(keep_coming(come_once, ends))
        group.create_task(break_down())
        for regular in regulars:
            group.create_task(keep_visiting(regular, ends))
    newcomers = coming.result()
    visitors = [*regulars, *newcomers]
    number = sum(visitor.told for visitor in visitors)
    waited = (await report(port))["destinations"]["sitecore"]["pending"]
    found = await report_once(port, lambda found: found["destinations"]["sitecore"]["pending"] == 0)

    ledger = found["destinations"]["sitecore"]
    assert (ledger["recorded"], ledger["delivered"]) == (number, number)
    assert (ledger["pending"], ledger["dead"], ledger["dropped"]) == (0, 0, {})
    arrived: dict[str, list[int]] = {}
    for event in collector.events:
        arrived.setdefault(event["who"], []).append(event["number"])
    assert arrived == {visitor.name: list(range(visitor.told)) for visitor in visitors}
    for regular in regulars:
        # What is told before an ID is at hand, which may be waited for in vain, gets one of its own when it is sent.
        assert regular.known_since is not None
        told = [event for event in collector.events if event["who"] == regular.name]
        known = {event["browser_id"] for event in told if event["number"] >= regular.known_since}
        assert known == {regular.cookies["bid_load"]}
    slowest = max(visitor.slowest for visitor in visitors)
    assert slowest < 3
    print(
        f"\noutage of {OUTAGE:.0f} s: {number} requests, none failed, the slowest took {slowest * 1000:.0f} ms;"
        f" {waited} events waited at the end of the load,"
        f" {ledger['unlinked']} without an ID, {ledger['retries']} retries"
    )


async def test_new_visitors_and_a_slow_stream_api(collector: CollectorServer, port: int) -> None:
    """A new visitor's page does not wait for an ID, and few IDs are made in vain."""
    collector.fail("create", status=None, delay=0.1)
    for number in range(NEW_VISITORS):
        await asyncio.sleep(0.1)  # ten a second at most: a machine that was busy does not make a rush of them
        visitor = Visitor(port, f"newcomer{number}")
        await visitor.visit()
        await visitor.leave()
    found = await report_once(port, lambda found: found["destinations"]["sitecore"]["pending"] == 0)
    await asyncio.sleep(0.5)

    used = {event["browser_id"] for event in collector.events}
    assert len(collector.events) == NEW_VISITORS
    assert len(used) == NEW_VISITORS
    assert used <= set(collector.browser_ids)
    unused = len(collector.browser_ids) - len(used)
    assert unused <= (NEW_VISITORS * 2 // 100 if LONG else 12)
    print(
        f"\n{NEW_VISITORS} new visitors, 10 a second: {unused} of {len(collector.browser_ids)} IDs unused;"
        f" the middleware added {found['added'] * 1000:.3f} ms at the median,"
        f" {found['destinations']['sitecore']['unlinked']} events were told without an ID"
    )
