"""Where a destination's calls go: which addresses are taken."""

from __future__ import annotations

import ipaddress
import os
from urllib.parse import urlsplit

from ..errors import SettingsError
from ..request import is_local_host, is_loopback

COLLECTOR_URL = "PASSERBY_COLLECTOR_URL"  # set by `passerby collect -- COMMAND`, for the command and all it starts


def collector_url() -> str | None:
    """Return the address that takes the place of all others, while an app runs beside a collector.

    Raises:
        SettingsError: it leads to another machine, where no collector of a developer is.
    """
    text = os.environ.get(COLLECTOR_URL, "").strip()
    if not text:
        return None
    wrong = SettingsError(
        f"{COLLECTOR_URL}: expected an http URL with a loopback address, such as http://127.0.0.1:8600; "
        "it is for development, where all events go to `passerby collect`. Unset it elsewhere"
    )
    try:
        url = _checked(text, wrong)
    except SettingsError:  # of whichever kind
        raise wrong from None
    if not is_loopback(urlsplit(url).hostname or ""):
        raise wrong
    return origin_of(url)


def checked_target(target_url: object, wrong: SettingsError | None = None) -> str:
    """Return an address without slashes at its end; the collector's, where the app runs beside one.

    Args:
        target_url: an http or https URL without query, fragment and user; http for hosts of this network only.
        wrong: what to raise if it is none.

    Raises:
        SettingsError: it is no such address.
    """
    checked = _checked(target_url, wrong)
    return collector_url() or checked


def checked_webhook(url: object, allow_private_addresses: bool) -> str:
    """Return the address of a webhook as it was given: its query and a slash at its end may mean something.

    Raises:
        SettingsError: it is no http or https URL, or leads to a private address where that is not allowed.
    """
    expected = "expected an https URL without fragment and user, such as https://shop.example/hooks/events"
    wrong = SettingsError(f"found something else, {expected}", setting="url")
    if not isinstance(url, str) or not url.isascii():
        raise wrong
    target, _, query = url.strip().partition("?")
    try:
        _checked(target, wrong)
    except SettingsError as error:
        raise error.spelled(lambda setting: "url") from None
    if any(character.isspace() or not character.isprintable() or character == "#" for character in query):
        raise wrong
    host = urlsplit(target).hostname or ""
    if not allow_private_addresses and (is_local_host(host) or not _is_public_literal(host)):
        raise SettingsError(
            "found an address of a private network or of this machine, expected a public one; "
            "set allow_private_addresses=True if that is what you mean",
            setting="url",
        )
    return url.strip()


_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_LOCAL_NAT64 = ipaddress.ip_network("64:ff9b:1::/48")  # RFC 8215; not every Python knows that it is local


def is_public_address(address: str) -> bool:
    """Whether an IP address is one of the public internet: no private, loopback, link-local or reserved one."""
    try:
        read = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(read, ipaddress.IPv6Address):
        # What leads to an IPv4 address is as public as that.
        inner = [read.ipv4_mapped, read.sixtofour, *(read.teredo or ())]
        if read in _NAT64:
            inner.append(ipaddress.IPv4Address(int(read) & 0xFFFFFFFF))
        if any(one is not None and not _is_public(one) for one in inner):
            return False
        if read.ipv4_mapped is not None or read in _NAT64:
            return True
        if read.is_site_local or read in _LOCAL_NAT64:
            return False
    return _is_public(read)


def _is_public(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    return address.is_global and not (address.is_multicast or address.is_reserved or address.is_unspecified)


def _is_public_literal(host: str) -> bool:
    """Whether a host is a name, which is looked at when it is connected to, or a public address."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return True
    return is_public_address(host)


def _checked(target_url: object, wrong: SettingsError | None) -> str:
    if wrong is None:
        expected = "expected an http(s) URL without query, fragment and user"
        wrong = SettingsError(f"found something else, {expected}", setting="target_url")
    if not isinstance(target_url, str) or any(ch.isspace() or not ch.isprintable() for ch in target_url.strip()):
        raise wrong
    try:
        parts = urlsplit(target_url.strip())
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise wrong from None
    if (
        parts.scheme not in ("http", "https")
        or not host
        or "%" in host
        or parts.query
        or parts.fragment
        or "@" in parts.netloc
    ):
        raise wrong
    if parts.scheme == "http" and not is_local_host(host):
        raise SettingsError(
            "found plain http to a public host, expected https; what visitors do is not for all to read",
            setting="target_url",
        )
    return target_url.strip().rstrip("/")


def origin_of(target: str) -> str:
    """Return the scheme, host and port of an address."""
    parts = urlsplit(target)
    return f"{parts.scheme}://{parts.netloc}"
