"""Each sentence of the contract in `passerby.outbox.contract`, held by every store."""

from __future__ import annotations

import pytest

from passerby.outbox import contract
from passerby.outbox.contract import (
    BrowserIdExchange,
    BrowserLink,
    EventStore,
    LeaseExtension,
    ServiceReport,
    Settlement,
)
from passerby.outbox.counts import DestinationCounts
from passerby.outbox.reading import StoreQuery
from passerby.values.outcome import Dead, Delivered, Dropped

from .conftest import MakeStore
from .process import LEASE, Clock, Process, dead_ids, event_of, ids, recorded_of


def test_an_event_waits_at_each_of_its_destinations(process: Process) -> None:
    recorded = process.put("ada", "a", "b")

    for name in ("a", "b"):
        assert process.counts(name) == DestinationCounts(recorded=1, waiting=1, next_due=0.0)
        assert ids(process.claim(name)) == [recorded]
    assert process.claim("c") == []


def test_only_the_head_of_a_partition_is_claimed(process: Process) -> None:
    """Decision "claims": only the head of a visitor's partition can be claimed."""
    ada, ben = [process.put("ada"), process.put("ada")], process.put("ben")

    claims = process.claim()
    assert sorted(ids(claims)) == sorted([ada[0], ben])
    assert process.claim() == []
    process.settle(claims[:1], "delivered")
    assert ids(process.claim()) == [ada[1]]


def test_several_events_of_one_visitor_in_one_batch_have_one_head(process: Process) -> None:
    """A trap of the sketches: several events in one statement all became heads."""
    events = [event_of("ada") for _ in range(5)]
    process.record(*events)

    assert process.deliver_all() == [event.id for event in events]


def test_consecutive_events_are_claimed_together_where_asked(process: Process) -> None:
    """Decision "claims": for destinations that batch, several consecutive events of one visitor in one claim."""
    recorded = [process.put("ada") for _ in range(5)]

    claims = process.claim(run=3)
    assert ids(claims) == recorded[:3]
    assert process.claim(run=3) == []
    process.settle(claims, "delivered")
    assert ids(process.claim(run=3)) == recorded[3:]


def test_what_is_behind_a_part_of_a_run_waits_for_the_rest(process: Process, clock: Clock) -> None:
    recorded = [process.put("ada") for _ in range(4)]
    claims = process.claim(run=3)
    process.settle(claims[:1], "delivered")
    assert process.claim() == []

    process.send(outcomes=[Settlement(claims[1], "delivered"), Settlement(claims[2], "retry", 60.0, "busy")])
    assert process.claim() == []
    clock.now += 60.0
    assert process.deliver_all() == recorded[2:]


def test_a_claim_is_due_again_when_its_lease_ends(process: Process, store: EventStore, clock: Clock) -> None:
    """Decision "claims": being claimed is being due again when the lease ends; no reaper, no coordinator."""
    recorded, other = process.put("ada"), Process(store)
    (first,) = process.claim()

    clock.now += LEASE - 0.1
    assert other.claim() == []
    clock.now += 0.2
    (second,) = other.claim()
    assert (second.event_id, second.attempts) == (recorded, 2)
    assert second.token != first.token


def test_a_lease_is_extended(process: Process, store: EventStore, clock: Clock) -> None:
    """Decision "lease": extended while the call runs."""
    process.put("ada")
    claims = process.claim()
    clock.now += LEASE / 2
    process.send(extensions=[LeaseExtension(claims, LEASE)])

    clock.now += LEASE - 1
    assert Process(store).claim() == []
    clock.now += 2
    assert len(Process(store).claim()) == 1


def test_outcomes_of_a_lost_lease_come_too_late(process: Process, store: EventStore, clock: Clock) -> None:
    """A worker stopped past its lease and back. A trap of the sketches: its settle left an empty partition ready."""
    process.put("ada")
    (stale,) = process.claim()
    clock.now += LEASE + 1
    other = Process(store)
    (held,) = other.claim()

    for kind in ("dead", "retry", "unsent"):
        assert process.settle([stale], kind).late == 1
    assert other.claim() == []
    assert other.settle([held], "delivered").late == 0
    assert process.settle([stale], "dead").late == 1
    assert process.counts() == DestinationCounts(recorded=1, delivered=1)
    assert process.claim() == []


