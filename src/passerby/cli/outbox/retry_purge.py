"""`passerby outbox retry` and `purge`: change entries, each by one command of the store."""

from __future__ import annotations

import sys
import time
from argparse import Namespace
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TextIO

from ...outbox.contract import StoreCommand
from ...values.browser_id import is_uuid
from ...values.json import dumps
from .entry import Selection
from .exit_codes import DONE, FAILED, FOUND, MISUSED
from .location import CommandError
from .show import Search
from .store import CommandStore, report_quarantined
from .terminal import Progress, entries, number_of

_CHUNK = 1_000_000  # bytes
_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 2.0  # seconds between two searches


def run_retry(store: CommandStore, options: Namespace, out: TextIO, err: TextIO) -> int:
    """Send dead letters again."""
    command = StoreCommand("retry_dead", destination=options.destination, event_id=options.event_id)
    with Progress(err) as progress:
        number = store.command(command, time.monotonic() + options.timeout, progress.update)
    return _report(store, number, "retried", options, out, err)


def run_purge(store: CommandStore, options: Namespace, out: TextIO, err: TextIO) -> int:
    """Delete entries, and all traces of them in the files."""
    if options.visitor is not None and options.destination is not None:
        raise CommandError("found --destination with --visitor; a visitor is deleted for all destinations", 2)
    with Progress(err) as progress:
        if not options.yes:
            _confirm(store, options, progress, err)
        until = time.monotonic() + options.timeout
        if options.visitor is not None:
            return _purge_visitor(store, options.visitor, until, progress, out, err)
        command = StoreCommand("purge_dead", destination=options.destination, event_id=options.event_id)
        number = store.command(command, until, progress.update)
    return _report(store, number, "deleted", options, out, err)


def _report(store: CommandStore, number: int, done_word: str, options: Namespace, out: TextIO, err: TextIO) -> int:
    """Report what was done. It is no failure that there is nothing to do."""
    if number:
        out.write(f"{entries(number)} {done_word}\n")
        return FOUND if report_quarantined(store, err) else DONE
    raise _nothing_found(store, options, err)


def _nothing_found(store: CommandStore, options: Namespace, err: TextIO) -> CommandError:
    code = FOUND if report_quarantined(store, err) else DONE
    if options.event_id:
        return CommandError("found no such dead letter", code or FAILED)
    return CommandError("found no dead letters, so there is nothing to do", code)


def _confirm(store: CommandStore, options: Namespace, progress: Progress, err: TextIO) -> None:
    """Ask for confirmation. Raises CommandError."""
    if options.visitor is not None:
        selection = Selection(visitor=options.visitor)
    else:
        selection = Selection(event_id=options.event_id, destination=options.destination, state="dead")
    number = sum(1 for _ in Search(store, selection, progress))
    progress.clear()
    if not number and options.visitor is None:
        raise _nothing_found(store, options, err)
    what = f"Delete {entries(number)}"
    files = store.quarantined() if options.visitor is not None else []
    if files:
        what += f", and {number_of(len(files), 'quarantined file')}, whose readable events were saved"
    if not sys.stdin.isatty():
        raise CommandError("cannot ask for confirmation without a terminal; use --yes", MISUSED)
    err.write(f"{what}? [y/N] ")
    err.flush()
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise CommandError("nothing was deleted")


def _purge_visitor(
    store: CommandStore, visitor: str, until: float, progress: Progress, out: TextIO, err: TextIO
) -> int:
    """Delete all of a visitor, and search the files for the ID. Returns the exit code."""
    # Unused pages may still contain delivered events of a visitor, so go on without entries.
    command = StoreCommand("purge_visitor", visitor)
    number = store.command(command, until, progress.update)
    code = FOUND if store.is_salvaging else DONE
    if code:
        err.write("the readable events of a damaged file are not all saved yet; run the command again\n")
    else:
        code = _remove_quarantined(store, out, err)
    found = _files_containing(store.files, visitor)
    for pause in _pauses(until):
        if not found:
            break
        # It is being sent, a process that only reads has kept the log, or there are new events.
        progress.start("waiting for events that are being sent")
        time.sleep(pause)
        number += store.command(command, until, progress.update)
        found = _files_containing(store.files, visitor)
    progress.clear()
    out.write(f"{entries(number)} deleted\n")
    for name in found:
        err.write(f"{name}: the ID is still in it, in new events or in one that is being sent; run the command again\n")
        code = code or FOUND
    return code


def _remove_quarantined(store: CommandStore, out: TextIO, err: TextIO) -> int:
    """Remove the quarantined files, as it is unknown whose the unreadable events are."""
    code = DONE
    for path in store.quarantined():
        try:
            store.remove(path)
            out.write(f"{path.name}: quarantined, removed\n")
        except OSError as error:
            err.write(f"{path.name}: quarantined, cannot be removed ({error.strerror})\n")
            code = FAILED
    return code


def _pauses(until: float) -> Iterator[float]:
    """Yield the pauses between searches up to a monotonic time."""
    pause = _FIRST_PAUSE
    while (rest := until - time.monotonic()) > 0:
        yield min(pause, rest)
        pause = min(2 * pause, _LONGEST_PAUSE)


def _files_containing(files: list[Path], visitor: str) -> list[str]:
    """Return the files that contain an ID, also on unused pages."""
    # As events contain it; a UUID cannot be part of another ID.
    words = visitor.encode() if is_uuid(visitor) else dumps(visitor)
    found: list[str] = []
    for path in files:
        with suppress(OSError):  # it may be gone by now
            if _contains(path, words):
                found.append(path.name)
    return found


def _contains(path: Path, words: bytes) -> bool:
    """Whether a file contains a text. Reads in chunks, as a process may truncate it."""
    end = b""
    with path.open("rb") as file:
        while piece := file.read(_CHUNK):
            if words in end + piece:
                return True
            end = piece[-len(words) :]
    return False
