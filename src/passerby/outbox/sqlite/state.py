"""What every exchange reads and writes: the rows of the table `state`, as objects, for the length of a turn."""

from __future__ import annotations

import os
import sqlite3
import time
from contextlib import suppress
from dataclasses import fields, replace
from operator import attrgetter
from pathlib import Path
from typing import Any, NamedTuple

from ...values.json import dumps, loads
from ..contract import WRITER_AGE, StorageError
from ..counts import DestinationCounts
from ..service import ServiceState
from .database import CorruptDatabase

_LIVE = 10.0  # seconds after which a writer of another kernel is taken for gone
_SEEN_EVERY = 5.0  # seconds between two notes that a process delivers
_SERVICE = attrgetter(*(field.name for field in fields(ServiceState)))
_COUNTS = attrgetter("recorded", "delivered", "waiting", "held", "dead", "unlinked", "dropped")
_SAVE = "INSERT OR REPLACE INTO state VALUES (?, CAST(? AS TEXT))"
_OLD_WRITERS = "DELETE FROM state WHERE key >= 'writer:' AND key < 'x' AND json_extract(value, '$[2]') < ?"


def boot_id() -> str:
    """Return what names this boot of this kernel."""
    with suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return "unknown"


def boot_time() -> float:
    """Return seconds since the boot. All processes of a host have the same, and no clock change touches it."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


BOOT = boot_id()


class DestinationRow(NamedTuple):
    """One destination."""

    number: int
    counts: DestinationCounts
    service: ServiceState


class StoreState:
    """All rows. Raises CorruptDatabase if they cannot be read.

    Args:
        connection: in a transaction.
        writer: whose row is read too.

    Attributes:
        now: the store's time.
        number: the number of the writer's last batch, or 0.
        answers: the answers to its last batch.
        values: the store's own values, by name.
        destinations: by name.
        is_touched: whether something may have changed in this turn.
    """

    def __init__(self, connection: sqlite3.Connection, writer: str) -> None:
        self._connection = connection
        self.writer = writer
        self._key = f"writer:{writer}"
        self.is_touched: bool = False
        self.now: float = 0.0
        self.number: int
        self.answers: list[Any]
        try:
            rows = dict(connection.execute("SELECT key, value FROM state WHERE key IN (?, 'store')", (self._key,)))
            self.values: dict[str, Any] = loads(rows["store"]) if "store" in rows else self._create()
            self._writer_number, self.number, _, self.answers = loads(rows.get(self._key, "[0, 0, 0, []]"))
            self.destinations: dict[str, DestinationRow] = {
                name: DestinationRow(number, DestinationCounts(*counts), ServiceState(*service))
                for name, (number, counts, service) in self.values.pop("destinations").items()
            }
        except (ValueError, TypeError, KeyError, IndexError) as error:
            raise CorruptDatabase(f"state damaged ({type(error).__name__})") from error
        self._names = {row.number: name for name, row in self.destinations.items()}

    def begin(self, clock: float | None) -> None:
        """Begin a turn; without a clock, on one that no clock change touches. Raises StorageError."""
        self.is_touched = False
        self.now = self._read_clock() if clock is None else clock

    def _create(self) -> dict[str, Any]:
        # Numbers of events begin with the time, so that those of a file that was lost never come again. Those of a
        # damaged one do, from its salvage, and are before the new ones.
        (generation,) = self._connection.execute("SELECT value FROM state WHERE key = 'generation'").fetchone()
        first = int(time.time() * 1000) + (int(generation) << 24)
        values = dict.fromkeys(("damaged", "expired", "links", "writers", "bytes", "entries", "marks", "watched"), 0)
        values |= {"log": 0, "checkpoint": 0, "next": first}
        others: dict[str, Any] = {"key": os.urandom(16).hex(), "deliverer": None, "destinations": {}, "boot": BOOT}
        return {**values, **others, "offset": time.time() - boot_time()}

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
        self.is_touched = True
        row = self.destinations.get(name)
        if row is None:
            number = 1 + max(self._names, default=0)
            row = self.destinations[name] = DestinationRow(number, DestinationCounts(), ServiceState())
            self._names[number] = name
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

    @property
    def deliverer_age(self) -> float | None:
        """Seconds since any process last claimed."""
        seen = self.values["deliverer"]
        return None if seen is None else self.now - seen

    def note_deliverer(self) -> None:
        """Note, now and then, that a process delivers."""
        if self.deliverer_age is None or self.deliverer_age > _SEEN_EVERY:
            self.values["deliverer"] = self.now
            self.is_touched = True

    def counts_of(self, name: str, next_head: tuple[float | None, bool], suspects: bool) -> DestinationCounts:
        """Return a destination's counts and state; `next_head` is when its next event is due, and if it is claimed."""
        row, now, (next_due, is_next_claimed) = self.destinations.get(name), self.now, next_head
        if row is None:
            return DestinationCounts()
        return replace(
            row.counts,
            dropped=dict(row.counts.dropped),
            breaker=row.service.breaker(now),
            not_before=max(0.0, row.service.not_before - now),
            next_due=None if next_due is None else max(next_due, row.service.next_call(now)) - now,
            is_next_claimed=is_next_claimed,
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
            self._connection.execute(_OLD_WRITERS, (self.now - WRITER_AGE,))
        kept = {
            name: (row.number, _COUNTS(row.counts), _SERVICE(row.service)) for name, row in self.destinations.items()
        }
        store = {**self.values, "beat": time.time(), "now": self.now, "destinations": kept}
        writer = [self._writer_number, number, self.now, answers]
        self._connection.executemany(_SAVE, [("store", dumps(store)), (self._key, dumps(writer))])
        self.number, self.answers = number, answers
