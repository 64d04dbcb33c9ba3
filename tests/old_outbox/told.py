"""Events to put into an outbox, and someone who wants to know what becomes of them."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable

from passerby.events.event import Event
from passerby.old_outbox import Outbox
from passerby.old_outbox.sqlite import SqliteOutbox
from passerby.old_outbox.window import Stored
from passerby.values.outcome import Outcome

MakeOutbox = Callable[..., Outbox]

_numbers = itertools.count(1)


def is_long() -> bool:
    """Whether there is time for many more rounds."""
    return os.environ.get("LONG_TESTS") == "1"


class Listener:
    """An observer that keeps what it hears, in order."""

    def __init__(self) -> None:
        self.heard: list[object] = []

    def on_stored(self) -> None:
        self.heard.append("stored")

    def on_settled(self, destination: str, outcome: Outcome) -> None:
        self.heard.append((destination, outcome))


def die(outbox: SqliteOutbox) -> None:
    """Do what the death of the process does: nothing is written any more, and the locks are gone."""
    assert outbox._crew.journal.stop(30)
    outbox._stock.is_closed = True
    writer = outbox._writer
    writer.neighbours.close()
    for file, database in [(writer._file, writer._database), *((one.file, one.database) for one in writer._adoptions)]:
        if database is not None:
            database._connection.close()
        if file is not None:
            file.let_go()


class PatientOutbox(SqliteOutbox):
    """An outbox on disk of which more is acquired only when what was wanted before has been read."""

    def acquire(self, destination: str, limit: int, now: float) -> list[Stored]:
        entries: list[Stored] = []
        while len(entries) < limit:
            self.start().result(30)
            more = super().acquire(destination, limit - len(entries), now)
            if not more:
                break
            entries += more
        return entries


def event_of(visitor: str, *, browser_id: str | None = "a browser ID", id: str | None = None) -> Event:
    return Event(
        id=id or f"event {next(_numbers)}",
        kind="event",
        type="ADD",
        time=1_750_000_000.0,
        browser_id=browser_id,
        visitor=visitor,
        user_id=None,
        data={},
        extension={},
    )


def flush(outbox: Outbox) -> None:
    """Wait until all that was told is recorded."""
    assert outbox.flush_to_disk(30)


def put(outbox: Outbox, visitor: str, *destinations: str, now: float = 0.0) -> str:
    """Put one event; return its ID."""
    event = event_of(visitor)
    outbox.put(event, destinations or ("a",), Listener(), now)
    return event.id


def hold(outbox: Outbox, visitor: str, *destinations: str) -> str:
    """Hold one event; return its ID."""
    event = event_of(visitor)
    outbox.hold(event, destinations or ("a",), Listener(), 0.0)
    return event.id


def acquired_ids(outbox: Outbox, destination: str = "a", limit: int = 1000, now: float = 0.0) -> list[str]:
    return [entry.event.id for entry in outbox.acquire(destination, limit, now)]


def delivered_ids(outbox: Outbox, destination: str = "a", now: float = 0.0) -> list[str]:
    """Deliver all that can be delivered; return the IDs in their order."""
    ids: list[str] = []
    while entries := outbox.acquire(destination, 1000, now):
        for entry in entries:
            ids.append(entry.event.id)
            outbox.settle_delivered(entry, None)
    return ids


def all_delivered(outbox: SqliteOutbox) -> list[str]:
    """Deliver all that waits for "a", and what has to be read for that; return the IDs in their order."""
    ids: list[str] = []
    while outbox.tally("a").waiting:
        ids += delivered_ids(outbox, now=1e12)
        assert is_balanced(outbox)
        if outbox.tally("a").waiting:
            outbox.start().result(30)
    return ids


def is_balanced(outbox: Outbox, destination: str = "a") -> bool:
    tally = outbox.tally(destination)
    return tally.enqueued == tally.delivered + tally.waiting + tally.held + tally.dead + sum(tally.dropped.values())
