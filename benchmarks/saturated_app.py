"""The app of the `saturated` benchmark: one uvicorn process whose only page records one page view, or none.

`python -m benchmarks.saturated_app NAME SINK DIRECTORY` prints its port, ends when its input does, and says at the
very end, after all that the libraries do at exit, what it counted.
"""

# ruff: noqa: E402  # what is said at exit has to be registered before libraries are imported
from __future__ import annotations

import atexit
import json
from collections.abc import Callable

_figures: dict[str, Callable[[], object]] = {}


def _say_figures() -> None:
    print(json.dumps({name: read() for name, read in _figures.items()}), flush=True)


if __name__ == "__main__":
    atexit.register(_say_figures)  # the first that is registered is called last

import asyncio
import socket
import sys
from collections import Counter
from typing import Any

import uvicorn
from posthog import Posthog
from segment.analytics.client import Client
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse
from starlette.routing import Route

from passerby import CustomerIO, Sitecore, Tracking
from passerby.asgi import TrackingMiddleware

from .traffic import CLIENT_KEY, COOKIE_NAME

BARE, SEGMENT, POSTHOG = "bare", "Segment", "PostHog"
SITECORE, CUSTOMERIO, SQLITE = "passerby, Sitecore", "passerby, Customer.io", "passerby, Customer.io, SQLite"
WORKER = "passerby, Sitecore, SQLite, worker"
ON_DISK = (SQLITE, WORKER)
NAMES = (BARE, SEGMENT, POSTHOG, SITECORE, CUSTOMERIO, SQLITE, WORKER)

PAGE = "<!doctype html><title>Shoes</title>" + "<p>A shoe.</p>" * 100
PROPERTIES = {f"property_{number}": number for number in range(10)}

Record = Callable[[Request], object]


def main() -> None:
    name, sink, directory = sys.argv[1:]
    counted = Counter[str]()
    _figures["requests"] = lambda: counted["requests"]
    app, record = _make_app(name, sink, directory)

    async def page(request: Request) -> HTMLResponse:
        counted["requests"] += 1
        record(request)
        return HTMLResponse(PAGE)

    app.router.routes.append(Route("/shoes", page))
    asyncio.run(_serve(app))


def _make_app(name: str, sink: str, directory: str) -> tuple[Starlette, Record]:
    """Make an app without routes, and what its page calls."""
    if name == BARE:
        return Starlette(), lambda request: None
    if name == SEGMENT:
        segment = Client(CLIENT_KEY, host=sink)
        return Starlette(), lambda request: segment.page(
            _visitor(request), name="Shoes", properties=dict(PROPERTIES), context=_context(request)
        )
    if name == POSTHOG:
        posthog = Posthog(CLIENT_KEY, host=sink)
        return Starlette(), lambda request: posthog.capture(
            "$pageview", distinct_id=_visitor(request), properties=PROPERTIES | _context(request)
        )
    return _make_tracked_app(name, sink, directory)


def _make_tracked_app(name: str, sink: str, directory: str) -> tuple[Starlette, Record]:
    destination: Any = (
        Sitecore(client_key=CLIENT_KEY, target_url=sink, point_of_sale="shop")
        if name in (SITECORE, WORKER)
        else CustomerIO(write_key=CLIENT_KEY, target_url=sink)
    )
    tracking = Tracking(
        destination,
        channel="WEB",
        currency="EUR",
        browser_id_pool_size=0,
        outbox=f"sqlite://{directory}" if name in ON_DISK else "memory",
        deliver="worker" if name == WORKER else "thread",
        cookie_name=COOKIE_NAME,
    )
    _figures["waiting"] = lambda: sum(ledger.pending for ledger in tracking.stats().destinations.values())

    app = Starlette()
    app.add_middleware(TrackingMiddleware, tracking=tracking)
    return app, lambda request: request.state.tracker.page_view({"page": "Shoes"}, PROPERTIES)


def _visitor(request: Request) -> str:
    return request.cookies[COOKIE_NAME]


def _context(request: Request) -> dict[str, Any]:
    return {"userAgent": request.headers.get("user-agent"), "url": str(request.url)}


async def _serve(app: Starlette) -> None:
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False, loop="asyncio", http="h11"))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # as uvicorn's own sockets have it
        print(listener.getsockname()[1], flush=True)
        serving = asyncio.create_task(server.serve([listener]))
        await asyncio.to_thread(sys.stdin.read)
        server.should_exit = True
        await serving


if __name__ == "__main__":
    main()
