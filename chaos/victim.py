"""The programs to which things happen: `python -m chaos.victim ACTION '{...}'`. They use what is public, as apps do.

A line "recorded ID" is said once the event is promised to survive, by one write that a death cannot tear.
"""

from __future__ import annotations

import asyncio
import json
import logging
import multiprocessing
import os
import resource
import select
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from itertools import count
from pathlib import Path
from typing import Any
from uuid import uuid4

from passerby import CustomerIO, Datalyr, Receipt, Sitecore, Tracking
from passerby.asgi import TrackingMiddleware
from passerby.destinations import Destination
from passerby.events.event import new_event_id

from . import hooks, points
from .need import become_nobody, in_need

KEY = "a key that only the victims know"
VISITORS = 20
QUICKLY: dict[str, Any] = {"retry_base": 0.05, "browser_id_pool_size": 0}  # so that no scenario waits for minutes


def say(*words: object) -> None:
    os.write(1, (" ".join(map(str, words)) + "\n").encode())


def make_tracking(url: str, directory: str, settings: Mapping[str, Any] | None = None) -> Tracking:
    hooks.install()
    sitecore = Sitecore(client_key="chaos", target_url=url, point_of_sale="shop")
    chosen = {"outbox": f"sqlite://{directory}", "secret_key": KEY, **QUICKLY, **(settings or {})}
    return Tracking(sitecore, **chosen)


class Recorder:
    """Records events of some visitors in turn."""

    def __init__(self, tracking: Tracking, visitors: int = VISITORS) -> None:
        self._visitors = [tracking.for_visitor(str(uuid4())) for _ in range(visitors)]
        self._number = count()

    def record(self) -> Receipt:
        """Record an event; its ID is in its data as well."""
        event_id = new_event_id()
        visitor = self._visitors[next(self._number) % len(self._visitors)]
        return visitor.event("STEP", {"recorded": event_id}, event_id=event_id)

    def record_and_say(self) -> Receipt:
        """Record an event, and say so once it is recorded."""
        receipt = self.record()
        receipt.wait_stored()
        say("recorded", receipt.event_id)
        return receipt


def say_ledger(tracking: Tracking) -> None:
    stats = tracking.stats()
    own = stats.destinations["sitecore"]
    say("ledger", json.dumps({**asdict(own), "is_balanced": own.is_balanced, "outbox": stats.outbox}))


def wait_until_empty(tracking: Tracking, patience: float = 20.0) -> None:
    """Wait until nothing waits in the store or in a damaged file, whichever process has recorded it."""
    gives_up = time.monotonic() + patience
    while not _is_empty(tracking) and time.monotonic() < gives_up:
        tracking.flush(0.2)  # so that nothing waits for a service that comes back to be spared
        time.sleep(0.02)


def _is_empty(tracking: Tracking) -> bool:
    """Whether nothing waits; a store that is just begun beside a damaged file has no events yet."""
    was_salvaging = _is_salvaging(tracking)
    is_waiting = any(each.pending for each in tracking.stats().destinations.values())
    return not (was_salvaging or is_waiting or _is_salvaging(tracking))


def _is_salvaging(tracking: Tracking) -> bool:
    return any(Path(tracking.outbox_directory or "").glob("*/*.corrupt-*"))


def finish(url: str, directory: str, settings: Mapping[str, Any]) -> None:
    """Be the process after a restart: find what is left and deliver it; on a word, say the figures and end."""
    tracking = make_tracking(url, directory, settings)
    tracking.start()
    say("ready")
    while not select.select([sys.stdin], [], [], 0.2)[0]:
        tracking.flush(0.5)
    sys.stdin.readline()
    wait_until_empty(tracking)
    say_ledger(tracking)
    say("closed", tracking.close(10.0))


def keep_recording(url: str, directory: str, gap: float = 0.0, settings: Mapping[str, Any] | None = None) -> None:
    """Record one event after another."""
    tracking = make_tracking(url, directory, settings)
    tracking.start()
    recorder = Recorder(tracking)
    while True:
        recorder.record_and_say()
        time.sleep(gap)


