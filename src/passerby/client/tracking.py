"""The entry point of an app: makes all parts from settings, and gives each request a tracker."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from logging import Logger
from typing import Any, Unpack, cast

from ..delivery import Delivery
from ..destinations import Destination
from ..destinations.target import COLLECTOR_URL, collector_url
from ..errors import BrowserIdUnavailable, RemoteTimeout, SettingsError, ValidationError
from ..events.identity import checked_browser_id, checked_user_id
from ..events.options import checked_timeout, read_context
from ..http.caching import CacheControl
from ..http.policy import INVALID, OUTSIDE
from ..http.proxies import TrustedProxies
from ..http.request import TRACKER_KEY, EnvironRequest, RequestInfo, read_request
from ..http.response import apply_changes, headers_of, remove_cookies
from ..http.session import Session, bot_session, session_of
from ..http.visitor_cookies import ParsedBrowserId
from ..logs import get_logger, log_loss
from ..settings.env import read_environment, read_mapping, variable_of
from ..settings.secret_keys import UnfitKey
from ..settings.settings import SettingsValues, make_settings
from ..values.app_values import wrap_read_errors
from .adapters import handled_tracker
from .dead_letters import DeadLetter
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
            log_loss(  # visible also without logging configured: nothing is sent to the configured addresses
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
            spelling: converts a setting's name, such as ``"sitecore.client_key"``, to its form in error messages.

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
    def destination_names(self) -> tuple[str, ...]:
        """The names of the destinations of its settings; the outbox may have events for others."""
        return self._client.destination_names

    @property
    def delivery(self) -> Delivery:
        """What sends events in the background; for workers and commands."""
        return self._delivery

    @property
    def close_timeout(self) -> float:
        """The default timeout of `close`, in seconds."""
        return self._settings.close_timeout

    @property
    def cache_control(self) -> CacheControl:
        """How shared caches are treated; see `passerby.settings.settings.Settings`."""
        return self._settings.cache_control

    def for_request(self, request: RequestInfo) -> RequestLifecycle:
        """Return the lifecycle for a request; used by all framework integrations."""
        return self._lifecycle

    # The server object: any framework's request, with or without the middleware.

    def tracker_for(self, request: Any) -> Tracker:
        """Return the tracker of a request. It is created on first use, and later calls return the same one.

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
            browser_id: the value of `Tracker.browser_id`, as text or as a UUID.
            user_id: the user ID, if known: text, a number or a UUID.

        Raises ValidationError if the browser ID is not a UUID or the user ID is invalid. With ``on_invalid="drop"`` all
        events of the tracker are dropped instead.
        """
        try:
            browser = checked_browser_id(browser_id, self._client.cookie.id_format)
            user = None if user_id is None else checked_user_id(user_id, browser)
        except ValidationError as error:
            self._client.drop("invalid", (), error)
            return Tracker(self._client, Session(None, INVALID, ParsedBrowserId(None), None))
        return Tracker(self._client, session_of(browser, user))

    def outside_request(self) -> Tracker:
        """Return a tracker for code that may run outside of a request. It has no visitor and drops all events.

        Its events are counted as "no-request". For a known visitor use `for_visitor`.
        """
        return Tracker(self._client, Session(None, OUTSIDE, ParsedBrowserId(None), None))

    async def handle_cookie(self, request: Any, response: Any, timeout: float | None = None) -> None:
        """Set the visitor's cookie on a response, or renew it. With the middleware installed it is not needed.

        Args:
            request: as for `tracker_for`.
            response: a list of headers, or the response object of Starlette, FastAPI, Django or Flask.
            timeout: seconds for which a new visitor may wait for an ID; by default `browser_id_timeout`.

        Raises:
            ValidationError: IV-0006, the timeout is not a number of seconds.
            RemoteTimeout: IE-0003, no ID within the given timeout.
            BrowserIdUnavailable: IE-0004, no ID is available.
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
        """The same as `handle_cookie`, for sync code."""
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
        """Track a page view of a request's visitor; see `Tracker.page_view`."""
        tracker = self._find_tracker(request)
        return self._refused if tracker is None else tracker.page_view(event_data, extension_data)

    def identity(
        self, event_data: Mapping[str, Any], request: Any, extension_data: Mapping[str, Any] | None = None
    ) -> Receipt:
        """Identify a request's visitor; see `Tracker.identity`."""
        tracker = self._find_tracker(request)
        return self._refused if tracker is None else tracker.identity(event_data, extension_data)

    def event(
        self,
        type: str,
        event_data: Mapping[str, Any] | None,
        request: Any,
        extension_data: Mapping[str, Any] | None = None,
    ) -> Receipt:
        """Track an event of a request's visitor; see `Tracker.event`."""
        tracker = self._find_tracker(request)
        return self._refused if tracker is None else tracker.event(type, event_data, extension_data)

    def form(self, form_id: str, interaction: str, request: Any, component_instance_id: str | None = None) -> Receipt:
        """Track what a request's visitor does with a form; see `Tracker.form`."""
        tracker = self._find_tracker(request)
        return self._refused if tracker is None else tracker.form(form_id, interaction, component_instance_id)

    def bot_page_view(self, user_agent: str | None, event_data: Mapping[str, Any] | None, request: Any) -> Receipt:
        """Track a page view of a bot with this user agent, which is one visitor; see the setting `bots`."""
        try:
            given = read_context({"user_agent": user_agent})
            browser_id = self._client.cookie.id_format.derive(given["user_agent"] or "")
            tracker = Tracker(self._client, bot_session(read_request(request), browser_id))
            return tracker.page_view(event_data, context=given)
        except ValidationError as error:
            return self._client.drop("invalid", self._client.destination_names, error)

    async def personalize(
        self, data: Mapping[str, Any], request: Any, timeout: float | None = None
    ) -> dict[str, Any] | None:
        """Request a personalisation for a request's visitor; see `Tracker.personalize`."""
        tracker = self._find_tracker(request, counted=False)
        return None if tracker is None else await tracker.personalize(data, timeout)

    def personalize_sync(
        self, data: Mapping[str, Any], request: Any, timeout: float | None = None
    ) -> dict[str, Any] | None:
        """The same as `personalize`, for sync code."""
        tracker = self._find_tracker(request, counted=False)
        return None if tracker is None else tracker.personalize_sync(data, timeout)

    # Start, flush, close.

    def start(self) -> None:
        """Start the background thread and fill the pool of browser IDs. Otherwise the first request does."""
        self._delivery.start()

    def flush(self, timeout: float = DEFAULT_WAIT) -> int:
        """Wait until the events that this process has recorded are delivered, or with a worker stored.

        Args:
            timeout: seconds to wait at most.

        Returns:
            How many of them still wait.
        """
        return self._delivery.flush(self._wait_of(timeout, DEFAULT_WAIT))

    async def aflush(self, timeout: float = DEFAULT_WAIT) -> int:
        """The same as `flush`, without blocking the event loop."""
        return await asyncio.to_thread(self.flush, timeout)

    def close(self, timeout: float | None = None) -> int:
        """Flush and stop the background thread. Returns how many events still wait. A later event starts it again."""
        return self._delivery.close(self._wait_of(timeout, self.close_timeout))

    async def aclose(self, timeout: float | None = None) -> int:
        """The same as `close`, without blocking the event loop."""
        return await asyncio.to_thread(self.close, timeout)

    def record_with(self, transactions: Transactions | None) -> None:
        """Record events tracked in a database transaction when it is committed, and drop them if it is rolled back.

        Dropped events are counted as "rollback", and an identity tracked in the transaction is undone. The Django
        integration does this by itself.
        """
        self._client.record_with(transactions)

    def dead_letters(self) -> list[DeadLetter]:
        """Return the dead letters, each with its reason, the oldest first.

        Raises `passerby.outbox.contract.StorageError` if the outbox on disk cannot be read.
        """
        return self._client.dead_letters()

    def stats(self) -> Stats:
        """Return the ledger: per destination, recorded = delivered + pending + dead + dropped."""
        return replace(self._client.stats(), unread_cookies=self._session_reader.unread_cookies)

    def _tracker_for_cookie(self, request: Any) -> Tracker | None:
        return self._find_tracker(request, counted=False) if self._settings.set_cookie else None

    def _find_tracker(self, request: Any, *, counted: bool = True) -> Tracker | None:
        """Return a request's tracker, or None for an invalid request if `on_invalid` is "drop"."""
        try:
            return self._tracker_for(request)
        except ValidationError as error:
            self._client.drop("invalid", self._client.destination_names if counted else (), error)
            return None

    @property
    def _refused(self) -> Receipt:
        """The receipt of a call that was dropped and counted."""
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
            if not session.waits_for_storage:  # else the middleware sets the cookies, on the final response
                self._change(session, response)
        except ValidationError as error:
            self._client.drop("invalid", (), error)

    @wrap_read_errors("response")
    def _remove_stale(self, response: Any) -> None:
        """Remove the cookies that another request has set on a reused response."""
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
