"""Loads the `Tracking` of an app by its name."""

from __future__ import annotations

import importlib
import sys

from ...client.sites import Sites
from ...client.tracking import Tracking
from .exit_codes import MISUSED
from .location import CommandError


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
