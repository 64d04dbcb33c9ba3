"""Both stores against a simple reference, in any order of calls, with crashes of processes in between."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from passerby.outbox.contract import ClaimedEvent, EventStore, SettlementKind
from passerby.outbox.memory import MemoryStore
from passerby.outbox.sqlite import SqliteStore

from .process import LEASE, Clock, Process, event_of, is_long, recorded_of

VISITORS = st.sampled_from(["ada", "ben", "visit 1", "visit 2"])
DESTINATIONS = st.sampled_from([("a",), ("b",), ("a", "b")])


@dataclass
class Waiting:
    """An event at a destination, in the reference."""

    event_id: str
    destination: str
    ready: float
    since: float
    token: str | None = None
    is_withdrawn: bool = False


class Reference:
    """What a store has to do, without files, indexes and leases in heaps."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.partitions: dict[tuple[str, str], list[Waiting]] = {}
        self.held: dict[str, list[tuple[str, tuple[str, ...]]]] = {}
        self.dead: list[tuple[str, str, str]] = []
        self.links: dict[str, str] = {}
        self.recorded: dict[str, int] = {}
        self.delivered: dict[str, int] = {}
        self.dropped: dict[str, int] = {}
        self.of: dict[str, str] = {}
        self.times: dict[str, float] = {}
        self.purged: dict[str, float] = {}

    def record(self, visitor: str, event_id: str, to: tuple[str, ...], *, held: bool) -> None:
        visitor = self.links.get(visitor, visitor)
        self.of[event_id], self.times[event_id] = visitor, self.clock.now
        for name in to:
            self.recorded[name] = self.recorded.get(name, 0) + 1
        if held:
            self.held.setdefault(visitor, []).append((event_id, to))
        else:
            self.append(visitor, event_id, to)

    def append(self, visitor: str, event_id: str, to: tuple[str, ...]) -> None:
        for name in to:
            self.partitions.setdefault((name, visitor), []).append(
                Waiting(event_id, name, self.clock.now, self.times[event_id])
            )

    def claimable(self, destination: str, run: int) -> dict[str, list[str]]:
        """Return what may be claimed, by visitor; all of it, as no limit is reached."""
        found: dict[str, list[str]] = {}
        for (name, visitor), partition in list(self.partitions.items()):
            if name == destination and partition and partition[0].ready <= self.clock.now:
                if partition[0].is_withdrawn:
                    self.drop(partition, [partition[0]])
                    continue  # what is behind it may be claimed in this exchange or in the next one
                taken = [partition[0]]
                for each in partition[1:run]:
                    if each.ready > self.clock.now or each.is_withdrawn:
                        break
                    taken.append(each)
                found[visitor] = [each.event_id for each in taken]
        return found

    def find(self, destination: str, event_id: str) -> tuple[list[Waiting], Waiting] | None:
        partition = self.partitions.get((destination, self.of[event_id]), [])
        return next(((partition, each) for each in partition if each.event_id == event_id), None)

    def drop(self, partition: list[Waiting], dropped: Iterable[Waiting]) -> None:
        for each in list(dropped):
            partition.remove(each)
            self.dropped[each.destination] = self.dropped.get(each.destination, 0) + 1

    def settle(self, claim: ClaimedEvent, kind: str, after: float) -> None:
        found = self.find(claim.destination, claim.event_id)
        if found is None or (found[1].token != claim.token and kind != "delivered"):
            return
        partition, entry = found
        if kind == "delivered":
            partition.remove(entry)
            self.delivered[claim.destination] = self.delivered.get(claim.destination, 0) + 1
        elif entry.is_withdrawn:
            self.drop(partition, [entry])
        elif kind == "dead":
            partition.remove(entry)
            self.dead.append((claim.destination, self.of[claim.event_id], claim.event_id))
        elif self.purged.get(self.of[claim.event_id], -1.0) >= entry.since:
            self.drop(partition, [entry])  # linked since to a browser that was purged
        else:
            entry.token, entry.ready = None, self.clock.now + after

    def link(self, visit: str, browser_id: str) -> None:
        if visit in self.links:
            return
        self.links[visit] = browser_id
        self.of = {event_id: browser_id if who == visit else who for event_id, who in self.of.items()}
        self.held[browser_id] = sorted(self.held.pop(visit, []) + self.held.get(browser_id, []))
        self.dead = [(name, browser_id if who == visit else who, event_id) for name, who, event_id in self.dead]
        for name in ("a", "b"):
            moved, own = self.partitions.pop((name, visit), []), self.partitions.get((name, browser_id), [])
            at = next((place for place, each in enumerate(own) if not self.is_claimed(each)), len(own))
            self.partitions[name, browser_id] = own[:at] + moved + own[at:]

    def is_claimed(self, entry: Waiting) -> bool:
        return entry.token is not None and entry.ready > self.clock.now

    def purge(self, who: str) -> None:
        visitor = self.links.get(who, who)
        visits = [visit for visit, browser_id in self.links.items() if browser_id == visitor]
        self.links = {visit: browser_id for visit, browser_id in self.links.items() if visit not in visits}
        self.purged |= dict.fromkeys((who, visitor, *visits), self.clock.now)
        for (_, each), partition in self.partitions.items():
            if each == visitor:
                self.drop(partition, [entry for entry in partition if not self.is_claimed(entry)])
                for entry in partition:
                    entry.is_withdrawn = True
        for _, to in self.held.pop(visitor, []):
            for name in to:
                self.dropped[name] = self.dropped.get(name, 0) + 1
        for name, each, event_id in list(self.dead):
            if each == visitor:
                self.dead.remove((name, each, event_id))
                self.dropped[name] = self.dropped.get(name, 0) + 1


