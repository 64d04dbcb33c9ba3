"""The lifecycle: what every framework's face does with a request, from its beginning to the end of its response."""

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
from .client import Client
from .current import deactivate
from .tracker import Tracker

log: Logger = get_logger("passerby")


class RequestLifecycle:
    """Lets requests in and their responses out. No mistake of ours in here reaches the app.

    Args:
        client: the client that trackers stand in front of.
        session_reader: reads cookies and writes them.
        auto_page_views: whether a page view is recorded for each page that a visitor sees.
        set_cookie: whether cookies are set at all.
        browser_id_timeout: how many seconds a new visitor's request may wait for a browser ID.
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
        """Begin a request that a face takes charge of; whoever stands before it may have told something already."""
        native = request.native
        tracker: Tracker | None = native.get(TRACKER_KEY)
        if tracker is None:
            tracker = native[TRACKER_KEY] = self.make_tracker(request)
        tracker.session.await_storage()
        native[HANDLED_KEY] = True
        return tracker

    def make_tracker(self, request: RequestInfo, assigns_id: bool = True) -> Tracker:
        """Begin a request: read its cookies, decide what may be done, give a new visitor an ID if one is ready.

        Args:
            request: the request's facts.
            assigns_id: whether a new visitor gets an ID before anything is tracked; not where no response is to come.
        """
        try:
            session = self._session_reader.read(request, time.time())
            if assigns_id and session.needs_id:
                self._client.assign(session)
        except Exception:
            log.exception("a request could not be read; nothing is tracked in it")
            session = Session(request, BROKEN, ParsedBrowserId(None), None)
        return Tracker(self._client, session)

    async def await_browser_id(self, tracker: Tracker, timeout: float | None = None) -> bool:
        """Wait for the ID of a new visitor, at most `browser_id_timeout` seconds or as long as is given.

        Returns False if time ran out, True if there is an ID or none is to be had.
        """
        waiter = self._request_id()
        if waiter is None:
            return True
        try:
            coming = asyncio.wrap_future(waiter, loop=asyncio.get_running_loop())
            await asyncio.wait([coming], timeout=self._patience(timeout))
        except RuntimeError:
            log.exception("a browser ID can only be awaited in asyncio; the request goes on without")
        except BaseException:  # given up by the server, say
            self._cancel_request(waiter)
            raise
        return self._use_result(tracker, waiter)

    def wait_for_browser_id(self, tracker: Tracker, timeout: float | None = None) -> bool:
        """Do as `await_browser_id` does, in sync code."""
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
        """A response begins: record its page view where that is automatic, and return what to change in its headers.

        Args:
            tracker: the request's.
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
                headers = list(headers)
                if self._session_reader.can_reclaim_id(session, status, headers):
                    if not 200 <= status < 300:  # the body of others may still be made by one that reads the ID
                        self._reclaim_id(session)
                    return UNCHANGED
                changes = self._session_reader.response_changes(session, status, headers, time.time())
            if session.withheld_reason is not None:
                self._client.withheld_cookies.count(session)
            return changes
        except Exception:
            log.exception("cookies could not be made; the response goes without")
            return UNCHANGED

    def stored_future(self, tracker: Tracker) -> Future[None] | None:
        """Return what the response is to wait for before it starts, if anything; see `pass_barrier`."""
        unstored = tracker.session.start_response()
        if not unstored:
            return None
        try:
            return self._client.store_wait.start(unstored)
        except Exception:
            log.exception("what was told in a request cannot be awaited; its response starts all the same")
            return None

    async def wait_stored_async(self, tracker: Tracker, recorded: Future[None]) -> None:
        """Wait until what was told in a request is recorded, at most `store_timeout` seconds."""
        try:
            await self._client.store_wait.wait_async(recorded, tracker.session.unstored_events)
        except RuntimeError:
            log.exception("what was told can only be awaited in asyncio; the response starts before it is recorded")

    def wait_stored(self, tracker: Tracker) -> None:
        """Do as `begin_barrier` and `pass_barrier_async` do, in sync code."""
        recorded = self.stored_future(tracker)
        if recorded is not None:
            self._client.store_wait.wait_sync(recorded, tracker.session.unstored_events)

    def finish(self, tracker: Tracker) -> None:
        """End a request: an ID on which nothing depends goes back to the pool."""
        session = tracker.session
        session.finish_handling()
        if session.request is not None:
            session.request.detach()
        self._reclaim_id(session)

    def finish_with_body(self, tracker: Tracker, body: object) -> None:
        """End a request when the server lets go of the response's body, which may tell something until then.

        Nothing is wrapped around the body, so that the server sees it as it is. A body whose end cannot be seen, such
        as a list, is over at once.
        """

        def end(gone: object = None) -> None:
            deactivate(tracker)
            self.finish(tracker)

        tracker.session.finish_handling()
        if tracker.outer is not None:  # whose handler reads this body goes on with its own request
            deactivate(tracker)
        try:
            tracker.session.last_as_long_as(body, end)
        except TypeError:
            end()

    def _track_page_view(self, tracker: Tracker) -> None:
        try:
            tracker.page_view()
        except ValidationError as error:
            log.warning("the page view of a request cannot be told: %s", error)
            self._client.count_dropped("invalid")

    def _patience(self, timeout: float | None) -> float:
        return self._browser_id_timeout if timeout is None else timeout

    def _request_id(self) -> Future[str | None] | None:
        try:
            return self._client.browser_ids.wait()
        except Exception:
            log.exception("a browser ID could not be asked for; the visitor goes on without")
            return None

    def _cancel_request(self, waiter: Future[str | None]) -> None:
        """Wait no longer for an ID; one that has just come is for somebody else."""
        browser_id = None if waiter.cancel() else waiter.result()
        if browser_id is not None:
            self._put_back(browser_id)

    def _reclaim_id(self, session: Session) -> None:
        """Take an ID on which nothing depends back into the pool."""
        is_issued = self._client.browser_ids.issuer is not None
        if is_issued and session.has_new_id and not session.is_id_used and session.browser_id is not None:
            self._put_back(session.browser_id)
            session.unassign()

    def _put_back(self, browser_id: str) -> None:
        try:
            self._client.browser_ids.pool.put_back(browser_id)
        except Exception:
            log.exception("an unused browser ID could not be given back")

    def _use_result(self, tracker: Tracker, waiter: Future[str | None]) -> bool:
        """Take what a waiter brought; one that brought nothing yet gets out of the line."""
        if not waiter.done() and waiter.cancel():
            return False
        browser_id = waiter.result()  # it is there, or coming this very moment
        if browser_id is not None:
            tracker.adopt_id(browser_id)
        return True
