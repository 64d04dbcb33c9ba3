"""`passerby outbox retry` and `purge`: change entries, or ask the processes of the files to change them.

A file whose process has ended is changed here. Otherwise only its process may change it: the command posts a message
to that process and waits until it is done, or reports that it is not.
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

from ...old_outbox.board import Board, Kind, Notice, which_dead
from ...old_outbox.database import Trouble
from ...old_outbox.editing import Edit, taken
from ...old_outbox.folder import Folder, remove_file
from ...old_outbox.intake import HELD_NOT_CONFIGURED, NOT_CONFIGURED
from ...old_outbox.inventory import OutboxFile, list_files, rows_of
from ...old_outbox.neighbours import LISTEN
from ...old_outbox.row import Row
from ...values.browser_id import is_uuid
from ...values.json import dumps
from .entry import FoundEntry, Selection
from .exit_codes import DONE, FAILED, FOUND, MISUSED
from .listing import report_set_aside
from .location import CommandError
from .show import Search
from .terminal import Progress, entries, number_of

_CHUNK = 1_000_000  # bytes
_MESSAGE_DELAY = 3 * LISTEN  # seconds after which every process has handled a message
_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 2.0  # seconds between two checks of the other processes


@dataclass(frozen=True, slots=True)
class OperationSpec:
    """An operation on entries.

    Attributes:
        selection: the entries.
        kind: the kind of the message to other processes.
        subject: its subject.
        edit: changes a locked file; returns the number of entries.
        done_word: the participle for the report.
    """

    selection: Selection
    kind: Kind
    subject: str
    edit: Callable[[Edit, Callable[[Row], bool]], int]
    done_word: str


def run_retry(directory: Path, options: Namespace, out: TextIO, err: TextIO) -> int:
    """Send dead letters again."""
    selection = Selection(event_id=options.event_id, destination=options.destination, state="dead")
    subject = which_dead(options.destination, options.event_id)
    change = OperationSpec(
        selection, "retry dead", subject, lambda edit, wanted: edit.retry(wanted, time.time()), "retried"
    )
    with Progress(err) as progress:
        work = FileOperation(directory, change, progress)
        if not work.entry_count and not work.errors:
            return _report_nothing(work, options, err)
        return work.run(options.timeout, out, err)


def run_purge(directory: Path, options: Namespace, out: TextIO, err: TextIO) -> int:
    """Delete entries, and all traces of them in the files."""
    if options.visitor is not None and options.destination is not None:
        raise CommandError("found --destination with --visitor; a visitor is deleted for all destinations", 2)
    if options.visitor is not None:
        selection = Selection(visitor=options.visitor)
        kind: Kind = "purge visitor"
        subject = options.visitor
    else:
        selection = Selection(event_id=options.event_id, destination=options.destination, state="dead")
        kind, subject = "purge dead", which_dead(options.destination, options.event_id)
    change = OperationSpec(selection, kind, subject, Edit.purge, "deleted")
    with Progress(err) as progress:
        work = FileOperation(directory, change, progress)
        # Unused pages may still contain delivered events of a visitor, so continue without entries.
        if not work.entry_count and not work.errors and options.visitor is None:
            return _report_nothing(work, options, err)
        if not options.yes:
            progress.clear()
            _confirm(work, err)
        code = work.run(options.timeout, out, err)
        erased = work.erase(out, err) if work.is_of_visitor else DONE
        return FAILED if FAILED in (code, erased) else max(code, erased)


_NO_DESTINATION = (NOT_CONFIGURED, HELD_NOT_CONFIGURED)  # retried automatically once the destination is configured


def _report_nothing(work: FileOperation, options: Namespace, err: TextIO) -> int:
    """Report that there is nothing to do. No failure if everything was read."""
    code = FOUND if report_set_aside(work.set_aside, err) else DONE
    if options.event_id:
        raise CommandError("found no such dead letter", code or FAILED)
    raise CommandError("found no dead letters, so there is nothing to do", code)


class FileOperation:
    """An operation on all files of a folder.

    Attributes:
        entry_count: the number of matching entries at the start.
        errors: the files that could not be changed, and why.
        set_aside: the files that were set aside.
    """

    def __init__(self, directory: Path, change: OperationSpec, progress: Progress) -> None:
        self._folder = Folder(directory)
        self._spec = change
        self._progress = progress
        self._board = Board(self._folder)
        search = Search(directory, change.selection, progress)
        self._found = {(entry.file.path.name, entry.row.place) for entry in search}
        self.entry_count: int = len(self._found)
        self.errors: dict[str, str] = {file.path.name: why for file, why in search.errors if file.path.exists()}
        self.set_aside: list[OutboxFile] = search.set_aside
        self._done: set[Path] = set()
        self._until = 0.0
        self._posted_at: float | None = None
        self._all_informed_at = 0.0

    @property
    def is_of_visitor(self) -> bool:
        """Whether it deletes all entries of a visitor."""
        return self._spec.selection.visitor is not None

    def run(self, timeout: float, out: TextIO, err: TextIO) -> int:
        """Run the operation, and wait for other processes up to `timeout` seconds. Returns the exit code."""
        self._until = time.monotonic() + timeout
        try:
            left = self._run_once()
            for pause in self._pauses():
                if not left:
                    break
                self._progress.start(f"waiting for {number_of(len(left), 'file')} of other processes")
                time.sleep(pause)
                left = self._run_once()
            if not left and self.is_of_visitor:
                with suppress(Trouble):  # if it cannot be written, there is no message to delete
                    self._board.withdraw(self._spec.subject)
        finally:
            with suppress(Trouble):
                self._board.close()
        self._progress.clear()
        return self._report(left, out, err)

    def erase(self, out: TextIO, err: TextIO) -> int:
        """Remove files set aside, and search all files for the visitor's ID. Returns the exit code."""
        code = DONE
        for file in self.set_aside:
            try:
                remove_file(file.path)
                out.write(f"{file.path.name}: set aside as damaged, removed\n")
            except OSError as error:
                err.write(f"{file.path.name}: set aside as damaged, cannot be removed ({error.strerror})\n")
                code = FAILED
        found = _files_containing(self._folder.path, self._spec.subject)
        for pause in self._pauses():
            if not found or self._posted_at is None or self.errors:  # no other process works on it
                break
            self._progress.start("waiting for processes to clean their files")
            time.sleep(pause)
            found = _files_containing(self._folder.path, self._spec.subject)
        self._progress.clear()
        for name in found:
            err.write(f"{name}: the ID is still in it, in new events or on unused pages; run the command again\n")
            code = code or FOUND
        return code

    def _pauses(self) -> Iterator[float]:
        """Yield the pauses between checks until the timeout."""
        pause = _FIRST_PAUSE
        while (rest := self._until - time.monotonic()) > 0:
            yield min(pause, rest)
            pause = min(2 * pause, _LONGEST_PAUSE)

    def _run_once(self) -> dict[OutboxFile, int]:
        """Change files that can be locked, and post a message for the others. Returns the entries left by file."""
        others: list[OutboxFile] = []
        for file in list_files(self._folder.path):
            if file.standing == "set aside" or file.path in self._done or file.path.name in self.errors:
                continue
            if file.standing == "live" or not self._change_file(file):
                others.append(file)
        if any(file.standing == "live" for file in others) and self._posted_at is None:
            self._post_message()
        # A file that is only being read can be locked next time.
        left = {file: self._count_left(file) for file in others}
        is_heard = not self.is_of_visitor or time.monotonic() >= self._all_informed_at
        return {file: number for file, number in left.items() if number or file.standing != "live" or not is_heard}

    def _change_file(self, file: OutboxFile) -> bool:
        """Change a file unless it is locked. Returns whether it is finished."""
        try:
            with taken(self._folder, file.path) as edit:
                if edit is None:
                    return False
                self._progress.start(f"changing {file.path.name}")
                self._spec.edit(edit, lambda row: self._spec.selection.matches(FoundEntry(file, row)))
                self._done.add(file.path)
        except Trouble as trouble:
            self.errors[file.path.name] = trouble.reason
        return True

    def _post_message(self) -> None:
        self._posted_at = time.time()
        self._all_informed_at = time.monotonic() + _MESSAGE_DELAY
        try:
            self._board.post([Notice(self._spec.kind, self._spec.subject, self._posted_at)])
        except Trouble as trouble:
            raise CommandError(
                f"cannot send a message to the other processes: the shared file cannot be written ({trouble.reason}); "
                "try again"
            ) from None

    def _count_left(self, file: OutboxFile) -> int:
        """Count the entries of a file that are left."""
        if file.standing != "live":
            return self._count_before(file.path.name)
        return sum(self._is_left(FoundEntry(file, row)) for row in rows_of(file, _ignore))

    def _count_before(self, name: str) -> int:
        return sum(each == name for each, _ in self._found)

    def _is_left(self, entry: FoundEntry) -> bool:
        if not self.is_of_visitor:
            # A dead letter that failed again has another position. Without a destination nothing is sent.
            is_same = (entry.file.path.name, entry.row.place) in self._found and entry.row.state == "dead"
            return is_same and not (self._spec.kind == "retry dead" and entry.row.reason in _NO_DESTINATION)
        return entry.row.told_at <= (self._posted_at or 0.0) and self._spec.selection.matches(entry)

    def _report(self, left: dict[OutboxFile, int], out: TextIO, err: TextIO) -> int:
        untouched = sum(map(self._count_before, self.errors))
        number = max(0, self.entry_count - sum(left.values()) - untouched)
        out.write(f"{entries(number)} {self._spec.done_word}\n")
        for file in left:
            is_live = file.standing == "live"
            why = f"left to process {file.process}, which has not finished" if is_live else "in use; try again"
            err.write(f"{file.path.name}: {why}\n")
        for name, reason in self.errors.items():
            err.write(
                f"{name}: cannot be changed ({reason}); start the app, which saves what is readable, and try again\n"
            )
        is_aside = not self.is_of_visitor and report_set_aside(self.set_aside, err)
        if self.errors:
            return FAILED
        return FOUND if left or is_aside else DONE


