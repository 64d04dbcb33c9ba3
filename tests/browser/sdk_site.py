"""A site with the vendor's browser SDK on its pages, tracked on the server by passerby."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from passerby import Tracker, Tracking
from passerby.asgi import TrackingMiddleware
from tests.conftest import CONFORMANCE

PACKAGE = CONFORMANCE / "node_modules" / "@sitecore" / "engage"
SCRIPT = Path(__file__).with_name("sdk_page.js")
IMPORTS = {"imports": {"@sitecore/engage": "/engage/esm/src/index.mjs"}}


def make_site(tracking: Tracking, settings: dict[str, Any]) -> Starlette:
    """Build the app: `/` is tracked, `/static` comes as from a cache in front of it, untouched by passerby.

    Args:
        settings: what the browser SDK is started with.
    """

    async def show_home(request: Request) -> Response:
        tracker = _tracker(request)
        tracker.page_view({"page": "Home"})
        return HTMLResponse(page(settings, tracker.browser_id))

    async def show_static(request: Request) -> Response:
        return HTMLResponse(page(settings, None))

    async def log_in(request: Request) -> Response:
        _tracker(request).identity({"identifiers": [{"id": "ada@shop.example", "provider": "EMAIL"}]})
        return JSONResponse({"browser_id": _tracker(request).browser_id})

    async def show_guest(request: Request) -> Response:
        return JSONResponse({"guest_id": await _tracker(request).guest_id()})

    tracked = Starlette(
        routes=[Route("/", show_home), Route("/login", log_in, methods=["POST"]), Route("/guest", show_guest)]
    )
    return Starlette(
        routes=[
            Route("/static", show_static),
            Mount("/engage", StaticFiles(directory=PACKAGE)),
            Mount("/scripts", StaticFiles(directory=SCRIPT.parent)),
            Mount("/", TrackingMiddleware(tracked, tracking=tracking)),
        ]
    )


def page(settings: dict[str, Any], browser_id: str | None) -> str:
    """A page that starts the SDK, and says which browser ID the server knew when it made it."""
    return f"""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>A shop</title>
<link rel="icon" href="data:,">
<script type="importmap">{json.dumps(IMPORTS)}</script>
<script type="application/json" id="settings">{json.dumps(settings)}</script>
<script type="module" src="/scripts/{SCRIPT.name}"></script>
<p>Server: <output id="server">{browser_id or ""}</output></p>
<p>Browser: <output id="browser"></output></p>
</html>
"""


def _tracker(request: Request) -> Tracker:
    return cast(Tracker, request.state.tracker)
