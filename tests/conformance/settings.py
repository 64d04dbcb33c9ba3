"""The reference's settings: which are refused, and the cookie they lead to."""

from __future__ import annotations

import ipaddress
import math
import re
from collections.abc import Collection
from typing import Any
from urllib.parse import urlsplit

from .bodies import OWN_ERROR, Refused, coded
from .case import JSON
from .javascript import is_truthy, is_url, number_text
from .recorded import ANY_ERROR

DAY = 86_400
TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
DOMAIN = re.compile(r"\.?([a-z0-9]([a-z0-9-]*[a-z0-9])?\.)+[a-z0-9]([a-z0-9-]*[a-z0-9])?", re.IGNORECASE)
PATH = re.compile(r"/[ -:<-~]*")


def check_settings(settings: JSON | None, on: Collection[str]) -> None:
    """Raise Refused as `initServer` does, in its order."""
    if settings is None:
        raise Refused(ANY_ERROR)
    if not is_truthy(settings.get("clientKey")):
        raise Refused(coded("MV-0001"))
    if not is_truthy(settings.get("targetURL")):
        raise Refused(coded("MV-0002"))
    point_of_sale = settings.get("pointOfSale")
    if "types-checked" in on and not isinstance(point_of_sale, str | None):
        raise Refused(OWN_ERROR)
    if is_truthy(point_of_sale):
        if not isinstance(point_of_sale, str):
            raise Refused(ANY_ERROR)
        if not point_of_sale.strip():
            raise Refused(coded("MV-0009"))
    _check_target(str(settings["targetURL"]), on)
    _check_own(settings, on)


def max_age(days: Any, on: Collection[str]) -> str:
    """The cookie's age in seconds, as text."""
    number = _number(days)
    if "cookie-age" not in on:
        return number_text(number * DAY if is_truthy(days) else 730 * DAY)
    return number_text(round(min(400.0, number) * DAY) if is_truthy(days) else 400 * DAY)


def cookie_of(settings: JSON, name: str, value: str, on: Collection[str]) -> JSON:
    """The cookie that is set, by its parts."""
    path = settings.get("cookiePath") if "cookie-path" in on else None
    cookie: JSON = {
        "name": name,
        "value": value,
        "max-age": max_age(settings.get("cookieExpiryDays"), on),
        "samesite": "None",
        "secure": True,
        "path": path if is_truthy(path) else "/",
    }
    if is_truthy(settings.get("cookieDomain")):
        cookie["domain"] = settings["cookieDomain"]
    return cookie


def base_url(target: str, on: Collection[str]) -> str:
    return target.strip().rstrip("/") if "target-url-checked" in on else target


def _check_target(target: str, on: Collection[str]) -> None:
    is_right = is_url(target)
    if "target-url-checked" in on and not target.startswith(("{MOCK}", "{CLOSED}", "{SINK}")):
        is_right = is_right and _is_plain_address(target.strip())
        if is_right and target.strip().startswith("http:") and not _is_local(urlsplit(target.strip()).hostname or ""):
            raise Refused(OWN_ERROR)
    if not is_right and not target.startswith("{"):
        raise Refused(coded("IV-0001"))


def _is_plain_address(target: str) -> bool:
    return re.fullmatch(r"https?://[^\s/?#@]+(/[^\s?#]*)?", target, re.ASCII | re.IGNORECASE) is not None


def _is_local(host: str) -> bool:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return "." not in host.rstrip(".") or host.rstrip(".").endswith(".localhost")
    return address.is_private or address.is_loopback or address.is_link_local


def _check_own(settings: JSON, on: Collection[str]) -> None:
    if "client-key-checked" in on and not TOKEN.fullmatch(str(settings["clientKey"])):
        raise Refused(OWN_ERROR)
    domain = settings.get("cookieDomain")
    if "cookie-domain-checked" in on and is_truthy(domain) and not DOMAIN.fullmatch(str(domain)):
        raise Refused(OWN_ERROR)
    path = settings.get("cookiePath")
    if "cookie-path" in on and path is not None and not PATH.fullmatch(str(path)):
        raise Refused(OWN_ERROR)
    days = settings.get("cookieExpiryDays")
    if "cookie-age" in on and days not in (None, 0, "") and not _number(days) * DAY >= 0.5:
        raise Refused(OWN_ERROR)


def _number(value: Any) -> float:
    try:
        return float(value or 0)
    except (TypeError, ValueError):
        return math.nan
