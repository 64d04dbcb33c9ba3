"""Loads the `Tracking` of an app by its name."""

from __future__ import annotations

import importlib
import sys
from argparse import Namespace
from collections.abc import Callable, Mapping

from ...client.sites import Sites
from ...client.tracking import Tracking
from ...errors import SettingsError
from .exit_codes import MISUSED
from .location import CommandError, add_working_directory


def find_tracking(
    options: Namespace, environ: Mapping[str, str], make: Callable[[], Tracking], advice: str
) -> Tracking:
    """Return the tracking named by the options, that of the app's command line, or one made from the environment.

    Args:
        options: the command's options.
        environ: the environment, which may name classes in the working directory.
        make: makes the tracking from the environment.
        advice: what to do about wrong settings.

    Raises CommandError.
    """
    try:
        if options.tracking is not None:
            return load_tracking(options.tracking)
        if options.find_tracking is not None:
            found: Tracking = options.find_tracking()
            return found
        add_working_directory(environ)
        return make()
    except SettingsError as error:
        raise CommandError(f"{error}; {advice}") from None


def load_tracking(name: str) -> Tracking:
    """Return the tracking that a module has under a name, such as "shop.tracking:tracking". Raises CommandError."""
    module, separator, path = name.partition(":")
    if not (module and separator and path):
        raise CommandError("--tracking: expected a module and a name in it, such as shop.tracking:tracking", MISUSED)
    if "" not in sys.path:  # as with `python -m`; an installed command does not have it
        sys.path.insert(0, "")
    try:
        found: object = importlib.import_module(module)
        for part in path.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError) as error:
        raise CommandError(f"--tracking: {error}", MISUSED) from None
    if isinstance(found, Sites):
        raise CommandError("--tracking: found Sites, expected a Tracking; run the command for each", MISUSED)
    if not isinstance(found, Tracking):
        raise CommandError(f"--tracking: found {type(found).__name__}, expected a Tracking", MISUSED)
    return found
