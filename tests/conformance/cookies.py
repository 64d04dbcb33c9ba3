"""The reference's cookie: read, and written."""

from __future__ import annotations

import math
import re
from collections.abc import Collection
from typing import Any

from .case import JSON
from .javascript import is_truthy, number_text

DAY = 86_400  # seconds
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)


def read_cookie(header: str | None, name: str, on: Collection[str]) -> str | None:
    """The browser ID in a Cookie header: None if there is no cookie of the name."""
    found: list[str] = []
    for piece in (header or "").split(";" if "cookie-header-syntax" in on else "; "):
        key, equals, value = piece.partition("=")
        if "cookie-header-syntax" in on:
            key, value = key.strip(" \t"), value.strip(" \t")
            value = value[1:-1] if re.fullmatch('".*"', value) else value
        if key == name and key and equals:
            found.append(value if "cookie-values-checked" in on else value.partition("=")[0])
    if "cookie-values-checked" in on:
        found = [value for value in found if not value or UUID.fullmatch(value)]
        found.sort(key=lambda value: not value)  # an empty one counts only where there is no other
    return found[0] if found else None


def max_age(days: Any, on: Collection[str]) -> str:
    """The cookie's age in seconds, as text."""
    number = number_of(days)
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


def write_cookie(cookie: JSON) -> str:
    """A Set-Cookie line as the SDK writes it."""
    line = (
        f"{cookie['name']}={cookie['value']}; Max-Age={cookie['max-age']}; SameSite=None; Secure; Path={cookie['path']}"
    )
    return line + (f"; Domain={cookie['domain']}" if "domain" in cookie else "")


def number_of(value: Any) -> float:
    try:
        return float(value or 0)
    except (TypeError, ValueError):
        return math.nan
