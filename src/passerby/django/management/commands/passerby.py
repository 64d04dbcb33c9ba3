"""``manage.py passerby ...``: the commands of `passerby` itself."""

from __future__ import annotations

import argparse
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandParser

from .... import cli
from ....errors import SettingsError
from ....tracking import Tracking
from ....version import __version__
from ...conf import get_tracking


def find_tracking() -> Tracking:
    """Return the project's tracking; raises SettingsError."""
    try:
        tracking = get_tracking()
    except ImproperlyConfigured as error:
        raise SettingsError(str(error)) from None
    if not isinstance(tracking, Tracking):
        raise SettingsError("found several sites; name the outbox of one with --outbox", setting="PASSERBY")
    return tracking


class Command(BaseCommand):
    """Hands its arguments to `passerby`."""

    help: str = "Runs a command of passerby: " + "; ".join(f"{name}: {text}" for name, text in cli.SUMMARIES.items())

    def get_version(self) -> str:
        """Return what `--version` says where the command is called from code."""
        return f"passerby {__version__}"

    def add_arguments(self, parser: CommandParser) -> None:
        """Take whatever comes."""
        parser.add_argument("arguments", nargs=argparse.REMAINDER, help="the command and its arguments")

    def run_from_argv(self, argv: list[str]) -> None:
        """Run from the command line; its options are passerby's, not those of other commands of Django.

        Nothing is checked first: what is wrong with the settings need not keep a collector from starting.
        """
        raise SystemExit(cli.main(argv[2:], f"manage.py {argv[1]}", find_tracking))

    def handle(self, *args: Any, **options: Any) -> None:
        """Run for `call_command`."""
        code = cli.main([*args, *options["arguments"]], "passerby", find_tracking)
        if code:
            raise SystemExit(code)
