"""`passerby outbox retry` and `purge`: changes what is in the files, or has their processes change it.

A file whose process is gone is taken and changed here. One whose process lives is changed by that alone: it finds a
notice on the board, and the command waits until it has done what that says, or says that it is left to it.
"""

from __future__ import annotations

import sys
import time
from argparse import Namespace
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from ...outbox.board import Board, Kind, Notice, which_dead
from ...outbox.database import Trouble
from ...outbox.editing import Edit, taken
from ...outbox.folder import Folder, remove_file
from ...outbox.intake import HELD_NOT_CONFIGURED, NOT_CONFIGURED
from ...outbox.inventory import OutboxFile, list_files, rows_of
from ...outbox.neighbours import LISTEN
from ...outbox.row import Row
from ...values.browser_id import is_uuid
from ...values.json import dumps
from .entry import FoundEntry, Selection
from .exit_codes import DONE, FAILED, FOUND, MISUSED
from .listing import report_set_aside
from .location import Refused
from .show import Search
from .terminal import Progress, entries, number_of

_PIECE = 1_000_000  # bytes
_HEARD = 3 * LISTEN  # seconds after which every process has looked at the board, and done it to what is not on disk yet
_SHORTEST, _LONGEST = 0.05, 2.0  # seconds between two looks whether a process has done it


@dataclass(frozen=True, slots=True)
class Change:
    """What is to be done.

    Attributes:
        selection: with which entries.
        kind: how a notice says it.
        subject: how a notice says with which.
        edit: does it to a file that was taken; returns with how many entries.
        done: how it is called once it is done.
    """

    selection: Selection
    kind: Kind
    subject: str
    edit: Callable[[Edit, Callable[[Row], bool]], int]
    done: str


def run_retry(directory: Path, options: Namespace, out: TextIO, err: TextIO) -> int:
    """Have dead letters sent again."""
    selection = Selection(event_id=options.event_id, destination=options.destination, state="dead")
    subject = which_dead(options.destination, options.event_id)
    change = Change(selection, "retry dead", subject, lambda edit, wanted: edit.retry(wanted, time.time()), "retried")
    with Progress(err) as progress:
        work = Work(directory, change, progress)
        if not work.number and not work.troubles:
            return _find_nothing(work, options, err)
        return work.run(options.timeout, out, err)


def run_purge(directory: Path, options: Namespace, out: TextIO, err: TextIO) -> int:
    """Delete what is asked for, so that nothing of it is left in the files."""
    if options.visitor is not None and options.destination is not None:
        raise Refused("found --destination with --visitor, which deletes what is stored of one for all destinations", 2)
    if options.visitor is not None:
        selection = Selection(visitor=options.visitor)
        kind: Kind = "purge visitor"
        subject = options.visitor
    else:
        selection = Selection(event_id=options.event_id, destination=options.destination, state="dead")
        kind, subject = "purge dead", which_dead(options.destination, options.event_id)
    change = Change(selection, kind, subject, Edit.purge, "deleted")
    with Progress(err) as progress:
        work = Work(directory, change, progress)
        # Of a visitor more may be there than entries: what was delivered long ago may be left on unused pages.
        if not work.number and not work.troubles and options.visitor is None:
            return _find_nothing(work, options, err)
        if not options.yes:
            progress.clear()
            _ask(work, err)
        code = work.run(options.timeout, out, err)
        erased = work.erase(out, err) if work.is_of_visitor else DONE
        return FAILED if FAILED in (code, erased) else max(code, erased)


_FOR_NOBODY = (NOT_CONFIGURED, HELD_NOT_CONFIGURED)  # processes take these up by themselves once there is somebody


def _find_nothing(work: Work, options: Namespace, err: TextIO) -> int:
    """There is nothing to do, which is no failure if all was read."""
    code = FOUND if report_set_aside(work.set_aside, err) else DONE
    if options.event_id:
        raise Refused("found no such dead letter", code or FAILED)
    raise Refused("found no dead letters, so there is nothing to do", code)


