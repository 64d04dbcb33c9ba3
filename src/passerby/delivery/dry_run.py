"""The dry run: while it is on, nothing is sent, and observers are notified of captured events.

There is one for the whole process, since tests do not know which `Tracking` an app has made, or when. It is off unless
`passerby.testing` starts it, or a test run is detected. Events are still sent to a collector in the same process.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Sequence
from contextlib import suppress
from logging import Logger
from typing import Any, Protocol
from urllib.parse import urlsplit

from ..events.event import Event
from ..http.request import is_local_host, is_loopback
from ..logs import get_logger, log_loss
from .test_run import MODULES_OF_TESTS, find_parent_test, find_runner, find_running_tests

log: Logger = get_logger("passerby")

DRY_RUN = "dry-run"  # the reason of events that are dropped in a dry run


class EventObserver(Protocol):
    """Is notified of events when they are captured."""

    def on_captured(self, event: Event, destinations: Sequence[str]) -> None:
        """An event was captured. In a database transaction it may still be rolled back."""
        ...

    def on_rolled_back(self, event: Event) -> None:
        """The transaction of a captured event was rolled back."""
        ...

    def on_dropped(self, reason: str) -> None:
        """An event was dropped."""
        ...


class DryRun:
    """The state of the dry run, and its observers.

    Attributes:
        observers: notified of captured events, whether it is on or not.
        ports: the ports of the collectors in this process.
        allowed: origins to which events are sent nevertheless, because of the setting `send_in_tests`.
    """

    def __init__(self) -> None:
        self._is_on = False
        self._is_decided = False
        self._mark: str | None = None  # the sign by which a test run was detected
        self._is_child = False  # whether this process was started by a test
        self._has_warned = False
        self.observers: list[EventObserver] = []
        self.ports: set[int] = set()
        self.allowed: set[str] = set()

    @property
    def is_on(self) -> bool:
        """Whether requests are blocked. After it was started or stopped, tests are not detected any more."""
        return self._is_on

    def start(self) -> None:
        """Block requests from now on."""
        self._decide(True)

    def stop(self) -> None:
        """Block no requests from now on, even in a test run."""
        self._decide(False)

    def enter(self) -> tuple[object, ...]:
        """Start it. Returns the previous state for `restore`."""
        before = (self._is_on, self._is_decided, self._mark, self._is_child)
        self.start()
        return before

    def restore(self, before: Any) -> None:
        """Restore the state that `enter` returned."""
        self._is_on, self._is_decided, self._mark, self._is_child = before

    def check_is_on(self) -> bool:
        """Return `is_on`, after checking whether tests are running in this process."""
        if self._is_decided or sys.modules.keys().isdisjoint(MODULES_OF_TESTS):
            return self._is_on  # nearly always
        if not self._is_on or self._is_child:
            mark = find_running_tests()
            if mark is not None:
                self._notice(mark)
        return self._is_on

    def detect_tests(self) -> None:
        """Detect a test run by all signs. Called when an app starts."""
        if self._is_decided or (self._is_on and not self._is_child):
            return
        mark = find_runner() or find_running_tests()
        if mark is not None:
            self._notice(mark)
        elif not self._is_on and (mark := find_parent_test()) is not None:
            self._is_on, self._is_child, self._mark = True, True, mark

    def blocks(self, url: str) -> bool:
        """Return whether a request to this URL is blocked."""
        if not self.check_is_on():
            return False
        parts = urlsplit(url)
        host = parts.hostname or ""
        if f"{parts.scheme}://{parts.netloc}" in self.allowed:
            return False
        # A process started by a test does not know the collectors of the test, which are on this machine.
        if is_loopback(host) if self._is_child else parts.port in self.ports and is_local_host(host):
            return False
        self._warn(host)
        return True

    def _decide(self, is_on: bool) -> None:
        self._is_on, self._is_decided = is_on, True
        self._mark, self._is_child = None, False

    def _notice(self, mark: str) -> None:
        self._is_on, self._is_child, self._mark = True, False, mark

    def _warn(self, host: str) -> None:
        if self._mark is None or self._has_warned:
            return
        self._has_warned = True
        words = (
            f"detected a test run ({self._mark}): nothing is sent to {host}; events are dropped and counted as "
            f'"{DRY_RUN}". To send from tests set send_in_tests=True; see docs/testing.md'
        )
        log_loss(log, "%s", words)
        if not self._is_child:  # runners show warnings, but not always logs
            with suppress(Warning):  # where warnings are errors
                warnings.warn(words, RuntimeWarning, stacklevel=2)


dry_run_mode: DryRun = DryRun()
