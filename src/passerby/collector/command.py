"""`passerby collect`: the collector in the foreground, with a line for each event; if asked to, beside an app."""

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
from .database import StoreError
from .errors import CollectorError
from .health import FindOutbox
from .json_object import JSONObject
from .received import Received
from .server import CollectorServer
from .server_thread import ServerThread
from .terminal import lines_of, show

Arrivals = SimpleQueue[Received | None]  # None: it is time to end

OUTBOX = variable_of("outbox")
TARGET_URL = variable_of("sitecore.target_url")  # tells the app beside it where it listens
OTHERS = re.compile(r"(PASSERBY_(?:CUSTOMERIO|DATALYR)_(?:.+_)?)(?:WRITE_KEY|WORKSPACE_ID|API_KEY)")
PATIENCE = 10.0  # seconds that the app beside it may take to end
LOOK_UP = 0.25  # seconds after which the main thread looks for signals
IN_FRONT = sys.stdin is not None and sys.stdin.isatty()


class CannotListen(CollectorError):
    """A port cannot be had."""

    @classmethod
    def at(cls, url: str, error: OSError, option: str) -> CannotListen:
        """Say why, and which option to change."""
        return cls(f"cannot listen on {url} ({error.strerror or error}). Choose another with {option}")


class CannotStart(CollectorError):
    """The app beside the collector cannot be started."""


def run(options: Namespace, out: TextIO, err: TextIO) -> int:
    """Collect until Ctrl-C or SIGTERM; answer with the exit code."""
    arrivals = Arrivals()
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


def _make_collector(options: Namespace, arrivals: Arrivals) -> CollectorServer:
    return CollectorServer(
        options.db,
        options.port,
        options.host,
        accept_any_browser_id=options.accept_any_browser_id,
        client_keys=options.client_key,
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
    from .outbox_folder import find_outbox  # noqa: PLC0415 - not every system has what it needs

    return find_outbox(given, os.environ)


def start(server: CollectorServer | ServerThread, option: str) -> None:
    """Start a server; where its port cannot be had, say which option to change."""
    try:
        server.start()
    except OSError as exc:
        raise CannotListen.at(server.url, exc, option) from exc


def follow(arrivals: Arrivals, out: TextIO) -> None:
    """Print what arrives until it is time to end."""
    while (received := _next(arrivals)) is not None:
        _show_line(received, out)


def show_rest(arrivals: Arrivals, out: TextIO) -> None:
    """Print what has arrived since."""
    with suppress(Empty):
        while True:
            received = arrivals.get_nowait()
            if received is not None:
                _show_line(received, out)


@contextmanager
def ends_on_signal(arrivals: Arrivals) -> Generator[Sequence[int]]:
    """Say with None that Ctrl-C or SIGTERM came, and note which. An impatient second one changes nothing."""
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


def _next(arrivals: Arrivals) -> Received | None:
    while True:
        # A signal that comes in the moment in which the wait begins interrupts nothing, and Python calls its handler
        # only when the main thread is back: it must not wait for ever.
        with suppress(Empty):
            return arrivals.get(timeout=LOOK_UP)


def _collect(collector: CollectorServer, arrivals: Arrivals, app: Sequence[str], out: TextIO) -> int:
    with ends_on_signal(arrivals) as signals:
        show(f"Collecting on {collector.url} (use it as target_url; Ctrl-C ends)", out)
        running = _App(app, collector.url, arrivals) if app else None
        if running is not None:
            show(f"Running {app[0]}; its events come here, whatever its settings say ({COLLECTOR_URL} is set)", out)
        follow(arrivals, out)
        code = running.end(signals) if running is not None else 0
        collector.stop()
        show_rest(arrivals, out)
        show(_summary(collector.counts), out)
    return code


def addresses(environ: Mapping[str, str], url: str) -> dict[str, str]:
    """The variables that have an app's destinations call the collector.

    One takes the place of every address, wherever the app has its settings from. The others are the settings of an app
    that has its addresses from the environment: Sitecore's, and those of which others it has.
    """
    url = _loopback(url)
    own = own_variables(environ)
    others = [found[1] for name in own if (found := OTHERS.fullmatch(name)) is not None]
    is_sitecore_there = any(name.startswith("PASSERBY_SITECORE_") for name in own)
    sitecore = [TARGET_URL] if is_sitecore_there or not others else []
    return dict.fromkeys([COLLECTOR_URL, *sitecore, *(f"{prefix}TARGET_URL" for prefix in others)], url)


def _loopback(url: str) -> str:
    """Return the address of a collector for an app on the same machine."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    own = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host)  # noqa: S104 - it is read, and not listened on
    if own is not None:
        return f"{parts.scheme}://{own}:{parts.port}"
    if is_loopback(host):
        return url
    raise CannotStart(f"an app beside the collector needs a loopback address, found --host {host}. Choose 127.0.0.1")


class _App:
    """An app that runs beside the collector, and ends with it; whichever of the two ends first."""

    def __init__(self, arguments: Sequence[str], collector_url: str, arrivals: Arrivals) -> None:
        variables = addresses(os.environ, collector_url)
        try:
            self._process = subprocess.Popen(  # noqa: S603 - the user's own
                arguments,
                env={**os.environ, **variables},
                # On a terminal it may ask and be answered, so it stays in front, and Ctrl-C reaches it from there.
                process_group=None if IN_FRONT else 0,
            )
        except OSError as exc:
            raise CannotStart(f"cannot start {arguments[0]} ({exc.strerror})") from exc
        self._arrivals = arrivals
        threading.Thread(target=self._watch, name="passerby app", daemon=True).start()

    def end(self, signals: Sequence[int]) -> int:
        """See it end; return its exit code, 0 where it was asked to end and did, 1 where it had to be killed."""
        if not signals:
            return self._process.wait()
        if not (IN_FRONT and signal.SIGINT in signals):  # once only: a second one would cut its farewell short
            with suppress(ProcessLookupError):
                self._process.send_signal(signal.SIGINT)
        try:
            self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return 1
        return 0

    def _watch(self) -> None:
        self._process.wait()
        self._arrivals.put(None)


def _show_line(received: Received, out: TextIO) -> None:
    for line in lines_of(received):
        show(line, out)


def _summary(counts: JSONObject) -> str:
    return (
        f"\n{_number(counts['accepted_events'], 'event')} accepted, {counts['refused']} refused, "
        f"{_number(counts['browser_ids'], 'browser ID')} issued"
    )


def _number(count: int, thing: str) -> str:
    return f"{count:,} {thing}{'' if count == 1 else 's'}"
