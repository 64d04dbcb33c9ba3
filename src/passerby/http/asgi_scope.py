"""A request read from an ASGI scope."""

from __future__ import annotations

from collections.abc import Iterable, MutableMapping, Sequence
from functools import lru_cache
from typing import Any
from urllib.parse import quote

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
from .route import SCOPE_KEYS, keep_route
from .url import escape, path_in

_SHARED = 256  # bytes; only shorter header values are cached

# Headers with one value. If one occurs more than once, the first counts. All other headers are lists, whose lines are
# joined (RFC 9110, section 5.3). WSGI servers join all of them.
_SINGLE = frozenset({
    b"content-length", b"content-type", b"origin", b"referer", b"sec-fetch-dest", b"sec-fetch-mode", b"sec-fetch-site",
    b"sec-fetch-user", b"sec-gpc", b"user-agent", b"x-requested-with",
})  # fmt: skip

_KEPT = ("scheme", "client", "query_string", "raw_path", "path", "server", *SCOPE_KEYS)  # after the request

_ASGI_NAMES = HeaderNames(lambda name: name.lower().encode("latin-1"))


@lru_cache(maxsize=64)
def _asgi_names(names: frozenset[str]) -> frozenset[bytes]:
    return frozenset(_ASGI_NAMES[name] for name in names)


@lru_cache(maxsize=4096)
def _shared_text(value: bytes) -> str:
    """Decode a header's value. Values that many requests share, such as a user agent, are kept in memory once."""
    return header_text(value)


@lru_cache(maxsize=1024)
def _shared_path(raw: bytes) -> str:
    return path_in(escape(raw))


class ScopeRequest(RequestInfo):
    """A request read from an ASGI scope of type http or websocket.

    Args:
        scope: the scope.
        root_path: the prefix below which the app is mounted, if it is not the one in the scope.
    """

    __slots__ = ("_headers", "_prefix")

    def __init__(self, scope: MutableMapping[str, Any], root_path: str | None = None) -> None:
        self.native: MutableMapping[str, Any] = scope
        self.proxies: Proxies | None = None
        self.framework_origin: FrameworkOrigin | None = None
        self.forwarded: tuple[Proxies, str | None, Any] | None = None
        self.is_websocket: bool = scope["type"] == "websocket"
        self.method: str = "GET" if self.is_websocket else scope["method"]
        self.path: str = scope["path"]
        self.app_path: str = self.path
        self._prefix = ""
        prefix: str | None = scope.get("root_path") if root_path is None else root_path
        if prefix:
            self._mount_below(prefix.rstrip("/"))
        headers: Sequence[tuple[bytes, bytes]] = scope["headers"]
        # The specification allows any iterable. The app reads it again.
        if not (isinstance(headers, list) or hasattr(headers, "__len__")):
            headers = scope["headers"] = list(headers)
        by_name = dict(headers)
        self._headers: dict[bytes, bytes] = by_name if len(headers) == len(by_name) else _joined(headers)

    def _mount_below(self, prefix: str) -> None:
        """Add the prefix to the path. Some servers include it in the path already."""
        path = self.path
        if path == prefix or path.startswith(f"{prefix}/"):
            self.app_path = path[len(prefix) :] or "/"
        else:
            self.path = prefix + path
            self._prefix = quote(prefix, safe=PATH_SAFE)

    @property
    def scheme(self) -> str:
        return self.native.get("scheme") or "http"

    @property
    def query_string(self) -> str:
        query: bytes | str = (
            self.native.get("query_string") or ""
        )  # may be missing for a websocket; text in Django's test client
        return query if isinstance(query, str) else query.decode("utf-8", "replace")

    @property
    def raw_query(self) -> str:
        query: bytes | str = self.native.get("query_string") or b""
        return escape(query.encode("utf-8", "replace") if isinstance(query, str) else query) if query else ""

    @property
    def peer(self) -> str | None:
        client = self.native.get("client")
        return (client[0] or None) if client else None

    @property
    def connected_peer(self) -> tuple[str | None, bool]:
        client = self.native.get("client")
        # No peer has port 0: uvicorn, hypercorn and granian write it when they replace the peer by a forwarded address.
        return self.peer, client is not None and client[1] == 0

    @property
    def server_authority(self) -> str:
        server = self.native.get("server")
        if not server or server[1] is None:  # a unix socket
            return ""
        return server_authority_of(str(server[0]), str(server[1]), self.scheme)

    def header(self, name: str) -> str | None:
        value = self._headers.get(_ASGI_NAMES[name])
        if value is None:
            return None
        return _shared_text(value) if len(value) <= _SHARED else header_text(value)

    def detach(self) -> None:
        native = self.native
        kept = self.native = dict(zip(_KEPT, map(native.get, _KEPT), strict=True))
        if kept["path_params"] is None:
            keep_route(native, kept)

    def has_any_header(self, names: frozenset[str]) -> bool:
        return not self._headers.keys().isdisjoint(_asgi_names(names))

    @property
    def raw_path(self) -> str:
        raw: bytes | None = self.native.get("raw_path")
        if not raw:
            return self._prefix + quote(self.native["path"], safe=PATH_SAFE)
        return self._prefix + (_shared_path(raw) if len(raw) <= _SHARED else path_in(escape(raw)))

    @property
    def cookie_header(self) -> str:
        value = self._headers.get(b"cookie")  # several lines, as HTTP/2 allows, are joined
        return value.decode("latin-1") if value is not None and len(value) <= MAX_HEADER else ""

    @property
    def has_unread_cookies(self) -> bool:
        # Several empty lines are joined by "; ".
        return not self.cookie_header and bool(self._headers.get(b"cookie", b"").strip(b"; "))


def _joined(headers: Iterable[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    """Join headers that have several lines."""
    lines: dict[bytes, list[bytes]] = {}
    for name, value in headers:
        lines.setdefault(name, []).append(value)
    return {
        name: values[0]
        if len(values) == 1 or name in _SINGLE or (name == b"host" and len(set(values)) == 1)
        else (b"; " if name == b"cookie" else b", ").join(values)  # two different hosts make an invalid one
        for name, values in lines.items()
    }
