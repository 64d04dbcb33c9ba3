"""Neutral facts of a request, read from an ASGI scope, a WSGI environ, or any framework's request object."""

from __future__ import annotations

import ipaddress
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, MutableMapping
from functools import lru_cache
from typing import Any, TypeGuard
from urllib.parse import quote, unquote_to_bytes

from .route import ROUTE_KEY, keep_request, keep_scope_route, language_in, route_of

TRACKER_KEY = "passerby.tracker"  # where a request's tracker hangs: in the ASGI scope or the WSGI environ
SEEN_KEY = "passerby.middleware"  # marks a request that a face has taken charge of: installed twice it acts once

_MAX_HOST = 255  # characters of a host name (RFC 1035)
_SHARED = 256  # bytes of a header's value that is worth sharing
MAX_HEADER = 16_384  # characters of one header that are looked at; longer ones are nobody's honest header
_PATH_SAFE = "/!$&'()*+,;=:@[]|^%"  # what browsers leave as it is in a path (WHATWG URL, path percent-encode set)


class _Names(dict[str, Any]):
    """Header names in the form in which a kind of server has them, made once each, as few are asked for."""

    def __init__(self, form: Callable[[str], Any]) -> None:
        super().__init__()
        self._form = form

    def __missing__(self, name: str) -> Any:
        formed = self._form(name)
        if len(self) < 1000:
            self[name] = formed
        return formed


# What a tracker may still look at once the request is over.
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
    "HTTP_X_FORWARDED_FOR",
    "HTTP_X_FORWARDED_PROTO",
    "QUERY_STRING",
    "REMOTE_ADDR",
    "wsgi.url_scheme",
)


def _cgi_name(name: str) -> str:
    key = name.upper().replace("-", "_")
    return key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{key}"


_ASGI_NAMES = _Names(lambda name: name.lower().encode("latin-1"))
_CGI_NAMES = _Names(_cgi_name)


@lru_cache(maxsize=64)
def _asgi_names(names: frozenset[str]) -> frozenset[bytes]:
    return frozenset(_ASGI_NAMES[name] for name in names)


@lru_cache(maxsize=4096)
def _shared_text(value: bytes) -> str:
    """Decode a header's value; what many requests say alike, such as a user agent, is kept in memory once."""
    return value.decode("latin-1")


class RequestInfo(ABC):
    """What passerby knows of one request, whatever framework serves it.

    Attributes:
        is_websocket: whether this is the opening of a websocket.
        method: the HTTP method in upper case; a websocket counts as GET.
        path: the decoded path, beginning with a slash.
        native: the ASGI scope or WSGI environ behind it.
    """

    __slots__ = ("is_websocket", "method", "native", "path")

    is_websocket: bool
    method: str
    path: str
    native: MutableMapping[str, Any]

    @property
    @abstractmethod
    def scheme(self) -> str:
        """The scheme as the server saw it: http, https, ws or wss."""

    @property
    @abstractmethod
    def query_string(self) -> str:
        """The raw query without the question mark."""

    @property
    @abstractmethod
    def peer(self) -> str | None:
        """The address of whoever connected to the server, or None for a unix socket."""

    @abstractmethod
    def header(self, name: str) -> str | None:
        """Return the header of this name (any case), or None."""

    @abstractmethod
    def has_any(self, names: frozenset[str]) -> bool:
        """Whether there is a header of any of these names (lower case); one look, however many they are."""

    @property
    @abstractmethod
    def cookie_header(self) -> str:
        """The raw Cookie header; several are joined; empty if there is none or if it is absurdly long."""

    @property
    @abstractmethod
    def raw_path(self) -> str:
        """The path as the browser wrote it, percent-encoded."""

    @property
    def route(self) -> str | None:
        """The pattern of the route that the framework has matched, as it writes it; None before that, or for none."""
        return route_of(self.native)

    @property
    def language(self) -> str | None:
        """The language in which the framework makes the page, where it was chosen; None after the request."""
        return language_in(self.native)

    @abstractmethod
    def detach(self) -> None:
        """Let go of the server's own object once the request is over, but for the facts.

        The object holds the tracker, which holds these facts: a circle that only the garbage collector would part.
        """

    @property
    def host(self) -> str:
        """The host name without its port, in lower case; empty if the request names none."""
        return _host_without_port((self.header("host") or "")[:_MAX_HOST])

    @property
    def cookies(self) -> dict[str, str]:
        """All cookies by name, undecoded; of several with one name the first counts."""
        found: dict[str, str] = {}
        for piece in self.cookie_header.split(";"):
            name, _, value = piece.partition("=")
            found.setdefault(name.strip(), value.strip())
        return found


