"""The context of an event: page, campaign and visitor, read from the request, without data that must not be stored.

Of the query only campaign parameters are kept, the IP address is truncated unless the settings keep it, and every text
is cut to a maximum length.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from logging import Logger
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeVar
from urllib.parse import parse_qsl, quote_plus, unquote_plus, urlencode, urlsplit

from ..http.address import read_address
from ..http.request import Proxies, RequestInfo, decode_query
from ..http.url import clean, cut, without_user_info
from ..logs import get_logger
from ..values.app_values import unwrap
from ..values.callbacks import discard_awaitable
from .event import Context, Event
from .redaction import MASK, MAX_READ, has_secret_form, holds_secret, masked_path, masked_url, masked_value

log: Logger = get_logger("passerby")

if TYPE_CHECKING:
    from functools import _lru_cache_wrapper  # pyright: ignore[reportPrivateUsage]

T = TypeVar("T")
IpPolicy = Literal["truncate", "keep", "drop"]
RedactUrl = Callable[[str], "str | None"]

_MAX_USER_AGENT = 512  # characters; longer ones are attacks on the parser
_MAX_URL = 2048
_MAX_LOCALE = 35  # characters; longer language tags are not useful (RFC 5646, section 4.4.1)
_MAX_QUERY = 8192
_MAX_PARAMETERS = 200
_REMEMBERED = 512  # characters; longer texts rarely repeat, and caching a thousand of them would take megabytes
_CLICK_IDS = frozenset({"gclid", "gbraid", "wbraid", "fbclid", "msclkid", "ttclid", "twclid", "li_fat_id", "dclid"})

_is_language_tag = re.compile(r"[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*", re.ASCII).fullmatch
_BYTE = r"(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)"
_ipv4 = re.compile(rf"({_BYTE}\.{_BYTE}\.{_BYTE})\.{_BYTE}", re.ASCII).fullmatch


def context_of(request: RequestInfo, proxies: Proxies, ip_policy: IpPolicy = "truncate", bot: bool = False) -> Context:
    """Read the context of a request.

    Args:
        request: the request.
        proxies: reads the address that the visitor used from the headers of trusted proxies.
        ip_policy: "truncate" sets the last byte of an IPv4 address and the last 80 bits of an IPv6 one to zero.
        bot: whether the visitor is a known bot.
    """
    header = request.header
    query = request.raw_query
    said = _remembered(_read_query, cut(query, _MAX_QUERY)) if query else _NO_QUERY
    path = _remembered(_stored_path, proxies.path(request))
    ip = None if ip_policy == "drop" else proxies.client_ip(request)
    languages, referrer = header("accept-language"), header("referer")
    url = _url(proxies.scheme(request), proxies.authority(request) or request.server_authority, path, said.kept)
    return Context(  # by position, which is the order of its fields and takes half the time
        None if ip is None else truncate_ip(ip) if ip_policy == "truncate" else read_address(ip),
        (header("user-agent") or "")[:_MAX_USER_AGENT] or None,
        preferred_locale(languages[:_MAX_USER_AGENT]) if languages else None,
        url,
        path,
        _remembered(_stored_referrer, referrer) if referrer else None,
        said.campaign,
        said.variant,
        bot,
        said.campaign_decoded_twice,
    )


def truncate_ip(address: str) -> str | None:
    """Set the last byte of an IPv4 address, or the last 80 bits of an IPv6 one, to zero. None if it is invalid."""
    found = _ipv4(address)  # the usual case, and `ipaddress` takes fifty times as long
    if found is not None:
        return f"{found[1]}.0"
    read = read_address(address)
    if read is None:
        return None
    kept = 48 if ":" in read else 24
    return str(ipaddress.ip_network(f"{read}/{kept}", strict=False).network_address)


@lru_cache(maxsize=1024)
def preferred_locale(accept_language: str) -> str | None:
    """Return the first language of an Accept-Language header by weight, such as ``"en-GB"``; None for none or ``*``."""
    best: tuple[float, str] | None = None
    for piece in accept_language.split(","):
        tag, _, parameters = piece.strip().partition(";")
        weight = _weight(parameters)
        if len(tag) <= _MAX_LOCALE and _is_language_tag(tag) and weight > (best[0] if best else 0.0):
            best = (weight, tag)
    return best[1] if best else None


def language_of(locale: str | None) -> str | None:
    """Return the language of a locale in upper case: ``"EN"`` for ``"en-GB"``."""
    return locale.partition("-")[0].upper() if locale else None


def _remembered(read: _lru_cache_wrapper[T], text: str) -> T:
    """Parse a text with a cache. Texts that are too long, or not ASCII, are not cached."""
    return read(text) if len(text) <= _REMEMBERED and text.isascii() else read.__wrapped__(text)


def page_of(path: str | None) -> str | None:
    """Return the page's name as in the browser SDK.

    That is the last part of the path, still percent-encoded, and ``"Home Page"`` for the root. Unlike there, a slash at
    the end does not make the name empty.
    """
    if path is None:
        return None
    last = path.rpartition("/")[2]
    return last if last and last != MASK else _last_part(path)


def _last_part(path: str) -> str:
    parts = [part for part in path.split("/") if part]
    # A masked part does not name a page, so the part before it is used.
    return next((part for part in reversed(parts) if part != MASK), MASK if parts else "Home Page")


def with_page(context: Context, page: str | None, language: str | None) -> Context:
    """Return the context with another name and language of the page."""
    return Context(*context[:-2], page, language)  # the last two fields; a fourth of the time of `_replace`


def own_data(event: Event) -> dict[str, Any]:
    """Return a copy of an event's data, without values that were taken from the request and are in the context too.

    The page's name of a page view is kept, and the page's language if it is not the visitor's.
    """
    data, context = dict(event.data), event.context
    inferred = page_of(context.path) if context.page is None else context.page
    if event.kind != "page_view" and data.get("page") is not None and data["page"] == inferred:
        del data["page"]
    language = language_of(context.locale) if context.language is None else context.language
    is_pages_own = event.kind == "page_view" and context.language is not None
    if not is_pages_own and data.get("language") is not None and data["language"] == language:
        del data["language"]
    return data


def masked_fields(fields: Mapping[str, Any], redact: RedactUrl | None = None) -> dict[str, Any]:
    """Mask secrets in the URLs and the campaign of context fields passed by the app.

    Args:
        fields: checked fields, not necessarily all.
        redact: the app's callable, if there is one; see `redacted`.
    """
    masked = dict(fields)
    for name, mask in (("url", masked_url), ("path", masked_path), ("referrer", masked_url)):
        if masked.get(name):
            masked[name] = mask(masked[name])
    if masked.get("campaign"):
        campaign = masked["campaign"].items()
        masked["campaign"] = {name: masked_value(name, one) if isinstance(one, str) else one for name, one in campaign}
    if masked.get("variant"):
        masked["variant"] = masked_value("variant", masked["variant"])
    if redact is None or masked.keys().isdisjoint(("url", "path", "referrer")):
        return masked
    made = redacted(Context(**masked), redact)
    return {name: getattr(made, name) for name in masked}


def redacted(context: Context, redact: RedactUrl) -> Context:
    """Return a context with its URLs replaced by the results of the app's callable.

    The callable gets the page's URL, or its path if the host is unknown, and the referrer. Both are masked already. The
    path and the campaign are read from the returned URL. If the callable raises, or returns anything other than text or
    None, all of them are masked.
    """
    has_url = context.url is not None
    before = context.url if has_url else _relative_url(context)
    try:
        url, referrer = _call_redact(redact, before), _call_redact(redact, context.referrer)
    except Exception as error:  # its message may contain the URL, so only its class is logged
        log.error("the redact_url callable failed (%s); URLs of this request are masked", type(error).__name__)
        return context._replace(
            url=_origin_of(context.url),
            path=f"/{MASK}",
            referrer=_origin_of(context.referrer),
            campaign=None,
            variant=None,
            campaign_decoded_twice=None,
        )
    if url == before:
        return context._replace(referrer=referrer)
    if url is None:
        return context._replace(
            url=None, path=None, referrer=referrer, campaign=None, variant=None, campaign_decoded_twice=None
        )
    rest, _, query = url.partition("#")[0].partition("?")
    _, slashes, place = rest.partition("://")
    left = _read_query(query)
    return context._replace(
        url=url if has_url else None,
        path=f"/{place.partition('/')[2]}" if slashes else rest,
        referrer=referrer,
        campaign=left.campaign,
        campaign_decoded_twice=left.campaign_decoded_twice,
    )


def _relative_url(context: Context) -> str | None:
    if context.path is None or not context.campaign:
        return context.path
    return f"{context.path}?{urlencode(context.campaign, safe='*')}"


def _call_redact(redact: RedactUrl, url: str | None) -> str | None:
    if url is None:
        return None
    made: object = unwrap(redact(url))
    if made is None:
        return None
    if discard_awaitable(made) or not isinstance(made, str):
        raise TypeError(f"found {type(made).__name__}, expected text or None")
    return cut(masked_url(clean(made[:MAX_READ])), _MAX_URL) or None


def _origin_of(url: str | None) -> str | None:
    """Return a URL with a mask in place of everything after the host."""
    if url is None:
        return None
    scheme, slashes, place = url.partition("://")
    return f"{scheme}://{place.partition('/')[0]}/{MASK}" if slashes else MASK


def _whole_parts(text: str) -> str:
    """Truncate a long path or URL to whole parts, since half a secret is not recognised."""
    if len(text) <= MAX_READ:
        return text
    end = text.rfind("/", 0, MAX_READ)
    return text[: end if end >= _MAX_URL else MAX_READ]


def external_referrer(context: Context, host: str) -> str | None:
    """Return the referrer if it is another site's page."""
    if not context.referrer:
        return None
    name = _host_of(context.referrer)
    return context.referrer if name is not None and name.rstrip(".") != host.rstrip(".") else None


