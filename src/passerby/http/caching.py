"""Reads from a response's headers whether a shared cache may store it (RFC 9111, RFC 9213).

Without caching headers a cache decides by itself whether it stores a response, together with its cookies. So a response
with a cookie must have `private`, unless it has `private` or `no-store` already.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Mapping, Sequence
from email.utils import parsedate_to_datetime
from typing import Any, Literal, NamedTuple

CacheControl = Literal["private", "override", "keep"]

_Pairs = Iterable[tuple[Any, Any]]

# One directive: everything up to a comma outside quotes. A quote without an end extends to the end of the header.
_pieces = re.compile(r'(?:[^,"]|"(?:[^"\\]|\\.)*"?)+', re.DOTALL).findall
_is_quoted_whole = re.compile(r'(?:[^"]|"(?:[^"\\]|\\.)*")*', re.DOTALL).fullmatch
_is_positive = re.compile(r'[ \t"]*0*[1-9]').match

_SHARING = frozenset({"public", "s-maxage", "immutable"})
_AGES = frozenset({"max-age", "stale-while-revalidate", "stale-if-error", "cache-maxage"})  # the last: Edge-Control

# Headers for a cache in front of the app, with the value that keeps this cache from storing the response.
_NEUTRAL = {"surrogate-control": "no-store", "edge-control": "no-store", "x-accel-expires": "0"}
_NEUTRAL["x-litespeed-cache-control"] = "no-cache"

# The last seven characters of the names of all caching headers. Most other headers end differently.
_ENDS, _BYTE_ENDS = frozenset({"control", "expires"}), frozenset({b"control", b"expires"})


class _Directive(NamedTuple):
    """One directive of a header.

    Attributes:
        name: in lower case.
        argument: as written, quotes included; None if there is none.
        text: the whole directive as written.
    """

    name: str
    argument: str | None
    text: str


class CacheHeaders(NamedTuple):
    """The caching headers of a response: the directives by header, and the dates of Expires."""

    directives: Mapping[str, Sequence[_Directive]]
    expires: Sequence[str]


_SILENT = CacheHeaders({}, ())


def may_be_shared(headers: _Pairs | CacheHeaders) -> bool:
    """Return whether the app declares that a shared cache may store and reuse a response (RFC 9111, section 3)."""
    if headers is _SILENT:  # the usual case
        return False
    return _may_be_shared(read_cache_headers(headers))


def is_protected(headers: _Pairs | CacheHeaders) -> bool:
    """Return whether the app itself forbids shared caches to store a response."""
    said = read_cache_headers(headers)
    return not _may_be_shared(said) and not _unprotected(said)


def protecting_headers(headers: _Pairs | CacheHeaders) -> dict[str, str]:
    """Return the headers to set, by lower-case name, so that no shared cache stores a response; often none.

    The app's directives are kept and `private` is added. Directives that allow sharing are removed, and those with a
    quote that has no end.
    """
    if headers is _SILENT:  # the usual case
        return {"cache-control": "private"}
    said = read_cache_headers(headers)
    protecting = {name: _with_private(said.directives.get(name, ())) for name in _unprotected(said)}
    for name, directives in said.directives.items():
        if name != "cache-control" and not _is_targeted(name) and _allows_sharing(name, directives):
            protecting[name] = _NEUTRAL.get(name, "private")
    return protecting


def read_cache_headers(headers: _Pairs | CacheHeaders) -> CacheHeaders:
    """Read the caching headers out of a response's headers, for several questions about them."""
    if isinstance(headers, CacheHeaders):
        return headers
    directives: dict[str, list[_Directive]] = {}
    expires: list[str] = []
    for key, value in headers:
        end = key[-7:].lower()
        if end not in (_BYTE_ENDS if isinstance(end, bytes) else _ENDS):
            continue
        name = _text(key).lower()
        if name == "expires":
            expires.append(_text(value))
        elif name in _NEUTRAL or name.endswith("cache-control"):
            directives.setdefault(name, []).extend(_parse(_text(value)))
    return CacheHeaders(directives, expires) if directives or expires else _SILENT


def _parse(value: str) -> list[_Directive]:
    parsed: list[_Directive] = []
    for piece in _pieces(value):
        name, equals, argument = piece.partition("=")
        if piece.strip():
            parsed.append(_Directive(name.strip().lower(), argument.strip() if equals else None, piece.strip()))
    return parsed


def _may_be_shared(said: CacheHeaders) -> bool:
    if not said.directives:
        return any(map(_is_in_future, said.expires))
    directives = said.directives.get("cache-control", ())
    if any(_allows_sharing(name, listed) for name, listed in said.directives.items()):
        return True
    if (
        _forbids_shared_caching(directives)
        or _bare(directives, "no-cache")
        or any(one.name == "max-age" for one in directives)
    ):
        return False  # each of them takes precedence over Expires
    return any(map(_is_in_future, said.expires))


def _allows_sharing(name: str, directives: Sequence[_Directive]) -> bool:
    """Return whether a header allows a shared cache to reuse the response."""
    if name == "x-accel-expires":
        return any(_is_accelerated(one.text) for one in directives)
    if _forbids_shared_caching(directives):
        return False
    if any(one.name in _SHARING for one in directives):
        return True
    return not _bare(directives, "no-cache") and any(
        one.name in _AGES and _is_positive(one.argument or "") is not None for one in directives
    )


def _unprotected(said: CacheHeaders) -> list[str]:
    """Return the names of the headers that need `private` before the response may carry a cookie.

    A cache with a targeted header of its own ignores Cache-Control (RFC 9213, section 2.2).
    """
    names = [name for name in said.directives if _is_targeted(name)]
    return [name for name in ("cache-control", *names) if not _forbids_shared_caching(said.directives.get(name, ()))]


def _is_targeted(name: str) -> bool:
    return name == "cdn-cache-control" or name.endswith("-cdn-cache-control")


def _forbids_shared_caching(directives: Sequence[_Directive]) -> bool:
    """Return whether shared caches must not store the response.

    With a list of fields `private` applies to those fields only. A cache that supports `must-understand` ignores a
    `no-store` next to it (RFC 9111, section 5.2.2.3).
    """
    if _bare(directives, "private"):
        return all(one.argument is None for one in directives if one.name == "private")
    return _bare(directives, "no-store") and not any(one.name == "must-understand" for one in directives)


def _bare(directives: Sequence[_Directive], name: str) -> bool:
    return any(one.name == name and one.argument is None for one in directives)


def _with_private(directives: Sequence[_Directive]) -> str:
    kept = [one for one in directives if one.name not in ("private", "public", "s-maxage")]
    # Text after a quote without an end would be part of the quoted text.
    return ", ".join([*(one.text for one in kept if _is_quoted_whole(one.text)), "private"])


def _is_accelerated(value: str) -> bool:
    """Return whether X-Accel-Expires makes nginx store the response: a number of seconds, or a time after "@"."""
    if not value.startswith("@"):
        return _is_positive(value) is not None
    until = value[1:].strip()
    return not until.isdecimal() or int(until[:15]) > time.time()


def _is_in_future(date: str) -> bool:
    try:
        return parsedate_to_datetime(date).timestamp() > time.time()
    except (ValueError, TypeError, OverflowError):
        return False


def _text(value: str | bytes) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else value
