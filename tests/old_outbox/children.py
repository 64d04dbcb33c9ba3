"""Processes that tell events, and that are forked and killed: `python -m tests.old_outbox.children WHAT DIRECTORY ...`."""

from __future__ import annotations

import multiprocessing
import os
import random
import resource
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from passerby.delivery.process import register_process_listener
from passerby.events.event import new_event_id
from passerby.old_outbox.board import Board, Notice, Unused
from passerby.old_outbox.database import Trouble
from passerby.old_outbox.folder import Folder
from passerby.old_outbox.sqlite import SqliteOutbox
from tests.making import eventually

from .told import Listener, PatientOutbox, delivered_ids, event_of


class Life:
    """What an outbox is to hear of its process."""

    def __init__(self, outbox: SqliteOutbox) -> None:
        self.outbox = outbox
        self.before_fork = outbox.before_fork
        self.after_fork_in_parent = outbox.after_fork_in_parent
        self.reset_after_fork = outbox.reset_after_fork
        register_process_listener(self)

    def on_exit(self, waited: float) -> None:
        self.outbox.close(10)


def say(*words: object) -> None:
    os.write(1, (" ".join(map(str, words)) + "\n").encode())


def tell_one(outbox: SqliteOutbox, visitor: str = "ada") -> str:
    event = event_of(visitor, id=new_event_id())
    outbox.put(event, ("a", "b"), Listener(), time.monotonic())
    return event.id


def tell_and_say(outbox: SqliteOutbox, visitor: str = "ada") -> None:
    event_id = tell_one(outbox, visitor)
    if outbox.flush_to_disk(30):
        say("stored", event_id)


def tell(directory: str) -> None:
    """Tell one event after another, and say so once it is recorded; meanwhile adopt, and deliver some."""
    outbox = SqliteOutbox(directory, ("a", "b"), look_every=0.01, window=50)
    outbox.start()
    for number in range(1_000_000):
        tell_and_say(outbox, f"visitor {number % 7}")
        if number % 3 == 0:
            for entry in outbox.acquire("b", 2, time.monotonic()):
                outbox.settle_delivered(entry, None)


def tell_some(directory: str, number: str) -> None:
    """Tell so many events, and wait to be killed."""
    outbox = SqliteOutbox(directory, ("a", "b"), look_every=1e6)
    for _ in range(int(number)):
        tell_and_say(outbox)
    say("ready")
    signal.pause()


def adopt(directory: str) -> None:
    """Adopt what there is, and say which events came."""
    outbox = PatientOutbox(directory, ("a", "b"))
    say("ready")
    sys.stdin.readline()
    outbox.start().result(60)
    for event_id in delivered_ids(outbox, "a", now=1e12):
        say("found", event_id)
    delivered_ids(outbox, "b", now=1e12)
    say("done", outbox.close(30))


def fork(directory: str, times: str) -> None:
    """Fork again and again while other threads tell; every child tells as well, and ends in its own way."""
    outbox = SqliteOutbox(directory, ("a", "b"), look_every=0.01, window=50)
    life = Life(outbox)
    done = threading.Event()

    def keep_telling() -> None:
        while not done.is_set():
            tell_and_say(outbox, "parent")
            for entry in outbox.acquire("b", 5, time.monotonic()):
                outbox.settle_delivered(entry, None)

    threads = [threading.Thread(target=keep_telling) for _ in range(2)]
    for thread in threads:
        thread.start()
    for number in range(int(times)):
        child = os.fork()
        if child == 0:
            tell_and_say(outbox, f"child {number}")
            if number % 2:
                os._exit(0)
            sys.exit(0)
        _, status = os.waitpid(child, 0)
        say("ended", status)
    done.set()
    for thread in threads:
        thread.join()
    say("last", outbox.flush_to_disk(30), life.outbox is outbox)


def _tell_in_child(outbox: SqliteOutbox) -> None:
    tell_and_say(outbox, "child")
    say("stored", tell_one(outbox, "child"))  # the exit sees to it


