"""`passerby collect`: the collector in the foreground, one line per event; optionally with an app beside it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from argparse import Namespace
from collections.abc import Generator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from queue import Empty, SimpleQueue
from types import FrameType
from typing import TextIO
from urllib.parse import urlsplit

from ..destinations.target import COLLECTOR_URL
from ..http.request import is_loopback
from ..settings.env import own_variables, variable_of
from .collected_request import CollectedRequest
from .database import StoreError
from .errors import CollectorError
from .health import FindOutbox
from .json_object import JSONObject
from .server import CollectorServer
from .server_thread import ServerThread
from .terminal import lines_of, show

RequestQueue = SimpleQueue[CollectedRequest | None]  # None: stop

OUTBOX = variable_of("outbox")
TARGET_URL = variable_of("sitecore.target_url")  # the setting by which the app finds the collector
EDGE_URL = variable_of("sitecore.edge_url")  # the same with the edge form
EDGE_CONTEXT_ID = variable_of("sitecore.edge_context_id")
OTHER_DESTINATIONS = re.compile(r"(PASSERBY_(?:CUSTOMERIO|DATALYR)_(?:.+_)?)(?:WRITE_KEY|WORKSPACE_ID|API_KEY)")
APP_EXIT_TIMEOUT = 10.0  # seconds in which the app must exit
SIGNAL_CHECK_INTERVAL = 0.25  # seconds after which the main thread looks for signals
IS_INTERACTIVE = sys.stdin is not None and sys.stdin.isatty()


class CannotListen(CollectorError):
    """The collector cannot listen on a port."""

    @classmethod
    def at(cls, url: str, error: OSError, option: str) -> CannotListen:
        """Make the error, with the reason and the option to change."""
        return cls(f"cannot listen on {url} ({error.strerror or error}). Choose another with {option}")


class CannotStart(CollectorError):
    """The app cannot be started."""


def run(options: Namespace, out: TextIO, err: TextIO) -> int:
    """Collect until Ctrl-C or SIGTERM. Returns the exit code."""
    arrivals = RequestQueue()
    try:
        collector = _make_collector(options, arrivals)
    except ValueError as exc:
        show(f"passerby collect: {exc}", err)
        return 2
    except StoreError as exc:
        show(f"passerby collect: {exc}. Choose another with --db", err)
        return 1
    with closing(collector):
        try:
            start(collector, "--port")
        except CannotListen as exc:
            show(f"passerby collect: {exc}", err)
            return 1
        try:
            return _collect(collector, arrivals, options.app, out)
        except CannotStart as exc:
            show(f"passerby collect: {exc}", err)
            return 1


def _make_collector(options: Namespace, arrivals: RequestQueue) -> CollectorServer:
    return CollectorServer(
        options.db,
        options.port,
        options.host,
        accept_any_browser_id=options.accept_any_browser_id,
        client_keys=options.client_key,
        context_ids=options.context_id,
        write_keys=options.write_key,
        workspaces=options.workspace,
        api_keys=options.api_key,
        token=options.token,
        outbox=_find_outbox(options.outbox),
        on_received=arrivals.put,
    )


def _find_outbox(given: str | None) -> FindOutbox | None:
    if given is None and OUTBOX not in own_variables(os.environ):
        return None
    from .outbox_folder import find_outbox  # noqa: PLC0415 - needs file locks

    return find_outbox(given, os.environ)


def start(server: CollectorServer | ServerThread, option: str) -> None:
    """Start a server. Raises CannotListen with the option to change."""
    try:
        server.start()
    except OSError as exc:
        raise CannotListen.at(server.url, exc, option) from exc


def print_events(arrivals: RequestQueue, out: TextIO) -> None:
    """Print received events until None is queued."""
    while (received := _next(arrivals)) is not None:
        _show_line(received, out)


def print_remaining(arrivals: RequestQueue, out: TextIO) -> None:
    """Print the events that are still queued."""
    with suppress(Empty):
        while True:
            received = arrivals.get_nowait()
            if received is not None:
                _show_line(received, out)


@contextmanager
def stop_on_signal(arrivals: RequestQueue) -> Generator[Sequence[int]]:
    """Queue None on Ctrl-C or SIGTERM, and list the signals. Further signals change nothing."""
    signals: list[int] = []

    def end(number: int, frame: FrameType | None) -> None:
        signals.append(number)
        arrivals.put(None)

    before = {each: signal.signal(each, end) for each in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield signals
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


def _next(arrivals: RequestQueue) -> CollectedRequest | None:
    while True:
        # A signal just before the wait does not interrupt it, and Python calls the handler only in the main thread.
        # Therefore the wait has a timeout.
        with suppress(Empty):
            return arrivals.get(timeout=SIGNAL_CHECK_INTERVAL)


def _collect(collector: CollectorServer, arrivals: RequestQueue, app: Sequence[str], out: TextIO) -> int:
    with stop_on_signal(arrivals) as signals:
        show(f"Collecting on {collector.url} (use it as target_url; Ctrl-C ends)", out)
        running = _App(app, collector.url, arrivals) if app else None
        if running is not None:
            show(f"Running {app[0]}; all its events go to the collector ({COLLECTOR_URL} is set)", out)
        print_events(arrivals, out)
        code = running.end(signals) if running is not None else 0
        collector.stop()
        print_remaining(arrivals, out)
        show(_summary(collector.counts), out)
    return code


def addresses(environ: Mapping[str, str], url: str) -> dict[str, str]:
    """Return the environment variables that make an app send its events to the collector.

    One variable overrides every address. The others are for an app that is configured by the environment: the addresses
    of Sitecore and of the other destinations that it has.
    """
    url = _loopback(url)
    own = own_variables(environ)
    others = [found[1] for name in own if (found := OTHER_DESTINATIONS.fullmatch(name)) is not None]
    is_sitecore_there = any(name.startswith("PASSERBY_SITECORE_") for name in own)
    sitecore_url = EDGE_URL if EDGE_CONTEXT_ID in own else TARGET_URL
    sitecore = [sitecore_url] if is_sitecore_there or not others else []
    return dict.fromkeys([COLLECTOR_URL, *sitecore, *(f"{prefix}TARGET_URL" for prefix in others)], url)


def _loopback(url: str) -> str:
    """Return the address of a collector for an app on the same machine."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    own = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host)  # noqa: S104 - only compared
    if own is not None:
        return f"{parts.scheme}://{own}:{parts.port}"
    if is_loopback(host):
        return url
    raise CannotStart(f"an app beside the collector needs a loopback address, found --host {host}. Choose 127.0.0.1")


