"""A site with one of the vendor's browser SDKs on its pages, tracked on the server by passerby."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from passerby import Tracker, Tracking
from passerby.asgi import TrackingMiddleware
from tests.conftest import CONFORMANCE

PACKAGES = CONFORMANCE / "node_modules"


@dataclass(frozen=True)
class PageSDK:
    """A browser SDK: the script that starts it, and where the page finds what it imports, below the npm packages."""

    script: str
    imports: dict[str, str]


ENGAGE = PageSDK("sdk_page.js", {"@sitecore/engage": "/packages/@sitecore/engage/esm/src/index.mjs"})
CLOUD = PageSDK(
    "cloud_page.js",
    {
        "@sitecore-cloudsdk/core/browser": "/packages/@sitecore-cloudsdk/core/dist/esm/src/browser",
        "@sitecore-cloudsdk/core/internal": "/packages/@sitecore-cloudsdk/core/dist/esm/src/internal",
        "@sitecore-cloudsdk/events/browser": "/packages/@sitecore-cloudsdk/events/dist/esm/src/browser",
        "@sitecore-cloudsdk/utils": "/packages/@sitecore-cloudsdk/utils/dist/esm/src/index",
        "debug": "/scripts/no_debug.js",  # what the package brings is not for browsers
    },
)


class Packages(StaticFiles):
    """The npm packages, as a bundler finds their files: names of modules have no ending, and JSON is a module."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        whole = PACKAGES / path
        if whole.suffix == ".json":
            return Response(f"export default {whole.read_text()}", media_type="text/javascript")
        if (whole / "index.js").is_file():
            return RedirectResponse(f"{scope['path']}/index")
        return await super().get_response(path if whole.is_file() else f"{path}.js", scope)


def make_site(tracking: Tracking, settings: dict[str, Any], sdk: PageSDK = ENGAGE) -> Starlette:
    """Build the app: `/` is tracked, `/static` comes as from a cache in front of it, untouched by passerby.

    Args:
        tracking: tracks the app.
        settings: what the browser SDK is started with.
        sdk: the browser SDK.
    """

    async def show_home(request: Request) -> Response:
        tracker = _tracker(request)
        tracker.page_view({"page": "Home"})
        return HTMLResponse(page(settings, tracker.browser_id, sdk))

    async def show_static(request: Request) -> Response:
        return HTMLResponse(page(settings, None, sdk))

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
            Mount("/packages", Packages(directory=PACKAGES)),
            Mount("/scripts", StaticFiles(directory=Path(__file__).parent)),
            Mount("/", TrackingMiddleware(tracked, tracking=tracking)),
        ]
    )


def page(settings: dict[str, Any], browser_id: str | None, sdk: PageSDK = ENGAGE) -> str:
    """A page that starts the SDK, and says which browser ID the server knew when it made it."""
    return f"""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>A shop</title>
<link rel="icon" href="data:,">
<script type="importmap">{json.dumps({"imports": sdk.imports})}</script>
<script type="application/json" id="settings">{json.dumps(settings)}</script>
<script type="module" src="/scripts/{sdk.script}"></script>
<p>Server: <output id="server">{browser_id or ""}</output></p>
<p>Browser: <output id="browser"></output></p>
</html>
"""


def _tracker(request: Request) -> Tracker:
    return cast(Tracker, request.state.tracker)
