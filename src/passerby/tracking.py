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
from .context import context_of
from .cookie import MAX_AGE, BrowserIdCookie, IdentityCookie, SetCookie, Sighting
from .delivery import Delivery
from .delivery.sender import RetryPlan
from .destinations import Destination, IdIssuer
from .destinations.sitecore import PointOfSale, Sitecore
from .errors import BrowserIdUnavailable, RemoteError, RemoteTimeout, SettingsError, ValidationError
from .event import NO_CONTEXT, Context, Event, is_uuid, new_browser_id
from .outbox import Outbox
from .outbox.memory import MemoryOutbox
from .policy import Decision, Policy
from .receipt import DEFAULT_WAIT, Receipt
from .request import TRACKER_KEY, RequestInfo, TrustedProxies, read_request
from .response import add_cookies, headers_of
from .sources import read_environment, read_mapping
from .stats import DestinationStats, Stats
from .tracker import Tracker
from .visit import Reception, Visit, visit_of

log = logging.getLogger("passerby")

_BROKEN = Decision("internal", "never")


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
        self._destinations = _checked(destinations)
        self._issuer = next((one for one in destinations if isinstance(one, IdIssuer)), None)
        self._point_of_sale = next((one.point_of_sale for one in destinations if isinstance(one, Sitecore)), None)
        self._proxies = TrustedProxies(self._settings.trusted_proxies)
        self._reception = _make_reception(self._settings, self._issuer, self._proxies)
        self._outbox = MemoryOutbox(tuple(self._destinations), self._settings.max_events)
        self._delivery = _make_delivery(self._settings, destinations, self._issuer, self._outbox)
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
        return f"<Tracking to {', '.join(self._destinations) or 'nowhere'}>"

    # For every framework's face.

    def begin(self, request: RequestInfo) -> Tracker:
        """Begin a request: read its cookies, decide what may be done, give a new visitor an ID if one is ready."""
        try:
            visit = self._reception.open(request, time.time())
            if visit.needs_id:
                self.assign(visit)
        except Exception:
            log.exception("a request could not be read; nothing is tracked in it")
            visit = Visit(request, _BROKEN, Sighting(None), None)
        return Tracker(self, visit)

    async def await_browser_id(self, visit: Visit, timeout: float | None = None) -> bool:
        """Wait for the ID of a new visitor, at most `mint_timeout` seconds or as long as is given.

        Returns False if time ran out, True if there is an ID or none is to be had.
        """
        waiter = self._delivery.wait_for_browser_id()
        if waiter is None:
            return True
        await asyncio.wait([asyncio.wrap_future(waiter)], timeout=self._mint_timeout(timeout))
        return self._use(visit, waiter)

    def wait_for_browser_id(self, visit: Visit, timeout: float | None = None) -> bool:
        """Do as `await_browser_id` does, in sync code."""
        waiter = self._delivery.wait_for_browser_id()
        if waiter is None:
            return True
        wait([waiter], timeout=self._mint_timeout(timeout))
        return self._use(visit, waiter)

    def cookies(self, tracker: Tracker, headers: Iterable[tuple[Any, Any]]) -> list[SetCookie]:
        """Return the cookies to add to the response of a request, given its headers as pairs of text or bytes."""
        visit = tracker.visit
        if not (self._settings.server_cookie and self._reception.has_cookies(visit)):
            return []
        try:
            return self._reception.cookies(visit, headers, time.time())
        except Exception:
            log.exception("cookies could not be made; the response goes without")
            return []

    def end(self, tracker: Tracker) -> None:
        """End a request: an ID on which nothing depends goes back to the pool."""
        visit = tracker.visit
        if visit.assigned and not visit.used and visit.browser_id is not None and self._issuer is not None:
            self._delivery.pool.give_back(visit.browser_id)
            visit.assigned = False

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
        return Tracker(self, visit_of(browser_id, user_id))

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
            in_time = await self.await_browser_id(tracker.visit, _checked_timeout(timeout))
        self._answer(tracker, response, timed_out=timeout is not None and not in_time)

    def handle_cookie_sync(self, request: Any, response: Any, timeout: float | None = None) -> None:
        """Do as `handle_cookie` does, in sync code."""
        tracker = self._tracker_for_cookie(request)
        if tracker is None:
            return
        in_time = True
        if tracker.visit.needs_id:
            in_time = self.wait_for_browser_id(tracker.visit, _checked_timeout(timeout))
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

    def stats(self) -> Stats:
        """Return the ledger: per destination, enqueued = delivered + pending + dead + dropped."""
        destinations = {
            name: DestinationStats.of(
                self._outbox.tally(name), self._delivery.retries(name), self._delivery.breaker_state(name)
            )
            for name in self._destinations
        }
        return Stats(destinations, self._delivery.pool.counts if self._issuer is not None else None)

    # The desk of the trackers.

    @property
    def defaults(self) -> Settings:
        """The settings, by which trackers fill in what a call leaves open."""
        return self._settings

    @property
    def destination_names(self) -> tuple[str, ...]:
        """The names of all destinations."""
        return tuple(self._destinations)

    def now(self) -> float:
        """The time in seconds since 1970."""
        return time.time()

    def assign(self, visit: Visit) -> None:
        """Give a visit an ID if one is ready; never waits."""
        browser_id = new_browser_id() if self._issuer is None else self._delivery.take_browser_id()
        if browser_id is not None:
            visit.assign(browser_id)

    def link(self, visitor: str, browser_id: str) -> None:
        """Note which browser ID the events told before it was known belong to."""
        self._outbox.link(visitor, browser_id)

    def context(self, visit: Visit) -> Context:
        """Return what a visit's request says."""
        if visit.request is None:
            return NO_CONTEXT
        return context_of(visit.request, self._proxies, self._settings.ip, visit.decision.bot)

    def point_of_sale(self, visit: Visit) -> str | None:
        """Return the point of sale of a visit's request."""
        chosen = self._point_of_sale
        if not callable(chosen):
            return chosen
        if visit.request is None:
            return None
        try:
            return chosen(visit.request)
        except Exception:
            log.exception("the point_of_sale callable raised; there is no point of sale in this request")
            return None

    def accept(self, event: Event, destinations: Sequence[str], receipt: Receipt, held: bool) -> None:
        """Check an event for its destinations and record it."""
        for name in destinations:
            self._destinations[name].check(event)
        self._delivery.enqueue(event, destinations, receipt, held)

    def refuse(self, reason: str, destinations: Sequence[str], error: ValidationError | None = None) -> Receipt:
        """Count what is not kept; raise the error if that is wanted."""
        if error is not None:
            if self._settings.on_invalid == "raise":
                raise error
            log.error("a tracking call was dropped: %s", error)
        self._outbox.drop(destinations, reason)
        return Receipt.dropped(reason, destinations)

    def release_held(self, visitor: str) -> int:
        """Let go of a visitor's held events."""
        return self._delivery.release(visitor)

    def clear_held(self, visitor: str) -> int:
        """Drop a visitor's held events."""
        return self._outbox.clear(visitor)

    def ask_guest_id(self, browser_id: str | None, timeout: float | None) -> Future[str]:
        """Ask for the guest's ID."""
        if browser_id is None:
            raise RemoteError("guest ID: this visitor has no browser ID yet")
        return self._delivery.ask(self._checked_issuer().guest_question(browser_id), _checked_timeout(timeout))

    def ask_personalization(
        self, data: dict[str, Any], browser_id: str | None, point_of_sale: str | None, timeout: float | None
    ) -> Future[dict[str, Any] | None]:
        """Ask for a personalisation."""
        question = self._checked_issuer().personalize_question(data, browser_id, point_of_sale)
        return self._delivery.ask(question, _checked_timeout(timeout))

    def _checked_issuer(self) -> IdIssuer:
        if self._issuer is None:
            raise SettingsError("only Sitecore answers this; add Sitecore(...) to the destinations")
        return self._issuer

    def _tracker_for_cookie(self, request: Any) -> Tracker | None:
        return self.tracker_for(request) if self._settings.server_cookie else None

    def _answer(self, tracker: Tracker, response: Any, *, timed_out: bool) -> None:
        visit = tracker.visit
        if visit.needs_id:
            raise RemoteTimeout if timed_out else BrowserIdUnavailable
        add_cookies(response, self._reception.cookies(visit, headers_of(response), time.time(), renew=True))

    def _mint_timeout(self, timeout: float | None) -> float:
        return self._settings.mint_timeout if timeout is None else timeout

    def _use(self, visit: Visit, waiter: Future[str | None]) -> bool:
        """Take what a waiter brought; one that brought nothing yet gets out of the line."""
        if not waiter.done() and waiter.cancel():
            return False
        browser_id = waiter.result()  # it is there, or coming this very moment
        if browser_id is not None:
            visit.assign(browser_id)
        return True


