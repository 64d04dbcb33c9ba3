"""`passerby worker`: delivers in a process of its own, or beside an app that it starts."""

from __future__ import annotations

import os
import sys
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn, TextIO

from ...client.stats import Stats
from ..outbox.exit_codes import DONE, MISUSED
from ..outbox.location import CommandError
from ..outbox.terminal import entries, printable
from . import delivering, loading, supervisor
from .health import serving_health
from .orders import OrderReader, is_supported


def run(options: Namespace, out: TextIO, err: TextIO) -> int:
    """Run a worker until a signal, or with an app until the app ends. Returns the exit code."""
    try:
        if not is_supported():
            raise CommandError('this system has no signals of POSIX; deliver in the app, with deliver="thread"')
        if options.app:
            _become_supervisor(options)
        return _deliver(options, out, err)
    except CommandError as refused:
        err.write(f"passerby worker: {refused}\n")
        return refused.code


def _deliver(options: Namespace, out: TextIO, err: TextIO) -> int:
    tracking = loading.load_app(options, os.environ)
    loading.show_warnings(err)  # the app has configured logging by now, if it does
    names = tracking.delivery.destination_names
    if not names:
        raise CommandError("found no destination in the settings, expected those of the app")
    orders = OrderReader(options.supervised)
    with orders.reading(), serving_health(options.health, tracking) as address:
        out.write(f"Delivering what waits in {tracking.outbox_directory} to {', '.join(names)}")
        out.write(f"; health on {address}\n" if address else "\n")
        out.flush()
        orders.report(tracking.close_timeout)
        stats = delivering.deliver(tracking, orders, until_empty=options.until_empty)
    if options.until_empty:
        out.write(f"{_describe_rest(stats)}\n")
    return DONE


def _describe_rest(stats: Stats) -> str:
    waiting = {name: each.pending - each.held for name, each in stats.destinations.items()}
    shares = ", ".join(f"{number:,} for {printable(name)}" for name, number in waiting.items() if number)
    return f"{entries(sum(waiting.values()))} still waiting: {shares}" if shares else "nothing is waiting"


def _become_supervisor(options: Namespace) -> NoReturn:
    """Replace this process with a supervisor, which starts the app, and this command line again as a worker."""
    if options.until_empty:
        raise CommandError("found --until-empty with a command; the worker beside an app ends with it", MISUSED)
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    worker = _own_command_line(options.app)
    # By its path: it must load nothing of passerby, and -P keeps its directory out of the import path.
    program = [sys.executable, "-P", str(Path(supervisor.__file__)), str(len(worker)), *worker, *options.app]
    os.execv(sys.executable, program)  # noqa: S606 - the user's own


def _own_command_line(app: Sequence[str]) -> list[str]:
    """Return what started this process, such as `python manage.py passerby worker`, without the app's command."""
    given, end = list(sys.orig_argv), ["--", *app]
    if given[-len(end) :] != end:
        raise CommandError("a worker beside an app can only be started as a program of its own", MISUSED)
    return [sys.executable, *given[1 : -len(end)]]
