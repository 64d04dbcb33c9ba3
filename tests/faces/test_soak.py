"""What many requests leave behind: nothing (U23, U35); and what a large response costs in memory: nothing (U29)."""

from __future__ import annotations

import gc
import os
import threading
import tracemalloc
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from passerby import Tracker, current_tracker
from passerby.asgi import TrackingMiddleware as AsgiMiddleware
from passerby.collector import CollectorServer
from passerby.delivery.dry_run import dry_run_mode
from passerby.wsgi import TrackingMiddleware as WsgiMiddleware
from tests.making import NAVIGATION, make_environ, make_scope

from .clients import Site
from .sites import FACES, make_tracking
from .test_behaviour import transport_to

REQUESTS = 20_000 if os.environ.get("LONG_TESTS") == "1" else 400
GIGABYTE = 2**30
PIECE = bytes(2**20)


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("face", FACES)
async def test_requests_leave_nothing_behind(face: str, collector: CollectorServer) -> None:
    tracking = make_tracking("https://api.example.com")  # another machine: in a dry run events are counted, not kept
    assert dry_run_mode.is_on
    seen = 0

    async def visit(times: int) -> None:
        nonlocal seen
        for number in range(times):
            async with site.visit() as browser:
                path = "/stream" if number % 2 else "/"
                seen += (await browser.get(path)).status_code == 200

    transport = transport_to(face, tracking)
    site = Site(collector, lambda: transport)
    await visit(200)
    threads = threading.active_count()
    before = trackers_alive()
    await visit(REQUESTS)
    assert seen == REQUESTS + 200
    assert trackers_alive() - before <= 1, "the last of a thread may still be there"
    assert threading.active_count() <= threads + 6, "asyncio makes as many for `to_thread`"
    assert tracking.stats().destinations["sitecore"].is_balanced


def trackers_alive() -> int:
    gc.collect()
    return sum(type(one) is Tracker for one in gc.get_objects())


@pytest.mark.long
async def test_a_gigabyte_through_asgi(collector: CollectorServer) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        async for piece in pieces():
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(GIGABYTE // len(PIECE)):
            current_tracker()
            yield PIECE

    received = 0

    async def send(message: Any) -> None:
        nonlocal received
        received += len(message.get("body", b""))

    async def receive() -> Any:
        return {"type": "http.request", "body": b""}

    tracking = make_tracking(collector.url)
    with flat_memory():
        await AsgiMiddleware(app, tracking=tracking)(make_scope("/", NAVIGATION), receive, send)
    assert received == GIGABYTE
    tracking.close(1.0)


@pytest.mark.long
def test_a_gigabyte_through_wsgi(collector: CollectorServer) -> None:
    def app(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [])
        for _ in range(GIGABYTE // len(PIECE)):
            current_tracker()
            yield PIECE

    tracking = make_tracking(collector.url)
    served = WsgiMiddleware(app, tracking)
    body: Iterable[bytes] = served(make_environ("/", NAVIGATION), lambda *said: lambda data: None)
    with flat_memory():
        received = sum(map(len, body))
    assert received == GIGABYTE
    tracking.close(1.0)


@contextmanager
def flat_memory() -> Iterator[None]:
    """Hold what runs inside to a few megabytes."""
    tracemalloc.start()
    try:
        yield
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 4 * 2**20, f"{peak / 2**20:.1f} MB"
