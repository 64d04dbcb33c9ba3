"""The arguments of `passerby worker`."""

from __future__ import annotations

import argparse

WORKER_EPILOG = (
    "After -- add the command that starts your app, such as `passerby worker -- gunicorn shop:app`: signals go to the "
    "app, the worker ends after it, and the exit code is the app's (128 + n if signal n ended it). Exit codes of a "
    "worker alone: 0 ended by a signal, or nothing is left that can be delivered now; 1 failed; 2 wrong usage."
)


def add_worker(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the worker."""
    parser.set_defaults(module="passerby.cli.worker.command")
    parser.add_argument(
        "--tracking",
        metavar="MODULE:NAME",
        help="the app's Tracking, such as shop.tracking:tracking (default: the app's own, or made from PASSERBY_*)",
    )
    parser.add_argument(
        "--until-empty",
        action="store_true",
        help="end when nothing waits that can be delivered within seconds; for cron and deploys",
    )
    parser.add_argument(
        "--health",
        metavar="HOST:PORT",
        type=_address,
        help="serve liveness on /livez and readiness on /readyz, as JSON without personal data",
    )
    # For the supervisor, which starts the worker beside an app.
    parser.add_argument("--supervised", metavar="SOCKET", type=int, help=argparse.SUPPRESS)


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if bare and (":" not in bare or bare != host) and port.isascii() and port.isdigit() and int(port) <= 65_535:
        return bare, int(port)
    raise argparse.ArgumentTypeError(f"{text!r} is no address; expected HOST:PORT, such as 127.0.0.1:8601")
