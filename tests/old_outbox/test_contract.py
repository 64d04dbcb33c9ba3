"""Each sentence of the contract in `passerby.old_outbox`, held by every outbox."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, suppress
from typing import Any

import pytest

from passerby.errors import ValidationError
from passerby.old_outbox import Outbox, Tally
from passerby.old_outbox.memory import MemoryOutbox
from passerby.values.outcome import Dead, Delivered, Dropped

from .told import Listener, MakeOutbox, acquired_ids, delivered_ids, event_of, flush, hold, is_balanced, put

# put


def test_put_records_an_event_once_for_each_of_its_destinations(outbox: Outbox) -> None:
    event = event_of("ada")
    outbox.put(event, ("a", "b"), Listener(), 5.0)

    for destination in ("a", "b"):
        (entry,) = outbox.acquire(destination, 10, 5.0)
        assert entry.event == event
        assert entry.since == 5.0
        assert outbox.tally(destination) == Tally(enqueued=1, waiting=1)
    assert outbox.waiting() == 2


def test_put_leaves_other_destinations_alone(outbox: Outbox) -> None:
    put(outbox, "ada", "b")

    assert acquired_ids(outbox, "a") == []
    assert outbox.tally("a") == Tally()


def test_the_observer_hears_when_an_event_is_recorded(outbox: Outbox) -> None:
    for record in (outbox.put, outbox.hold):
        listener = Listener()
        record(event_of("ada"), ("a", "b"), listener, 0.0)
        flush(outbox)
        assert listener.heard == ["stored"]


def test_a_full_outbox_drops_and_counts_what_is_new(make_outbox: MakeOutbox) -> None:
    outbox = make_outbox(max_events=2)
    kept = [put(outbox, "ada"), put(outbox, "ben"), hold(outbox, "cyd"), hold(outbox, "cyd")]

    for record in (outbox.put, outbox.hold):
        listener = Listener()
        record(event_of("dan"), ("a",), listener, 0.0)
        assert listener.heard == [("a", Dropped("full"))], "what was not recorded must not be called stored"

    assert outbox.tally("a") == Tally(enqueued=6, waiting=2, held=2, dropped={"full": 2})
    assert delivered_ids(outbox) == kept[:2]


def test_queues_that_nobody_comes_back_to_keep_nothing_out(make_outbox: MakeOutbox) -> None:
    outbox = make_outbox(max_events=2)
    for visitor in ("ada", "ben", "cyd"):
        hold(outbox, visitor)

    told = put(outbox, "dan")

    assert delivered_ids(outbox) == [told]


def test_more_visits_than_notes_keep_one_browser_id_each(outbox: Outbox) -> None:
    """What waits knows its browser ID, however many others got theirs meanwhile."""
    outbox.put(event_of("visit:1", browser_id=None), ("a",), Listener(), 0.0)
    assert outbox.link("visit:1", "first") == "first"
    for number in range(2, 10_100):
        outbox.link(f"visit:{number}", f"id {number}")

    assert outbox.link("visit:1", "second") == "first"
    (entry,) = outbox.acquire("a", 10, 0.0)
    assert entry.event.browser_id == "first"


def test_what_the_browser_tells_comes_behind_what_its_visit_told(outbox: Outbox) -> None:
    first = event_of("visit:1", browser_id=None)
    outbox.put(first, ("a",), Listener(), 0.0)
    outbox.link("visit:1", "ada")
    second = put(outbox, "ada")

    assert acquired_ids(outbox) == [first.id]
    assert outbox.tally("a").waiting == 2
    assert second != first.id


def test_a_full_outbox_may_raise(make_outbox: MakeOutbox) -> None:
    outbox = make_outbox(max_events=1, when_full="raise")
    put(outbox, "ada")
    hold(outbox, "ada")
    listener = Listener()

    for record in (outbox.put, outbox.hold):
        with pytest.raises(ValidationError, match=r"outbox is full.*max_events"):
            record(event_of("ben"), ("b", "a"), listener, 0.0)

    assert listener.heard == []
    assert outbox.tally("a") == Tally(enqueued=2, waiting=1, held=1)
    assert outbox.tally("b") == Tally(), "nothing of the call is recorded"


def test_a_full_outbox_may_drop_the_oldest(make_outbox: MakeOutbox, caplog: pytest.LogCaptureFixture) -> None:
    outbox = make_outbox(max_events=3, when_full="drop_oldest", window=1_000)
    first, second = Listener(), Listener()
    outbox.put(event_of("ada"), ("a",), first, 0.0)
    outbox.put(event_of("ada"), ("a",), second, 0.0)
    flush(outbox)
    (sending,) = outbox.acquire("a", 1, 0.0)
    put(outbox, "ada")
    put(outbox, "ben")

    assert (first.heard, second.heard) == (["stored"], ["stored", ("a", Dropped("full"))])
    assert outbox.tally("a") == Tally(enqueued=4, waiting=3, dropped={"full": 1})
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    outbox.settle_delivered(sending, None)
    put(outbox, "cyd")
    put(outbox, "dan")
    assert len(delivered_ids(outbox)) == 3
    assert outbox.tally("a") == Tally(enqueued=6, delivered=4, dropped={"full": 2})


def test_what_was_dropped_leaves_nothing_though_nobody_sends(make_outbox: MakeOutbox) -> None:
    outbox = make_outbox(max_events=10, when_full="drop_oldest", window=1_000)
    for _ in range(10):
        put(outbox, "ada")
    for entry in outbox.acquire("a", 10, 0.0):
        outbox.settle_retry(entry, 1e9)
    for number in range(5_000):
        put(outbox, f"visitor {number}")
        if number % 2:
            for entry in outbox.acquire("a", 1, 0.0):
                outbox.settle_retry(entry, 1e9)

    shelves = outbox._shelves if isinstance(outbox, MemoryOutbox) else outbox._stock.windows  # type: ignore[attr-defined]
    assert len(shelves["a"].ready) < 500
    assert len(shelves["a"].later) < 500
    assert outbox.tally("a").waiting == 10


def test_a_full_outbox_has_room_again_once_events_are_settled(make_outbox: MakeOutbox) -> None:
    outbox = make_outbox(max_events=1)
    put(outbox, "ada")
    delivered_ids(outbox)

    second = put(outbox, "ada")

    assert delivered_ids(outbox) == [second]
    assert outbox.tally("a") == Tally(enqueued=2, delivered=2)


def test_one_full_destination_leaves_the_others_room(make_outbox: MakeOutbox) -> None:
    outbox = make_outbox(max_events=1)
    put(outbox, "ada", "a")
    listener = Listener()

    outbox.put(event_of("ben"), ("a", "b"), listener, 0.0)

    flush(outbox)
    assert sorted(map(str, listener.heard)) == ["('a', Dropped(reason='full'))", "stored"]
    assert len(acquired_ids(outbox, "b")) == 1


def test_the_observer_may_look_at_the_outbox(make_outbox: MakeOutbox) -> None:
    """Nobody is called while the outbox is locked."""
    outbox = make_outbox(max_events=2)
    tallies: list[Tally] = []

    class Curious(Listener):
        def on_stored(self) -> None:
            tallies.append(outbox.tally("a"))

        def on_settled(self, destination: str, outcome: object) -> None:
            tallies.append(outbox.tally(destination))

    def tell_all() -> None:
        outbox.put(event_of("ada"), ("a",), Curious(), 0.0)
        outbox.hold(event_of("ada"), ("a",), Curious(), 0.0)
        outbox.put(event_of("ada"), ("a",), Curious(), 0.0)
        outbox.clear("ada")
        (entry,) = outbox.acquire("a", 10, 0.0)
        outbox.settle_delivered(entry, None)
        outbox.put(event_of("ada"), ("a",), Curious(), 0.0)
        (entry,) = outbox.acquire("a", 10, 0.0)
        outbox.settle_dead(entry, "no")
        flush(outbox)

    thread = threading.Thread(target=tell_all, daemon=True)
    thread.start()
    thread.join(30)
    assert not thread.is_alive()
    assert len(tallies) == 7


# hold, release, clear


def test_held_events_are_not_handed_out(outbox: Outbox) -> None:
    hold(outbox, "ada")

    assert acquired_ids(outbox, now=1e9) == []
    assert outbox.tally("a") == Tally(enqueued=1, held=1)
    assert outbox.waiting() == 0


def test_held_events_do_not_hold_up_what_is_put(outbox: Outbox) -> None:
    hold(outbox, "ada")
    told = put(outbox, "ada")

    assert delivered_ids(outbox) == [told]


def test_release_puts_held_events_in_their_order_behind_what_waits(outbox: Outbox) -> None:
    held = [hold(outbox, "ada"), hold(outbox, "ada"), hold(outbox, "ada")]
    waiting = put(outbox, "ada")

    assert outbox.release("ada") == 3

    assert outbox.tally("a") == Tally(enqueued=4, waiting=4)
    assert delivered_ids(outbox) == [waiting, *held]


def test_release_lets_go_of_one_visitor_only(outbox: Outbox) -> None:
    hold(outbox, "ada")
    ben = hold(outbox, "ben")

    assert outbox.release("ben") == 1
    assert outbox.release("ben") == 0
    assert outbox.release("nobody") == 0

    assert delivered_ids(outbox) == [ben]
    assert outbox.tally("a").held == 1


def test_release_reaches_every_destination_and_counts_events_once(outbox: Outbox) -> None:
    both = hold(outbox, "ada", "a", "b")
    only_b = hold(outbox, "ada", "b")

    assert outbox.release("ada") == 2

    assert delivered_ids(outbox, "a") == [both]
    assert delivered_ids(outbox, "b") == [both, only_b]


def test_events_held_after_a_release_wait_for_the_next(outbox: Outbox) -> None:
    first = hold(outbox, "ada")
    outbox.release("ada")
    second = hold(outbox, "ada")

    assert delivered_ids(outbox) == [first]
    outbox.release("ada")
    assert delivered_ids(outbox) == [second]


def test_held_says_how_many_events_are_held_for_a_visitor(outbox: Outbox) -> None:
    hold(outbox, "ada", "a", "b")
    hold(outbox, "ada", "b")
    hold(outbox, "ben")
    put(outbox, "ada")

    assert [outbox.held(visitor) for visitor in ("ada", "ben", "nobody")] == [2, 1, 0]
    outbox.release("ada")
    assert outbox.held("ada") == 0


def test_what_a_visit_holds_is_held_for_its_browser_once_that_is_known(outbox: Outbox) -> None:
    hold(outbox, "visit:1")
    outbox.link("visit:1", "ada")

    assert (outbox.held("visit:1"), outbox.held("ada")) == (1, 1)


def test_clear_drops_and_counts_held_events(outbox: Outbox) -> None:
    listener = Listener()
    outbox.hold(event_of("ada"), ("a", "b"), listener, 0.0)
    hold(outbox, "ada", "a")
    waiting, kept = put(outbox, "ada"), hold(outbox, "ben")
    flush(outbox)

    assert outbox.clear("ada") == 2
    assert outbox.clear("ada") == 0
    assert outbox.release("ada") == 0

    assert listener.heard == ["stored", ("a", Dropped("cleared")), ("b", Dropped("cleared"))]
    assert outbox.tally("a") == Tally(enqueued=4, waiting=1, held=1, dropped={"cleared": 2})
    assert outbox.tally("b") == Tally(enqueued=1, dropped={"cleared": 1})
    assert delivered_ids(outbox) == [waiting]
    outbox.release("ben")
    assert delivered_ids(outbox) == [kept]


def test_drop_counts_what_was_told_and_not_kept(outbox: Outbox) -> None:
    outbox.drop(("a", "b"), "gpc")
    outbox.drop(("a",), "gpc")
    outbox.drop(("a",), "bot")

    assert outbox.tally("a") == Tally(enqueued=3, dropped={"gpc": 2, "bot": 1})
    assert outbox.tally("b") == Tally(enqueued=1, dropped={"gpc": 1})


# acquire


def test_acquire_hands_out_one_of_each_visitor(outbox: Outbox) -> None:
    ada, ben = [put(outbox, "ada"), put(outbox, "ada")], [put(outbox, "ben"), put(outbox, "ben")]

    assert sorted(acquired_ids(outbox)) == sorted([ada[0], ben[0]])
    assert acquired_ids(outbox) == [], "what is acquired stays so until it is settled"
    assert acquired_ids(outbox, now=1e9) == []


def test_acquire_hands_out_at_most_as_many_as_asked(outbox: Outbox) -> None:
    told = [put(outbox, f"visitor {number}") for number in range(5)]

    first, second, third = acquired_ids(outbox, limit=2), acquired_ids(outbox, limit=2), acquired_ids(outbox, limit=2)

    assert [len(first), len(second), len(third)] == [2, 2, 1]
    assert sorted([*first, *second, *third]) == sorted(told)


@pytest.mark.parametrize("settle", ["delivered", "dead"])
def test_the_next_of_a_visitor_follows_once_the_first_is_settled(outbox: Outbox, settle: str) -> None:
    told = [put(outbox, "ada") for _ in range(3)]

    seen: list[str] = []
    for _ in told:
        (entry,) = outbox.acquire("a", 10, 0.0)
        seen.append(entry.event.id)
        if settle == "delivered":
            outbox.settle_delivered(entry, None)
        else:
            outbox.settle_dead(entry, "no")

    assert seen == told
    assert acquired_ids(outbox) == []


def test_the_destinations_go_their_own_ways(outbox: Outbox) -> None:
    told = [put(outbox, "ada", "a", "b"), put(outbox, "ada", "a", "b")]
    outbox.acquire("a", 1, 0.0)

    assert delivered_ids(outbox, "b") == told
    assert outbox.tally("a") == Tally(enqueued=2, waiting=2)


def test_attempts_and_time_of_arrival_stay_with_the_entry(outbox: Outbox) -> None:
    outbox.put(event_of("ada"), ("a",), Listener(), 7.0)

    for attempt in (1, 2, 3):
        (entry,) = outbox.acquire("a", 10, 10.0 * attempt)
        assert (entry.attempts, entry.since) == (attempt, 7.0)
        outbox.settle_retry(entry, 10.0 * attempt + 10.0)


# settle


def test_a_delivered_entry_is_counted_told_and_forgotten(outbox: Outbox) -> None:
    listener = Listener()
    outbox.put(event_of("ada"), ("a",), listener, 0.0)
    flush(outbox)
    (entry,) = outbox.acquire("a", 1, 0.0)

    outbox.settle_delivered(entry, {"ref": "1"})

    assert listener.heard == ["stored", ("a", Delivered({"ref": "1"}))]
    assert outbox.tally("a") == Tally(enqueued=1, delivered=1)
    assert acquired_ids(outbox, now=1e9) == []
    assert outbox.dead_letters("a") == []
    assert outbox.waiting() == 0


def test_a_dead_entry_is_kept_with_its_reason(outbox: Outbox) -> None:
    listener = Listener()
    first, second = event_of("ada"), event_of("ada")
    for event in (first, second):
        outbox.put(event, ("a",), listener, 0.0)
        flush(outbox)
        (entry,) = outbox.acquire("a", 1, 0.0)
        outbox.settle_dead(entry, "status 400")

    assert listener.heard == ["stored", ("a", Dead("status 400"))] * 2
    assert outbox.tally("a") == Tally(enqueued=2, dead=2)
    letters = outbox.dead_letters("a")
    assert [(letter.event, letter.destination, letter.reason, letter.attempts) for letter in letters] == [
        (first, "a", "status 400", 1),
        (second, "a", "status 400", 1),
    ]
    assert outbox.dead_letters("b") == []
    assert outbox.waiting() == 0


def test_a_retried_entry_waits_until_it_is_due_and_holds_up_its_visitor_only(outbox: Outbox) -> None:
    ada = [put(outbox, "ada"), put(outbox, "ada")]
    (entry,) = outbox.acquire("a", 1, 0.0)
    outbox.settle_retry(entry, 60.0)
    ada.append(put(outbox, "ada"))
    ben = [put(outbox, "ben"), put(outbox, "ben")]

    assert delivered_ids(outbox, now=59.9) == ben
    assert outbox.tally("a") == Tally(enqueued=5, delivered=2, waiting=3)
    assert delivered_ids(outbox, now=60.0) == ada


def test_next_due_is_the_earliest_later_attempt(outbox: Outbox) -> None:
    assert outbox.next_due("a") is None
    for visitor in ("ada", "ben", "cyd"):
        put(outbox, visitor)
    assert outbox.next_due("a") is None, "what may be acquired at once waits for no time"

    for entry, due in zip(outbox.acquire("a", 3, 0.0), (30.0, 10.0, 20.0), strict=True):
        outbox.settle_retry(entry, due)

    assert outbox.next_due("a") == 10.0
    assert outbox.next_due("b") is None
    for due, following in ((10.0, 20.0), (20.0, 30.0), (30.0, None)):
        (entry,) = outbox.acquire("a", 3, due)
        outbox.settle_delivered(entry, None)
        assert outbox.next_due("a") == following


# link


def test_entries_acquired_after_a_link_carry_the_browser_id(outbox: Outbox) -> None:
    for _ in range(2):
        outbox.put(event_of("visit:1", browser_id=None), ("a", "b"), Listener(), 0.0)
    outbox.put(event_of("visit:2", browser_id=None), ("a",), Listener(), 0.0)
    before = outbox.acquire("a", 10, 0.0)
    assert [entry.event.browser_id for entry in before] == [None, None]

    outbox.link("visit:1", "issued")

    for entry in before:
        outbox.settle_retry(entry, 0.0)
    found: dict[str, list[str | None]] = defaultdict(list)
    for destination in ("a", "b"):
        while entries := outbox.acquire(destination, 10, 0.0):
            for entry in entries:
                found[f"{destination} {entry.event.visitor}"].append(entry.event.browser_id)
                outbox.settle_delivered(entry, None)
    assert found == {"a visit:1": ["issued"] * 2, "a visit:2": [None], "b visit:1": ["issued"] * 2}


def test_the_first_link_of_a_visit_holds(outbox: Outbox) -> None:
    assert outbox.link("visit:1", "first") == "first"
    assert outbox.link("visit:1", "second") == "first"
    assert outbox.link("visit:2", "second") == "second"
    outbox.put(event_of("visit:1", browser_id=None), ("a",), Listener(), 0.0)

    assert [entry.event.browser_id for entry in outbox.acquire("a", 1, 0.0)] == ["first"]


def test_a_link_changes_no_event_that_has_a_browser_id(outbox: Outbox) -> None:
    outbox.put(event_of("ada", browser_id="her own"), ("a",), Listener(), 0.0)
    outbox.link("ada", "another")

    assert [entry.event.browser_id for entry in outbox.acquire("a", 1, 0.0)] == ["her own"]


def test_events_recorded_without_a_browser_id_are_counted(outbox: Outbox) -> None:
    outbox.put(event_of("visit:1", browser_id=None), ("a", "b"), Listener(), 0.0)
    outbox.hold(event_of("visit:1", browser_id=None), ("a",), Listener(), 0.0)
    outbox.link("visit:1", "issued")
    delivered_ids(outbox, "a")

    assert outbox.tally("a") == Tally(enqueued=2, delivered=1, held=1, unlinked=2)
    assert outbox.tally("b").unlinked == 1


# purge_visitor, retry_dead, purge_dead, send_now


def bury(outbox: Outbox, visitor: str, destination: str = "a", listener: Listener | None = None) -> str:
    """Put one event and settle it as dead; return its ID."""
    event = event_of(visitor)
    outbox.put(event, (destination,), listener or Listener(), 0.0)
    flush(outbox)
    (entry,) = (one for one in outbox.acquire(destination, 1000, 0.0) if one.event.id == event.id)
    outbox.settle_dead(entry, "no")
    return event.id


def letter_ids(outbox: Outbox, destination: str = "a") -> list[str]:
    return [letter.event.id for letter in outbox.dead_letters(destination)]


def test_purge_visitor_drops_what_waits_is_held_and_is_dead(outbox: Outbox) -> None:
    listener = Listener()
    bury(outbox, "ada", listener=listener)
    dead = bury(outbox, "cyd")
    outbox.put(event_of("ada"), ("a", "b"), listener, 0.0)
    outbox.hold(event_of("ada"), ("a",), listener, 0.0)
    bens = [put(outbox, "ben"), put(outbox, "ben")]
    hold(outbox, "ben")
    flush(outbox)

    assert outbox.purge_visitor("ada").result(30) == 4

    dropped = [one for one in listener.heard if one == ("a", Dropped("purged")) or one == ("b", Dropped("purged"))]
    assert len(dropped) == 4
    assert outbox.tally("a") == Tally(enqueued=7, waiting=2, held=1, dead=1, dropped={"purged": 3})
    assert outbox.tally("b") == Tally(enqueued=1, dropped={"purged": 1})
    assert outbox.held("ada") == 0
    assert letter_ids(outbox) == [dead]
    assert delivered_ids(outbox) == bens
    assert outbox.purge_visitor("ada").result(30) == 0
    assert outbox.purge_visitor("").result(30) == 0
    assert outbox.tally("a").held == 1


def test_a_visitor_is_known_by_browser_id_link_and_user_id(outbox: Outbox) -> None:
    def tell_all() -> None:
        outbox.put(event_of("ada", browser_id="ada"), ("a",), Listener(), 0.0)
        outbox.put(event_of("visit:1", browser_id=None), ("a",), Listener(), 0.0)
        outbox.hold(event_of("visit:1", browser_id=None), ("a",), Listener(), 0.0)
        outbox.link("visit:1", "ada")
        outbox.put(event_of("phone", browser_id="phone")._replace(user_id='user "ä" 1'), ("a",), Listener(), 0.0)
        outbox.hold(event_of("phone", browser_id="phone")._replace(user_id='user "ä" 1'), ("a",), Listener(), 0.0)
        flush(outbox)

    tell_all()
    assert outbox.purge_visitor("ada").result(30) == 3
    assert outbox.purge_visitor('user "ä" 1').result(30) == 2
    assert outbox.tally("a") == Tally(enqueued=5, dropped={"purged": 5}, unlinked=2)
    assert acquired_ids(outbox) == []


def test_what_is_told_after_a_purge_stays(outbox: Outbox) -> None:
    for _ in range(3):
        put(outbox, "ada")
    outbox.purge_visitor("ada").result(30)

    told = [put(outbox, "ada", now=1e12), put(outbox, "ada", now=1e12)]

    assert delivered_ids(outbox) == told


@pytest.mark.parametrize(("how", "expected"), [("delivered", Delivered(None)), ("dead", None), ("retry", None)])
def test_what_is_being_sent_is_not_kept_if_that_fails(outbox: Outbox, how: str, expected: Delivered | None) -> None:
    listener = Listener()
    outbox.put(event_of("ada"), ("a",), listener, 0.0)
    put(outbox, "ada")
    flush(outbox)
    (entry,) = outbox.acquire("a", 1, 0.0)

    assert outbox.purge_visitor("ada").result(30) == 1
    assert outbox.tally("a") == Tally(enqueued=2, waiting=1, dropped={"purged": 1})
    if how == "delivered":
        outbox.settle_delivered(entry, None)
    elif how == "dead":
        outbox.settle_dead(entry, "no")
    else:
        outbox.settle_retry(entry, 10.0)

    assert listener.heard == ["stored", ("a", expected or Dropped("purged"))]
    assert outbox.waiting() == 0
    assert acquired_ids(outbox, now=1e9) == []
    assert letter_ids(outbox) == []
    assert is_balanced(outbox)


class Overtaken:
    """A lock before which somebody else is faster, once."""

    def __init__(self, lock: AbstractContextManager[bool], act: Callable[[], object]) -> None:
        self._lock = lock
        self._act = [act]

    def __enter__(self) -> bool:
        with suppress(IndexError):
            self._act.pop()()
        return self._lock.__enter__()

    def __exit__(self, *error: Any) -> None:
        self._lock.__exit__(*error)


@pytest.mark.parametrize("how", ["dead", "retry"])
def test_a_purge_at_the_moment_of_settling_leaves_nothing(outbox: Outbox, how: str) -> None:
    put(outbox, "ada")
    flush(outbox)
    (entry,) = outbox.acquire("a", 1, 0.0)
    owner, name = (outbox, "_lock") if isinstance(outbox, MemoryOutbox) else (outbox._stock, "lock")  # type: ignore[attr-defined]
    setattr(owner, name, Overtaken(getattr(owner, name), lambda: outbox.purge_visitor("ada")))

    if how == "dead":
        outbox.settle_dead(entry, "no")
    else:
        outbox.settle_retry(entry, 0.0, "later")

    assert outbox.tally("a") == Tally(enqueued=1, dropped={"purged": 1})
    assert acquired_ids(outbox) == []


def test_what_is_behind_what_was_purged_is_not_held_up(outbox: Outbox) -> None:
    """The browser's events wait behind those of a user who is forgotten, and who was to be tried again later."""
    outbox.put(event_of("ada")._replace(user_id="user 1"), ("a",), Listener(), 0.0)
    told = put(outbox, "ada")
    (entry,) = outbox.acquire("a", 1, 0.0)
    outbox.settle_retry(entry, 60.0)

    assert outbox.purge_visitor("user 1").result(30) == 1

    assert acquired_ids(outbox) == [told]
    assert acquired_ids(outbox, now=1e9) == [], "it is there once"