def test_delivered_counts_though_the_lease_was_lost(process: Process, store: EventStore, clock: Clock) -> None:
    process.put("ada")
    stale = process.claim()
    clock.now += LEASE + 1
    held = Process(store).claim()

    assert process.settle(stale, "delivered").late == 0
    assert Process(store).settle(held, "delivered").late == 1
    assert process.counts() == DestinationCounts(recorded=1, delivered=1)


def test_attempts_are_counted_at_the_claim_and_given_back_unsent(process: Process, clock: Clock) -> None:
    """Decision "attempts, poison": counted at the claim."""
    process.put("ada")
    for attempt in (1, 2):
        (claim,) = process.claim()
        assert claim.attempts == attempt
        process.settle([claim], "retry", after=10.0)
        clock.now += 10.0
    (claim,) = process.claim()
    process.settle([claim], "unsent")
    (claim,) = process.claim()
    assert (claim.attempts, claim.age) == (3, 20.0)


def test_an_event_that_ends_processes_is_claimed_alone_and_then_dead(process: Process, clock: Clock) -> None:
    """Decision "attempts, poison": alone after 3 lost leases, a dead letter after 5 more; the others are delivered."""
    poison = process.put("ada")
    for _ in range(contract.LOST_BEFORE_ALONE):
        assert not process.claim(takes_alone=True)[0].is_alone
        clock.now += LEASE + 1
    ben = process.put("ben")
    result = process.claim()
    assert ids(result) == [ben], "not beside others"
    assert process.last.counts["a"].suspects
    process.settle(result, "delivered")
    for _ in range(contract.LOST_ALONE):
        (claim,) = process.claim(takes_alone=True)
        assert (claim.event_id, claim.is_alone) == (poison, True)
        clock.now += LEASE + 1
        process.put("cyd")
        process.settle(process.claim(), "delivered")
    assert poison not in process.deliver_all()
    assert dead_ids(process.store) == [poison]
    assert process.store.read(StoreQuery(("dead",))).entries[0].reason == contract.POISON


def test_kills_alone_make_no_dead_letter_of_what_is_delivered_in_between(process: Process, clock: Clock) -> None:
    """Decision "attempts, poison": no dead letters from kills without a poison event."""
    process.put("ada")
    for _ in range(20):
        claim = process.claim(takes_alone=True)
        clock.now += LEASE + 1
        claim = process.claim(takes_alone=True)
        process.settle(claim, "retry")
    assert process.counts().waiting == 1


def test_a_retried_event_waits_and_holds_up_its_visitor_only(process: Process, clock: Clock) -> None:
    ada = [process.put("ada")]
    process.settle(process.claim(), "retry", after=60.0, reason="busy")
    ada.append(process.put("ada"))
    ben = [process.put("ben"), process.put("ben")]

    assert process.deliver_all() == ben
    assert process.counts().next_due == 60.0
    clock.now += 60.0
    assert process.deliver_all() == ada


def test_a_dead_letter_is_kept_with_its_reason(process: Process, store: EventStore) -> None:
    recorded = [process.put("ada"), process.put("ada")]
    process.settle(process.claim(), "dead", reason="status 400")

    assert process.counts() == DestinationCounts(recorded=2, waiting=1, dead=1, next_due=0.0)
    (letter,) = store.read(StoreQuery(("dead",))).entries
    assert (letter.event_id, letter.reason, letter.attempts, letter.destination) == (recorded[0], "status 400", 1, "a")
    assert process.deliver_all() == recorded[1:]


# Writer and number.


def test_a_number_is_applied_once_and_its_claims_come_again(process: Process) -> None:
    """Row "writer and number": reply lost and the batch repeated; claims come again, nothing twice."""
    process.put("ben")
    event = recorded_of(event_of("ada"))
    wanted = [contract.ClaimRequest("a", 10, LEASE, (1,))]
    requests = [contract.StoreCommand("release", "ada")]
    first = process.send(recorded=[event], wanted=wanted, requests=requests)
    again = process.send(number=process.number, recorded=[event], wanted=wanted, requests=requests)

    assert sorted(ids(again.claimed)) == sorted(ids(first.claimed))
    assert {claim.token for claim in again.claimed} == {claim.token for claim in first.claimed}
    assert again.answers == first.answers
    assert (again.previous, again.number) == (process.number, process.number)
    assert process.counts().recorded == 2
    assert process.settle(again.claimed, "delivered").late == 0


