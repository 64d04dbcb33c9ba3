"""The outbox of a process in front of a store."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from typing import Any

import pytest

from passerby.errors import ValidationError
from passerby.outbox.contract import (
    BrowserLink,
    ClaimedEvent,
    EventStore,
    ExchangeBatch,
    Quotas,
    ServiceReport,
    StorageError,
    StoreCommand,
)
from passerby.outbox.inflight import DeliveryWish
from passerby.outbox.memory import MemoryStore
from passerby.outbox.reading import StoreQuery
from passerby.values.outcome import Dead, Delivered, Dropped
from tests.making import PATIENCE, eventually

from .conftest import MakeSqlite
from .process import Process, event_of
from .surroundings import Deliverer, FaultyStore, Listener, MakeOutbox, record


def test_an_observer_is_notified_of_storing_and_delivery(any_store: EventStore, make_outbox: MakeOutbox) -> None:
    outbox = make_outbox(any_store)
    deliverer = Deliverer(outbox)
    event, listener, _ = record(outbox)

    eventually(lambda: len(listener.heard) == 2)
    assert listener.heard == ["stored", ("a", Delivered({"ref": event.id}))]
    assert deliverer.ids == [event.id]
    eventually(lambda: outbox.counts()["a"].delivered == 1)


def test_events_of_a_visitor_arrive_in_order(any_store: EventStore, make_outbox: MakeOutbox) -> None:
    """Decision "order": per visitor and destination, the order in which events reached the store."""
    outbox = make_outbox(any_store)
    deliverer = Deliverer(outbox, run=3)
    recorded = [record(outbox, f"visitor {number % 3}")[0] for number in range(300)]

    eventually(lambda: len(deliverer.ids) == 300)
    for number in range(3):
        assert [each for each in deliverer.ids if each in {e.id for e in recorded[number::3]}] == [
            event.id for event in recorded[number::3]
        ]


def test_when_stored_and_wait_stored_mean_that_it_is_in_the_store(
    any_store: EventStore, make_outbox: MakeOutbox
) -> None:
    """Decision "who waits for what": stored() is this process's exchange."""
    outbox = make_outbox(any_store)
    first, _, ticket = record(outbox)
    outbox.when_stored(ticket).result(30)
    second, listener, ticket = record(outbox, is_awaited=True)
    assert outbox.wait_stored(ticket, 30)

    assert [entry.event_id for entry in any_store.read(StoreQuery()).entries] == [first.id, second.id]
    assert listener.heard == ["stored"]
    assert outbox.unstored == 0


def test_requests_keep_their_place_between_events(any_store: EventStore, make_outbox: MakeOutbox) -> None:
    """What is held after a release waits for the next one."""
    outbox = make_outbox(FaultyStore(any_store))
    record(outbox, held=True)
    released = outbox.ask(StoreCommand("release", "ada"))
    record(outbox, held=True)

    assert released.result(30) == 1
    assert outbox.counts()["a"].held == 1


def test_batches_are_bounded_and_group_what_has_gathered(make_outbox: MakeOutbox) -> None:
    store = FaultyStore()
    outbox = make_outbox(store)
    store.gate.clear()
    for _ in range(500):
        record(outbox)
    done = outbox.when_stored()
    store.gate.set()
    done.result(30)

    sizes = [len(batch.recorded) for batch in store.batches if batch.recorded]
    assert max(sizes) == 200
    assert len(sizes) <= 5


def test_a_lost_reply_stores_nothing_twice(make_outbox: MakeOutbox) -> None:
    """Row "writer and number", seen by the outbox: reply lost and the batch repeated."""
    store = FaultyStore()
    outbox = make_outbox(store)
    store.loses_reply = True
    record(outbox)
    outbox.when_stored().result(30)
    assert outbox.counts()["a"].recorded == 1


