"""Trusted proxies in front of an app, and what their headers say of a visitor's address, scheme, host and path."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from types import MappingProxyType
from typing import NamedTuple

from ..errors import SettingsError
from .address import IPNetwork, parse_address, parse_network, read_address
from .forwarded import read_forwarded
from .request_info import MAX_HEADER, RequestInfo
from .url import join_authority, read_authority, split_authority

TRUSTED_HEADERS = (
    "x-forwarded-for",
    "x-forwarded-proto",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-prefix",
    "forwarded",
)
_MAX_HOPS = 100
_MAX_PREFIX = 1024  # characters
_SCHEMES = {"http": "http", "https": "https", "ws": "http", "wss": "https"}


_NOTHING: Mapping[str, str] = MappingProxyType({})


class _Chain(NamedTuple):
    """What the trusted proxies of one request say.

    Attributes:
        visitor: the visitor's address, if known.
        hops: the number of trusted proxies the request came through; 0 if its peer is not trusted.
        element: the element of the outermost of them in the header `Forwarded`.
    """

    visitor: str | None
    hops: int = 0
    element: Mapping[str, str] = _NOTHING


class TrustedProxies:
    """The proxies whose forwarded headers are trusted; by default none, since anyone can send such headers.

    Args:
        proxies: addresses and networks such as ``"10.0.0.0/8"``; ``"unix"`` for those that connect over a unix socket;
            ``"*"`` for every peer, but not for addresses in its headers. Or the number of proxies in a row, with any
            addresses.
        headers: the headers that these proxies write.

    Attributes:
        are_any: whether any proxy is trusted.
    """

    def __init__(self, proxies: Iterable[str] | int = (), headers: Iterable[str] = TRUSTED_HEADERS) -> None:
        listed: tuple[str, ...] = ()
        self._hops = 0
        if isinstance(proxies, int):
            self._hops = _checked_hops(proxies)
        else:
            listed = tuple(proxies)
        self._every_peer = "*" in listed
        self._unix = "unix" in listed
        self._networks = tuple(_network(text) for text in listed if text not in ("*", "unix"))
        self._headers = frozenset(map(_checked_header, headers))
        self.are_any: bool = bool(listed) or self._hops > 0
        self._is_listed = lru_cache(maxsize=1024)(self._is_in_networks)

    def scheme(self, request: RequestInfo) -> str:
        """Return the scheme the visitor used: http or https."""
        stated = request.framework_origin
        if stated is not None and stated.scheme is not None:
            return stated.scheme
        if self.are_any:
            chain = self._chain(request)
            if chain.hops:
                forwarded = self._header(request, "x-forwarded-proto").partition(",")[0] or chain.element.get("proto")
                scheme = _SCHEMES.get((forwarded or "").strip().lower())
                if scheme is not None:
                    return scheme
        return _SCHEMES.get(request.scheme, "http")

    def authority(self, request: RequestInfo) -> str:
        """Return the host, with its port if there is one, that the visitor used; empty if that is not known."""
        named = request.named_authority
        if not self.are_any or (
            request.framework_origin is not None and request.framework_origin.authority is not None
        ):
            return named
        chain = self._chain(request)
        if not chain.hops:
            return named
        forwarded = read_authority(self._outermost_value(request, "x-forwarded-host", chain))
        forwarded = forwarded or read_authority(chain.element.get("host", ""))
        host, port = split_authority(forwarded or named)
        said_port = self._outermost_value(request, "x-forwarded-port", chain)
        if not (forwarded and port) and is_port(said_port):
            # In a chain, an inner proxy may add its own port: no browser uses https on port 80.
            port = "" if said_port in ("80", "443") else said_port
        elif not forwarded:
            return named
        return join_authority(host, port, self.scheme(request))

    def path(self, request: RequestInfo) -> str:
        """Return the path the visitor used, percent-encoded, including prefixes that proxies have removed."""
        path = request.raw_path
        if not (self.are_any and "x-forwarded-prefix" in self._headers and request.header("x-forwarded-prefix")):
            return path
        chain = self._chain(request)
        prefix = self._outermost_value(request, "x-forwarded-prefix", chain).rstrip("/") if chain.hops else ""
        if not _is_prefix(prefix) or path == prefix or path.startswith(f"{prefix}/"):  # the server may know it itself
            return path
        return prefix + path

    def client_ip(self, request: RequestInfo) -> str | None:
        """Return the visitor's address: the last forwarded one that is not itself a trusted proxy, else the peer."""
        visitor = self._chain(request).visitor if self.are_any else request.peer
        return (read_address(visitor) or visitor) if visitor and ":" in visitor else visitor

    def _chain(self, request: RequestInfo) -> _Chain:
        known, peer = request.forwarded, request.peer
        if known is None or known[0] is not self or known[1] != peer:  # a middleware may have put another in its place
            known = request.forwarded = (self, peer, self._read(request))
        chain: _Chain = known[2]
        return chain

    def _read(self, request: RequestInfo) -> _Chain:
        peer, is_replaced = request.connected_peer
        if not (self._hops or self._every_peer or is_replaced or self._trusts_peer(peer)):
            return _Chain(request.peer)
        if is_replaced and not (self._hops or self._every_peer or self._trusts_peer(peer)):
            # The server believes its peer, and has read the list of addresses itself.
            return _Chain(peer, *self._hops_to(peer, request))
        return self._walk(peer, *self._addresses(request))

    def _walk(self, peer: str | None, addresses: Sequence[str], elements: Sequence[Mapping[str, str]]) -> _Chain:
        """Follow the chain from the nearest proxy towards the visitor, as long as each hop is trusted."""
        visitor, hops = peer, 1
        for address in reversed(addresses):
            read = read_address(address)
            if read is None:  # "unknown", or a name that a proxy keeps to itself
                break
            visitor = read
            if hops == self._hops or not (self._hops or self._is_listed(read)):
                break
            hops += 1
        return _Chain(visitor, hops, elements[-min(hops, len(elements))] if elements else _NOTHING)

    def _hops_to(self, visitor: str | None, request: RequestInfo) -> tuple[int, Mapping[str, str]]:
        addresses, elements = self._addresses(request)
        read = [read_address(address) for address in reversed(addresses)]
        hops = read.index(visitor) + 1 if visitor in read else 1
        return hops, elements[-min(hops, len(elements))] if elements else _NOTHING

    def _addresses(self, request: RequestInfo) -> tuple[Sequence[str], Sequence[Mapping[str, str]]]:
        """Return the forwarded addresses, the visitor's first, and the elements of `Forwarded` if that is the source.

        Proxies pass on headers that they do not write unchanged, so only one of the two headers is read.
        """
        listed = self._header(request, "x-forwarded-for")
        if listed:
            return _items(listed), ()
        elements = read_forwarded(self._header(request, "forwarded"))
        return [element.get("for", "unknown") for element in elements], elements

    def _outermost_value(self, request: RequestInfo, name: str, chain: _Chain) -> str:
        """Return the value set by the outermost trusted proxy. Each proxy adds to a list, or replaces the header."""
        items = _items(self._header(request, name))
        return items[-min(chain.hops, len(items))] if items else ""

    def _header(self, request: RequestInfo, name: str) -> str:
        return (request.header(name) or "") if name in self._headers else ""

    def _trusts_peer(self, peer: str | None) -> bool:
        if peer is None or parse_address(peer) is None:  # servers write a unix socket's peer as nothing or as a name
            return self._unix
        return self._is_listed(peer)

    def _is_in_networks(self, address: str) -> bool:
        ip = parse_address(address)
        return ip is not None and any(ip in network for network in self._networks)


