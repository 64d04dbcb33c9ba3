"""The app's settings: whether a tracking can be made out of them. Nothing is started, and nothing sent."""

from __future__ import annotations

from collections.abc import Mapping

from ..errors import SettingsError
from ..site import Site
from ..tracking import Tracking
from . import Finding

_PREFIX = "PASSERBY_"


def check_settings(site: Site | None, environ: Mapping[str, str]) -> Finding:
    """Whether a tracking can be made.

    Args:
        site: the app whose command line it is, if it is one's.
        environ: the environment.
    """
    given = [name for name in environ if name.startswith(_PREFIX)]
    if site is None and not given:
        return Finding("settings", "ok", f"none in {_PREFIX}*; those of an app are checked when it starts")
    try:
        tracking = site.tracking() if site is not None else Tracking.from_env(environ)
    except SettingsError as error:
        return Finding("settings", "problem", str(error), "correct it; the app does not start with it")
    return Finding("settings", "ok", f"readable: {tracking!r}")
