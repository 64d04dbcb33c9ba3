"""Processes on one directory, each with an outbox: what they do is the first argument."""

from __future__ import annotations

import logging
import multiprocessing
import os
import resource
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence

from passerby.outbox.contract import BrowserIdExchange, ClaimedEvent, StoreCommand
from passerby.outbox.inflight import DeliveryWish
from passerby.outbox.outbox import Outbox
from passerby.outbox.sqlite import SqliteStore
from tests.making import eventually

from .process import event_of


def say(*words: object) -> None:
    os.write(1, (" ".join(map(str, words)) + "\n").encode())


def open_outbox(directory: str) -> Outbox:
    return Outbox(SqliteStore(directory, patience=30.0))


def record(outbox: Outbox, event_id: str, visitor: str = "ada") -> None:
    """Record an event, and say so when it is stored."""
    ticket = outbox.record(event_of(visitor, id=event_id), ("a",), is_awaited=True)
    if outbox.wait_stored(ticket, 60.0):
        say("stored", event_id)


def share(directory: str, name: str, number: str) -> None:
    """Record, hold and release, put a browser ID back and take one, as fast as it goes, while others do."""
    outbox = open_outbox(directory)
    say("ready")
    sys.stdin.readline()
    for count in range(int(number)):
        record(outbox, f"{name}-{count}", f"visitor {count % 3}")
        outbox.record(event_of(name, id=f"held-{name}-{count}"), ("b",), held=True)
        outbox.ask(BrowserIdExchange("issuer", [f"{name}-{count}"]))
        say("released", outbox.ask(StoreCommand("release", name)).result(60))
        for browser_id in outbox.ask(BrowserIdExchange("issuer", wanted=1)).result(60):
            say("taken", browser_id)
    say("closed", outbox.close(60.0))


def fork(directory: str, times: str) -> None:
    """Fork while other threads record and deliver; every child records, and ends in its own way."""
    outbox = open_outbox(directory)
    done = threading.Event()

    def deliver(claims: Sequence[ClaimedEvent]) -> None:
        for claim in claims:
            say("delivered", claim.event_id)
            outbox.settle(claim, "delivered")

    def keep_recording(name: str) -> None:
        count = 0
        while not done.is_set():
            count += 1
            record(outbox, f"parent-{name}-{count}", "parent")

    outbox.deliver({"a": DeliveryWish(5)}, deliver)
    threads = [threading.Thread(target=keep_recording, args=(name,)) for name in "xy"]
    for thread in threads:
        thread.start()
    for number in range(int(times)):
        child = os.fork()
        if child == 0:
            outbox.stop_claiming()
            record(outbox, f"child-{number}", "child")
            outbox.close(30.0)
            os._exit(0)
        say("ended", os.waitpid(child, 0)[1])
    done.set()
    for thread in threads:
        thread.join()
    say("closed", outbox.close(60.0))


def _record_in_child(outbox: Outbox, event_id: str) -> None:
    record(outbox, event_id, "child")
    outbox.close(30.0)


def fork_with_multiprocessing(directory: str, times: str) -> None:
    """Record in children that multiprocessing forks."""
    outbox = open_outbox(directory)
    context = multiprocessing.get_context("fork")
    for number in range(int(times)):
        record(outbox, f"parent-{number}", "parent")
        child = context.Process(target=_record_in_child, args=(outbox, f"child-{number}"))
        child.start()
        child.join()
        say("ended", child.exitcode)
    say("closed", outbox.close(60.0))


def die_in_turn(directory: str) -> None:
    """Fork in the middle of a turn; the child lives on when this process is killed."""
    store = SqliteStore(directory)
    outbox = Outbox(store)
    record(outbox, "before")
    with store.directory.turn():
        child = os.fork()
        if child == 0:
            signal.pause()
            os._exit(0)
        say("child", child)
        signal.pause()


def stop_in_turn(directory: str) -> None:
    """Stop in the middle of a turn; go on with it when asked."""
    store = SqliteStore(directory)
    outbox = Outbox(store)
    record(outbox, "before")
    with store.directory.turn():
        say("has it")
        os.kill(os.getpid(), signal.SIGSTOP)
    record(outbox, "after")
    say("closed", outbox.close(60.0))


def fill(directory: str) -> None:
    """Record more than files may hold, then let them hold more."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    outbox = open_outbox(directory)
    record(outbox, "first")
    resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, resource.RLIM_INFINITY))
    recorded: list[str] = []
    while outbox.state in ("ok", "slow") and len(recorded) < 20_000:
        recorded.append(f"event-{len(recorded)}")
        outbox.record(event_of(f"visitor {len(recorded)}", id=recorded[-1], size=400), ("a",))
        if len(recorded) % 100 == 0:
            time.sleep(0.01)
    say("state", outbox.state)
    say("unstored", outbox.flush(0.05) > 0)
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    outbox.when_stored().result(60)
    for event_id in recorded:
        say("stored", event_id)
    say("state", outbox.state)
    os.kill(os.getpid(), signal.SIGKILL)


def cannot_write(directory: str) -> None:
    """As another user: record where nothing may be written, until that is changed."""
    if os.getuid() == 0:
        os.setegid(65534)
        os.seteuid(65534)
    outbox = open_outbox(directory)
    outbox.record(event_of("ada", id="first"), ("a",))
    eventually(lambda: outbox.state != "ok")
    say("unstored", outbox.flush(0.1))
    say("state", outbox.state)
    say("waits")
    sys.stdin.readline()
    outbox.when_stored().result(60)
    say("state", outbox.state)
    say("closed", outbox.close(60.0))


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING)
    actions: dict[str, Callable[..., None]] = {
        action.__name__: action
        for action in (share, fork, fork_with_multiprocessing, die_in_turn, stop_in_turn, fill, cannot_write)
    }
    actions[sys.argv[1]](*sys.argv[2:])
