"""Upkeep: what an owner is asked to do with what waits, is held, or is dead, wherever that is.

What is in memory is done with at once; then the file is gone through in slices, between which events are written.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Sequence
from concurrent.futures import Future
from itertools import islice
from logging import Logger
from math import inf

from ..logs import get_logger
from .database import Database
from .entry import PURGED, tell_dropped
from .fate import is_about, is_of_the_future
from .job import Job
from .row import BEGINNING, Row, well_formed
from .shelf import IsMeant
from .stock import Stock
from .window import Stored, Window

log: Logger = get_logger("passerby.outbox")

SLICE = 500  # entries of the file that are looked through at once, some milliseconds
_VISITORS = 1_000  # for whom something is held, looked through while nobody else may touch it
_PAGES = 200  # given back to the disk at once
_TRIES = 10  # how often it is tried to empty the log, a second apart, while others read the file


class Upkeep:
    """Does such work on a stock and its file.

    The operations may be called from any thread; they return what to wait for until they are done on disk as well.

    Attributes:
        has_more: whether there may be more to acquire than before.
    """

    def __init__(self, stock: Stock) -> None:
        self._stock = stock
        self._jobs: deque[Job] = deque()
        self._done: list[Job] = []
        self.has_more: bool = False

    # What is asked for.

    def purge_visitor(self, who: str, told_by: float, at: float) -> Future[int]:
        """Drop all that is kept of a visitor and was told by a time.

        Args:
            who: a browser ID or a user ID.
            told_by: the time, on the callers' clock.
            at: the same time, in seconds since 1970.
        """
        is_about_who = self._stock.links.is_about

        def is_meant(entry: Stored, whose: str | None) -> bool:
            return entry.since <= told_by and (whose == who or is_about_who(entry.event, who))

        if not who:  # nobody: what is on disk only has no name here
            return self._begin(Job())
        text, now = well_formed(who), self._stock.clocks.now
        job = Job(
            look=lambda database, place: database.slice_of_person(place, SLICE, text),
            is_meant=lambda row: (row.told_at <= at or is_of_the_future(row, now())) and is_about(row, text),
            treat=self._purge_rows,
            is_purge=True,
            begin_at=self._stock.pending.marked,
            pause_until=inf,
        )
        done = self._begin(job)  # from now on nothing of it comes from the disk; what is in memory goes first
        try:
            self._purge_memory(is_meant, job)
        finally:
            with self._stock.lock:
                job.pause_until = 0.0
                self.has_more = True
        return done

    def purge_dead(self, destination: str | None, event_id: str | None, died_by: float, at: float) -> Future[int]:
        """Drop dead letters that died by a time, given on both clocks; None stands for all."""
        gone: list[Stored] = []
        with self._stock.lock:
            for window in self._windows(destination):
                letters = window.take_letters(_is_letter(event_id, died_by))
                self._stock.drop_entries(window, letters, PURGED)
                gone += letters
            is_more_on_disk = any(
                not window.is_configured and window.tally.dead > len(window.letters)
                for window in self._windows(destination)
            )
        tell_dropped(gone, PURGED)
        job = Job(number=len(gone), is_purge=True)
        if is_more_on_disk:
            job.look = lambda database, place: database.slice_of_dead(place, SLICE)
            job.is_meant = lambda row: (
                row.state == "dead"
                and row.due <= at
                and destination in (None, row.destination)
                and event_id in (None, row.event_id)
            )
            job.treat = self._purge_rows
        return self._begin(job)

    def retry_dead(self, destination: str | None, event_id: str | None, died_by: float, now: float) -> Future[int]:
        """Let dead letters that died by a time wait again, as if they were told now; None stands for all.

        Those for a destination that is not configured stay dead: nothing is sent there.
        """
        number = 0
        with self._stock.lock:
            for window in self._windows(destination):
                if window.is_configured:
                    letters = window.take_letters(_is_letter(event_id, died_by))
                    number += len(letters)
                    for entry in letters:
                        self._stock.revive(entry, now)
        return self._begin(Job(number=number))

    def send_now(self, at: float) -> Future[int]:
        """Let all that waits for a later attempt be due; on disk, what was told by a time in seconds since 1970."""
        job = Job()
        with self._stock.lock:
            for window in self._stock.windows.values():
                for entry in window.hurry():
                    self._stock.pending.mark(entry)
                    job.number += 1
                if window.behind or window.parked:
                    job.look = lambda database, place: database.slice_of_later(place, SLICE)
        job.is_meant = lambda row: row.due > 0 and row.told_at <= at
        job.treat = self._hurry_rows
        return self._begin(job)

    # Piece by piece.

    def jobs(self) -> list[Job]:
        """Return what is to be done still, in the order in which it was asked for."""
        with self._stock.lock:
            return list(self._jobs)

    def work(self, database: Database | None, now: float) -> bool:
        """Do a piece of what there is to do; whether there is more. Raises Trouble, and can then be called again."""
        with self._stock.lock:
            job = self._jobs[0] if self._jobs else None
        if job is None or job.pause_until > now:
            return False
        if not self._stock.pending.is_written(job.begin_at):
            return True
        if database is not None and self._search(job, database):
            return True
        if job.mark is None:
            job.mark = self._stock.pending.marked
        if not self._stock.pending.is_written(job.mark):
            return True
        if job.is_purge and database is not None and not self._wipe(job, database, now):
            return job.pause_until <= now
        self._jobs.popleft()
        self._done.append(job)
        return bool(self._jobs)

    def pause(self, now: float) -> float | None:
        """For how many seconds there is nothing to do; None if there is nothing at all."""
        with self._stock.lock:
            return max(0.0, self._jobs[0].pause_until - now) if self._jobs else None

    def done(self) -> list[tuple[Future[int], int]]:
        """Return who need not wait any longer, and what they are told."""
        done, self._done = self._done, []
        return [(job.done, job.number) for job in done]

    def give_up(self) -> list[Future[int]]:
        """Leave the rest to whoever adopts the file, and finds the notices; return who waits in vain."""
        with self._stock.lock:
            jobs = list(self._jobs)
            self._jobs.clear()
        return [job.done for job in jobs]

    def _begin(self, job: Job) -> Future[int]:
        with self._stock.lock:
            if self._stock.is_closed:
                job.done.cancel()
            else:
                self._jobs.append(job)
                self.has_more = True
        return job.done

    def _search(self, job: Job, database: Database) -> bool:
        """Look through one slice of the file; False if there was none left."""
        if job.look is None or job.treat is None:
            return False
        if job.database is not database:
            job.database, job.place = database, BEGINNING
        found = job.look(database, job.place)
        rows = [row for row in found.rows if job.is_meant(row)]
        if rows:
            number = job.treat(database, rows)
            with self._stock.lock:
                job.number += number
            self.has_more = True
        if found.end is None:  # what comes behind these is written later, and nobody waits until that comes no more
            job.look = None
            return False
        job.place = found.end
        return True

    def _wipe(self, job: Job, database: Database, now: float) -> bool:
        """Leave nothing in the file of what was deleted; whether that is done."""
        if database.give_back_space(_PAGES):
            return False
        if database.give_back_log():
            return True
        job.tries += 1
        job.pause_until = now + 1.0
        if job.tries < _TRIES:
            return False
        log.warning(
            "another program keeps an outbox file from being cleaned: what was purged is dropped, and its text stays "
            "in the file's log until that is written over; close the other program and purge once more"
        )
        return True

    # What is purged, or made due.

    def _windows(self, destination: str | None) -> list[Window]:
        return [window for name, window in self._stock.windows.items() if destination in (None, name)]

    def _purge_memory(self, is_meant: IsMeant[Stored], job: Job) -> None:
        number = 0
        for window in list(self._stock.windows.values()):
            number += self._purge_window(window, is_meant, ())
            with self._stock.lock:
                visitors = iter(list(window.held))
            while part := list(islice(visitors, _VISITORS)):
                number += self._purge_held(window, is_meant, part)
        with self._stock.lock:
            job.number += number

    def _purge_window(self, window: Window, is_meant: IsMeant[Stored], visitors: Collection[str]) -> int:
        with self._stock.lock:
            waiting = window.take_out(is_meant)
            window.tally.waiting -= len(waiting)
            gone = waiting + window.take_letters(is_meant)
            self._stock.drop_entries(window, gone, PURGED)
        tell_dropped(gone, PURGED)
        return len(gone) + self._purge_held(window, is_meant, visitors)

    def _purge_held(self, window: Window, is_meant: IsMeant[Stored], visitors: Collection[str]) -> int:
        with self._stock.lock:
            held = window.take_held(is_meant, visitors)
            window.tally.held -= len(held)
            self._stock.drop_entries(window, held, PURGED)
        tell_dropped(held, PURGED)
        return len(held)

    def _purge_rows(self, database: Database, rows: Sequence[Row]) -> int:
        """Drop what is meant: what is in memory as that, and what is not from the file."""
        known = self._known(rows)
        here = {known[row.place] for row in rows if row.place in known}
        number = 0
        if here:
            for window in list(self._stock.windows.values()):
                number += self._purge_window(window, lambda entry, _: entry in here, self._holders(rows))
        elsewhere = [row for row in rows if row.place not in known]
        # What is on disk only, nobody else touches; it is counted once it is gone.
        database.write(deletes=[row.place for row in elsewhere])
        return number + self._count_purged(elsewhere)

    def _count_purged(self, rows: Sequence[Row]) -> int:
        gone: list[Stored] = []
        with self._stock.lock:
            for row in rows:
                entry = self._stock.take_from_disk(row)
                if entry is not None:
                    entry.shelf.count_dropped(PURGED)
                    gone.append(entry)
        tell_dropped(gone, PURGED)
        return len(gone)

    def _hurry_rows(self, database: Database, rows: Sequence[Row]) -> int:
        known = self._known(rows)
        places = [row.place for row in rows if row.place not in known]
        database.hurry(places)
        return len(places)

    def _known(self, rows: Sequence[Row]) -> dict[int, Stored]:
        """Return the entries that are in memory, by their place in the file; of the held those that rows may be."""
        known: dict[int, Stored] = {}
        with self._stock.lock:
            for entry in self._stock.pending.in_file():
                known[entry.row] = entry
            for window in self._windows_of(rows):
                for entry in (*window.in_lanes(), *window.letters, *window.unwritten.values()):
                    known[entry.row] = entry
                for whose in self._holders(rows):
                    known.update((entry.row, entry) for entry in window.held.get(whose, ()))
        return known

    def _windows_of(self, rows: Sequence[Row]) -> list[Window]:
        names = {row.destination for row in rows}
        return [window for name, window in self._stock.windows.items() if name in names]

    def _holders(self, rows: Sequence[Row]) -> set[str]:
        """Return under whose names rows may be held."""
        whose = self._stock.links.whose
        held = [row for row in rows if row.state == "held"]
        return {row.linked or row.visitor for row in held} | {whose(row.visitor) for row in held}


def _is_letter(event_id: str | None, died_by: float) -> IsMeant[Stored]:
    return lambda entry, _: entry.due <= died_by and event_id in (None, entry.event.id)
