"""What of a request travels with its events: page, campaign and visitor, without what must not be kept.

Of the query only campaign parameters stay, the address loses its last part unless the settings keep it, and every text
is cut to a bounded length where it enters.
"""

from __future__ import annotations

import ipaddress
import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal, TypeVar
from urllib.parse import parse_qsl, urlencode, urlsplit

from .event import Context, Event
from .proxies import TrustedProxies
from .request import RequestInfo, decode_query

if TYPE_CHECKING:
    from functools import _lru_cache_wrapper  # pyright: ignore[reportPrivateUsage]

T = TypeVar("T")
IpPolicy = Literal["truncate", "keep", "drop"]

_MAX_USER_AGENT = 512  # characters; longer ones are attacks on whoever parses them
_MAX_URL = 2048
_MAX_QUERY = 8192
_MAX_PARAMETERS = 200
_REMEMBERED = 512  # characters; what is longer comes once, and a thousand of it would be megabytes
_CLICK_IDS = frozenset({"gclid", "gbraid", "wbraid", "fbclid", "msclkid", "ttclid", "twclid", "li_fat_id", "dclid"})

_BYTE = r"(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)"
_ipv4 = re.compile(rf"({_BYTE}\.{_BYTE}\.{_BYTE})\.{_BYTE}", re.ASCII).fullmatch


def context_of(
    request: RequestInfo, proxies: TrustedProxies, ip_policy: IpPolicy = "truncate", bot: bool = False
) -> Context:
    """Read the context of a request.

    Args:
        request: the request.
        proxies: whose forwarded headers are believed.
        ip_policy: "truncate" sets the last byte of an IPv4 address and the last 80 bits of an IPv6 one to zero.
        bot: whether the visitor is a known bot.
    """
    header = request.header
    campaign, variant, kept = (
        _remembered(_read_query, request.query_string[:_MAX_QUERY]) if request.query_string else (None, None, "")
    )
    path = request.raw_path[:_MAX_URL]
    address = None if ip_policy == "drop" else proxies.client_ip(request)
    languages, referrer = header("accept-language"), header("referer")
    return Context(  # by position, which is the order of its fields and takes half the time
        truncate_ip(address) if ip_policy == "truncate" and address else address,
        (header("user-agent") or "")[:_MAX_USER_AGENT] or None,
        preferred_locale(languages[:_MAX_USER_AGENT]) if languages else None,
        _url(proxies.scheme(request), header("host") or "", path, kept),
        path,
        (_without_query(referrer[:_MAX_URL]) or None) if referrer else None,
        campaign,
        variant,
        bot,
    )


def truncate_ip(address: str) -> str | None:
    """Set the last byte of an IPv4 address, or the last 80 bits of an IPv6 one, to zero; None if it is no address."""
    found = _ipv4(address)  # by far the most, and `ipaddress` takes fifty times as long
    if found is not None:
        return f"{found[1]}.0"
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return None
    kept = 24 if ip.version == 4 else 48
    return str(ipaddress.ip_network(f"{ip}/{kept}", strict=False).network_address)


@lru_cache(maxsize=1024)
def preferred_locale(accept_language: str) -> str | None:
    """Return the first language of an Accept-Language header by weight, such as ``"en-GB"``; None for none or ``*``."""
    best: tuple[float, str] | None = None
    for piece in accept_language.split(","):
        tag, _, parameters = piece.strip().partition(";")
        weight = _weight(parameters)
        if re.fullmatch(r"[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*", tag) and weight > (best[0] if best else 0.0):
            best = (weight, tag)
    return best[1] if best else None


def language_of(locale: str | None) -> str | None:
    """Return the language of a locale in upper case: ``"EN"`` for ``"en-GB"``."""
    return locale.partition("-")[0].upper() if locale else None


def _remembered(read: _lru_cache_wrapper[T], text: str) -> T:
    """Read a text; what is longer than ordinary ones, or takes several bytes a character, is not remembered."""
    return read(text) if len(text) <= _REMEMBERED and text.isascii() else read.__wrapped__(text)


def page_of(path: str | None) -> str | None:
    """Return the page's name as the browser SDK gives it.

    That is the last part of the path, still percent-encoded, and ``"Home Page"`` at the root. Other than
    there, a slash at the end does not make the name empty.
    """
    if path is None:
        return None
    return path.rstrip("/").rpartition("/")[2] or "Home Page"


def own_data(event: Event) -> dict[str, Any]:
    """Return a copy of an event's data, without what was only taken from the request and stands in the context.

    The name of a page view's page stays.
    """
    data, context = dict(event.data), event.context
    if event.kind != "page_view" and data.get("page") is not None and data["page"] == page_of(context.path):
        del data["page"]
    if data.get("language") is not None and data["language"] == language_of(context.locale):
        del data["language"]
    return data


def external_referrer(context: Context, host: str) -> str | None:
    """Return the referrer if it is another site's page."""
    return (
        context.referrer if context.referrer and _remembered(_host_of, context.referrer) not in (None, host) else None
    )


@lru_cache(maxsize=1024)
def _host_of(url: str) -> str | None:
    try:
        return urlsplit(url).hostname
    except ValueError:
        return None


@lru_cache(maxsize=1024)
def _read_query(query: str) -> tuple[dict[str, str] | None, str | None, str]:
    """Return the campaign parameters, the page variant, and the part of the query that may be kept."""
    if not _worth_reading(query):
        return None, None, ""
    campaign: dict[str, str] = {}
    kept: list[tuple[str, str]] = []
    variant = None
    pairs = "&".join(decode_query(query).partition("#")[0].split("&", _MAX_PARAMETERS)[:_MAX_PARAMETERS])
    for name, value in parse_qsl(pairs, keep_blank_values=True, errors="replace"):
        lower = name.lower()
        if lower.startswith("utm_"):
            campaign[lower] = value
            kept.append((lower, value))
        elif name == "variantid":
            variant = value if variant is None else variant
        elif lower in _CLICK_IDS:
            kept.append((lower, value))
    return campaign or None, variant, urlencode(kept)


def _worth_reading(query: str) -> bool:
    lower = query.lower()
    return any(mark in lower for mark in ("%", "utm_", "variantid", "cl", "raid", "li_fat"))


def _url(scheme: str, host: str, path: str, query: str) -> str:
    url = f"{scheme}://{host}{path}"
    return (f"{url}?{query}" if query else url)[:_MAX_URL]


def _without_query(url: str) -> str:
    return url.partition("?")[0].partition("#")[0]


def _weight(parameters: str) -> float:
    name, _, value = parameters.strip().partition("=")
    if name != "q":
        return 1.0
    try:
        return float(value)
    except ValueError:
        return 0.0
