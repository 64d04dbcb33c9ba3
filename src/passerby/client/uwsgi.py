"""uWSGI before 2.0.27 starts Python without threads unless it is told to; then nothing works in the background.

What is told under such a server waits: in memory it is lost with the process. It has to be said at the start, since
nothing else shows it.
"""

from __future__ import annotations

import sys
from logging import Logger

from ..logs import get_logger

log: Logger = get_logger("passerby")

ADVICE = "start it with --enable-threads (or `enable-threads = true` in its configuration), or use 2.0.27 or newer"


def runs_threads() -> bool | None:
    """Whether the uWSGI that runs this process lets threads run; None if none does.

    It says so itself, as `has_threads` of the module that it gives to its apps.
    """
    server = sys.modules.get("uwsgi")
    return None if server is None else bool(getattr(server, "has_threads", True))


def warn_if_threads_are_off() -> None:
    """Log one line if this process is run by a uWSGI that runs no threads."""
    if runs_threads() is False:
        log.warning("uWSGI runs this app without threads, so that nothing is delivered; %s", ADVICE)
