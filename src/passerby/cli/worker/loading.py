"""Loads the app's `Tracking` for a worker: its keys, callbacks, destinations and logging are the app's."""

from __future__ import annotations

import logging
from argparse import Namespace
from collections.abc import Mapping
from typing import TextIO

from ...client.tracking import Tracking
from ...settings.env import variable_of
from ..outbox.exit_codes import MISUSED
from ..outbox.loading import find_tracking
from ..outbox.location import CommandError


def load_app(options: Namespace, environ: Mapping[str, str]) -> Tracking:
    """Return the tracking named by the options, that of the app's command line, or that of the environment.

    Raises CommandError, also for an outbox in memory.
    """
    tracking = find_tracking(
        options,
        environ,
        lambda: Tracking.from_env(environ),
        "the worker needs the app's own settings: --tracking MODULE:NAME, PASSERBY_* in the environment, or the "
        "command line of the app, such as manage.py passerby worker",
    )
    if tracking.outbox_directory is None:
        raise CommandError(
            f"found an outbox in memory, which no other process can see; expected one on disk in the app's settings, "
            f'such as outbox="sqlite:///var/lib/shop/outbox" ({variable_of("outbox")}), with deliver="worker"',
            MISUSED,
        )
    return tracking


def show_warnings(err: TextIO) -> None:
    """Write passerby's warnings to a stream, unless the app has configured logging."""
    own = logging.getLogger("passerby")
    handlers = [*logging.getLogger().handlers, *own.handlers]
    if own.propagate and all(isinstance(each, logging.NullHandler) for each in handlers):
        handler = logging.StreamHandler(err)
        handler.setLevel(logging.WARNING)
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
        own.addHandler(handler)
