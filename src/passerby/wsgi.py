"""The WSGI integration: one middleware for every WSGI app."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from .client.adapters import handled_tracker
from .client.current import activate, deactivate
from .client.lifecycle import RequestLifecycle
from .client.sites import TrackingSource
from .client.tracker import Tracker
from .http.request import EnvironRequest
from .http.response import with_changes


class TrackingMiddleware:
    """Gives each request a tracker, as ``environ["passerby.tracker"]``, and its response the visitor's cookies.

    The app's iterable is passed to the server unchanged, so that `close()`, `wsgi.file_wrapper` and the like keep
    working. `passerby.current_tracker()` works until the server releases it.

    Args:
        app: the WSGI app.
        tracking: the app's `Tracking`, or `Sites` if an app serves several.
    """

    def __init__(self, app: WSGIApplication, tracking: TrackingSource) -> None:
        self.app = app
        self.tracking = tracking

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        request = EnvironRequest(environ)
        if handled_tracker(request) is not None:
            return self.app(environ, start_response)
        lifecycle = self.tracking.for_request(request)
        tracker = lifecycle.start(request)
        if tracker.session.needs_id:
            lifecycle.wait_for_browser_id(tracker)
        activate(tracker)
        try:
            body = self.app(environ, _start_with_cookies(lifecycle, tracker, start_response))
        except BaseException:
            lifecycle.wait_stored(tracker)
            deactivate(tracker)
            lifecycle.finish(tracker)
            raise
        lifecycle.finish_with_body(tracker, body)
        return body


def _start_with_cookies(lifecycle: RequestLifecycle, tracker: Tracker, start_response: StartResponse) -> StartResponse:
    def start(status: str, headers: list[tuple[str, str]], *error: Any) -> Callable[[bytes], object]:
        if tracker.session.needs_new_id:
            lifecycle.wait_for_browser_id(tracker)
        headers = list(headers)  # the app may reuse its list, or pass an iterator
        changes = lifecycle.before_response(tracker, int(status[:3]), headers)
        lifecycle.wait_stored(tracker)
        if changes.cookies:
            headers = with_changes(headers, changes, is_text=True)
        return start_response(status, headers, *error)

    return start
