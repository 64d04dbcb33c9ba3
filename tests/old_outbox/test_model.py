"""Every outbox beside a model so simple that it is plainly right, through whatever hypothesis thinks of."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from passerby.old_outbox import Outbox
from passerby.values.outcome import Dead, Delivered, Dropped, Outcome

from .told import MakeOutbox, event_of, flush

DESTINATIONS = ("a", "b")
VISITORS = ("ada", "ben", "visit:1", "visit:2")
USERS = ("user 1", "user 2")
MAX_EVENTS = 12

users = st.sampled_from([None, None, *USERS])
visitors = st.sampled_from(VISITORS)
some_destinations = st.lists(st.sampled_from(DESTINATIONS), min_size=1, max_size=2, unique=True)


@dataclass
class Waiting:
    """An event of the model at one destination."""

    id: str
    visitor: str
    user: str | None
    place: int  # in the order on disk
    due: float = 0.0
    entry: Any = None  # what the outbox handed out, while it is acquired
    attempts: int = 0
    is_unlinked: bool = False
    is_purged: bool = False  # it is being sent, and not kept if that fails


@dataclass
class Shelf:
    """What the model knows of one destination."""

    lanes: dict[str, list[Waiting]] = field(default_factory=lambda: defaultdict(list))
    held: dict[str, list[Waiting]] = field(default_factory=lambda: defaultdict(list))
    dead: list[Waiting] = field(default_factory=list)
    delivered: int = 0
    enqueued: int = 0
    unlinked: int = 0
    dropped: dict[str, int] = field(default_factory=dict)

    @property
    def waiting(self) -> int:
        return sum(map(len, self.lanes.values()))

    @property
    def holding(self) -> int:
        return sum(map(len, self.held.values()))

    def drop(self, reason: str, number: int = 1) -> None:
        if number:
            self.dropped[reason] = self.dropped.get(reason, 0) + number

    def available(self, now: float) -> dict[str, Waiting]:
        firsts = {visitor: lane[0] for visitor, lane in self.lanes.items() if lane}
        return {visitor: one for visitor, one in firsts.items() if one.entry is None and one.due <= now}

    def forget_process(self) -> None:
        """A new process counts what it finds, and has acquired nothing."""
        self.delivered, self.dropped = 0, {}
        for visitor, lane in self.lanes.items():
            self.drop("purged", sum(one.is_purged for one in lane))
            self.lanes[visitor] = [one for one in lane if not one.is_purged]
            for one in lane:
                one.entry = None
        self.count_anew()

    def count_anew(self) -> None:
        """Count what a new process finds; it has delivered nothing."""
        found = [one for lanes in (self.lanes, self.held) for lane in lanes.values() for one in lane] + self.dead
        self.enqueued = len(found) + sum(self.dropped.values())
        self.unlinked = sum(one.is_unlinked for one in found)

    def acquired(self) -> list[tuple[str, Waiting]]:
        return [(visitor, lane[0]) for visitor, lane in self.lanes.items() if lane and lane[0].entry is not None]


class Ledger:
    """An observer that adds what it hears to what all have heard."""

    def __init__(self, event_id: str, heard: dict[tuple[str, str], list[Outcome]], stored: set[str]) -> None:
        self._event_id = event_id
        self._heard = heard
        self._stored = stored

    def on_stored(self) -> None:
        self._stored.add(self._event_id)

    def on_settled(self, destination: str, outcome: Outcome) -> None:
        self._heard.setdefault((self._event_id, destination), []).append(outcome)


class OutboxAndModel(RuleBasedStateMachine):
    """What may happen to an outbox."""

    def __init__(self, outbox: Outbox) -> None:
        super().__init__()
        self.outbox = outbox
        self.shelves = {name: Shelf() for name in DESTINATIONS}
        self.links: dict[str, str] = {}
        self.now = 0.0
        self.serial = 0
        self.last_place = 0
        self.generation = 0
        self.heard: dict[tuple[str, str], list[Outcome]] = {}
        self.expected: dict[tuple[str, str], list[Outcome]] = {}
        self.stored: set[str] = set()
        self.ledgers: list[Ledger] = []
        self.expected_stored: set[str] = set()

    @rule(visitor=visitors, names=some_destinations, held=st.booleans(), user=users)
    def tell(self, visitor: str, names: list[str], held: bool, user: str | None) -> None:
        visitor = self.name_of(visitor)
        self.serial += 1
        event_id = f"event {self.serial}"
        browser_id = None if visitor.startswith("visit:") else visitor
        event = event_of(visitor, browser_id=browser_id, id=event_id)._replace(user_id=user)
        record = self.outbox.hold if held else self.outbox.put
        ledger = Ledger(event_id, self.heard, self.stored)
        self.ledgers.append(ledger)  # of an event on disk nobody hears who is not kept alive
        record(event, names, ledger, self.now)

        for name in names:
            shelf = self.shelves[name]
            shelf.enqueued += 1
            if (shelf.holding if held else shelf.waiting) >= MAX_EVENTS:
                shelf.drop("full")
                self.expect(event_id, name, Dropped("full"))
                continue
            self.expected_stored.add(event_id)
            shelf.unlinked += browser_id is None
            one = Waiting(event_id, visitor, user, self.new_place(), is_unlinked=browser_id is None)
            (shelf.held if held else shelf.lanes)[visitor].append(one)

    @rule(visitor=visitors)
    def release(self, visitor: str) -> None:
        visitor = self.name_of(visitor)
        assert self.outbox.release(visitor) == self.model_release(visitor)

    def model_release(self, visitor: str) -> int:
        self.tick()
        numbers = [len(shelf.held[visitor]) for shelf in self.shelves.values()]
        for shelf in self.shelves.values():
            for one in shelf.held[visitor]:
                self.move_behind(one)
            shelf.lanes[visitor] += shelf.held[visitor]
            shelf.held[visitor] = []
        return max(numbers)

    @rule(visitor=visitors)
    def clear(self, visitor: str) -> None:
        visitor = self.name_of(visitor)
        assert self.outbox.clear(visitor) == self.model_clear(visitor)

    def model_clear(self, visitor: str) -> int:
        self.tick()
        numbers = [len(shelf.held[visitor]) for shelf in self.shelves.values()]
        for name, shelf in self.shelves.items():
            self.lose(name, shelf.held[visitor], "cleared")
            shelf.held[visitor] = []
        return max(numbers)

    @rule(data=st.data())
    def purge_visitor(self, data: st.DataObject) -> None:
        who = self.draw_person(data)
        assert self.outbox.purge_visitor(who).result(30) == self.model_purge_visitor(who)

    def draw_person(self, data: st.DataObject) -> str:
        known = [*map(self.name_of, VISITORS), *USERS, *self.links.values()]
        return str(data.draw(st.sampled_from(known), "who"))

    def model_purge_visitor(self, who: str) -> int:
        self.tick()
        number = 0
        for name, shelf in self.shelves.items():
            for lanes in (shelf.lanes, shelf.held):
                for visitor, lane in lanes.items():
                    meant = [one for one in lane if self.is_about(one, who)]
                    for one in meant:
                        one.is_purged = one.entry is not None
                    gone = [one for one in meant if not one.is_purged]
                    lanes[visitor] = [one for one in lane if one not in gone]
                    number += self.lose(name, gone, "purged")
            gone = [one for one in shelf.dead if self.is_about(one, who)]
            shelf.dead = [one for one in shelf.dead if one not in gone]
            number += self.lose(name, gone, "purged")
        return number

    def is_about(self, one: Waiting, who: str) -> bool:
        return who in (one.visitor, one.user, self.links.get(one.visitor))

    @rule(name=st.sampled_from([None, *DESTINATIONS]), data=st.data(), is_purge=st.booleans())
    def retry_or_purge_dead(self, name: str | None, data: st.DataObject, is_purge: bool) -> None:
        event_id = self.draw_dead(data)
        if is_purge:
            assert self.outbox.purge_dead(name, event_id).result(30) == self.model_purge_dead(name, event_id)
        else:
            assert self.outbox.retry_dead(self.now, name, event_id).result(30) == self.model_retry_dead(name, event_id)

    def draw_dead(self, data: st.DataObject) -> str | None:
        known = [None, *(one.id for shelf in self.shelves.values() for one in shelf.dead)]
        found: str | None = data.draw(st.sampled_from(known), "event ID")
        return found

    def model_purge_dead(self, name: str | None, event_id: str | None) -> int:
        self.tick()
        return sum(self.lose(each, ones, "purged") for each, ones in self.take_dead(name, event_id))

    def model_retry_dead(self, name: str | None, event_id: str | None) -> int:
        number = 0
        for each, ones in self.take_dead(name, event_id):
            for one in ones:
                one.due, one.attempts = 0.0, 0
                self.move_behind(one)
                self.shelves[each].lanes[one.visitor].append(one)
            number += len(ones)
        self.tick()
        return number

    def take_dead(self, name: str | None, event_id: str | None) -> list[tuple[str, list[Waiting]]]:
        taken: list[tuple[str, list[Waiting]]] = []
        for each, shelf in self.shelves.items():
            if name in (None, each):
                taken.append((each, [one for one in shelf.dead if event_id in (None, one.id)]))
                shelf.dead = [one for one in shelf.dead if event_id not in (None, one.id)]
        return taken

    @rule()
    def send_now(self) -> None:
        self.outbox.send_now().result(30)
        self.model_send_now()

    def model_send_now(self) -> None:
        self.tick()
        for shelf in self.shelves.values():
            for lane in shelf.lanes.values():
                for one in lane:
                    one.due = 0.0

    @rule(names=some_destinations, reason=st.sampled_from(["gpc", "bot"]))
    def drop(self, names: list[str], reason: str) -> None:
        self.outbox.drop(names, reason)
        for name in names:
            self.shelves[name].enqueued += 1
            self.shelves[name].drop(reason)

    @rule(name=st.sampled_from(DESTINATIONS), limit=st.integers(1, 5))
    def acquire(self, name: str, limit: int) -> None:
        available = self.shelves[name].available(self.now)
        entries = self.outbox.acquire(name, limit, self.now)

        assert len(entries) == min(limit, len(available)), "nobody is held up by another visitor"
        assert len({entry.event.visitor for entry in entries}) == len(entries)
        for entry in entries:
            visitor = entry.event.visitor
            one = available[visitor]
            one.entry = entry
            one.attempts += 1
            assert (entry.event.id, entry.attempts) == (one.id, one.attempts)
            expected_id = self.links.get(visitor) if visitor.startswith("visit:") else visitor
            assert entry.event.browser_id == expected_id

    @precondition(lambda self: any(shelf.acquired() for shelf in self.shelves.values()))
    @rule(data=st.data(), how=st.sampled_from(["delivered", "dead", "retry", "retry"]), wait=st.integers(0, 20))
    def settle(self, data: st.DataObject, how: str, wait: int) -> None:
        acquired = [(name, *pair) for name, shelf in self.shelves.items() for pair in shelf.acquired()]
        name, visitor, one = data.draw(st.sampled_from(acquired))
        shelf, entry = self.shelves[name], one.entry
        if one.is_purged and how != "delivered":
            shelf.lanes[visitor].pop(0)
            self.lose(name, [one], "purged")
            if how == "dead":
                self.outbox.settle_dead(entry, "no")
            else:
                self.outbox.settle_retry(entry, self.now + wait)
            return
        if how == "retry":
            self.outbox.settle_retry(entry, self.now + wait)
            one.entry, one.due = None, self.now + wait
            return
        shelf.lanes[visitor].pop(0)
        if how == "dead":
            self.outbox.settle_dead(entry, "no")
            shelf.dead.append(one)
            one.entry, one.place = None, self.new_place()
            self.expect(one.id, name, Dead("no"))
        else:
            self.outbox.settle_delivered(entry, {"ref": one.id})
            shelf.delivered += 1
            self.expect(one.id, name, Delivered({"ref": one.id}))

    @rule(visitor=st.sampled_from(VISITORS[2:]))
    def link(self, visitor: str) -> None:
        visitor = self.name_of(visitor)
        self.serial += 1
        browser_id = f"browser ID {self.serial}"
        assert self.outbox.link(visitor, browser_id) == self.links.setdefault(visitor, browser_id)

    @rule(seconds=st.integers(1, 15))
    def let_time_pass(self, seconds: int) -> None:
        self.now += seconds

    @invariant()
    def the_ledger_adds_up(self) -> None:
        for name, shelf in self.shelves.items():
            tally = self.outbox.tally(name)
            assert tally.enqueued == (
                tally.delivered + tally.waiting + tally.held + tally.dead + sum(tally.dropped.values())
            )
            assert (tally.enqueued, tally.delivered, tally.waiting, tally.held, tally.dead, tally.unlinked) == (
                shelf.enqueued,
                shelf.delivered,
                shelf.waiting,
                shelf.holding,
                len(shelf.dead),
                shelf.unlinked,
            )
            assert tally.dropped == shelf.dropped
        assert self.outbox.waiting() == sum(shelf.waiting for shelf in self.shelves.values())

    @invariant()
    def the_dead_letters_are_there(self) -> None:
        for name, shelf in self.shelves.items():
            assert [letter.event.id for letter in self.outbox.dead_letters(name)] == [one.id for one in shelf.dead]

    @invariant()
    def the_next_attempt_is_known(self) -> None:
        for name, shelf in self.shelves.items():
            later = [lane[0].due for lane in shelf.lanes.values() if lane and lane[0].due > self.now]
            due = self.outbox.next_due(name)
            assert due is None or due <= self.now or due == min(later, default=None)
            assert due is not None or not later

    @invariant()
    def observers_hear_the_truth(self) -> None:
        flush(self.outbox)
        assert self.heard == self.expected
        assert self.stored == self.expected_stored

    def teardown(self) -> None:
        """All that still waits comes in the order in which it was told."""
        for name, shelf in self.shelves.items():
            for visitor, one in shelf.acquired():
                self.outbox.settle_retry(one.entry, self.now)
                if one.is_purged:
                    shelf.lanes[visitor].pop(0)
            seen: dict[str, list[str]] = defaultdict(list)
            while entries := self.outbox.acquire(name, 100, self.now + 1000):
                for entry in entries:
                    seen[entry.event.visitor].append(entry.event.id)
                    self.outbox.settle_delivered(entry, None)
            assert seen == {visitor: [one.id for one in lane] for visitor, lane in shelf.lanes.items() if lane}

    def name_of(self, visitor: str) -> str:
        """Return a visitor's name; a visit that has no browser ID is another one after a restart."""
        return f"{visitor}.{self.generation}" if visitor.startswith("visit:") else visitor

    def new_place(self) -> int:
        self.last_place += 1
        return self.last_place

    def move_behind(self, one: Waiting) -> None:
        one.place = self.new_place()

    def tick(self) -> None:
        """What comes now does not come at the same moment as what was asked."""
        self.now += 1

    def lose(self, name: str, ones: list[Waiting], reason: str) -> int:
        self.shelves[name].drop(reason, len(ones))
        for one in ones:
            self.expect(one.id, name, Dropped(reason))
        return len(ones)

    def expect(self, event_id: str, name: str, outcome: Outcome) -> None:
        self.expected.setdefault((event_id, name), []).append(outcome)


def test_an_outbox_behaves_as_the_model_does(make_outbox: MakeOutbox) -> None:
    class WithThisOutbox(OutboxAndModel):
        def __init__(self) -> None:
            super().__init__(make_outbox(DESTINATIONS, max_events=MAX_EVENTS))

    run_state_machine_as_test(WithThisOutbox, settings=settings(max_examples=60, stateful_step_count=50, deadline=None))