class _App:
    """An app that runs beside the collector. Each ends when the other ends."""

    def __init__(self, arguments: Sequence[str], collector_url: str, arrivals: RequestQueue) -> None:
        variables = addresses(os.environ, collector_url)
        try:
            self._process = subprocess.Popen(  # noqa: S603 - the user's own
                arguments,
                env={**os.environ, **variables},
                # On a terminal the app stays in the foreground: it can read input and receives Ctrl-C.
                process_group=None if IS_INTERACTIVE else 0,
            )
        except OSError as exc:
            raise CannotStart(f"cannot start {arguments[0]} ({exc.strerror})") from exc
        self._arrivals = arrivals
        threading.Thread(target=self._watch, name="passerby app", daemon=True).start()

    def end(self, signals: Sequence[int]) -> int:
        """Wait until it exits. Returns its exit code; after a signal 0 if it exited in time, 1 if it was killed."""
        if not signals:
            return self._process.wait()
        if not (IS_INTERACTIVE and signal.SIGINT in signals):  # a second signal would interrupt its shutdown
            with suppress(ProcessLookupError):
                self._process.send_signal(signal.SIGINT)
        try:
            self._process.wait(APP_EXIT_TIMEOUT)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return 1
        return 0

    def _watch(self) -> None:
        self._process.wait()
        self._arrivals.put(None)


def _show_line(received: CollectedRequest, out: TextIO) -> None:
    for line in lines_of(received):
        show(line, out)


def _summary(counts: JSONObject) -> str:
    return (
        f"\n{_number(counts['accepted_events'], 'event')} accepted, {counts['refused']} refused, "
        f"{_number(counts['browser_ids'], 'browser ID')} issued"
    )


def _number(count: int, thing: str) -> str:
    return f"{count:,} {thing}{'' if count == 1 else 's'}"
