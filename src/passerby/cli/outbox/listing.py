"""`passerby outbox ls`: counts the entries by destination. Its output has no personal data."""

from __future__ import annotations

import json
import time
from argparse import Namespace
from collections import Counter
from collections.abc import Sequence
from typing import Any, TextIO

from ...outbox.contract import StorageError
from .entry import time_text
from .exit_codes import DONE, FAILED, FOUND
from .store import CommandStore, StoreSummary, report_quarantined
from .terminal import Progress, age_text, entries, printable, size_text

_TITLES = ("DESTINATION", "WAITING", "HELD", "DEAD", "OLDEST WAITING")
_MAX_REASONS = 20  # the text shows the most frequent ones
Reasons = Sequence[tuple[int, str, str]]  # how many, of which destination, why


def run(store: CommandStore, options: Namespace, out: TextIO, err: TextIO) -> int:
    """List the destinations. Returns 3 if there are quarantined files, with --check also if there are dead letters."""
    with Progress(err) as progress:
        progress.start("counting")
        summary = store.summary()
        reasons, error = _count_reasons(store, progress)
    if options.json:
        out.write(json.dumps(_as_json(store, summary, reasons), indent=2) + "\n")
    else:
        out.writelines(f"{line}\n" for line in _as_text(store, summary, reasons))
    is_quarantined = report_quarantined(store, err)
    if error is not None:
        err.write(f"{store.name}: the dead letters could not be read completely ({error})\n")
        return FAILED
    return FOUND if is_quarantined or (options.check and summary.dead) else DONE


def _count_reasons(store: CommandStore, progress: Progress) -> tuple[Reasons, str | None]:
    """Return the dead letters by reason, and why some could not be read."""
    found: Counter[tuple[str, str]] = Counter()
    error = None
    try:
        for entry in store.entries(("dead",)):
            found[entry.destination, entry.reason or ""] += 1
            progress.update()
    except StorageError as trouble:
        error = trouble.reason
    counted = ((number, *key) for key, number in found.items())
    return sorted(counted, key=lambda each: (-each[0], *each[1:])), error


def _as_json(store: CommandStore, summary: StoreSummary, reasons: Reasons) -> dict[str, Any]:
    now = time.time()
    seen = summary.deliverer_age
    return {
        "outbox": str(store.path),
        "bytes": store.size,
        "deliverer_seen": None if seen is None else time_text(now - seen),
        "destinations": {
            name: {
                "waiting": counts.waiting,
                "held": counts.held,
                "dead": counts.dead,
                "oldest_waiting": time_text(now - summary.oldest[name]) if name in summary.oldest else None,
            }
            for name, counts in sorted(summary.counts.items())
        },
        "dead_letters": [{"destination": name, "reason": reason, "number": number} for number, name, reason in reasons],
        "quarantined": [path.name for path in store.quarantined()],
    }


def _as_text(store: CommandStore, summary: StoreSummary, reasons: Reasons) -> list[str]:
    if not summary.counts:
        is_all_read = not store.quarantined()
        return [f"{store.path}: {'no events were recorded, nothing' if is_all_read else 'nothing readable'} is waiting"]
    seen = summary.deliverer_age
    deliverer = "no deliverer was seen yet" if seen is None else f"a deliverer was seen {age_text(seen)} ago"
    lines = [f"{store.path}: {entries(summary.total)}, {size_text(store.size)}; {deliverer}", ""]
    rows: list[Sequence[str]] = [_TITLES]
    for name, counts in sorted(summary.counts.items()):
        oldest = age_text(summary.oldest[name]) if name in summary.oldest else ""
        rows.append((printable(name), f"{counts.waiting:,}", f"{counts.held:,}", f"{counts.dead:,}", oldest))
    lines += _aligned(rows)
    if reasons:
        lines += ["", "dead letters:"]
        lines += [f"{number:>8,}  {name}  {printable(reason)}" for number, name, reason in reasons[:_MAX_REASONS]]
        if len(reasons) > _MAX_REASONS:
            lines.append(f"          and of {len(reasons) - _MAX_REASONS} other reasons")
    return lines


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.rjust(width) if 1 <= column <= 3 else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