def test_while_the_store_fails_events_gather_and_no_call_waits(
    make_outbox: MakeOutbox, caplog: pytest.LogCaptureFixture
) -> None:
    """Decision "trouble": the buffer; no call waits before a response meanwhile."""
    store = FaultyStore()
    outbox = make_outbox(store)
    store.fails = StorageError("not writable")
    _, listener, ticket = record(outbox)
    eventually(lambda: outbox.state == "not writable")
    assert not outbox.wait_stored(ticket, 60.0)
    assert outbox.unstored == 1

    store.fails = None
    outbox.when_stored(ticket).result(30)
    eventually(lambda: outbox.state == "ok")
    assert listener.heard == ["stored"]
    warnings = [record.message for record in caplog.records if "store" in record.message]
    assert warnings[0].startswith("the outbox's store fails (not writable)")


def test_a_slow_store_is_trouble(make_outbox: MakeOutbox) -> None:
    """Decision "trouble": slow over 1 s."""
    now = [0.0]
    store = FaultyStore()
    outbox = make_outbox(store, clock=lambda: now[0])
    store.gate.clear()
    now[0] = 100.0
    record(outbox)
    eventually(lambda: store.is_entered)
    now[0] = 102.0
    eventually(lambda: outbox.state == "slow")
    store.gate.set()
    eventually(lambda: outbox.state == "ok")


def test_the_buffer_is_bounded_in_bytes_and_counts_what_it_drops(make_outbox: MakeOutbox) -> None:
    """Decision "trouble": bounded, counted."""
    store = FaultyStore()
    store.fails = StorageError("away")
    outbox = make_outbox(store, buffer_bytes=1_000)
    heard = [record(outbox)[1] for _ in range(50)]
    dropped = [listener for listener in heard if listener.heard]
    assert 30 < len(dropped) < 50
    assert dropped[0].heard == [("a", Dropped("full"))]

    store.fails = None
    outbox.when_stored().result(30)
    eventually(lambda: outbox.counts()["a"].recorded == 50)
    counts = outbox.counts()["a"]
    assert (counts.waiting, counts.dropped) == (50 - len(dropped), {"full": len(dropped)})


def test_outcomes_are_written_while_the_disk_is_full(make_outbox: MakeOutbox) -> None:
    """Defect 42: what can be delivered is delivered, though nothing new can be stored."""
    store = FaultyStore()
    outbox = make_outbox(store)
    event, _, _ = record(outbox)
    outbox.when_stored().result(30)
    store.fails = StorageError("disk full")
    record(outbox)
    eventually(lambda: outbox.state == "disk full")
    deliverer = Deliverer(outbox)

    eventually(lambda: deliverer.ids == [event.id])
    eventually(lambda: store.inner.exchange(ExchangeBatch("x", 0, 0.0, counts=True)).counts["a"].delivered == 1)
    store.fails = None
    eventually(lambda: len(deliverer.ids) == 2)


def test_a_full_store_may_raise(make_outbox: MakeOutbox) -> None:
    """Decision "quotas": raise goes by the last result."""
    outbox = make_outbox(MemoryStore(Quotas(max_events=1, when_full="raise")), when_full="raise")
    record(outbox)
    outbox.when_stored().result(30)
    with pytest.raises(ValidationError, match=r"outbox is full.*max_events"):
        record(outbox)


def test_a_gap_has_the_last_moments_stored_again(make_outbox: MakeOutbox) -> None:
    """Row "writer and number": a gap means lost batches; counted, logged, the last 2 s sent again."""
    store = FaultyStore()
    outbox = make_outbox(store)
    first = record(outbox)[0]
    outbox.when_stored().result(30)
    store.inner.reset_after_fork()
    second = record(outbox)[0]
    outbox.when_stored().result(30)

    eventually(lambda: outbox.unstored == 0 and outbox.lost_batches > 0)
    eventually(lambda: {e.event_id for e in store.read(StoreQuery()).entries} == {first.id, second.id})


