"""Reads pages of entries, outside of turns and without holding anybody up."""

from __future__ import annotations

from contextlib import suppress

from ..contract import StorageError
from ..reading import StoredEntry, StorePage, StoreQuery
from .database import connect, translated
from .directory import StoreDirectory
from .queue import STATES
from .rows import SLOTS
from .state import StoreState

_PAGE = """
SELECT e.seq, e.destination, e.state, v.event_id, v.visitor, v.payload, e.attempts, e.reason, e.since, e.ready
FROM entry e JOIN event v ON v.id = e.seq >> {slots}
WHERE e.seq > ? AND e.state IN ({states}) AND (? IS NULL OR e.destination = ?) AND (? IS NULL OR v.event_id = ?)
ORDER BY e.seq LIMIT ?
"""


def read_page(directory: StoreDirectory, query: StoreQuery, clock: float | None, patience: float) -> StorePage:
    """Return a page of entries. Raises StorageError."""
    if directory.identity() is None:
        return StorePage((), None)
    connection = connect(directory, read_only=True)
    try:
        with translated():
            connection.execute("BEGIN")
            state = StoreState(connection, "")
            state.begin(clock)
            row = None if query.destination is None else state.destinations.get(query.destination)
            if row is None and query.destination is not None:
                return StorePage((), None)
            states = ", ".join(str(STATES.index(each)) for each in query.states)
            number, event_id = None if row is None else row.number, query.event_id
            values = query.after, number, number, event_id, event_id, query.limit + 1
            found = connection.execute(_PAGE.format(slots=SLOTS, states=states), values).fetchall()
    finally:
        with suppress(StorageError), directory.turn(patience):
            connection.close()  # in a turn, as the last one that is closed moves the log into the file
        connection.close()
    entries = tuple(
        StoredEntry._make(
            (state.name_of(row[1]), STATES[int(row[2])], *row[3:8], state.now - row[8], row[9] - state.now)
        )
        for row in found[: query.limit]
    )
    return StorePage(entries, found[query.limit - 1][0] if len(found) > query.limit else None)
