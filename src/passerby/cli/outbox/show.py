"""`passerby outbox show` and `export`: print events as JSON."""

from __future__ import annotations

import json
import os
from argparse import Namespace
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path
from typing import TextIO

from ...outbox.contract import StorageError
from ...outbox.counts import EntryState
from ...values.json import dumps
from .entry import FoundEntry, Selection
from .exit_codes import DONE, FAILED, FOUND
from .location import CommandError
from .store import CommandStore, report_quarantined
from .terminal import Progress, entries, number_of


class Search:
    """Searches the store for entries.

    Args:
        store: the store.
        selection: the entries.
        progress: shows the progress.
        with_quarantined: whether to search quarantined files too.
    """

    def __init__(
        self, store: CommandStore, selection: Selection, progress: Progress, *, with_quarantined: bool = False
    ) -> None:
        self._store = store
        self._selection = selection
        self._progress = progress
        self._with_quarantined = with_quarantined
        self._errors: list[tuple[str, str]] = []
        self._seen = self._found = self._unreadable = 0

    def __iter__(self) -> Iterator[FoundEntry]:
        selection = self._selection
        states: Sequence[EntryState] = ("waiting", "held", "dead") if selection.state is None else (selection.state,)
        self._progress.start("reading: ")
        try:
            for stored in self._store.entries(states, selection.destination, selection.event_id):
                yield from self._matching(FoundEntry(stored))
        except StorageError as error:
            self._errors.append((self._store.name, error.reason))
        for path in self._store.quarantined() if self._with_quarantined else ():
            try:
                for stored in self._store.quarantined_entries(path):
                    yield from self._matching(FoundEntry(stored, path.name))
            except OSError as error:
                self._errors.append((path.name, error.strerror or str(error)))

    def _matching(self, entry: FoundEntry) -> Iterator[FoundEntry]:
        self._seen += 1
        if not self._seen % 1000:
            self._progress.update(f"{self._seen:,} entries, {self._found:,} found")
        if self._selection.matches(entry):
            self._found += 1
            self._unreadable += entry.event is None
            yield entry

    def report(self, err: TextIO) -> int:
        """Report unreadable events and quarantined files. Returns the exit code."""
        self._progress.clear()
        is_some_unread = report_quarantined(self._store, err) or bool(self._unreadable)
        if self._unreadable:
            err.write(f"{number_of(self._unreadable, 'event')} cannot be read: see `passerby outbox verify`\n")
        for name, reason in self._errors:
            err.write(f"{name}: could not be read completely ({reason})\n")
        if self._errors:
            return FAILED
        return FOUND if is_some_unread else DONE


def run_show(store: CommandStore, options: Namespace, out: TextIO, err: TextIO) -> int:
    """Show single events."""
    selection = Selection(
        event_id=options.event_id,
        destination=options.destination,
        state="dead" if options.dead else options.state,
    )
    with Progress(err) as progress:
        search = Search(store, selection, progress)
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


def run_export(store: CommandStore, options: Namespace, out: TextIO, err: TextIO) -> int:
    """Write matching events as lines of JSON."""
    selection = Selection(
        visitor=options.visitor,
        destination=options.destination,
        state="dead" if options.dead else None,
    )
    # A request for the data of a visitor covers quarantined files.
    everywhere = options.quarantined or options.visitor is not None
    with Progress(err) as progress:
        search = Search(store, selection, progress, with_quarantined=everywhere)
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
