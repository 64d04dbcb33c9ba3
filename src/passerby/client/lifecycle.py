"""The door: what every framework's face does with a request, from its beginning to the end of its response."""

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
from .client import FrontDesk
from .current import step_out
from .tracker import Tracker

log: Logger = get_logger("passerby")


class Door:
    """Lets requests in and their responses out. No mistake of ours in here reaches the app.

    Args:
        desk: the desk that trackers stand in front of.
        session_reader: reads cookies and writes them.
        auto_page_views: whether a page view is recorded for each page that a visitor sees.
        server_cookie: whether cookies are set at all.
        mint_timeout: how many seconds a new visitor's request may wait for a browser ID.
    """

    def __init__(
        self,
        desk: FrontDesk,
        session_reader: SessionReader,
        *,
        auto_page_views: bool,
        server_cookie: bool,
        mint_timeout: float,
    ) -> None:
        self._desk = desk
        self._session_reader = session_reader
        self._auto_page_views = auto_page_views
        self._server_cookie = server_cookie
        self._mint_timeout = mint_timeout

    def open(self, request: RequestInfo) -> Tracker:
        """Begin a request that a face takes charge of; whoever stands before it may have told something already."""
        native = request.native
        tracker: Tracker | None = native.get(TRACKER_KEY)
        if tracker is None:
            tracker = native[TRACKER_KEY] = self.begin(request)
        tracker.session.await_storage()
        native[HANDLED_KEY] = True
        return tracker

    def begin(self, request: RequestInfo, assigns_id: bool = True) -> Tracker:
        """Begin a request: read its cookies, decide what may be done, give a new visitor an ID if one is ready.

        Args:
            request: the request's facts.
            assigns_id: whether a new visitor gets an ID before anything is tracked; not where no response is to come.
        """
        try:
            session = self._session_reader.read(request, time.time())
            if assigns_id and session.needs_id:
                self._desk.assign(session)
        except Exception:
            log.exception("a request could not be read; nothing is tracked in it")
            session = Session(request, BROKEN, ParsedBrowserId(None), None)
        return Tracker(self._desk, session)

    async def await_browser_id(self, tracker: Tracker, timeout: float | None = None) -> bool:
        """Wait for the ID of a new visitor, at most `mint_timeout` seconds or as long as is given.

        Returns False if time ran out, True if there is an ID or none is to be had.
        """
        waiter = self._get_in_line()
        if waiter is None:
            return True
        try:
            coming = asyncio.wrap_future(waiter, loop=asyncio.get_running_loop())
            await asyncio.wait([coming], timeout=self._patience(timeout))
        except RuntimeError:
            log.exception("a browser ID can only be awaited in asyncio; the request goes on without")
        except BaseException:  # given up by the server, say
            self._get_out_of_line(waiter)
            raise
        return self._use(tracker, waiter)

    def wait_for_browser_id(self, tracker: Tracker, timeout: float | None = None) -> bool:
        """Do as `await_browser_id` does, in sync code."""
        waiter = self._get_in_line()
        if waiter is None:
            return True
        try:
            wait([waiter], timeout=self._patience(timeout))
        except BaseException:
            self._get_out_of_line(waiter)
            raise
        return self._use(tracker, waiter)

    def respond(self, tracker: Tracker, status: int, headers: Iterable[tuple[Any, Any]]) -> ResponseChanges:
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
                    self._tell_page_view(tracker)
            if not self._server_cookie:
                return UNCHANGED
            changes = UNCHANGED
            if self._session_reader.has_cookies(session):
                headers = list(headers)
                if self._session_reader.can_reclaim_id(session, status, headers):
                    if not 200 <= status < 300:  # the body of others may still be made by one that reads the ID
                        self._take_back(session)
                    return UNCHANGED
                changes = self._session_reader.response_changes(session, status, headers, time.time())
            if session.withheld_reason is not None:
                self._desk.withheld.count(session)
            return changes
        except Exception:
            log.exception("cookies could not be made; the response goes without")
            return UNCHANGED

    def begin_barrier(self, tracker: Tracker) -> Future[None] | None:
        """Return what the response is to wait for before it starts, if anything; see `pass_barrier`."""
        unstored = tracker.session.start_response()
        if not unstored:
            return None
        try:
            return self._desk.barrier.begin(unstored)
        except Exception:
            log.exception("what was told in a request cannot be awaited; its response starts all the same")
            return None

    async def pass_barrier_async(self, tracker: Tracker, recorded: Future[None]) -> None:
        """Wait until what was told in a request is recorded, at most `barrier_timeout` seconds."""
        try:
            await self._desk.barrier.pass_async(recorded, tracker.session.unstored_events)
        except RuntimeError:
            log.exception("what was told can only be awaited in asyncio; the response starts before it is recorded")

    def pass_barrier(self, tracker: Tracker) -> None:
        """Do as `begin_barrier` and `pass_barrier_async` do, in sync code."""
        recorded = self.begin_barrier(tracker)
        if recorded is not None:
            self._desk.barrier.pass_sync(recorded, tracker.session.unstored_events)

    def end(self, tracker: Tracker) -> None:
        """End a request: an ID on which nothing depends goes back to the pool."""
        session = tracker.session
        session.finish_handling()
        if session.request is not None:
            session.request.detach()
        self._take_back(session)

    def end_with(self, tracker: Tracker, body: object) -> None:
        """End a request when the server lets go of the response's body, which may tell something until then.

        Nothing is wrapped around the body, so that the server sees it as it is. A body whose end cannot be seen, such
        as a list, is over at once.
        """

        def end(gone: object = None) -> None:
            step_out(tracker)
            self.end(tracker)

        tracker.session.finish_handling()
        if tracker.outer is not None:  # whose handler reads this body goes on with its own request
            step_out(tracker)
        try:
            tracker.session.last_as_long_as(body, end)
        except TypeError:
            end()

    def _tell_page_view(self, tracker: Tracker) -> None:
        try:
            tracker.page_view()
        except ValidationError as error:
            log.warning("the page view of a request cannot be told: %s", error)
            self._desk.count_refused("invalid")

    def _patience(self, timeout: float | None) -> float:
        return self._mint_timeout if timeout is None else timeout

    def _get_in_line(self) -> Future[str | None] | None:
        try:
            return self._desk.browser_ids.wait()
        except Exception:
            log.exception("a browser ID could not be asked for; the visitor goes on without")
            return None

    def _get_out_of_line(self, waiter: Future[str | None]) -> None:
        """Wait no longer for an ID; one that has just come is for somebody else."""
        browser_id = None if waiter.cancel() else waiter.result()
        if browser_id is not None:
            self._give_back(browser_id)

    def _take_back(self, session: Session) -> None:
        """Take an ID on which nothing depends back into the pool."""
        is_issued = self._desk.browser_ids.issuer is not None
        if is_issued and session.has_new_id and not session.is_id_used and session.browser_id is not None:
            self._give_back(session.browser_id)
            session.unassign()

    def _give_back(self, browser_id: str) -> None:
        try:
            self._desk.browser_ids.pool.put_back(browser_id)
        except Exception:
            log.exception("an unused browser ID could not be given back")

    def _use(self, tracker: Tracker, waiter: Future[str | None]) -> bool:
        """Take what a waiter brought; one that brought nothing yet gets out of the line."""
        if not waiter.done() and waiter.cancel():
            return False
        browser_id = waiter.result()  # it is there, or coming this very moment
        if browser_id is not None:
            tracker.take_up(browser_id)
        return True
