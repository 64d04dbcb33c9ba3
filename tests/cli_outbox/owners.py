"""Processes that use the store of an outbox: `python -m tests.cli_outbox.owners WHAT DIRECTORY ...`."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from secrets import token_hex

from passerby.events.event import Event, new_event_id
from passerby.outbox.contract import BrowserLink
from passerby.outbox.outbox import Outbox
from passerby.outbox.sqlite import SqliteStore
from tests.outbox.process import Process, recorded_of

EMAIL = "ada@people.example"
REASON = "HTTP 400: no such \x1b[2J point of sale"


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


def process_of(directory: str | Path) -> Process:
    """One more process that uses the store."""
    return Process(SqliteStore(directory), token_hex(16))


def record(outbox: Outbox, events: Iterable[Event], to: Sequence[str] = ("a", "b"), *, held: bool = False) -> None:
    """Record events, and wait until they are stored."""
    for event in events:  # one by one, so that the first is the first to be claimed
        assert outbox.wait_stored(outbox.record(event, to, held=held), 30)


def bury(directory: Path, number: int, destination: str = "a", reason: str = REASON) -> None:
    """Make dead letters of the first events of a destination."""
    process = process_of(directory)
    for _ in range(number):
        (claim,) = process.claim(destination, 1)
        process.settle([claim], "dead", reason=reason)
    process.store.close()


def fill(directory: Path, events: Iterable[Event], to: Sequence[str] = ("a", "b"), *, dead: int = 0) -> None:
    """Record events as a process that ends then, and make dead letters of the first ones of "a"."""
    outbox = Outbox(SqliteStore(directory))
    record(outbox, events, to)
    assert outbox.close(30) == 0
    bury(directory, dead)


def fill_many(directory: Path, visitor: str, number: int) -> None:
    """Record so many events of a visitor for one destination."""
    process, event = process_of(directory), event_about(visitor)
    for begin in range(0, number, 200):
        some = range(begin, min(begin + 200, number))
        process.send(recorded=[recorded_of(event._replace(id=f"event {place}")) for place in some])
    process.store.close()


def link(directory: Path, visit: str, browser_id: str, user_id: str) -> None:
    """Link a visit and a user with a browser ID."""
    process = process_of(directory)
    process.ask(BrowserLink("visit", visit, browser_id))
    process.ask(BrowserLink("user", user_id, browser_id))
    process.store.close()


def own(directory: str, visitors: str, dead: str, *to: str) -> None:
    """Record an event of each visitor, and keep the store open until the input ends."""
    outbox = Outbox(SqliteStore(directory))
    record(outbox, [event_about(visitor) for visitor in visitors.split(",") if visitor], to or ("a", "b"))
    bury(Path(directory), int(dead))
    say("ready")
    sys.stdin.read()
    say("closed", outbox.close(30))


def claim(directory: str, destination: str) -> None:
    """Claim all of a destination; when the input ends, fail to deliver it."""
    process = process_of(directory)
    claims = process.claim(destination)
    say("ready", len(claims))
    sys.stdin.read()
    process.settle(claims, "retry", after=1.0, reason="HTTP 503")
    process.store.close()


def take_turn(directory: str) -> None:
    """Have the turn until the input ends."""
    with SqliteStore(directory).directory.turn():
        say("ready")
        sys.stdin.read()


def keep_tracking(directory: str, notes: str) -> None:
    """Record, deliver and bury events until the input ends, and note what was recorded and delivered."""
    outbox, deliverer = Outbox(SqliteStore(directory)), process_of(directory)
    done = threading.Event()

    def wait_for_end() -> None:
        sys.stdin.read()
        done.set()

    threading.Thread(target=wait_for_end, daemon=True).start()
    number = 0
    noted: list[str] = []
    while not done.is_set():
        event = event_about(f"visitor {number % 50}")
        record(outbox, [event], ("a",))
        noted.append(f"stored {event.id}")
        for claimed in deliverer.claim("a", 1) if number % 2 else []:
            kind = "dead" if number % 200 == 1 else "delivered"
            deliverer.settle([claimed], "dead" if kind == "dead" else "delivered")
            noted += [f"delivered {claimed.event_id}"] if kind == "delivered" else []
        number += 1
        if number == 100:
            say("ready")
    Path(notes).write_text("\n".join(noted))
    say("state", outbox.state)
    deliverer.store.close()
    say("closed", outbox.close(30))


if __name__ == "__main__":
    actions: dict[str, Callable[..., None]] = {
        action.__name__: action for action in (own, claim, take_turn, keep_tracking)
    }
    actions[sys.argv[1]](*sys.argv[2:])