def test_outcomes_of_a_repeated_batch_are_applied(process: Process) -> None:
    """A failed batch may be repeated with the outcomes that came since."""
    process.put("ada")
    claims = process.claim()
    process.send(number=process.number, outcomes=[Settlement(claims[0], "delivered")])

    assert process.counts() == DestinationCounts(recorded=1, delivered=1)


def test_two_writers_do_not_share_numbers(store: EventStore) -> None:
    """Decision "writer": 128 random bits per process and start, anew after a fork."""
    one, other = Process(store), Process(store)
    recorded = [one.put("ada"), other.put("ada")]

    assert one.deliver_all() == recorded


def test_a_batch_without_number_is_not_remembered(process: Process) -> None:
    process.put("ada")
    process.send(number=0)
    assert process.last.number == 1
    assert len(process.claim()) == 1


def test_a_gap_between_the_numbers_shows(process: Process) -> None:
    """Row "writer and number": the result has the number of the batch before."""
    process.put("ada")
    assert process.send(number=7).previous == 1


# Held.


def test_held_events_wait_for_their_release_behind_what_waits(process: Process) -> None:
    held = [process.hold("ada"), process.hold("ada")]
    waiting = process.put("ada")
    process.hold("ben")

    assert process.counts().held == 3
    assert process.command("release", "ada") == 2
    assert process.command("release", "unknown") == 0
    assert process.deliver_all() == [waiting, *held]
    assert process.counts() == DestinationCounts(recorded=4, delivered=3, held=1)


def test_held_events_are_released_once_at_every_destination(process: Process) -> None:
    both = process.hold("ada", "a", "b")

    assert process.command("release", "ada") == 1
    assert (process.deliver_all("a"), process.deliver_all("b")) == ([both], [both])


def test_held_events_are_bounded(process: Process, clock: Clock) -> None:
    """Decision "quotas": held events, 100 a visitor, and held_age; counted by reason."""
    for _ in range(contract.MAX_HELD + 2):
        process.hold("ada")
    process.hold("ben")
    assert process.counts().dropped == {"full": 2}
    assert process.counts().held == contract.MAX_HELD + 1

    clock.now += contract.DAY + 1
    process.claim()
    assert process.counts() == DestinationCounts(recorded=103, dropped={"full": 2, "expired": 101})


def test_clear_drops_held_events(process: Process) -> None:
    process.hold("ada", "a", "b")
    kept = process.hold("ben")

    assert process.command("clear", "ada") == 1
    assert process.counts() == DestinationCounts(recorded=2, held=1, dropped={"cleared": 1})
    process.command("release", "ben")
    assert process.deliver_all() == [kept]


# Links.


def test_a_linked_visit_moves_before_what_its_browser_has_waiting(process: Process) -> None:
    """Decision "order": before what the browser has waiting and behind what is claimed."""
    first = process.put("ada")
    (claim,) = process.claim()
    later = process.put("ada")
    visit = [process.put("visit 1", is_linked=False), process.put("visit 1", is_linked=False)]

    assert process.link("visit 1", "ada") is None
    assert process.claim() == []
    process.settle([claim], "delivered")
    last = process.put("visit 1", is_linked=False)
    seen = process.deliver_all()
    assert [first, *seen] == [first, *visit, later, last]


def test_a_claimed_visit_moves_too(process: Process) -> None:
    visit = [process.put("visit 1", is_linked=False), process.put("visit 1", is_linked=False)]
    browser = process.put("ada")
    claims = process.claim()
    process.link("visit 1", "ada")

    assert process.claim() == []
    for claim in claims:
        process.settle([claim], "delivered")
    assert sorted([*ids(claims), *process.deliver_all()]) == sorted([*visit, browser])
    assert process.counts().waiting == 0


def test_linked_events_carry_the_browser_id(process: Process) -> None:
    process.put("visit 1", "a", "b", is_linked=False)
    assert process.claim("b")[0].browser_id is None
    process.link("visit 1", "ada")

    assert [(claim.browser_id, claim.visitor) for claim in process.claim("a")] == [("ada", "ada")]
    assert process.counts().unlinked == 1