class App:
    """A small app behind the middleware, called as a server calls it.

    Attributes:
        receipts: those of all events it has recorded.
    """

    def __init__(self, tracking: Tracking) -> None:
        self.receipts: list[Receipt] = []
        self._tracking = tracking
        self._middleware = TrackingMiddleware(self._page, tracking=tracking)

    async def answer(self, on_start: Callable[[int, str], object]) -> None:
        """Answer one request; when the response starts, its status and the event's ID are handed on."""

        async def send(message: Mapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                recorded = next(value for name, value in message["headers"] if name == b"x-recorded")
                on_start(message["status"], recorded.decode())

        await self._middleware(_scope(f"bid_chaos={uuid4()}"), _receive, send)

    async def _page(self, scope: Any, receive: Any, send: Any) -> None:
        event_id = new_event_id()
        tracker = self._tracking.tracker_for(scope)
        self.receipts.append(tracker.event("STEP", {"recorded": event_id}, event_id=event_id))
        await send({"type": "http.response.start", "status": 200, "headers": [(b"x-recorded", event_id.encode())]})
        await send({"type": "http.response.body", "body": b""})


async def _receive() -> dict[str, Any]:
    return {"type": "http.request", "body": b"", "more_body": False}


def keep_answering(url: str, directory: str, settings: Mapping[str, Any] | None = None) -> None:
    """Answer one request after another, each of which records an event, which counts when the response starts."""
    tracking = make_tracking(url, directory, {"store_timeout": 30.0, **(settings or {})})
    tracking.start()
    app = App(tracking)

    async def keep_asking() -> None:
        while True:
            await app.answer(lambda _, recorded: say("recorded", recorded))
            app.receipts.clear()

    async def main() -> None:
        await asyncio.gather(*(keep_asking() for _ in range(5)))

    asyncio.run(main())


def answer_in_need(url: str, directory: str, need: str, is_late: bool = False) -> None:
    """Answer requests while in need, and again when that is over; say the outbox's state, and what is recorded."""
    if need in ("place", "threads", "files"):
        become_nobody()
    loop = asyncio.new_event_loop()  # it needs files of its own
    tracking = make_tracking(url, directory)  # which refuses a place that cannot be used from the start
    if need == "place":
        say("made")
        sys.stdin.readline()
    app = App(tracking)

    def answer_some() -> None:
        for _ in range(20):
            loop.run_until_complete(app.answer(lambda status, _: say("answered", status)))

    if is_late or need in ("nothing", "file size"):
        answer_some()
        for receipt in app.receipts:
            receipt.wait_stored(30)
    say("well")
    if need == "nothing":
        sys.stdin.readline()
    with in_need(need):
        answer_some()
        say("need", _state_once(tracking, "degraded", 0.5 if is_late else 10.0))
        sys.stdin.readline()
    answer_some()
    say("relief", _state_once(tracking, "ok", 15.0))
    for receipt in app.receipts:
        receipt.wait_stored(15)
        say("recorded", receipt.event_id)
    loop.close()


def _state_once(tracking: Tracking, state: str, patience: float) -> str:
    """The outbox's state as soon as it begins in a way, or when patience has come to its end."""
    gives_up = time.monotonic() + patience
    while not (found := tracking.stats().outbox).startswith(state) and time.monotonic() < gives_up:
        time.sleep(0.01)
    return found


def _scope(cookie: str) -> dict[str, Any]:
    return {
        "type": "http",
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": "/",
        "raw_path": b"/",
        "query_string": b"",
        "headers": [(b"host", b"localhost"), (b"sec-fetch-dest", b"document"), (b"cookie", cookie.encode())],
        "client": ("127.0.0.1", 1234),
        "server": ("127.0.0.1", 80),
        "state": {},
    }


def record_some(
    url: str,
    directory: str,
    number: int,
    ending: str,
    gap: float = 0.0,
    settings: Mapping[str, Any] | None = None,
    visitors: int = VISITORS,
) -> None:
    """Record some events, and end in the way that is wanted."""
    tracking = make_tracking(url, directory, settings)
    tracking.start()
    recorder = Recorder(tracking, visitors)
    if ending == "thread":  # a daemon thread that records when the interpreter ends
        threading.Thread(target=_record_for_ever, args=(recorder,), daemon=True).start()
    for _ in range(number):
        recorder.record_and_say()
        time.sleep(gap)
    say("ready")
    endings: dict[str, Callable[[], object]] = {
        "pause": signal.pause,
        "sys.exit": lambda: sys.exit(0),
        "os._exit": lambda: os._exit(0),
        "line": sys.stdin.readline,
        "ledger": lambda: _say_ledger_when_asked(tracking),
    }
    endings.get(ending, lambda: None)()


def _say_ledger_when_asked(tracking: Tracking) -> None:
    sys.stdin.readline()
    wait_until_empty(tracking)
    say_ledger(tracking)


def _record_for_ever(recorder: Recorder) -> None:
    while True:
        recorder.record_and_say()


def die_at(url: str, directory: str, point: str, number: int, is_busy: bool, has_child: bool = False) -> None:
    """Record one event after another and die at a named point; unless busy, each when the one before is settled."""
    points.die_at(point, number)
    tracking = make_tracking(url, directory)
    tracking.start()
    recorder = Recorder(tracking)
    if has_child:
        recorder.record_and_say()
        child = os.fork()
        if not child:
            signal.pause()
        say("child", child)
    while True:
        receipt = recorder.record_and_say()
        if not is_busy:
            receipt.wait_delivered(30)


def stop_in_turn(url: str, directory: str, number: int) -> None:
    """Record one event after another, and stop before a commit, until another process has this one go on."""
    points.stop_before_commit(number)
    keep_recording(url, directory)


def record_and_purge(url: str, directory: str, number: int) -> None:
    """Record events of some visitors while the service fails; say which are those of the visitor who will be purged."""
    tracking = make_tracking(url, directory)
    tracking.start()
    browsers = [str(uuid4()) for _ in range(VISITORS)]
    for place in range(number):
        event_id = new_event_id()
        who = browsers[place % VISITORS]
        tracking.for_visitor(who).event("STEP", {"recorded": event_id}, event_id=event_id).wait_stored()
        say("gone" if who == browsers[0] else "recorded", event_id)
    say("visitor", browsers[0])
    sys.stdin.readline()
    wait_until_empty(tracking)
    tracking.close(10.0)


def deliver(url: str, directory: str, poison: str = "") -> None:
    """Deliver what other processes record, until SIGTERM; or die of sending one of the events."""
    if poison:
        points.die_of(poison)
    tracking = make_tracking(url, directory)
    is_over = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: is_over.set())
    tracking.start()
    say("ready")
    is_over.wait()
    tracking.close(10.0)


