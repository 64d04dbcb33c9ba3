"""The check of the app's settings. Nothing is started or sent."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ...client.tracking import Tracking
from ...errors import SettingsError
from ...settings.env import own_variables
from ..outbox.location import VARIABLE, add_working_directory
from . import Finding

_PREFIX = "PASSERBY_"


def check_settings(find_tracking: Callable[[], Tracking] | None, environ: Mapping[str, str]) -> Finding:
    """Check that a tracking can be made.

    Args:
        find_tracking: returns the tracking of the app whose command line this is, if any.
        environ: the environment.
    """
    given = own_variables(environ).keys() - {VARIABLE}  # which commands use alone
    if find_tracking is None and not given:
        return Finding("settings", "ok", f"none in {_PREFIX}*; the settings of an app are checked when it starts")
    add_working_directory(environ)
    try:
        tracking = find_tracking() if find_tracking is not None else Tracking.from_env(environ)
    except SettingsError as error:
        return Finding("settings", "problem", str(error), "correct it; the app does not start with this setting")
    return Finding("settings", "ok", f"readable: {tracking!r}")
