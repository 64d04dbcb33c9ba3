"""The lifecycle of a request, from its start to the end of its response, for all framework integrations."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from concurrent.futures import Future, wait
from logging import Logger
from typing import Any

from ..errors import ValidationError
from ..http.policy import BROKEN
from ..http.request import HANDLED_KEY, TRACKER_KEY, RequestInfo
from ..http.response import UNCHANGED, ResponseChanges
from ..http.session import Session
from ..http.session_reader import SessionReader
from ..http.visitor_cookies import ParsedBrowserId
from ..logs import get_logger
from ..values.browser_id import IssuedId
from .client import Client
from .current import deactivate
from .tracker import Tracker

log: Logger = get_logger("passerby")


class RequestLifecycle:
    """Handles the steps of a request. Its internal errors do not reach the app.

    Args:
        client: the client used by trackers.
        session_reader: reads and writes cookies.
        auto_page_views: whether to send a page view for each page that a visitor sees.
        set_cookie: whether to set cookies.
        browser_id_timeout: seconds for which a new visitor's request may wait for a browser ID.
    """

    def __init__(
        self,
        client: Client,
        session_reader: SessionReader,
        *,
        auto_page_views: bool,
        set_cookie: bool,
        browser_id_timeout: float,
    ) -> None:
        self._client = client
        self._session_reader = session_reader
        self._auto_page_views = auto_page_views
        self._set_cookie = set_cookie
        self._browser_id_timeout = browser_id_timeout

    def start(self, request: RequestInfo) -> Tracker:
        """Start the request of an integration. An outer middleware may have tracked events in it already."""
        native = request.native
        tracker: Tracker | None = native.get(TRACKER_KEY)
        if tracker is None:
            tracker = native[TRACKER_KEY] = self.make_tracker(request)
        tracker.session.await_storage()
        native[HANDLED_KEY] = True
        return tracker

    def make_tracker(self, request: RequestInfo, assigns_id: bool = True) -> Tracker:
        """Read the cookies of a request, decide what is allowed, and assign an ID to a new visitor if one is ready.

        Args:
            request: the request's facts.
            assigns_id: whether a new visitor gets an ID before anything is tracked; False if there is no response.
        """
        try:
            session = self._session_reader.read(request, time.time())
            if assigns_id and session.parsed_browser_id.browser_id is None and session.needs_id:
                self._client.assign(session)
        except Exception:
            log.exception("cannot read a request; nothing is tracked in it")
            session = Session(request, BROKEN, ParsedBrowserId(None), None)
        return Tracker(self._client, session)

    async def await_browser_id(self, tracker: Tracker, timeout: float | None = None) -> bool:
        """Wait for the ID of a new visitor for at most `timeout` seconds, by default `browser_id_timeout`.

        Returns False on timeout, True if there is an ID or none is available.
        """
        waiter = self._request_id()
        if waiter is None:
            return True
        try:
            coming = asyncio.wrap_future(waiter, loop=asyncio.get_running_loop())
            await asyncio.wait([coming], timeout=self._patience(timeout))
        except RuntimeError:
            log.exception("cannot wait for a browser ID outside asyncio; the request continues without")
        except BaseException:  # for example cancelled by the server
            self._cancel_request(waiter)
            raise
        return self._use_result(tracker, waiter)

    def wait_for_browser_id(self, tracker: Tracker, timeout: float | None = None) -> bool:
        """The same as `await_browser_id`, for sync code."""
        waiter = self._request_id()
        if waiter is None:
            return True
        try:
            wait([waiter], timeout=self._patience(timeout))
        except BaseException:
            self._cancel_request(waiter)
            raise
        return self._use_result(tracker, waiter)

    def before_response(self, tracker: Tracker, status: int, headers: Iterable[tuple[Any, Any]]) -> ResponseChanges:
        """Send the automatic page view, if any, and return what to change in the headers of the response.

        Args:
            tracker: the tracker of the request.
            status: the HTTP status.
            headers: the response's headers, as pairs of text or bytes.
        """
        session = tracker.session
        try:
            if self._auto_page_views and not tracker.has_page_view:
                headers = list(headers)
                if self._session_reader.is_page_view(session, status, headers):
                    self._track_page_view(tracker)
            if not self._set_cookie:
                return UNCHANGED
            changes = UNCHANGED
            if self._session_reader.has_cookies(session):
                if not isinstance(headers, list):
                    headers = list(headers)
                if self._session_reader.can_reclaim_id(session, status, headers):
                    if not 200 <= status < 300:  # an error page may still be rendered by code that reads the ID
                        self._reclaim_id(session)
                    return UNCHANGED
                changes = self._session_reader.response_changes(session, status, headers, time.time())
            if session.withheld_reason is not None:
                self._client.withheld_cookies.count(session)
            return changes
        except Exception:
            log.exception("cannot make cookies; the response is sent without them")
            return UNCHANGED

    def stored_future(self, unstored: int) -> Future[None] | None:
        """Return the future for which the response waits before it starts, if any; see `wait_stored_async`.

        Args:
            unstored: the number of events for which it waits: the result of `Session.start_response`, if not 0.
        """
        try:
            return self._client.store_wait.start(unstored)
        except Exception:
            log.exception("cannot wait until the events of a request are stored; its response starts anyway")
            return None

    async def wait_stored_async(self, unstored: int, recorded: Future[None]) -> None:
        """Wait until the events of a request are stored, for at most `store_timeout` seconds."""
        try:
            await self._client.store_wait.wait_async(recorded, unstored)
        except RuntimeError:
            log.exception("cannot wait for events outside asyncio; the response starts before they are stored")

    def wait_stored(self, tracker: Tracker) -> None:
        """Start a response: wait until its events are stored, for at most `store_timeout` seconds; for sync code."""
        unstored = tracker.session.start_response()
        if not unstored:
            return
        try:
            self._client.store_wait.wait_sync(unstored)
        except Exception:
            log.exception("cannot wait until the events of a request are stored; its response starts anyway")

    def finish(self, tracker: Tracker) -> None:
        """Finish a request. An unused ID is returned to the pool."""
        session = tracker.session
        if session.is_active:
            session.finish_handling()
        if session.request is not None:
            session.request.detach()
        if session.has_new_id:
            self._reclaim_id(session)

    def finish_with_body(self, tracker: Tracker, body: object) -> None:
        """Finish a request when the server releases the response's body, which may track events until then.

        The body is not wrapped, so that the server gets it unchanged. A body that does not support weak references,
        such as a list, finishes the request at once.
        """

        def end(gone: object = None) -> None:
            deactivate(tracker)
            self.finish(tracker)

        tracker.session.finish_handling()
        if tracker.outer is not None:  # its handler reads this body and continues with the outer request
            deactivate(tracker)
        try:
            tracker.session.last_as_long_as(body, end)
        except TypeError:
            end()

    def _track_page_view(self, tracker: Tracker) -> None:
        try:
            tracker.page_view()
        except ValidationError as error:
            log.warning("cannot send the page view of a request: %s", error)
            self._client.count_dropped("invalid")

    def _patience(self, timeout: float | None) -> float:
        return self._browser_id_timeout if timeout is None else timeout

    def _request_id(self) -> Future[IssuedId | None] | None:
        try:
            return self._client.browser_ids.wait()
        except Exception:
            log.exception("cannot request a browser ID; the visitor continues without")
            return None

    def _cancel_request(self, waiter: Future[IssuedId | None]) -> None:
        """Stop waiting for an ID. One that has just arrived is returned to the pool."""
        issued = None if waiter.cancel() else waiter.result()
        if issued is not None:
            self._put_back(issued)

    def _reclaim_id(self, session: Session) -> None:
        """Return the assigned ID to the pool, if it is not used."""
        if session.is_id_used or self._client.browser_ids.issuer is None:
            return
        if session.issued_id is not None:
            self._put_back(session.issued_id)
            session.unassign()

    def _put_back(self, issued: IssuedId) -> None:
        try:
            self._client.browser_ids.pool.put_back(issued)
        except Exception:
            log.exception("cannot return an unused browser ID")

    def _use_result(self, tracker: Tracker, waiter: Future[IssuedId | None]) -> bool:
        """Use the ID of a waiter, or cancel it if there is none yet."""
        if not waiter.done() and waiter.cancel():
            return False
        issued = waiter.result()  # available now or in a moment
        if issued is not None:
            tracker.adopt_id(issued)
        return True