def _confirm(work: FileOperation, err: TextIO) -> None:
    """Ask for confirmation. Raises CommandError."""
    aside = work.set_aside if work.is_of_visitor else []
    what = f"Delete {entries(work.entry_count)}"
    if aside:
        what += f", and {number_of(len(aside), 'file')} set aside as damaged, whose readable events were saved"
    if not sys.stdin.isatty():
        raise CommandError("cannot ask for confirmation without a terminal; use --yes", MISUSED)
    err.write(f"{what}? [y/N] ")
    err.flush()
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise CommandError("nothing was deleted")


def _files_containing(directory: Path, visitor: str) -> list[str]:
    """Return the files that contain an ID, also on unused pages."""
    # As events contain it; a UUID cannot be part of another ID.
    words = visitor.encode() if is_uuid(visitor) else dumps(visitor)
    found: list[str] = []
    for path in sorted(directory.iterdir()):
        with suppress(OSError):  # it may be gone by now
            if path.is_file() and _contains(path, words):
                found.append(path.name)
    return found


def _contains(path: Path, words: bytes) -> bool:
    """Whether a file contains a text. Reads in chunks, as its process may truncate it."""
    end = b""
    with path.open("rb") as file:
        while piece := file.read(_CHUNK):
            if words in end + piece:
                return True
            end = piece[-len(words) :]
    return False


def _ignore(file: OutboxFile, reason: str) -> None:
    """Ignore an error; the process of the file reports it."""
