"""What of a request travels with its events: page, campaign and visitor, without what must not be kept.

Of the query only campaign parameters stay, the address loses its last part unless the settings keep it, and every text
is cut to a bounded length where it enters.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from inspect import iscoroutine
from logging import Logger
from typing import Any, Literal
from urllib.parse import parse_qsl, urlencode, urlsplit

from .event import Context, Event
from .logs import get_logger
from .proxies import TrustedProxies
from .redaction import MASK, MAX_READ, has_secret_form, holds_secret, masked_path, masked_url, masked_value
from .request import RequestInfo, decode_query

log: Logger = get_logger("passerby")

IpPolicy = Literal["truncate", "keep", "drop"]
RedactUrl = Callable[[str], "str | None"]

_MAX_USER_AGENT = 512  # characters; longer ones are attacks on whoever parses them
_MAX_URL = 2048
_MAX_LOCALE = 35  # characters; a language tag that says something has no more (RFC 5646, section 4.4.1)
_MAX_QUERY = 8192
_MAX_PARAMETERS = 200
_CLICK_IDS = frozenset({"gclid", "gbraid", "wbraid", "fbclid", "msclkid", "ttclid", "twclid", "li_fat_id", "dclid"})

_is_language_tag = re.compile(r"[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*", re.ASCII).fullmatch
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
        _read_query(request.query_string[:_MAX_QUERY]) if request.query_string else (None, None, "")
    )
    path = masked_path(_whole_parts(request.raw_path))[:_MAX_URL]
    address = None if ip_policy == "drop" else proxies.client_ip(request)
    languages, referrer = header("accept-language"), header("referer")
    return Context(  # by position, which is the order of its fields and takes half the time
        truncate_ip(address) if ip_policy == "truncate" and address else address,
        (header("user-agent") or "")[:_MAX_USER_AGENT] or None,
        preferred_locale(languages[:_MAX_USER_AGENT]) if languages else None,
        _url(proxies.scheme(request), header("host") or "", path, kept),
        path,
        (masked_url(_whole_parts(_without_query(referrer)))[:_MAX_URL] or None) if referrer else None,
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
        if len(tag) <= _MAX_LOCALE and _is_language_tag(tag) and weight > (best[0] if best else 0.0):
            best = (weight, tag)
    return best[1] if best else None


@lru_cache(maxsize=1024)
def language_of(locale: str | None) -> str | None:
    """Return the language of a locale in upper case: ``"EN"`` for ``"en-GB"``."""
    return locale.partition("-")[0].upper() if locale else None


def page_of(path: str | None) -> str | None:
    """Return the page's name as the browser SDK gives it.

    That is the last part of the path, still percent-encoded, and ``"Home Page"`` at the root. Other than
    there, a slash at the end does not make the name empty.
    """
    if path is None:
        return None
    parts = [part for part in path.split("/") if part]
    # What is masked names no page, so the part before it does.
    return next((part for part in reversed(parts) if part != MASK), MASK if parts else "Home Page")


def own_data(event: Event) -> dict[str, Any]:
    """Return a copy of an event's data, without what was only taken from the request and stands in the context.

    The name of a page view's page stays, and so does the page's language where it is not the visitor's.
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
    """Return fields of a context that the app gives, with masks for what is secret in its URLs and campaign.

    Args:
        fields: checked; not all of them need be there.
        redact: the app's own callable, if it has one; see `redacted`.
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
    given = Context(**masked)
    is_path_alone = given.url is None and given.path is not None
    made = redacted(given._replace(url=given.path) if is_path_alone else given, redact)
    if is_path_alone:
        made = made._replace(path=made.url, url=None)
    return {name: getattr(made, name) for name in masked}


def redacted(context: Context, redact: RedactUrl) -> Context:
    """Return a context with what the app's own callable makes of its URLs.

    It is given the page's URL and the referrer, which are masked already. The path and the campaign are what is left of
    them in the page's URL. If it raises, or gives something other than text or None, nothing of them is kept.
    """
    try:
        url, referrer = _call_redact(redact, context.url), _call_redact(redact, context.referrer)
    except Exception as error:  # its words may hold the URL, so only its class is logged
        log.error("the redact_url callable failed (%s); URLs of this request are masked", type(error).__name__)
        return context._replace(
            url=_origin_of(context.url),
            path=f"/{MASK}",
            referrer=_origin_of(context.referrer),
            campaign=None,
            variant=None,
        )
    if url == context.url:
        return context._replace(referrer=referrer)
    if url is None:
        return context._replace(url=None, path=None, referrer=referrer, campaign=None, variant=None)
    rest, _, query = url.partition("#")[0].partition("?")
    _, slashes, place = rest.partition("://")
    path = f"/{place.partition('/')[2]}" if slashes else rest
    left = parse_qsl(query, keep_blank_values=True, errors="replace", max_num_fields=None)[:_MAX_PARAMETERS]
    campaign = {name: value for name, value in left if name.startswith("utm_")}
    return context._replace(url=url, path=path, referrer=referrer, campaign=campaign or None)


def _call_redact(redact: RedactUrl, url: str | None) -> str | None:
    if url is None:
        return None
    made: object = redact(url)
    if iscoroutine(made):
        made.close()
    if made is None:
        return None
    if not isinstance(made, str):
        raise TypeError(f"found {type(made).__name__}, expected text or None")
    return masked_url(made[:MAX_READ])[:_MAX_URL] or None


def _origin_of(url: str | None) -> str | None:
    """Return a URL's scheme and host with a mask in the place of the rest."""
    if url is None:
        return None
    scheme, slashes, place = url.partition("://")
    return f"{scheme}://{place.partition('/')[0]}/{MASK}" if slashes else MASK


def _whole_parts(text: str) -> str:
    """Return what is looked at of a long path or URL: whole parts, since half a secret is not recognised."""
    if len(text) <= MAX_READ:
        return text
    end = text.rfind("/", 0, MAX_READ)
    return text[: end if end >= _MAX_URL else MAX_READ]


def external_referrer(context: Context, host: str) -> str | None:
    """Return the referrer if it is another site's page."""
    return context.referrer if context.referrer and _host_of(context.referrer) not in (None, host) else None


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
            if not holds_secret(name):
                campaign[lower] = value = masked_value(lower, value)
                kept.append((lower, value))
        elif name == "variantid":
            variant = masked_value(name, value) if variant is None else variant
        elif lower in _CLICK_IDS:  # a click ID is a long random text itself
            kept.append((lower, MASK if has_secret_form(value) else value))
    return campaign or None, variant, urlencode(kept, safe="*")


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
