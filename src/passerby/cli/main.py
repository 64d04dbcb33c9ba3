"""The command line: `passerby collect`, `demo`, `doctor`, `outbox` and `worker`."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Callable, Sequence
from io import TextIOWrapper
from typing import TextIO

from ..client.tracking import Tracking
from ..version import __version__
from .arguments import DOCTOR_EXIT_CODES, EXIT_CODES, add_doctor, add_outbox
from .worker.arguments import WORKER_EPILOG, add_worker

FindTracking = Callable[[], Tracking]
Command = Callable[[argparse.Namespace, TextIO, TextIO], int]

OPTIONAL_PACKAGES = ("uvicorn", "fastapi")


def main(
    argv: Sequence[str] | None = None, program: str = "passerby", find_tracking: FindTracking | None = None
) -> int:
    """Run a command. Returns 0 if done, 1 for a failure, 2 for wrong usage, 3 if something is left or was found.

    Args:
        argv: the command and its arguments; those of the process by default.
        program: how the user calls it, such as ``"manage.py passerby"``.
        find_tracking: returns the tracking of the app whose command line this is; may raise SettingsError.
    """
    arguments, app = _split_app_command(sys.argv[1:] if argv is None else argv)
    parser = _make_parser(program)
    options = parser.parse_args(arguments, argparse.Namespace(app=app, find_tracking=find_tracking))
    if app and options.command not in ("collect", "worker"):
        parser.error(f"found a command after --, which collect and worker accept; {options.command} does not")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # a terminal may not have all characters
            stream.reconfigure(errors="backslashreplace")
    try:
        code = _find_command(options.module)(options, sys.stdout, sys.stderr)
        sys.stdout.flush()
        return code
    except ModuleNotFoundError as exc:
        if exc.name not in OPTIONAL_PACKAGES:
            raise
        print(f"passerby {options.command}: {exc}", file=sys.stderr)
        return 1
    except BrokenPipeError:
        # The reader has closed the pipe; Python would report it again when it closes the stream.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _split_app_command(argv: Sequence[str]) -> tuple[Sequence[str], Sequence[str]]:
    """Split the arguments at ``--``: the own arguments and the command of an app."""
    place = argv.index("--") if "--" in argv else len(argv)
    return argv[:place], argv[place + 1 :]


def _find_command(module: str) -> Command:
    # A command may need an extra, so its module is imported only when it runs.
    run: Command = importlib.import_module(module).run
    return run


def _make_parser(program: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=program, description="Server-side visitor tracking for Python web apps.")
    parser.add_argument("--version", action="version", version=f"passerby {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, summary in SUMMARIES.items():
        add, epilog = _COMMANDS[name]
        add(commands.add_parser(name, help=summary, description=summary, epilog=epilog))
    return parser


SUMMARIES = {
    "collect": (
        "Emulate Sitecore CDP, Customer.io and Datalyr on this machine: respond as they do, store what arrives, "
        "print each event."
    ),
    "demo": "Start a small shop and a collector on this machine, side by side, and print each event as it arrives.",
    "doctor": "Check this machine and the settings for passerby, and recommend what to do.",
    "outbox": "Inspect and change an outbox on disk.",
    "worker": "Deliver what the app's processes have stored, in a process of its own or beside an app that it starts.",
}


def _add_collect(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(module="passerby.collector.command")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=_port, default=8600, help="port; 0 takes any free one (default: %(default)s)")
    parser.add_argument("--db", metavar="FILE", help="SQLite file for everything that arrives (default: memory)")
    parser.add_argument(
        "--accept-any-browser-id",
        action="store_true",
        help="accept events with browser IDs that were not issued here",
    )
    parser.add_argument(
        "--client-key",
        metavar="KEY",
        nargs="+",
        action="extend",
        default=[],
        help="valid client keys; others are refused (default: all are valid)",
    )
    for option, metavar, what in (
        ("--context-id", "ID", "the context IDs of Sitecore's edge"),
        ("--write-key", "KEY", "Customer.io's write keys"),
        ("--workspace", "ID", "Datalyr's workspaces"),
        ("--api-key", "KEY", "Datalyr's API keys"),
    ):
        parser.add_argument(
            option, metavar=metavar, nargs="+", action="extend", default=[], help=f"the same for {what}"
        )
    parser.add_argument(
        "--token",
        help="gives access to the page from other machines; required with a --host that they can reach",
    )
    parser.add_argument(
        "--outbox",
        metavar="DIR",
        help="outbox of the app to show on the page, such as sqlite:///var/lib/shop/outbox (default: PASSERBY_OUTBOX)",
    )


def _add_demo(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(module="passerby.demo.command")
    parser.add_argument("--port", type=_port, default=8000, help="port of the shop (default: %(default)s)")
    parser.add_argument(
        "--collector-port", type=_port, default=8600, help="port of the collector (default: %(default)s)"
    )
    parser.add_argument(
        "--outbox",
        metavar="DIR",
        help="directory of the outbox, which is kept (default: a temporary one, removed when it is empty)",
    )
    parser.add_argument(
        "--sitecore",
        choices=("engage", "edge"),
        default="engage",
        help="form of Sitecore's API: the Engage SDK's, or that of the Cloud and Content SDKs (default: %(default)s)",
    )


# For each command the function that adds its arguments, and the last text of its help.
_COMMANDS = {
    "collect": (
        _add_collect,
        "After -- add a command that starts your app, such as `passerby collect -- flask run`. All its events "
        "go to the collector, independent of its settings. When one ends, the other ends too.",
    ),
    "demo": (_add_demo, None),
    "doctor": (add_doctor, DOCTOR_EXIT_CODES),
    "outbox": (add_outbox, EXIT_CODES),
    "worker": (add_worker, WORKER_EPILOG),
}


def _port(text: str) -> int:
    if text.isascii() and text.isdigit() and int(text) <= 65_535:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is not a port; expected a number from 0 to 65535")


if __name__ == "__main__":
    sys.exit(main())