def test_a_watched_event_has_the_outcome_of_another_process(make_sqlite: MakeSqlite, make_outbox: MakeOutbox) -> None:
    """Decision "who waits for what": delivered() is watched IDs, whichever process delivers."""
    app, worker = make_outbox(make_sqlite()), make_outbox(make_sqlite())
    event, listener, _ = record(app)
    app.when_stored().result(30)
    app.watch(event.id, listener)
    eventually(lambda: app.counts(30) and app.state == "ok")  # so that the store knows who watches
    Deliverer(worker)

    eventually(lambda: listener.heard == ["stored", ("a", Delivered({"ref": event.id}))])


def test_leases_are_extended_at_half(make_outbox: MakeOutbox) -> None:
    """Decision "lease": extended at half; no call begins with less left than it may take."""
    now = [0.0]
    store = FaultyStore(MemoryStore(clock=lambda: now[0]))
    outbox = make_outbox(store, lease=30.0, clock=lambda: now[0])
    deliverer = Deliverer(outbox, settles=False)
    record(outbox)
    eventually(lambda: deliverer.claims)
    (claim,) = deliverer.claims
    assert outbox.time_left(claim) == 30.0
    for _ in range(10):
        now[0] += 20.0
        outbox.counts()
        assert outbox.time_left(claim) == 30.0
    assert Process(store.inner).claim() == []
    outbox.settle(claim, "delivered")
    assert outbox.time_left(claim) == 0.0


def test_an_event_that_ends_processes_is_sent_alone(make_outbox: MakeOutbox) -> None:
    """Decision "attempts, poison": claimed alone, with nothing else in flight."""
    now = [0.0]
    store = MemoryStore(clock=lambda: now[0])
    victim = Process(store)
    poison = victim.put("ada")
    for _ in range(3):
        victim.claim()
        now[0] += 31.0
    others = [victim.put(f"visitor {number}") for number in range(20)]
    outbox = make_outbox(store, clock=lambda: now[0])
    seen: list[tuple[set[str], bool]] = []
    in_flight: set[str] = set()

    def take(claims: Sequence[ClaimedEvent]) -> None:
        in_flight.update(claim.event_id for claim in claims)
        seen.append((set(in_flight), any(claim.is_alone for claim in claims)))
        for claim in claims:
            in_flight.discard(claim.event_id)
            outbox.settle(claim, "delivered")

    outbox.deliver({"a": DeliveryWish(4)}, take)
    eventually(lambda: outbox.counts()["a"].delivered == 21)
    assert [ids for ids, is_alone in seen if is_alone] == [{poison}]
    assert {each for ids, _ in seen for each in ids} == {poison, *others}


def test_flush_waits_for_what_this_process_recorded(any_store: EventStore, make_outbox: MakeOutbox) -> None:
    """Decision "who waits for what": flush waits for this process's events, never for the store's backlog."""
    stranger = Process(any_store)
    stranger.put("stranger", "b")
    outbox = make_outbox(any_store)
    Deliverer(outbox)
    for _ in range(20):
        record(outbox)

    assert outbox.flush(30.0) == 0
    assert outbox.counts()["a"].delivered == 20
    assert outbox.counts()["b"].waiting == 1


def test_flush_returns_at_once_if_nothing_can_be_tried(make_outbox: MakeOutbox) -> None:
    outbox = make_outbox(MemoryStore())
    deliverer = Deliverer(outbox, settles=False)
    record(outbox)
    eventually(lambda: deliverer.claims)
    outbox.report(contract_pause(10_000.0))
    outbox.settle(deliverer.claims[0], "retry", after=10_000.0)
    assert outbox.flush(1_000.0) == 1


def contract_pause(after: float) -> Any:
    return ServiceReport("a", "failure", after)


def test_flush_with_workers_waits_for_storing_only(make_sqlite: MakeSqlite, make_outbox: MakeOutbox) -> None:
    """Decision "who waits for what": with workers storing only."""
    outbox = make_outbox(make_sqlite())
    record(outbox)
    assert outbox.flush(30.0) == 0
    assert outbox.counts()["a"].waiting == 1


