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
SELECT e.seq, e.destination, e.state, v.event_id, v.visitor, v.payload, e.attempts, e.reason, ? - e.since, e.ready - ?
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
            numbers: dict[str | None, int | None] = {None: None}
            numbers |= {name: row.number for name, row in state.destinations.items()}
            if query.destination not in numbers:
                return StorePage((), None)
            number, event_id = numbers[query.destination], query.event_id
            values = state.now, state.now, query.after, number, number, event_id, event_id, query.limit + 1
            states = ", ".join(str(STATES.index(each)) for each in query.states)
            found = connection.execute(_PAGE.format(slots=SLOTS, states=states), values).fetchall()
    finally:
        with suppress(StorageError), directory.turn(patience):
            connection.close()  # in a turn, as the last one that is closed moves the log into the file
        connection.close()
    page = found[: query.limit]
    entries = [StoredEntry(state.name_of(number) or "", STATES[int(kind)], *rest) for _, number, kind, *rest in page]
    return StorePage(tuple(entries), page[-1][0] if len(found) > query.limit else None)