class Work:
    """One change to all files of a folder.

    Attributes:
        number: how many entries it is about, before it has begun.
        troubles: which files could not be changed, and why.
        set_aside: the files that were set aside.
    """

    def __init__(self, directory: Path, change: Change, progress: Progress) -> None:
        self._folder = Folder(directory)
        self._change = change
        self._progress = progress
        self._board = Board(self._folder)
        search = Search(directory, change.selection, progress)
        self._places = {(entry.file.path.name, entry.row.place) for entry in search}
        self.number: int = len(self._places)
        self.troubles: dict[str, str] = {file.path.name: why for file, why in search.troubles if file.path.exists()}
        self.set_aside: list[OutboxFile] = search.set_aside
        self._done: set[Path] = set()
        self._until = 0.0
        self._posted_at: float | None = None
        self._heard_at = 0.0

    @property
    def is_of_visitor(self) -> bool:
        """Whether it is about all that is stored of a visitor."""
        return self._change.selection.visitor is not None

    def run(self, timeout: float, out: TextIO, err: TextIO) -> int:
        """Do it, and wait for others to do it at most so many seconds; return the exit code."""
        self._until = time.monotonic() + timeout
        try:
            left = self._step()
            for pause in self._pauses():
                if not left:
                    break
                self._progress.say(f"waiting for {number_of(len(left), 'file')} that others have")
                time.sleep(pause)
                left = self._step()
            if not left and self.is_of_visitor:
                with suppress(Trouble):  # where it cannot be written there is none of this command either
                    self._board.withdraw(self._change.subject)
        finally:
            with suppress(Trouble):
                self._board.close()
        self._progress.clear()
        return self._report(left, out, err)

    def erase(self, out: TextIO, err: TextIO) -> int:
        """Remove what was set aside, and see whether the visitor's ID still stands anywhere; return the exit code."""
        code = DONE
        for file in self.set_aside:
            try:
                remove_file(file.path)
                out.write(f"{file.path.name}: set aside as damaged, removed\n")
            except OSError as error:
                err.write(f"{file.path.name}: set aside as damaged, cannot be removed ({error.strerror})\n")
                code = FAILED
        found = _where_it_stands(self._folder.path, self._change.subject)
        for pause in self._pauses():
            if not found or self._posted_at is None or self.troubles:  # nobody is at it
                break
            self._progress.say("waiting for processes to clean their files")
            time.sleep(pause)
            found = _where_it_stands(self._folder.path, self._change.subject)
        self._progress.clear()
        for name in found:
            err.write(f"{name}: the ID still stands in it, as more came or on unused pages; run it once more\n")
            code = code or FOUND
        return code

    def _pauses(self) -> Iterator[float]:
        """Give for how long to wait until the next look, and the next, until the time is up."""
        pause = _SHORTEST
        while (rest := self._until - time.monotonic()) > 0:
            yield min(pause, rest)
            pause = min(2 * pause, _LONGEST)

    def _step(self) -> dict[OutboxFile, int]:
        """Change what can be taken, and have the others find a notice; return in which files how much is left."""
        others: list[OutboxFile] = []
        for file in list_files(self._folder.path):
            if file.standing == "set aside" or file.path in self._done or file.path.name in self.troubles:
                continue
            if file.standing == "live" or not self._take(file):
                others.append(file)
        if any(file.standing == "live" for file in others) and self._posted_at is None:
            self._post()
        # What somebody only looks at is taken the next time.
        left = {file: self._count_left(file) for file in others}
        is_heard = not self.is_of_visitor or time.monotonic() >= self._heard_at
        return {file: number for file, number in left.items() if number or file.standing != "live" or not is_heard}

    def _take(self, file: OutboxFile) -> bool:
        """Change a file unless somebody has it; whether nothing is left to do in it."""
        try:
            with taken(self._folder, file.path) as edit:
                if edit is None:
                    return False
                self._progress.say(f"changing {file.path.name}")
                self._change.edit(edit, lambda row: self._change.selection.takes(FoundEntry(file, row)))
                self._done.add(file.path)
        except Trouble as trouble:
            self.troubles[file.path.name] = trouble.reason
        return True

    def _post(self) -> None:
        self._posted_at = time.time()
        self._heard_at = time.monotonic() + _HEARD
        try:
            self._board.post([Notice(self._change.kind, self._change.subject, self._posted_at)])
        except Trouble as trouble:
            raise Refused(
                f"the processes that have files cannot be told, as the file that all share is not to be had "
                f"({trouble.reason}); try again"
            ) from None

    def _count_left(self, file: OutboxFile) -> int:
        """Count with how much of a file it has not been done yet."""
        if file.standing != "live":
            return self._count_before(file.path.name)
        return sum(self._is_left(FoundEntry(file, row)) for row in rows_of(file, _ignore))

    def _count_before(self, name: str) -> int:
        return sum(each == name for each, _ in self._places)

    def _is_left(self, entry: FoundEntry) -> bool:
        if not self.is_of_visitor:
            # A dead letter that is tried again and dies again has another place. Nothing is sent where nobody is.
            is_same = (entry.file.path.name, entry.row.place) in self._places and entry.row.state == "dead"
            return is_same and not (self._change.kind == "retry dead" and entry.row.reason in _FOR_NOBODY)
        return entry.row.told_at <= (self._posted_at or 0.0) and self._change.selection.takes(entry)

    def _report(self, left: dict[OutboxFile, int], out: TextIO, err: TextIO) -> int:
        untouched = sum(map(self._count_before, self.troubles))
        number = max(0, self.number - sum(left.values()) - untouched)
        out.write(f"{entries(number)} {self._change.done}\n")
        for file in left:
            is_live = file.standing == "live"
            why = f"left to process {file.process}, which has not done it yet" if is_live else "in use; try once more"
            err.write(f"{file.path.name}: {why}\n")
        for name, reason in self.troubles.items():
            err.write(
                f"{name}: cannot be changed ({reason}); start the app, which saves what is readable, and try again\n"
            )
        is_aside = not self.is_of_visitor and report_set_aside(self.set_aside, err)
        if self.troubles:
            return FAILED
        return FOUND if left or is_aside else DONE