def record_steadily(
    url: str, directory: str, number: int, seconds: float, settings: Mapping[str, Any] | None = None
) -> None:
    """Record so many events over so many seconds of the wall; say what memory is used, and how the breaker stands."""
    tracking = make_tracking(url, directory, settings)
    tracking.start()
    recorder = Recorder(tracking, visitors=500)
    recorder.record_and_say()
    say("ready")
    pieces = max(1, int(seconds * 20))
    begun = time.perf_counter()
    recorded = 1
    for piece in range(pieces):
        due = number * (piece + 1) // pieces
        receipts = [recorder.record() for _ in range(due - recorded)]
        recorded = due
        for receipt in receipts:
            receipt.wait_stored()
            say("recorded", receipt.event_id)
        say("resident", resident(), "breaker", tracking.stats().destinations["sitecore"].breaker)
        time.sleep(max(0.0, begun + (piece + 1) / 20 - time.perf_counter()))
    say("done")
    sys.stdin.readline()


def record_for_two(
    urls: Mapping[str, str],
    kinds: Mapping[str, str],
    outbox: str,
    number: int,
    seconds: float,
    settings: Mapping[str, Any],
) -> None:
    """Record so many events a second to several destinations, over so many seconds of the wall, and end on a word.

    Says of each event when it was recorded, by the clock on the real wall, and again and again the figures.
    """
    hooks.install()
    destinations = [DESTINATIONS[kinds[name]](name, url) for name, url in urls.items()]
    tracking = Tracking(*destinations, outbox=outbox, secret_key=KEY, **settings)
    tracking.start()
    visitors = [tracking.for_visitor(str(uuid4())) for _ in range(VISITORS)]
    say("ready")
    begun = time.perf_counter()
    pieces = int(seconds * 20)
    for piece in range(pieces):
        for place in range(number * piece // pieces, number * (piece + 1) // pieces):
            moment, event_id = real_time(), new_event_id()
            data = {"recorded": event_id, "number": place}
            visitors[place % VISITORS].event("STEP", data, event_id=event_id).wait_stored()
            say("recorded", event_id, moment)
        _say_ledgers(tracking)
        time.sleep(max(0.0, begun + (piece + 1) / 20 - time.perf_counter()))
    say("done")
    sys.stdin.readline()
    tracking.flush(1e6)
    _say_ledgers(tracking)
    say("closed", tracking.close(10.0))


# Those that get one event in each call and those that get batches.
DESTINATIONS: dict[str, Callable[[str, str], Destination]] = {
    "sitecore": lambda name, url: Sitecore(client_key="chaos", target_url=url, point_of_sale="shop", name=name),
    "customerio": lambda name, url: CustomerIO(write_key="chaos", target_url=url, name=name),
    "datalyr": lambda name, url: Datalyr(workspace_id="chaos", target_url=url, name=name),
}


def _say_ledgers(tracking: Tracking) -> None:
    for name, own in tracking.stats().destinations.items():
        say("ledger", name, json.dumps({**asdict(own), "is_balanced": own.is_balanced}))


def real_time() -> float:
    """Seconds since 1970 by the clock on the wall, also where `time.time` goes by another one."""
    return time.clock_gettime(time.CLOCK_REALTIME)


def resident() -> int:
    """The memory of this process that is in use, in bytes."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * resource.getpagesize()


def record_through_jump(url: str, directory: str, number: int, jump: float) -> None:
    """Record some events, have the clock on the wall jump, and record as many again; say what it said each time."""
    tracking = make_tracking(url, directory)
    tracking.start()
    recorder = Recorder(tracking)
    wall_clock = time.time
    for change in (0.0, jump):
        time.time = lambda change=change: wall_clock() + change  # type: ignore[misc]
        for _ in range(number):
            moment = time.time()
            say("at", recorder.record_and_say().event_id, moment)
        time.sleep(0.2)
    say("ready")
    signal.pause()


def fork_often(url: str, directory: str, number: int) -> None:
    """Fork again and again while other threads record; every child records as well, and ends in its own way."""
    tracking = make_tracking(url, directory)
    tracking.start()
    recorder = Recorder(tracking)
    is_over = threading.Event()

    def keep_recording() -> None:
        while not is_over.wait(0.002):
            recorder.record_and_say()

    threads = [threading.Thread(target=keep_recording) for _ in range(2)]
    for thread in threads:
        thread.start()
    for count_ in range(number):
        child = os.fork()
        if child == 0:
            Recorder(tracking, 1).record_and_say()
            if count_ % 2:
                os._exit(0)
            sys.exit(0)
        say("ended", os.waitpid(child, 0)[1])
    is_over.set()
    for thread in threads:
        thread.join()


def multiply(url: str, directory: str, method: str, number: int) -> None:
    """Record in children of multiprocessing; what forked ones inherit is used as it is."""
    context: Any = multiprocessing.get_context(method)
    tracking = make_tracking(url, directory)
    tracking.start()
    Recorder(tracking).record_and_say()
    inherited = (lambda: tracking) if method == "fork" else None
    for _ in range(number):
        child = context.Process(target=_record_in_child, args=(url, directory, inherited))
        child.start()
        child.join()
        say("ended", child.exitcode)


def _record_in_child(url: str, directory: str, inherited: Callable[[], Tracking] | None) -> None:
    recorder = Recorder(inherited() if inherited is not None else make_tracking(url, directory))
    for _ in range(5):
        recorder.record_and_say()


ACTIONS: dict[str, Callable[..., None]] = {
    action.__name__: action
    for action in (
        finish,
        keep_recording,
        keep_answering,
        answer_in_need,
        record_some,
        die_at,
        stop_in_turn,
        record_and_purge,
        deliver,
        record_steadily,
        record_for_two,
        record_through_jump,
        fork_often,
        multiply,
    )
}


def main(action: str, arguments: str) -> None:
    logging.basicConfig(level=logging.WARNING, format="log %(levelname)s %(name)s: %(message)s")
    try:
        ACTIONS[action](**json.loads(arguments))
    except KeyboardInterrupt:  # Python would print it
        sys.exit(130)


if __name__ == "__main__":
    main(*sys.argv[1:])
