"""What every exchange reads and writes: the rows of the table `state`, as objects, for the length of a turn."""

from __future__ import annotations

import os
import sqlite3
import time
from contextlib import suppress
from dataclasses import fields, replace
from operator import attrgetter
from pathlib import Path
from typing import Any

from ...values.json import dumps, loads
from ..contract import WRITER_AGE, StorageError
from ..counts import DestinationCounts
from ..service import ServiceState
from .database import CorruptDatabase

_LIVE = 10.0  # seconds after which a writer of another kernel is taken for gone
_STORE = "store"
_service_values = attrgetter(*(field.name for field in fields(ServiceState)))


def boot_id() -> str:
    """Return what names this boot of this kernel."""
    with suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return "unknown"


def boot_time() -> float:
    """Return seconds since the boot. All processes of a host have the same, and no clock change touches it."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


BOOT = boot_id()


class DestinationRow:
    """One destination: its number, counts and service."""

    __slots__ = ("counts", "number", "service")

    def __init__(self, number: int, counts: DestinationCounts, service: ServiceState) -> None:
        self.number: int = number
        self.counts: DestinationCounts = counts
        self.service: ServiceState = service

    def dump(self) -> list[Any]:
        """Return what is kept of it."""
        counts = self.counts
        numbers = counts.recorded, counts.delivered, counts.waiting, counts.held, counts.dead, counts.unlinked
        return [self.number, [*numbers, counts.dropped], _service_values(self.service)]


class StoreState:
    """All rows. Raises CorruptDatabase if they cannot be read.

    Args:
        connection: in a transaction.
        writer: whose row is read too.

    Attributes:
        writer: the same.
        now: the store's time.
        number: the number of the writer's last batch, or 0.
        answers: the answers to its last batch.
        values: the store's own values, by name.
        destinations: by name.
        touched: the destinations that may have changed.
    """

    def __init__(self, connection: sqlite3.Connection, writer: str) -> None:
        self._connection = connection
        self.writer = writer
        self.touched: set[str] = set()
        self.now: float = 0.0
        self.number: int
        self.answers: list[Any]
        try:
            query = "SELECT key, value FROM state WHERE key IN (?, 'store')"
            rows: dict[str, Any] = dict(connection.execute(query, (f"writer:{writer}",)))
            self.values: dict[str, Any] = loads(rows.pop(_STORE)) if _STORE in rows else self._create()
            self._writer_number, self.number, _, self.answers = loads(rows.pop(f"writer:{writer}", "[0, 0, 0, []]"))
            self.destinations: dict[str, DestinationRow] = {}
            for name, (number, counts, service) in self.values.pop("destinations").items():
                self.destinations[name] = DestinationRow(number, DestinationCounts(*counts), ServiceState(*service))
            self._names = {row.number: name for name, row in self.destinations.items()}
        except (ValueError, TypeError, KeyError, IndexError) as error:
            raise CorruptDatabase(f"state damaged ({type(error).__name__})") from error

    def begin(self, clock: float | None) -> None:
        """Begin a turn; without a clock, on one that no clock change touches. Raises StorageError."""
        self.touched.clear()
        self.now = self._read_clock() if clock is None else clock

    def _create(self) -> dict[str, Any]:
        # Numbers of events begin with the time, so that those of a file that was lost never come again. Those of a
        # damaged one do, from its salvage, and are before the new ones.
        (generation,) = self._connection.execute("SELECT value FROM state WHERE key = 'generation'").fetchone()
        first = int(time.time() * 1000) + (int(generation) << 24)
        values: dict[str, Any] = {
            "key": os.urandom(16).hex(),
            "deliverer": None,
            "damaged": 0,
            "expired": 0.0,
            "links": 0,
        }
        values |= {"next": first, "writers": 0, "bytes": 0, "entries": 0, "marks": 0, "watched": 0.0}
        return values | {"destinations": {}, "boot": BOOT, "offset": time.time() - boot_time()}

    def _read_clock(self) -> float:
        values, wall = self.values, time.time()
        if values["boot"] != BOOT:
            if abs(wall - values["beat"]) < _LIVE:
                raise StorageError("another machine uses this directory; name one on a local disk")
            values["boot"] = BOOT
            values["offset"] = max(wall, values["now"]) - boot_time()
        return float(values["offset"]) + boot_time()

    def of(self, name: str) -> DestinationRow:
        """Return a destination's row, which is written at the end."""
        row = self.destinations.get(name)
        if row is None:
            number = 1 + max(self._names, default=0)
            row = self.destinations[name] = DestinationRow(number, DestinationCounts(), ServiceState())
            self._names[number] = name
        self.touched.add(name)
        return row

    def name_of(self, number: int) -> str | None:
        """Return the name of a destination, or None if no destination has this number."""
        return self._names.get(number)

    def next(self) -> int:
        """Return the number of a new event."""
        self.values["next"] += 1
        return int(self.values["next"])

    def add(self, entries: int, size: int) -> None:
        """Count entries that wait or are held, and their bytes."""
        self.values["entries"] += entries
        self.values["bytes"] += size

    def counts_of(self, name: str, next_due: float | None, *, suspects: bool) -> DestinationCounts:
        """Return a destination's counts and state."""
        row, now = self.destinations.get(name), self.now
        if row is None:
            return DestinationCounts()
        return replace(
            row.counts,
            dropped=dict(row.counts.dropped),
            breaker=row.service.breaker(now),
            not_before=max(0.0, row.service.not_before - now),
            next_due=None if next_due is None else max(next_due, row.service.next_call(now)) - now,
            suspects=suspects,
        )

    def new_token(self, number: int) -> int:
        """Return the token of claims of this batch."""
        if not self._writer_number:
            self.values["writers"] += 1
            self._writer_number = self.values["writers"]
        return int(self._writer_number << 32 | number & 0xFFFFFFFF)

    def save(self, number: int, answers: list[Any]) -> None:
        """Write the rows, within the transaction."""
        if not self.number:  # a new writer
            self._connection.execute(
                "DELETE FROM state WHERE key >= 'writer:' AND key < 'x' AND json_extract(value, '$[2]') < ?",
                (self.now - WRITER_AGE,),
            )
        values, destinations = self.values, {name: row.dump() for name, row in self.destinations.items()}
        values["beat"], values["now"] = time.time(), self.now
        writer = [self._writer_number, number, self.now, answers]
        rows = [(_STORE, dumps({**values, "destinations": destinations})), (f"writer:{self.writer}", dumps(writer))]
        self._connection.executemany("INSERT OR REPLACE INTO state VALUES (?, CAST(? AS TEXT))", rows)
        self.number, self.answers = number, answers