def test_the_first_link_of_a_visit_holds_and_the_last_of_a_user(process: Process) -> None:
    """Row "links": the answer is what held before."""
    answers = [process.link("visit 1", "ada"), process.link("visit 1", "ben"), process.link("visit 1", "ben")]
    assert answers == [None, "ada", "ada"]
    users = [process.ask(BrowserLink("user", "u", each)) for each in ("ada", "ben", "cyd")]
    assert users == [None, "ada", "ben"]


def test_what_a_visit_holds_is_released_by_its_browser(process: Process) -> None:
    held = process.hold("visit 1", is_linked=False)
    process.link("visit 1", "ada")
    assert process.command("release", "ada") == 1
    assert process.deliver_all() == [held]


# Commands.


def test_purge_drops_what_waits_is_held_and_is_dead(process: Process) -> None:
    """Decision "purge, suppression": by visitor and by user ID."""
    process.put("ada")
    process.settle(process.claim(), "dead", reason="no")
    process.put("ada", "a", "b")
    process.hold("ada")
    process.put("phone", user_id='user "ä" 1')
    kept = [process.put("ben"), process.put("ben")]

    assert process.command("purge_visitor", "ada") == 4
    assert process.command("purge_visitor", 'user "ä" 1') == 1
    assert process.command("purge_visitor", "ada") == process.command("purge_visitor", "") == 0
    assert process.counts() == DestinationCounts(recorded=6, waiting=2, dropped={"purged": 4}, next_due=0.0)
    assert process.deliver_all() == kept


@pytest.mark.parametrize("kind", ["delivered", "dead", "retry", "unsent"])
def test_a_call_under_way_is_not_called_back(process: Process, kind: str) -> None:
    """Decision "purge, suppression": any outcome but delivered then drops it."""
    process.put("ada")
    claims = process.claim()
    behind = process.put("ada")

    assert process.command("purge_visitor", "ada") == 1
    left = DestinationCounts(recorded=2, waiting=1, dropped={"purged": 1}, next_due=LEASE, is_next_claimed=True)
    assert process.counts() == left
    process.settle(claims, kind)  # type: ignore[arg-type]
    delivered = int(kind == "delivered")
    dropped = {"purged": 2 - delivered}
    assert process.counts() == DestinationCounts(recorded=2, delivered=delivered, dropped=dropped)
    assert behind not in process.deliver_all()


def test_a_purged_event_whose_worker_died_is_dropped(process: Process, clock: Clock) -> None:
    process.put("ada")
    process.claim()
    process.command("purge_visitor", "ada")
    clock.now += LEASE + 1
    assert process.claim() == []
    assert process.counts() == DestinationCounts(recorded=1, dropped={"purged": 1})


def test_what_was_recorded_before_a_purge_is_dropped_when_it_comes(process: Process, clock: Clock) -> None:
    """Decision "purge, suppression": drained fallbacks and retries are checked against the marks."""
    process.command("purge_visitor", "ada")
    clock.now += 10.0
    late = recorded_of(event_of("ada"), at=80.0)
    later = recorded_of(event_of("ada"), at=95.0)
    result = process.send(at=100.0, recorded=[late, later])

    assert result.dropped == [(late.event_id, "a", "purged")]
    assert process.deliver_all() == [later.event_id]


def test_a_suppressed_visitor_stays_so(process: Process, clock: Clock) -> None:
    process.command("suppress", "user 1")
    clock.now += 60 * contract.DAY
    process.put("ada", user_id="user 1")
    assert process.counts() == DestinationCounts(recorded=1, dropped={"suppressed": 1})


def test_what_is_behind_what_was_purged_is_not_held_up(process: Process) -> None:
    process.put("ada", user_id="user 1")
    recorded = process.put("ada")
    process.settle(process.claim(), "retry", after=60.0)

    assert process.command("purge_visitor", "user 1") == 1
    assert process.deliver_all() == [recorded]


def test_dead_letters_wait_again_as_if_recorded_now(process: Process, clock: Clock) -> None:
    first, second = process.put("ada"), process.put("ada")
    process.settle(process.claim(), "dead", reason="no")
    process.settle(process.claim(), "dead", reason="no")
    waiting = process.put("ada")
    clock.now += 5.0

    assert process.command("retry_dead", destination="b") == 0
    assert process.command("retry_dead", event_id=second) == 1
    assert process.command("retry_dead") == 1
    claims = process.claim(run=3)
    assert ids(claims) == [waiting, second, first]
    assert [(claim.attempts, claim.age) for claim in claims[1:]] == [(1, 0.0), (1, 0.0)]


