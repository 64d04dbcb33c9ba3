"""The checks of the outbox's files: waiting events, dead letters, damage."""

from __future__ import annotations

from collections.abc import Sequence

from ...old_outbox.inventory import Contents
from ..outbox.listing import ListedFile
from ..outbox.terminal import age_text, entries, number_of
from . import Finding

FILES = "files"
LONG_WAIT = 3_600.0  # seconds after which a waiting event is reported


def check_files(listed: Sequence[ListedFile], total: Contents, now: float) -> list[Finding]:
    """Check waiting events, dead letters and damaged files.

    Args:
        listed: the files and their contents.
        total: the contents of all files in use.
        now: seconds since 1970.
    """
    return [_check_waiting(listed, total, now), _check_dead(total), *_check_damage(listed)]


def _check_waiting(listed: Sequence[ListedFile], total: Contents, now: float) -> Finding:
    name = "waiting"
    live = sum(one.file.standing == "live" for one in listed)
    is_all_read = not any(one.error or one.file.standing == "set aside" for one in listed)
    found = entries(total.waiting) if is_all_read else f"{entries(total.waiting)} in the readable files"
    words = f"{found}, {number_of(live, 'process', 'processes')} at work"
    if not total.waiting:
        return Finding(name, "ok", words)
    if not live:
        return Finding(
            name,
            "warning",
            f"{words}: no process delivers them",
            "start the app, which takes them over, or run `passerby outbox flush`",
        )
    age = 0.0 if total.oldest is None else now - total.oldest
    if age > LONG_WAIT:
        return Finding(
            name,
            "warning",
            f"{words}; the oldest has waited {age_text(age)}",
            "see which destination does not respond: `passerby outbox ls`, and the reasons in `passerby outbox show`",
        )
    return Finding(name, "ok", words)


def _check_dead(total: Contents) -> Finding:
    if not total.dead:
        return Finding("dead letters", "ok", "none")
    return Finding(
        "dead letters",
        "warning",
        f"{total.dead:,} will not be retried automatically",
        "see why: `passerby outbox show --dead`; then `passerby outbox retry --all` or `purge --dead`",
    )


def _check_damage(listed: Sequence[ListedFile]) -> list[Finding]:
    findings: list[Finding] = []
    unreadable = [one for one in listed if one.error and one.file.standing != "set aside"]
    if unreadable:
        reasons = ", ".join(sorted({one.error or "" for one in unreadable}))
        findings.append(
            Finding(
                FILES,
                "problem",
                f"{number_of(len(unreadable), 'file')} cannot be read: {reasons}",
                "run this as the user that the app runs as; then `passerby outbox verify`",
            )
        )
    aside = sum(one.file.standing == "set aside" for one in listed)
    if aside:
        findings.append(
            Finding(
                FILES,
                "warning",
                f"{number_of(aside, 'file')} set aside as damaged; readable events were saved",
                "check the disk; read them with `passerby outbox export --set-aside`, then delete them",
            )
        )
    return findings or [Finding(FILES, "ok", number_of(len(listed), "file"))]
