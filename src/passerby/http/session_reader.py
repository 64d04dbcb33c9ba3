"""Reads the session of a visitor from a request, and decides which cookies the response sets."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import count
from logging import Logger
from typing import Any

from ..logs import get_logger
from .caching import (
    CacheControl,
    CacheHeaders,
    is_protected,
    may_be_shared,
    protecting_headers,
    read_cache_headers,
)
from .cookie_context import CookieContext
from .cookie_set import CookieSet, GuestCookie, VisitorCookies
from .page import is_page, may_be_page
from .policy import UNREAD, Policy
from .proxies import TrustedProxies
from .request import RequestInfo, header_of
from .request_info import MAX_HEADER
from .response import UNCHANGED, ResponseChanges
from .session import Session
from .set_cookie import SetCookie
from .visitor_cookies import LogOutCookie, ParsedBrowserId, is_same_cookie

log: Logger = get_logger("passerby")

_NO_COOKIE = ParsedBrowserId(None)


class SessionReader:
    """Reads sessions from requests and decides which cookies the responses set.

    Args:
        cookies: the current cookies.
        policy: decides what is allowed.
        proxies: the proxies whose forwarded headers are trusted.
        cache_control: how to treat shared caches, see `passerby.settings.settings.Settings`.
        old_cookies: earlier cookies, whose visitors are moved into the current ones.
        guest_cookie: the cookie with the guest ID, if there is one.

    Attributes:
        unread_cookies: the number of requests whose cookies were not read.
    """

    def __init__(
        self,
        cookies: CookieSet,
        policy: Policy,
        proxies: TrustedProxies,
        cache_control: CacheControl = "private",
        old_cookies: Sequence[CookieSet] = (),
        guest_cookie: GuestCookie | None = None,
    ) -> None:
        self.unread_cookies: int = 0
        self._unread = count(1)
        self._cookies = cookies
        self._browser_id_cookie = cookies.browser_id
        self._identity_cookie = cookies.identity
        self._log_out_cookie = cookies.log_out
        self._old_cookies = tuple(old_cookies)
        self._guest_cookie = guest_cookie
        self._policy = policy
        self._proxies = proxies
        self._context = CookieContext(cookies.browser_id.attributes, proxies)
        self._cache_control = cache_control

    def read(self, request: RequestInfo, now: float) -> Session:
        """Read the session of a request; `now` is in seconds since 1970."""
        request.trust(self._proxies)  # `Sites` may trust some for all its sites
        header = request.cookie_header
        if not header and request.has_unread_cookies:
            return self._read_without_cookies(request)
        # Withdrawn consent deletes cookies, so consent is checked for every request.
        decision = self._policy.decide(request) if self._policy.asks_consent else None
        if not header:
            if decision is not None:
                decision = self._policy.decide_without_id(request, decision)
            return Session(request, decision, _NO_COOKIE, None, self._policy)
        if decision is not None and decision.refusal is not None:
            present = self._has_own_cookies(header)
            return Session(request, decision, ParsedBrowserId(None, is_present=present), None)
        visitor = self._cookies.read(header, now)
        if self._old_cookies and not visitor.browser_id.is_unread:
            visitor = self._read_old(header, visitor, now)
        parsed_browser_id = visitor.browser_id
        if parsed_browser_id.is_unread:
            return self._read_without_cookies(request)
        if decision is not None and parsed_browser_id.browser_id is None:
            decision = self._policy.decide_without_id(request, decision)
        session = Session(
            request, decision, parsed_browser_id, visitor.stored_identity, self._policy, log_outs=visitor.log_outs
        )
        if self._guest_cookie is not None and parsed_browser_id.browser_id is not None:
            # The current cookie belongs to the current browser ID, not to one that takes its place.
            guest_id, is_old = self._guest_cookie.read(header, only_old=parsed_browser_id.is_old)
            if guest_id is not None:
                session.read_guest_id(parsed_browser_id.browser_id, guest_id, is_old)
        return session

    def _read_old(self, header: str, current: VisitorCookies, now: float) -> VisitorCookies:
        """Return the visitor of an old cookie if its ID is to be used, else the current one.

        The browser may keep an old cookie for ever, if another host of the domain has set it. Therefore an ID that was
        moved before is that of the current cookies, and one that was replaced by a new one does not return. One without
        a signature does not replace one with a signature, or every host of the domain could change it.
        """
        known = current.browser_id.browser_id
        for cookies in self._old_cookies:
            if cookies.browser_id.name not in header or not (cookies.wins or known is None):
                continue
            old = cookies.read(header, now)
            browser_id = old.browser_id.browser_id
            log_outs = None if browser_id is None else self._log_outs_of(header, browser_id)
            if browser_id is None or log_outs == LogOutCookie.ROTATED:
                continue
            if browser_id == known:
                return current
            if (
                known is not None
                and self._browser_id_cookie.protects(header, known)
                and not cookies.browser_id.protects(header, browser_id)
            ):
                continue
            if log_outs is not None and log_outs > (old.log_outs or 0):
                old = old._replace(stored_identity=None, log_outs=log_outs)
            return old._replace(browser_id=old.browser_id._replace(needs_renewal=True, is_old=True))
        return current

    def _log_outs_of(self, header: str, browser_id: str) -> int | None:
        """Return what the current log-out cookie says of a browser ID."""
        cookie = self._log_out_cookie
        return cookie.read(header, browser_id) if cookie is not None and cookie.name in header else None

    def _has_own_cookies(self, header: str) -> bool:
        """Return whether a raw Cookie header may have a browser ID of ours."""
        return any(cookies.browser_id.name in header for cookies in (self._cookies, *self._old_cookies))

    def _read_without_cookies(self, request: RequestInfo) -> Session:
        """Return a session for a request whose cookies are not read. It gets no ID, or each request would get one."""
        self.unread_cookies = next(self._unread)
        log.warning(
            "ignored the Cookie header of a request, which is longer than %d characters or contains our cookies too "
            "often; nothing is tracked in this request",
            MAX_HEADER,
        )
        return Session(request, UNREAD, _NO_COOKIE, None)

    def response_changes(
        self, session: Session, status: int, headers: Iterable[tuple[Any, Any]], now: float
    ) -> ResponseChanges:
        """Return what to change in a response with these headers. Without a cookie to set it is not changed.

        A response with a cookie gets `Cache-Control: private`, or a cache could send one visitor's cookies to another.
        """
        if session.request is None:
            return UNCHANGED
        if not isinstance(headers, list):
            headers = list(headers)
        if self._context.redirects_to_https(session.request, status, headers):
            session.withhold("plain http")
            return UNCHANGED
        caching = read_cache_headers(headers)
        cookies = self.cookies(session, headers, now, session.renews_cookie, caching)
        if not cookies or session.request.is_websocket:  # no cache keeps what opens a websocket
            return ResponseChanges(cookies)
        return ResponseChanges(cookies, protecting_headers(caching))

    def cookies(
        self,
        session: Session,
        headers: Iterable[tuple[Any, Any]],
        now: float,
        renew: bool = False,
        caching: CacheHeaders | None = None,
    ) -> list[SetCookie]:
        """Return the cookies to add to a response with these headers.

        No cookie is added to a response that shared caches may store, and none whose name the app sets itself.

        Args:
            session: the session of the request.
            headers: the response's headers, as pairs of text or bytes.
            now: seconds since 1970.
            renew: set the browser-ID cookie again even if it is fresh.
            caching: what the headers say about caching, if it was read before.
        """
        request = session.request
        if request is None:
            return []
        if not isinstance(headers, list):
            headers = list(headers)
        secure, is_insecure = self._context.security(request)
        wanted = self._wanted_cookies(session, now, secure, renew)
        if not wanted:
            return []
        if is_insecure:
            session.withhold("plain http")
            return []
        if self._may_be_cached(headers if caching is None else caching):
            session.withhold("shared cache")
            return []
        lines = header_of(headers, "set-cookie")
        if lines:
            taken = {value.partition("=")[0].strip() for value in lines}
            if self._browser_id_cookie.name in taken:  # the app's own value must not be signed by us
                taken.add(self._browser_id_cookie.signature_name)
                if self._guest_cookie is not None:  # nor get the guest ID of another one
                    taken.add(self._guest_cookie.name)
            wanted = [cookie for cookie in wanted if cookie.name not in taken]
        if session.has_new_id:
            for cookie in wanted:
                if cookie.name == self._browser_id_cookie.name:
                    session.mark_used()
        return wanted

    def stale_cookies(self, headers: Iterable[tuple[Any, Any]]) -> list[str]:
        """Return the names of our cookies that an earlier request has set on a reused response.

        The app may set the browser ID's cookie itself. The cookie is ours if its signature is set too, or without
        signatures, if it has exactly our attributes. So it is with the guest ID, and with the deletion of old cookies.
        """
        lines = {line.partition("=")[0].strip(): line for line in header_of(headers, "set-cookie")}
        if not lines:
            return []
        cookie = self._browser_id_cookie
        left = [one.name for one in (self._identity_cookie, self._log_out_cookie) if one is not None]
        if cookie.signature_name in lines or (cookie.name in lines and cookie.has_written(lines[cookie.name])):
            left += [cookie.name, cookie.signature_name]
        old = [made for cookies in self._old_cookies for made in cookies.expire_all(secure=True)]
        if self._guest_cookie is not None:
            old += self._guest_cookie.expire_all(secure=True)
            if self._guest_cookie.has_written(lines.get(self._guest_cookie.name, "")):
                left.append(self._guest_cookie.name)
        left += [made.name for made in old if is_same_cookie(made, lines.get(made.name, ""))]
        return [name for name in dict.fromkeys(left) if name in lines]

    def is_page_view(self, session: Session, status: int, headers: Iterable[tuple[Any, Any]]) -> bool:
        """Return whether a response is a page that its visitor sees, and whose page view may be sent.

        Not for a new visitor if a shared cache may store it: without a cookie every page would have a new visitor.
        """
        request, decision = session.request, session.decision
        if request is None or session.is_ignored or decision.refusal is not None:
            return False
        headers = list(headers)
        if not (is_page(request, status, headers) and self._policy.is_document(request, decision.bot)):
            return False
        if session.parsed_browser_id.browser_id is not None or decision.bot:
            return True
        return self._policy.assigns_ids and decision.sets_cookies and not self._may_be_cached(headers)

    def can_reclaim_id(self, session: Session, status: int, headers: Iterable[tuple[Any, Any]]) -> bool:
        """Return whether the ID of a new visitor is not needed and can be returned to the pool.

        The ID is not used yet, and the request has no fetch headers and its response is no page. Most such requests are
        API calls, whose clients do not send the cookie next time either.
        """
        if (
            session.is_id_used
            or not session.has_new_id
            or session.renews_cookie
            or session.is_identity_changed
            or session.request is None
        ):
            return False
        return session.is_ignored or (self._policy.lacks_hints(session.request) and not may_be_page(status, headers))

    def has_cookies(self, session: Session) -> bool:
        """Return whether the response may set any cookie; usually it does not."""
        is_renewed = session.parsed_browser_id.needs_renewal or session.renews_cookie
        is_changed = session.is_identity_changed or session.has_new_guest or session.has_old_guest
        return session.has_new_id or is_renewed or is_changed or session.is_consent_withdrawn

    def _may_be_cached(self, headers: Iterable[tuple[Any, Any]] | CacheHeaders) -> bool:
        """Return whether a shared cache may store a response, even with additional headers."""
        if self._cache_control == "override":
            return False
        return not is_protected(headers) if self._cache_control == "keep" else may_be_shared(headers)

    def _wanted_cookies(self, session: Session, now: float, secure: bool, renew: bool) -> list[SetCookie]:
        if session.is_consent_withdrawn:
            return self._expire_all(session, secure)
        if session.has_stale_id:
            return self._expire_all(session, secure, self._log_out_cookies(session, secure))
        if not session.decision.sets_cookies:  # deleting an identity is always allowed
            return self._expire_identity(session, secure)
        wanted: list[SetCookie] = []
        moves = self._moves_now(session)
        renews = session.has_new_id or renew or moves or self._renews_now(session)
        if session.browser_id is not None and renews:
            wanted += self._browser_id_cookie.write(session.browser_id, secure=secure)
        wanted += self._guest_cookies(session, secure, renews, moves)
        if moves:
            wanted += self._move_cookies(session, secure)
        elif session.has_new_id:  # what is left of an earlier visitor must not return
            wanted += self._expire_old(session, secure)
        if not session.is_identity_changed:
            return wanted
        if self._identity_cookie is not None and session.identity_change is not None and session.browser_id is not None:
            remembered = session.identity_change._replace(log_outs=session.log_outs)
            wanted.append(self._identity_cookie.write(session.browser_id, remembered, secure=secure))
        return wanted + self._expire_identity(session, secure) + self._log_out_cookies(session, secure)

    def _moves_now(self, session: Session) -> bool:
        """Return whether the cookies of an old visitor are moved into the current ones with this response."""
        is_due = session.is_identity_changed or session.has_new_id or self._renews_now(session)
        return session.parsed_browser_id.is_old and is_due

    def _move_cookies(self, session: Session, secure: bool) -> list[SetCookie]:
        """Delete the old cookies, and store what they said about the user, unless it has changed."""
        wanted: list[SetCookie] = []
        browser_id, stored = session.browser_id, session.stored_identity
        is_same = browser_id is not None and browser_id == session.parsed_browser_id.browser_id
        if is_same and browser_id is not None and not session.is_identity_changed:
            if stored is not None and self._identity_cookie is not None:
                wanted.append(self._identity_cookie.write(browser_id, stored, secure=secure))
            if session.known_log_outs is not None and self._log_out_cookie is not None:
                wanted.append(self._log_out_cookie.write(browser_id, session.known_log_outs, secure=secure))
        return wanted + self._expire_old(session, secure)

    def _expire_old(self, session: Session, secure: bool) -> list[SetCookie]:
        header = session.cookie_header
        return [made for cookies in self._old_cookies for made in cookies.expire(header, secure=secure)]

    def _guest_cookies(self, session: Session, secure: bool, renews: bool, moves: bool) -> list[SetCookie]:
        """Return the cookie with the guest ID if it is new or old, and delete the one of another browser ID."""
        if self._guest_cookie is None:
            return []
        header = session.cookie_header
        if session.guest_id is None or not self._guest_cookie.is_kept:
            return self._guest_cookie.expire(header, secure=secure) if session.has_new_id or moves else []
        is_moved = session.has_old_guest and session.decision.assign == "at once"
        if not (renews or session.has_new_guest or is_moved):
            return []
        cookie = self._guest_cookie.write(session.guest_id, secure=secure)
        return [cookie, *self._guest_cookie.expire(header, secure=secure, only_old=True)]

    def _log_out_cookies(self, session: Session, secure: bool) -> list[SetCookie]:
        """Return the cookie that keeps late responses from undoing a log-out or a new browser ID."""
        cookie, before, browser_id = self._log_out_cookie, session.parsed_browser_id.browser_id, session.browser_id
        if cookie is None or not session.is_identity_changed or not session.decision.sets_cookies:
            return []
        if before is not None and before != browser_id:
            return [cookie.write(before, LogOutCookie.ROTATED, secure=secure)]
        known, has_identity = session.known_log_outs, session.was_identified or self._has_identity_cookie(session)
        # An app may call `reset` on every page of a visitor who is not logged in. The cookie is set only once then.
        if browser_id is None or session.log_outs == (known or 0) or not (known is None or has_identity):
            return []
        return [cookie.write(browser_id, session.log_outs, secure=secure)]

    def _has_identity_cookie(self, session: Session) -> bool:
        return self._identity_cookie is not None and self._identity_cookie.name in session.cookie_header

    def _expire_identity(self, session: Session, secure: bool) -> list[SetCookie]:
        if not session.is_identity_cleared or self._identity_cookie is None:
            return []
        return [self._identity_cookie.expire(secure=secure)] if self._has_identity_cookie(session) else []

    def _renews_now(self, session: Session) -> bool:
        # Only pages renew the cookie: the response of an asset may be cached in front of the app.
        return session.parsed_browser_id.needs_renewal and session.decision.assign == "at once"

    def _expire_all(self, session: Session, secure: bool, marks: Sequence[SetCookie] = ()) -> list[SetCookie]:
        """Delete all cookies except the given log-out cookies."""
        if not session.parsed_browser_id.is_present:
            return []
        wanted = self._browser_id_cookie.expire(secure=secure)
        wanted += self._expire_old(session, secure)
        if self._guest_cookie is not None:
            wanted += self._guest_cookie.expire(session.cookie_header, secure=secure)
        if self._identity_cookie is not None:
            wanted.append(self._identity_cookie.expire(secure=secure))
        mark = self._log_out_cookie
        if mark is not None and not marks and mark.name in session.cookie_header:
            wanted.append(mark.expire(secure=secure))
        return [*wanted, *marks]
