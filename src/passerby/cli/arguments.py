"""The arguments of `passerby outbox` and `passerby doctor`."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from math import isfinite

from ..values.app_values import replace_surrogates

EXIT_CODES = (
    "Exit codes: 0 done; 1 failed; 2 wrong usage; 3 done, but something is left or was found that needs attention."
)

DOCTOR_EXIT_CODES = "Exit codes: 0 no problem; 1 a problem; 2 wrong usage; 3 files were quarantined as damaged."

Subparsers = Callable[..., argparse.ArgumentParser]


def add_outbox(parser: argparse.ArgumentParser) -> None:
    """Add the commands for an outbox on disk."""
    parser.set_defaults(module="passerby.cli.outbox.command")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)

    def verb(name: str, summary: str, more: str = "") -> argparse.ArgumentParser:
        added = verbs.add_parser(name, help=summary, description=f"{summary} {more}".rstrip(), epilog=EXIT_CODES)
        add_outbox_option(added)
        return added

    _add_ls(verb("ls", "List the number of entries by destination.", "The output contains no personal data."))
    _add_show(verb("show", "Show events as JSON, with their attempts and the reason of the last failure."))
    _add_export(verb("export", "Write events as lines of JSON.", "The file of --to is readable only by this user."))
    _add_verify(verb("verify", "Check that the store is intact and every event in it readable."))
    _add_retry(verb("retry", "Send dead letters again."))
    _add_purge(verb("purge", "Delete dead letters, one event, or all events of a visitor."))
    _add_flush(
        verb(
            "flush",
            "Deliver waiting events of all processes; for cron and deploys.",
            "It uses the settings in PASSERBY_* or those of the app, and exits with 3 if anything is left.",
        )
    )


def add_doctor(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `passerby doctor`."""
    parser.set_defaults(module="passerby.cli.doctor.command")
    add_outbox_option(parser)
    parser.add_argument("--json", action="store_true", help="as JSON, for scripts")


def add_outbox_option(parser: argparse.ArgumentParser) -> None:
    """Add the option for the outbox's location."""
    parser.add_argument(
        "--outbox",
        metavar="DIR",
        help="the outbox's directory, or the setting as the app has it, such as sqlite:///var/lib/shop/outbox "
        "(default: the app's setting, PASSERBY_OUTBOX)",
    )


def _add_ls(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="as JSON, for scripts")
    parser.add_argument("--check", action="store_true", help="exit with 3 if there are dead letters, too")


def _add_show(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("event_id", metavar="EVENT_ID", nargs="?", help="the event's ID (default: the first ones)")
    _add_destination(parser)
    state = parser.add_mutually_exclusive_group()
    state.add_argument("--state", choices=("waiting", "held", "dead"), help="only entries of this state")
    state.add_argument("--dead", action="store_true", help="only dead letters")
    parser.add_argument("--limit", type=_count, default=20, help="maximum number of entries (default: %(default)s)")


def _add_export(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--dead", action="store_true", help="only dead letters")
    parser.add_argument(
        "--visitor", metavar="ID", type=_text, help="only entries of a visitor: a browser ID or a user ID"
    )
    _add_destination(parser)
    parser.add_argument("--to", metavar="FILE", help="a new file to write to (default: standard output)")
    parser.add_argument(
        "--quarantined",
        action="store_true",
        help="also readable entries of files that were quarantined as damaged; implied by --visitor",
    )


def _add_verify(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="as JSON, for scripts")


def _add_retry(parser: argparse.ArgumentParser) -> None:
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("event_id", metavar="EVENT_ID", nargs="?", help="the event's ID")
    which.add_argument("--all", action="store_true", help="all dead letters")
    _add_destination(parser)
    _add_timeout(parser, 30.0, "time to wait for other processes")


def _add_purge(parser: argparse.ArgumentParser) -> None:
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("event_id", metavar="EVENT_ID", nargs="?", help="the event's ID, which must be a dead letter")
    which.add_argument("--dead", action="store_true", help="all dead letters")
    which.add_argument(
        "--visitor",
        metavar="ID",
        type=_text,
        help="all entries of a visitor in any state: a browser ID or a user ID; for erasure requests",
    )
    _add_destination(parser)
    parser.add_argument("--yes", action="store_true", help="do not ask for confirmation")
    _add_timeout(parser, 30.0, "time to wait for other processes, such as for an event that is being sent")


def _add_flush(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--tracking",
        metavar="MODULE:NAME",
        help="the app's Tracking, such as shop.tracking:tracking (default: the app's own, or made from PASSERBY_*)",
    )
    _add_timeout(parser, 30.0, "maximum time")


def _add_destination(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--destination", metavar="NAME", help="only entries of this destination")


def _add_timeout(parser: argparse.ArgumentParser, default: float, meaning: str) -> None:
    parser.add_argument(
        "--timeout", metavar="SECONDS", type=_seconds, default=default, help=f"{meaning} (default: %(default)g)"
    )


def _text(text: str) -> str:
    if text.strip():
        return replace_surrogates(text)
    raise argparse.ArgumentTypeError("found nothing, expected an ID")


def _count(text: str) -> int:
    if text.isascii() and text.isdigit() and int(text) > 0:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is not a number of events; expected 1 or more")


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if isfinite(seconds) and seconds >= 0:
        return seconds
    raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds; expected 0 or more")
