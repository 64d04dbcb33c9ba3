"""`passerby outbox flush`: delivers waiting events, also of processes that have ended; for cron and deploys."""

from __future__ import annotations

import importlib
import os
import sys
import time
from argparse import Namespace
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TextIO

from ...client.tracking import Tracking
from ...errors import SettingsError
from ...old_outbox.board import Board, Notice
from ...old_outbox.database import Trouble
from ...old_outbox.entry import CLEARED, PURGED
from ...old_outbox.folder import Folder
from ...old_outbox.inventory import Contents
from ...settings.env import read_environment, variable_of
from .exit_codes import DONE, FOUND
from .listing import ListedFile, list_contents, report_unread
from .location import VARIABLE, CommandError, add_working_directory, is_missing
from .terminal import Progress, entries, number_of, printable

# Unused browser IDs would count as visitors.
_NO_BROWSER_IDS = {"browser_id_pool_size": 0, "set_cookie": False}
_INTENDED = (PURGED, CLEARED)  # dropped on request
_POLL_INTERVAL = 0.5  # seconds between two checks of the other processes


def run(directory: Path, options: Namespace, out: TextIO, err: TextIO) -> int:
    """Deliver. Returns 3 if anything is left at the timeout: keep the directory in this case."""
    until = time.monotonic() + options.timeout
    listed, total = list_contents(directory, err) if not is_missing(directory) else ([], Contents())
    if not listed:
        out.write(f"{directory}: no files, nothing is waiting\n")
        return DONE
    tracking = _find_tracking(directory, options, os.environ)
    _check_destinations(tracking, listed)
    with Progress(err) as progress:
        progress.start("delivering")
        _request_sending(directory)
        tracking.start()
        tracking.flush(options.timeout)
        delivered = sum(one.delivered for one in tracking.stats().destinations.values())
        tracking.close(max(1.0, until - time.monotonic()))
        lost = _lost_by_reason(tracking)
        listed, total = list_contents(directory, err)
        while total.waiting and _others_deliver(listed) and time.monotonic() < until:
            progress.start(f"{entries(total.waiting)} left to other processes")
            time.sleep(min(_POLL_INTERVAL, max(0.0, until - time.monotonic())))
            listed, total = list_contents(directory, err)
    is_all_read = not any(one.error or one.file.standing == "set aside" for one in listed)
    out.write(f"{entries(delivered)} delivered; {_waiting_text(total, is_all_read)}{_other_text(total)}\n")
    report_unread(listed, err)
    for reason, number in lost.items():
        err.write(f"{entries(number)} could not be kept and are lost: {printable(reason)}\n")
    return DONE if is_all_read and not total.total and not lost else FOUND


def _lost_by_reason(tracking: Tracking) -> Counter[str]:
    """Count entries that were neither delivered nor kept, such as unreadable events."""
    lost: Counter[str] = Counter()
    for one in tracking.stats().destinations.values():
        lost.update({reason: number for reason, number in one.dropped.items() if reason not in _INTENDED})
    return lost


def _find_tracking(directory: Path, options: Namespace, environ: Mapping[str, str]) -> Tracking:
    """Return the tracking that delivers. Raises CommandError."""
    try:
        if options.tracking is not None:
            tracking = _load(options.tracking)
        elif options.find_tracking is not None:
            tracking = options.find_tracking()
        else:
            add_working_directory(environ)
            values = read_environment({**environ, VARIABLE: f"sqlite://{directory}"})
            tracking = Tracking.from_mapping({**values, **_NO_BROWSER_IDS}, variable_of)
    except SettingsError as error:
        raise CommandError(f"{error}; the command needs the settings with which the app delivers") from None
    place = tracking.outbox_directory
    if place is None or Path(place).resolve() != directory.resolve():
        raise CommandError(f"found a Tracking whose outbox is not {directory}; omit --outbox, or name its outbox", 2)
    return tracking


def _check_destinations(tracking: Tracking, listed: list[ListedFile]) -> None:
    """Check that the settings have all destinations of the files; else the entries would become dead letters."""
    found = {
        name
        for one in listed
        if one.file.standing == "left behind"
        for name, share in one.contents.shares.items()
        if share.waiting or share.held
    }
    unknown = sorted(found - tracking.stats().destinations.keys())
    if unknown:
        raise CommandError(
            f"found entries waiting for {', '.join(unknown)}, which the settings do not have; use the settings of the "
            "app: PASSERBY_*, --tracking, or the app's own command line"
        )


def _load(name: str) -> Tracking:
    module, separator, path = name.partition(":")
    if not (module and separator and path):
        raise CommandError("--tracking: expected a module and a name in it, such as shop.tracking:tracking", 2)
    if "" not in sys.path:  # as with `python -m`; an installed command does not have it
        sys.path.insert(0, "")
    try:
        found: object = importlib.import_module(module)
        for part in path.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError) as error:
        raise CommandError(f"--tracking: {error}", 2) from None
    if not isinstance(found, Tracking):
        raise CommandError(f"--tracking: found {type(found).__name__}, expected a Tracking", 2)
    return found


def _request_sending(directory: Path) -> None:
    """Ask other processes to retry waiting entries at once. Best effort."""
    board = Board(Folder(directory))
    with suppress(Trouble):
        board.post([Notice("send now", "", time.time())])
    with suppress(Trouble):
        board.close()


def _others_deliver(listed: list[ListedFile]) -> bool:
    return any(one.file.standing == "live" and one.contents.waiting for one in listed)


def _waiting_text(total: Contents, is_all_read: bool) -> str:
    if not total.waiting:
        return "nothing is waiting" if is_all_read else "nothing is waiting in the readable part"
    shares = ", ".join(f"{share.waiting:,} for {name}" for name, share in sorted(total.shares.items()) if share.waiting)
    return f"{entries(total.waiting)} still waiting: {shares}"


def _other_text(total: Contents) -> str:
    held = sum(share.held for share in total.shares.values())
    words = f"; {entries(held)} held" if held else ""
    return f"{words}; {number_of(total.dead, 'dead letter')}" if total.dead else words