class StoreMachine(RuleBasedStateMachine):
    """Calls a store and the reference alike."""

    def make(self) -> EventStore:
        return MemoryStore(clock=self.clock)

    def crash(self) -> None:
        """Let the process die; a store in memory has no second one."""

    @initialize()
    def begin(self) -> None:
        self.clock = Clock()
        self.process = Process(self.make())
        self.reference = Reference(self.clock)
        self.claims: list[ClaimedEvent] = []
        self.last: dict[str, Any] = {}
        self.count = 0

    def send(self, **parts: Any) -> Any:
        result = self.process.send(**parts)
        self.last = {**parts, "number": self.process.number}
        return result

    @rule(visitor=VISITORS, to=DESTINATIONS, held=st.booleans(), number=st.integers(1, 3))
    def record(self, visitor: str, to: tuple[str, ...], held: bool, number: int) -> None:
        events = []
        for _ in range(number):
            self.count += 1
            events.append(event_of(visitor, is_linked=not visitor.startswith("visit"), id=f"{self.count:06}"))
            self.reference.record(visitor, events[-1].id, to, held=held)
        self.send(recorded=[recorded_of(event, to, held=held) for event in events])

    @rule(destination=st.sampled_from(["a", "b"]), run=st.integers(1, 3))
    def claim(self, destination: str, run: int) -> None:
        withdrawn = any(each.is_withdrawn for partition in self.reference.partitions.values() for each in partition)
        expected = self.reference.claimable(destination, run)
        claims = self.process.claim(destination, run=run, takes_alone=True)
        by_visitor: dict[str, list[str]] = {}
        for claim in claims:
            assert not claim.is_alone
            by_visitor.setdefault(claim.visitor, []).append(claim.event_id)
            found = self.reference.find(destination, claim.event_id)
            assert found is not None
            found[1].token, found[1].ready = claim.token, self.clock.now + LEASE
        if not withdrawn:
            assert by_visitor == expected
        self.claims += claims

    @rule(
        kind=st.sampled_from(["delivered", "delivered", "dead", "retry", "unsent"]),
        number=st.integers(1, 4),
        after=st.sampled_from([0.0, 10.0]),
        newest=st.booleans(),
    )
    def settle(self, kind: SettlementKind, number: int, after: float, newest: bool) -> None:
        self.claims = self.claims[::-1] if newest else self.claims
        settled, self.claims = self.claims[:number], self.claims[number:]
        after = after if kind == "retry" else 0.0
        for claim in settled:
            self.reference.settle(claim, kind, after)
        self.process.settle(settled, kind, after=after)

    @rule(seconds=st.sampled_from([1.0, 10.0, LEASE + 1]))
    def wait(self, seconds: float) -> None:
        if seconds > LEASE:  # what loses its lease more than twice is claimed alone; another test has that
            self.settle("unsent", len(self.claims), 0.0, newest=False)
        self.clock.now += seconds

    @rule(who=VISITORS)
    def release(self, who: str) -> None:
        visitor = self.reference.links.get(who, who)
        released = self.reference.held.pop(visitor, [])
        for event_id, to in released:
            self.reference.append(visitor, event_id, to)
        assert self.process.command("release", who) == len(released)

    @rule(who=VISITORS)
    def purge(self, who: str) -> None:
        self.process.command("purge_visitor", who)
        self.reference.purge(who)
        self.clock.now += 0.001  # what is recorded from now on is younger than the mark

    @rule(visit=st.sampled_from(["visit 1", "visit 2"]), browser_id=st.sampled_from(["ada", "ben"]))
    def link(self, visit: str, browser_id: str) -> None:
        assert self.process.link(visit, browser_id) == self.reference.links.get(visit)
        self.reference.link(visit, browser_id)

    @rule()
    def repeat(self) -> None:
        """A batch whose reply was lost is sent again."""
        if self.last:
            before = self.process.counts("a"), self.process.counts("b")
            self.process.send(**self.last)
            assert (self.process.counts("a"), self.process.counts("b")) == before

    @rule()
    def die(self) -> None:
        self.crash()

    @invariant()
    def adds_up(self) -> None:
        for name in ("a", "b") if hasattr(self, "process") else ():
            counts, reference = self.process.counts(name), self.reference
            waiting = sum(len(partition) for (each, _), partition in reference.partitions.items() if each == name)
            held = sum(to.count(name) for queue in reference.held.values() for _, to in queue)
            dead = sum(each == name for each, _, _ in reference.dead)
            expected = (reference.recorded.get(name, 0), reference.delivered.get(name, 0), waiting, held, dead)
            assert (counts.recorded, counts.delivered, counts.waiting, counts.held, counts.dead) == expected
            assert sum(counts.dropped.values()) == reference.dropped.get(name, 0)


class SqliteMachine(StoreMachine):
    def make(self) -> EventStore:
        if not hasattr(self, "directory"):
            self.directory = tempfile.TemporaryDirectory()
        return SqliteStore(Path(self.directory.name), clock=self.clock)

    def crash(self) -> None:
        self.crashes = getattr(self, "crashes", 0) + 1
        if hasattr(self, "process") and self.crashes < 3:  # what a dead process leaves open stays open here
            self.process.store.reset_after_fork()  # nothing is closed
            self.process = Process(self.make())
            self.last = {}

    def teardown(self) -> None:
        if hasattr(self, "directory"):
            self.process.store.close()
            self.directory.cleanup()


LIMITS = settings(
    max_examples=100 if is_long() else 20,
    stateful_step_count=60 if is_long() else 30,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
TestMemory = StoreMachine.TestCase
TestMemory.settings = LIMITS
TestSqlite = SqliteMachine.TestCase
TestSqlite.settings = LIMITS