def test_what_is_behind_what_was_purged_at_the_beginning_of_time_is_not_held_up(outbox: Outbox) -> None:
    outbox.put(event_of("ada")._replace(user_id="user 1"), ("a",), Listener(), 0.0)
    told = put(outbox, "ada")
    (entry,) = outbox.acquire("a", 1, 0.0)
    outbox.settle_retry(entry, 0.0)
    flush(outbox)

    assert outbox.purge_visitor("user 1").result(30) == 1
    assert delivered_ids(outbox) == [told]


def test_dead_letters_that_are_retried_wait_as_if_they_were_told_now(outbox: Outbox) -> None:
    listener = Listener()
    first, second = bury(outbox, "ada", listener=listener), bury(outbox, "ada")
    other = bury(outbox, "ada", "b")
    waiting = put(outbox, "ada")

    assert outbox.retry_dead(7.0, "a").result(30) == 2

    assert outbox.tally("a") == Tally(enqueued=3, waiting=3)
    assert (letter_ids(outbox), letter_ids(outbox, "b")) == ([], [other])
    seen: list[str] = []
    while entries := outbox.acquire("a", 10, 7.0):
        (entry,) = entries
        seen.append(entry.event.id)
        if entry.event.id != waiting:
            assert (entry.attempts, entry.since) == (1, pytest.approx(7.0, abs=0.01))
        outbox.settle_delivered(entry, None)
    assert seen == [waiting, first, second]
    assert listener.heard == ["stored", ("a", Dead("no")), ("a", Delivered(None))]


