"""Pages of any origin may call the Stream API and the edge, as the vendor's browser SDKs do.

They post JSON with headers such as `X-Library-Version` to the address of the service, without credentials. A browser
sends such a request only if a preflight response allows the origin, method and headers, and shows the response only if
the response allows it too. So the real service must allow both for every origin. Its exact headers are not known.
Nothing else of the collector is open to other origins, in particular not the admin API.
"""

from __future__ import annotations

from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

from .api_request import SYSTEM_OF_ROUTE, Route, route_of
from .request_handler import wire_path

CORS_ROUTES: frozenset[Route] = frozenset(route for route, system in SYSTEM_OF_ROUTE.items() if system == "sitecore")
HEADERS = (
    "content-type",
    "x-library-version",
    "x-client-software-id",
    "x-sitecore-contextid",
    "x-sc-correlation-id",
)


class StreamApiCors:
    """Adds CORS headers to the Stream API and the edge, and answers preflight requests."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._open = CORSMiddleware(app, allow_origins=["*"], allow_methods=["GET", "POST"], allow_headers=HEADERS)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        await (self._open if _is_from_page(scope) else self._app)(scope, receive, send)


def _is_from_page(scope: Scope) -> bool:
    is_of_browser = any(name == b"origin" for name, _ in scope.get("headers", ()))
    return is_of_browser and route_of(wire_path(scope).partition("?")[0]) in CORS_ROUTES
