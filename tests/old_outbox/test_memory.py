"""What the outbox in memory promises beyond the contract: that it stays small."""

from __future__ import annotations

from passerby.old_outbox import Tally
from passerby.old_outbox.memory import MemoryOutbox
from passerby.old_outbox.shelf import MAX_DEAD

from .told import Listener, event_of, put


def test_the_oldest_of_too_many_dead_letters_are_dropped_and_counted() -> None:
    outbox = MemoryOutbox(["a"])
    told = [put(outbox, "ada") for _ in range(MAX_DEAD + 3)]
    for _ in told:
        (entry,) = outbox.acquire("a", 1, 0.0)
        outbox.settle_dead(entry, "no")

    assert [letter.event.id for letter in outbox.dead_letters("a")] == told[3:]
    assert outbox.tally("a") == Tally(enqueued=len(told), dead=MAX_DEAD, dropped={"dead letters full": 3})


def test_the_links_of_visits_long_past_are_forgotten() -> None:
    outbox = MemoryOutbox(["a"])
    for number in range(20_000):
        outbox.link(f"visit:{number}", f"browser ID {number}")
    for visit in ("visit:0", "visit:19999"):
        outbox.put(event_of(visit, browser_id=None), ("a",), Listener(), 0.0)

    found = {entry.event.visitor: entry.event.browser_id for entry in outbox.acquire("a", 2, 0.0)}

    assert found == {"visit:0": None, "visit:19999": "browser ID 19999"}


def test_what_is_settled_leaves_nothing_behind() -> None:
    outbox = MemoryOutbox(["a"])
    for number in range(1_000):
        put(outbox, f"visitor {number}")
        (entry,) = outbox.acquire("a", 1, 0.0)
        outbox.settle_retry(entry, float(number))
        (entry,) = outbox.acquire("a", 1, float(number))
        outbox.settle_delivered(entry, None)

    (shelf,) = outbox._shelves.values()
    assert (len(shelf.lanes), len(shelf.ready), len(shelf.later), len(shelf.held)) == (0, 0, 0, 0)
