"""What a visitor's very first page waits for, when the service takes 100 ms to make a browser ID.

New visitors come at an even pace, each beside the same request without the middleware. For comparison some come where
no IDs are kept ready: they wait for theirs, as with an SDK that asks for it in the request.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from statistics import median
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route
from starlette.types import Message

from passerby import Sitecore, Tracking
from passerby.asgi import TrackingMiddleware

from .measure import Result, Spread, percentile
from .sink import running_sink
from .traffic import CLIENT_KEY, PATH, receive, scope_with

TITLE = (
    "time added to a first visit by the middleware, the service taking 100 ms per browser ID, 10 new visitors a second"
)

DELAY = 0.1  # seconds
PACE = 0.1  # seconds from visitor to visitor
VISITORS = 50
WITHOUT_POOL = 5
WARMING = 0.5  # seconds from the start of the app to the first visitor


def run() -> Iterator[Result]:
    with running_sink(DELAY) as url:
        added, spare = asyncio.run(_visit(url, VISITORS, browser_id_pool_size=2))
        waited, _ = asyncio.run(_visit(url, WITHOUT_POOL, browser_id_pool_size=0))
    low, high = min(added), max(added)
    yield Result("first visit: added, p50", Spread(median(added), low, high), "ms")
    yield Result("first visit: added, p99", Spread(percentile(added, 99), low, high), "ms")
    yield Result("first visit: IDs made and not used after so many visitors", Spread.exact(spare), f"of {VISITORS}")
    yield Result("first visit: added, p50, no IDs kept ready", Spread.of(waited), "ms")


async def _visit(url: str, visitors: int, browser_id_pool_size: int) -> tuple[list[float], int]:
    """Let visitors come; gives the milliseconds added to each, and how many IDs were made for nobody."""
    tracking = Tracking(
        Sitecore(client_key=CLIENT_KEY, target_url=url, point_of_sale="shop"), browser_id_pool_size=browser_id_pool_size
    )
    bare, tracked = _app(), _app()
    tracked.add_middleware(TrackingMiddleware, tracking=tracking)
    tracking.start()
    await _seconds_of(bare)  # apps build their middleware at the first request
    tracked.build_middleware_stack()
    await asyncio.sleep(WARMING)
    begun = time.perf_counter()
    added: list[float] = []
    for number in range(visitors):
        await asyncio.sleep(max(0.0, begun + number * PACE - time.perf_counter()))
        without = await _seconds_of(bare)
        added.append((await _seconds_of(tracked, sets_cookie=True) - without) * 1e3)
    counts = tracking.stats().browser_ids
    await tracking.aclose(1.0)
    return added, counts.made - counts.assigned if counts is not None else 0


def _app() -> Starlette:
    return Starlette(routes=[Route(PATH, _show)])


async def _show(request: Request) -> Response:
    return HTMLResponse(b"<!doctype html><title>Shoes</title>")


async def _seconds_of(app: Starlette, sets_cookie: bool = False) -> float:
    messages: list[Message] = []

    async def send(message: Message) -> None:
        messages.append(message)

    scope: dict[str, Any] = scope_with()
    begun = time.perf_counter()
    await app(scope, receive, send)
    seconds = time.perf_counter() - begun
    if any(name == b"set-cookie" for name, _ in messages[0]["headers"]) is not sets_cookie:
        raise RuntimeError("a first visit was expected to get a cookie exactly where the middleware is")
    return seconds
