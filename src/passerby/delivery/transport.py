"""The one door to httpx: performs calls and gives back answers, or says in words why there is none.

httpcore's connection pool takes time that grows with the square of its connections, so each lane has a transport with a
single connection, and all share one SSL context (making one takes some 20 ms). The transports are used without
`httpx.AsyncClient`: it writes every URL to the log, and follows what it was not asked to.
"""

from __future__ import annotations

import asyncio
import ssl
from urllib.request import getproxies, proxy_bypass

import httpx

from ..destinations import Answer, Call
from ..version import __version__

USER_AGENT = f"passerby/{__version__}"
MAX_BODY = 1_000_000  # bytes of an answer that are read; the rest cannot be an answer to what we send
_KEEP_ALIVE = 30.0  # seconds; below the 60 at which common load balancers hang up


class NoAnswer(Exception):
    """There is no answer: the reason is a short text without URL, key or data."""

    def __init__(self, reason: str, timed_out: bool = False) -> None:
        self.timed_out = timed_out
        super().__init__(reason)


# From the most specific to the most general; the first that fits says the reason.
_REASONS: tuple[tuple[type[Exception], str], ...] = (
    (TimeoutError, "no answer in time"),
    (httpx.TimeoutException, "no answer in time"),
    (httpx.ProxyError, "proxy refused"),
    (httpx.ConnectError, "cannot connect"),
    (httpx.RemoteProtocolError, "answer is not HTTP or was cut off"),
    (httpx.DecodingError, "answer cannot be decoded"),
    (httpx.TransportError, "connection lost"),
    (httpx.InvalidURL, "URL is not valid"),
    (ssl.SSLError, "TLS failed"),
    (OSError, "connection lost"),
)


class Lane:
    """One connection to each origin that is called, kept alive between calls. Belongs to one event loop."""

    def __init__(self, ssl_context: ssl.SSLContext) -> None:
        self._ssl_context = ssl_context
        self._transports: dict[bytes, httpx.AsyncHTTPTransport] = {}

    async def perform(self, call: Call, timeout: float) -> Answer:
        """Perform a call within `timeout` seconds, body included. Raises NoAnswer."""
        try:
            async with asyncio.timeout(timeout):
                return await self._perform(call, timeout)
        except tuple(kind for kind, _ in _REASONS) as error:
            timed_out = isinstance(error, TimeoutError | httpx.TimeoutException)
            raise NoAnswer(_reason(error), timed_out) from None

    async def aclose(self) -> None:
        """Close the connection."""
        for transport in self._transports.values():
            await transport.aclose()
        self._transports.clear()

    async def _perform(self, call: Call, timeout: float) -> Answer:
        url = httpx.URL(call.url)
        request = httpx.Request(
            call.method,
            url,
            headers={"User-Agent": USER_AGENT, "Accept": "application/json", **call.headers},
            content=call.body,
            extensions={"timeout": {"connect": timeout, "read": timeout, "write": timeout, "pool": timeout}},
        )
        response = await self._transport_for(url).handle_async_request(request)
        try:
            body = await _read(response)
        finally:
            await response.aclose()
        return Answer(response.status_code, dict(response.headers), body)

    def _transport_for(self, url: httpx.URL) -> httpx.AsyncHTTPTransport:
        origin = url.raw_scheme + url.netloc
        if origin not in self._transports:
            self._transports[origin] = httpx.AsyncHTTPTransport(
                verify=self._ssl_context,
                limits=httpx.Limits(max_connections=1, max_keepalive_connections=1, keepalive_expiry=_KEEP_ALIVE),
                proxy=proxy_for(url.scheme, url.host),
            )
        return self._transports[origin]


def make_ssl_context() -> ssl.SSLContext:
    """Make the context that all lanes share: certificates and host names are verified."""
    return httpx.create_ssl_context()


def proxy_for(scheme: str, host: str) -> str | None:
    """Return the proxy that the environment names for a host (HTTPS_PROXY, NO_PROXY ...), if any."""
    proxies = getproxies()
    proxy = proxies.get(scheme) or proxies.get("all")
    if not proxy or proxy_bypass(host):
        return None
    return proxy if "://" in proxy else f"http://{proxy}"


async def _read(response: httpx.Response) -> bytes:
    pieces: list[bytes] = []
    size = 0
    async for piece in response.aiter_bytes():
        pieces.append(piece)
        size += len(piece)
        if size > MAX_BODY:
            raise httpx.DecodingError("too large")
    return b"".join(pieces)


def _reason(error: Exception) -> str:
    return next(reason for kind, reason in _REASONS if isinstance(error, kind))