def test_close_stores_and_gives_claims_back(make_sqlite: MakeSqlite, make_outbox: MakeOutbox) -> None:
    """Decision "who waits for what": close stores; claims given back."""
    outbox = make_outbox(make_sqlite())
    deliverer = Deliverer(outbox, settles=False)
    recorded = [record(outbox, "ada")[0].id, record(outbox, "ben")[0].id]
    eventually(lambda: len(deliverer.claims) == 2)
    recorded.append(record(outbox, "cyd", is_awaited=True)[0].id)
    assert outbox.close(30.0) == 0

    claims = Process(make_sqlite()).claim()
    assert sorted(claim.event_id for claim in claims) == sorted(recorded)
    assert {claim.attempts for claim in claims} == {1}


def test_close_says_what_is_lost(make_outbox: MakeOutbox) -> None:
    store = FaultyStore()
    store.fails = StorageError("away")
    outbox = make_outbox(store)
    record(outbox)
    assert outbox.close(0.1) == 1
    store.fails = None


@pytest.mark.parametrize("seconds", [0.0, 1.0])
def test_a_flush_waits_for_what_another_process_is_sending(
    make_sqlite: MakeSqlite, make_outbox: MakeOutbox, seconds: float
) -> None:
    """Also for what waits behind that, and although the claim holds for longer than the flush waits."""
    first, second = make_outbox(make_sqlite()), make_outbox(make_sqlite())
    other = Deliverer(first, settles=False)
    record(second)
    eventually(lambda: len(other.claims) == 1)
    own = Deliverer(second)
    record(second)
    other.settles = True
    settles = threading.Timer(seconds, lambda: first.settle(other.claims[0], "delivered"))
    settles.start()

    assert second.flush(20.0) == 0
    settles.join()
    assert len({*other.ids, *own.ids}) == 2


def test_a_flush_notices_what_was_delivered_before_it_looked(make_sqlite: MakeSqlite, make_outbox: MakeOutbox) -> None:
    """Although other events wait all the time, so that the store is never empty."""
    first, second = make_outbox(make_sqlite()), make_outbox(make_sqlite(), follows=True)
    other = Deliverer(first)
    event, _, _ = record(second)
    eventually(lambda: other.ids == [event.id] and not first.claims)
    first.counts()
    other.settles = False
    record(first, "ben")
    eventually(lambda: len(other.claims) == 2)
    Deliverer(second, "b")

    assert second.unsettled == 1
    assert second.flush(PATIENCE) == 0


def test_a_drain_does_not_wait_for_what_was_only_dropped(any_store: EventStore, make_outbox: MakeOutbox) -> None:
    outbox = make_outbox(any_store)
    outbox.drop(["a"], "sampled")

    assert outbox.drain(PATIENCE)
    assert outbox.counts()["a"].dropped == {"sampled": 1}


