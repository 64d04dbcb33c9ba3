"""A request read from a WSGI environ."""

from __future__ import annotations

import re
from collections.abc import MutableMapping
from typing import Any
from urllib.parse import quote, unquote_to_bytes

from .request_info import (
    MAX_HEADER,
    PATH_SAFE,
    FrameworkOrigin,
    HeaderNames,
    Proxies,
    RequestInfo,
    header_text,
    server_authority_of,
)
from .route import ROUTE_KEY
from .url import escape, path_in

# Keys that a tracker may still read after the request.
_LOOKED_AT_LATE = (
    "HTTP_HOST",
    "HTTP_USER_AGENT",
    "HTTP_ACCEPT",
    "HTTP_ACCEPT_LANGUAGE",
    "HTTP_COOKIE",
    "HTTP_REFERER",
    "HTTP_SEC_FETCH_DEST",
    "HTTP_SEC_FETCH_MODE",
    "HTTP_SEC_GPC",
    "HTTP_SEC_PURPOSE",
    "HTTP_X_SEC_PURPOSE",
    "HTTP_PURPOSE",
    "HTTP_X_PURPOSE",
    "HTTP_X_MOZ",
    "HTTP_FORWARDED",
    "HTTP_X_FORWARDED_FOR",
    "HTTP_X_FORWARDED_HOST",
    "HTTP_X_FORWARDED_PORT",
    "HTTP_X_FORWARDED_PREFIX",
    "HTTP_X_FORWARDED_PROTO",
    "PATH_INFO",
    "QUERY_STRING",
    "RAW_URI",
    "REMOTE_ADDR",
    "REQUEST_URI",
    "SCRIPT_NAME",
    "SERVER_NAME",
    "SERVER_PORT",
    "werkzeug.proxy_fix.orig",
    "wsgi.url_scheme",
)

# Headers with a single value without commas, or a URL. WSGI servers join several of them with commas.
_SINGLE = frozenset({
    "HTTP_HOST", "HTTP_ORIGIN", "HTTP_REFERER", "HTTP_SEC_FETCH_DEST", "HTTP_SEC_FETCH_MODE", "HTTP_SEC_FETCH_SITE",
    "HTTP_SEC_FETCH_USER", "HTTP_SEC_GPC", "HTTP_X_REQUESTED_WITH",
})  # fmt: skip
_next_url = re.compile(r",\s*(?=[a-z][a-z0-9+.-]*://)", re.IGNORECASE)


def _cgi_name(name: str) -> str:
    key = name.upper().replace("-", "_")
    return key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{key}"


_CGI_NAMES = HeaderNames(_cgi_name)


