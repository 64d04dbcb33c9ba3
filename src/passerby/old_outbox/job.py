"""The job: what an owner is asked to do with its file, and what that means for rows that are read before it is done."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field

from .database import Database, Slice
from .row import BEGINNING, Row
from .window import Stored


@dataclass(slots=True, eq=False)
class Job:
    """What is left to be done in the file.

    Attributes:
        done: who waits for it; is told how many entries were concerned.
        number: how many those are so far.
        look: gives the next slice of the file; None once there are no more.
        is_meant: which rows of it are meant.
        treat: does it to them, and returns how many they were.
        is_purge: whether nothing is to remain in the file of what was deleted.
        database: which file it goes through.
        begin_at: which change is to be written before it is begun, such as whose the events of a visit are.
        place: how far it has got.
        mark: which change is to be written before it is done.
        tries: how often the log could not be emptied.
        pause_until: when that is tried again.
    """

    done: Future[int] = field(default_factory=Future[int])
    number: int = 0
    look: Callable[[Database, int], Slice] | None = None
    is_meant: Callable[[Row], bool] = bool
    treat: Callable[[Database, Sequence[Row]], int] | None = None
    is_purge: bool = False
    database: Database | None = None
    begin_at: int = 0
    place: int = BEGINNING
    mark: int | None = None
    tries: int = 0
    pause_until: float = 0.0

    def is_to_meet(self, row: Row, database: Database) -> bool:
        """Whether it means a row to which it has not come in a file."""
        place = self.place if self.database is database else BEGINNING
        return self.look is not None and row.place > place and self.is_meant(row)


class Orders:
    """What is asked to be done with rows that are read before the work on the file has come to them.

    Most of that is found out before the stock's lock is taken, as it may take its time.

    Args:
        jobs: lists what is to be done still.
        notes: which browser ID belongs to which visit.
        database: the file.
        rows: what was read of it.

    Attributes:
        purged: what was dropped; who waits for it is to be told.
    """

    def __init__(
        self, jobs: Callable[[], list[Job]], notes: Mapping[str, str], database: Database, rows: Sequence[Row]
    ) -> None:
        self._list_jobs = jobs
        self._notes = notes
        self._database = database
        self._rows = rows
        self._jobs = jobs()
        self._by_place: dict[int, list[Job]] = {}
        self.purged: list[Stored] = []
        self._find(self._jobs)

    def hear_the_last(self) -> None:
        """Find out what was asked for meanwhile; from now on until the end the stock's lock is held."""
        self._find(self._list_jobs()[len(self._jobs) :])

    def are_to_purge(self, place: int) -> bool:
        """Whether an entry is to be dropped, which is counted."""
        job = next((job for job in self._by_place.get(place, ()) if job.is_purge), None)
        if job is not None:
            job.number += 1
        return job is not None

    def are_to_hurry(self, place: int) -> bool:
        """Whether an entry is to be due at once, which is counted."""
        jobs = [job for job in self._by_place.get(place, ()) if not job.is_purge]
        for job in jobs:
            job.number += 1
        return bool(jobs)

    def _find(self, jobs: Sequence[Job]) -> None:
        for row in self._rows if jobs else ():
            if row.linked == "":  # the file may not have heard yet whose it is
                row = row._replace(linked=self._notes.get(row.visitor, ""))
            meant = [job for job in jobs if job.is_to_meet(row, self._database)]
            if meant:
                self._by_place.setdefault(row.place, []).extend(meant)