def is_port(text: str) -> bool:
    """Return whether a text is the number of a port."""
    return len(text) <= 5 and text.isascii() and text.isdecimal() and 0 < int(text) < 65_536


def _items(header: str) -> list[str]:
    """Return the items of a list. Of an overlong list, return the last ones, which the nearest proxies added."""
    items = header[-MAX_HEADER:].split(",")
    return [item.strip() for item in (items if len(header) <= MAX_HEADER else items[1:]) if item.strip()]


def _is_prefix(prefix: str) -> bool:
    is_path = prefix.startswith("/") and not prefix.startswith("//") and len(prefix) <= _MAX_PREFIX
    return is_path and prefix.isascii() and prefix.isprintable() and not set(prefix) & set(' "<>?#\\')


def _checked_hops(number: int) -> int:
    if isinstance(number, bool) or not 0 <= number <= _MAX_HOPS:
        raise SettingsError(
            f"found {number!r}, expected the number of proxies, from 0 to {_MAX_HOPS}", setting="trusted_proxies"
        )
    return number


def _checked_header(name: str) -> str:
    if name.lower() not in TRUSTED_HEADERS:
        raise SettingsError(
            f"found {name!r}, expected some of {', '.join(TRUSTED_HEADERS)}", setting="trusted_proxy_headers"
        )
    return name.lower()


def _network(text: str) -> IPNetwork:
    network = parse_network(text)
    if network is None:
        raise SettingsError(
            f'found {text!r}, expected an address, a network such as "10.0.0.0/8", "unix", or "*"',
            setting="trusted_proxies",
        )
    return network
