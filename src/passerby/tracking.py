"""Tracking: joins the parts. One per app; it hands each request a tracker."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future, wait
from typing import Any, Unpack, cast

from .config import Settings, SettingsValues, make_settings
from .cookie import BrowserIdCookie, IdentityCookie, SetCookie, Sighting
from .destinations import Destination, IdIssuer
from .errors import BrowserIdUnavailable, RemoteTimeout, SettingsError, ValidationError
from .event import is_uuid
from .frontdesk import FrontDesk, checked_timeout
from .outbox import DeadLetter
from .policy import BROKEN, Policy
from .receipt import DEFAULT_WAIT, Receipt
from .request import TRACKER_KEY, EnvironRequest, RequestInfo, TrustedProxies, read_request
from .response import add_cookies, headers_of
from .sources import read_environment, read_mapping
from .stats import Stats
from .tracker import Tracker
from .visit import Reception, Visit, visit_of

log = logging.getLogger("passerby")


class Tracking:
    """Visitor tracking for one app.

    Args:
        destinations: the systems that receive events, such as `Sitecore`.
        settings: see `passerby.config.Settings`.

    Raises:
        SettingsError: a setting is missing, wrong, or does not fit another one.
    """

    def __init__(self, *destinations: Destination, **settings: Unpack[SettingsValues]) -> None:
        self._settings = make_settings(settings)
        _check(destinations)
        proxies = TrustedProxies(self._settings.trusted_proxies)
        self._desk = FrontDesk(destinations, self._settings, proxies)
        self._delivery = self._desk.delivery
        self._reception = _make_reception(self._settings, self._desk.issuer, proxies)
        if not self._settings.remembers_users:
            log.warning(
                "no secret_key: cookies are not signed and not renewed, users are not remembered over requests; "
                "set secret_key to a long random text"
            )

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> Tracking:
        """Make it from a mapping such as ``{"sitecore": {"client_key": ...}, "secret_key": ...}``.

        Raises SettingsError as `Tracking` does.
        """
        destinations, settings = read_mapping(values)
        return cls(*destinations, **cast("SettingsValues", settings))

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None) -> Tracking:
        """Make it from the environment: ``PASSERBY_SITECORE_CLIENT_KEY``, ``PASSERBY_SECRET_KEY`` and so on.

        Raises SettingsError as `Tracking` does.
        """
        return cls.from_mapping(read_environment(os.environ if environ is None else environ))

    def __repr__(self) -> str:
        return f"<Tracking to {', '.join(self._desk.destination_names) or 'nowhere'}>"

    # For every framework's face.

    def begin(self, request: RequestInfo) -> Tracker:
        """Begin a request: read its cookies, decide what may be done, give a new visitor an ID if one is ready."""
        try:
            visit = self._reception.open(request, time.time())
            if visit.needs_id:
                self._desk.assign(visit)
        except Exception:
            log.exception("a request could not be read; nothing is tracked in it")
            visit = Visit(request, BROKEN, Sighting(None), None)
        return Tracker(self._desk, visit)

    async def await_browser_id(self, tracker: Tracker, timeout: float | None = None) -> bool:
        """Wait for the ID of a new visitor, at most `mint_timeout` seconds or as long as is given.

        Returns False if time ran out, True if there is an ID or none is to be had.
        """
        waiter = self._get_in_line()
        if waiter is None:
            return True
        try:
            await asyncio.wait([asyncio.wrap_future(waiter)], timeout=self._mint_timeout(timeout))
        except RuntimeError:
            log.exception("a browser ID can only be awaited in asyncio; the request goes on without")
        finally:  # given up by the server too, it must not keep its place in the line
            in_time = self._use(tracker, waiter)
        return in_time

    def wait_for_browser_id(self, tracker: Tracker, timeout: float | None = None) -> bool:
        """Do as `await_browser_id` does, in sync code."""
        waiter = self._get_in_line()
        if waiter is None:
            return True
        wait([waiter], timeout=self._mint_timeout(timeout))
        return self._use(tracker, waiter)

    def cookies(self, tracker: Tracker, headers: Iterable[tuple[Any, Any]]) -> list[SetCookie]:
        """Return the cookies to add to the response of a request, given its headers as pairs of text or bytes."""
        visit = tracker.visit
        try:
            if not (self._settings.server_cookie and self._reception.has_cookies(visit)):
                return []
            return self._reception.cookies(visit, headers, time.time())
        except Exception:
            log.exception("cookies could not be made; the response goes without")
            return []

    def end(self, tracker: Tracker) -> None:
        """End a request: an ID on which nothing depends goes back to the pool."""
        visit = tracker.visit
        if visit.request is not None:
            visit.request.detach()
        if visit.assigned and not visit.used and visit.browser_id is not None and self._desk.issuer is not None:
            try:
                self._delivery.pool.give_back(visit.browser_id)
            except Exception:
                log.exception("an unused browser ID could not be given back")
            visit.withdraw()

    # The server object: any framework's request, with or without the middleware.

    def tracker_for(self, request: Any) -> Tracker:
        """Return the tracker of a request; made on first use, and then the same for all who ask.

        Args:
            request: an ASGI scope, a WSGI environ, or the request object of Starlette, FastAPI, Django or Flask.
        """
        info = read_request(request)
        tracker: Tracker | None = info.native.get(TRACKER_KEY)
        if tracker is None:
            tracker = info.native[TRACKER_KEY] = self.begin(info)
        return tracker

    def for_visitor(self, browser_id: str, user_id: str | None = None) -> Tracker:
        """Return a tracker outside of any request, for a job or an import.

        Raises ValidationError if the browser ID is no UUID.
        """
        if not is_uuid(browser_id):
            raise ValidationError("browser ID: expected the UUID that tracker.browser_id said")
        return Tracker(self._desk, visit_of(browser_id, user_id))

    async def handle_cookie(self, request: Any, response: Any, timeout: float | None = None) -> None:
        """Set the visitor's cookie on a response, or renew it. With the middleware installed it is not needed.

        Args:
            request: as for `tracker_for`.
            response: a list of headers, or the response object of Starlette, FastAPI, Django or Flask.
            timeout: how many seconds a new visitor may wait for an ID; `mint_timeout` by default.

        Raises:
            ValidationError: IV-0006, the timeout is no number of seconds.
            RemoteTimeout: IE-0003, no ID within the given timeout.
            BrowserIdUnavailable: IE-0004, no ID could be had.
        """
        tracker = self._tracker_for_cookie(request)
        if tracker is None:
            return
        in_time = True
        if tracker.visit.needs_id:
            in_time = await self.await_browser_id(tracker, checked_timeout(timeout))
        self._answer(tracker, response, timed_out=timeout is not None and not in_time)

    def handle_cookie_sync(self, request: Any, response: Any, timeout: float | None = None) -> None:
        """Do as `handle_cookie` does, in sync code."""
        tracker = self._tracker_for_cookie(request)
        if tracker is None:
            return
        in_time = True
        if tracker.visit.needs_id:
            in_time = self.wait_for_browser_id(tracker, checked_timeout(timeout))
        self._answer(tracker, response, timed_out=timeout is not None and not in_time)

    def page_view(
        self,
        event_data: Mapping[str, Any] | None,
        request: Any,
        extension_data: Mapping[str, Any] | None = None,
    ) -> Receipt:
        """Tell that the visitor of a request sees a page; see `Tracker.page_view`."""
        return self.tracker_for(request).page_view(event_data, extension_data)

    def identity(
        self, event_data: Mapping[str, Any], request: Any, extension_data: Mapping[str, Any] | None = None
    ) -> Receipt:
        """Tell who the visitor of a request is; see `Tracker.identity`."""
        return self.tracker_for(request).identity(event_data, extension_data)

    def event(
        self,
        type: str,
        event_data: Mapping[str, Any] | None,
        request: Any,
        extension_data: Mapping[str, Any] | None = None,
    ) -> Receipt:
        """Tell an event of the visitor of a request; see `Tracker.event`."""
        return self.tracker_for(request).event(type, event_data, extension_data)

    async def personalize(
        self, data: Mapping[str, Any], request: Any, timeout: float | None = None
    ) -> dict[str, Any] | None:
        """Ask for a personalisation for the visitor of a request; see `Tracker.personalize`."""
        return await self.tracker_for(request).personalize(data, timeout)

    def personalize_sync(
        self, data: Mapping[str, Any], request: Any, timeout: float | None = None
    ) -> dict[str, Any] | None:
        """Do as `personalize` does, in sync code."""
        return self.tracker_for(request).personalize_sync(data, timeout)

    # Running it.

    def start(self) -> None:
        """Start the background thread and fill the pool of browser IDs; the first request does it otherwise."""
        self._delivery.start()

    def flush(self, timeout: float = DEFAULT_WAIT) -> int:
        """Wait at most `timeout` seconds until everything is delivered; return how many events still wait."""
        return self._delivery.flush(timeout)

    async def aflush(self, timeout: float = DEFAULT_WAIT) -> int:
        """Do as `flush` does without blocking the event loop."""
        return await self._delivery.aflush(timeout)

    def close(self, timeout: float | None = None) -> int:
        """Flush and end the background thread; return how many events still wait. A later event starts it again."""
        return self._delivery.close(self._settings.close_timeout if timeout is None else timeout)

    async def aclose(self, timeout: float | None = None) -> int:
        """Do as `close` does without blocking the event loop."""
        return await asyncio.to_thread(self.close, timeout)

    def dead_letters(self) -> list[DeadLetter]:
        """Return the events that a destination will never take, each with the reason."""
        return self._desk.dead_letters()

    def stats(self) -> Stats:
        """Return the ledger: per destination, enqueued = delivered + pending + dead + dropped."""
        return self._desk.stats()

    def _tracker_for_cookie(self, request: Any) -> Tracker | None:
        return self.tracker_for(request) if self._settings.server_cookie else None

    def _answer(self, tracker: Tracker, response: Any, *, timed_out: bool) -> None:
        visit = tracker.visit
        if visit.needs_id:
            raise RemoteTimeout if timed_out else BrowserIdUnavailable
        cookies = self._reception.cookies(visit, headers_of(response), time.time(), renew=True)
        add_cookies(response, cookies, is_text=isinstance(visit.request, EnvironRequest))

    def _mint_timeout(self, timeout: float | None) -> float:
        return self._settings.mint_timeout if timeout is None else timeout

    def _get_in_line(self) -> Future[str | None] | None:
        try:
            return self._delivery.wait_for_browser_id()
        except Exception:
            log.exception("a browser ID could not be asked for; the visitor goes on without")
            return None

    def _use(self, tracker: Tracker, waiter: Future[str | None]) -> bool:
        """Take what a waiter brought; one that brought nothing yet gets out of the line."""
        if not waiter.done() and waiter.cancel():
            return False
        browser_id = waiter.result()  # it is there, or coming this very moment
        if browser_id is not None:
            tracker.take_up(browser_id)
        return True


def _check(destinations: Sequence[Destination]) -> None:
    for one in destinations:
        if not isinstance(getattr(one, "name", None), str) or not callable(getattr(one, "encode", None)):
            found = type(one).__name__
            raise SettingsError(f"found {found} where a destination was expected: pass Sitecore(...) or the like")
    if len({one.name for one in destinations}) < len(destinations):
        raise SettingsError("two destinations go by one name; give each its own with name=...")
    if sum(isinstance(one, IdIssuer) for one in destinations) > 1:
        raise SettingsError("found two destinations that issue browser IDs, expected at most one Sitecore(...)")


def _make_reception(settings: Settings, issuer: IdIssuer | None, proxies: TrustedProxies) -> Reception:
    name = settings.cookie_name if issuer is None else issuer.cookie_name
    keys, attributes = settings.secret_keys, settings.cookie_attributes
    cookie = BrowserIdCookie(
        name,
        attributes,
        keys,
        readable=issuer is not None,  # the browser SDK reads it
        renew_after=settings.renew_after,
        on_tamper=settings.on_tamper,
    )
    identity = IdentityCookie(f"{name}_uid", attributes, keys) if keys else None
    # Where the browser SDK sets the cookie, no page waits for an ID: all of them count as none.
    skipped_paths = settings.skipped_paths if settings.server_cookie else ("/",)
    policy = Policy(settings.consent, settings.gpc, settings.bots, skipped_paths)
    return Reception(cookie, identity, policy, proxies)
