"""Where a destination's calls go: which addresses are taken."""

from __future__ import annotations

from urllib.parse import urlsplit

from ..errors import SettingsError
from ..request import is_local_host


def checked_target(target_url: object, wrong: SettingsError | None = None) -> str:
    """Return an address without slashes at its end.

    Args:
        target_url: an http or https URL without query, fragment and user; http for hosts of this network only.
        wrong: what to raise if it is none.

    Raises:
        SettingsError: it is no such address.
    """
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
