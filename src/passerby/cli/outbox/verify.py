"""`passerby outbox verify`: whether every file is whole, and every event in it readable."""

from __future__ import annotations

import json
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from ...outbox.database import Trouble
from ...outbox.eventtext import UnreadableEvent, read_event
from ...outbox.inventory import OutboxFile, list_files, opened
from ...outbox.reading import PAGE
from .exit_codes import DONE, FAILED, FOUND
from .terminal import Progress, entries, number_of, printable


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was found in a file.

    Attributes:
        file: the file.
        entries: how many entries could be read.
        unreadable: how many of them have an event that cannot be read.
        complaints: what SQLite finds wrong.
        trouble: why it could not be looked at.
    """

    file: OutboxFile
    entries: int = 0
    unreadable: int = 0
    complaints: Sequence[str] = ()
    trouble: str | None = None

    @property
    def is_good(self) -> bool:
        """Whether all is as it should be."""
        return not (self.unreadable or self.complaints or self.trouble or self.file.standing == "set aside")


def run(directory: Path, options: Namespace, out: TextIO, err: TextIO) -> int:
    """Verify all files; answer 3 if one is damaged or was set aside."""
    verdicts: list[Verdict] = []
    with Progress(err) as progress:
        files = list_files(directory)
        for number, file in enumerate(files, 1):
            progress.say(f"file {number} of {len(files)}: ")
            verdict = _verify(file, progress)
            if verdict.trouble and not file.path.exists():  # what was in it is in another file now
                continue
            verdicts.append(verdict)
            if not options.json:
                progress.clear()
                out.write(f"{_as_text(verdict)}\n")
    if options.json:
        out.write(json.dumps({"outbox": str(directory), "files": [_as_json(one) for one in verdicts]}, indent=2) + "\n")
    elif not verdicts:
        out.write(f"{directory}: no files, so nothing to verify\n")
    if any(one.trouble for one in verdicts if one.file.standing != "set aside"):
        return FAILED
    return DONE if all(one.is_good for one in verdicts) else FOUND


def _verify(file: OutboxFile, progress: Progress) -> Verdict:
    number = unreadable = 0
    complaints: list[str] = []
    try:
        with opened(file) as reading:
            complaints = reading.complaints(lambda: progress.go_on("looking at its pages"))
            reader = reading.reader()
            while page := reader.read(PAGE):
                number += len(page)
                unreadable += sum(not _is_readable(row.body) for row in page)
                progress.go_on(f"{number:,} entries")
            if reader.is_damaged and not complaints:
                complaints.append("some entries cannot be read")
    except Trouble as trouble:
        return Verdict(file, number, unreadable, complaints, trouble.reason)
    return Verdict(file, number, unreadable, complaints)


def _is_readable(body: bytes) -> bool:
    try:
        read_event(body)
    except UnreadableEvent:
        return False
    return True


def _as_text(verdict: Verdict) -> str:
    name, standing = verdict.file.path.name, verdict.file.standing
    if verdict.trouble:
        return f"{name} ({standing}): cannot be read: {verdict.trouble}"
    readable = verdict.entries - verdict.unreadable
    if verdict.is_good:
        return f"{name} ({standing}): good, {entries(readable)} readable"
    found = [f"{number_of(verdict.unreadable, 'event')} unreadable"] if verdict.unreadable else []
    found += [printable(complaint) for complaint in verdict.complaints]
    return "; ".join([f"{name} ({standing}): {'damaged' if found else 'whole'}, {entries(readable)} readable", *found])


def _as_json(verdict: Verdict) -> dict[str, Any]:
    return {
        "file": verdict.file.path.name,
        "standing": verdict.file.standing,
        "good": verdict.is_good,
        "entries": verdict.entries,
        "unreadable": verdict.unreadable,
        "complaints": list(verdict.complaints),
        "trouble": verdict.trouble,
    }
