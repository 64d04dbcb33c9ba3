"""What a process asks of a store concerns the events of all processes, in the order of the batch."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from passerby.outbox import contract
from passerby.outbox.contract import (
    BrowserIdExchange,
    BrowserLink,
    CommandKind,
    EventStore,
    LeaseExtension,
    StoreCommand,
)
from passerby.outbox.counts import DestinationCounts
from passerby.outbox.reading import StoreQuery
from passerby.values.outcome import Delivered

from .conftest import MakeStore
from .process import LEASE, Clock, Process, dead_ids, event_of, ids, recorded_of


@pytest.fixture
def other(store: EventStore) -> Process:
    """Another process on the same store."""
    return Process(store)


# Claims.


def test_at_most_as_many_are_claimed_as_wanted(process: Process) -> None:
    for number in range(5):
        process.put(f"visitor {number}")

    assert [len(process.claim(limit=2)) for _ in range(4)] == [2, 2, 1, 0]


def test_the_next_due_is_the_earliest_of_all(process: Process, clock: Clock) -> None:
    assert process.counts().next_due is None
    for visitor in ("ada", "ben", "cyd"):
        process.put(visitor)
    assert process.counts().next_due == 0.0
    for claim, after in zip(process.claim(), (30.0, 10.0, 20.0), strict=True):
        process.settle([claim], "retry", after=after)

    assert process.counts("b").next_due is None
    for _ in range(3):
        assert process.counts().next_due == 10.0
        clock.now += 10.0
        assert len(process.deliver_all()) == 1
    assert process.counts().next_due is None
    process.put("dan")
    process.claim()
    assert process.counts().next_due == LEASE


def test_destinations_do_not_wait_for_each_other(process: Process) -> None:
    both = [process.put("ada", "a", "b"), process.put("ada", "a", "b")]
    process.settle(process.claim("a"), "retry", after=60.0)

    assert process.deliver_all("b") == both
    assert (process.counts("a").waiting, process.counts("b").delivered) == (2, 2)


def test_the_age_of_an_event_counts_from_when_it_was_recorded(process: Process, clock: Clock) -> None:
    process.send(at=100.0, recorded=[recorded_of(event_of("ada"), at=92.0)])
    clock.now += 5.0
    (claim,) = process.claim()
    assert claim.age == 13.0


def test_counts_are_a_copy(process: Process) -> None:
    process.put("ada")
    counts = process.counts()
    counts.recorded = 99
    counts.dropped["mischief"] = 99

    assert process.counts() == DestinationCounts(recorded=1, waiting=1, next_due=0.0)


def test_an_extension_of_a_lost_lease_does_nothing(process: Process, other: Process, clock: Clock) -> None:
    """A worker stopped past its lease and back: it must not keep the event from the next one."""
    process.put("ada")
    stale = process.claim()
    clock.now += LEASE + 1
    (held,) = other.claim()
    process.send(extensions=[LeaseExtension(stale, 1_000.0)])
    clock.now += LEASE + 1

    assert ids(Process(process.store).claim()) == [held.event_id]


# One process asks, the events of another are concerned.


@pytest.mark.parametrize(("kind", "delivers"), [("release", True), ("clear", False), ("purge_visitor", False)])
def test_what_one_process_holds_another_releases_or_drops(
    process: Process, other: Process, clock: Clock, kind: CommandKind, delivers: bool
) -> None:
    held = [process.hold("ada"), process.hold("ada", "a", "b")]
    kept = process.hold("ben")

    assert other.command(kind, "ada") == (3 if kind == "purge_visitor" else 2)
    assert process.deliver_all() == (held if delivers else [])
    assert process.deliver_all("b") == (held[1:] if delivers else [])
    clock.now += 1.0
    after = process.hold("ada")
    assert process.deliver_all() == [], "what is held later waits for the next release"
    for visitor, event_id in (("ada", after), ("ben", kept)):
        assert other.command("release", visitor) == 1
        assert process.deliver_all() == [event_id]


def test_what_one_process_asks_for_another_sees(process: Process, other: Process) -> None:
    recorded = [process.put(visitor) for visitor in ("ada", "ben", "cyd", "dan")]
    ada, ben, cyd, dan = sorted(process.claim(), key=lambda claim: recorded.index(claim.event_id))
    process.settle([ada, ben], "dead", reason="no")
    process.settle([cyd, dan], "retry", after=1e6)

    assert other.command("retry_dead", event_id=ada.event_id) == 1
    assert process.deliver_all() == [ada.event_id]
    assert other.command("purge_dead", destination="a") == 1
    assert dead_ids(process.store) == []
    assert other.command("purge_visitor", "cyd") == 1
    assert other.command("send_now") == 1
    assert process.deliver_all() == [dan.event_id]
    assert process.counts() == DestinationCounts(recorded=4, delivered=2, dropped={"purged": 2})


def test_requests_of_a_batch_see_what_came_before_them(process: Process) -> None:
    """A visitor is purged whose browser ID was just found, and an event of whom was just recorded."""
    visit, kept = event_of("visit 1", is_linked=False), process.put("ben")
    process.send(
        recorded=[recorded_of(visit)],
        requests=[BrowserLink("visit", "visit 1", "ada"), StoreCommand("purge_visitor", "ada")],
    )

    assert process.last.answers == [None, 1]
    assert process.last.dropped == [(visit.id, "a", "purged")]
    assert process.deliver_all() == [kept]


def test_a_purge_of_dead_letters_takes_nothing_that_waits_or_is_held(process: Process) -> None:
    process.put("ada")
    process.settle(process.claim(), "dead", reason="no")
    waiting, held = process.put("ada"), process.hold("ada")

    assert process.command("purge_dead") == 1
    assert process.command("release", "ada") == 1
    assert process.deliver_all() == [waiting, held]


def test_events_for_a_destination_that_no_process_has_stay(process: Process) -> None:
    """Decision "two versions at once": a deliverer claims only the destinations that it knows."""
    gone = [process.put("ada", "gone"), process.put("ada", "gone"), process.put("ben", "gone")]
    kept = process.put("ada")

    assert process.deliver_all() == [kept]
    assert process.counts("gone").waiting == 3
    assert process.command("purge_visitor", "ben") == 1
    assert process.deliver_all("gone") == gone[:2], "a mistake in the settings needs no repair"


# Links and users.


def test_an_event_with_a_browser_id_keeps_it(process: Process) -> None:
    """A link says which browser ID the events of a visit belong to; those of a browser have theirs."""
    process.link("visit 1", "ada")
    process.put("ben")
    process.link("visit 2", "ben")

    assert [claim.browser_id for claim in process.claim()] in ([None], ["ben"])


def test_what_waits_keeps_its_link_however_many_come_later(process: Process) -> None:
    """Links are bounded; those of visits long past are forgotten, what waits and the last ones are not."""
    first = process.put("visit 0", is_linked=False)
    for start in range(0, contract.MAX_LINKS + 20_000, 1_000):
        links = [BrowserLink("visit", f"visit {number}", f"id {number}") for number in range(start, start + 1_000)]
        process.send(requests=links)
    last = process.put(f"visit {contract.MAX_LINKS + 19_999}", is_linked=False)
    forgotten = process.put("visit 1", is_linked=False)

    found = {claim.event_id: claim.browser_id for claim in process.claim()}
    assert found == {first: "id 0", last: f"id {contract.MAX_LINKS + 19_999}", forgotten: None}


def test_events_without_a_browser_id_are_counted(process: Process) -> None:
    process.put("visit 1", "a", "b", is_linked=False)
    process.hold("visit 1", is_linked=False)
    process.put("ada")
    process.link("visit 1", "ada")
    process.deliver_all()

    assert process.counts() == DestinationCounts(recorded=3, delivered=2, held=1, unlinked=2)
    assert process.counts("b").unlinked == 1


def test_a_person_is_known_by_browser_id_visit_and_user_id(process: Process) -> None:
    """Decision "purge, suppression": by visitor and by user ID."""
    process.put("ada")
    process.put("visit 1", is_linked=False)
    process.hold("visit 1", is_linked=False)
    process.link("visit 1", "ada")
    process.put("phone", user_id="user 1")
    process.hold("tablet", user_id="user 1")
    process.put("phone", user_id="user 1")
    kept = process.put("phone")

    assert process.command("purge_visitor", "visit 1") == 3
    assert process.command("purge_visitor", "user 1") == 3
    assert process.deliver_all() == [kept]
    assert process.counts() == DestinationCounts(recorded=7, delivered=1, dropped={"purged": 6}, unlinked=2)


@pytest.mark.parametrize("after", [0.0, 60.0])
def test_what_is_behind_a_purged_retry_is_claimed_once(process: Process, after: float) -> None:
    process.put("ada", user_id="user 1")
    recorded = process.put("ada")
    process.settle(process.claim(), "retry", after=after)
    process.command("purge_visitor", "user 1")

    assert ids(process.claim()) == [recorded]
    assert process.claim() == []


def test_a_visit_purged_while_it_waits_for_a_retry_stays_so(process: Process) -> None:
    """What must be survived: purge during claim and retry; the retry of a linked visit is checked against the marks."""
    process.put("visit 1", is_linked=False)
    claims = process.claim()
    process.command("purge_visitor", "ada")
    process.link("visit 1", "ada")
    process.settle(claims, "retry")

    assert process.claim() == []
    assert process.counts() == DestinationCounts(recorded=1, dropped={"purged": 1}, unlinked=1)


# Quotas.


def test_what_is_behind_a_dropped_retry_does_not_wait_for_it(make_store: MakeStore) -> None:
    process = Process(make_store(max_events=2, when_full="drop_oldest"))
    process.put("ada")
    process.settle(process.claim(), "retry", after=300.0)
    recorded = [process.put("ada"), process.put("ada")]

    assert process.counts().next_due == 0.0
    assert process.deliver_all() == recorded


def test_a_retry_behind_what_is_dropped_still_waits(make_store: MakeStore, clock: Clock) -> None:
    process = Process(make_store(max_events=3, when_full="drop_oldest"))
    process.put("ada", user_id="first")
    later = process.put("ada")
    first, second = process.claim(run=2)
    process.settle([second], "retry", after=300.0)
    process.settle([first], "retry", after=10.0)
    bens = [process.put("ben"), process.put("ben")]

    assert process.counts().dropped == {"full": 1}
    assert process.deliver_all() == bens
    assert process.counts().next_due == 300.0
    clock.now += 300.0
    assert process.deliver_all() == [later]


@pytest.mark.parametrize("quota", [{"max_bytes": 2_000}, {"max_events": 5}])
def test_nothing_makes_room_in_vain(make_store: MakeStore, quota: dict[str, int]) -> None:
    """Decision "quotas": drop_oldest; an event that does not fit alone is dropped itself."""
    process = Process(make_store(when_full="drop_oldest", **quota))
    recorded = [process.put(f"visitor {number}") for number in range(4)]
    event = event_of("ada", size=5_000)
    process.record(event, to=("a", "b", "c", "d", "e", "f"))

    assert process.last.dropped[0] == (event.id, "a", "full")
    assert process.deliver_all() == recorded


def test_what_an_event_takes_is_free_once_it_is_settled(make_store: MakeStore, clock: Clock) -> None:
    """Over rounds of all that can become of events the quota is neither used up nor grows."""
    process = Process(make_store(max_events=6, max_bytes=10_000, max_held=2))

    def settle(kind: contract.SettlementKind) -> Callable[[], object]:
        return lambda: process.settle(process.claim(), kind, reason="no")

    ends: list[Callable[[], object]] = [
        settle("delivered"),
        settle("dead"),
        lambda: process.command("purge_visitor", "ada"),
        lambda: process.command("clear", "ben"),
    ]
    for number in range(40):
        clock.now += 1.0
        process.put("ada", "a", "b", size=number)
        process.hold("ben")
        ends[number % 4]()
        process.command("purge_visitor", "ada")
        process.command("purge_visitor", "ben")
        assert not process.last.is_full
    assert set(process.counts().dropped) <= {"purged", "cleared"}
    clock.now += 1.0
    process.record(*[event_of("cyd") for _ in range(9)])
    assert (process.counts().waiting, process.counts().dropped["full"]) == (6, 3)


# Browser IDs and watched events.


def test_a_browser_id_that_is_put_back_twice_is_given_once(process: Process, other: Process) -> None:
    """Row "browser IDs by issuer": two visitors never get the same one."""
    process.ask(BrowserIdExchange("issuer", ("1", "2")))
    other.ask(BrowserIdExchange("issuer", ("2", "3")))

    taken = [other.ask(BrowserIdExchange("issuer", wanted=2)), process.ask(BrowserIdExchange("issuer", wanted=10))]
    assert sorted(taken[0] + taken[1]) == ["1", "2", "3"]


def test_browser_ids_of_a_repeated_batch_come_again(process: Process, other: Process) -> None:
    """Row "writer and number": a reply with browser IDs was lost."""
    process.ask(BrowserIdExchange("issuer", ("1", "2")))
    request = [BrowserIdExchange("issuer", wanted=1)]
    first = process.send(requests=request).answers
    assert process.send(number=process.number, requests=request).answers == first
    assert [first[0], other.ask(BrowserIdExchange("issuer", wanted=5))] in ([["1"], ["2"]], [["2"], ["1"]])


def test_a_retried_dead_letter_that_is_watched_has_its_new_outcome(process: Process, other: Process) -> None:
    recorded = process.put("ada")
    process.send(watched=[recorded])
    other.settle(other.claim(), "dead", reason="no")
    other.command("retry_dead")
    other.settle(other.claim(), "delivered", response=1)

    assert process.send(watched=[recorded]).settled[-1] == (recorded, "a", Delivered(1))


# Writers.


def test_a_writer_is_remembered_for_two_days(process: Process, other: Process, clock: Clock) -> None:
    """What must be survived: a writer back after two days; remembered for retry_age + 1 day of its last use."""
    event = recorded_of(event_of("ada"))
    process.send(recorded=[event])
    clock.now += contract.WRITER_AGE - 1.0
    other.put("ben")
    assert process.send(number=process.number, recorded=[event]).previous == process.number
    assert process.counts().recorded == 2


def test_a_writer_that_is_forgotten_begins_anew(process: Process, store: EventStore, clock: Clock) -> None:
    process.put("ada")
    clock.now += contract.WRITER_AGE + 1.0
    Process(store).put("ben")
    recorded = process.put("cyd")

    assert process.last.previous in (0, process.number - 1)
    assert recorded in [entry.event_id for entry in store.read(StoreQuery()).entries]


def test_texts_that_are_no_text_keep_nothing_else_from_being_stored(process: Process) -> None:
    """Of an exchange that is repeated until it works, no value may make it fail."""
    process.send(
        recorded=[recorded_of(event_of("ada", id="event of ada"))],
        requests=[
            BrowserLink("visit", "visit \ud800", "\ud800"),
            StoreCommand("release", "\ud800"),
            StoreCommand("purge_visitor", "user \ud800"),
            BrowserIdExchange("\ud800", ("\ud800",)),
        ],
    )
    event = recorded_of(event_of("ben", id="event of ben"))
    process.send(recorded=[event._replace(visitor="\ud800", user_id="\udfff", event_id="\ud801")])

    assert "event of ada" in process.deliver_all()
    assert process.counts().is_balanced
