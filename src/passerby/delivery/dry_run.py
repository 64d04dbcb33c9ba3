"""The rehearsal: while it is on nobody is called, and whoever watches hears what is told.

There is one for the whole process, since tests do not know which `Tracking` an app has made, or when. It is off unless
`passerby.testing` begins it, or a run of tests is noticed. Only a collector that runs in this very process is called as
ever: that is what it was started for.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from contextlib import suppress
from logging import Logger
from typing import Any, Protocol
from urllib.parse import urlsplit

from ..events.event import Event
from ..http.request import is_local_host, is_loopback
from ..logs import get_logger, log_loss
from .test_run import runner_here, started_by_test, tests_here

log: Logger = get_logger("passerby")

REFUSED = "rehearsal"  # the reason under which events are dropped that would have been sent


class Watcher(Protocol):
    """Who hears what is told, at the moment of the call."""

    def on_told(self, event: Event, destinations: Sequence[str]) -> None:
        """An event was taken; one told in a database transaction may still be rolled back."""
        ...

    def on_rolled_back(self, event: Event) -> None:
        """The transaction in which an event was told has failed."""
        ...

    def on_refused(self, reason: str) -> None:
        """Something was told and not taken."""
        ...


class Rehearsal:
    """Whether it is on, and who watches.

    Attributes:
        watchers: who hears what is told, whether it is on or not.
        ports: where the collectors of this process listen.
        allowed: the origins to which events are sent all the same, by the setting `send_in_tests`.
    """

    def __init__(self) -> None:
        self._is_on = False
        self._is_decided = False
        self._mark: str | None = None  # by which tests were noticed that nobody has announced
        self._is_child = False  # whether a test has only started this process
        self._has_warned = False
        self.watchers: list[Watcher] = []
        self.ports: set[int] = set()
        self.allowed: set[str] = set()

    @property
    def is_on(self) -> bool:
        """Whether calls are refused. Once it was started or stopped, tests are not looked for any more."""
        return self._is_on

    def start(self) -> None:
        """Refuse calls from now on."""
        self._decide(True)

    def stop(self) -> None:
        """Refuse no calls from now on, whatever tests there are."""
        self._decide(False)

    def begin(self) -> tuple[object, ...]:
        """Put it on; return what `end` needs to leave everything as it was."""
        before = (self._is_on, self._is_decided, self._mark, self._is_child)
        self.start()
        return before

    def end(self, before: Any) -> None:
        """Go back to what was before `begin`."""
        self._is_on, self._is_decided, self._mark, self._is_child = before

    def is_on_by_now(self) -> bool:
        """Return `is_on`; look whether tests have begun to run in this process."""
        if not self._is_decided and (not self._is_on or self._is_child):
            self._notice(tests_here())
        return self._is_on

    def look_around(self) -> None:
        """Look for tests everywhere; for the start of an app."""
        if self._is_decided or (self._is_on and not self._is_child):
            return
        self._notice(runner_here() or tests_here())
        if not self._is_on and (mark := started_by_test()) is not None:
            self._is_on, self._is_child, self._mark = True, True, mark

    def refuses(self, url: str) -> bool:
        """Whether a call to this address is refused."""
        if not self.is_on_by_now():
            return False
        parts = urlsplit(url)
        host = parts.hostname or ""
        if f"{parts.scheme}://{parts.netloc}" in self.allowed:
            return False
        # A process that a test has started cannot know the collectors of that test; they are on this machine.
        if is_loopback(host) if self._is_child else parts.port in self.ports and is_local_host(host):
            return False
        self._warn(host)
        return True

    def _decide(self, is_on: bool) -> None:
        self._is_on, self._is_decided = is_on, True
        self._mark, self._is_child = None, False

    def _notice(self, mark: str | None) -> None:
        if mark is not None:
            self._is_on, self._is_child, self._mark = True, False, mark

    def _warn(self, host: str) -> None:
        if self._mark is None or self._has_warned:
            return
        self._has_warned = True
        words = (
            f"found a run of tests ({self._mark}): nothing is sent to {host}; events are dropped and counted as "
            f'"{REFUSED}". To send from tests set send_in_tests=True; see docs/testing.md'
        )
        log_loss(log, "%s", words)
        if not self._is_child:  # runners show warnings, but not always logs
            with suppress(Warning):  # where warnings are errors
                warnings.warn(words, RuntimeWarning, stacklevel=2)


rehearsal: Rehearsal = Rehearsal()
