"""Where requests come in: opens their visits, and says which cookies their answers carry."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import count
from logging import Logger
from typing import Any

from ..logs import get_logger
from .caching import CacheControl, is_protected, may_be_shared, protecting_headers
from .cookie_context import CookieContext
from .page import is_page, may_be_page
from .policy import UNREAD, Policy
from .proxies import TrustedProxies
from .request import RequestInfo, header_of
from .request_info import MAX_HEADER
from .response import UNCHANGED, Changes
from .session import Visit
from .set_cookie import SetCookie
from .visitor_cookies import BrowserIdCookie, IdentityCookie, LogOutCookie, Sighting

log: Logger = get_logger("passerby")

_NOTHING_SEEN = Sighting(None)


class Reception:
    """Opens visits from requests and says which cookies their answers carry.

    Args:
        browser_id_cookie: the cookie with the browser ID.
        identity_cookie: the cookie with the user ID, or None where nothing can be signed.
        policy: what may be done.
        proxies: whose forwarded headers are believed.
        log_out_cookie: the cookie that counts log-outs, or None where nothing can be signed.
        cache_control: what is done about shared caches, see `passerby.settings.settings.Settings`.

    Attributes:
        unread_cookies: in how many requests the cookies were not read.
    """

    def __init__(
        self,
        browser_id_cookie: BrowserIdCookie,
        identity_cookie: IdentityCookie | None,
        policy: Policy,
        proxies: TrustedProxies,
        log_out_cookie: LogOutCookie | None = None,
        cache_control: CacheControl = "private",
    ) -> None:
        self._log_out_cookie = log_out_cookie
        self.unread_cookies: int = 0
        self._unread = count(1)
        self._browser_id_cookie = browser_id_cookie
        self._identity_cookie = identity_cookie
        self._policy = policy
        self._proxies = proxies
        self._context = CookieContext(browser_id_cookie.attributes, proxies)
        self._cache_control = cache_control

    def open(self, request: RequestInfo, now: float) -> Visit:
        """Open the visit of a request; `now` is in seconds since 1970."""
        request.trust(self._proxies)  # `Sites` may trust some for all its sites
        header = request.cookie_header
        if not header and request.has_unread_cookies:
            return self._open_unread(request)
        # Consent that was withdrawn deletes cookies, so it is asked for every request.
        decision = self._policy.decide(request) if self._policy.asks_consent else None
        if not header:
            if decision is not None:
                decision = self._policy.decide_without_id(request, decision)
            return Visit(request, decision, _NOTHING_SEEN, None, self._policy)
        if decision is not None and decision.refusal is not None:
            present = self._browser_id_cookie.name in header
            return Visit(request, decision, Sighting(None, present=present), None)
        sighting = self._browser_id_cookie.read(header, now)
        if sighting.is_unread:
            return self._open_unread(request)
        log_outs = remembered = None
        if self._log_out_cookie is not None and sighting.browser_id and self._log_out_cookie.name in header:
            log_outs = self._log_out_cookie.read(header, sighting.browser_id)
            if log_outs == LogOutCookie.GONE:
                log_outs = None
                if not sighting.refresh:  # else the browser SDK may have written it
                    sighting = Sighting(None, present=True)
        if decision is not None and sighting.browser_id is None:
            decision = self._policy.decide_without_id(request, decision)
        if self._identity_cookie is not None and sighting.browser_id and self._identity_cookie.name in header:
            remembered = self._identity_cookie.read(header, sighting.browser_id, now, log_outs or 0)
        return Visit(request, decision, sighting, remembered, self._policy, log_outs=log_outs)

    def _open_unread(self, request: RequestInfo) -> Visit:
        """Open the visit of a request whose cookies are not read: a new ID for it would be a new one every time."""
        self.unread_cookies = next(self._unread)
        log.warning(
            "the Cookie header of a request is not read, it is longer than %d characters or has our cookies too often; "
            "nothing is tracked in it",
            MAX_HEADER,
        )
        return Visit(request, UNREAD, _NOTHING_SEEN, None)

    def changes(self, visit: Visit, status: int, headers: Iterable[tuple[Any, Any]], now: float) -> Changes:
        """Return what to change in a response with these headers; nothing where no cookie is set.

        With a cookie comes `Cache-Control: private`, or else a cache could give one visitor's cookies to another.
        """
        headers = list(headers)
        if visit.request is None:
            return UNCHANGED
        if self._context.leads_to_https(visit.request, status, headers):
            visit.withhold("plain http")
            return UNCHANGED
        cookies = self.cookies(visit, headers, now, visit.renews)
        if not cookies or visit.request.is_websocket:  # no cache keeps what opens a websocket
            return Changes(cookies)
        return Changes(cookies, protecting_headers(headers))

    def cookies(
        self, visit: Visit, headers: Iterable[tuple[Any, Any]], now: float, renew: bool = False
    ) -> list[SetCookie]:
        """Return the cookies to add to a response with these headers.

        None on a response that the app lets shared caches keep, and none of a name that the app sets itself.

        Args:
            visit: the visit the response answers.
            headers: the response's headers, as pairs of text or bytes.
            now: seconds since 1970.
            renew: set the browser-ID cookie again even if it is fresh.
        """
        request = visit.request
        if request is None:
            return []
        headers = list(headers)
        wanted = self._wanted(visit, now, self._context.secure(request), renew)
        if not wanted:
            return []
        if self._context.is_insecure(request):
            visit.withhold("plain http")
            return []
        if self._is_kept_by_caches(headers):
            visit.withhold("shared cache")
            return []
        taken = {value.partition("=")[0].strip() for value in header_of(headers, "set-cookie")}
        if self._browser_id_cookie.name in taken:  # the app's own value must not be signed by us
            taken.add(self._browser_id_cookie.signature_name)
        cookies = [cookie for cookie in wanted if cookie.name not in taken]
        if visit.assigned and any(cookie.name == self._browser_id_cookie.name for cookie in cookies):
            visit.mark_used()
        return cookies

    def left_by_others(self, headers: Iterable[tuple[Any, Any]]) -> list[str]:
        """Return the names of our cookies that an earlier request has left on a response that is used again.

        The app may set a cookie of the browser ID's name itself. It is ours if its signature is there too, or where
        nothing is signed, if it is written exactly as we do.
        """
        lines = {line.partition("=")[0].strip(): line for line in header_of(headers, "set-cookie")}
        cookie = self._browser_id_cookie
        left = [one.name for one in (self._identity_cookie, self._log_out_cookie) if one is not None]
        if cookie.signature_name in lines or (cookie.name in lines and cookie.has_written(lines[cookie.name])):
            left += [cookie.name, cookie.signature_name]
        return [name for name in left if name in lines]

    def is_page_view(self, visit: Visit, status: int, headers: Iterable[tuple[Any, Any]]) -> bool:
        """Whether a response is a page that its visitor sees, and that may be told.

        Not for a new visitor if a shared cache may keep it: without a cookie they would be a new one at every page.
        """
        request, decision = visit.request, visit.decision
        if request is None or visit.is_ignored or decision.refusal is not None or decision.bot:
            return False
        headers = list(headers)
        if not (is_page(request, status, headers) and self._policy.is_document(request)):
            return False
        if visit.sighting.browser_id is not None:
            return True
        return self._policy.assigns_ids and decision.sets_cookies and not self._is_kept_by_caches(headers)

    def needs_no_id(self, visit: Visit, status: int, headers: Iterable[tuple[Any, Any]]) -> bool:
        """Whether the ID that a new visitor was given is of no use, so that it should go back.

        Nothing depends on it yet, and what was asked for by a request that says nothing of itself is no page: most
        such are calls of an API, which bring no cookie next time either.
        """
        if visit.used or not visit.assigned or visit.renews or visit.has_identity_news or visit.request is None:
            return False
        return visit.is_ignored or (self._policy.is_silent(visit.request) and not may_be_page(status, headers))

    def has_cookies(self, visit: Visit) -> bool:
        """Whether the answer to this visit carries any cookie; the common case is that it does not."""
        is_renewed = visit.sighting.refresh or visit.renews
        return visit.assigned or is_renewed or visit.has_identity_news or visit.is_withdrawn

    def _is_kept_by_caches(self, headers: Sequence[tuple[Any, Any]]) -> bool:
        """Whether a shared cache may keep a response, whatever may be added to its headers."""
        if self._cache_control == "override":
            return False
        return not is_protected(headers) if self._cache_control == "keep" else may_be_shared(headers)

    def _wanted(self, visit: Visit, now: float, secure: bool, renew: bool) -> list[SetCookie]:
        if visit.is_withdrawn:
            return self._withdrawal(visit, secure)
        if visit.has_left:
            return self._withdrawal(visit, secure, self._marks(visit, secure))
        if not visit.decision.sets_cookies:  # to forget somebody takes no permission
            return self._farewell(visit, secure)
        wanted: list[SetCookie] = []
        if visit.browser_id is not None and (visit.assigned or renew or self._refreshes(visit)):
            wanted += self._browser_id_cookie.write(visit.browser_id, secure=secure)
        if self._identity_cookie is not None and visit.identity_change is not None and visit.browser_id is not None:
            remembered = visit.identity_change._replace(log_outs=visit.log_outs)
            wanted.append(self._identity_cookie.write(visit.browser_id, remembered, secure=secure))
        return wanted + self._farewell(visit, secure) + self._marks(visit, secure)

    def _marks(self, visit: Visit, secure: bool) -> list[SetCookie]:
        """Return the cookie that keeps answers which are on their way from undoing a log-out or a new browser ID."""
        cookie, before, browser_id = self._log_out_cookie, visit.sighting.browser_id, visit.browser_id
        if cookie is None or not visit.has_identity_news or not visit.decision.sets_cookies:
            return []
        if before is not None and before != browser_id:
            return [cookie.write(before, LogOutCookie.GONE, secure=secure)]
        known, has_identity = visit.known_log_outs, visit.was_identified or self._has_identity(visit)
        # An app may call `reset` on every page of a visitor who is not logged in: once is enough for these.
        if browser_id is None or visit.log_outs == (known or 0) or not (known is None or has_identity):
            return []
        return [cookie.write(browser_id, visit.log_outs, secure=secure)]

    def _has_identity(self, visit: Visit) -> bool:
        return self._identity_cookie is not None and self._identity_cookie.name in visit.cookie_header

    def _farewell(self, visit: Visit, secure: bool) -> list[SetCookie]:
        if not visit.is_forgotten or self._identity_cookie is None:
            return []
        return [self._identity_cookie.expire(secure=secure)] if self._has_identity(visit) else []

    def _refreshes(self, visit: Visit) -> bool:
        # Renewal waits for a page: an asset's response may be cached by what stands in front of us.
        return visit.sighting.refresh and visit.decision.assign == "at once"

    def _withdrawal(self, visit: Visit, secure: bool, marks: Sequence[SetCookie] = ()) -> list[SetCookie]:
        """Take everything away but these marks."""
        if not visit.sighting.present:
            return []
        wanted = self._browser_id_cookie.expire(secure=secure)
        if self._identity_cookie is not None:
            wanted.append(self._identity_cookie.expire(secure=secure))
        mark = self._log_out_cookie
        if mark is not None and not marks and mark.name in visit.cookie_header:
            wanted.append(mark.expire(secure=secure))
        return [*wanted, *marks]
