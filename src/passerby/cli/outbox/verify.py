"""`passerby outbox verify`: checks that every file is intact and every event readable."""

from __future__ import annotations

import json
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from ...old_outbox.database import Trouble
from ...old_outbox.eventtext import UnreadableEvent, read_event
from ...old_outbox.inventory import OutboxFile, list_files, opened
from ...old_outbox.reading import PAGE
from .exit_codes import DONE, FAILED, FOUND
from .terminal import Progress, entries, number_of, printable


@dataclass(frozen=True, slots=True)
class VerifiedFile:
    """A file and its contents.

    Attributes:
        file: the file.
        entries: the number of readable entries.
        unreadable: how many of them have an unreadable event.
        problems: what SQLite reports.
        error: why the file could not be read.
    """

    file: OutboxFile
    entries: int = 0
    unreadable: int = 0
    problems: Sequence[str] = ()
    error: str | None = None

    @property
    def is_ok(self) -> bool:
        """Whether no problem was found."""
        return not (self.unreadable or self.problems or self.error or self.file.standing == "set aside")


def run(directory: Path, options: Namespace, out: TextIO, err: TextIO) -> int:
    """Verify all files. Returns 3 if one is damaged or was set aside."""
    verdicts: list[VerifiedFile] = []
    with Progress(err) as progress:
        files = list_files(directory)
        for number, file in enumerate(files, 1):
            progress.start(f"file {number} of {len(files)}: ")
            verdict = _verify(file, progress)
            if verdict.error and not file.path.exists():  # its entries are in another file now
                continue
            verdicts.append(verdict)
            if not options.json:
                progress.clear()
                out.write(f"{_as_text(verdict)}\n")
    if options.json:
        out.write(json.dumps({"outbox": str(directory), "files": [_as_json(one) for one in verdicts]}, indent=2) + "\n")
    elif not verdicts:
        out.write(f"{directory}: no files, nothing to verify\n")
    if any(one.error for one in verdicts if one.file.standing != "set aside"):
        return FAILED
    return DONE if all(one.is_ok for one in verdicts) else FOUND


def _verify(file: OutboxFile, progress: Progress) -> VerifiedFile:
    number = unreadable = 0
    problems: list[str] = []
    try:
        with opened(file) as reading:
            problems = reading.complaints(lambda: progress.update("checking pages"))
            reader = reading.reader()
            while page := reader.read(PAGE):
                number += len(page)
                unreadable += sum(not _is_readable(row.body) for row in page)
                progress.update(f"{number:,} entries")
            if reader.is_damaged and not problems:
                problems.append("some entries cannot be read")
    except Trouble as trouble:
        return VerifiedFile(file, number, unreadable, problems, trouble.reason)
    return VerifiedFile(file, number, unreadable, problems)


def _is_readable(body: bytes) -> bool:
    try:
        read_event(body)
    except UnreadableEvent:
        return False
    return True


def _as_text(verdict: VerifiedFile) -> str:
    name, standing = verdict.file.path.name, verdict.file.standing
    if verdict.error:
        return f"{name} ({standing}): cannot be read: {verdict.error}"
    readable = verdict.entries - verdict.unreadable
    if verdict.is_ok:
        return f"{name} ({standing}): ok, {entries(readable)} readable"
    found = [f"{number_of(verdict.unreadable, 'event')} unreadable"] if verdict.unreadable else []
    found += [printable(complaint) for complaint in verdict.problems]
    return "; ".join([f"{name} ({standing}): {'damaged' if found else 'intact'}, {entries(readable)} readable", *found])


def _as_json(verdict: VerifiedFile) -> dict[str, Any]:
    return {
        "file": verdict.file.path.name,
        "standing": verdict.file.standing,
        "ok": verdict.is_ok,
        "entries": verdict.entries,
        "unreadable": verdict.unreadable,
        "problems": list(verdict.problems),
        "error": verdict.error,
    }
