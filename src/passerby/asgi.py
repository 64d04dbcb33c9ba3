"""The ASGI integration: one middleware for Starlette, FastAPI and every other ASGI app."""

from __future__ import annotations

from collections.abc import Iterable, MutableMapping, Sequence
from contextlib import suppress

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .client.adapters import handled_tracker
from .client.current import reset_current, set_current
from .client.lifecycle import RequestLifecycle
from .client.sites import TrackingSource
from .client.tracker import Tracker
from .http.request import ScopeRequest
from .http.response import with_changes

_STARTS = ("http.response.start", "websocket.accept")


class TrackingMiddleware:
    """Gives each request a tracker, as `request.state.tracker`, and its response the visitor's cookies.

    Args:
        app: the ASGI app.
        tracking: the app's `Tracking`, or `Sites` if an app serves several.
        websocket_cookies: whether the response to a websocket handshake may set cookies too.
    """

    def __init__(self, app: ASGIApp, *, tracking: TrackingSource, websocket_cookies: bool = False) -> None:
        self.app = app
        self.tracking = tracking
        self._with_cookies = _STARTS if websocket_cookies else _STARTS[:1]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        kind = scope["type"]
        if kind not in ("http", "websocket"):
            await self.app(scope, receive, self._send_of_lifespan(send) if kind == "lifespan" else send)
            return
        request = ScopeRequest(scope)
        handled = handled_tracker(request)
        if handled is not None:
            _attach(scope, handled)
            await self.app(scope, receive, send)
            return
        lifecycle = self.tracking.for_request(request)
        tracker = lifecycle.start(request)
        _attach(scope, tracker)
        if tracker.session.needs_id:
            await lifecycle.await_browser_id(tracker)
        token = set_current(tracker)
        try:
            await self.app(scope, receive, self._send_of_request(lifecycle, tracker, send))
        except Exception:  # an outer middleware or the server sends the response, or it has been sent
            if (unstored := tracker.session.start_response()) and (recorded := lifecycle.stored_future(unstored)):
                await lifecycle.wait_stored_async(unstored, recorded)
            raise
        finally:
            reset_current(token)
            lifecycle.finish(tracker)

    def _send_of_request(self, lifecycle: RequestLifecycle, tracker: Tracker, send: Send) -> Send:
        # A coroutine function, because adapters such as asgiref's check for one.
        async def send_in_turn(message: Message) -> None:
            kind = message["type"]
            if kind in _STARTS:
                if kind in self._with_cookies:
                    if tracker.session.is_rotated and tracker.session.needs_new_id:
                        await lifecycle.await_browser_id(tracker)
                    message = _with_cookies(message, lifecycle, tracker)
                unstored = tracker.session.start_response()
                if unstored and (recorded := lifecycle.stored_future(unstored)) is not None:
                    await lifecycle.wait_stored_async(unstored, recorded)
            await send(message)

        return send_in_turn

    def _send_of_lifespan(self, send: Send) -> Send:
        async def send_around(message: Message) -> None:
            if message["type"] == "lifespan.startup.complete":
                self.tracking.start()
            elif message["type"] in ("lifespan.shutdown.complete", "lifespan.shutdown.failed"):
                await self._flush()
            await send(message)

        return send_around

    async def _flush(self) -> None:
        try:
            await self.tracking.aflush()
        except RuntimeError:  # in trio; no requests are served any more, so that it may block
            self.tracking.flush()


def _attach(scope: Scope, tracker: Tracker) -> None:
    """Set `request.state.tracker`, whatever kind of state the app or another middleware has set."""
    state = scope.get("state")
    if type(state) is dict or isinstance(state, MutableMapping):
        state["tracker"] = tracker
    elif state is None:
        scope["state"] = {"tracker": tracker}
    else:
        with suppress(AttributeError):
            state.tracker = tracker


def _with_cookies(message: Message, lifecycle: RequestLifecycle, tracker: Tracker) -> Message:
    headers: Iterable[tuple[bytes, bytes]] = message.get("headers", ())
    if not isinstance(headers, (list, Sequence)):  # an iterator can be read only once
        headers = list(headers)
        message = {**message, "headers": headers}
    changes = lifecycle.before_response(tracker, message.get("status", 101), headers)
    return {**message, "headers": with_changes(headers, changes)} if changes.cookies else message
