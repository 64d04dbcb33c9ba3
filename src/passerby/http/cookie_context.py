"""Decides from a request whether the browser will keep a cookie set on the response, and send it back.

If it does not, a new browser ID would be wasted, or would replace the one that the browser already has.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal
from urllib.parse import urlsplit

from .proxies import TrustedProxies
from .request import RequestInfo, header_of
from .set_cookie import CookieAttributes

Obstacle = Literal["plain http", "cross-site", "frame"]

_FRAMES = frozenset({"iframe", "frame", "embed", "object", "fencedframe"})
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})

# Browsers send Sec-Fetch-Site to https and to their own machine only. The other headers are set by proxies for visitors
# with https. A forged header gains nothing here: the cookie is still marked Secure.
_SIGNS_OF_HTTPS = frozenset({
    "sec-fetch-site", "sec-fetch-dest", "x-forwarded-proto", "x-forwarded-scheme", "x-forwarded-ssl", "front-end-https",
    "cloudfront-forwarded-proto", "cf-visitor", "forwarded",
})  # fmt: skip


class CookieContext:
    """Decides from a request's headers what a browser does with a cookie.

    Args:
        attributes: the attributes of the cookies.
        proxies: the proxies whose forwarded headers are trusted.
    """

    def __init__(self, attributes: CookieAttributes, proxies: TrustedProxies) -> None:
        self._attributes = attributes
        self._proxies = proxies
        self._domain = (attributes.domain or "").lstrip(".").lower()
        self._is_everywhere = attributes.same_site == "none"  # kept and sent in requests from any site

    def secure(self, request: RequestInfo) -> bool:
        """Return whether cookies set on the response are marked Secure."""
        scheme = self._scheme(request)
        return self._attributes.secure_for(scheme, request.host if scheme == "http" else "")

    def security(self, request: RequestInfo) -> tuple[bool, bool]:
        """Return `secure` and `is_insecure`."""
        if self._scheme(request) == "https":
            return self._attributes.secure_for("https", ""), False
        return self.secure(request), self.is_insecure(request)

    def obstacle(self, request: RequestInfo) -> Obstacle | None:
        """Return why a new visitor's cookie would not be kept, or would replace one that the browser did not send."""
        if self.is_insecure(request):
            return "plain http"
        return None if self._is_everywhere else self._obstacle_between_sites(request)

    def is_insecure(self, request: RequestInfo) -> bool:
        """Return whether browsers refuse the cookie: it is marked Secure and the visitor uses plain http."""
        if self._scheme(request) == "https" or not self.secure(request) or _is_this_machine(request.host):
            return False
        return not (request.has_any_header(_SIGNS_OF_HTTPS) and _is_https_at_the_browser(request))

    def redirects_to_https(self, request: RequestInfo, headers: Iterable[tuple[Any, Any]]) -> bool:
        """Return whether a redirect leads from plain http to the same page with https. Cookies are set there."""
        if self._scheme(request) == "https" or not self.secure(request):
            return False
        for location in header_of(headers, "location"):
            if location[:8].lower() == "https://":
                path = location[8:].partition("?")[0].partition("#")[0].partition("/")[2]
                return path.strip("/") in (request.path.strip("/"), request.raw_path.strip("/"))
        return False

    def _obstacle_between_sites(self, request: RequestInfo) -> Obstacle | None:
        header = request.header
        site = header("sec-fetch-site")
        if not site:  # an old browser, plain http, or no browser
            origin = header("origin")
            return "cross-site" if origin and not self._is_own(origin, request) else None
        if site.strip().lower() != "cross-site":
            # This may be a frame in a page of another site.
            is_third_party = header("sec-fetch-storage-access") in ("none", "inactive")
            return "frame" if is_third_party and header("sec-fetch-dest") in _FRAMES else None
        destination = header("sec-fetch-dest")
        if destination in _FRAMES:
            return "frame"
        is_navigation = (
            request.method in _SAFE_METHODS
            and not request.is_websocket
            and destination in (None, "", "document")
            and header("sec-fetch-mode") in (None, "", "navigate")
        )
        return None if is_navigation and self._attributes.same_site == "lax" else "cross-site"

    def _is_own(self, origin: str, request: RequestInfo) -> bool:
        """Return whether an Origin header names the requested site. "null" names none."""
        host = self._host(request)
        try:
            asker = (urlsplit(origin.partition(",")[0].strip()).hostname or "").rstrip(".")
        except ValueError:
            return False
        if not asker:
            return False
        return not host or any(_is_within(asker, one) and _is_within(host, one) for one in (asker, host, self._domain))

    def _scheme(self, request: RequestInfo) -> str:
        return (request.proxies or self._proxies).scheme(request)

    def _host(self, request: RequestInfo) -> str:
        """Return the requested host. Other methods use only this one."""
        return request.host.rstrip(".")


def _is_within(host: str, domain: str) -> bool:
    return bool(domain) and (host == domain or host.endswith(f".{domain}"))


def _is_this_machine(host: str) -> bool:
    """Return whether browsers treat a host as secure without https."""
    return host in ("localhost", "::1") or host.endswith(".localhost") or host.startswith("127.")


def _is_https_at_the_browser(request: RequestInfo) -> bool:
    header = request.header
    if header("sec-fetch-site") or header("sec-fetch-dest"):
        return True
    said = (header(name) or "" for name in ("x-forwarded-proto", "x-forwarded-scheme", "cloudfront-forwarded-proto"))
    if any(value.partition(",")[0].strip().lower() in ("https", "wss") for value in said):
        return True
    if (header("x-forwarded-ssl") or header("front-end-https") or "").lower() == "on":
        return True
    forwarded = f"{header('cf-visitor') or ''};{header('forwarded') or ''}"[:1024].lower()
    return '"scheme":"https"' in forwarded or "proto=https" in forwarded or 'proto="https"' in forwarded
