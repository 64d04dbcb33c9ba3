"""The ASGI face: one middleware for Starlette, FastAPI and every other ASGI app."""

from __future__ import annotations

from collections.abc import Awaitable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .request import TRACKER_KEY, ScopeRequest
from .tracker import Tracker, enter, leave
from .tracking import Tracking

_SEEN_KEY = "passerby.middleware"  # marks a scope, so that a middleware installed twice acts once


class TrackingMiddleware:
    """Gives each request a tracker, as `request.state.tracker`, and its response the visitor's cookies.

    Args:
        app: the ASGI app.
        tracking: the app's `Tracking`.
        websocket_cookies: whether the answer to a websocket's handshake may set cookies too.
    """

    def __init__(self, app: ASGIApp, *, tracking: Tracking, websocket_cookies: bool = False) -> None:
        self.app = app
        self.tracking = tracking
        self._starts = ("http.response.start", "websocket.accept") if websocket_cookies else ("http.response.start",)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, self._send_of_lifespan(send))
            return
        if scope["type"] not in ("http", "websocket") or _SEEN_KEY in scope:
            await self.app(scope, receive, send)
            return
        # Whoever stands before this middleware may have told something already.
        tracker: Tracker = scope.get(TRACKER_KEY) or self.tracking.begin(ScopeRequest(scope))
        if tracker.visit.needs_id:
            await self.tracking.await_browser_id(tracker)
        scope[_SEEN_KEY] = True
        scope[TRACKER_KEY] = scope.setdefault("state", {})["tracker"] = tracker
        token = enter(tracker)
        try:
            await self.app(scope, receive, self._send_of_request(tracker, send))
        finally:
            leave(token)
            self.tracking.end(tracker)

    def _send_of_request(self, tracker: Tracker, send: Send) -> Send:
        def send_with_cookies(message: Message) -> Awaitable[None]:
            if message["type"] in self._starts:
                headers = list(message.get("headers", ()))
                cookies = self.tracking.cookies(tracker, headers)
                if cookies:
                    added = [(b"set-cookie", cookie.header().encode("latin-1")) for cookie in cookies]
                    message = {**message, "headers": [*headers, *added]}
            return send(message)

        return send_with_cookies

    def _send_of_lifespan(self, send: Send) -> Send:
        async def send_around(message: Message) -> None:
            if message["type"] == "lifespan.startup.complete":
                self.tracking.start()
            elif message["type"] in ("lifespan.shutdown.complete", "lifespan.shutdown.failed"):
                await self.tracking.aflush()
            await send(message)

        return send_around
