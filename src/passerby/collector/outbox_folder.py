"""The health of an outbox on disk, read from its store: waiting, held and dead events."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ..cli.outbox.location import VARIABLE, CommandError, check_directory, find_directory, is_missing
from ..cli.outbox.store import CommandStore, StoreSummary
from ..outbox.counts import DestinationCounts
from ..settings.env import own_variables
from .outbox_health import DestinationHealth, OutboxHealth

PATIENCE = 1.0  # seconds to wait for a turn; the page is drawn anew every second


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
    """Reads the counts of the store of a directory.

    Args:
        directory: the directory; it need not exist yet.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._summary = StoreSummary()

    def __call__(self) -> OutboxHealth:
        """Return the health; if the store cannot be read, with the counts that were read last."""
        state = "ok"
        try:
            self._summary, troubles = self._read()
        except CommandError as error:
            troubles = [str(error)]
        if troubles:
            state = f"degraded: {'; '.join(troubles)}"
        oldest = self._summary.oldest
        return OutboxHealth(
            state, {name: _health_of(counts, oldest.get(name)) for name, counts in sorted(self._summary.counts.items())}
        )

    def _read(self) -> tuple[StoreSummary, list[str]]:
        """Return what is in the store, and what is wrong with it. Raises CommandError."""
        if is_missing(self._directory):  # an app makes it with its first event
            return StoreSummary(), []
        check_directory(self._directory)
        with CommandStore(self._directory, PATIENCE) as store:
            return store.summary(), [f"{path.name} was damaged" for path in store.quarantined()]


def _health_of(counts: DestinationCounts, oldest: float | None) -> DestinationHealth:
    return DestinationHealth(
        recorded=counts.recorded,
        delivered=counts.delivered,
        pending=counts.waiting + counts.held,
        held=counts.held,
        dead=counts.dead,
        dropped=dict(counts.dropped),
        breaker=counts.breaker,
        oldest=oldest,
    )
