"""Adoption: moving what a dead process left behind into the file of this one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from logging import ERROR, Logger

from ..logs import get_logger, log_loss
from .database import CORRUPTED, UNKNOWN, Corruption, Database, NewerFile, Trouble, translated
from .folder import HeldFile
from .intake import Intake
from .row import Heard, Row
from .salvage import Reader, check_emptied, lengthen, renew_header
from .stock import NOTHING_KNOWN, Left

log: Logger = get_logger("passerby.outbox")

PAGE = 500  # rows moved at once
_PATIENCE = 0.05  # seconds that somebody else may have the file: what is told meanwhile waits to be written


class NotYet(Trouble):
    """The file may be as it should, and cannot be read for now: it is to be tried again later."""


class Adoption:
    """Moves the entries of one file, in pages and in order, and then removes the file.

    What is moved is first written here and then deleted there: if the process dies in between, an event is in both, and
    none is lost.

    Args:
        file: held by this process.
        database: the file, if it is open already.
        left: what is known of a file that was this process's own.

    Attributes:
        file: the file.
        not_before: when it is to be gone on with, on the callers' clock.
    """

    def __init__(self, file: HeldFile, database: Database | None = None, left: Left = NOTHING_KNOWN) -> None:
        self.file: HeldFile = file
        self.database: Database | None = database
        self.not_before: float = 0.0
        self._reader: Reader | None = None
        self._left = left
        self._found: Counter[str] = Counter()
        self._rows: list[Row] = []
        self._heard = Heard()

    def move_page(self, own: Callable[[], Database], intake: Intake, now: float) -> bool:
        """Move the next page; False if that was all. Raises Trouble of the own file, NewerFile, NotYet, or NotNow."""
        try:
            self._rows = self._rows or self._read()
        except NewerFile:
            raise
        except Trouble as trouble:
            if self._may_be_whole(trouble):
                raise NotYet(trouble.reason) from None
            self._set_aside(intake, now, trouble.reason)
            return False
        if not self._rows:
            self._finish(intake, now)
            return False
        arrival = intake.expect(self._rows, self._heard, self._left)
        try:
            if arrival.rows:
                own().write(inserts=arrival.rows)
        except BaseException:
            intake.call_off(arrival)
            raise
        intake.welcome(arrival)
        self._found.update(row.destination for row in arrival.rows)
        for (destination, _), number in arrival.dropped.items():
            self._found[destination] += number
        last, self._rows = self._rows[-1].place, []
        if self.database is not None and self._reader is not None and not self._reader.is_damaged:
            with suppress(Trouble):  # they are deleted with the file
                self.database.forget_until(last)
        return True

    def let_go(self) -> None:
        """Leave the rest to whoever comes next."""
        self._close()
        self.file.let_go()

    def _read(self) -> list[Row]:
        if self._reader is None:
            is_damaged = False
            if self.database is None:
                with translated():
                    check_emptied(self.file.path)
                try:
                    self.database = Database(self.file.path, patience=_PATIENCE)
                except Corruption:
                    with translated():
                        is_damaged = lengthen(self.file.path) or renew_header(self.file.path)
                    self.database = Database(self.file.path, patience=_PATIENCE)
            with suppress(Corruption):
                self._heard = self.database.read_heard()
            self._reader = Reader(self.database, is_damaged=is_damaged)
        return self._reader.read(PAGE)

    def _may_be_whole(self, trouble: Trouble) -> bool:
        """Whether a trouble, such as a full disk or somebody else's lock, says nothing of what is in the file."""
        return not isinstance(trouble, Corruption) and trouble.reason != UNKNOWN and self.file.path.exists()

    def _finish(self, intake: Intake, now: float) -> None:
        if self._reader is not None and self._reader.is_damaged:
            self._set_aside(intake, now, CORRUPTED)
            return
        self._close()
        with translated():
            self.file.remove()
        self._count_lost(intake)

    def _set_aside(self, intake: Intake, now: float, reason: str) -> None:
        self._close()
        number = sum(self._found.values())
        if self.file.path.exists():
            with translated():
                aside = self.file.set_aside(int(now))
            log_loss(
                log,
                "an outbox file is damaged (%s): %d events of it were saved; it is kept as %s",
                *(reason, number, aside),
                level=ERROR,
            )
        else:
            self.file.let_go()
            log_loss(log, "an outbox file is gone: %d events of it were saved", number, level=ERROR)
        self._count_lost(intake)

    def _count_lost(self, intake: Intake) -> None:
        if self._left.lost is not None:
            intake.count_lost(self._left.lost - self._found)

    def _close(self) -> None:
        database, self.database, self._reader = self.database, None, None
        if database is not None:
            with suppress(Trouble):
                database.close()
