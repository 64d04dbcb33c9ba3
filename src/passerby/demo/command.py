"""`passerby demo`: the shop and the collector in one process, with a line for each event."""

from __future__ import annotations

import secrets
import shlex
import socket
from argparse import Namespace
from collections.abc import Generator, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from typing import Literal, TextIO

from .. import CustomerIO, Datalyr, SettingsError, Sitecore, Tracking
from ..cli.outbox.location import CommandError
from ..collector import CollectorServer, health_of
from ..collector.command import CannotListen, RequestQueue, print_events, print_remaining, start, stop_on_signal
from ..collector.server_thread import ServerThread, bind
from ..collector.terminal import show
from ..http.policy import IGNORED_PATHS
from .device import LAPTOP, PHONE, Urls
from .ledger import lines_of
from .outbox import DemoOutbox
from .shop import make_shop
from .shopper import ACCOUNT
from .side_by_side import COLLECTOR_PAGE, SIDE_BY_SIDE

SitecoreForm = Literal["engage", "edge"]

HOST = "127.0.0.1"
FLUSH_TIMEOUT = 1.0  # seconds; short, as the shop has already been shut down


@dataclass(frozen=True, slots=True)
class Demo:
    """The running parts of the demo."""

    collector: CollectorServer
    outbox: DemoOutbox
    tracking: Tracking
    shop: ServerThread
    addresses: Urls


def run(options: Namespace, out: TextIO, err: TextIO) -> int:
    """Run the shop until Ctrl-C or SIGTERM, then print the ledger. Returns the exit code."""
    arrivals = RequestQueue()
    try:
        with _open_demo(options, arrivals) as demo:
            _run_shop(demo, arrivals, out)
    except (CannotListen, SettingsError) as exc:
        show(f"passerby demo: {exc}", err)
        return 1
    except CommandError as exc:
        show(f"passerby demo: {exc}", err)
        return exc.code
    return 0


def make_tracking(collector_url: str, outbox: str, sitecore: SitecoreForm = "engage") -> Tracking:
    """Make the `Tracking` of the shop, as an app would.

    Args:
        collector_url: where the collector listens.
        outbox: the setting of this name.
        sitecore: the form of Sitecore's API.
    """
    return Tracking(
        # Sitecore issues the browser IDs here, so they cannot be those of Datalyr's browser SDK: no share_visitors.
        _make_edge(collector_url) if sitecore == "edge" else _make_engage(collector_url),
        CustomerIO(write_key="demo", target_url=collector_url),
        Datalyr(workspace_id="demo", target_url=collector_url),
        # A new key for each run: the collector is new too, so returning browsers are new visitors.
        secret_key=secrets.token_urlsafe(32),
        outbox=outbox,
        identity_provider=ACCOUNT,
        channel="WEB",
        currency="EUR",
        ignored_paths=(*IGNORED_PATHS, SIDE_BY_SIDE),
    )


def _make_engage(collector_url: str) -> Sitecore:
    return Sitecore(client_key="demo", target_url=collector_url, point_of_sale="milestone.example")


def _make_edge(collector_url: str) -> Sitecore:
    return Sitecore(edge_context_id="demo", edge_url=collector_url, site_name="milestone")


@contextmanager
def _open_demo(options: Namespace, arrivals: RequestQueue) -> Generator[Demo]:
    """Open all parts; the shop's port first, as the collector must know which origin may frame it."""
    with ExitStack() as stack:
        bound = stack.enter_context(closing(_reserve(options.port)))
        shop_port: int = bound.getsockname()[1]
        outbox = stack.enter_context(closing(DemoOutbox(options.outbox)))
        in_use: list[Tracking] = []  # filled later: the collector starts before the tracking
        collector = CollectorServer(
            port=options.collector_port,
            # An existing outbox may contain browser IDs of an earlier collector.
            accept_any_browser_id=outbox.is_kept,
            frame_ancestors=LAPTOP.origin(shop_port),
            outbox=lambda: health_of(in_use[0]) if in_use else None,
            on_received=arrivals.put,
        )
        start(stack.enter_context(closing(collector)), "--collector-port")
        addresses = Urls(shop_port, collector.port)
        tracking = stack.enter_context(closing(make_tracking(collector.url, outbox.setting, options.sitecore)))
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


def _run_shop(demo: Demo, arrivals: RequestQueue, out: TextIO) -> None:
    with stop_on_signal(arrivals):
        show("\n".join([*_start_text(demo), ""]), out)
        print_events(arrivals, out)
        demo.shop.stop()
        demo.tracking.close(FLUSH_TIMEOUT)
        print_remaining(arrivals, out)
        show("\n".join(["", *lines_of(demo.tracking.stats()), *_end_text(demo.outbox)]), out)


def _start_text(demo: Demo) -> Iterator[str]:
    addresses, outbox = demo.addresses, demo.outbox
    yield f"Open {addresses.shop()}{SIDE_BY_SIDE} and click around. Ctrl-C ends."
    yield ""
    yield f"  the shop alone         {addresses.shop()}/"
    yield f"  the shop on a phone    {addresses.shop(PHONE)}/"
    yield f"  what arrives           {addresses.collector}{COLLECTOR_PAGE}"
    yield f"  the outbox             {outbox.directory} ({'kept' if outbox.is_kept else 'removed when it is empty'})"


def _end_text(outbox: DemoOutbox) -> Iterator[str]:
    if not outbox.is_empty:
        directory = shlex.quote(str(outbox.directory))
        yield f"Some events were not delivered. List them with: passerby outbox ls --outbox {directory}"