@lru_cache(maxsize=256)  # a referrer has up to 2,048 characters
def _host_of(url: str) -> str | None:
    try:
        return urlsplit(url).hostname
    except ValueError:
        return None


class _Query(NamedTuple):
    """The kept parts of a query: campaign parameters, the page variant, and the query of the stored URL."""

    campaign: Mapping[str, str] | None = None
    variant: str | None = None
    kept: str = ""
    campaign_decoded_twice: Mapping[str, str] | None = None


_NO_QUERY = _Query()


@lru_cache(maxsize=1024)
def _read_query(query: str) -> _Query:
    if not _worth_reading(query):
        return _NO_QUERY
    campaign: dict[str, str] = {}
    kept: list[str] = []
    for piece in query.partition("#")[0].split("&", _MAX_PARAMETERS)[:_MAX_PARAMETERS]:
        name, _, value = piece.partition("=")
        lower = unquote_plus(name, errors="replace").lower()
        if lower.startswith("utm_"):
            text = unquote_plus(value, errors="replace")
            if not holds_secret(unquote_plus(name, errors="replace")):
                campaign[lower] = masked_value(lower, text)
                kept.append(f"{quote_plus(lower)}={value if campaign[lower] == text else MASK}")
        elif lower in _CLICK_IDS:  # a click ID is a long random text itself
            kept.append(f"{lower}={MASK if has_secret_form(value) else value}")
    decoded_twice, variant = _decode_twice(query)
    return _Query(campaign or None, variant, "&".join(kept), None if decoded_twice == campaign else decoded_twice)


