"""Changing a file whose process is gone, with its lock in hand: nobody else has it meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

from .database import CORRUPTED, Database, Trouble, translated
from .folder import Folder
from .intake import HELD_NOT_CONFIGURED
from .row import BEGINNING, Row, State
from .salvage import Reader

PAGE = 500  # entries changed in one transaction

Wanted = Callable[[Row], bool]


class Edit:
    """A file that was taken to be changed. All methods raise Trouble."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def retry(self, is_wanted: Wanted, now: float) -> int:
        """Have dead letters wait again, behind all else and as if they had just been told; return how many."""
        last = self._database.before(None, BEGINNING)
        place = last.place if last is not None else 0
        number = 0
        for rows in self._pages(lambda row: row.state == "dead" and is_wanted(row)):
            again = [_begun_anew(row, place + step, now) for step, row in enumerate(rows, 1)]
            self._database.write(inserts=again, deletes=[row.place for row in rows])
            place += len(rows)
            number += len(rows)
        return number

    def purge(self, is_wanted: Wanted) -> int:
        """Delete entries, and see that nothing of them, nor of any deleted before, is left; return how many."""
        number = 0
        for rows in self._pages(is_wanted):
            self._database.write(deletes=[row.place for row in rows])
            number += len(rows)
        if not self._database.is_empty():  # else it is removed
            self._database.rewrite()
        return number

    def _pages(self, is_wanted: Wanted) -> Iterator[list[Row]]:
        reader = Reader(self._database)
        while rows := reader.read(PAGE):
            wanted = [row for row in rows if is_wanted(row)]
            if wanted:
                yield wanted
        if reader.is_damaged:
            raise Trouble(CORRUPTED)


def _begun_anew(row: Row, place: int, now: float) -> Row:
    state: State = "held" if row.reason == HELD_NOT_CONFIGURED else "waiting"
    return row._replace(place=place, state=state, told_at=now, attempts=0, due=0.0, wait=0.0, reason=None)


@contextmanager
def taken(folder: Folder, path: Path) -> Generator[Edit | None]:
    """Take a file to change it; None while a process has it or somebody looks at it. Raises Trouble.

    What is in it afterwards is for the next process; an empty file is removed.
    """
    with translated():
        file = folder.take(path)
    if file is None:
        yield None
        return
    try:
        database = Database(path)
        try:
            yield Edit(database)
            is_empty = database.is_empty()
        finally:
            database.close()
        if is_empty:
            with translated():
                file.remove()
    finally:
        file.let_go()
