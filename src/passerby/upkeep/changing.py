"""`passerby outbox retry` and `purge`: changes what is in the files, or has their processes change it.

A file whose process is gone is taken and changed here. One whose process lives is changed by that alone: it finds a
notice on the board, and the command waits until it has done what that says, or says that it is left to it.
"""

from __future__ import annotations

import mmap
import sys
import time
from argparse import Namespace
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from ..jsontext import dumps
from ..outbox.board import Board, Kind, Notice, which_dead
from ..outbox.database import Trouble
from ..outbox.editing import Edit, taken
from ..outbox.folder import Folder, remove_file
from ..outbox.inventory import OutboxFile, list_files
from ..outbox.row import Row
from .entry import FoundEntry, Selection
from .exits import DONE, FAILED, FOUND
from .place import Refused
from .showing import Search
from .terminal import Progress, entries, number_of

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
            raise Refused("found no such dead letter") if options.event_id else _Nothing("no dead letters")
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
            raise Refused("found no such dead letter") if options.event_id else _Nothing("no dead letters")
        if not options.yes:
            progress.clear()
            _ask(work, err)
        code = work.run(options.timeout, out, err)
        return max(code, work.erase(out, err)) if options.visitor is not None else code


class _Nothing(Refused):
    """There is nothing to do, which is no failure."""

    def __init__(self, found: str) -> None:
        super().__init__(f"found {found}, so there is nothing to do", DONE)


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
        self._posted_at: float | None = None
        self._changed = 0

    def run(self, timeout: float, out: TextIO, err: TextIO) -> int:
        """Do it, and wait for others to do it at most so many seconds; return the exit code."""
        until = time.monotonic() + timeout
        pause = _SHORTEST
        try:
            left = self._step()
            while left and time.monotonic() < until:
                self._progress.say(f"waiting for {number_of(len(left), 'file')} that processes have")
                time.sleep(min(pause, max(0.0, until - time.monotonic())))
                pause = min(2 * pause, _LONGEST)
                left = self._step()
            if not left:
                self._take_down()
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
        visitor = self._change.selection.visitor or ""
        for name in _where_it_stands(self._folder.path, visitor):
            err.write(f"{name}: the ID still stands in it, of what came meanwhile or was deleted; run it once more\n")
            code = max(code, FOUND)
        return code

    def _step(self) -> list[OutboxFile]:
        """Change what can be taken, have the others post a notice; return the files in which it is not done yet."""
        left: list[OutboxFile] = []
        for file in list_files(self._folder.path):
            if file.standing == "set aside" or file.path in self._done or file.path.name in self.troubles:
                continue
            if file.standing == "left behind":
                self._take(file, left)
            else:
                left.append(file)
        if any(file.standing == "live" for file in left) and self._posted_at is None:
            self._post()
        return [file for file in left if file.standing == "left behind" or self._is_left(file)]

    def _take(self, file: OutboxFile, left: list[OutboxFile]) -> None:
        try:
            with taken(self._folder, file.path) as edit:
                if edit is None:
                    left.append(file)
                    return
                self._progress.say(f"{file.path.name}")
                self._changed += self._change.edit(edit, lambda row: self._is_wanted(file, row))
                self._done.add(file.path)
        except Trouble as trouble:
            self.troubles[file.path.name] = trouble.reason

    def _post(self) -> None:
        self._posted_at = time.time()
        try:
            self._board.post([Notice(self._change.kind, self._change.subject, self._posted_at)])
        except Trouble as trouble:
            raise Refused(f"the processes that have files cannot be told: the board is {trouble.reason}") from None

    def _take_down(self) -> None:
        """A notice that names a visitor is not to stay there when all have heeded it."""

    def _is_wanted(self, file: OutboxFile, row: Row) -> bool:
        return self._change.selection.takes(FoundEntry(file, row))

    def _is_left(self, file: OutboxFile) -> bool:
        """Whether a process has not done yet what it is to do to its file."""
        return any(self._rows_left(file))

    def _rows_left(self, file: OutboxFile) -> Iterator[Row]:
        raise NotImplementedError

    def _report(self, left: list[OutboxFile], out: TextIO, err: TextIO) -> int:
        raise NotImplementedError