def test_what_is_asked_of_a_closed_outbox_leaves_no_thread(
    any_store: EventStore, make_outbox: MakeOutbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("passerby.outbox.thread.COUNT_EVERY", 0.05)
    outbox = make_outbox(any_store)
    Deliverer(outbox)
    record(outbox)
    outbox.close(PATIENCE)

    assert outbox.counts()["a"].recorded == 1
    eventually(lambda: not outbox.is_running)
    record(outbox)
    assert outbox.counts()["a"].recorded == 2


def test_an_outbox_works_again_after_close(any_store: EventStore, make_outbox: MakeOutbox) -> None:
    outbox = make_outbox(any_store)
    record(outbox)
    outbox.close(30.0)
    record(outbox)
    outbox.when_stored().result(30)
    assert outbox.counts()["a"].recorded == 2


def test_a_forked_child_is_another_writer(make_sqlite: MakeSqlite, make_outbox: MakeOutbox) -> None:
    """Decision "writer": parent and child never share a writer; what waits in the buffer is the parent's."""
    store = FaultyStore(make_sqlite())
    outbox = make_outbox(store)
    record(outbox, "before")
    outbox.when_stored().result(30)
    store.gate.clear()
    record(outbox, "parent", is_awaited=True)
    store.gate.set()
    pid = os.fork()
    if not pid:
        try:
            store.batches.clear()
            record(outbox, "child")
            outbox.when_stored().result(30)
            outbox.close(30.0)
            os._exit(0)
        finally:
            os._exit(1)
    record(outbox, "parent")
    outbox.when_stored().result(30)
    assert os.waitpid(pid, 0)[1] == 0
    found = [entry.visitor for entry in make_sqlite().read(StoreQuery()).entries]
    assert sorted(found) == ["before", "child", "parent", "parent"]


def test_a_fork_that_no_hook_sees_is_noticed_at_the_next_call(
    make_outbox: MakeOutbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Decision "writer": anew after a fork; the process ID is compared."""
    store = FaultyStore()
    outbox = make_outbox(store)
    record(outbox)
    outbox.when_stored().result(30)
    writer = store.batches[-1].writer
    monkeypatch.setattr(os, "getpid", lambda: 1)
    record(outbox)
    outbox.when_stored().result(30)
    assert store.batches[-1].writer != writer
    assert store.batches[-1].number <= 1
    outbox.close(30.0)
    monkeypatch.undo()


def test_a_child_forked_in_the_middle_of_a_turn_keeps_no_process_waiting(make_sqlite: MakeSqlite) -> None:
    """Decision "SQLite's turns": a fork in the middle of a turn does not leave the child holding the lock."""
    store = make_sqlite()
    Process(store).put("ada")
    with store.directory.turn():
        pid = os.fork()
        if not pid:
            threading.Event().wait(60)
            os._exit(0)
    try:
        Process(make_sqlite()).put("ben")
    finally:
        os.kill(pid, 9)
        os.waitpid(pid, 0)


def test_another_process_wakes_the_deliverer(make_sqlite: MakeSqlite) -> None:
    """Decision "wake-up between processes": a datagram socket in the directory."""
    woken = threading.Event()
    store = make_sqlite()
    Process(store).put("ada")
    assert store.listen(woken.set) == 1.0
    Process(make_sqlite()).put("ben")
    assert woken.wait(30)


def test_without_sockets_a_deliverer_polls(make_sqlite: MakeSqlite, directory: Any) -> None:
    """Decision "wake-up between processes": polling at 100 ms where no socket can be bound."""
    store = make_sqlite(directory / ("long" * 40))
    assert store.listen(lambda: None) == 0.1


def test_a_missing_deliverer_is_warned_of_once(make_outbox: MakeOutbox, caplog: pytest.LogCaptureFixture) -> None:
    """Decision "deliver": no deliverer seen for 60 s while something is due: one warning."""
    now = [0.0]
    outbox = make_outbox(MemoryStore(clock=lambda: now[0]), clock=lambda: now[0])
    record(outbox)
    outbox.counts()
    for _ in range(3):
        now[0] += 61.0
        outbox.counts()
    assert [each.message for each in caplog.records if "no process delivers" in each.message]
    assert sum("no process delivers" in each.message for each in caplog.records) == 1


def test_a_delivery_that_falls_behind_is_warned_of_once(
    make_outbox: MakeOutbox, caplog: pytest.LogCaptureFixture
) -> None:
    """Decision "deliver": oldest due event > 10 s while the service answers: one warning, run a worker."""
    now = [0.0]
    outbox = make_outbox(MemoryStore(clock=lambda: now[0]), clock=lambda: now[0])
    deliverer = Deliverer(outbox, settles=False, limit=1)
    record(outbox, "ada")
    record(outbox, "ben")
    eventually(lambda: deliverer.claims)
    for _ in range(3):
        now[0] += 11.0
        outbox.counts()
    assert sum("falls behind" in each.message for each in caplog.records) == 1


def test_two_threads_record_while_others_deliver(any_store: EventStore, make_outbox: MakeOutbox) -> None:
    outbox = make_outbox(any_store)
    deliverer = Deliverer(outbox)

    def write(number: int) -> None:
        for _ in range(200):
            ticket = record(outbox, f"visitor {number}", is_awaited=True)[2]
            assert outbox.wait_stored(ticket, 30)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    eventually(lambda: len(deliverer.ids) == 800)
    assert len(set(deliverer.ids)) == 800


def test_an_observer_is_notified_of_dead_and_dropped(any_store: EventStore, make_outbox: MakeOutbox) -> None:
    outbox = make_outbox(any_store)
    deliverer = Deliverer(outbox, settles=False)
    _, listener, _ = record(outbox)
    eventually(lambda: deliverer.claims)
    outbox.settle(deliverer.claims[0], "dead", reason="status 400")
    _, purged, ticket = record(outbox, "ben", "b")
    outbox.when_stored(ticket).result(30)
    assert outbox.ask(StoreCommand("purge_visitor", "ben")).result(30) == 1

    eventually(lambda: listener.heard == ["stored", ("a", Dead("status 400"))])
    eventually(lambda: purged.heard == ["stored", ("b", Dropped("purged"))])


def test_the_events_of_a_visit_and_of_its_browser_are_held_together(
    any_store: EventStore, make_outbox: MakeOutbox
) -> None:
    """Row "links": what comes after the link, still under the visit's key, is the browser's too."""
    outbox = make_outbox(any_store)
    first = event_of("session:1", is_linked=False)
    outbox.record(first, ("a",), held=True)
    assert outbox.ask(BrowserLink("visit", "session:1", "browser 1")).result(30) is None
    second = event_of("session:1")._replace(browser_id="browser 1")
    outbox.record(second, ("a",), held=True)

    assert outbox.ask(StoreCommand("release", "session:1")).result(30) == 2
    waiting = any_store.read(StoreQuery(("waiting",))).entries
    assert [(entry.event_id, entry.visitor) for entry in waiting] == [
        (first.id, "browser 1"),
        (second.id, "browser 1"),
    ]


def test_a_flush_waits_for_all_destinations_of_an_event(make_sqlite: MakeSqlite, make_outbox: MakeOutbox) -> None:
    """Also where the outcome at one of them is heard twice, by its own exchange and by watching."""
    outbox = make_outbox(make_sqlite())
    claims: list[ClaimedEvent] = []
    outbox.deliver({"a": DeliveryWish(10), "b": DeliveryWish(10)}, claims.extend)
    event, _, _ = record(outbox, "ada", "a", "b")
    eventually(lambda: len(claims) == 2)
    for claim in claims:
        if claim.destination == "a":
            outbox.settle(claim, "delivered")
        else:
            outbox.settle(claim, "retry", after=1_000.0)
    for _ in range(3):
        outbox.watch(event.id, Listener())
        assert outbox.flush(1.0) == 1


def test_a_probe_that_is_given_back_does_not_keep_the_next_one_waiting(
    any_store: EventStore, make_outbox: MakeOutbox
) -> None:
    """Decision "lease": when a claim is given back unsent, the next process may probe the service at once."""
    outbox = make_outbox(any_store)
    deliverer = Deliverer(outbox, settles=False)
    for number in range(5):
        record(outbox, f"visitor {number}")
    eventually(lambda: len(deliverer.claims) == 5)
    for claim in deliverer.claims:
        outbox.report(ServiceReport("a", "failure", pause=0.001))
        outbox.settle(claim, "retry")
    eventually(lambda: len(deliverer.claims) == 6)  # the probe
    outbox.stop_claiming()
    outbox.settle(deliverer.claims[-1], "unsent")
    outbox.when_stored().result(30)

    eventually(lambda: len(Process(any_store).claim(limit=10)) == 1)
