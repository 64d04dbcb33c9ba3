"""The cookies of one browser together: browser ID, user ID and log-outs, and beside them the guest ID."""

from __future__ import annotations

from typing import NamedTuple

from ..values.browser_id import is_uuid
from .set_cookie import CookieAttributes, CookieFinder, SetCookie
from .visitor_cookies import (
    BrowserIdCookie,
    IdentityCookie,
    LogOutCookie,
    ParsedBrowserId,
    StoredIdentity,
    is_same_cookie,
)


class GuestCookie:
    """Reads and writes the cookie with the guest ID, which the browser SDK reads too. It is not signed.

    Args:
        name: the cookie's name.
        attributes: the attributes of the cookie.
        old_name: the name of an earlier cookie, whose ID is moved into this one.
        is_kept: whether passerby writes it, and moves an earlier one. Otherwise it is the browser SDK's: it is read,
            and deleted with its browser ID.
    """

    def __init__(
        self, name: str, attributes: CookieAttributes, old_name: str | None = None, is_kept: bool = True
    ) -> None:
        self.name = name
        self.old_name = old_name
        self.is_kept: bool = is_kept
        self._attributes = attributes
        readable = (old_name, name) if is_kept else (name,)
        self._finders = [CookieFinder(each) for each in readable if each is not None]

    def read(self, header: str, *, only_old: bool = False) -> tuple[str | None, bool]:
        """Return the guest ID of a raw Cookie header, or None, and whether it comes from the old cookie."""
        for finder in self._finders:
            if only_old and finder.name != self.old_name:
                continue
            guest_id = next(filter(is_uuid, finder.find(header)), None)
            if guest_id is not None:
                return guest_id, finder.name == self.old_name
        return None, False

    def write(self, guest_id: str, *, secure: bool) -> SetCookie:
        """Make the cookie that sets a guest ID."""
        return self._attributes.make(self.name, guest_id, secure=secure, http_only=False)

    def expire(self, header: str, *, secure: bool, only_old: bool = False) -> list[SetCookie]:
        """Make the cookies that delete the guest IDs of a raw Cookie header."""
        made = self.expire_all(secure=secure)
        return [one for one in made if one.name in header and not (only_old and one.name == self.name)]

    def expire_all(self, *, secure: bool) -> list[SetCookie]:
        """Make the cookies that delete all guest IDs."""
        names = [name for name in (self.old_name, self.name) if name is not None]
        return [self._attributes.make(name, "", secure=secure, http_only=False, max_age=0) for name in names]

    def has_written(self, line: str) -> bool:
        """Return whether a Set-Cookie header was made by `write`, for any browser."""
        value = line.partition(";")[0].partition("=")[2].strip(' "')
        return is_uuid(value) and is_same_cookie(self.write(value, secure=True), line)


class CookieSet(NamedTuple):
    """The cookies of one browser.

    Attributes:
        browser_id: the cookie with the browser ID.
        identity: the cookie with the user ID, or None without a secret key.
        log_out: the cookie that counts log-outs, or None without a secret key.
        wins: for old cookies, whether their ID replaces that of the current ones, if it has no signature.
    """

    browser_id: BrowserIdCookie
    identity: IdentityCookie | None = None
    log_out: LogOutCookie | None = None
    wins: bool = False

    def read(self, header: str, now: float) -> VisitorCookies:
        """Read the visitor of a raw Cookie header; `now` is in seconds since 1970."""
        parsed = self.browser_id.read(header, now)
        browser_id = parsed.browser_id
        if browser_id is None:
            return VisitorCookies(parsed)
        log_outs = None
        if self.log_out is not None and self.log_out.name in header:
            log_outs = self.log_out.read(header, browser_id)
            if log_outs == LogOutCookie.ROTATED:
                log_outs = None
                if not parsed.needs_renewal:  # else the browser SDK may have written it
                    return VisitorCookies(ParsedBrowserId(None, is_present=True))
        stored = None
        if self.identity is not None and self.identity.name in header:
            stored = self.identity.read(header, browser_id, now, log_outs or 0)
        return VisitorCookies(parsed, stored, log_outs)

    def expire(self, header: str, *, secure: bool) -> list[SetCookie]:
        """Make the cookies that delete those of a raw Cookie header."""
        return [cookie for cookie in self.expire_all(secure=secure) if cookie.name in header]

    def expire_all(self, *, secure: bool) -> list[SetCookie]:
        """Make the cookies that delete all of these."""
        others = [one.expire(secure=secure) for one in (self.identity, self.log_out) if one is not None]
        return self.browser_id.expire(secure=secure) + others


class VisitorCookies(NamedTuple):
    """What the cookies of a request say about its visitor.

    Attributes:
        browser_id: the parsed browser-ID cookie.
        stored_identity: the content of the identity cookie, if there is one for this browser.
        log_outs: the log-out count of the browser, or None if there was no log-out.
    """

    browser_id: ParsedBrowserId
    stored_identity: StoredIdentity | None = None
    log_outs: int | None = None