def init_server(
    *,
    client_key: str,
    target_url: str,
    point_of_sale: PointOfSale | None = None,
    cookie_expiry_days: float | None = None,
    force_server_cookie_mode: bool = False,
    include_utm_parameters: bool = True,
    requested_at: bool = True,
    **settings: Unpack[SettingsValues],
) -> Tracking:
    """Make a `Tracking` for Sitecore CDP, in the words of the Engage SDK's `initServer`.

    Args:
        client_key: see `Sitecore`, as for `target_url`, `point_of_sale`, `include_utm_parameters` and `requested_at`.
        target_url: the Stream API's address.
        point_of_sale: the default point of sale, or a callable that makes it from a request.
        cookie_expiry_days: how long the cookie lives, in days; 400 by default and at most.
        force_server_cookie_mode: whether `handle_cookie` and the middleware set the cookie; the browser SDK does
            otherwise.
        include_utm_parameters: whether page views carry the URL's utm parameters.
        requested_at: whether events carry the time at which they happened.
        settings: see `passerby.config.Settings`, `cookie_domain` and `cookie_path` among them.

    Raises:
        SettingsError: with the vendor's codes MV-0001, MV-0002, MV-0009, IV-0001.
    """
    sitecore = Sitecore(
        client_key=client_key,
        target_url=target_url,
        point_of_sale=point_of_sale,
        include_utm_parameters=include_utm_parameters,
        requested_at=requested_at,
    )
    settings["server_cookie"] = bool(force_server_cookie_mode)
    if cookie_expiry_days:
        settings["cookie_max_age"] = min(MAX_AGE, round(float(cookie_expiry_days) * 86_400))
    return Tracking(sitecore, **settings)


