"""`passerby outbox`: finds the outbox, and has done with it what is asked for."""

from __future__ import annotations

import os
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import TextIO

from . import flush, listing, retry_purge, show, verify
from .location import Refused, check_directory, find_directory, is_missing

Verb = Callable[[Path, Namespace, TextIO, TextIO], int]

VERBS: dict[str, Verb] = {
    "ls": listing.run,
    "show": show.run_show,
    "export": show.run_export,
    "verify": verify.run,
    "retry": retry_purge.run_retry,
    "purge": retry_purge.run_purge,
    "flush": flush.run,
}


def run(options: Namespace, out: TextIO, err: TextIO) -> int:
    """Run one of the commands; answer with the exit code."""
    try:
        directory = find_directory(options.outbox, options.find_tracking, os.environ)
        if options.verb != "flush" or not is_missing(directory):  # before the first event there is nothing to deliver
            check_directory(directory)
        return VERBS[options.verb](directory, options, out, err)
    except Refused as refused:
        err.write(f"passerby outbox {options.verb}: {refused}\n")
        return refused.code