def test_dead_letters_are_purged_and_bounded(process: Process, clock: Clock) -> None:
    """Decision "quotas": dead_letter_age; counted by reason."""
    recorded = [process.put(f"visitor {number}") for number in range(4)]
    process.settle(process.claim(), "dead", reason="no")

    assert process.command("purge_dead", event_id=recorded[0]) == 1
    assert process.command("purge_dead", destination="b") == 0
    clock.now += 30 * contract.DAY + 1
    process.claim()
    assert process.counts() == DestinationCounts(recorded=4, dropped={"purged": 1, "expired": 3})


def test_too_many_dead_letters_drop_the_oldest(make_store: MakeStore, clock: Clock) -> None:
    """Decision "quotas": dead letters, 10,000 a destination; counted by reason."""
    process = Process(make_store(max_dead=3))
    recorded = [process.put("ada") for _ in range(5)]
    for _ in recorded:
        process.settle(process.claim(), "dead", reason="no")
        clock.now += 1.0
    assert dead_ids(process.store) == recorded[2:]
    assert process.counts() == DestinationCounts(recorded=5, dead=3, dropped={"full": 2})


def test_send_now_makes_due_what_waits_for_a_later_attempt(process: Process) -> None:
    recorded = [process.put("ada"), process.put("ada"), process.put("ben")]
    process.settle(process.claim(), "retry", after=60.0)

    assert process.command("send_now") == 2
    assert sorted(process.deliver_all()) == sorted(recorded)
    assert process.command("send_now") == 0


# Quotas.


@pytest.mark.parametrize("quota", [{"max_events": 2}, {"max_bytes": 300}])
def test_a_full_store_drops_what_is_new(make_store: MakeStore, quota: dict[str, int]) -> None:
    """Decision "quotas": max_events and max_bytes are the store's."""
    process = Process(make_store(**quota))
    kept = [process.put("ada"), process.hold("ben")]
    for number in range(3):
        process.put(f"visitor {number}")

    counts = process.counts()
    assert counts.recorded == 5
    assert counts.dropped["full"] == 5 - counts.waiting - counts.held
    assert process.deliver_all()[:1] == kept[:1]
    process.put("cyd")
    assert process.counts().waiting == 1, "there is room again"


def test_a_full_store_says_so(make_store: MakeStore) -> None:
    """Decision "quotas": raise goes by the last result."""
    process = Process(make_store(max_events=1, when_full="raise"))
    assert not process.last.is_full
    process.put("ada")
    assert process.last.is_full


def test_a_full_store_may_drop_the_oldest(make_store: MakeStore) -> None:
    """Decision "quotas": drop_oldest only in memory and SQLite."""
    process = Process(make_store(max_events=3, when_full="drop_oldest"))
    first, second = process.put("ada"), process.put("ada")
    (sending,) = process.claim()
    process.put("ada")
    process.put("ben")
    assert process.last.dropped == [(second, "a", "full")], "not what is being sent"
    process.record(*[event_of("cyd") for _ in range(5)])

    counts = process.counts()
    assert (counts.waiting, counts.dropped) == (3, {"full": 6})
    process.settle([sending], "delivered")
    assert first == sending.event_id
    assert len(process.deliver_all()) == 2


# Service state, watched, browser IDs, pages.


def fail(process: Process, times: int, after: float | None = None) -> None:
    process.send(reports=[ServiceReport("a", "failure", after)] * times)


def test_the_breaker_is_shared(process: Process, store: EventStore, clock: Clock) -> None:
    """Row "service state": breaker, ramp and not-before live in the store."""
    for number in range(10):
        process.put(f"visitor {number}")
    fail(process, 5)
    other = Process(store)
    assert other.claim() == []
    assert other.counts().breaker == "open"

    clock.now += 31.0
    assert len(other.claim()) == 1, "a probe"
    assert process.claim() == []
    assert process.counts().breaker == "half-open"
    other.send(reports=[ServiceReport("a", "success")])
    assert process.counts().breaker == "closed"
    assert len(process.claim()) == 1, "it ramps up"
    assert process.claim() == []
    process.send(reports=[ServiceReport("a", "hurry")])
    assert len(process.claim()) == 8