class ScopeRequest(RequestInfo):
    """A request read from an ASGI scope of type http or websocket."""

    __slots__ = ("_headers",)

    def __init__(self, scope: MutableMapping[str, Any]) -> None:
        self.native: MutableMapping[str, Any] = scope
        self.is_websocket: bool = scope["type"] == "websocket"
        self.method: str = "GET" if self.is_websocket else scope["method"]
        self.path: str = scope["path"]
        self._headers: dict[bytes, bytes] = dict(scope["headers"])

    @property
    def scheme(self) -> str:
        scheme: str = self.native.get("scheme", "http")
        return scheme

    @property
    def query_string(self) -> str:
        query: bytes | str = (
            self.native.get("query_string") or ""
        )  # a websocket may lack it; Django's test client: text
        return query if isinstance(query, str) else query.decode("utf-8", "replace")

    @property
    def peer(self) -> str | None:
        client = self.native.get("client")
        return client[0] if client else None

    def header(self, name: str) -> str | None:
        value = self._headers.get(_ASGI_NAMES[name])
        if value is None:
            return None
        return _shared_text(value) if len(value) <= _SHARED else value.decode("latin-1")

    def detach(self) -> None:
        native, get = self.native, self.native.get
        self.native = {"scheme": self.scheme, "client": get("client"), "query_string": get("query_string")}
        self.native["raw_path"] = get("raw_path")
        keep_scope_route(native, self.native)

    def has_any(self, names: frozenset[str]) -> bool:
        return not self._headers.keys().isdisjoint(_asgi_names(names))

    @property
    def raw_path(self) -> str:
        raw: bytes | None = self.native.get("raw_path")
        return raw.partition(b"?")[0].decode("latin-1") if raw else quote(self.path, safe=_PATH_SAFE)

    @property
    def cookie_header(self) -> str:
        value = self._headers.get(b"cookie")
        if value is None:
            return ""
        headers = self.native["headers"]
        if len(headers) > len(self._headers):  # some header comes twice; HTTP/2 may part this one
            value = b"; ".join([value for name, value in headers if name == b"cookie"])
        return value.decode("latin-1") if len(value) <= MAX_HEADER else ""


class EnvironRequest(RequestInfo):
    """A request read from a WSGI environ."""

    __slots__ = ()

    def __init__(self, environ: MutableMapping[str, Any]) -> None:
        self.native: MutableMapping[str, Any] = environ
        self.is_websocket: bool = False
        self.method: str = environ.get("REQUEST_METHOD", "GET")
        self.path: str = _utf8(environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")) or "/"

    @property
    def scheme(self) -> str:
        scheme: str = self.native.get("wsgi.url_scheme", "http")
        return scheme

    @property
    def query_string(self) -> str:
        return _utf8(self.native.get("QUERY_STRING", ""))

    @property
    def peer(self) -> str | None:
        return self.native.get("REMOTE_ADDR") or None

    def header(self, name: str) -> str | None:
        value: str | None = self.native.get(_CGI_NAMES[name])
        return value

    def detach(self) -> None:
        native, route = self.native, self.route
        self.native = {name: native[name] for name in _LOOKED_AT_LATE if name in native}
        if route is not None:
            self.native[ROUTE_KEY] = route

    def has_any(self, names: frozenset[str]) -> bool:
        return any(_CGI_NAMES[name] in self.native for name in names)

    @property
    def raw_path(self) -> str:
        return quote(self.path, safe=_PATH_SAFE)

    @property
    def cookie_header(self) -> str:
        header: str = self.native.get("HTTP_COOKIE", "")
        return header if len(header) <= MAX_HEADER else ""


def read_request(request: Any) -> RequestInfo:
    """Read the neutral facts of any framework's request.

    Takes an ASGI scope, a WSGI environ, or an object that carries one of them as `scope` (Starlette, FastAPI, Django
    under ASGI) or `environ` (Flask, Django under WSGI). Raises TypeError for anything else.
    """
    if isinstance(request, RequestInfo):
        return request
    for native in (request, getattr(request, "scope", None), getattr(request, "environ", None)):
        if not _is_native(native):
            continue
        if native is not request:
            keep_request(native, request)
        if "type" in native and "headers" in native:
            return ScopeRequest(native)
        if "REQUEST_METHOD" in native:
            return EnvironRequest(native)
    raise TypeError(
        f"found {type(request).__name__} where a request was expected: pass an ASGI scope, a WSGI environ, "
        "or the request object of Starlette, FastAPI, Django or Flask"
    )


def _is_native(value: object) -> TypeGuard[MutableMapping[str, Any]]:
    return isinstance(value, MutableMapping)


@lru_cache(maxsize=1024)
def _host_without_port(host: str) -> str:
    host = host.strip().lower()
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]


@lru_cache(maxsize=1024)
def is_local_host(host: str) -> bool:
    """Whether a host name or address is one that plain http is normal for.

    Loopback, private and link-local addresses, and names of a single label (`localhost`,
    `testserver`, `collector`), which only a local resolver knows.
    """
    name = host.strip().rstrip(".").lower()
    if not name or ("." not in name and ":" not in name):
        return True
    if name.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return False
    return address.is_loopback or address.is_private or address.is_link_local


def decode_query(query_string: str) -> str:
    """Undo one layer of percent-encoding, but for the characters that part a query, as JavaScript's `decodeURI` does.

    The Engage SDK decodes a query twice, so passerby does too. What is malformed, or no UTF-8, is left as it stands.
    """
    return _escapes.sub(_decode_escapes, query_string) if "%" in query_string else query_string


_escapes = re.compile("(?:%[0-9A-Fa-f]{2})+")


def _decode_escapes(found: re.Match[str]) -> str:
    text = unquote_to_bytes(found[0]).decode("utf-8", "surrogateescape")
    return "".join(f"%{_byte_of(ch):02X}" if ch in ";/?:@&=+$,#" or "\udc80" <= ch <= "\udcff" else ch for ch in text)


def _byte_of(character: str) -> int:
    """Return the byte that stands behind an ASCII character, or behind a surrogate that stands for one."""
    return ord(character) & 0xFF


def _utf8(text: str) -> str:
    """Read what PEP 3333 hands over as latin-1 text: bytes that are meant as UTF-8."""
    return text if text.isascii() else text.encode("latin-1", "replace").decode("utf-8", "replace")


def header_of(headers: Iterable[tuple[Any, Any]], name: str) -> list[str]:
    """Return the values of all headers of a name, from pairs of text or of bytes."""
    values: list[str] = []
    for key, value in headers:
        if _text(key).lower() == name:
            values.append(_text(value))
    return values


def _text(value: str | bytes) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else value
