"""The outbox of a process when the store, a caller, an observer or a thread does not do what it should."""

from __future__ import annotations

import gc
import threading
import time
import weakref
from collections.abc import Sequence
from pathlib import Path

import pytest

from passerby.errors import ValidationError
from passerby.outbox.contract import (
    BrowserIdExchange,
    BrowserLink,
    ClaimedEvent,
    CommandKind,
    EventStore,
    ExchangeBatch,
    ExchangeResult,
    Quotas,
    StorageError,
    StoreCommand,
)
from passerby.outbox.inflight import DeliveryWish
from passerby.outbox.memory import MemoryStore
from passerby.outbox.reading import StoreQuery
from passerby.values.outcome import Dead, Delivered, Dropped, Outcome
from tests.making import eventually

from .conftest import MakeSqlite
from .process import Process, event_of
from .surroundings import Deliverer, FaultyStore, Listener, MakeOutbox, record

# What observers hear.


@pytest.mark.parametrize("held", [False, True])
def test_an_observer_hears_that_its_event_is_stored(any_store: EventStore, make_outbox: MakeOutbox, held: bool) -> None:
    outbox = make_outbox(any_store)
    _, listener, ticket = record(outbox, "ada", "a", "b", held=held)
    outbox.when_stored(ticket).result(30)
    eventually(lambda: listener.heard == ["stored"])


def test_what_a_full_store_drops_is_not_called_stored(make_outbox: MakeOutbox) -> None:
    """Decision "quotas": counted by reason."""
    outbox = make_outbox(MemoryStore(Quotas(max_events=2)))
    kept, refused = record(outbox, "ada", "a", "b")[1], record(outbox, "ben", "a", "b")[1]
    outbox.when_stored().result(30)

    eventually(lambda: refused.heard == [("a", Dropped("full")), ("b", Dropped("full"))])
    assert kept.heard == ["stored"]
    assert outbox.counts()["a"].dropped == {"full": 1}


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        (StoreCommand("clear", "ada"), [("a", Dropped("cleared"))]),
        (StoreCommand("purge_visitor", "ada"), [("a", Dropped("purged"))]),
        (StoreCommand("suppress", "ada"), [("a", Dropped("purged"))]),
        (StoreCommand("release", "ada"), [("a", Delivered({"ref": "event of ada"}))]),
    ],
)
def test_an_observer_hears_what_a_command_does(
    any_store: EventStore, make_outbox: MakeOutbox, command: StoreCommand, expected: list[object]
) -> None:
    outbox = make_outbox(any_store)
    Deliverer(outbox)
    listener = Listener()
    outbox.record(event_of("ada", id="event of ada"), ("a",), listener, held=True)
    outbox.when_stored().result(30)

    assert outbox.ask(command).result(30) == 1
    eventually(lambda: listener.heard == ["stored", *expected])


@pytest.mark.parametrize("kind", ["retry_dead", "purge_dead"])
def test_an_observer_hears_what_becomes_of_a_dead_letter(
    any_store: EventStore, make_outbox: MakeOutbox, kind: CommandKind
) -> None:
    outbox = make_outbox(any_store)
    deliverer = Deliverer(outbox, settles=False)
    _, listener, _ = record(outbox)
    eventually(lambda: deliverer.claims)
    outbox.settle(deliverer.claims[0], "dead", reason="no")
    eventually(lambda: len(listener.heard) == 2)
    deliverer.settles = True

    assert outbox.ask(StoreCommand(kind)).result(30) == 1
    last = Dropped("purged") if kind == "purge_dead" else Delivered({"ref": deliverer.ids[0]})
    eventually(lambda: listener.heard == ["stored", ("a", Dead("no")), ("a", last)])


def test_who_observes_an_event_is_not_kept_alive(any_store: EventStore, make_outbox: MakeOutbox) -> None:
    outbox = make_outbox(any_store)
    listener = Listener()
    gone = weakref.ref(listener)
    outbox.record(event_of("ada"), ("a",), listener)
    outbox.when_stored().result(30)
    del listener

    def is_gone() -> bool:
        gc.collect()
        return gone() is None

    eventually(is_gone)  # the thread may still have it in its hands


class Rude(Listener):
    """An observer that raises."""

    def on_stored(self) -> None:
        raise ZeroDivisionError

    def on_settled(self, destination: str, outcome: Outcome) -> None:
        raise ZeroDivisionError