def fork_with_multiprocessing(directory: str, times: str) -> None:
    outbox = SqliteOutbox(directory, ("a", "b"), look_every=1e6)
    life = Life(outbox)
    context = multiprocessing.get_context("fork")
    for _ in range(int(times)):
        tell_and_say(outbox, "parent")
        child = context.Process(target=_tell_in_child, args=(outbox,))
        child.start()
        child.join()
        say("ended", child.exitcode)
    say("last", life.outbox is outbox)


def leave_child(directory: str) -> None:
    """Tell something, and leave a child behind that outlives its parent."""
    outbox = SqliteOutbox(directory, ("a", "b"))
    life = Life(outbox)
    tell_and_say(outbox)
    if os.fork() == 0:
        say("child", os.getpid(), life.outbox is outbox)  # by then it has let go of what is its parent's
    signal.pause()


def fill(directory: str) -> None:
    """Tell more than files may hold, then let them hold more."""
    outbox = SqliteOutbox(directory, ("a", "b"), look_every=1e6)
    resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, resource.RLIM_INFINITY))
    tell_and_say(outbox)
    told: list[str] = []
    while outbox.state == "ok":
        told += [tell_one(outbox, f"visitor {number}") for number in range(100)]
        outbox.flush_to_disk(0.05)
    # Where the log begins anew there may be room again; from now on there is none.
    outbox._crew.journal.do(lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1, resource.RLIM_INFINITY)))
    told.append(tell_one(outbox))
    eventually(lambda: outbox.state != "ok")
    say("state", outbox.state)
    say("flushed", outbox.flush_to_disk(0.05))
    sent = [entry.event.id for entry in outbox.acquire("a", 10, time.monotonic())]
    say("sending", len(sent))
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    say("flushed", outbox.flush_to_disk(30))
    say("state", outbox.state)
    for event_id in told:
        say("stored", event_id)
    os.kill(os.getpid(), signal.SIGKILL)


def cannot_write(directory: str, found: str) -> None:
    """As another user: tell where nothing may be written, until that is changed."""
    is_root = os.getuid() == 0
    if is_root:
        os.setegid(65534)
        os.seteuid(65534)
    outbox = SqliteOutbox(directory, ("a", "b"), look_every=1e6)
    outbox.start()
    tell_one(outbox)
    eventually(lambda: outbox.state != "ok")
    say("flushed", outbox.flush_to_disk(0.2))
    say("state", outbox.state)
    say("sent", len(delivered_ids(outbox)))
    tell_one(outbox)
    say("closed", outbox.close(0.2))
    sys.stdin.readline()
    say("flushed", outbox.flush_to_disk(30))
    say("state", outbox.state)
    say("closed", outbox.close(30), found)
    if is_root:
        os.seteuid(0)


