"""The proxies in front of an app: whose word on a visitor's address and scheme is taken."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

from .errors import SettingsError
from .request import MAX_HEADER, RequestInfo


class TrustedProxies:
    """The proxies whose forwarded headers are believed; by default none, since anyone can send such headers.

    Args:
        networks: addresses and networks such as ``"10.0.0.0/8"``; ``"*"`` believes every peer.
    """

    def __init__(self, networks: Iterable[str] = ()) -> None:
        listed = tuple(networks)
        self._everyone = "*" in listed
        self._networks = tuple(_network(text) for text in listed if text != "*")
        self._any = bool(listed)

    def scheme(self, request: RequestInfo) -> str:
        """Return the scheme the visitor used: http or https."""
        scheme = request.scheme
        if self._any and self._trusts(request.peer):
            forwarded = (request.header("x-forwarded-proto") or "").partition(",")[0].strip().lower()
            if forwarded in ("http", "https"):
                scheme = forwarded
        return "https" if scheme in ("https", "wss") else "http"

    def client_ip(self, request: RequestInfo) -> str | None:
        """Return the visitor's address: the last forwarded one that is not itself a trusted proxy, else the peer."""
        visitor = request.peer
        if not (self._any and self._trusts(visitor)):
            return visitor
        for hop in reversed((request.header("x-forwarded-for") or "")[:MAX_HEADER].split(",")):
            address = _address(hop.strip())
            if address is None:
                break
            visitor = address
            if not self._trusts(address):
                break
        return visitor

    def _trusts(self, address: str | None) -> bool:
        if self._everyone:
            return True
        if address is None:
            return False
        try:
            ip = ipaddress.ip_address(address)
        except ValueError:
            return False
        if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped:
            ip = ip.ipv4_mapped  # how a server that listens on both protocols sees an IPv4 peer
        return any(ip in network for network in self._networks)


def _network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise SettingsError(
            f'found {text!r}, expected an address, a network such as "10.0.0.0/8", or "*"', setting="trusted_proxies"
        ) from None


def _address(text: str) -> str | None:
    if text.startswith("["):  # [2001:db8::1]:443
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:  # 192.0.2.1:443
        text = text.partition(":")[0]
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return None
