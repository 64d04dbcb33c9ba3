"""The collector as one ASGI app: the live page and the control path behind their guard, all else for the services."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager, suppress

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Mount, Route, Router
from starlette.types import ASGIApp, Receive, Scope, Send

from .guard import Guard
from .health import Health
from .response import ProtectiveHeaders, refuse
from .store import Store
from .stream import Stream

PREFIX = "/_collector"
COMMIT_EVERY = 0.2  # seconds


class Site:
    """Part the requests of people who look from those of the app under test, which pass nothing on their way.

    Args:
        exchange: the services that are played.
        pages: what is found under the control path, and cares for what has to be done meanwhile.
    """

    def __init__(self, exchange: ASGIApp, pages: ASGIApp) -> None:
        self._exchange = exchange
        self._pages = pages

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand a request on to whom it is meant for."""
        path: str = scope.get("path", PREFIX)
        if path == PREFIX or path.startswith(f"{PREFIX}/"):
            await self._pages(scope, receive, send)
        elif path == "/" and _wants_page(scope):
            await RedirectResponse(f"{PREFIX}/")(scope, receive, send)
        else:
            await self._exchange(scope, receive, send)


def make_pages(
    routes: Sequence[BaseRoute],
    store: Store,
    stream: Stream,
    health: Health,
    *,
    token: str | None,
    frame_ancestors: str | None,
) -> ASGIApp:
    """Join what is found under the control path with its guard, and with what runs beside it."""

    @asynccontextmanager
    async def keeps_running(app: Starlette) -> AsyncGenerator[None]:
        stream.begin()
        tasks = [asyncio.create_task(_commit_regularly(store)), asyncio.create_task(health.run())]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task
            store.commit()

    pages = Starlette(
        routes=[Route(PREFIX, _go_to_page), Mount(PREFIX, app=Router(routes, redirect_slashes=False))],
        exception_handlers={HTTPException: _answer_error},
        lifespan=keeps_running,
    )
    pages.router.redirect_slashes = False
    return ProtectiveHeaders(Guard(pages, PREFIX, token), frame_ancestors)


async def _go_to_page(request: Request) -> Response:
    return RedirectResponse(f"{PREFIX}/")


def _wants_page(scope: Scope) -> bool:
    request = Request(scope)
    return request.method == "GET" and "text/html" in request.headers.get("accept", "")


async def _commit_regularly(store: Store) -> None:
    while True:
        await asyncio.sleep(COMMIT_EVERY)
        store.commit()


async def _answer_error(request: Request, exc: Exception) -> Response:
    status, detail = (exc.status_code, exc.detail) if isinstance(exc, HTTPException) else (500, "Server Error")
    return refuse(status, detail)