class EnvironRequest(RequestInfo):
    """A request read from a WSGI environ.

    Args:
        environ: the environ.
        is_decoded: whether its paths are decoded text, as Django leaves them, and not bytes read as latin-1.
    """

    __slots__ = ("_is_decoded",)

    def __init__(self, environ: MutableMapping[str, Any], is_decoded: bool = False) -> None:
        self.native: MutableMapping[str, Any] = environ
        self.proxies: Proxies | None = None
        self.framework_origin: FrameworkOrigin | None = None
        self.forwarded: tuple[Proxies, str | None, Any] | None = None
        self.is_websocket: bool = False
        self.method: str = environ.get("REQUEST_METHOD", "GET")
        self._is_decoded = is_decoded
        prefix, path = environ.get("SCRIPT_NAME") or "", environ.get("PATH_INFO") or ""
        self.path: str = (prefix + path if is_decoded else _utf8(prefix + path)) or "/"
        self.app_path: str = ((path if is_decoded else _utf8(path)) or "/") if prefix else self.path

    @property
    def scheme(self) -> str:
        scheme: str = self.native.get("wsgi.url_scheme", "http")
        return scheme

    @property
    def query_string(self) -> str:
        return _utf8(self.native.get("QUERY_STRING", ""))

    @property
    def raw_query(self) -> str:
        return escape(_bytes_of(self.native.get("QUERY_STRING") or ""))

    @property
    def peer(self) -> str | None:
        return self.native.get("REMOTE_ADDR") or None

    @property
    def connected_peer(self) -> tuple[str | None, bool]:
        before: Any = self.native.get("werkzeug.proxy_fix.orig")
        return (self.peer if before is None else before.get("REMOTE_ADDR") or None), False

    @property
    def server_authority(self) -> str:
        get = self.native.get
        return server_authority_of(str(get("SERVER_NAME") or ""), str(get("SERVER_PORT") or ""), self.scheme)

    def header(self, name: str) -> str | None:
        key = _CGI_NAMES[name]
        value: str | None = self.native.get(key)
        if value is None:
            return None
        if not value.isascii():
            value = header_text(_bytes_of(value))
        return _first_of(key, value) if key in _SINGLE and "," in value else value

    def detach(self) -> None:
        native, route = self.native, self.route
        self.native = {name: native[name] for name in _LOOKED_AT_LATE if name in native}
        if route is not None:
            self.native[ROUTE_KEY] = route

    def has_any_header(self, names: frozenset[str]) -> bool:
        return any(_CGI_NAMES[name] in self.native for name in names)

    @property
    def raw_path(self) -> str:
        native = self.native
        prefix, path = native.get("SCRIPT_NAME") or "", native.get("PATH_INFO") or ""
        # The path as the browser wrote it, if the server provides it and it is the requested path.
        for name in ("REQUEST_URI", "RAW_URI"):
            target: str | None = native.get(name)
            if target:
                raw = path_in(escape(_bytes_of(target)))
                decoded = unquote_to_bytes(raw)
                if self._reads(decoded, prefix + path):
                    return raw
                if prefix and self._reads(decoded, path):  # a proxy has taken the prefix away
                    return quote(self._written(prefix), safe=PATH_SAFE) + raw
        return quote(self._written(prefix + path), safe=PATH_SAFE) or "/"

    def _reads(self, written: bytes, path: str) -> bool:
        """Return whether decoding these bytes gives a path."""
        if not self._is_decoded:
            return written == _bytes_of(path)
        # Django escapes bytes again that are no UTF-8.
        text = written.decode("utf-8", "surrogateescape")
        return path == text or path == _not_utf8.sub(lambda found: f"%{ord(found[0]) & 0xFF:02X}", text)

    def _written(self, path: str) -> bytes:
        """Return the most likely bytes of a decoded path. An escaped escape looks like one of Django's own."""
        if not self._is_decoded:
            return _bytes_of(path)
        written = path.encode("utf-8", "surrogateescape")
        return _high_escapes.sub(_undo_if_no_utf8, written) if b"%" in written else written

    @property
    def cookie_header(self) -> str:
        header: str = self.native.get("HTTP_COOKIE", "")
        return header if len(header) <= MAX_HEADER else ""

    @property
    def has_unread_cookies(self) -> bool:
        return bool(self.native.get("HTTP_COOKIE")) and not self.cookie_header


_not_utf8 = re.compile("[\udc80-\udcff]")
_high_escapes = re.compile(rb"(?:%[89A-F][0-9A-F])+")


def _undo_if_no_utf8(found: re.Match[bytes]) -> bytes:
    written = unquote_to_bytes(found[0])
    try:
        written.decode()
    except UnicodeDecodeError:
        return written
    return found[0]


def _first_of(key: str, value: str) -> str:
    """Return the first value of a single-valued header of which the server has joined several."""
    if key == "HTTP_REFERER":
        return _next_url.split(value, 1)[0]
    if key == "HTTP_HOST":
        values = {one.strip() for one in value.split(",")}
        return values.pop() if len(values) == 1 else value
    return value.partition(",")[0].rstrip() or value


def _bytes_of(text: str) -> bytes:
    """Return the bytes that PEP 3333 passes as latin-1 text; for other text, its UTF-8."""
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogateescape")


def _utf8(text: str) -> str:
    """Decode UTF-8 bytes that PEP 3333 passes as latin-1 text."""
    return text if text.isascii() else _bytes_of(text).decode("utf-8", "replace")
