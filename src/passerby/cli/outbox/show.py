"""`passerby outbox show` and `export`: print events as JSON."""

from __future__ import annotations

import json
import os
from argparse import Namespace
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path
from typing import TextIO

from ...old_outbox.inventory import OutboxFile, list_files, rows_of
from ...values.json import dumps
from .entry import FoundEntry, Selection
from .exit_codes import DONE, FAILED, FOUND
from .listing import report_set_aside
from .location import CommandError
from .terminal import Progress, entries, number_of


class Search:
    """Searches the files of a folder for entries.

    Args:
        directory: the folder.
        selection: the entries.
        progress: shows the progress.
        with_set_aside: whether to search files set aside too.

    Attributes:
        errors: the files that could not be read completely, and why.
        set_aside: the files that were set aside.
    """

    def __init__(
        self, directory: Path, selection: Selection, progress: Progress, *, with_set_aside: bool = False
    ) -> None:
        files = list_files(directory)
        self.set_aside: list[OutboxFile] = [file for file in files if file.standing == "set aside"]
        self._files = files if with_set_aside else [file for file in files if file.standing != "set aside"]
        self._selection = selection
        self._progress = progress
        self.errors: list[tuple[OutboxFile, str]] = []
        self._skipped = [] if with_set_aside else self.set_aside
        self._unreadable = 0

    def __iter__(self) -> Iterator[FoundEntry]:
        seen = found = 0
        for number, file in enumerate(self._files, 1):
            self._progress.start(f"reading, file {number} of {len(self._files)}: ")
            for row in rows_of(file, self._add_error):
                seen += 1
                if not seen % 1000:
                    self._progress.update(f"{seen:,} entries, {found:,} found")
                entry = FoundEntry(file, row)
                if self._selection.matches(entry):
                    found += 1
                    self._unreadable += entry.event is None
                    yield entry

    def _add_error(self, file: OutboxFile, reason: str) -> None:
        self.errors.append((file, reason))

    def report(self, err: TextIO) -> int:
        """Report unreadable events and skipped files. Returns the exit code."""
        self._progress.clear()
        is_some_unread = report_set_aside(self._skipped, err) or bool(self.errors or self._unreadable)
        if self._unreadable:
            err.write(f"{number_of(self._unreadable, 'event')} cannot be read: see `passerby outbox verify`\n")
        for file, reason in self.errors:
            if file.path.exists():
                err.write(f"{file.path.name}: could not be read completely ({reason})\n")
            else:
                err.write(f"{file.path.name}: taken over by another process; run the command again\n")
        if any(file.standing != "set aside" and file.path.exists() for file, _ in self.errors):
            return FAILED
        return FOUND if is_some_unread else DONE


def run_show(directory: Path, options: Namespace, out: TextIO, err: TextIO) -> int:
    """Show single events."""
    selection = Selection(
        event_id=options.event_id,
        destination=options.destination,
        state="dead" if options.dead else options.state,
    )
    with Progress(err) as progress:
        search = Search(directory, selection, progress)
        number = 0
        for entry in islice(search, None if options.event_id else options.limit):
            number += 1
            progress.clear()
            out.write(_as_text(entry))
    code = search.report(err)
    if not number:
        what = "event of that ID" if options.event_id else "such event"
        if code == DONE:
            raise CommandError(f"found no {what} in the outbox: it was delivered, dropped or never recorded here")
        err.write(f"found no {what} in the readable part\n")
    if number == options.limit and not options.event_id:
        err.write(f"only the first {options.limit} are shown; use --limit for more, export for all\n")
    return code


def run_export(directory: Path, options: Namespace, out: TextIO, err: TextIO) -> int:
    """Write matching events as lines of JSON."""
    selection = Selection(
        visitor=options.visitor,
        destination=options.destination,
        state="dead" if options.dead else None,
    )
    # A request for the data of a visitor covers all files.
    everywhere = options.set_aside or options.visitor is not None
    with Progress(err) as progress:
        search = Search(directory, selection, progress, with_set_aside=everywhere)
        number = _write(search, options.to, out)
    code = search.report(err)
    if options.to is not None:
        err.write(f"{entries(number)} written to {options.to}\n")
    return code


def _write(search: Search, path: str | None, out: TextIO) -> int:
    """Write entries as lines of JSON. Returns how many."""
    number = 0
    with _opened(path, out) as target:
        for entry in search:
            target.write(dumps(entry.as_json()).decode() + "\n")
            number += 1
        target.flush()
    return number


def _as_text(entry: FoundEntry) -> str:
    text = json.dumps(entry.as_json(), ensure_ascii=False, indent=2)
    # JSON does not escape all control characters.
    return "".join(one if one.isprintable() or one == "\n" else f"\\u{ord(one):04x}" for one in text) + "\n"


@contextmanager
def _opened(path: str | None, out: TextIO) -> Generator[TextIO]:
    """Open the output. A new file is readable only by this user; existing files are not overwritten."""
    if path is None:
        yield out
        return
    try:
        number = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    except FileExistsError:
        raise CommandError(f"{path} exists already; name another file with --to, or remove it", 2) from None
    except OSError as error:
        raise CommandError(f"{path} cannot be written ({error.strerror}); name another file with --to") from None
    try:
        with os.fdopen(number, "w", encoding="utf-8") as file:
            yield file
    except OSError as error:
        with suppress(OSError):
            Path(path).unlink()
        raise CommandError(f"{path} cannot be written ({error.strerror}); the partial file was removed") from None
