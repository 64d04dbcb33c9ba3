"""`passerby outbox verify`: checks that the store is intact and every event readable."""

from __future__ import annotations

import json
from argparse import Namespace
from typing import TextIO

from ...outbox.contract import StorageError
from ...outbox.sqlite.inspection import DatabaseCheck
from .exit_codes import DONE, FAILED, FOUND
from .store import CommandStore
from .terminal import Progress, entries, number_of, printable


def run(store: CommandStore, options: Namespace, out: TextIO, err: TextIO) -> int:
    """Verify the store. Returns 3 if something is damaged or quarantined."""
    quarantined = [path.name for path in store.quarantined()]
    found, error = DatabaseCheck(0, 0, ()), None
    if store.exists:
        with Progress(err) as progress:
            progress.start("checking: ")
            try:
                found = store.check(lambda number: progress.update(f"{number:,} entries"))
            except StorageError as trouble:
                error = trouble.reason
    is_ok = not (found.damaged or found.problems or error or quarantined)
    if options.json:
        values = {
            "outbox": str(store.path),
            "ok": is_ok,
            "entries": found.entries,
            "unreadable": found.damaged,
            "problems": found.problems,
            "error": error,
            "quarantined": quarantined,
        }
        out.write(json.dumps(values, indent=2) + "\n")
    else:
        out.write(f"{_as_text(store, found, error)}\n")
        out.writelines(f"{name}: quarantined as damaged\n" for name in quarantined)
    if error is not None:
        return FAILED
    return DONE if is_ok else FOUND


def _as_text(store: CommandStore, found: DatabaseCheck, error: str | None) -> str:
    if error is not None:
        return f"{store.name}: cannot be read: {error}"
    if not store.exists:
        return f"{store.path}: no events were recorded, nothing to verify"
    problems = [f"{number_of(found.damaged, 'event')} unreadable"] if found.damaged else []
    problems += [printable(each) for each in found.problems]
    verdict = "damaged" if problems else "ok"
    return "; ".join([f"{store.name}: {verdict}, {entries(found.entries)} readable", *problems])
