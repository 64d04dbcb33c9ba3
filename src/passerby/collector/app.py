"""The collector as one ASGI app: the live page and the admin API with access control, all else to the services."""

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

from .access_control import AccessControl
from .event_stream import EventStream
from .health import Health
from .json_response import SecurityHeaders, refuse
from .store import Store

PREFIX = "/_collector"
COMMIT_EVERY = 0.2  # seconds


class CollectorApp:
    """Routes requests to the admin app or to the emulated services, which use no other middleware.

    Args:
        handler: the emulated services.
        admin: the live page and the admin API; its lifespan runs the background tasks.
    """

    def __init__(self, handler: ASGIApp, admin: ASGIApp) -> None:
        self._handler = handler
        self._admin = admin

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""
        path: str = scope.get("path", PREFIX)
        if path == PREFIX or path.startswith(f"{PREFIX}/"):
            await self._admin(scope, receive, send)
        elif path == "/" and _wants_page(scope):
            await RedirectResponse(f"{PREFIX}/")(scope, receive, send)
        else:
            await self._handler(scope, receive, send)


def make_admin_app(
    routes: Sequence[BaseRoute],
    store: Store,
    stream: EventStream,
    health: Health,
    *,
    token: str | None,
    frame_ancestors: str | None,
) -> ASGIApp:
    """Make the app of the live page and the admin API, with access control and background tasks."""

    @asynccontextmanager
    async def keeps_running(app: Starlette) -> AsyncGenerator[None]:
        stream.start()
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
        routes=[Route(PREFIX, _redirect_to_page), Mount(PREFIX, app=Router(routes, redirect_slashes=False))],
        exception_handlers={HTTPException: _error_response},
        lifespan=keeps_running,
    )
    pages.router.redirect_slashes = False
    return SecurityHeaders(AccessControl(pages, PREFIX, token), frame_ancestors)


async def _redirect_to_page(request: Request) -> Response:
    return RedirectResponse(f"{PREFIX}/")


def _wants_page(scope: Scope) -> bool:
    request = Request(scope)
    return request.method == "GET" and "text/html" in request.headers.get("accept", "")


async def _commit_regularly(store: Store) -> None:
    while True:
        await asyncio.sleep(COMMIT_EVERY)
        store.commit()


async def _error_response(request: Request, exc: Exception) -> Response:
    status, detail = (exc.status_code, exc.detail) if isinstance(exc, HTTPException) else (500, "Server Error")
    return refuse(status, detail)
