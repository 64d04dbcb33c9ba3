"""`passerby outbox flush`: delivers waiting events, whichever process has recorded them; for cron and deploys."""

from __future__ import annotations

import os
import time
from argparse import Namespace
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TextIO

from ...client.tracking import Tracking
from ...outbox.contract import DAMAGED, EXPIRED, FULL, INTERNAL, StoreCommand
from ...settings.env import read_environment, variable_of
from .exit_codes import DONE, FOUND
from .loading import find_tracking
from .location import VARIABLE, CommandError
from .store import CommandStore, StoreSummary, report_quarantined
from .terminal import Progress, entries, number_of, printable

# Unused browser IDs would count as visitors.
_NO_BROWSER_IDS = {"browser_id_pool_size": 0, "set_cookie": False}
_LOST = (FULL, DAMAGED, EXPIRED, INTERNAL)  # why entries are dropped that were to be delivered
_POLL_INTERVAL = 0.05  # seconds between two looks at the store


def run(store: CommandStore, options: Namespace, out: TextIO, err: TextIO) -> int:
    """Deliver. Returns 3 if anything is left at the timeout: keep the directory in this case."""
    until = time.monotonic() + options.timeout
    before = store.summary()
    if not before.counts and not store.quarantined():
        out.write(f"{store.path}: no events were recorded, nothing is waiting\n")
        return DONE
    tracking = _find_tracking(store.path, options, os.environ)
    _check_destinations(tracking, before)
    with Progress(err) as progress:
        progress.start("delivering")
        store.command(StoreCommand("send_now"), until, progress.update)
        after = _deliver(tracking, store, until, progress)
    lost = _lost_by_reason(before, after)
    delivered = sum(each.delivered for each in after.counts.values())
    delivered -= sum(each.delivered for each in before.counts.values())
    is_quarantined = bool(store.quarantined())
    text = _waiting_text(after, is_all_read=not is_quarantined)
    out.write(f"{entries(delivered)} delivered; {text}{_other_text(after)}\n")
    report_quarantined(store, err)
    for reason, number in lost.items():
        err.write(f"{entries(number)} could not be kept and are lost: {printable(reason)}\n")
    return FOUND if is_quarantined or after.total or lost else DONE


def _deliver(tracking: Tracking, store: CommandStore, until: float, progress: Progress) -> StoreSummary:
    """Have the tracking deliver until nothing waits, or the time is over."""
    tracking.delivery.start(delivers=True)
    try:
        while ((waiting := store.count_waiting()) or store.is_salvaging) and time.monotonic() < until:
            progress.start(f"{entries(waiting)} waiting")
            time.sleep(min(_POLL_INTERVAL, max(0.0, until - time.monotonic())))
    finally:
        tracking.close(max(1.0, until - time.monotonic()))
    return store.summary()


def _lost_by_reason(before: StoreSummary, after: StoreSummary) -> Counter[str]:
    """Count entries that were neither delivered nor kept meanwhile, such as damaged ones."""
    lost: Counter[str] = Counter()
    for name, counts in after.counts.items():
        earlier = before.counts[name].dropped if name in before.counts else {}
        for reason, number in counts.dropped.items():
            if reason in _LOST and number > earlier.get(reason, 0):
                lost[reason] += number - earlier.get(reason, 0)
    return lost


def _find_tracking(directory: Path, options: Namespace, environ: Mapping[str, str]) -> Tracking:
    """Return the tracking that delivers. Raises CommandError."""

    def make() -> Tracking:
        values = read_environment({**environ, VARIABLE: f"sqlite://{directory}"})
        return Tracking.from_mapping({**values, **_NO_BROWSER_IDS}, variable_of)

    tracking = find_tracking(options, environ, make, "the command needs the settings with which the app delivers")
    place = tracking.outbox_directory
    if place is None or Path(place).resolve() != directory.resolve():
        raise CommandError(f"found a Tracking whose outbox is not {directory}; omit --outbox, or name its outbox", 2)
    return tracking


def _check_destinations(tracking: Tracking, summary: StoreSummary) -> None:
    """Check that the settings have all destinations for which events wait; else they would go on waiting."""
    found = {name for name, counts in summary.counts.items() if counts.waiting or counts.held}
    unknown = sorted(found.difference(tracking.destination_names))
    if unknown:
        raise CommandError(
            f"found entries waiting for {', '.join(unknown)}, which the settings do not have; use the settings of the "
            "app: PASSERBY_*, --tracking, or the app's own command line"
        )


def _waiting_text(summary: StoreSummary, *, is_all_read: bool) -> str:
    if not summary.waiting:
        return "nothing is waiting" if is_all_read else "nothing is waiting in the readable part"
    shares = (f"{each.waiting:,} for {name}" for name, each in sorted(summary.counts.items()) if each.waiting)
    return f"{entries(summary.waiting)} still waiting: {', '.join(shares)}"


def _other_text(summary: StoreSummary) -> str:
    words = f"; {entries(summary.held)} held" if summary.held else ""
    return f"{words}; {number_of(summary.dead, 'dead letter')}" if summary.dead else words
