"""Warns if uWSGI runs without threads: before 2.0.27 it needs an option, and without threads nothing is delivered.

Events then wait, and are lost with the process if they are in memory. Only this warning at start shows it.
"""

from __future__ import annotations

import sys
from logging import Logger

from ..logs import get_logger

log: Logger = get_logger("passerby")

ADVICE = "start it with --enable-threads (or `enable-threads = true` in its configuration), or use 2.0.27 or newer"


def runs_threads() -> bool | None:
    """Return whether the uWSGI server of this process runs threads, or None without uWSGI.

    uWSGI provides it as `has_threads` of its module.
    """
    server = sys.modules.get("uwsgi")
    return None if server is None else bool(getattr(server, "has_threads", True))


def warn_if_threads_are_off() -> None:
    """Log one line if this process is run by a uWSGI that runs no threads."""
    if runs_threads() is False:
        log.warning("uWSGI runs this app without threads, so that nothing is delivered; %s", ADVICE)