def test_an_observer_that_raises_ends_nothing(make_outbox: MakeOutbox, caplog: pytest.LogCaptureFixture) -> None:
    store = FaultyStore()
    outbox = make_outbox(store)
    store.gate.clear()  # all of one batch
    rude, listener = Rude(), Listener()
    for each in (rude, listener):
        outbox.record(event_of("ada"), ("a",), each)
    answer = outbox.ask(StoreCommand("send_now"))
    store.gate.set()

    assert answer.result(30) == 0
    eventually(lambda: listener.heard == ["stored"])
    Deliverer(outbox)
    eventually(lambda: len(listener.heard) == 2)
    assert outbox.counts()["a"].delivered == 2
    assert outbox.state == "ok"
    assert "internal error of an observer" in caplog.text


def test_an_observer_may_use_the_outbox(any_store: EventStore, make_outbox: MakeOutbox) -> None:
    outbox = make_outbox(any_store)
    Deliverer(outbox)
    heard: list[str] = []

    class Curious(Listener):
        def on_stored(self) -> None:
            record(outbox, "ben")
            outbox.drop(("a",), "bot")
            heard.append(f"stored {outbox.state} {outbox.last_counts()['a'].is_balanced}")

        def on_settled(self, destination: str, outcome: Outcome) -> None:
            outbox.ask(StoreCommand("release", "ben"))
            heard.append(f"settled {outbox.unstored > 0}")

    curious = Curious()
    outbox.record(event_of("ada"), ("a",), curious)

    eventually(lambda: heard == ["stored ok True", "settled True"])
    eventually(lambda: outbox.counts()["a"].delivered == 2)
    assert outbox.counts()["a"].dropped == {"bot": 1}


# What callers do.


def test_an_event_that_cannot_be_encoded_is_dropped(make_outbox: MakeOutbox) -> None:
    outbox = make_outbox(MemoryStore())
    listeners = [Listener(), Listener()]
    for event, listener in zip(
        [event_of("a visitor \ud800"), event_of("ada")._replace(data={"a set": {1}})], listeners, strict=True
    ):
        assert outbox.record(event, ("a", "b"), listener) == 0
    record(outbox)

    assert listeners[0].heard == listeners[1].heard == [("a", Dropped("internal")), ("b", Dropped("internal"))]
    counts = outbox.counts()
    assert (counts["a"].waiting, counts["a"].dropped, counts["b"].dropped) == (1, {"internal": 2}, {"internal": 2})


def test_a_full_store_raises_for_held_events_too(make_outbox: MakeOutbox) -> None:
    """Decision "quotas": raise; nothing of the call is recorded."""
    outbox = make_outbox(MemoryStore(Quotas(max_events=1, when_full="raise")), when_full="raise")
    record(outbox)
    outbox.when_stored().result(30)
    for held in (False, True):
        with pytest.raises(ValidationError, match=r"outbox is full.*max_events"):
            record(outbox, "ben", "b", "a", held=held)

    assert outbox.counts()["a"].recorded == 1
    assert "b" not in outbox.counts()


def test_an_event_for_no_destination_is_not_stored(any_store: EventStore, make_outbox: MakeOutbox) -> None:
    outbox = make_outbox(any_store)
    outbox.deliver({}, lambda claims: None)
    outbox.record(event_of("ada"), ())
    outbox.when_stored().result(30)

    assert outbox.counts() == {}
    assert len(any_store.read(StoreQuery()).entries) == 0
    assert outbox.flush(30.0) == 0


def test_a_browser_id_that_no_call_waits_for_any_more_is_left_to_others(make_outbox: MakeOutbox) -> None:
    """Row "browser IDs by issuer": put back."""
    store = FaultyStore()
    outbox = make_outbox(store)
    outbox.ask(BrowserIdExchange("issuer", ("1", "2"))).result(30)
    store.gate.clear()
    given_up = outbox.ask(BrowserIdExchange("issuer", wanted=1))
    assert given_up.cancel()
    store.gate.set()
    outbox.when_stored().result(30)

    taken: list[str] = []

    def are_all_taken() -> bool:
        taken.extend(outbox.ask(BrowserIdExchange("issuer", wanted=5)).result(30))
        return sorted(taken) == ["1", "2"]

    eventually(are_all_taken)


def test_browser_ids_are_put_back_before_the_outbox_is_closed(make_sqlite: MakeSqlite, make_outbox: MakeOutbox) -> None:
    outbox = make_outbox(make_sqlite())
    outbox.ask(BrowserIdExchange("issuer", ("1",)))
    assert outbox.close(30.0) == 0

    assert Process(make_sqlite()).ask(BrowserIdExchange("issuer", wanted=5)) == ["1"]