def test_one_dead_letter_can_be_retried(outbox: Outbox) -> None:
    one, another = bury(outbox, "ada"), bury(outbox, "ada")

    assert outbox.retry_dead(0.0, event_id=another).result(30) == 1
    assert outbox.retry_dead(0.0, "b", one).result(30) == 0

    assert letter_ids(outbox) == [one]
    assert delivered_ids(outbox) == [another]
    assert outbox.retry_dead(0.0).result(30) == 1
    assert delivered_ids(outbox) == [one]


def test_dead_letters_can_be_purged(outbox: Outbox) -> None:
    listener = Listener()
    first, second, third = (bury(outbox, "ada", listener=listener) for _ in range(3))
    other = bury(outbox, "ada", "b")

    assert outbox.purge_dead("a", second).result(30) == 1
    assert letter_ids(outbox) == [first, third]
    assert outbox.purge_dead("a").result(30) == 2

    assert outbox.tally("a") == Tally(enqueued=3, dropped={"purged": 3})
    assert listener.heard.count(("a", Dropped("purged"))) == 3
    assert letter_ids(outbox, "b") == [other]
    assert outbox.purge_dead().result(30) == 1


def test_send_now_makes_due_what_waits_for_a_later_attempt(outbox: Outbox) -> None:
    ada = [put(outbox, "ada"), put(outbox, "ada")]
    ben = put(outbox, "ben")
    for entry in outbox.acquire("a", 10, 0.0):
        outbox.settle_retry(entry, 60.0)
    assert acquired_ids(outbox) == []

    assert outbox.send_now().result(30) == 2

    assert outbox.next_due("a") is None
    assert sorted(delivered_ids(outbox)) == sorted([*ada, ben])
    assert outbox.send_now().result(30) == 0


