"""`passerby outbox flush`: delivers what waits, also of processes that are gone; for cron and deploys."""

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
from ...outbox.board import Board, Notice
from ...outbox.database import Trouble
from ...outbox.entry import CLEARED, PURGED
from ...outbox.folder import Folder
from ...outbox.inventory import Contents
from ...settings.env import read_environment, variable_of
from .exit_codes import DONE, FOUND
from .listing import Listed, report_unread, take_stock
from .location import VARIABLE, Refused, find_modules_here, is_missing
from .terminal import Progress, entries, number_of, printable

# A browser ID that is made and never used would be a visitor who never was.
_WITHOUT_VISITORS = {"browser_id_pool_size": 0, "set_cookie": False}
_ASKED_FOR = (PURGED, CLEARED)  # what somebody wanted to be dropped
_LOOK = 0.5  # seconds between two looks at what the others still have


def run(directory: Path, options: Namespace, out: TextIO, err: TextIO) -> int:
    """Deliver; answer 3 if anything is left when the time is up: then the directory is to be kept."""
    until = time.monotonic() + options.timeout
    listed, total = take_stock(directory, err) if not is_missing(directory) else ([], Contents())
    if not listed:
        out.write(f"{directory}: no files, so nothing waits\n")
        return DONE
    tracking = _find_tracking(directory, options, os.environ)
    _check_destinations(tracking, listed)
    with Progress(err) as progress:
        progress.say("delivering")
        _have_others_send(directory)
        tracking.start()
        tracking.flush(options.timeout)
        delivered = sum(one.delivered for one in tracking.stats().destinations.values())
        tracking.close(max(1.0, until - time.monotonic()))
        lost = _lost_by_reason(tracking)
        listed, total = take_stock(directory, err)
        while total.waiting and _are_others_at_work(listed) and time.monotonic() < until:
            progress.say(f"{entries(total.waiting)} left to others")
            time.sleep(min(_LOOK, max(0.0, until - time.monotonic())))
            listed, total = take_stock(directory, err)
    is_all_read = not any(one.trouble or one.file.standing == "set aside" for one in listed)
    out.write(f"{entries(delivered)} delivered; {_left(total, is_all_read)}{_other(total)}\n")
    report_unread(listed, err)
    for reason, number in lost.items():
        err.write(f"{entries(number)} could not be kept and are lost: {printable(reason)}\n")
    return DONE if is_all_read and not total.total and not lost else FOUND


def _lost_by_reason(tracking: Tracking) -> Counter[str]:
    """Count what the files had and is neither delivered nor kept, such as events that could not be read."""
    lost: Counter[str] = Counter()
    for one in tracking.stats().destinations.values():
        lost.update({reason: number for reason, number in one.dropped.items() if reason not in _ASKED_FOR})
    return lost


def _find_tracking(directory: Path, options: Namespace, environ: Mapping[str, str]) -> Tracking:
    """Return what delivers; raises Refused."""
    try:
        if options.tracking is not None:
            tracking = _load(options.tracking)
        elif options.find_tracking is not None:
            tracking = options.find_tracking()
        else:
            find_modules_here(environ)
            values = read_environment({**environ, VARIABLE: f"sqlite://{directory}"})
            tracking = Tracking.from_mapping({**values, **_WITHOUT_VISITORS}, variable_of)
    except SettingsError as error:
        raise Refused(f"{error}; the command needs the settings with which the app delivers") from None
    place = tracking.outbox_directory
    if place is None or Path(place).resolve() != directory.resolve():
        raise Refused(
            f"found a Tracking whose outbox is not {directory}; leave --outbox out, or name the one that it has", 2
        )
    return tracking


def _check_destinations(tracking: Tracking, listed: list[Listed]) -> None:
    """See that these settings are the app's: what is for none of their destinations would become dead letters."""
    found = {
        name
        for one in listed
        if one.file.standing == "left behind"
        for name, share in one.contents.shares.items()
        if share.waiting or share.held
    }
    unknown = sorted(found - tracking.stats().destinations.keys())
    if unknown:
        raise Refused(
            f"found what waits for {', '.join(unknown)}, which these settings do not have; the command needs those "
            "with which the app delivers: PASSERBY_*, --tracking, or the app's own command line"
        )


def _load(name: str) -> Tracking:
    module, separator, path = name.partition(":")
    if not (module and separator and path):
        raise Refused("--tracking: expected a module and a name in it, such as shop.tracking:tracking", 2)
    if "" not in sys.path:  # as `python -m` has it, and an installed command has not
        sys.path.insert(0, "")
    try:
        found: object = importlib.import_module(module)
        for part in path.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError) as error:
        raise Refused(f"--tracking: {error}", 2) from None
    if not isinstance(found, Tracking):
        raise Refused(f"--tracking: found {type(found).__name__}, expected a Tracking", 2)
    return found


def _have_others_send(directory: Path) -> None:
    """Ask the processes that have files to send at once what waits for a later attempt, as far as they hear it."""
    board = Board(Folder(directory))
    with suppress(Trouble):
        board.post([Notice("send now", "", time.time())])
    with suppress(Trouble):
        board.close()


def _are_others_at_work(listed: list[Listed]) -> bool:
    return any(one.file.standing == "live" and one.contents.waiting for one in listed)


def _left(total: Contents, is_all_read: bool) -> str:
    if not total.waiting:
        return "nothing waits" if is_all_read else "nothing waits in what could be read"
    shares = ", ".join(f"{share.waiting:,} for {name}" for name, share in sorted(total.shares.items()) if share.waiting)
    return f"{entries(total.waiting)} still waiting: {shares}"


def _other(total: Contents) -> str:
    held = sum(share.held for share in total.shares.values())
    words = f"; {entries(held)} held" if held else ""
    return f"{words}; {number_of(total.dead, 'dead letter')}" if total.dead else words
