"""``manage.py passerby ...``: the commands of `passerby` itself."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandParser, handle_default_options

from ....cli.main import SUMMARIES, main
from ....client.tracking import Tracking
from ....errors import SettingsError
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

    help: str = "Runs a command of passerby: " + "; ".join(f"{name}: {text}" for name, text in SUMMARIES.items())

    def get_version(self) -> str:
        """Return what `--version` says where the command is called from code."""
        return f"passerby {__version__}"

    def add_arguments(self, parser: CommandParser) -> None:
        """Take whatever comes."""
        parser.add_argument("arguments", nargs=argparse.REMAINDER, help="the command and its arguments")

    def run_from_argv(self, argv: list[str]) -> None:
        """Run from the command line. Options of all commands of Django may stand anywhere before ``--``.

        Nothing is checked first: what is wrong with the settings need not keep a collector from starting.
        """
        options, arguments = _part_options(argv[2:])
        handle_default_options(options)
        raise SystemExit(main(arguments, f"manage.py {argv[1]}", find_tracking))

    def handle(self, *args: Any, **options: Any) -> None:
        """Run for `call_command`."""
        _, arguments = _part_options([*args, *options["arguments"]])
        code = main(arguments, "passerby", find_tracking)
        if code:
            raise SystemExit(code)


def _part_options(argv: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
    """Part the options of all commands of Django from the arguments that are passerby's.

    What the others say beside `--settings` and `--pythonpath`, of checks, colours and verbosity, is taken and has no
    meaning here.
    """
    place = argv.index("--") if "--" in argv else len(argv)
    parser = CommandParser(prog="passerby", add_help=False, allow_abbrev=False)
    parser.add_argument("--settings")
    parser.add_argument("--pythonpath")
    parser.add_argument("-v", "--verbosity", type=int, choices=range(4))
    for name in ("--traceback", "--no-color", "--force-color", "--skip-checks"):
        parser.add_argument(name, action="store_true")
    options, rest = parser.parse_known_args(argv[:place])
    return options, [*rest, *argv[place:]]
