"""Our logs: of what happens again and again one line a minute, which says how many were left out.

An outage or a mistake in an app comes with every request; a log that repeats it helps nobody, and costs more than what
it reports. Only what is told to the loggers of this package is counted, and nothing is configured but
a handler that does nothing.
"""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Callable

INTERVAL = 60.0  # seconds between two lines of one reason
_LONGEST = 500  # characters of a reason that are looked at
_MOST = 500  # reasons that are remembered; beyond that all are forgotten, so that none is kept quiet for ever

_what_varies = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|\d+").sub


class SparingFilter(logging.Filter):
    """Lets a warning or an error pass once a minute for each reason: its words without IDs and numbers.

    Args:
        clock: seconds on a clock that never goes back.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._lock = threading.Lock()
        self._seen: dict[str, tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether a record passes; one that does says how many did not."""
        if record.levelno < logging.WARNING:
            return True
        message = record.getMessage()
        left_out = self._left_out(_what_varies("#", message[:_LONGEST]))
        if left_out:
            record.msg, record.args = "%s (and %d more like it)", (message, left_out)
        return left_out is not None

    def begin_afresh(self) -> None:
        """In a forked child: whoever of the parent was just logging will never let go of the lock."""
        self._lock = threading.Lock()

    def forget(self) -> None:
        """Begin anew, as between two tests."""
        with self._lock:
            self._seen.clear()

    def _left_out(self, reason: str) -> int | None:
        """Return how many were left out since the last line of a reason, or None if this one is left out too."""
        now = self._clock()
        with self._lock:
            begun, left_out = self._seen.get(reason, (now - INTERVAL, 0))
            if now - begun < INTERVAL:
                self._seen[reason] = (begun, left_out + 1)
                return None
            if len(self._seen) >= _MOST:
                self._seen.clear()
            self._seen[reason] = (now, 0)
            return left_out


sparing: SparingFilter = SparingFilter()


def get_logger(name: str) -> logging.Logger:
    """Return one of our loggers, such as ``"passerby.delivery"``."""
    logger = logging.getLogger(name)
    logger.addFilter(sparing)  # it is added once, however often
    return logger


def log_loss(logger: logging.Logger, message: str, *args: object, level: int = logging.WARNING) -> None:
    """Warn of events that are lost, or will be if nothing is done, so that it is seen whatever the app logs.

    `logging.config` disables the loggers that it does not know by default, and where nothing is configured our own
    warnings go nowhere. A loss then goes to the root logger, which writes to stderr where it has no handler either.
    """
    if not logger.disabled and _has_handler(logger):
        logger.log(level, message, *args)
        return
    root = logging.getLogger()
    record = logger.makeRecord(logger.name, level, __file__, 0, message, args, None)
    if root.isEnabledFor(level) and sparing.filter(record):
        root.handle(record)


def _has_handler(logger: logging.Logger) -> bool:
    """Whether records go somewhere, or the app wants them to go nowhere."""
    one: logging.Logger | None = logger
    while one is not None:
        if not one.propagate or any(not isinstance(handler, logging.NullHandler) for handler in one.handlers):
            return True
        one = one.parent
    return False


# Where an app does not configure logging, Python would write our warnings to stderr; what is lost is still said there.
logging.getLogger("passerby").addHandler(logging.NullHandler())
