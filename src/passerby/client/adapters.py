"""Detects a request that reaches a second integration through an adapter between ASGI and WSGI, such as a2wsgi.

An adapter builds a new scope or environ without the mark of the first integration. Only the context variable remains.
It is also set in requests that a handler makes to another app as a client, so the two requests are compared.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from ..http.request import HANDLED_KEY, TRACKER_KEY, RequestInfo
from .current import active, is_open
from .tracker import Tracker

_SOURCES = ("asgi.scope", "wsgi_environ")  # keys of the original scope and environ in a2wsgi; clients cannot set them
_COMPARED = ("host", "user-agent", "referer", "authorization")


def handled_tracker(request: RequestInfo) -> Tracker | None:
    """Return the tracker of a request that an integration handles already, or None if there is none.

    A scope or environ that an adapter has made from a handled request gets the mark too.
    """
    native = request.native
    if HANDLED_KEY in native:
        marked: Tracker | None = native.get(TRACKER_KEY)
        return marked
    outer = active.get()
    if outer is None or not is_open(outer):
        return None
    if not (_comes_from(native, outer) or _is_adapted(request, outer.session.request)):
        return None
    native[TRACKER_KEY] = outer
    native[HANDLED_KEY] = True
    return outer


def _comes_from(native: Mapping[str, Any], outer: Tracker) -> bool:
    while native.get(TRACKER_KEY) is not outer:
        source: object = next((native[name] for name in _SOURCES if name in native), None)
        if not isinstance(source, Mapping):
            return False
        native = cast("Mapping[str, Any]", source)
    return True


def _is_adapted(inner: RequestInfo, outer: RequestInfo | None) -> bool:
    """Return whether two requests of different protocols are the same request."""
    return (
        outer is not None
        and type(inner) is not type(outer)
        and inner.method == outer.method
        and inner.query_string == outer.query_string
        and inner.peer in (outer.peer, None)
        and all(inner.header(name) == outer.header(name) for name in _COMPARED)
        and _cookies_of(inner) == _cookies_of(outer)
        and _is_end(inner.path, outer.path)
    )


def _cookies_of(request: RequestInfo) -> set[str]:
    # Adapters join several Cookie headers with a comma.
    return {piece.strip() for piece in request.cookie_header.replace(",", ";").split(";")}


def _is_end(path: str, other: str) -> bool:
    """Return whether one path is the end of the other: mounting an app may remove the prefix or keep it."""
    shorter, longer = sorted((path.rstrip("/"), other.rstrip("/")), key=len)
    return longer.endswith(shorter) and (shorter == "" or shorter.startswith("/"))
