"""Tracking: joins the parts. One per app; it hands each request a tracker."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from logging import Logger
from typing import Any, Unpack, cast

from ..destinations import Destination
from ..destinations.target import COLLECTOR_URL, collector_url
from ..errors import BrowserIdUnavailable, RemoteTimeout, SettingsError, ValidationError
from ..events.identity import checked_browser_id, checked_user_id
from ..events.options import checked_timeout
from ..http.caching import CacheControl
from ..http.policy import INVALID, OUTSIDE
from ..http.proxies import TrustedProxies
from ..http.request import TRACKER_KEY, EnvironRequest, RequestInfo, read_request
from ..http.response import apply_changes, headers_of, remove_cookies
from ..http.session import Session, session_of
from ..http.visitor_cookies import ParsedBrowserId
from ..logs import get_logger, log_loss
from ..outbox import DeadLetter
from ..settings.env import read_environment, read_mapping, variable_of
from ..settings.secret_keys import UnfitKey
from ..settings.settings import SettingsValues, make_settings
from ..values.app_values import wrap_read_errors
from .adapters import handled_tracker
from .lifecycle import RequestLifecycle
from .on_commit import Transactions
from .parts import check_destinations, make_client, make_session_reader, shared_cookie_of
from .receipt import DEFAULT_WAIT, Receipt
from .stats import Stats
from .tracker import Tracker
from .uwsgi import warn_if_threads_are_off

log: Logger = get_logger("passerby")


class Tracking:
    """Visitor tracking for one app.

    Args:
        destinations: the systems that receive events, such as `Sitecore`.
        settings: see `passerby.settings.settings.Settings`.

    Raises:
        SettingsError: a setting is missing, wrong, or does not fit another one.
    """

    def __init__(self, *destinations: Destination, **settings: Unpack[SettingsValues]) -> None:
        self._settings = make_settings(settings)
        check_destinations(destinations)
        shared = shared_cookie_of(destinations)
        proxies = TrustedProxies(self._settings.trusted_proxies, self._settings.trusted_proxy_headers)
        self._client = make_client(destinations, self._settings, shared, proxies)
        self._delivery = self._client.delivery
        self._session_reader = make_session_reader(self._settings, shared, proxies)
        self._lifecycle = RequestLifecycle(
            self._client,
            self._session_reader,
            auto_page_views=self._settings.auto_page_views,
            set_cookie=self._settings.set_cookie,
            browser_id_timeout=self._settings.browser_id_timeout,
        )
        warn_if_threads_are_off()
        if (collector := collector_url()) is not None:
            log_loss(  # it is seen where no logging is configured too: the addresses of the settings get nothing
                log,
                "%s is set: events go to the collector at %s and to no configured address; for development only",
                COLLECTOR_URL,
                collector,
            )
        if self._settings.set_cookie and not self._settings.remembers_users:
            key = self._settings.secret_key
            log.warning(
                "%s: cookies are not signed and not renewed, users are not remembered over requests; "
                "set %s to a long random text",
                *(
                    (f"{key.name} has fewer than 8 characters and cannot sign", "it, or passerby's own secret_key,")
                    if isinstance(key, UnfitKey)
                    else ("no secret_key", "secret_key")
                ),
            )

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any], spelling: Callable[[str], str] = str) -> Tracking:
        """Make it from a mapping such as ``{"sitecore": {"client_key": ...}, "secret_key": ...}``.

        Args:
            values: the settings, those of a destination under its kind.
            spelling: makes out of a setting's name, such as ``"sitecore.client_key"``, how errors are to call it.

        Raises SettingsError as `Tracking` does.
        """
        try:
            destinations, settings = read_mapping(values)
            return cls(*destinations, **cast("SettingsValues", settings))
        except SettingsError as error:
            raise error.spelled(spelling) from None

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None) -> Tracking:
        """Make it from the environment: ``PASSERBY_SITECORE_CLIENT_KEY``, ``PASSERBY_SECRET_KEY`` and so on.

        Raises SettingsError as `Tracking` does.
        """
        return cls.from_mapping(read_environment(os.environ if environ is None else environ), variable_of)

    def __repr__(self) -> str:
        return f"<Tracking to {', '.join(self._client.destination_names) or 'nowhere'}>"

    @property
    def outbox_directory(self) -> str | None:
        """Where the files of the outbox are; None if events wait in memory."""
        return self._settings.outbox_directory

    @property
    def close_timeout(self) -> float:
        """How many seconds `close` takes at most if it is not told."""
        return self._settings.close_timeout

    @property
    def cache_control(self) -> CacheControl:
        """What is done about shared caches; see `passerby.settings.settings.Settings`."""
        return self._settings.cache_control

    def for_request(self, request: RequestInfo) -> RequestLifecycle:
        """Return the lifecycle through which a request comes in; for every framework's face."""
        return self._lifecycle

    # The server object: any framework's request, with or without the middleware.

    def tracker_for(self, request: Any) -> Tracker:
        """Return the tracker of a request; made on first use, and then the same for all who ask.

        Args:
            request: an ASGI scope, a WSGI environ, or the request object of Starlette, FastAPI, Django or Flask.

        Raises ValidationError for anything else.
        """
        return self._tracker_for(request)

    @wrap_read_errors("request")
    def _tracker_for(self, request: Any) -> Tracker:
        info = read_request(request)
        tracker: Tracker | None = info.native.get(TRACKER_KEY) or handled_tracker(info)
        if tracker is None:
            tracker = info.native[TRACKER_KEY] = self._lifecycle.make_tracker(info)
        return tracker

    def for_visitor(self, browser_id: object, user_id: object = None) -> Tracker:
        """Return a tracker outside of any request, for a job or an import.

        Args:
            browser_id: what `Tracker.browser_id` said, as text or as a UUID.
            user_id: who the visitor is, if that is known: text, a number or a UUID.

        Raises ValidationError if the browser ID is no UUID or the user ID is none. With ``on_invalid="drop"`` all that
        is tracked with the tracker is dropped instead.
        """
        try:
            browser = checked_browser_id(browser_id, self._client.cookie.id_format)
            user = None if user_id is None else checked_user_id(user_id, browser)
        except ValidationError as error:
            self._client.drop("invalid", (), error)
            return Tracker(self._client, Session(None, INVALID, ParsedBrowserId(None), None))
        return Tracker(self._client, session_of(browser, user))

    def outside_request(self) -> Tracker:
        """Return a tracker for code that runs outside of a request too: it has no visitor and drops what is tracked.

        What is dropped is counted as "no-request". For a visitor who is known there is `for_visitor`.
        """
        return Tracker(self._client, Session(None, OUTSIDE, ParsedBrowserId(None), None))

    async def handle_cookie(self, request: Any, response: Any, timeout: float | None = None) -> None:
        """Set the visitor's cookie on a response, or renew it. With the middleware installed it is not needed.

        Args:
            request: as for `tracker_for`.
            response: a list of headers, or the response object of Starlette, FastAPI, Django or Flask.
            timeout: how many seconds a new visitor may wait for an ID; `browser_id_timeout` by default.

        Raises:
            ValidationError: IV-0006, the timeout is no number of seconds.
            RemoteTimeout: IE-0003, no ID within the given timeout.
            BrowserIdUnavailable: IE-0004, no ID could be had.
        """
        tracker = self._tracker_for_cookie(request)
        if tracker is None:
            return
        in_time = True
        if tracker.session.needs_id or tracker.session.needs_new_id:
            timeout = self._checked_timeout(timeout)
            in_time = await self._lifecycle.await_browser_id(tracker, timeout)
        self._answer(tracker, response, timed_out=timeout is not None and not in_time)

    def handle_cookie_sync(self, request: Any, response: Any, timeout: float | None = None) -> None:
        """Do as `handle_cookie` does, in sync code."""
        tracker = self._tracker_for_cookie(request)
        if tracker is None:
            return
        in_time = True
        if tracker.session.needs_id or tracker.session.needs_new_id:
            timeout = self._checked_timeout(timeout)
            in_time = self._lifecycle.wait_for_browser_id(tracker, timeout)
        self._answer(tracker, response, timed_out=timeout is not None and not in_time)

    def page_view(
        self,
        event_data: Mapping[str, Any] | None,
        request: Any,
        extension_data: Mapping[str, Any] | None = None,
    ) -> Receipt:
        """Tell that the visitor of a request sees a page; see `Tracker.page_view`."""
        tracker = self._find_tracker(request)
        return self._refused if tracker is None else tracker.page_view(event_data, extension_data)

    def identity(
        self, event_data: Mapping[str, Any], request: Any, extension_data: Mapping[str, Any] | None = None
    ) -> Receipt:
        """Tell who the visitor of a request is; see `Tracker.identity`."""
        tracker = self._find_tracker(request)
        return self._refused if tracker is None else tracker.identity(event_data, extension_data)

    def event(
        self,
        type: str,
        event_data: Mapping[str, Any] | None,
        request: Any,
        extension_data: Mapping[str, Any] | None = None,
    ) -> Receipt:
        """Tell an event of the visitor of a request; see `Tracker.event`."""
        tracker = self._find_tracker(request)
        return self._refused if tracker is None else tracker.event(type, event_data, extension_data)

    async def personalize(
        self, data: Mapping[str, Any], request: Any, timeout: float | None = None
    ) -> dict[str, Any] | None:
        """Ask for a personalisation for the visitor of a request; see `Tracker.personalize`."""
        tracker = self._find_tracker(request, counted=False)
        return None if tracker is None else await tracker.personalize(data, timeout)

    def personalize_sync(
        self, data: Mapping[str, Any], request: Any, timeout: float | None = None
    ) -> dict[str, Any] | None:
        """Do as `personalize` does, in sync code."""
        tracker = self._find_tracker(request, counted=False)
        return None if tracker is None else tracker.personalize_sync(data, timeout)

    # Running it.

    def start(self) -> None:
        """Start the background thread and fill the pool of browser IDs; the first request does it otherwise."""
        self._delivery.start()

    def flush(self, timeout: float = DEFAULT_WAIT) -> int:
        """Wait at most `timeout` seconds until everything is delivered; return how many events still wait."""
        return self._delivery.flush(self._wait_of(timeout, DEFAULT_WAIT))

    async def aflush(self, timeout: float = DEFAULT_WAIT) -> int:
        """Do as `flush` does without blocking the event loop."""
        return await self._delivery.aflush(self._wait_of(timeout, DEFAULT_WAIT))

    def close(self, timeout: float | None = None) -> int:
        """Flush and end the background thread; return how many events still wait. A later event starts it again."""
        return self._delivery.close(self._wait_of(timeout, self.close_timeout))

    async def aclose(self, timeout: float | None = None) -> int:
        """Do as `close` does without blocking the event loop."""
        return await asyncio.to_thread(self.close, timeout)

    def record_with(self, transactions: Transactions | None) -> None:
        """Have events that are told in a database transaction recorded when it is committed, and dropped if it fails.

        What is dropped is counted as "rollback", and an identity told in the transaction is forgotten with it. The face
        for Django does this by itself.
        """
        self._client.record_with(transactions)

    def dead_letters(self) -> list[DeadLetter]:
        """Return the events that a destination will never take, each with the reason."""
        return self._client.dead_letters()

    def stats(self) -> Stats:
        """Return the ledger: per destination, recorded = delivered + pending + dead + dropped."""
        return replace(self._client.stats(), unread_cookies=self._session_reader.unread_cookies)

    def _tracker_for_cookie(self, request: Any) -> Tracker | None:
        return self._find_tracker(request, counted=False) if self._settings.set_cookie else None

    def _find_tracker(self, request: Any, *, counted: bool = True) -> Tracker | None:
        """Return a request's tracker; None for what is no request, where that is not to be raised."""
        try:
            return self._tracker_for(request)
        except ValidationError as error:
            self._client.drop("invalid", self._client.destination_names if counted else (), error)
            return None

    @property
    def _refused(self) -> Receipt:
        """The receipt of a call that was refused and counted."""
        return Receipt.dropped("invalid", self._client.destination_names)

    def _checked_timeout(self, timeout: object) -> float | None:
        try:
            return checked_timeout(timeout)
        except ValidationError as error:
            self._client.drop("invalid", (), error)
            return None

    def _wait_of(self, timeout: object, otherwise: float) -> float:
        checked = self._checked_timeout(timeout)
        return otherwise if checked is None else checked

    def _answer(self, tracker: Tracker, response: Any, *, timed_out: bool) -> None:
        session = tracker.session
        try:
            if session.request_renewal() and not session.waits_for_storage:
                self._remove_stale(response)
            if session.needs_id:
                raise RemoteTimeout if timed_out else BrowserIdUnavailable
            if not session.waits_for_storage:  # else the middleware sets the cookies, on what only this request sends
                self._change(session, response)
        except ValidationError as error:
            self._client.drop("invalid", (), error)

    @wrap_read_errors("response")
    def _remove_stale(self, response: Any) -> None:
        """Remove the cookies that a response carries from the answer to another request."""
        left = self._session_reader.stale_cookies(headers_of(response))
        if left:
            log.warning(
                "handle_cookie: the response carried the cookies of another request; they are removed. "
                "Make a new response for each request, or use the middleware"
            )
            remove_cookies(response, left)

    @wrap_read_errors("response")
    def _change(self, session: Session, response: Any) -> None:
        status = getattr(response, "status_code", 200)
        changes = self._session_reader.response_changes(session, status, headers_of(response), time.time())
        if session.withheld_reason is not None:
            self._client.withheld_cookies.count(session)
        apply_changes(response, changes, is_text=isinstance(session.request, EnvironRequest))
