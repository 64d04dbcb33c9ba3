"""The only module that uses httpx and the network: performs requests, and translates errors to short reasons.

Each concurrent sender has its own connections, since the cost of a shared pool grows with the square of its
connections. All share one SSL context, as making one takes about 20 ms. If the environment sets a proxy, httpx is used
for it; all other connections are direct. `httpx.AsyncClient` is not used: it logs every URL, and follows redirects.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable
from typing import Protocol
from urllib.parse import SplitResult, urlsplit
from urllib.request import getproxies, proxy_bypass

import httpx

from ..destinations import DestinationResponse, OutgoingRequest
from ..destinations.target import collector_url
from ..version import __version__
from .connecting import PrivateAddress
from .dry_run import dry_run_mode
from .errors import DeliveryError
from .gil import GilHoldingSSLObject
from .http_stream import MAX_BODY, MAX_PIECES, HttpStream, ProtocolError, RemoteProtocolError

USER_AGENT = f"passerby/{__version__}"
_HEADERS = {"User-Agent": USER_AGENT, "Accept": "application/json"}
_KEEP_ALIVE = 30.0  # seconds; common load balancers close connections after 60


class TransportError(DeliveryError):
    """A request got no response. The message is a short reason without URL, key or data."""

    def __init__(self, reason: str, timed_out: bool = False) -> None:
        self.timed_out = timed_out
        super().__init__(reason)


# From the most specific to the most general; the first match gives the reason.
_REASONS: tuple[tuple[type[Exception], str], ...] = (
    (PrivateAddress, "host has no public address, and allow_private_addresses is not set"),
    (httpx.TimeoutException, "no answer in time"),
    (TimeoutError, "no answer in time"),
    (ssl.SSLCertVerificationError, "certificate not accepted"),
    (ssl.SSLError, "TLS failed"),
    (socket.gaierror, "host name not found"),
    (UnicodeError, "host name is not valid"),
    (ConnectionRefusedError, "connection refused"),
    (httpx.ProxyError, "proxy refused"),
    (httpx.ConnectError, "cannot connect"),
    (httpx.RemoteProtocolError, "answer is not HTTP or was cut off"),
    (RemoteProtocolError, "answer is not HTTP or was cut off"),
    (httpx.DecodingError, "answer cannot be decoded"),
    (httpx.TransportError, "connection lost"),
    (httpx.InvalidURL, "URL is not valid"),
    (ProtocolError, "call cannot be written as HTTP"),
    (OSError, "connection lost"),
)
_TIMEOUTS = (TimeoutError, httpx.TimeoutException)


class _OriginConnection(Protocol):
    """A connection to one origin."""

    async def perform(self, call: OutgoingRequest, target: str) -> DestinationResponse: ...
    async def aclose(self) -> None: ...


class Connection:
    """One connection to each origin, kept alive between requests. Belongs to one event loop.

    Args:
        get_ssl_context: returns the context that verifies certificates; called only for TLS.
    """

    def __init__(self, get_ssl_context: Callable[[], ssl.SSLContext]) -> None:
        self._get_ssl_context = get_ssl_context
        self._collector = collector_url()
        self._ways: dict[tuple[str, str, bool], _OriginConnection] = {}

    async def perform(self, call: OutgoingRequest, timeout: float) -> DestinationResponse:
        """Perform a request within `timeout` seconds, including the response body. Raises TransportError."""
        url = urlsplit(call.url)
        if self._collector is not None:  # also for custom destinations, which have other addresses
            url = urlsplit(self._collector)._replace(path=url.path, query=url.query)
        if dry_run_mode.blocks(url.geturl()):
            raise TransportError("nothing is sent in a dry run")
        public_only = call.public_only and self._collector is None
        way = self._ways.get((url.scheme, url.netloc, public_only))
        if way is None:
            way = self._ways[url.scheme, url.netloc, public_only] = self._make_way(url, public_only)
        try:
            async with asyncio.timeout(timeout):
                return await way.perform(call, f"{url.path or '/'}?{url.query}" if url.query else url.path or "/")
        except tuple(kind for kind, _ in _REASONS) as error:
            raise TransportError(_reason(error), isinstance(error, _TIMEOUTS)) from None

    async def aclose(self) -> None:
        """Close the connections at once."""
        for way in self._ways.values():
            await way.aclose()
        self._ways.clear()

    def _make_way(self, url: SplitResult, public_only: bool) -> _OriginConnection:
        proxy = proxy_for(url.scheme, url.hostname or "")
        if proxy is None:
            return HttpStream(url, _HEADERS, self._ssl_context() if url.scheme == "https" else None, public_only)
        # The proxy resolves the name, so the proxy has to refuse private addresses.
        context = self._ssl_context()
        try:
            return _ProxyConnection(proxy, context)
        except Exception:  # several in httpx: an invalid URL, or a kind of proxy that needs another package
            raise TransportError("the proxy set in the environment cannot be used") from None

    def _ssl_context(self) -> ssl.SSLContext:
        try:
            return self._get_ssl_context()
        except (OSError, ValueError):  # for example SSL_CERT_FILE is not a file of certificates
            raise TransportError("TLS cannot be set up") from None


class _ProxyConnection:
    """A connection through a proxy."""

    def __init__(self, proxy: str, ssl_context: ssl.SSLContext) -> None:
        limits = httpx.Limits(max_connections=1, max_keepalive_connections=1, keepalive_expiry=_KEEP_ALIVE)
        self._transport = httpx.AsyncHTTPTransport(verify=ssl_context, limits=limits, proxy=proxy)

    async def perform(self, call: OutgoingRequest, target: str) -> DestinationResponse:
        request = httpx.Request(call.method, call.url, headers={**_HEADERS, **call.headers}, content=call.body)
        try:
            response = await self._transport.handle_async_request(request)
            try:
                body = await _read(response)
            finally:
                await response.aclose()
        except BaseException:  # a tunnel whose TLS handshake failed would block the only connection
            await self._transport.aclose()
            raise
        return DestinationResponse(response.status_code, dict(response.headers), body)

    async def aclose(self) -> None:
        await self._transport.aclose()


def make_ssl_context() -> ssl.SSLContext:
    """Make the context that all connections share. It verifies certificates and host names."""
    context = httpx.create_ssl_context()
    context.sslobject_class = GilHoldingSSLObject
    return context


def proxy_for(scheme: str, host: str) -> str | None:
    """Return the proxy set in the environment for a host (HTTPS_PROXY, NO_PROXY ...), if any."""
    proxies = getproxies()
    proxy = proxies.get(scheme) or proxies.get("all")
    if not proxy or proxy_bypass(host):
        return None
    return proxy if "://" in proxy else f"http://{proxy}"


async def _read(response: httpx.Response) -> bytes:
    pieces: list[bytes] = []
    size = 0
    # Not decompressed: we do not request compression, and a small compressed body may expand to a huge one.
    async for piece in response.aiter_raw():
        pieces.append(piece)
        size += len(piece)
        if size > MAX_BODY or len(pieces) > MAX_PIECES:  # not a usual response; its status is enough
            return b""
    return b"".join(pieces)


def _reason(error: Exception) -> str:
    return next(reason for kind, reason in _REASONS if isinstance(error, kind))
