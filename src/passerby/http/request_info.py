"""What passerby knows of one request, whatever server hands it over."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, MutableMapping
from typing import Any, NamedTuple, Protocol

from .route import language_in, route_of
from .url import join_authority, read_authority, split_authority

MAX_HEADER = 16_384  # characters of one header that are looked at; longer ones are nobody's honest header
PATH_SAFE = "/!$&'()*+,;=:@[]|^"  # what browsers leave as it is in a path (WHATWG URL, path percent-encode set)


class Names(dict[str, Any]):
    """Header names in the form in which a kind of server has them, made once each, as few are asked for."""

    def __init__(self, form: Callable[[str], Any]) -> None:
        super().__init__()
        self._form = form

    def __missing__(self, name: str) -> Any:
        formed = self._form(name)
        if len(self) < 1000:
            self[name] = formed
        return formed


class Proxies(Protocol):
    """Reads what the visitor's browser asked for, behind whatever proxies are trusted."""

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


class Stated(NamedTuple):
    """What a framework's own settings say of the address that the visitor used; None where they say nothing.

    Attributes:
        scheme: http or https.
        authority: the host, with its port if there is one.
    """

    scheme: str | None = None
    authority: str | None = None


class RequestInfo(ABC):
    """What passerby knows of one request, whatever framework serves it.

    Attributes:
        is_websocket: whether this is the opening of a websocket.
        method: the HTTP method in upper case; a websocket counts as GET.
        path: the decoded path, beginning with a slash, with the prefix below which the app is mounted.
        app_path: the decoded path below that prefix (`root_path`, `SCRIPT_NAME`), as the app's routes know it.
        native: the ASGI scope or WSGI environ behind it.
        proxies: the proxies that are trusted in this request, once that is known.
        stated: what the framework's own settings say of scheme and host, if they say something.
        forwarded: what some proxies have read of it, and by which peer they went; only for themselves.
    """

    __slots__ = ("app_path", "forwarded", "is_websocket", "method", "native", "path", "proxies", "stated")

    is_websocket: bool
    method: str
    path: str
    app_path: str
    native: MutableMapping[str, Any]
    proxies: Proxies | None
    stated: Stated | None
    forwarded: tuple[Proxies, str | None, Any] | None

    def trust(self, proxies: Proxies) -> None:
        """Go by what these proxies forward; if none of these is trusted, by those that were trusted before."""
        if self.proxies is None or proxies.are_any:
            self.proxies = proxies

    def state_with(self, read: Callable[[RequestInfo], Stated | None]) -> None:
        """Read scheme and host with the framework's own settings."""
        self.stated = None
        self.stated = read(self)

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

    @property
    @abstractmethod
    def connected_peer(self) -> tuple[str | None, bool]:
        """The peer as it was before a middleware took the address in a forwarded header for it.

        With it, whether only that middleware knows: it has put the visitor's address in place of a peer it trusts.
        """

    @property
    @abstractmethod
    def server_authority(self) -> str:
        """The server's own name and port, for requests that name no host; empty if that is no public name."""

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
    def has_unread_cookies(self) -> bool:
        """Whether there is a Cookie header that is not read, because it is absurdly long."""

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
    def named_authority(self) -> str:
        """The host, with its port if there is one, that the request itself names; empty if that is none or invalid."""
        if self.stated is not None and self.stated.authority is not None:
            return self.stated.authority
        return read_authority(self.header("host") or "")

    @property
    def authority(self) -> str:
        """The public host, with its port if there is one: as trusted proxies say it, else as the request names it."""
        return self.named_authority if self.proxies is None else self.proxies.authority(self)

    @property
    def host(self) -> str:
        """The public host name without its port, in lower case; empty if the request names none."""
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
    """Read a header's value as UTF-8; where it is none, as latin-1, in which every byte is a character."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")


def server_authority_of(name: str, port: str, scheme: str) -> str:
    """Return the server's name and port, unless it is a placeholder, an address for all interfaces or a path."""
    if name in ("", "0.0.0.0", "::") or name.endswith(".invalid"):  # noqa: S104 - compared, not bound to
        return ""
    return join_authority(name, port, "https" if scheme in ("https", "wss") else "http")
