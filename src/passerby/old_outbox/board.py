"""The board: what the processes of one outbox folder tell each other, and the browser IDs that none of them needs."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from logging import Logger
from typing import Literal, NamedTuple, TypeVar, cast

from ..logs import get_logger
from ..values.json import dumps, loads
from .database import Corruption, Synchronous, Trouble, translated
from .folder import Folder
from .row import well_formed
from .sharedfile import Line, SharedFile

log: Logger = get_logger("passerby.outbox")
T = TypeVar("T")

Kind = Literal["release", "clear", "purge visitor", "retry dead", "purge dead", "send now"]

PATIENCE = 0.5  # seconds, where others write without end; alone one takes some milliseconds
SLICE = 1_000  # notices read at once
OF_HELD: tuple[Kind, ...] = ("release", "clear")  # of which there may be many, each about one visitor


class Notice(NamedTuple):
    """Something that every process of the folder is to do with what it has, as far as that was there by then.

    Attributes:
        kind: "release" or "clear" what is held for a visitor; "purge visitor", all that is kept of one; "retry dead" or
            "purge dead", dead letters; "send now" what waits for a later attempt.
        subject: the visitor (for a purge a browser ID or a user ID), or which dead letters; see `which_dead`.
        at: when it was posted, in seconds since 1970.
        number: its place in the order of all; 0 before it is posted.
        poster: who posted it; "" before it is.
    """

    kind: Kind
    subject: str
    at: float
    number: int = 0
    poster: str = ""


def which_dead(destination: str | None = None, event_id: str | None = None) -> str:
    """Write which dead letters a notice is about: all, or those of a destination, or of one event, or of one at one."""
    return dumps([destination, event_id]).decode()


def read_which_dead(subject: str) -> tuple[str | None, str | None]:
    """Read what `which_dead` wrote: a destination and an event ID, each None for all; raises ValueError."""
    match loads(subject):
        case [str() | None as destination, str() | None as event_id]:
            return destination, event_id
        case _:
            raise ValueError("found something else, expected a destination and an event ID")


@dataclass(frozen=True, slots=True)
class Unused:
    """Browser IDs that were issued and given to nobody.

    Attributes:
        issuer: a text that names who issued them, and to whom.
        browser_ids: the IDs.
    """

    issuer: str
    browser_ids: tuple[str, ...]


class Board:
    """Where the processes of a folder post notices. One thread at a time uses it. All methods raise Trouble.

    The file is made when there is something to post. One that is damaged, or no board, is set aside, and another begun.

    Args:
        folder: where the outboxes of these processes are.
        synchronous: "NORMAL" survives the death of the process, "FULL" also a power cut.
        now: seconds since 1970.
        patience: seconds that is waited for the others at the most, before Trouble says that the file is locked.

    Attributes:
        name: under which notices are posted here.
    """

    def __init__(
        self,
        folder: Folder,
        synchronous: Synchronous = "NORMAL",
        now: Callable[[], float] = time.time,
        patience: float = PATIENCE,
    ) -> None:
        self._folder = folder
        self._synchronous: Synchronous = synchronous
        self._now = now
        self._patience = patience
        self.name: str = secrets.token_hex(8)  # a process ID may come again
        self._file: SharedFile | None = None
        self._inode: int | None = None
        self._version: int | None = None

    def post(self, notices: Sequence[Notice], unused: Sequence[Unused] = ()) -> None:
        """Post notices and put back unused IDs, all of them or none; an ID that is there already stays there once."""
        now = self._now()
        lines = [(notice.kind, well_formed(notice.subject), notice.at, self.name) for notice in notices]
        ids = [(well_formed(one.issuer), well_formed(each), now) for one in unused for each in one.browser_ids]
        if lines or ids:
            self._do(lambda file: file.write(lines, ids), None, make=True)

    def after(self, number: int, limit: int = SLICE) -> list[Notice]:
        """Return the notices after a number, so many at the most; 0 stands for the beginning."""
        return self._do(lambda file: self._notices(file.after(number, limit)), [])

    def about(self, visitors: Collection[str]) -> list[Notice]:
        """Return the notices that may concern what is kept of some visitors, in their order."""
        whose = [well_formed(visitor) for visitor in visitors]
        return self._do(lambda file: self._notices(file.about(whose, OF_HELD)), [])

    def last_number(self) -> int:
        """Return the number of the last notice, forgotten or not; 0 if there was none."""
        return self._do(lambda file: file.last_number(), 0)

    def changed(self) -> bool:
        """Whether others have written since this was asked the last time; at first, whether there is anything."""
        return self._do(self._look, False)

    def forget(self, until: int, before: float) -> None:
        """Forget the notices up to a number, and those posted before a time (in seconds since 1970)."""
        self._do(lambda file: file.forget(until, before), None)

    def withdraw(self, subject: str) -> None:
        """Forget the notices about one subject, such as a visitor of whom nothing is to be left anywhere."""
        self._do(lambda file: file.withdraw(well_formed(subject)), None)

    def put_back(self, issuer: str, browser_ids: Collection[str]) -> None:
        """Put back browser IDs that were given to nobody."""
        self.post((), [Unused(issuer, tuple(browser_ids))])

    def claim(self, issuer: str, number: int) -> list[str]:
        """Take so many unused browser IDs at the most, the oldest first. None is ever handed out twice.

        They are deleted before they are handed out: those of a process that dies in between are lost.
        """
        return self._do(lambda file: file.claim(well_formed(issuer), number), [])

    def close(self) -> None:
        """Close the file; what is asked later opens it again."""
        file, self._file = self._file, None
        if file is not None:
            file.close()

    def leave_to_parent(self) -> list[object]:
        """In a forked child: return what must never be closed here."""
        return [] if self._file is None else [self._file.connection]

    # The file.

    def _do(self, action: Callable[[SharedFile], T], otherwise: T, *, make: bool = False) -> T:
        """Do something with the file, or with the one after it; without one the answer is another."""
        try:
            file = self._open(make)
            return otherwise if file is None else action(file)
        except Corruption as trouble:
            self._set_aside(trouble.reason)
        file = self._open(make)
        return otherwise if file is None else action(file)

    def _open(self, make: bool) -> SharedFile | None:
        inode = self._folder.shared_inode
        if self._file is not None and inode == self._inode:
            return self._file
        with suppress(Trouble):  # it was set aside or removed
            self.close()
        if inode is None:
            if not make:
                return None
            with translated():
                inode = self._folder.make_shared_file()
        self._inode, self._version = inode, None
        self._file = SharedFile(
            self._folder.shared_path, self._synchronous, self._patience, first_number=int(self._now() * 1000)
        )
        return self._file

    def _set_aside(self, reason: str) -> None:
        with suppress(Trouble):
            self.close()
        with translated():
            aside = self._folder.set_shared_file_aside(self._inode, int(self._now()))
        if aside is not None:
            log.error(
                "the file that the outboxes of a folder share is no such file, or damaged (%s): what processes told "
                "each other in the last seconds may be lost, and unused browser IDs are; it is kept as %s",
                reason,
                aside,
            )

    def _look(self, file: SharedFile) -> bool:
        before, self._version = self._version, file.version()
        return before != self._version

    def _notices(self, lines: Sequence[Line]) -> list[Notice]:
        return [Notice(cast("Kind", line.kind), line.subject, line.at, line.number, line.poster) for line in lines]
