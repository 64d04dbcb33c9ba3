"""The interface of the Engage SDK: `init_server`."""

from __future__ import annotations

from typing import Unpack

from ..destinations.sitecore import PointOfSale, Sitecore
from ..errors import SettingsError
from ..http.set_cookie import MAX_AGE
from ..settings.setting import shown
from ..settings.settings import SettingsValues
from .tracking import Tracking


def init_server(
    *,
    client_key: str,
    target_url: str,
    point_of_sale: PointOfSale | None = None,
    cookie_expiry_days: float | None = None,
    force_server_cookie_mode: bool = False,
    include_utm_parameters: bool | None = True,
    requested_at: bool = True,
    adopt_edge_cookie: str | None = None,
    **settings: Unpack[SettingsValues],
) -> Tracking:
    """Make a `Tracking` for Sitecore CDP, with the arguments of the Engage SDK's `initServer`.

    Args:
        client_key: see `Sitecore`, as for `target_url`, `point_of_sale`, `include_utm_parameters` and `requested_at`.
        target_url: the Stream API's address.
        point_of_sale: the default point of sale, or a callable that makes it from a request.
        cookie_expiry_days: how long the cookie lives, in days; 400 by default and at most.
        force_server_cookie_mode: whether `handle_cookie` and the middleware set the cookie; the browser SDK does
            otherwise.
        include_utm_parameters: whether page views carry the URL's utm parameters.
        requested_at: whether events carry the time at which they happened.
        adopt_edge_cookie: the context ID of an earlier Cloud or Content SDK, whose visitors keep their browser IDs.
        settings: see `passerby.settings.settings.Settings`, `cookie_domain` and `cookie_path` among them.

    Raises:
        SettingsError: with the vendor's codes MV-0001, MV-0002, MV-0009, IV-0001.
    """
    sitecore = Sitecore(
        client_key=client_key,
        target_url=target_url,
        point_of_sale=point_of_sale,
        include_utm_parameters=include_utm_parameters,
        requested_at=requested_at,
        adopt_edge_cookie=adopt_edge_cookie,
    )
    return Tracking(sitecore, **cookie_settings(settings, force_server_cookie_mode, cookie_expiry_days))


def cookie_settings(settings: SettingsValues, sets_cookie: object, expiry_days: object) -> SettingsValues:
    """Return settings with those of the cookie that Sitecore's SDKs name differently.

    Args:
        settings: the others.
        sets_cookie: whether the server sets the cookie.
        expiry_days: how long it lives, in days; None for the default.

    Raises:
        SettingsError: that is no number.
    """
    if "set_cookie" in settings:
        raise SettingsError(
            "found it beside the SDK's own setting for the same, expected one of them", setting="set_cookie"
        )
    settings["set_cookie"] = bool(sets_cookie)
    seconds = _seconds(expiry_days)
    if seconds is not None:
        settings["cookie_max_age"] = seconds
    if settings.get("cookie_path") is None:
        settings.pop("cookie_path", None)
    return settings


def _seconds(days: object) -> int | None:
    """Return a cookie's age, at most 400 days, None for the default; numbers may be text, as there."""
    try:
        if not days:
            return None
        seconds = float(str(days)) * 86_400
        return MAX_AGE if seconds > MAX_AGE else round(seconds)
    except Exception:
        raise SettingsError(f"found {shown(days)}, expected a number of days", setting="cookie_expiry_days") from None
