"""How an outbox on disk is, as far as its folder shows: what waits, what is held, what is dead."""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from ..cli.outbox.listing import take_stock
from ..cli.outbox.location import VARIABLE, Refused, find_directory
from ..outbox.inventory import Share
from ..settings.env import own_variables
from .outbox_health import DestinationHealth, OutboxHealth

PASSING = ("-shm", ".lock")  # endings of files that come and go while one looks
SHARE_OF_TIME = 10  # what counting took, times this, passes before it is counted again


def find_outbox(given: str | None, environ: Mapping[str, str]) -> OutboxFolder | None:
    """Return the outbox that an option or else the environment names; None for one in an app's memory.

    Raises ValueError.

    Args:
        given: the option.
        environ: the environment.
    """
    if given is None and own_variables(environ).get(VARIABLE) == "memory":
        return None
    try:
        return OutboxFolder(find_directory(given, None, environ))
    except Refused as refused:
        raise ValueError(str(refused)) from None


class OutboxFolder:
    """Counts what is in the files of a folder, again only when one of them has changed.

    Args:
        directory: where they are; it need not exist yet.
        clock: seconds on a clock that never goes back.
    """

    def __init__(self, directory: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._directory = directory
        self._clock = clock
        self._seen: object = None
        self._not_before = 0.0
        self._state = "ok"
        self._shares: dict[str, Share] = {}

    def __call__(self) -> OutboxHealth:
        """Look at the folder."""
        seen = self._look()
        if seen != self._seen and self._clock() >= self._not_before:
            begun = self._clock()
            self._count()
            self._seen = seen
            # A large backlog is not counted all the time.
            self._not_before = self._clock() + SHARE_OF_TIME * (self._clock() - begun)
        return OutboxHealth(self._state, {name: _health_of(share) for name, share in sorted(self._shares.items())})

    def _look(self) -> object:
        """What changes when one of the files does."""
        found: list[tuple[str, int, int]] = []
        with suppress(OSError):
            for path in self._directory.iterdir():
                with suppress(FileNotFoundError):
                    status = path.stat()
                    if status.st_size and not path.name.endswith(PASSING):
                        found.append((path.name, status.st_mtime_ns, status.st_size))
        return sorted(found)

    def _count(self) -> None:
        try:
            listed, total = take_stock(self._directory, io.StringIO())
        except FileNotFoundError:  # an app makes it with its first event
            self._state, self._shares = "ok", {}
            return
        except OSError as error:
            self._state = f"degraded: {self._directory} cannot be read ({error.strerror})"
            return
        troubles = [f"{one.file.path.name} cannot be read: {one.trouble}" for one in listed if one.trouble]
        troubles += [f"{one.file.path.name} was damaged" for one in listed if one.file.standing == "set aside"]
        self._state = f"degraded: {'; '.join(troubles)}" if troubles else "ok"
        self._shares = total.shares


def _health_of(share: Share) -> DestinationHealth:
    oldest = None if share.oldest is None else max(0.0, time.time() - share.oldest)
    return DestinationHealth(pending=share.waiting + share.held, held=share.held, dead=share.dead, oldest=oldest)