def _ask(work: Work, err: TextIO) -> None:
    """Have a person confirm what is to be deleted; raises Refused."""
    aside = work.set_aside if work.is_of_visitor else []
    what = f"Delete {entries(work.number)}"
    if aside:
        what += f", and {number_of(len(aside), 'file')} set aside as damaged, of which what could be read was saved"
    if not sys.stdin.isatty():
        raise Refused("found nobody to ask; with --yes nobody is asked", MISUSED)
    err.write(f"{what}? [y/N] ")
    err.flush()
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise Refused("nothing was deleted")


def _where_it_stands(directory: Path, visitor: str) -> list[str]:
    """Return the files in which an ID stands, be it on a page that is not used any more."""
    # As an event says it; an ID of its own length cannot be part of another.
    words = visitor.encode() if is_uuid(visitor) else dumps(visitor)
    found: list[str] = []
    for path in sorted(directory.iterdir()):
        with suppress(OSError):  # it may be gone by now
            if path.is_file() and _is_in(path, words):
                found.append(path.name)
    return found


def _is_in(path: Path, words: bytes) -> bool:
    """Whether words stand in a file, which is read in pieces, as its process may be shortening it."""
    end = b""
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            if words in end + piece:
                return True
            end = piece[-len(words) :]
    return False


def _ignore(file: OutboxFile, reason: str) -> None:
    """What cannot be read of a file that a process has is for that to find."""
