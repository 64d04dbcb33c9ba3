"""Decides which responses are pages that visitors see."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .policy import is_html
from .request import RequestInfo, header_of

_REDIRECTS = ("hx-redirect", "hx-location", "hx-refresh")  # HTMX then loads another page, or this one again
# Extensions of files that are no pages. A 304 response has no content type.
_FILES = frozenset(
    {"css", "js", "mjs", "map", "json", "xml", "rss", "atom", "txt", "csv", "pdf", "zip", "gz", "wasm", "webmanifest"}
    | {"png", "jpg", "jpeg", "gif", "svg", "webp", "avif", "ico", "woff", "woff2", "ttf", "otf", "eot"}
    | {"mp3", "mp4", "webm", "ogg", "wav"}
)


def may_be_page(status: int, headers: Iterable[tuple[Any, Any]]) -> bool:
    """Return whether a response with this status and these headers may be a page. Without a type it may be one."""
    headers = list(headers)
    return _is_shown(status) and (is_html(headers) or not header_of(headers, "content-type"))


def is_page(request: RequestInfo, status: int, headers: Iterable[tuple[Any, Any]]) -> bool:
    """Return whether a response shows a page to its visitor: HTML, or an Inertia page, and not a download.

    One that has not changed is shown out of the browser's cache. What has a script go elsewhere shows nothing itself.
    """
    headers = list(headers)
    if status == 304:  # its type may be missing, and some frameworks always set HTML
        return not _is_file(request.path) and (is_html(headers) or not header_of(headers, "content-type"))
    if not _is_shown(status) or _is_download(headers):
        return False
    if any(header_of(headers, name) for name in _REDIRECTS):
        return False
    return is_html(headers) or bool(request.header("x-inertia") and header_of(headers, "x-inertia"))


def _is_shown(status: int) -> bool:
    return 200 <= status < 300 and status not in (204, 205)  # the browser keeps the previous page for these


def _is_download(headers: Iterable[tuple[Any, Any]]) -> bool:
    """Return whether a browser saves a response as a file (RFC 6266, section 4.2): all but inline is an attachment."""
    kinds = [value.partition(";")[0].strip().lower() for value in header_of(headers, "content-disposition")]
    return bool(kinds) and kinds[-1] not in ("", "inline") and "=" not in kinds[-1]


def _is_file(path: str) -> bool:
    return path.rpartition("/")[2].rpartition(".")[2].lower() in _FILES if "." in path else False