def test_nothing_is_made_and_begun_before_something_is_recorded(
    make_sqlite: MakeSqlite, make_outbox: MakeOutbox, directory: Path
) -> None:
    before = set(threading.enumerate())
    outbox = make_outbox(make_sqlite())

    assert outbox.unstored == 0
    assert set(threading.enumerate()) <= before
    assert not directory.exists()


# A store in trouble.


def test_the_order_is_kept_over_trouble(any_store: EventStore, make_outbox: MakeOutbox) -> None:
    """Decisions "trouble" and "order": what comes goes behind what waits in the buffer."""
    store = FaultyStore(any_store)
    outbox = make_outbox(store)
    deliverer = Deliverer(outbox)
    recorded = [record(outbox)[0].id]
    for reason in ("locked", "disk full", "away"):
        store.fails = StorageError(reason)
        recorded += [record(outbox)[0].id for _ in range(3)]
        eventually(lambda reason=reason: outbox.state == reason)  # type: ignore[misc]
        recorded.append(record(outbox)[0].id)
        store.fails = None
        recorded.append(record(outbox)[0].id)
        eventually(lambda: outbox.state == "ok")

    eventually(lambda: len(deliverer.ids) == len(recorded))
    assert deliverer.ids == recorded


def test_an_error_of_the_store_itself_is_trouble_and_ends_nothing(
    make_outbox: MakeOutbox, caplog: pytest.LogCaptureFixture
) -> None:
    store = FaultyStore()
    outbox = make_outbox(store)
    exchange, is_broken = store.inner.exchange, threading.Event()
    is_broken.set()

    def fail(batch: ExchangeBatch) -> ExchangeResult:
        if is_broken.is_set():
            raise ZeroDivisionError
        return exchange(batch)

    store.inner.exchange = fail  # type: ignore[method-assign]
    record(outbox)
    eventually(lambda: outbox.state == "internal error")
    is_broken.clear()
    outbox.when_stored().result(30)
    eventually(lambda: outbox.state == "ok")
    assert outbox.counts()["a"].waiting == 1
    assert "internal error in the outbox's store; will retry" in caplog.text


def test_requests_are_bounded_while_the_store_is_away(make_outbox: MakeOutbox) -> None:
    """Decision "trouble": the buffer is bounded; who is to be erased is remembered all the same."""
    store = FaultyStore()
    outbox = make_outbox(store, buffer_bytes=10_000)
    store.fails = StorageError("away")
    record(outbox)
    eventually(lambda: outbox.state == "away")
    asked = [outbox.ask(StoreCommand("release", f"visitor {number}")) for number in range(1_000)]
    asked += [outbox.ask(BrowserLink("visit", f"visit {number}", "id")) for number in range(1_000)]
    purge = outbox.ask(StoreCommand("purge_visitor", "ada"))
    assert outbox.unstored < 200

    store.fails = None
    assert purge.result(30) == 1
    assert all(each.done() for each in asked)
    assert outbox.counts()["a"].dropped == {"purged": 1}


def test_flush_and_close_wait_no_longer_than_they_may(make_outbox: MakeOutbox) -> None:
    store = FaultyStore()
    outbox = make_outbox(store)
    store.gate.clear()
    record(outbox)
    eventually(lambda: store.is_entered)
    begun = time.monotonic()
    assert outbox.flush(0.05) == 1
    assert outbox.close(0.05) == 1
    assert time.monotonic() - begun < 5.0
    store.gate.set()
    outbox.when_stored().result(30)
    assert outbox.unstored == 0


def test_who_does_not_wait_leaves_nothing_behind(make_outbox: MakeOutbox) -> None:
    """Requests whose store takes long give up; the futures that they leave are forgotten."""
    store = FaultyStore()
    outbox = make_outbox(store)
    store.gate.clear()
    record(outbox)
    waits = [outbox.when_stored() for _ in range(2_000)]
    assert all(wait.cancel() for wait in waits)
    left = [weakref.ref(wait) for wait in waits]
    waits.clear()
    store.gate.set()
    outbox.when_stored().result(30)
    gc.collect()
    eventually(lambda: not any(each() for each in left))


def test_a_flush_knows_what_another_process_has_delivered(make_sqlite: MakeSqlite, make_outbox: MakeOutbox) -> None:
    """Decision "who waits for what": flush returns how many of this process's events are not settled."""
    ours, theirs = make_outbox(make_sqlite()), make_outbox(make_sqlite())
    Deliverer(ours, "b")
    Deliverer(theirs, "a")
    record(ours, "ada", "a", "b")
    eventually(lambda: "a" in theirs.counts() and theirs.counts()["a"].delivered == 1)

    assert ours.flush(30.0) == 0


