"""The scheme and host that the visitor used behind a proxy, according to Django's settings."""

from __future__ import annotations

from django.conf import settings

from ..http.proxies import is_port
from ..http.request import FrameworkOrigin, RequestInfo
from ..http.url import join_authority, read_authority, split_authority


def read_framework_origin(request: RequestInfo) -> FrameworkOrigin | None:
    """Return scheme and host as Django reads them, or None if its settings do not change those of the server.

    As in Django, SECURE_PROXY_SSL_HEADER, USE_X_FORWARDED_HOST and USE_X_FORWARDED_PORT trust every peer.
    """
    if not (settings.SECURE_PROXY_SSL_HEADER or settings.USE_X_FORWARDED_HOST or settings.USE_X_FORWARDED_PORT):
        return None
    scheme = _scheme(request)
    return FrameworkOrigin(scheme, _authority(request, scheme or request.scheme))


def _scheme(request: RequestInfo) -> str | None:
    if not settings.SECURE_PROXY_SSL_HEADER:
        return None
    name, secure_value = settings.SECURE_PROXY_SSL_HEADER
    said = request.header(name.removeprefix("HTTP_").replace("_", "-"))
    if said is None:
        return None
    return "https" if said.partition(",")[0].strip() == secure_value else "http"


def _authority(request: RequestInfo, scheme: str) -> str | None:
    forwarded = read_authority(request.header("x-forwarded-host") or "") if settings.USE_X_FORWARDED_HOST else ""
    host, port = split_authority(forwarded or request.named_authority)
    said_port = (request.header("x-forwarded-port") or "").strip() if settings.USE_X_FORWARDED_PORT else ""
    if host and is_port(said_port) and not port:
        return join_authority(host, said_port, "https" if scheme in ("https", "wss") else "http")
    return forwarded or None
