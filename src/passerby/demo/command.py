"""`passerby demo`: the shop and the collector in one process, with a line for each event."""

from __future__ import annotations

import secrets
from argparse import Namespace
from contextlib import ExitStack, closing
from typing import TextIO

from .. import Sitecore, Tracking
from ..collector import CollectorServer
from ..collector.command import Arrivals, CannotListen, ends_on_signal, follow, show_rest, start
from ..collector.server_thread import ServerThread
from ..collector.terminal import show
from .ledger import lines_of
from .shop import make_shop

HOST = "127.0.0.1"
FLUSH_TIMEOUT = 5.0  # seconds


def run(options: Namespace, out: TextIO, err: TextIO) -> int:
    """Keep shop until Ctrl-C or SIGTERM, then print the ledger; answer with the exit code."""
    arrivals = Arrivals()
    with ExitStack() as stack:
        collector = stack.enter_context(closing(CollectorServer(port=options.collector_port, on_received=arrivals.put)))
        try:
            start(collector, "--collector-port")
            tracking = stack.enter_context(closing(make_tracking(collector.url)))
            server = ServerThread(make_shop(tracking), host=HOST, port=options.port, name="passerby shop")
            start(stack.enter_context(closing(server)), "--port")
        except CannotListen as exc:
            show(f"passerby demo: {exc}", err)
            return 1
        _keep_shop(server, tracking, arrivals, out)
    return 0


def make_tracking(collector_url: str) -> Tracking:
    """What an app of your own would have in its settings."""
    return Tracking(
        Sitecore(client_key="demo", target_url=collector_url, point_of_sale="milestone.example"),
        # A new key each time: a browser that was here before is a new visitor, as the collector is new too.
        secret_key=secrets.token_urlsafe(32),
        channel="WEB",
        currency="EUR",
    )


def _keep_shop(server: ServerThread, tracking: Tracking, arrivals: Arrivals, out: TextIO) -> None:
    with ends_on_signal(arrivals):
        show(f"Open http://localhost:{server.port} and click around. Ctrl-C ends.\n", out)
        follow(arrivals, out)
        server.stop()
        tracking.flush(FLUSH_TIMEOUT)
        show_rest(arrivals, out)
        show("\n".join(["", *lines_of(tracking.stats())]), out)
