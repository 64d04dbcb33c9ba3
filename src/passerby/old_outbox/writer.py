"""The writer: what an outbox does with its files. One thread at a time uses it, and only that waits for the disk."""

from __future__ import annotations

import os
from concurrent.futures import Future
from contextlib import suppress
from logging import Logger
from pathlib import Path

from ..logs import get_logger, log_loss
from . import Observer
from .adoption import Adoption, NotYet
from .board import Board
from .database import DISK_FULL, LOCKED, Corruption, Database, NewerFile, Synchronous, Trouble, translated
from .folder import Folder, HeldFile
from .intake import Intake
from .neighbours import Neighbours, NotNow
from .stock import Stock
from .upkeep import Upkeep

log: Logger = get_logger("passerby.outbox")

RETRY = 1.0  # seconds until the disk is tried again
_UNUSED = 1_000  # pages of the file, 4 MB, that may be without use when nothing waits
_AT_ONCE = 200  # pages given back at once


class Writer:
    """Writes the stock's changes into a file of this process, reads pages of it, and adopts files of dead processes.

    Args:
        stock: what is in memory.
        folder: where the files are.
        synchronous: how much a commit survives.
        look_every: seconds between two looks for files to adopt.

    Attributes:
        upkeep: does what is asked for with what is here.
        neighbours: the other processes of the folder.
        trouble: why what is told now is not recorded; None if it is.
        told: who is to hear that events are recorded.
        has_more: whether there may be more to acquire than before.
    """

    def __init__(self, stock: Stock, folder: Folder, synchronous: Synchronous, look_every: float) -> None:
        self._stock = stock
        self._folder = folder
        self._synchronous: Synchronous = synchronous
        self._look_every = look_every
        self._clock = stock.clocks.clock
        self.upkeep: Upkeep = Upkeep(stock)
        self.neighbours: Neighbours = Neighbours(stock, Board(folder, synchronous, stock.clocks.now), self.upkeep)
        self._intake = Intake(stock, self.neighbours.about, self.upkeep.jobs)
        self._process = os.getpid()
        self._file: HeldFile | None = None
        self._database: Database | None = None
        self._adoptions: list[Adoption] = []
        self._passed_over: set[Path] = set()
        self._next_look = self._clock()
        self._seekers: list[Future[None]] = []
        self._sought: list[Future[None]] = []  # of the seekers, those for whom it has begun to look
        self._is_quiet = False
        self.trouble: str | None = None
        self.told: list[Observer] = []
        self.has_more: bool = False

    def work(self) -> tuple[float, bool] | None:
        """Do what there is to do.

        Returns for how many seconds there is nothing, and whether that holds in any case; None once all is closed.
        """
        self._is_quiet = False
        if self._stock.is_closed:
            return None
        try:
            self._begin_to_look()
            self._find_file()
            busy = self._write()
            busy = self.neighbours.work() or busy
            busy = self.upkeep.work(self._database, self._clock()) or busy
            busy = self._adopt() or busy
            if self._fill():
                busy = self.has_more = True
            self._notice_more()
            busy = self._tidy() or busy
        except Trouble as trouble:
            self._suffer(trouble)
            return RETRY, True
        if self.trouble is not None:
            log.info("the outbox is written again (it was: %s)", self.trouble)
            self.trouble = None
        self._is_quiet = not busy
        return (0.0 if busy else self._pause()), False

    def _pause(self) -> float:
        pauses = (max(0.0, self._next_look - self._clock()), self.neighbours.pause(), self.upkeep.pause(self._clock()))
        return min(pause for pause in pauses if pause is not None)

    def _notice_more(self) -> None:
        self.has_more |= self.neighbours.has_more or self.upkeep.has_more
        self.neighbours.has_more = self.upkeep.has_more = False

    def look_soon(self) -> Future[None]:
        """Look for files to adopt; return what to wait for until there are none, and the windows are filled."""
        seeker: Future[None] = Future()
        with self._stock.lock:
            self._seekers.append(seeker)
        return seeker

    def done(self) -> list[Future[None]]:
        """Return who need not wait any longer."""
        with self._stock.lock:
            done = self._stock.pending.written()
            if self._is_quiet:
                done += self._sought
                self._sought = []
            return done

    def close(self) -> None:
        """Close all files; what is in them is for the next process. Raises Trouble."""
        adoptions, self._adoptions = self._adoptions, []
        for adoption in adoptions:
            adoption.let_go()
        self._next_look = self._clock()
        self.neighbours.close()
        file, database = self._file, self._database
        self._file = self._database = None
        if file is None:
            return
        try:
            if database is not None:  # else there was trouble
                is_empty = database.is_empty()
                database.close()
                if is_empty:
                    with translated():
                        file.remove()
        finally:
            file.let_go()

    def leave_to_parent(self) -> list[object]:
        """In a forked child: let go of the locks. Returns what must never be closed here."""
        if os.getpid() == self._process:  # no child at all: the files stay with whoever works on them
            return [self]
        adopted = [(one.file, one.database) for one in self._adoptions]
        kept = self.neighbours.leave_to_parent()
        for file, database in [(self._file, self._database), *adopted]:
            if file is not None:
                file.let_go()
            if database is not None:
                kept.append(database.connection)
        return kept

    def _begin_to_look(self) -> None:
        with self._stock.lock:
            if self._seekers:
                self._sought += self._seekers
                self._seekers = []
                self._next_look = self._clock()
                for adoption in self._adoptions:
                    adoption.not_before = self._next_look
                self.neighbours.look_soon()

    # Writing.

    def _write(self) -> bool:
        """Write one batch, so that those who wait for it need not wait for the next; whether there is more."""
        batch = self._stock.take_batch()
        if batch is None:
            return False
        try:
            if batch.inserts or (self._file is not None and (batch.updates or batch.deletes or batch.links)):
                own = self._own()
                if batch.is_last:  # so that what others asked for is written by then
                    own.heard = self.neighbours.heard
                own.write(batch.inserts, list(batch.updates.values()), batch.deletes, batch.links.items())
        except Trouble as trouble:
            self._stock.give_back(batch)
            if trouble.reason == DISK_FULL:
                self._make_space()
            raise
        except BaseException:
            self._stock.give_back(batch)
            raise
        self.told += self._stock.confirm(batch)
        return self._stock.pending.is_wanted

    def _make_space(self) -> None:
        """Delete what is only in the way: on a full disk there is room for that, and then for more."""
        while self._database is not None:
            with self._stock.lock:
                obsolete = self._stock.pending.obsolete(500)
                rows = [entry.row for entry in obsolete]
            if not obsolete:
                return
            try:
                self._database.write(deletes=rows)
            except Trouble:
                return
            with self._stock.lock:
                for entry in obsolete:
                    entry.row = 0

    def _find_file(self) -> None:
        """Open the file again after trouble; before anything is on its way there, as it may be gone."""
        if self._file is not None and self._database is None:
            if not self._file.path.exists():
                self._lose_file()
            else:
                self._own()

    def _own(self) -> Database:
        """Return this process's database; a new one if there is none."""
        if self._file is None:
            with translated():
                self._file = self._folder.make_file()
        if self._database is None:
            self._database = Database(self._file.path, self._synchronous)
        return self._database

    def _fill(self) -> bool:
        if self._stock.pending.is_long or not any(
            window.behind or window.short for window in list(self._stock.windows.values())
        ):
            return False
        return self._intake.fill(self._own())

    def _tidy(self) -> bool:
        """Give space back to the disk when nothing waits; whether there is more to give."""
        if self._database is None or not self._stock.is_empty:
            return False
        return self._database.unused() > _UNUSED and self._database.give_back_space(_AT_ONCE)

    # Adoption.

    def _adopt(self) -> bool:
        """Move one page of what somebody left behind; whether there is more."""
        now = self._clock()
        adoption = next((one for one in self._adoptions if one.not_before <= now), None)
        if adoption is None:
            if now < self._next_look:
                return False
            adoption = self._look()
        if adoption is None:
            self._next_look = now + self._look_every
            self.has_more |= self._stock.awaits_earlier
            self._stock.end_wait_for_earlier()
            if not self._adoptions:
                self.neighbours.forget_old()
            return False
        try:
            if adoption.move_page(self._own, self._intake, self._stock.clocks.now()):
                return True
        except NotNow:
            return False
        except NotYet as trouble:
            log.warning("what an outbox file holds is not to be had for now (%s); it is tried again", trouble.reason)
            adoption.not_before = now + self._look_every
            return True
        except NewerFile:
            log.warning("an outbox file of a newer version of passerby is left to that: %s", adoption.file.path)
            self._pass_over(adoption)
        except Trouble:
            if not adoption.file.path.exists():
                self._adoptions.remove(adoption)
            raise
        else:
            self._adoptions.remove(adoption)
        return True

    def _look(self) -> Adoption | None:
        """Take a file that somebody left behind, if there is one."""
        if self._file is not None and not self._file.is_in_place:
            self._lose_file()
            return self._adoptions[0]
        with translated():
            self._folder.make()
            for file in self._folder.abandoned_files():
                if file.path in self._passed_over:
                    file.let_go()
                    continue
                self._adoptions.append(Adoption(file))
                return self._adoptions[-1]
        return None

    def _pass_over(self, adoption: Adoption) -> None:
        self._passed_over.add(adoption.file.path)
        self._adoptions.remove(adoption)
        adoption.let_go()

    # Trouble.

    def _suffer(self, trouble: Trouble) -> None:
        if self.trouble != trouble.reason:
            log_loss(log, "the outbox cannot be written (%s); events wait in memory until it can", trouble.reason)
        self.trouble = trouble.reason
        if isinstance(trouble, Corruption):
            self._lose_file()
        elif trouble.reason not in (DISK_FULL, LOCKED):
            self._close_database()
        self.neighbours.refuse()
        self._stock.end_wait_for_earlier()
        self._intake.make_do()
        self.has_more = True

    def _lose_file(self) -> None:
        """Begin a file anew: what is in memory is written again, and of the rest what can be read."""
        file, database = self._file, self._database
        self._file = self._database = None
        if file is None:
            return
        left = self._stock.forget_file()
        if not file.is_in_place:
            self._adoptions.insert(0, Adoption(file, database, left))
            return
        if database is not None:
            with suppress(Trouble):
                database.close()
        self._adoptions.insert(0, Adoption(file, None, left))

    def _close_database(self) -> None:
        database, self._database = self._database, None
        if database is not None:
            with suppress(Trouble):
                database.close()
