"""Where a destination's calls go: which addresses are taken."""

from __future__ import annotations

import os
from urllib.parse import urlsplit

from ..errors import SettingsError
from ..request import is_local_host, is_loopback

COLLECTOR_URL = "PASSERBY_COLLECTOR_URL"  # set by `passerby collect -- COMMAND`, for the command and all it starts


def collector_url() -> str | None:
    """Return the address that takes the place of all others, while an app runs beside a collector.

    Raises:
        SettingsError: it leads to another machine, where no collector of a developer is.
    """
    text = os.environ.get(COLLECTOR_URL, "").strip()
    if not text:
        return None
    wrong = SettingsError(
        f"{COLLECTOR_URL}: expected an http URL with a loopback address, such as http://127.0.0.1:8600; "
        "it is for development, where all events go to `passerby collect`. Unset it elsewhere"
    )
    try:
        url = _checked(text, wrong)
    except SettingsError:  # of whichever kind
        raise wrong from None
    if not is_loopback(urlsplit(url).hostname or ""):
        raise wrong
    return origin_of(url)


def checked_target(target_url: object, wrong: SettingsError | None = None) -> str:
    """Return an address without slashes at its end; the collector's, where the app runs beside one.

    Args:
        target_url: an http or https URL without query, fragment and user; http for hosts of this network only.
        wrong: what to raise if it is none.

    Raises:
        SettingsError: it is no such address.
    """
    checked = _checked(target_url, wrong)
    return collector_url() or checked


def _checked(target_url: object, wrong: SettingsError | None) -> str:
    if wrong is None:
        expected = "expected an http(s) URL without query, fragment and user"
        wrong = SettingsError(f"found something else, {expected}", setting="target_url")
    if not isinstance(target_url, str) or any(ch.isspace() or not ch.isprintable() for ch in target_url.strip()):
        raise wrong
    try:
        parts = urlsplit(target_url.strip())
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise wrong from None
    if (
        parts.scheme not in ("http", "https")
        or not host
        or "%" in host
        or parts.query
        or parts.fragment
        or "@" in parts.netloc
    ):
        raise wrong
    if parts.scheme == "http" and not is_local_host(host):
        raise SettingsError(
            "found plain http to a public host, expected https; what visitors do is not for all to read",
            setting="target_url",
        )
    return target_url.strip().rstrip("/")


def origin_of(target: str) -> str:
    """Return the scheme, host and port of an address."""
    parts = urlsplit(target)
    return f"{parts.scheme}://{parts.netloc}"
