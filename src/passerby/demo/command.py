"""`passerby demo`: the shop and the collector in one process, with a line for each event."""

from __future__ import annotations

import secrets
from argparse import Namespace
from contextlib import ExitStack
from typing import TextIO

from .. import Sitecore, Tracking
from ..collector import CollectorServer
from ..collector.command import Arrivals, about_port, ends_on_signal, follow, show_rest
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
        collector = CollectorServer(port=options.collector_port, on_received=arrivals.put)
        stack.callback(collector.close)
        try:
            collector.start()
        except OSError as exc:
            show(f"passerby demo: {about_port(HOST, options.collector_port, exc, '--collector-port')}", err)
            return 1
        tracking = make_tracking(collector.url)
        stack.callback(tracking.close)
        server = ServerThread(make_shop(tracking), host=HOST, port=options.port, name="passerby shop")
        stack.callback(server.close)
        try:
            server.start()
        except OSError as exc:
            show(f"passerby demo: {about_port(HOST, options.port, exc, '--port')}", err)
            return 1
        with ends_on_signal(arrivals):
            show(f"Open http://localhost:{server.port} and click around. Ctrl-C ends.\n", out)
            follow(arrivals, out)
            server.stop()
            tracking.flush(FLUSH_TIMEOUT)
            show_rest(arrivals, out)
            show("\n".join(["", *lines_of(tracking.stats())]), out)
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
