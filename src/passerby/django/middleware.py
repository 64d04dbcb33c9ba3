"""The Django integration: one middleware, sync and async, for WSGI and ASGI."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from copy import copy
from functools import partial
from logging import Logger
from types import SimpleNamespace
from typing import Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.conf import settings
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.translation import get_language

from ..client.adapters import handled_tracker
from ..client.current import activate, deactivate
from ..client.lifecycle import RequestLifecycle
from ..client.sites import TrackingSource
from ..client.tracker import Tracker
from ..http.request import EnvironRequest, RequestInfo, ScopeRequest
from ..http.response import ResponseChanges, apply_changes, headers_of
from ..http.route import LANGUAGE_KEY, keep_request
from ..logs import get_logger
from . import signals
from .conf import get_tracking, read_own_settings
from .forwarding import read_framework_origin

log: Logger = get_logger("passerby.django")


class TrackedRequest(HttpRequest):
    """A request with a tracker, for annotations of views."""

    tracker: Tracker


class TrackingMiddleware:
    """Gives each request a tracker, as `request.tracker`, and its response the visitor's cookies.

    Must come before middleware that caches pages. It reads neither `request.user` nor the session, and adds no `Vary`.
    """

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        self.get_response: Callable[[HttpRequest], Any] = get_response
        self.tracking: TrackingSource = get_tracking()
        own = read_own_settings()
        self._ignored_namespaces = frozenset(own.ignored_namespaces)
        if own.auth_signals:  # so that log-ins are tracked without the app in INSTALLED_APPS too
            signals.connect()
        # `inspect` has both only from Python 3.12 on.
        self._is_async = iscoroutinefunction(get_response)  # pyright: ignore[reportDeprecated]
        if self._is_async:
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        if self._is_async:
            return self._answer_async(request)
        info = _info_of(request)
        handled = handled_tracker(info)
        if handled is not None:
            _attach(request, handled)
            passed: HttpResponseBase = self.get_response(request)
            return passed
        lifecycle = self.tracking.for_request(info)
        tracker = lifecycle.start(info)
        if tracker.session.needs_id:
            lifecycle.wait_for_browser_id(tracker)
        _attach(request, tracker)
        activate(tracker)
        try:
            response: HttpResponseBase = self.get_response(request)
        except BaseException:
            _end(lifecycle, tracker)
            raise
        if tracker.session.needs_new_id:
            lifecycle.wait_for_browser_id(tracker)
        response = self._respond(request, lifecycle, tracker, response)
        lifecycle.wait_stored(tracker)
        return _finish(lifecycle, tracker, response)

    async def _answer_async(self, request: HttpRequest) -> HttpResponseBase:
        info = _info_of(request)
        handled = handled_tracker(info)
        if handled is not None:
            _attach(request, handled)
            passed: HttpResponseBase = await self.get_response(request)
            return passed
        lifecycle = self.tracking.for_request(info)
        tracker = lifecycle.start(info)
        if tracker.session.needs_id:
            await lifecycle.await_browser_id(tracker)
        _attach(request, tracker)
        activate(tracker)
        try:
            response: HttpResponseBase = await self.get_response(request)
        except BaseException:
            _end(lifecycle, tracker)
            raise
        if tracker.session.needs_new_id:
            await lifecycle.await_browser_id(tracker)
        response = self._respond(request, lifecycle, tracker, response)
        unstored = tracker.session.start_response()
        if unstored and (recorded := lifecycle.stored_future(unstored)) is not None:
            await lifecycle.wait_stored_async(unstored, recorded)
        return _finish(lifecycle, tracker, response)

    def _respond(
        self, request: HttpRequest, lifecycle: RequestLifecycle, tracker: Tracker, response: HttpResponseBase
    ) -> HttpResponseBase:
        """Return the view's response, or a copy if cookies are set.

        The view may return the same response to several visitors, also at the same time.
        """
        match = getattr(request, "resolver_match", None)  # missing if an inner middleware makes the response
        if match is not None and not self._ignored_namespaces.isdisjoint((*match.app_names, *match.namespaces)):
            tracker.session.mark_ignored()
        try:
            changes = lifecycle.before_response(tracker, response.status_code, headers_of(response))
            return _copy_with(response, changes) if changes.cookies else response
        except Exception:
            log.exception("cannot add cookies to a response; it is sent without them")
            return response


def _info_of(request: HttpRequest) -> RequestInfo:
    scope = getattr(request, "scope", None)
    info: RequestInfo
    if scope is None:
        info = EnvironRequest(request.META, is_decoded=True)
    else:
        info = ScopeRequest(scope, root_path=settings.FORCE_SCRIPT_NAME)
    info.state_with(read_framework_origin)
    keep_request(info.native, request)
    info.native[LANGUAGE_KEY] = _language_of
    return info


def _language_of(request: HttpRequest) -> str | None:
    """Return the language of a page if LocaleMiddleware or a view has activated one."""
    active = get_language()
    if active and active.lower() != settings.LANGUAGE_CODE.lower():
        return active
    chosen: str | None = getattr(request, "LANGUAGE_CODE", None)
    return chosen


def _attach(request: HttpRequest, tracker: Tracker) -> None:
    request.tracker = tracker  # type: ignore[attr-defined]
    if not hasattr(request, "state"):
        request.state = SimpleNamespace()  # type: ignore[attr-defined]
    with suppress(AttributeError):  # the app may have set anything there
        request.state.tracker = tracker  # type: ignore[attr-defined]


def _copy_with(response: HttpResponseBase, changes: ResponseChanges) -> HttpResponseBase:
    """Return a copy of a response with separate headers and cookies.

    `copy.copy` cannot be used: Django leaves out attributes that cannot be pickled.
    """
    copied: HttpResponseBase = object.__new__(type(response))
    attributes: dict[str, Any] = vars(copied)
    attributes |= vars(response)
    attributes["headers"] = type(response.headers)(dict(response.headers.items()))
    attributes["cookies"] = type(response.cookies)()
    attributes["cookies"].update(response.cookies)
    # Resources are closed once, with either of the two responses. A body can be streamed only once.
    for name in ("_container",) if response.streaming else ("_container", "_resource_closers"):
        if name in attributes:
            attributes[name] = copy(attributes[name])
    apply_changes(copied, changes)
    return copied


def _finish(lifecycle: RequestLifecycle, tracker: Tracker, response: HttpResponseBase) -> HttpResponseBase:
    if response.streaming:
        lifecycle.finish_with_body(tracker, response)
        # A closed response may stay referenced: a file that the server sends references its response.
        getattr(response, "_resource_closers", []).append(partial(_end, lifecycle, tracker))
    else:
        _end(lifecycle, tracker)
    return response


def _end(lifecycle: RequestLifecycle, tracker: Tracker) -> None:
    deactivate(tracker)
    lifecycle.finish(tracker)
