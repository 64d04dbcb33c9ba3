"""Parses IP addresses as servers and proxies write them, and normalises each to one form."""

from __future__ import annotations

import ipaddress
from functools import lru_cache

_MAX_ADDRESS = 100  # characters: an IPv6 address with zone, brackets, port and quotes takes fewer
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")  # RFC 6052: the IPv4 address is in the last 32 bits

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
IPNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network


def read_address(text: str) -> str | None:
    """Return an address in its shortest form, or None if the text is not an address.

    Quotes, brackets, a port and a zone are removed. An IPv4 address inside an IPv6 one (``::ffff:`` and ``64:ff9b::``)
    becomes the IPv4 address, which is what servers without IPv6 see of the same visitor.
    """
    return _read(text) if len(text) <= _MAX_ADDRESS else None


def parse_address(text: str) -> IPAddress | None:
    """Return the address that `read_address` returns, as an object."""
    text = text.strip(' \t"')
    if text.startswith("["):  # [2001:db8::1]:443
        text, _, port = text[1:].partition("]")
        if port and not port.startswith(":"):
            return None
    elif text.count(":") == 1:  # 192.0.2.1:443
        text = text.partition(":")[0]
    try:
        ip = ipaddress.ip_address(text.partition("%")[0])  # fe80::1%eth0
    except ValueError:
        return None
    return _without_wrapper(ip)


def parse_network(text: str) -> IPNetwork | None:
    """Return a network, or an address as a network of one; None if the text is neither."""
    address, slash, length = text.strip().partition("/")
    try:
        network = ipaddress.ip_network(address.partition("%")[0] + slash + length, strict=False)
    except ValueError:
        return None
    first = _without_wrapper(network.network_address)
    if network.version == 6 and first.version == 4 and network.prefixlen >= 96:
        return ipaddress.IPv4Network((first, network.prefixlen - 96))
    return network


def _without_wrapper(ip: IPAddress) -> IPAddress:
    if isinstance(ip, ipaddress.IPv4Address):
        return ip
    if ip.ipv4_mapped is not None:
        return ip.ipv4_mapped
    return ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF) if ip in _NAT64 else ip


@lru_cache(maxsize=1024)
def _read(text: str) -> str | None:
    ip = parse_address(text)
    return None if ip is None else str(ip)
