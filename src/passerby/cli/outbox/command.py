"""`passerby outbox`: finds the outbox and runs a subcommand."""

from __future__ import annotations

import os
from argparse import Namespace
from collections.abc import Callable
from typing import TextIO

from . import flush, listing, retry_purge, show, verify
from .location import CommandError, check_directory, find_directory, is_missing
from .store import PATIENCE, CommandStore

Subcommand = Callable[[CommandStore, Namespace, TextIO, TextIO], int]

_LEAST = 1.0  # seconds to wait for a turn, however short the time is

SUBCOMMANDS: dict[str, Subcommand] = {
    "ls": listing.run,
    "show": show.run_show,
    "export": show.run_export,
    "verify": verify.run,
    "retry": retry_purge.run_retry,
    "purge": retry_purge.run_purge,
    "flush": flush.run,
}


def run(options: Namespace, out: TextIO, err: TextIO) -> int:
    """Run a subcommand. Returns the exit code."""
    try:
        directory = find_directory(options.outbox, options.find_tracking, os.environ)
        if options.verb != "flush" or not is_missing(directory):  # before the first event there is nothing to deliver
            check_directory(directory)
        with CommandStore(directory, max(_LEAST, getattr(options, "timeout", PATIENCE))) as store:
            return SUBCOMMANDS[options.verb](store, options, out, err)
    except CommandError as refused:
        err.write(f"passerby outbox {options.verb}: {refused}\n")
        return refused.code
