"""The reference's settings: which are refused."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection
from urllib.parse import urlsplit

from .case import JSON
from .cookies import DAY, number_of
from .javascript import is_truthy, is_url
from .recorded import ANY_ERROR
from .refusal import OWN_ERROR, Refused, coded

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
    if "client-key-checked" in on and not TOKEN.fullmatch(str(settings["clientKey"])):
        raise Refused(OWN_ERROR)
    check_cookie_settings(settings, on)


def base_url(target: str, on: Collection[str]) -> str:
    return target.strip().rstrip("/") if "target-url-checked" in on else target


def _check_target(target: str, on: Collection[str]) -> None:
    check_address(target, on, coded("IV-0001"))


def check_address(target: str, on: Collection[str], error: JSON) -> None:
    """Raise Refused, with this error if the address is none."""
    is_right = is_url(target)
    if "target-url-checked" in on and not target.strip().startswith(("{MOCK}", "{CLOSED}", "{SINK}")):
        is_right = is_right and _is_plain_address(target.strip())
        if is_right and target.strip().startswith("http:") and not _is_local(urlsplit(target.strip()).hostname or ""):
            raise Refused(OWN_ERROR)
    if not is_right and not target.strip().startswith("{"):
        raise Refused(error)


def _is_plain_address(target: str) -> bool:
    return re.fullmatch(r"https?://[^\s/?#@%]+(/[^\s?#]*)?", target, re.ASCII | re.IGNORECASE) is not None


def _is_local(host: str) -> bool:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return "." not in host.rstrip(".") or host.rstrip(".").endswith(".localhost")
    return address.is_private or address.is_loopback or address.is_link_local


def check_cookie_settings(settings: JSON, on: Collection[str]) -> None:
    """Raise Refused for a domain, a path or an age that passerby does not take."""
    domain = settings.get("cookieDomain")
    is_domain = DOMAIN.fullmatch(str(domain)) and not re.fullmatch("[0-9.]+", str(domain))
    if "cookie-domain-checked" in on and is_truthy(domain) and not is_domain:
        raise Refused(OWN_ERROR)
    path = settings.get("cookiePath")
    if "cookie-path" in on and path is not None and not PATH.fullmatch(str(path)):
        raise Refused(OWN_ERROR)
    days = settings.get("cookieExpiryDays")
    if "cookie-age" in on and days not in (None, 0, "") and not number_of(days) * DAY >= 0.5:
        raise Refused(OWN_ERROR)
