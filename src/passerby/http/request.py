"""Facts of a request, read from an ASGI scope, a WSGI environ, or the request object of any framework."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, MutableMapping
from functools import lru_cache
from typing import Any, TypeGuard
from urllib.parse import unquote_to_bytes

from ..errors import ValidationError
from ..values.app_values import wrap_read_errors
from .asgi_scope import ScopeRequest
from .request_info import FrameworkOrigin, Proxies, RequestInfo
from .route import keep_request
from .wsgi_environ import EnvironRequest

__all__ = [
    "HANDLED_KEY",
    "TRACKER_KEY",
    "EnvironRequest",
    "FrameworkOrigin",
    "Proxies",
    "RequestInfo",
    "ScopeRequest",
    "decode_query",
    "header_of",
    "is_local_host",
    "is_loopback",
    "read_request",
]

TRACKER_KEY = "passerby.tracker"  # the key of a request's tracker in the ASGI scope or the WSGI environ
HANDLED_KEY = "passerby.middleware"  # marks a request that an integration handles, so that a second one ignores it


@wrap_read_errors("request")
def read_request(request: Any) -> RequestInfo:
    """Read the facts of any framework's request.

    Takes an ASGI scope, a WSGI environ, or an object that carries one of them as `scope` (Starlette, FastAPI, Django
    under ASGI) or `environ` (Flask, Django under WSGI). Raises ValidationError for anything else.
    """
    if isinstance(request, RequestInfo):
        return request
    for native in (request, getattr(request, "scope", None), getattr(request, "environ", None)):
        if not _is_native(native):
            continue
        if native is not request:
            keep_request(native, request)
        if "type" in native and "headers" in native:
            return ScopeRequest(native)
        if "REQUEST_METHOD" in native:
            return EnvironRequest(native, is_decoded=hasattr(request, "META"))  # only Django's request has that
    raise ValidationError(
        f"found {type(request).__name__} where a request was expected: pass an ASGI scope, a WSGI environ, "
        "or the request object of Starlette, FastAPI, Django or Flask"
    )


def _is_native(value: object) -> TypeGuard[MutableMapping[str, Any]]:
    return isinstance(value, MutableMapping)


@lru_cache(maxsize=1024)
def is_local_host(host: str) -> bool:
    """Return whether plain http is normal for a host name or address.

    Loopback, private and link-local addresses, and names of a single label (`localhost`,
    `testserver`, `collector`), which only a local resolver knows.
    """
    name = host.strip().rstrip(".").lower()
    if not name or ("." not in name and ":" not in name):
        return True
    if name.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return False
    return address.is_loopback or address.is_private or address.is_link_local


def is_loopback(host: str) -> bool:
    """Return whether a host name or address is this machine's own."""
    name = host.strip().rstrip(".").lower()
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def decode_query(query_string: str) -> str:
    """Decode one layer of percent-encoding, except for delimiters of a query, as JavaScript's `decodeURI` does.

    The Engage SDK decodes a query twice, so passerby does too. Malformed escapes and invalid UTF-8 are left unchanged.
    """
    return _escapes.sub(_decode_escapes, query_string) if "%" in query_string else query_string


_escapes = re.compile("(?:%[0-9A-Fa-f]{2})+")


def _decode_escapes(found: re.Match[str]) -> str:
    text = unquote_to_bytes(found[0]).decode("utf-8", "surrogateescape")
    return "".join(f"%{_byte_of(ch):02X}" if ch in ";/?:@&=+$,#" or "\udc80" <= ch <= "\udcff" else ch for ch in text)


def _byte_of(character: str) -> int:
    """Return the byte of an ASCII character, or of a surrogate that represents a byte."""
    return ord(character) & 0xFF


def header_of(headers: Iterable[tuple[Any, Any]], name: str) -> list[str]:
    """Return the values of all headers of a name, from pairs of text or of bytes."""
    values: list[str] = []
    for key, value in headers:
        if len(key) == len(name) and _text(key).lower() == name:
            values.append(_text(value))
    return values


def _text(value: str | bytes) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else value
