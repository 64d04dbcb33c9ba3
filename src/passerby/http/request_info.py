"""The facts of one request, independent of server and framework."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, MutableMapping
from typing import Any, NamedTuple, Protocol

from .route import LANGUAGE_KEY, language_in, route_of
from .url import join_authority, read_authority, split_authority

MAX_HEADER = 16_384  # characters of one header that are read; browsers send no longer ones
PATH_SAFE = "/!$&'()*+,;=:@[]|^"  # characters that browsers do not escape in a path (WHATWG URL standard)


class HeaderNames(dict[str, Any]):
    """A cache of header names in the form used by a kind of server."""

    def __init__(self, form: Callable[[str], Any]) -> None:
        super().__init__()
        self._form = form

    def __missing__(self, name: str) -> Any:
        formed = self._form(name)
        if len(self) < 1000:
            self[name] = formed
        return formed


class Proxies(Protocol):
    """Reads what the visitor's browser requested, from the headers of trusted proxies."""

    @property
    def are_any(self) -> bool:
        """Whether any proxy is trusted."""
        ...

    def scheme(self, request: RequestInfo) -> str:
        """Return the scheme the visitor used: http or https."""
        ...

    def authority(self, request: RequestInfo) -> str:
        """Return the host, with its port if there is one, that the visitor used; empty if that is not known."""
        ...

    def path(self, request: RequestInfo) -> str:
        """Return the path the visitor used, percent-encoded."""
        ...

    def client_ip(self, request: RequestInfo) -> str | None:
        """Return the visitor's address."""
        ...


class FrameworkOrigin(NamedTuple):
    """Scheme and host of the visitor's URL according to the framework's settings; None if they do not define it.

    Attributes:
        scheme: http or https.
        authority: the host, with its port if there is one.
    """

    scheme: str | None = None
    authority: str | None = None


class RequestInfo(ABC):
    """The facts of one request, for any framework.

    Attributes:
        is_websocket: whether this is a websocket handshake.
        method: the HTTP method in upper case; a websocket counts as GET.
        path: the decoded path, beginning with a slash, with the prefix below which the app is mounted.
        app_path: the decoded path below that prefix (`root_path`, `SCRIPT_NAME`), as the app's routes know it.
        native: the ASGI scope or WSGI environ behind it.
        proxies: the proxies that are trusted in this request, once known.
        framework_origin: scheme and host according to the framework's settings, if they define it.
        forwarded: a cache for `TrustedProxies`.
    """

    __slots__ = ("app_path", "forwarded", "framework_origin", "is_websocket", "method", "native", "path", "proxies")

    is_websocket: bool
    method: str
    path: str
    app_path: str
    native: MutableMapping[str, Any]
    proxies: Proxies | None
    framework_origin: FrameworkOrigin | None
    forwarded: tuple[Proxies, str | None, Any] | None

    def trust(self, proxies: Proxies) -> None:
        """Go by what these proxies forward; if none of these is trusted, by those that were trusted before."""
        if self.proxies is None or proxies.are_any:
            self.proxies = proxies

    def state_with(self, read: Callable[[RequestInfo], FrameworkOrigin | None]) -> None:
        """Read scheme and host with the framework's own settings."""
        self.framework_origin = None
        self.framework_origin = read(self)

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
        """The address of the connected peer, or None for a unix socket."""

    @property
    @abstractmethod
    def connected_peer(self) -> tuple[str | None, bool]:
        """The peer before a middleware replaced it by the address in a forwarded header.

        With it, whether only that middleware knows the peer: it has replaced a trusted peer by the visitor's address.
        """

    @property
    @abstractmethod
    def server_authority(self) -> str:
        """The server's name and port, for requests without a host; empty if the name is not public."""

    @abstractmethod
    def header(self, name: str) -> str | None:
        """Return the header of this name (any case), or None."""

    @abstractmethod
    def has_any_header(self, names: frozenset[str]) -> bool:
        """Return whether there is a header with any of these names (lower case), in a single operation."""

    @property
    @abstractmethod
    def cookie_header(self) -> str:
        """The raw Cookie header; several are joined; empty if there is none or if it is too long."""

    @property
    @abstractmethod
    def has_unread_cookies(self) -> bool:
        """Whether there is a Cookie header that is not read because it is too long."""

    @property
    @abstractmethod
    def raw_path(self) -> str:
        """The path as the browser wrote it, percent-encoded, with the prefix below which the app is mounted."""

    @property
    @abstractmethod
    def raw_query(self) -> str:
        """The query as the browser wrote it, all that is not ASCII percent-encoded."""

    @property
    def route(self) -> str | None:
        """The pattern of the matched route in the framework's syntax; None before routing, or without a route."""
        return route_of(self.native)

    @property
    def language(self) -> str | None:
        """The language the framework has chosen for the page; None if it has not, and after the request."""
        return language_in(self.native) if LANGUAGE_KEY in self.native else None

    @abstractmethod
    def detach(self) -> None:
        """Release the server's object after the request, and keep the facts.

        The object references the tracker, which references this: a cycle that would need the garbage collector.
        """

    @property
    def named_authority(self) -> str:
        """The host of the request itself, with its port if there is one; empty if there is none or it is invalid."""
        if self.framework_origin is not None and self.framework_origin.authority is not None:
            return self.framework_origin.authority
        return read_authority(self.header("host") or "")

    @property
    def authority(self) -> str:
        """The public host, with its port if there is one: from trusted proxies, else from the request."""
        return self.named_authority if self.proxies is None else self.proxies.authority(self)

    @property
    def host(self) -> str:
        """The public host name without its port, in lower case; empty if there is none."""
        return split_authority(self.authority)[0]

    @property
    def cookies(self) -> dict[str, str]:
        """All cookies by name, undecoded; of several with one name the first counts."""
        found: dict[str, str] = {}
        for piece in self.cookie_header.split(";"):
            name, _, value = piece.partition("=")
            found.setdefault(name.strip(), value.strip())
        return found


def header_text(value: bytes) -> str:
    """Decode a header's value as UTF-8, or if that fails as latin-1, which never fails."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")


def server_authority_of(name: str, port: str, scheme: str) -> str:
    """Return the server's name and port, or empty text for a placeholder, an address for all interfaces or a path."""
    if name in ("", "0.0.0.0", "::") or name.endswith(".invalid"):  # noqa: S104 - compared, not bound to
        return ""
    return join_authority(name, port, "https" if scheme in ("https", "wss") else "http")