def tell_many(directory: str, number: str, size: str) -> None:
    """Tell events of many visitors, deliver them all, and say meanwhile how large the process is."""
    is_ready = threading.Event()
    outbox = SqliteOutbox(directory, ("a",), look_every=1e6, on_ready=is_ready.set)
    for count in range(int(number)):
        event = event_of(f"visitor {count % 50_000}")._replace(data={"note": "x" * int(size)})
        outbox.put(event, ("a",), Listener(), 0.0)
        if count % 100 == 0:  # so that what waits for the disk takes no memory, which it may when the disk is slow
            outbox.flush_to_disk(30)
        if count % (int(number) // 10) == 0:
            say("told", count, resident())
    outbox.flush_to_disk(30)
    say("told", number, resident())
    delivered = 0
    while outbox.waiting():
        is_ready.clear()
        ids = delivered_ids(outbox)
        delivered += len(ids)
        if not ids and outbox.waiting():
            is_ready.wait(30)
    say("delivered", delivered, resident())
    say("closed", outbox.close(30))


def post_and_claim(directory: str, name: str, number: str) -> None:
    """Post a notice and put back an ID, claim one, and so on; try again where the others are too busy."""
    board = Board(Folder(directory))
    for count in range(int(number)):
        which = f"{name}-{count}"
        until_it_works(board.post, [Notice("release", which, time.time())], [Unused("sitecore", (which,))])
        say("posted", which)
        for browser_id in until_it_works(board.claim, "sitecore", 1):
            say("claimed", browser_id)
        until_it_works(board.changed)
    board.close()


def kill_posters(directory: str, times: str, seed: str) -> None:
    """Fork processes that post and claim, and kill each at some moment."""
    moments = random.Random(int(seed))
    for number in range(int(times)):
        posters: list[int] = []
        for one in "abc":
            poster = os.fork()
            if poster == 0:
                post_and_claim(directory, f"{number}-{one}", "1000000")
            posters.append(poster)
        for poster in posters:
            time.sleep(moments.uniform(0, 0.03))  # the moment is what the test is about
            os.kill(poster, signal.SIGKILL)
            os.waitpid(poster, 0)


def until_it_works(action: Callable[..., Any], *arguments: object) -> Any:
    while True:
        try:
            return action(*arguments)
        except Trouble as trouble:
            if trouble.reason != "locked by another program":
                raise


def hold_and_deliver(directory: str, number: str) -> None:
    """Hold so many events of one visitor, and deliver what is to be delivered."""
    is_ready = threading.Event()
    outbox = SqliteOutbox(directory, ("a",), on_ready=is_ready.set)
    for _ in range(int(number)):
        event = event_of("ada", id=new_event_id())
        outbox.hold(event, ("a",), Listener(), time.monotonic())
        if outbox.flush_to_disk(30):
            say("stored", event.id)
    say("ready")
    delivered = 0
    while delivered < int(number):
        is_ready.wait()
        is_ready.clear()
        for event_id in delivered_ids(outbox, now=time.monotonic()):
            say("delivered", event_id)
            delivered += 1
    say("delivered-all")
    signal.pause()


def release(directory: str, visitor: str) -> None:
    """Release what is held for a visitor, without looking for files of dead processes first."""
    outbox = SqliteOutbox(directory, ("a",), look_every=1e6)
    outbox._writer._next_look = 1e12
    outbox.release(visitor)
    say("released", outbox.flush_to_disk(30))
    signal.pause()


def share(directory: str, name: str, number: str) -> None:
    """Put back a browser ID, claim one, release a visitor, and so on, while others do the same."""
    outbox = SqliteOutbox(directory, ("a",))
    say("ready")
    sys.stdin.readline()
    for count in range(int(number)):
        outbox.put_back_browser_ids("sitecore", [f"{name}-{count}"])
        outbox.release(f"{name}-{count}")
        for browser_id in outbox.claim_browser_ids("sitecore", 1).result(60):
            say("claimed", browser_id)
        outbox.put(event_of(name), ("a",), Listener(), time.monotonic())
    say("closed", outbox.close(60))


def fork_and_release(directory: str, first: str, second: str) -> None:
    """Use the board, and fork; both go on with it."""
    outbox = SqliteOutbox(directory, ("a",))
    life = Life(outbox)
    outbox.release("nobody")
    outbox.flush_to_disk(30)
    child = os.fork()
    if child == 0:
        say("released", first, outbox.release(first))
        sys.exit(0 if outbox.flush_to_disk(30) else 1)
    _, status = os.waitpid(child, 0)
    say("ended", status)
    say("released", second, life.outbox.release(second))
    outbox.close(30)


def resident() -> int:
    """The memory of this process that is in use, in bytes."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * resource.getpagesize()


if __name__ == "__main__":
    actions: dict[str, Callable[..., None]] = {
        action.__name__: action
        for action in (
            tell,
            tell_some,
            adopt,
            fork,
            fork_with_multiprocessing,
            leave_child,
            fill,
            cannot_write,
            tell_many,
            post_and_claim,
            kill_posters,
            hold_and_deliver,
            release,
            share,
            fork_and_release,
        )
    }
    actions[sys.argv[1]](*sys.argv[2:])
