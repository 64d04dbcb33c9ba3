"""`passerby collect`: the collector in the foreground, with a line for each event; if asked to, beside an app."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from argparse import Namespace
from collections.abc import Generator, Sequence
from contextlib import closing, contextmanager, nullcontext, suppress
from queue import Empty, SimpleQueue
from types import FrameType
from typing import TextIO

from .json_object import JSONObject
from .received import Received
from .server import CollectorServer
from .server_thread import ServerThread
from .store import StoreError
from .terminal import line_of, show

Arrivals = SimpleQueue[Received | None]  # None: it is time to end


TARGET_URL = "PASSERBY_SITECORE_TARGET_URL"  # tells the app beside it where it listens; Tracking.from_env reads it
PATIENCE = 10.0  # seconds that the app beside it may take to end


class CannotListen(Exception):
    """A port cannot be had."""


class CannotStart(Exception):
    """The app beside the collector cannot be started."""


def run(options: Namespace, out: TextIO, err: TextIO) -> int:
    """Collect until Ctrl-C or SIGTERM; answer with the exit code."""
    arrivals = Arrivals()
    try:
        collector = CollectorServer(
            options.db,
            options.port,
            options.host,
            accept_any_browser_id=options.accept_any_browser_id,
            client_keys=options.client_key,
            unsafe_host=options.unsafe_host,
            on_received=arrivals.put,
        )
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


def start(server: CollectorServer | ServerThread, option: str) -> None:
    """Start a server; where its port cannot be had, say which option to change."""
    try:
        server.start()
    except OSError as exc:
        reason = exc.strerror or str(exc)
        raise CannotListen(f"cannot listen on {server.url} ({reason}). Choose another with {option}") from exc


def follow(arrivals: Arrivals, out: TextIO) -> None:
    """Print what arrives until it is time to end."""
    while (received := arrivals.get()) is not None:
        _show_line(received, out)


def show_rest(arrivals: Arrivals, out: TextIO) -> None:
    """Print what has arrived since."""
    with suppress(Empty):
        while True:
            received = arrivals.get_nowait()
            if received is not None:
                _show_line(received, out)


@contextmanager
def ends_on_signal(arrivals: Arrivals) -> Generator[None, None, None]:
    """Say with None that Ctrl-C or SIGTERM came. An impatient second one changes nothing."""

    def end(number: int, frame: FrameType | None) -> None:
        arrivals.put(None)

    before = {each: signal.signal(each, end) for each in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


def _collect(collector: CollectorServer, arrivals: Arrivals, app: Sequence[str], out: TextIO) -> int:
    with ends_on_signal(arrivals):
        show(f"Collecting on {collector.url} (use it as target_url; Ctrl-C ends)", out)
        with _App(app, collector.url, arrivals) if app else nullcontext() as running:
            follow(arrivals, out)
        collector.stop()
        show_rest(arrivals, out)
        show(_summary(collector.counts), out)
    return running.code if running is not None else 0


class _App:
    """An app that runs beside the collector, and ends with it; whichever of the two ends first.

    Attributes:
        code: its exit code; 0 where it was asked to end.
    """

    def __init__(self, arguments: Sequence[str], collector_url: str, arrivals: Arrivals) -> None:
        self.code: int = 0
        environment = {**os.environ, TARGET_URL: collector_url}
        try:
            # A group of its own, or Ctrl-C would reach it twice and cut its farewell short.
            self._process = subprocess.Popen(arguments, env=environment, process_group=0)  # noqa: S603 - the user's own
        except OSError as exc:
            raise CannotStart(f"cannot start {arguments[0]} ({exc.strerror})") from exc
        self._is_asked_to_end = False
        self._arrivals = arrivals
        self._watcher = threading.Thread(target=self._watch, name="passerby app", daemon=True)

    def __enter__(self) -> _App:
        self._watcher.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._is_asked_to_end = True
        with suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGINT)
        try:
            self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
        self._watcher.join()

    def _watch(self) -> None:
        code = self._process.wait()
        self.code = 0 if self._is_asked_to_end else code
        self._arrivals.put(None)


def _show_line(received: Received, out: TextIO) -> None:
    line = line_of(received)
    if line is not None:
        show(line, out)


def _summary(counts: JSONObject) -> str:
    return (
        f"\n{_number(counts['accepted_events'], 'event')} accepted, {counts['refused']} refused, "
        f"{_number(counts['browser_ids'], 'browser ID')} issued"
    )


def _number(count: int, thing: str) -> str:
    return f"{count:,} {thing}{'' if count == 1 else 's'}"