def _checked(destinations: Sequence[Destination]) -> dict[str, Destination]:
    for one in destinations:
        if not isinstance(getattr(one, "name", None), str) or not callable(getattr(one, "encode", None)):
            raise SettingsError(
                f"found {type(one).__name__} where a destination was expected: pass Sitecore(...) or the like"
            )
    named = {one.name: one for one in destinations}
    if len(named) < len(destinations):
        raise SettingsError("two destinations go by one name; give each its own with name=...")
    if sum(isinstance(one, IdIssuer) for one in destinations) > 1:
        raise SettingsError("found two destinations that issue browser IDs, expected at most one Sitecore(...)")
    return named


def _checked_timeout(timeout: float | None) -> float | None:
    if timeout is None:
        return None
    if isinstance(timeout, bool) or not isinstance(timeout, int | float) or not timeout >= 0:
        raise ValidationError(
            "Incorrect value for the timeout parameter. Set the value to an integer greater than or equal to 0.",
            code="IV-0006",
        )
    return timeout


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
    policy = Policy(settings.consent, settings.gpc, settings.bots, settings.skipped_paths)
    return Reception(cookie, identity, policy, proxies)


def _make_delivery(
    settings: Settings, destinations: Sequence[Destination], issuer: IdIssuer | None, outbox: Outbox
) -> Delivery:
    plan = RetryPlan(
        base=settings.retry_base,
        cap=settings.retry_cap,
        age=settings.retry_age,
        concurrency=settings.concurrency,
        timeout=settings.request_timeout,
    )
    return Delivery(destinations, issuer, outbox, plan, settings.close_timeout, settings.spare_browser_ids)
