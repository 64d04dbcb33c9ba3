"""`passerby outbox ls`: lists files and counts entries by destination. Its output has no personal data."""

from __future__ import annotations

import json
import time
from argparse import Namespace
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

from ...old_outbox.database import Trouble
from ...old_outbox.inventory import Contents, OutboxFile, Share, count, kept, list_files
from .entry import time_text
from .exit_codes import DONE, FAILED, FOUND
from .terminal import Progress, age_text, number_of, printable, size_text

_TITLES = ("FILE", "STANDING", "SIZE", "DESTINATION", "WAITING", "HELD", "DEAD", "OLDEST WAITING")
_MAX_REASONS = 20  # the text shows the most frequent ones
_MAX_KEPT_OPEN = 100  # files that this process keeps open


@dataclass(frozen=True, slots=True)
class ListedFile:
    """A file and its contents.

    Attributes:
        file: the file.
        contents: its contents.
        error: why it could not be read; None if it could.
    """

    file: OutboxFile
    contents: Contents = field(default_factory=Contents)
    error: str | None = None


def run(directory: Path, options: Namespace, out: TextIO, err: TextIO) -> int:
    """List the files. Returns 3 if some could not be read, with --check also if there are dead letters."""
    listed, total = list_contents(directory, err)
    if options.json:
        out.write(json.dumps(_as_json(directory, listed, total), indent=2) + "\n")
    else:
        out.writelines(f"{line}\n" for line in _as_text(directory, listed, total, time.time()))
    is_aside = report_unread([one for one in listed if one.file.standing == "set aside"], err)
    if any(one.error for one in listed if one.file.standing != "set aside"):
        return FAILED
    return FOUND if is_aside or (options.check and total.dead) else DONE


def report_unread(listed: Sequence[ListedFile], err: TextIO) -> bool:
    """Report files that could not be read or were set aside. Returns whether there are any."""
    for one in listed:
        if one.error and one.file.standing != "set aside":
            err.write(f"{one.file.path.name}: cannot be read ({one.error})\n")
    return report_set_aside([one.file for one in listed if one.file.standing == "set aside"], err) or any(
        one.error for one in listed
    )


def report_set_aside(files: Sequence[OutboxFile], err: TextIO) -> bool:
    """Report files that were set aside. Returns whether there are any."""
    if files:
        err.write(
            f"{number_of(len(files), 'file')} set aside as damaged: unreadable events were not saved; read them "
            "with `passerby outbox export --set-aside`, and keep the directory until then\n"
        )
    return bool(files)


def list_contents(directory: Path, err: TextIO) -> tuple[list[ListedFile], Contents]:
    """Count the entries of each file, and of all files in use. Entries of files set aside were saved elsewhere.

    Orphaned files are kept open until the end, or another process could move entries that would be counted twice.
    """
    total = Contents()
    listed: list[ListedFile] = []
    with Progress(err) as progress, ExitStack() as stack:
        files = list_files(directory)
        for number, file in enumerate(files, 1):
            progress.start(f"counting, file {number} of {len(files)}")
            contents, error = Contents(), None
            try:
                if number <= _MAX_KEPT_OPEN:
                    stack.enter_context(kept(file))
                count(file, contents, *([] if file.standing == "set aside" else [total]))
            except Trouble as trouble:
                error = trouble.reason
            listed.append(ListedFile(file, contents, error))
    # Files that were taken over meanwhile are counted elsewhere.
    return [one for one in listed if one.error is None or one.file.path.exists()], total


def _as_json(directory: Path, listed: list[ListedFile], total: Contents) -> dict[str, Any]:
    return {
        "outbox": str(directory),
        "files": [
            {
                "file": one.file.path.name,
                "standing": one.file.standing,
                "process": one.file.process,
                "bytes": one.file.size,
                "error": one.error,
                "destinations": _shares_as_json(one.contents),
            }
            for one in listed
        ],
        "destinations": _shares_as_json(total),
        "dead_letters": [
            {"destination": name, "reason": reason, "number": number} for number, name, reason in _reasons(total)
        ],
    }


def _shares_as_json(contents: Contents) -> dict[str, Any]:
    return {name: _share_as_json(share) for name, share in sorted(contents.shares.items())}


def _share_as_json(share: Share) -> dict[str, Any]:
    oldest = None if share.oldest is None else time_text(share.oldest)
    return {"waiting": share.waiting, "held": share.held, "dead": share.dead, "oldest_waiting": oldest}


def _as_text(directory: Path, listed: list[ListedFile], total: Contents, now: float) -> list[str]:
    if not listed:
        return [f"{directory}: no files, nothing is waiting"]
    size = sum(one.file.size for one in listed)
    lines = [f"{directory}: {number_of(len(listed), 'file')}, {size_text(size)}", ""]
    rows: list[Sequence[str]] = [_TITLES]
    for one in listed:
        shown: Sequence[str] = (one.file.path.name, one.file.standing, size_text(one.file.size))
        if one.error:
            rows.append((*shown, f"cannot be read: {one.error}", "", "", "", ""))
            continue
        for share in _shares_as_text(one.contents, now) or [("-", "0", "0", "0", "")]:
            rows.append((*shown, *share))
            shown = "", "", ""
    if len(listed) > 1:
        names = ["all in use", *[""] * len(total.shares)]
        rows += [(name, "", "", *share) for name, share in zip(names, _shares_as_text(total, now), strict=False)]
    lines += _aligned(rows)
    reasons = _reasons(total)
    if reasons:
        lines += ["", "dead letters:"]
        lines += [f"{number:>8,}  {name}  {printable(reason)}" for number, name, reason in reasons[:_MAX_REASONS]]
        if len(reasons) > _MAX_REASONS:
            lines.append(f"          and of {len(reasons) - _MAX_REASONS} other reasons")
    return lines


def _shares_as_text(contents: Contents, now: float) -> list[tuple[str, str, str, str, str]]:
    return [
        (
            printable(name),
            f"{share.waiting:,}",
            f"{share.held:,}",
            f"{share.dead:,}",
            "" if share.oldest is None else age_text(now - share.oldest),
        )
        for name, share in sorted(contents.shares.items())
    ]


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    # An error may be wider than its column.
    widths = [max(len(row[column]) for row in rows if row[4] or column < 3) for column in range(len(rows[0]))]
    lines: list[str] = []
    for row in rows:
        cells = [
            cell.rjust(width) if 4 <= column <= 6 or column == 2 else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    return lines


def _reasons(total: Contents) -> list[tuple[int, str, str]]:
    found = [(number, name, reason) for name, share in total.shares.items() for reason, number in share.reasons.items()]
    return sorted(found, key=lambda each: (-each[0], *each[1:]))
