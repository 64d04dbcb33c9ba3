"""Loggers of this package, limited to one line a minute for each repeated warning. The line gives the number left out.

During an outage, or with a mistake in an app, every request logs the same warning. Only records of this package's
loggers are counted. Nothing is configured except a handler that does nothing.
"""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Callable

INTERVAL = 60.0  # seconds between two lines of one reason
_LONGEST = 500  # characters of a reason that are compared
_MOST = 500  # remembered reasons; beyond that all are cleared, so that no reason is suppressed for ever

_what_varies = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|\d+").sub


class RateLimitFilter(logging.Filter):
    """Lets a warning or an error pass once a minute for each reason: its message without IDs and numbers.

    Args:
        clock: a monotonic clock, in seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._lock = threading.Lock()
        self._seen: dict[str, tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether a record passes. One that passes gives the number of those that did not."""
        if record.levelno < logging.WARNING:
            return True
        message = record.getMessage()
        left_out = self._left_out(_what_varies("#", message[:_LONGEST]))
        if left_out:
            record.msg, record.args = "%s (and %d more like it)", (message, left_out)
        return left_out is not None

    def reset_after_fork(self) -> None:
        """Replace the lock in a forked child: a thread of the parent that held it never releases it."""
        self._lock = threading.Lock()

    def clear(self) -> None:
        """Clear all reasons, as between two tests."""
        with self._lock:
            self._seen.clear()

    def _left_out(self, reason: str) -> int | None:
        """Return the number of records left out since the last line of a reason, or None to leave this one out too."""
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


rate_limit: RateLimitFilter = RateLimitFilter()


def get_logger(name: str) -> logging.Logger:
    """Return a logger of this package, such as ``"passerby.delivery"``."""
    logger = logging.getLogger(name)
    logger.addFilter(rate_limit)  # adding it again has no effect
    return logger


def log_loss(logger: logging.Logger, message: str, *args: object, level: int = logging.WARNING) -> None:
    """Warn of events that are lost, or will be lost, even if this package's loggers are disabled or not configured.

    By default `logging.config` disables loggers that it does not list, and without configuration our warnings are not
    written. The warning then goes to the root logger, which writes to stderr if it has no handler either.
    """
    if not logger.disabled and _has_handler(logger):
        logger.log(level, message, *args)
        return
    root = logging.getLogger()
    record = logger.makeRecord(logger.name, level, __file__, 0, message, args, None)
    if root.isEnabledFor(level) and rate_limit.filter(record):
        root.handle(record)


def _has_handler(logger: logging.Logger) -> bool:
    """Return whether records reach a handler, or the app has turned propagation off."""
    one: logging.Logger | None = logger
    while one is not None:
        if not one.propagate or any(not isinstance(handler, logging.NullHandler) for handler in one.handlers):
            return True
        one = one.parent
    return False


# Without configuration Python would write all our warnings to stderr; only losses are written there.
logging.getLogger("passerby").addHandler(logging.NullHandler())
