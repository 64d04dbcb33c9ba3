"""The health of an outbox on disk, read from its folder: pending, held and dead events."""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from ..cli.outbox.listing import list_contents
from ..cli.outbox.location import VARIABLE, CommandError, find_directory
from ..old_outbox.inventory import Share
from ..settings.env import own_variables
from .outbox_health import DestinationHealth, OutboxHealth

PASSING = ("-shm", ".lock")  # suffixes of temporary files
SHARE_OF_TIME = 10  # the pause between counts, as a multiple of the time of a count


def find_outbox(given: str | None, environ: Mapping[str, str]) -> OutboxFolder | None:
    """Return the outbox of the option or the environment; None for an outbox in memory.

    Raises ValueError.

    Args:
        given: the option.
        environ: the environment.
    """
    if given is None and own_variables(environ).get(VARIABLE) == "memory":
        return None
    try:
        return OutboxFolder(find_directory(given, None, environ))
    except CommandError as refused:
        raise ValueError(str(refused)) from None


class OutboxFolder:
    """Counts the entries in the files of a folder when a file has changed.

    Args:
        directory: the folder; it need not exist yet.
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
        """Return the health."""
        seen = self._look()
        if seen != self._seen and self._clock() >= self._not_before:
            begun = self._clock()
            self._count()
            self._seen = seen
            # Counting a large backlog takes long.
            self._not_before = self._clock() + SHARE_OF_TIME * (self._clock() - begun)
        return OutboxHealth(self._state, {name: _health_of(share) for name, share in sorted(self._shares.items())})

    def _look(self) -> object:
        """A value that changes when a file changes."""
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
            listed, total = list_contents(self._directory, io.StringIO())
        except FileNotFoundError:  # an app makes it with its first event
            self._state, self._shares = "ok", {}
            return
        except OSError as error:
            self._state = f"degraded: {self._directory} cannot be read ({error.strerror})"
            return
        troubles = [f"{one.file.path.name} cannot be read: {one.error}" for one in listed if one.error]
        troubles += [f"{one.file.path.name} was damaged" for one in listed if one.file.standing == "set aside"]
        self._state = f"degraded: {'; '.join(troubles)}" if troubles else "ok"
        self._shares = total.shares


def _health_of(share: Share) -> DestinationHealth:
    oldest = None if share.oldest is None else max(0.0, time.time() - share.oldest)
    return DestinationHealth(pending=share.waiting + share.held, held=share.held, dead=share.dead, oldest=oldest)