# Writers.


@pytest.mark.parametrize("days", [0.5, 3.0])
def test_a_process_that_rested_for_days_stores_nothing_twice(
    make_outbox: MakeOutbox, caplog: pytest.LogCaptureFixture, make_sqlite: MakeSqlite, days: float
) -> None:
    """What must be survived: a writer back after two days; only the last 2 s are sent again after a gap."""
    now = [1_000.0]
    store = make_sqlite(clock=lambda: now[0])
    outbox = make_outbox(store, clock=lambda: now[0])
    record(outbox)
    outbox.when_stored().result(30)
    stranger = Process(make_sqlite(clock=lambda: now[0]))
    stranger.deliver_all()
    now[0] += days * 86_400
    stranger = Process(make_sqlite(clock=lambda: now[0]))
    stranger.put("ben")
    record(outbox)
    outbox.when_stored().result(30)
    now[0] += 10.0
    record(outbox)
    outbox.when_stored().result(30)

    assert stranger.counts().recorded == 4
    assert not [each for each in caplog.records if each.levelname == "ERROR"]


# Threads.


def test_where_no_thread_can_be_started_who_waits_stores_the_events(
    make_outbox: MakeOutbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    outbox = make_outbox(FaultyStore())
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", _cannot_start)
        recorded = [record(outbox) for _ in range(100)]
        assert outbox.unstored == 100
        assert outbox.wait_stored(recorded[-1][2], None)
        assert all(listener.heard == ["stored"] for _, listener, _ in recorded)
    listener = record(outbox)[1]
    eventually(lambda: listener.heard == ["stored"])


@pytest.mark.parametrize("how", ["flush", "close"])
def test_where_no_thread_can_be_started_flush_and_close_store_the_events(
    make_outbox: MakeOutbox, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """Since Python 3.12 no thread can be started while the interpreter ends."""
    outbox = make_outbox(FaultyStore())
    monkeypatch.setattr(threading.Thread, "start", _cannot_start)
    record(outbox)
    left = outbox.flush(1.0) if how == "flush" else outbox.close(1.0)
    monkeypatch.undo()

    assert left == 0


def _cannot_start(thread: threading.Thread) -> None:
    raise RuntimeError("can't start new thread")


def test_threads_record_hold_and_release_while_others_deliver(any_store: EventStore, make_outbox: MakeOutbox) -> None:
    """Nothing is lost, doubled or out of order, and no two events of a visitor are sent at a time."""
    outbox = make_outbox(any_store)
    lock, in_flight, delivered = threading.Lock(), set[str](), dict[str, list[str]]()
    claimed: list[Sequence[ClaimedEvent]] = []

    def deliver() -> None:
        while not done.is_set():
            with lock:
                claims = claimed.pop() if claimed else ()
                assert in_flight.isdisjoint(claim.visitor for claim in claims)
                in_flight.update(claim.visitor for claim in claims)
            for claim in claims:
                with lock:
                    delivered.setdefault(claim.visitor, []).append(claim.event_id)
                    in_flight.discard(claim.visitor)
                outbox.settle(claim, "delivered")
            done.wait(0.001)

    done = threading.Event()
    deliverers = [threading.Thread(target=deliver) for _ in range(2)]
    outbox.deliver({"a": DeliveryWish(20)}, claimed.append)

    def write(writer: int) -> None:
        for number in range(100):
            visitor = f"visitor {writer}"
            outbox.record(event_of(visitor, id=f"{writer}:{number}"), ("a",), held=number % 10 == 3)
            if number % 10 == 3:
                outbox.ask(StoreCommand("release", visitor))

    writers = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in [*deliverers, *writers]:
        thread.start()
    for thread in writers:
        thread.join()
    eventually(lambda: outbox.counts().get("a") is not None and outbox.counts()["a"].delivered == 400)
    done.set()
    for thread in deliverers:
        thread.join()
    assert delivered == {f"visitor {writer}": [f"{writer}:{n}" for n in range(100)] for writer in range(4)}


# Forks.


def test_a_forked_child_begins_with_an_empty_outbox(make_outbox: MakeOutbox) -> None:
    """Decision "writer": a child is another writer; what waits, in memory too, is its parent's."""
    outbox = make_outbox(MemoryStore())
    record(outbox, "ada", "a", "b")
    record(outbox, held=True)
    outbox.when_stored().result(30)
    outbox.reset_after_fork()

    assert outbox.counts() == {}
    assert outbox.ask(StoreCommand("release", "ada")).result(30) == 0
    record(outbox)
    assert outbox.counts()["a"].recorded == 1
