"""What is in the outbox's files: whether something in them should be looked at."""

from __future__ import annotations

from collections.abc import Sequence

from ...outbox.inventory import Contents
from ..outbox.listing import Listed
from ..outbox.terminal import age_text, entries, number_of
from . import Finding

FILES = "files"
LONG = 3_600.0  # seconds that something may wait before it is said


def check_files(listed: Sequence[Listed], total: Contents, now: float) -> list[Finding]:
    """Whether what waits gets away, and nothing has to be looked at.

    Args:
        listed: the files, and what is in each.
        total: what is in all that are in use.
        now: seconds since 1970.
    """
    return [_check_waiting(listed, total, now), _check_dead(total), *_check_damage(listed)]


def _check_waiting(listed: Sequence[Listed], total: Contents, now: float) -> Finding:
    name = "waiting"
    live = sum(one.file.standing == "live" for one in listed)
    is_all_read = not any(one.trouble or one.file.standing == "set aside" for one in listed)
    found = entries(total.waiting) if is_all_read else f"{entries(total.waiting)} in what could be read"
    words = f"{found}, {number_of(live, 'process', 'processes')} at work"
    if not total.waiting:
        return Finding(name, "ok", words)
    if not live:
        return Finding(
            name,
            "warning",
            f"{words}: nobody delivers them",
            "start the app, which takes them over, or run `passerby outbox flush`",
        )
    age = 0.0 if total.oldest is None else now - total.oldest
    if age > LONG:
        return Finding(
            name,
            "warning",
            f"{words}; the oldest has waited {age_text(age)}",
            "see which destination does not answer: `passerby outbox ls`, and the reasons in `passerby outbox show`",
        )
    return Finding(name, "ok", words)


def _check_dead(total: Contents) -> Finding:
    if not total.dead:
        return Finding("dead letters", "ok", "none")
    return Finding(
        "dead letters",
        "warning",
        f"{total.dead:,} will not be sent again by themselves",
        "see why: `passerby outbox show --dead`; then `passerby outbox retry --all` or `purge --dead`",
    )


def _check_damage(listed: Sequence[Listed]) -> list[Finding]:
    findings: list[Finding] = []
    unreadable = [one for one in listed if one.trouble and one.file.standing != "set aside"]
    if unreadable:
        reasons = ", ".join(sorted({one.trouble or "" for one in unreadable}))
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
                f"{number_of(aside, 'file')} set aside as damaged; what was readable has been saved",
                "see whether the disk is at fault; look with `passerby outbox export --set-aside`, then delete them",
            )
        )
    return findings or [Finding(FILES, "ok", number_of(len(listed), "file"))]
