"""`passerby outbox show` and `export`: the events themselves, as JSON, as far as they are asked for."""

from __future__ import annotations

import json
import os
from argparse import Namespace
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path
from typing import TextIO

from ...outbox.inventory import OutboxFile, list_files, rows_of
from ...values.json import dumps
from .entry import FoundEntry, Selection
from .exit_codes import DONE, FAILED, FOUND
from .listing import report_set_aside
from .location import Refused
from .terminal import Progress, entries, number_of


class Search:
    """Looks through the files of a folder for entries.

    Args:
        directory: the folder.
        selection: which entries are wanted.
        progress: where it is said how far it is.
        with_set_aside: whether damaged files are looked through too.

    Attributes:
        troubles: in which files something could not be read, and why.
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
        self.troubles: list[tuple[OutboxFile, str]] = []
        self._not_looked_at = [] if with_set_aside else self.set_aside
        self._unreadable = 0

    def __iter__(self) -> Iterator[FoundEntry]:
        seen = found = 0
        for number, file in enumerate(self._files, 1):
            self._progress.say(f"reading, file {number} of {len(self._files)}: ")
            for row in rows_of(file, self._note):
                seen += 1
                if not seen % 1000:
                    self._progress.go_on(f"{seen:,} entries, {found:,} found")
                entry = FoundEntry(file, row)
                if self._selection.takes(entry):
                    found += 1
                    self._unreadable += entry.event is None
                    yield entry

    def _note(self, file: OutboxFile, reason: str) -> None:
        self.troubles.append((file, reason))

    def report(self, err: TextIO) -> int:
        """Say what could not be read, and which files were not looked at; return the exit code."""
        self._progress.clear()
        is_some_unread = report_set_aside(self._not_looked_at, err) or bool(self.troubles or self._unreadable)
        if self._unreadable:
            err.write(f"{number_of(self._unreadable, 'event')} cannot be read: see `passerby outbox verify`\n")
        for file, reason in self.troubles:
            if file.path.exists():
                err.write(f"{file.path.name}: not all of it could be read ({reason})\n")
            else:
                err.write(f"{file.path.name}: taken over by another process meanwhile; run the command once more\n")
        if any(file.standing != "set aside" and file.path.exists() for file, _ in self.troubles):
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
            out.write(_shown(entry))
    code = search.report(err)
    if not number:
        what = "event of that ID" if options.event_id else "such event"
        if code == DONE:
            raise Refused(f"found no {what} in the outbox: it was delivered, dropped or never told here")
        err.write(f"found no {what} in what could be read\n")
    if number == options.limit and not options.event_id:
        err.write(f"the first {options.limit}; --limit shows more, export all\n")
    return code


def run_export(directory: Path, options: Namespace, out: TextIO, err: TextIO) -> int:
    """Write all events, or those that are asked for, as lines of JSON."""
    selection = Selection(
        visitor=options.visitor,
        destination=options.destination,
        state="dead" if options.dead else None,
    )
    # Who asks what is stored of a visitor is to be told all of it.
    everywhere = options.set_aside or options.visitor is not None
    with Progress(err) as progress:
        search = Search(directory, selection, progress, with_set_aside=everywhere)
        number = _write(search, options.to, out)
    code = search.report(err)
    if options.to is not None:
        err.write(f"{entries(number)} written to {options.to}\n")
    return code


def _write(search: Search, path: str | None, out: TextIO) -> int:
    """Write what is found as lines of JSON; return how many."""
    number = 0
    with _opened(path, out) as target:
        for entry in search:
            target.write(dumps(entry.as_json()).decode() + "\n")
            number += 1
        target.flush()
    return number


def _shown(entry: FoundEntry) -> str:
    text = json.dumps(entry.as_json(), ensure_ascii=False, indent=2)
    # What JSON leaves as it is, a terminal may still take for an order.
    return "".join(one if one.isprintable() or one == "\n" else f"\\u{ord(one):04x}" for one in text) + "\n"


@contextmanager
def _opened(path: str | None, out: TextIO) -> Generator[TextIO]:
    """Give what to write to; a file is this user's alone, and one that is there is not written over."""
    if path is None:
        yield out
        return
    try:
        number = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    except FileExistsError:
        raise Refused(f"{path} is there already; name another file with --to, or remove it", 2) from None
    except OSError as error:
        raise Refused(f"{path} cannot be written ({error.strerror}); name another file with --to") from None
    try:
        with os.fdopen(number, "w", encoding="utf-8") as file:
            yield file
    except OSError as error:
        with suppress(OSError):
            Path(path).unlink()
        raise Refused(f"{path} cannot be written ({error.strerror}); nothing of it was kept") from None
