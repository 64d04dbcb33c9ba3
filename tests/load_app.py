"""A small app for the load tests, run by uvicorn in a process of its own: it tells, and says what became of it."""

from __future__ import annotations

import os
import statistics
import time
from dataclasses import asdict

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from passerby import Sitecore, Tracking
from passerby.asgi import TrackingMiddleware

added: list[float] = []  # seconds between the middleware's call and the app's, for requests without a cookie


class Begin:
    """Notes when a first visit reaches the middleware."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["begun"] = time.perf_counter()
        await self.app(scope, receive, send)


class Arrive:
    """Notes when it reaches the app."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if (
            scope["type"] == "http"
            and scope["path"] == "/"
            and not any(name == b"cookie" for name, _ in scope["headers"])
        ):
            added.append(time.perf_counter() - scope["begun"])
        await self.app(scope, receive, send)


async def tell(request: Request) -> Response:
    query = request.query_params
    request.state.tracker.event("STEP", {"who": query["who"], "number": int(query["number"])})
    return PlainTextResponse("told")


async def report(request: Request) -> Response:
    tracking: Tracking = request.app.state.tracking
    return JSONResponse({**asdict(tracking.stats()), "added": statistics.median(added) if added else None})


def make_app() -> Starlette:
    tracking = Tracking(
        Sitecore(client_key="load", target_url=os.environ["COLLECTOR"], point_of_sale="shop"),
        secret_key="a key for tests",
    )
    app = Starlette(
        routes=[Route("/", tell), Route("/health/stats", report)],
        middleware=[Middleware(Begin), Middleware(TrackingMiddleware, tracking=tracking), Middleware(Arrive)],
    )
    app.state.tracking = tracking
    return app