def test_a_flush_that_waits_when_the_service_responds_again_has_no_ramp_up(
    process: Process, store: EventStore, clock: Clock
) -> None:
    for number in range(10):
        process.put(f"visitor {number}")
    fail(process, 5)
    process.send(reports=[ServiceReport("a", "hurry", after=60.0)])
    clock.now += 31.0
    assert len(process.claim()) == 1, "a probe"
    process.send(reports=[ServiceReport("a", "success")])
    assert len(Process(store).claim()) == 9


def test_a_pause_that_the_service_asked_for_holds_for_all(process: Process, store: EventStore, clock: Clock) -> None:
    process.put("ada")
    fail(process, 1, 60.0)
    assert Process(store).claim() == []
    assert process.counts().next_due == 60.0
    clock.now += 60.0
    assert len(Process(store).claim()) == 1


def test_watched_events_have_outcomes(process: Process, store: EventStore, clock: Clock) -> None:
    """Row "watched": their outcome, whichever process delivers; kept 60 s."""
    recorded = [process.put(visitor) for visitor in ("ada", "ben", "cyd", "dan")]
    process.send(watched=recorded[:3])
    worker = Process(store)
    ada, ben, *_ = sorted(worker.claim(), key=lambda claim: recorded.index(claim.event_id))
    worker.settle([ada], "delivered", response={"ref": "1"})
    worker.settle([ben], "dead", reason="no")
    worker.command("purge_visitor", "cyd")
    clock.now += LEASE + 1
    worker.claim()

    expected = [
        (recorded[0], "a", Delivered({"ref": "1"})),
        (recorded[1], "a", Dead("no")),
        (recorded[2], "a", Dropped("purged")),
    ]
    assert process.send(watched=recorded).settled == expected
    assert process.send(watched=recorded).settled == expected
    clock.now += contract.WATCH_AGE + 60
    worker.claim()
    assert process.send(watched=recorded[:1]).settled == []


def test_browser_ids_are_given_once(process: Process, store: EventStore) -> None:
    """Row "browser IDs by issuer": taken, put back, wanted."""
    assert process.ask(BrowserIdExchange("one", ("x", "y"))) == []
    assert Process(store).ask(BrowserIdExchange("other", wanted=5)) == []
    taken = [Process(store).ask(BrowserIdExchange("one", wanted=wanted)) for wanted in (1, 5, 5)]
    assert [len(each) for each in taken] == [1, 1, 0]
    assert sorted(taken[0] + taken[1]) == ["x", "y"]


def test_dropped_events_are_counted(process: Process) -> None:
    process.send(dropped=[("a", "gpc", 2), ("b", "bot", 1)])
    assert process.counts("a") == DestinationCounts(recorded=2, dropped={"gpc": 2})


def test_a_deliverer_is_seen(process: Process, clock: Clock) -> None:
    """Decision "deliver": no deliverer seen for 60 s while something is due can be known."""
    process.put("ada")
    assert process.last.deliverer_age is None
    process.claim()
    clock.now += 70.0
    process.put("ada")
    assert process.last.deliverer_age == 70.0


def test_pages_show_everything_once(process: Process, store: EventStore) -> None:
    recorded = [process.put(f"visitor {number}", "a", "b") for number in range(5)]
    held = process.hold("ada")
    seen: list[tuple[str, str]] = []
    after: int | None = 0
    while after is not None:
        page = store.read(StoreQuery(after=after, limit=3))
        seen += [(entry.event_id, entry.destination) for entry in page.entries]
        after = page.next
    assert seen == [*((each, name) for each in recorded for name in ("a", "b")), (held, "a")]
    assert [entry.event_id for entry in store.read(StoreQuery(("held",))).entries] == [held]
    assert [each.destination for each in store.read(StoreQuery(event_id=recorded[2])).entries] == ["a", "b"]
    assert store.read(StoreQuery(destination="unknown")).entries == ()


def test_only_known_codec_versions_are_claimed(process: Process) -> None:
    """Decision "two versions at once": a deliverer claims only codec versions that it knows."""
    newer = recorded_of(event_of("ada"))
    process.send(recorded=[newer._replace(payload=b"\x63" + newer.payload[1:])])
    recorded = process.put("ben")
    assert process.deliver_all() == [recorded]
    assert process.counts().waiting == 1
    assert len(process.claim(codecs=(1, 0x63))) == 1
