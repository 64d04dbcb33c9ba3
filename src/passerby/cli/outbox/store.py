"""The store of an outbox on disk, used by a command like by any other process of the host."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from secrets import token_hex
from typing import TextIO

from ...outbox.contract import ExchangeBatch, ExchangeResult, StorageError, StoreCommand
from ...outbox.counts import DestinationCounts, EntryState
from ...outbox.reading import StoredEntry, StoreQuery
from ...outbox.sqlite import SqliteStore
from ...outbox.sqlite.inspection import (
    DatabaseCheck,
    check_database,
    read_quarantined,
    remove_quarantined,
)
from .entry import event_of
from .location import CommandError
from .terminal import number_of

PATIENCE = 10.0  # seconds to wait for a turn
_PAGE = 500  # entries
_SAMPLE = 100  # the first entries of a destination; one that was retried is younger than those behind it
_PAUSE = 0.01  # seconds, in which others get their turn


@dataclass(frozen=True, slots=True)
class StoreSummary:
    """What is in a store.

    Attributes:
        counts: by destination.
        oldest: by destination: the age of the oldest waiting entry, in seconds.
        newest: the time of the newest of the first events, in seconds since 1970.
        deliverer_age: seconds since a process last claimed; None if none has.
    """

    counts: Mapping[str, DestinationCounts] = field(default_factory=dict[str, DestinationCounts])
    oldest: Mapping[str, float] = field(default_factory=dict[str, float])
    newest: float | None = None
    deliverer_age: float | None = None

    @property
    def waiting(self) -> int:
        """The number of waiting entries."""
        return sum(each.waiting for each in self.counts.values())

    @property
    def held(self) -> int:
        """The number of held entries."""
        return sum(each.held for each in self.counts.values())

    @property
    def dead(self) -> int:
        """The number of dead letters."""
        return sum(each.dead for each in self.counts.values())

    @property
    def total(self) -> int:
        """The number of all entries."""
        return self.waiting + self.held + self.dead


class CommandStore:
    """The store of a directory. Reading makes no directory and no file. All methods raise CommandError.

    Args:
        directory: the directory, which need not exist.
        patience: seconds to wait for a turn.

    Attributes:
        path: the directory.
    """

    def __init__(self, directory: Path, patience: float = PATIENCE) -> None:
        self.path: Path = directory
        self._patience = patience
        self._store = SqliteStore(directory, "FULL", patience=patience)
        self._directory = self._store.directory
        self._writer = token_hex(16)
        self._number = 0

    def __enter__(self) -> CommandStore:
        return self

    def __exit__(self, *error: object) -> None:
        self._store.close()

    @property
    def exists(self) -> bool:
        """Whether there is a database."""
        return self._directory.identity() is not None

    @property
    def name(self) -> str:
        """The name of the database's file."""
        return self._directory.database.name

    @property
    def files(self) -> list[Path]:
        """The regular files of the store."""
        try:
            return sorted(path for path in self._directory.path.iterdir() if path.is_file())
        except OSError:
            return []

    @property
    def size(self) -> int:
        """The size of the database and its log, in bytes."""
        beside = self._directory.database, self._directory.database.with_name(f"{self.name}-wal")
        return sum(path.stat().st_size for path in beside if path.exists())

    def summary(self) -> StoreSummary:
        """Return what is in the store."""
        if not self.exists:
            return StoreSummary()
        result = self._exchange(counts=True)
        oldest: dict[str, float] = {}
        newest: list[float] = []
        with _translated():
            for name, counts in result.counts.items():
                if counts.waiting:
                    first = self._store.read(StoreQuery(("waiting",), name, limit=_SAMPLE)).entries
                    oldest[name] = max((entry.age for entry in first), default=0.0)
                    newest += [event.time for entry in first if (event := event_of(entry)) is not None]
        return StoreSummary(result.counts, oldest, max(newest, default=None), result.deliverer_age)

    def count_waiting(self) -> int:
        """Return the number of waiting entries."""
        return sum(each.waiting for each in self._exchange(counts=True).counts.values()) if self.exists else 0

    def entries(
        self,
        states: Sequence[EntryState] = ("waiting", "held", "dead"),
        destination: str | None = None,
        event_id: str | None = None,
    ) -> Iterator[StoredEntry]:
        """Yield entries, in pages, so that other processes can go on. Raises StorageError."""
        after: int | None = 0
        while after is not None:
            page = self._store.read(StoreQuery(states, destination, event_id, after, _PAGE))
            yield from page.entries
            after = page.next

    def command(self, command: StoreCommand, until: float, on_progress: Callable[[], None]) -> int:
        """Have the store do something, also to what is still to be saved from damaged databases.

        Args:
            command: what to do.
            until: how long to wait for that, as a monotonic time.
            on_progress: called now and then.

        Returns:
            How many entries it concerned.
        """
        number = 0
        for _ in range(2):  # the command may be the first to find the damage
            self.salvage(until, on_progress)
            number += int(self._exchange(command).answers[0]) if self.exists else 0
            if not self.is_salvaging:
                break
        return number

    def check(self, on_progress: Callable[[int], None]) -> DatabaseCheck:
        """Check the database. Raises StorageError if it cannot be opened."""
        return check_database(self._directory, self._patience, on_progress)

    def quarantined(self) -> list[Path]:
        """Return the damaged databases, of which only the readable events were saved."""
        return self._directory.quarantined()

    def quarantined_entries(self, path: Path) -> Iterator[StoredEntry]:
        """Yield the readable entries of a damaged database. Raises OSError."""
        return read_quarantined(path)

    def remove(self, path: Path) -> None:
        """Remove a damaged database. Raises OSError."""
        remove_quarantined(path)

    @property
    def is_salvaging(self) -> bool:
        """Whether the readable events of a damaged database are not in the store yet."""
        return bool(self._directory.unsalvaged())

    def salvage(self, until: float, on_progress: Callable[[], None]) -> None:
        """Move the readable events of damaged databases into the store, up to a monotonic time."""
        while self.is_salvaging and time.monotonic() < until:
            self._exchange()
            on_progress()
            time.sleep(_PAUSE)

    def _exchange(self, *requests: StoreCommand, counts: bool = False) -> ExchangeResult:
        self._number += bool(requests)
        number = self._number if requests else 0
        with _translated():
            return self._store.exchange(ExchangeBatch(self._writer, number, 0.0, requests=requests, counts=counts))


@contextmanager
def _translated() -> Generator[None]:
    try:
        yield
    except StorageError as error:
        raise CommandError(
            f"the store cannot be used ({error.reason}); see `passerby doctor`, and try again"
        ) from error


def report_quarantined(store: CommandStore, err: TextIO) -> bool:
    """Report damaged databases. Returns whether there are any."""
    files = store.quarantined()
    if not files:
        return False
    err.write(
        f"{number_of(len(files), 'quarantined file')}: damaged, and events that are unreadable there were not saved; "
        "read it with `passerby outbox export --quarantined`, and keep the directory until then\n"
    )
    if store.is_salvaging:
        err.write("the readable events are not all saved yet: start the app, or run `passerby outbox flush`\n")
    return True
