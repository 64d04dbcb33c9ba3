"""`passerby outbox`: finds the outbox, and has done with it what is asked for."""

from __future__ import annotations

import os
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import TextIO

from . import listing, showing, verifying
from .place import Refused, check_directory, find_directory

Verb = Callable[[Path, Namespace, TextIO, TextIO], int]

VERBS: dict[str, Verb] = {
    "ls": listing.run,
    "show": showing.run_show,
    "export": showing.run_export,
    "verify": verifying.run,
}


def run(options: Namespace, out: TextIO, err: TextIO) -> int:
    """Run one of the commands; answer with the exit code."""
    try:
        directory = find_directory(options.outbox, options.site, os.environ)
        check_directory(directory)
        return VERBS[options.verb](directory, options, out, err)
    except Refused as refused:
        err.write(f"passerby outbox {options.verb}: {refused}\n")
        return refused.code
