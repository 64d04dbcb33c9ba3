"""Settings that all destinations have: the target URL and the name."""

from __future__ import annotations

import ipaddress
import os
import re
from urllib.parse import urlsplit

from ..errors import SettingsError
from ..http.request import is_local_host, is_loopback

COLLECTOR_URL = "PASSERBY_COLLECTOR_URL"  # set by `passerby collect -- COMMAND`, for the command and its children


def collector_url() -> str | None:
    """Return the address that replaces all others while an app is run by a collector, or None.

    Raises:
        SettingsError: it is not an address of this machine.
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
    except SettingsError:  # of any kind
        raise wrong from None
    if not is_loopback(urlsplit(url).hostname or ""):
        raise wrong
    return origin_of(url)


MAX_NAME = 64  # characters of a destination's name, which is part of statistics and log lines
_MAX_URL = 2000
_MAX_HOST = 254  # with a dot at the end (RFC 1035)

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_is_label = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?", re.ASCII).fullmatch
_is_number = re.compile(r"\d+|0x[0-9a-f]*", re.ASCII).fullmatch  # which a resolver reads as part of an address
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_LOCAL_NAT64 = ipaddress.IPv6Network("64:ff9b:1::/48")  # RFC 8215; some Python versions do not treat it as local
# Addresses of cloud metadata services, in addition to the link-local ones. They give a machine its secrets.
_METADATA = frozenset(map(ipaddress.ip_address, ("100.100.100.200", "192.0.0.192", "fd00:ec2::254", "fd20:ce::254")))
_METADATA_NAMES = frozenset(
    {"metadata", "metadata.google.internal", "metadata.goog", "instance-data", "instance-data.ec2.internal"}
)


def checked_name(name: object) -> str:
    """Return a destination's name. Raises SettingsError unless it is short printable text."""
    if not isinstance(name, str):
        raise SettingsError(f"found {type(name).__name__}, expected text", setting="name")
    if not (0 < len(name) <= MAX_NAME and name.isprintable() and name == name.strip()):
        raise SettingsError(
            f"expected printable text of 1 to {MAX_NAME} characters without blanks around it", setting="name"
        )
    return name


def checked_switch(value: object, setting: str) -> bool:
    """Return a setting that is True or False. Raises SettingsError for anything else."""
    if isinstance(value, bool):
        return value
    raise SettingsError(f"found {type(value).__name__}, expected True or False", setting=setting)


def checked_target(target_url: object, wrong: SettingsError | None = None) -> str:
    """Return an address without slashes at its end, or the collector's if the app is run by one.

    Args:
        target_url: an http or https URL without query, fragment and user; http for hosts of this network only. Not a
            link-local address and not that of a cloud's metadata.
        wrong: the error to raise if it is missing.

    Raises:
        SettingsError: the address is not valid.
    """
    checked = _checked(target_url, wrong)
    return collector_url() or checked


def checked_webhook(url: object, allow_private_addresses: bool) -> str:
    """Return the address of a webhook unchanged, since its query and a slash at its end may be significant.

    Raises:
        SettingsError: it is not an http or https URL, or it is a private address and that is not allowed.
    """
    expected = "expected an https URL without fragment and user, such as https://shop.example/hooks/events"
    wrong = SettingsError(f"found something else, {expected}", setting="url")
    if not isinstance(url, str) or not url.isascii() or len(url) > _MAX_URL:
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


def is_public_address(address: str) -> bool:
    """Return whether an IP address is public: not private, loopback, link-local or reserved."""
    try:
        read = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(read, ipaddress.IPv6Address):
        # An IPv6 address that contains an IPv4 address is as public as that one.
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
    """Return whether a host is a public address, or a name, whose address is checked when it is connected to."""
    try:
        address = ipaddress.ip_address(host.rstrip("."))
    except ValueError:
        return True
    return is_public_address(str(address))


def _checked(target_url: object, wrong: SettingsError | None) -> str:
    if wrong is None:
        expected = "expected an http(s) URL without query, fragment and user"
        wrong = SettingsError(f"found something else, {expected}", setting="target_url")
    if not isinstance(target_url, str):
        raise wrong
    text = target_url.strip()
    if len(text) > _MAX_URL or not text.isprintable() or any(ch.isspace() or ch in "?#\\" for ch in text):
        raise wrong
    if not text.isascii():
        raise SettingsError(
            "found letters beyond ASCII, expected the host as DNS has it (xn--...) and a path with escapes",
            setting="target_url",
        )
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise wrong from None
    if parts.scheme not in ("http", "https") or not host or "@" in parts.netloc:
        raise wrong
    if port == 0 or parts.netloc.endswith(":") or not _is_reachable_form(host):
        raise wrong
    if _is_of_metadata(host):
        raise SettingsError(
            "found an address at which a cloud keeps secrets of this machine, or one of the link only; "
            "expected that of the service",
            setting="target_url",
        )
    if parts.scheme == "http" and not is_local_host(host):
        raise SettingsError(
            "found plain http to a public host, expected https, which protects the visitors' data",
            setting="target_url",
        )
    return text.rstrip("/")


def _address_of(host: str) -> _Address | None:
    try:
        address = ipaddress.ip_address(host.rstrip("."))
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv4Address):
        return address
    within = ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF) if address in _NAT64 else None
    return address.ipv4_mapped or address.sixtofour or within or address


def _is_reachable_form(host: str) -> bool:
    """Return whether a host is an address or a name in its usual form, not a number that resolvers accept."""
    if _address_of(host) is not None:
        return "%" not in host
    labels = host.removesuffix(".").split(".")
    return len(host) <= _MAX_HOST and all(map(_is_label, labels)) and _is_number(labels[-1]) is None


def _is_of_metadata(host: str) -> bool:
    address = _address_of(host)
    if address is None:
        return host.rstrip(".") in _METADATA_NAMES
    return address.is_link_local or address.is_multicast or address in _METADATA


def origin_of(target: str) -> str:
    """Return the scheme, host and port of an address."""
    parts = urlsplit(target)
    return f"{parts.scheme}://{parts.netloc}"