# tally, fork, threads


def test_a_tally_is_a_copy(outbox: Outbox) -> None:
    tally = outbox.tally("a")
    tally.enqueued = 99
    tally.dropped["mischief"] = 99

    assert outbox.tally("a") == Tally()


def test_an_outbox_begun_afresh_is_empty_and_works(outbox: Outbox) -> None:
    put(outbox, "ada", "a", "b")
    hold(outbox, "ada")
    outbox.acquire("a", 1, 0.0)

    outbox.reset_after_fork()

    assert outbox.tally("a") == Tally()
    assert outbox.waiting() == 0
    assert outbox.release("ada") == 0
    told = put(outbox, "ada", "a", "b")
    assert delivered_ids(outbox, "a", now=1e9) == delivered_ids(outbox, "b", now=1e9) == [told]


def test_threads_put_while_others_deliver(outbox: Outbox) -> None:
    """Nothing is lost, doubled or out of order, whoever calls at the same time."""
    writers, each = 8, 400
    delivered: dict[str, list[str]] = defaultdict(list)
    in_flight: set[str] = set()
    lock, done = threading.Lock(), threading.Event()

    def write(writer: int) -> None:
        for number in range(each):
            event = event_of(f"visitor {writer}", id=f"{number}")
            if number % 10 == 3:
                outbox.hold(event, ("a",), Listener(), 0.0)
                outbox.release(event.visitor)
            else:
                outbox.put(event, ("a",), Listener(), 0.0)
            assert is_balanced(outbox)

    def deliver() -> None:
        while not done.is_set() or outbox.waiting():
            for entry in outbox.acquire("a", 3, 0.0):
                visitor = entry.event.visitor
                with lock:
                    assert visitor not in in_flight, "two of one visitor at a time"
                    in_flight.add(visitor)
                    delivered[visitor].append(entry.event.id)
                    in_flight.discard(visitor)
                outbox.settle_delivered(entry, None)

    with ThreadPoolExecutor(writers + 3) as threads:
        deliverers = [threads.submit(deliver) for _ in range(3)]
        for writing in [threads.submit(write, writer) for writer in range(writers)]:
            writing.result()
        done.set()
        for delivering in deliverers:
            delivering.result()

    expected = [str(number) for number in range(each)]
    assert delivered == {f"visitor {writer}": expected for writer in range(writers)}
    assert outbox.tally("a") == Tally(enqueued=writers * each, delivered=writers * each)
