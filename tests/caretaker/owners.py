"""Processes that have a file of an outbox: `python -m tests.caretaker.owners WHAT DIRECTORY ...`."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from passerby.events.event import Event, new_event_id
from passerby.old_outbox.sqlite import SqliteOutbox
from tests.making import PATIENCE
from tests.old_outbox.told import Listener

EMAIL = "ada@people.example"


def say(*words: object) -> None:
    print(*words, flush=True)


def event_about(visitor: str, user_id: str | None = None) -> Event:
    """An event that is about a person in more than one way."""
    return Event(
        id=new_event_id(),
        kind="identity" if user_id else "event",
        type=None if user_id else "ADD",
        time=1_750_000_000.0,
        browser_id=visitor,
        visitor=visitor,
        user_id=user_id,
        data={"email": EMAIL, "note": "x" * 6_000} if user_id else {"page": "Home"},
        extension={},
    )


def fill(outbox: SqliteOutbox, events: list[Event], *, dead: int = 0) -> None:
    """Record events for two destinations, and bury the first ones of one of them."""
    for event in events:
        outbox.put(event, ("a", "b"), Listener(), time.monotonic())
    until = time.monotonic() + PATIENCE
    while dead and time.monotonic() < until:  # files of others are read before anything is sent
        for entry in outbox.acquire("a", dead, time.monotonic()):
            outbox.settle_dead(entry, "HTTP 400: no such \x1b[2J point of sale")
            dead -= 1
        time.sleep(0.01)
    assert outbox.flush_to_disk(30)


def own(directory: str, visitors: str, dead: str, look_every: str) -> None:
    """Record an event of each visitor, and keep the file until the input ends."""
    outbox = SqliteOutbox(directory, ("a", "b"), look_every=float(look_every))
    fill(outbox, [event_about(visitor) for visitor in visitors.split(",") if visitor], dead=int(dead))
    say("ready")
    sys.stdin.read()
    say("closed", outbox.close(30))


def keep_tracking(directory: str, notes: str) -> None:
    """Record, deliver and bury events until the input ends, and note what was recorded and delivered."""
    outbox = SqliteOutbox(directory, ("a",), look_every=0.05, window=50)
    done = threading.Event()

    def wait_for_end() -> None:
        sys.stdin.read()
        done.set()

    threading.Thread(target=wait_for_end, daemon=True).start()
    number = 0
    noted: list[str] = []
    while not done.is_set():
        event = event_about(f"visitor {number % 50}")
        outbox.put(event, ("a",), Listener(), time.monotonic())
        if outbox.flush_to_disk(30):
            noted.append(f"stored {event.id}")
        for entry in outbox.acquire("a", 1, time.monotonic()) if number % 2 else []:
            event_id = entry.event.id  # which is forgotten once it is delivered
            if number % 200 == 1:  # of dead letters a thousand are kept
                outbox.settle_dead(entry, "no")
            else:
                outbox.settle_delivered(entry, None)
                noted.append(f"delivered {event_id}")
        number += 1
        if number == 100:
            say("ready")
    Path(notes).write_text("\n".join(noted))
    say("state", outbox.state)
    say("closed", outbox.close(30))


if __name__ == "__main__":
    actions: dict[str, Callable[..., None]] = {action.__name__: action for action in (own, keep_tracking)}
    actions[sys.argv[1]](*(str(Path(one)) if one.startswith("/") else one for one in sys.argv[2:]))
