"""The checks of the outbox's store: waiting events, who delivers them, dead letters, damage."""

from __future__ import annotations

from ...outbox.exchanger import FALLS_BEHIND, NO_DELIVERER
from ..outbox.store import StoreSummary
from ..outbox.terminal import age_text, entries, number_of
from . import Finding

FILES = "files"
LONG_WAIT = 3_600.0  # seconds after which a waiting event is reported


def check_store(summary: StoreSummary, quarantined: int) -> list[Finding]:
    """Check waiting events, dead letters and damaged files.

    Args:
        summary: what is in the store.
        quarantined: the number of quarantined files.
    """
    return [_check_waiting(summary, is_all_read=not quarantined), _check_dead(summary), _check_damage(quarantined)]


def _check_waiting(summary: StoreSummary, *, is_all_read: bool) -> Finding:
    name = "waiting"
    found = entries(summary.waiting) if is_all_read else f"{entries(summary.waiting)} in the readable part"
    seen = summary.deliverer_age
    words = f"{found}; {'no deliverer was seen yet' if seen is None else f'a deliverer was seen {age_text(seen)} ago'}"
    # How long the first event is due; one that waits for a later attempt, or for its service, is not.
    delay = max((-each.next_due for each in summary.counts.values() if each.next_due is not None), default=-1.0)
    if delay >= 0 and (delay if seen is None else seen) > NO_DELIVERER:
        return Finding(
            name,
            "problem",
            f"{words}: no process delivers what is due",
            'start the app, run `passerby worker` if its deliver is "worker", or run `passerby outbox flush`',
        )
    if delay > FALLS_BEHIND:
        return Finding(
            name,
            "warning",
            f"{words}; events are due for {age_text(delay)}: delivery falls behind",
            "run `passerby worker`, or another one",
        )
    age = max(summary.oldest.values(), default=0.0)
    if age > LONG_WAIT:
        return Finding(
            name,
            "warning",
            f"{words}; the oldest has waited {age_text(age)}",
            "see which destination does not respond: `passerby outbox ls`, and the reasons in `passerby outbox show`",
        )
    return Finding(name, "ok", words)


def _check_dead(summary: StoreSummary) -> Finding:
    if not summary.dead:
        return Finding("dead letters", "ok", "none")
    return Finding(
        "dead letters",
        "warning",
        f"{summary.dead:,} will not be retried automatically",
        "see why: `passerby outbox show --dead`; then `passerby outbox retry --all` or `purge --dead`",
    )


def _check_damage(quarantined: int) -> Finding:
    if not quarantined:
        return Finding(FILES, "ok", "none is quarantined")
    return Finding(
        FILES,
        "warning",
        f"{number_of(quarantined, 'file')} quarantined as damaged; readable events are saved",
        "check the disk; read them with `passerby outbox export --quarantined`, then delete them",
    )
