"""The app's settings: whether a tracking can be made out of them. Nothing is started, and nothing sent."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ...client.tracking import Tracking
from ...errors import SettingsError
from ...settings.env import own_variables
from ..outbox.location import VARIABLE, find_modules_here
from . import Finding

_PREFIX = "PASSERBY_"


def check_settings(find_tracking: Callable[[], Tracking] | None, environ: Mapping[str, str]) -> Finding:
    """Whether a tracking can be made.

    Args:
        find_tracking: gives the tracking of the app whose command line it is, if it is one's.
        environ: the environment.
    """
    given = own_variables(environ).keys() - {VARIABLE}  # which commands use alone
    if find_tracking is None and not given:
        return Finding("settings", "ok", f"none in {_PREFIX}*; those of an app are checked when it starts")
    find_modules_here(environ)
    try:
        tracking = find_tracking() if find_tracking is not None else Tracking.from_env(environ)
    except SettingsError as error:
        return Finding("settings", "problem", str(error), "correct it; the app does not start with it")
    return Finding("settings", "ok", f"readable: {tracking!r}")
