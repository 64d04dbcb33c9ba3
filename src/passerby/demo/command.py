"""`passerby demo`: the shop and the collector in one process, with a line for each event."""

from __future__ import annotations

import secrets
import shlex
import socket
from argparse import Namespace
from collections.abc import Generator, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from typing import TextIO

from .. import CustomerIO, Datalyr, SettingsError, Sitecore, Tracking
from ..cli.outbox.location import Refused
from ..collector import CollectorServer, health_of
from ..collector.command import Arrivals, CannotListen, ends_on_signal, follow, show_rest, start
from ..collector.server_thread import ServerThread, bind
from ..collector.terminal import show
from ..http.policy import IGNORED_PATHS
from .device import LAPTOP, PHONE, Addresses
from .ledger import lines_of
from .outbox import DemoOutbox
from .shop import make_shop
from .shopper import ACCOUNT
from .sidebyside import COLLECTOR_PAGE, SIDE_BY_SIDE

HOST = "127.0.0.1"
FLUSH_TIMEOUT = 1.0  # seconds; the shop has waited for its events when it was shut down


@dataclass(frozen=True, slots=True)
class Demo:
    """All that runs."""

    collector: CollectorServer
    outbox: DemoOutbox
    tracking: Tracking
    shop: ServerThread
    addresses: Addresses


def run(options: Namespace, out: TextIO, err: TextIO) -> int:
    """Keep shop until Ctrl-C or SIGTERM, then print the ledger; answer with the exit code."""
    arrivals = Arrivals()
    try:
        with _opened(options, arrivals) as demo:
            _keep_shop(demo, arrivals, out)
    except (CannotListen, SettingsError) as exc:
        show(f"passerby demo: {exc}", err)
        return 1
    except Refused as exc:
        show(f"passerby demo: {exc}", err)
        return exc.code
    return 0


def make_tracking(collector_url: str, outbox: str) -> Tracking:
    """What an app of your own would have in its settings."""
    return Tracking(
        # Browser IDs are Sitecore's here, so they cannot be those of Datalyr's browser SDK too: no share_visitors.
        Sitecore(client_key="demo", target_url=collector_url, point_of_sale="milestone.example"),
        CustomerIO(write_key="demo", target_url=collector_url),
        Datalyr(workspace_id="demo", target_url=collector_url),
        # A new key each time: a browser that was here before is a new visitor, as the collector is new too.
        secret_key=secrets.token_urlsafe(32),
        outbox=outbox,
        identity_provider=ACCOUNT,
        channel="WEB",
        currency="EUR",
        ignored_paths=(*IGNORED_PATHS, SIDE_BY_SIDE),
    )


@contextmanager
def _opened(options: Namespace, arrivals: Arrivals) -> Generator[Demo]:
    """Open everything; the shop's port first, as the collector has to know whose frames it may stand in."""
    with ExitStack() as stack:
        bound = stack.enter_context(closing(_reserve(options.port)))
        shop_port: int = bound.getsockname()[1]
        outbox = stack.enter_context(closing(DemoOutbox(options.outbox)))
        in_use: list[Tracking] = []  # the collector is there before what it is to look at
        collector = CollectorServer(
            port=options.collector_port,
            # An outbox that was there before may bring browser IDs of an earlier collector.
            accept_any_browser_id=outbox.is_kept,
            frame_ancestors=LAPTOP.origin(shop_port),
            outbox=lambda: health_of(in_use[0]) if in_use else None,
            on_received=arrivals.put,
        )
        start(stack.enter_context(closing(collector)), "--collector-port")
        addresses = Addresses(shop_port, collector.port)
        tracking = stack.enter_context(closing(make_tracking(collector.url, outbox.setting)))
        in_use.append(tracking)
        app = make_shop(tracking, addresses)
        shop = ServerThread(app, host=HOST, port=shop_port, name="passerby shop", bound=bound)
        start(stack.enter_context(closing(shop)), "--port")
        yield Demo(collector, outbox, tracking, shop, addresses)


def _reserve(port: int) -> socket.socket:
    try:
        return bind(HOST, port)
    except OSError as exc:
        raise CannotListen.at(f"http://{HOST}:{port}", exc, "--port") from exc


def _keep_shop(demo: Demo, arrivals: Arrivals, out: TextIO) -> None:
    with ends_on_signal(arrivals):
        show("\n".join([*_welcome(demo), ""]), out)
        follow(arrivals, out)
        demo.shop.stop()
        demo.tracking.close(FLUSH_TIMEOUT)
        show_rest(arrivals, out)
        show("\n".join(["", *lines_of(demo.tracking.stats()), *_farewell(demo.outbox)]), out)


def _welcome(demo: Demo) -> Iterator[str]:
    addresses, outbox = demo.addresses, demo.outbox
    yield f"Open {addresses.shop()}{SIDE_BY_SIDE} and click around. Ctrl-C ends."
    yield ""
    yield f"  the shop alone         {addresses.shop()}/"
    yield f"  the shop on a phone    {addresses.shop(PHONE)}/"
    yield f"  what arrives           {addresses.collector}{COLLECTOR_PAGE}"
    yield f"  the outbox             {outbox.directory} ({'kept' if outbox.is_kept else 'removed when it is empty'})"


def _farewell(outbox: DemoOutbox) -> Iterator[str]:
    if not outbox.is_empty:
        directory = shlex.quote(str(outbox.directory))
        yield f"Not everything was delivered. Look at what is left with: passerby outbox ls --outbox {directory}"
