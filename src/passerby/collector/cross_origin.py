"""Pages of any origin may call the Stream API, as the vendor's browser SDK does from every site that uses it.

It posts JSON with a header `X-Library-Version` to the address of the service, without credentials. A browser sends that
only where the service has said beforehand that this origin, this method and these headers are welcome, and shows the
answer only where the answer says so again; so the real service says both to everybody. What it says word for word could
not be seen. Nothing else here is open in this way, above all not the control path.
"""

from __future__ import annotations

from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

from .ask import Route, route_of
from .exchange import wire_path

OPEN: frozenset[Route] = frozenset({"create", "events", "show", "callflows"})
HEADERS = ("content-type", "x-library-version", "x-client-software-id")


class OpenToPages:
    """Let the browser of whoever asks read the answers of the Stream API; answer its question whether it may ask."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._open = CORSMiddleware(app, allow_origins=["*"], allow_methods=["GET", "POST"], allow_headers=HEADERS)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        await (self._open if _is_from_page(scope) else self._app)(scope, receive, send)


def _is_from_page(scope: Scope) -> bool:
    is_of_browser = any(name == b"origin" for name, _ in scope.get("headers", ()))
    return is_of_browser and route_of(wire_path(scope).partition("?")[0]) in OPEN
