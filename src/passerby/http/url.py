"""Parses and cleans parts of URLs: validates hosts, keeps paths as written, truncates, removes user information."""

from __future__ import annotations

import ipaddress
import re
import string
from functools import lru_cache
from urllib.parse import quote, unquote_to_bytes

_MAX_AUTHORITY = 261  # characters: a host name of 255 (RFC 1035), a colon and a port
_PRINTABLE = string.ascii_letters + string.digits + string.punctuation

_authority = re.compile(
    r"(?:([A-Za-z0-9_.-]+)|\[([0-9A-Fa-f:.]+)(?:%[\w.~%-]+)?\])(?::([0-9]{0,5}))?", re.ASCII
).fullmatch
_is_printable = re.compile(rb"[!-~]*").fullmatch
_is_plain = re.compile(r"[!-$&-?A-~]*").fullmatch  # printable ASCII without % and @: most URLs
_origin = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^/?#]*").match
_escapes_at_end = re.compile(r"(?:%[0-9A-Fa-f]{2}){1,3}\Z").search

# Browsers read backslashes as slashes, and take any number of them, or none, between scheme and host.
_before_host = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[/\\]+|(?:https?|wss?|ftp):|[/\\]{2,}", re.IGNORECASE).match
_host_end = re.compile(r"[/\\?#]").search
_user_info = re.compile(r".*(?:@|%(?:25)*40)", re.DOTALL | re.IGNORECASE).match
_has_bad_port = re.compile(r"[^\[]*:.*[^0-9\]].*", re.DOTALL).fullmatch
_inner_user_info = re.compile(r"(?<=[/\\]{2})[^/\\?#\s]+@")


@lru_cache(maxsize=1024)
def read_authority(text: str) -> str:
    """Return a host with its port as written in a Host header, or empty text if it is not valid.

    User information, spaces, control characters and the like make it invalid.
    """
    text = text.strip(" \t")
    found = _authority(text) if len(text) <= _MAX_AUTHORITY else None
    if found is None:
        return ""
    name, address, port = found.groups()
    if port and int(port) > 65_535:
        return ""
    if address is None:
        return text.rstrip(":") if name.strip(".-_") else ""
    try:
        ipaddress.IPv6Address(address)
    except ValueError:
        return ""
    return f"[{address}]:{port}" if port else f"[{address}]"  # a zone means something on the visitor's machine only


@lru_cache(maxsize=1024)
def split_authority(authority: str) -> tuple[str, str]:
    """Return the host name in lower case, an IPv6 address without brackets, and the port or empty text."""
    if authority.startswith("["):
        name, _, port = authority[1:].partition("]")
        return name.lower(), port[1:]
    name, _, port = authority.partition(":")
    return name.lower(), port


def join_authority(host: str, port: str, scheme: str) -> str:
    """Return host and port as in a URL: without the scheme's default port, IPv6 in brackets."""
    if ":" in host and not host.startswith("["):
        host = f"[{host}]"
    is_usual = port in ("", {"http": "80", "https": "443"}.get(scheme))
    return read_authority(host if is_usual else f"{host}:{port}")


def path_in(target: str) -> str:
    """Return the path of a request target, which may be a whole URL in a request to a proxy."""
    if not target.startswith("/"):
        found = _origin(target)
        if found is not None:
            rest = target[found.end() :]
            target = rest if rest.startswith("/") else f"/{rest}"
    return target.partition("?")[0].partition("#")[0]


def escape(written: bytes) -> str:
    """Return a part of a URL as text: bytes that are not printable ASCII are escaped, the rest is kept."""
    return written.decode("ascii") if _is_printable(written) else quote(written, safe=_PRINTABLE)


def clean(url: str) -> str:
    """Return a URL without user information, with everything but printable ASCII escaped as UTF-8."""
    return url if _is_plain(url) else escape(without_user_info(url).encode("utf-8", "replace"))


def cut(text: str, limit: int) -> str:
    """Truncate a URL or a part of one to a length, without cutting an escape or a character."""
    if len(text) <= limit:
        return text
    text = _without_broken_escape(text[:limit])
    found = _escapes_at_end(text)
    if found is not None:
        text = _without_broken_escape(text[: len(text) - 3 * _unfinished(unquote_to_bytes(found[0]))])
    return text[:-1] if "\ud800" <= text[-1:] <= "\udbff" else text


def _without_broken_escape(text: str) -> str:
    while (broken := text.rfind("%", max(0, len(text) - 2))) >= 0:
        text = text[:broken]
    return text


def _unfinished(end: bytes) -> int:
    """Return the number of bytes at the end that begin an incomplete UTF-8 character."""
    for number, byte in enumerate(reversed(end), 1):
        if byte & 0xC0 != 0x80:
            needed = 4 if byte >= 0xF0 else 3 if byte >= 0xE0 else 2 if byte >= 0xC0 else 1
            return number if needed > number else 0
    return 0


def without_user_info(url: str) -> str:
    """Return a URL without user name and password, in any spelling, also in a URL inside its path."""
    if "@" not in url and "%40" not in url and "%25" not in url:
        return url
    url = url.translate(_IGNORED).strip()
    start = _before_host(url)
    at = start.end() if start is not None else 0
    end = _host_end(url, at)
    end_at = end.start() if end is not None else len(url)
    authority = url[at:end_at]
    found = _user_info(authority)
    if found is None and start is not None and _has_bad_port(authority):
        found = _user_info(url[at:])  # a slash in the password: what looks like the port is its beginning
    if found is not None and (start is not None or "@" in authority):
        url = url[:at] + url[at + found.end() :]
    return _inner_user_info.sub("", url) if "@" in url else url


_IGNORED = {ord(character): None for character in "\t\r\n"}  # browsers leave them out wherever they stand in a URL