def _decode_twice(query: str) -> tuple[dict[str, str], str | None]:
    """Return the campaign parameters and the page variant as the Engage SDK decodes them, with secrets masked."""
    pairs = decode_query(query).partition("#")[0].split("&", _MAX_PARAMETERS)[:_MAX_PARAMETERS]
    listed = parse_qsl("&".join(pairs), keep_blank_values=True, errors="replace")
    variants = [value for name, value in listed if name == "variantid"]
    campaign = {
        name.lower(): masked_value(name.lower(), value)
        for name, value in listed
        if name.lower().startswith("utm_") and not holds_secret(name)
    }
    return campaign, masked_value("variantid", variants[0]) if variants else None


def _worth_reading(query: str) -> bool:
    lower = query.lower()
    return any(mark in lower for mark in ("%", "utm_", "variantid", "cl", "raid", "li_fat"))


def _url(scheme: str, host: str, path: str, query: str) -> str | None:
    if not host:
        return None
    url = f"{scheme}://{host}{path}"
    return cut(f"{url}?{query}" if query else url, _MAX_URL)


@lru_cache(maxsize=1024)
def _stored_path(path: str) -> str:
    """Return a path as it is stored: without user information and secrets, and not too long."""
    return cut(masked_path(_whole_parts(_without_inner_user_info(path))), _MAX_URL)


@lru_cache(maxsize=1024)
def _stored_referrer(header: str) -> str | None:
    url = clean(header[:_MAX_QUERY]).partition("?")[0].partition("#")[0]
    return cut(masked_url(_whole_parts(url)), _MAX_URL) or None


def _without_inner_user_info(path: str) -> str:
    return path if "@" not in path or "//" not in path else without_user_info(path)


def _weight(parameters: str) -> float:
    name, _, value = parameters.strip().partition("=")
    if name != "q":
        return 1.0
    try:
        return float(value)
    except ValueError:
        return 0.0
