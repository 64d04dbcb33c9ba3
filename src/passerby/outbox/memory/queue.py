"""The queue in memory: partitions, their heads, and what is held or dead."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import replace
from heapq import heapify, heappop, heappush

from ...values.outcome import Dead, Delivered, Dropped, Outcome
from ..codec import version_of
from ..contract import (
    EXPIRED,
    FULL,
    LOST_ALONE,
    LOST_BEFORE_ALONE,
    POISON,
    PURGED,
    ClaimedEvent,
    ClaimRequest,
    ExchangeResult,
    LeaseExtension,
    Quotas,
    RecordedEvent,
    Settlement,
    StoreCommand,
)
from ..counts import DestinationCounts
from ..service import ServiceState
from .entry import MemoryEntry

_SKIPPED = 50  # heads that are looked at beyond the limit of a claim


class MemoryQueue:
    """All entries of a store in memory.

    Args:
        quotas: how much is kept.
        clock: the store's clock.
        is_marked: whether an entry's visitor or user was purged since it was recorded.

    Attributes:
        entries: all that waits or is held, the oldest first.
        held: by visitor.
        dead: dead letters by destination.
        counts: by destination.
        bytes: of the payloads of what waits or is held.
        watched: until when an event is watched, and its outcomes.
    """

    def __init__(self, quotas: Quotas, clock: Callable[[], float], is_marked: Callable[[MemoryEntry], bool]) -> None:
        self._quotas = quotas
        self._clock = clock
        self._is_marked = is_marked
        self._seq = 0
        self.bytes: int = 0
        self.entries: dict[int, MemoryEntry] = {}
        self.held: dict[str, dict[int, MemoryEntry]] = {}
        self.dead: dict[str, dict[int, MemoryEntry]] = {}
        self.counts: dict[str, DestinationCounts] = {}
        self.watched: dict[str, tuple[float, dict[str, Outcome]]] = {}
        self._partitions: dict[tuple[str, str], deque[MemoryEntry]] = {}
        self._heads: dict[str, list[tuple[float, int]]] = {}
        self._users: dict[str, set[int]] = {}
        self._services: dict[str, ServiceState] = {}

    def record(
        self, event: RecordedEvent, visitor: str, browser_id: str | None, since: float, result: ExchangeResult
    ) -> None:
        """Record an event in a visitor's partition, or drop it if there is no room."""
        has_room = self._make_room(event, visitor, result)
        for name in event.destinations:
            if not has_room:
                self.refuse(event, name, FULL, result)
                continue
            self._seq += 1
            entry = MemoryEntry(self._seq, event, name, visitor, browser_id, since)
            self.counts_of(name).record(entry.state, unlinked=not event.is_linked)
            self._add(entry)
            if entry.state == "held":
                self.held.setdefault(visitor, {})[entry.seq] = entry
            else:
                self._append(entry)

    def refuse(self, event: RecordedEvent, name: str, reason: str, result: ExchangeResult) -> None:
        """Count an event that is not kept."""
        self.counts_of(name).drop(None, reason)
        result.dropped.append((event.event_id, name, reason))

    def _add(self, entry: MemoryEntry) -> None:
        self.entries[entry.seq] = entry
        self.bytes += entry.share
        if entry.event.user_id is not None:
            self._users.setdefault(entry.event.user_id, set()).add(entry.seq)

    @property
    def room(self) -> int:
        """How many more entries are taken."""
        return 0 if self.bytes >= self._quotas.max_bytes else self._quotas.max_events - len(self.entries)

    def _make_room(self, event: RecordedEvent, visitor: str, result: ExchangeResult) -> bool:
        """Make room for an event. Returns whether there is any."""
        quotas, number, size = self._quotas, len(event.destinations), len(event.payload)
        held = {entry.event.event_id for entry in self.held.get(visitor, {}).values()} if event.held else ()
        if len(held) >= quotas.max_held or number > quotas.max_events or size > quotas.max_bytes:
            return False

        def fits() -> bool:
            return len(self.entries) + number <= quotas.max_events and self.bytes + size <= quotas.max_bytes

        while quotas.when_full == "drop_oldest" and not fits():
            oldest = next((entry for entry in self.entries.values() if not entry.is_claimed), None)
            if oldest is None:
                break
            self.drop(oldest, FULL, result)
        return fits()

    def _append(self, entry: MemoryEntry) -> None:
        partition = self._partitions.setdefault((entry.destination, entry.visitor), deque())
        partition.append(entry)
        if len(partition) == 1:
            self._push(entry)

    def _push(self, entry: MemoryEntry) -> None:
        """Let the head of a partition be found when it is due."""
        heads = self._heads.setdefault(entry.destination, [])
        heappush(heads, (entry.ready, entry.seq))
        if len(heads) > 1000 + 2 * len(self.entries):
            heads[:] = {head for head in heads if self._find_head(*head) is not None}
            heapify(heads)

    def _find_head(self, ready: float, seq: int) -> MemoryEntry | None:
        """Return the entry of an item of the heap, if the item still holds."""
        entry = self.entries.get(seq)
        if entry is None or entry.ready != ready or entry.state != "waiting":
            return None
        partition = self._partitions.get((entry.destination, entry.visitor))
        return entry if partition and partition[0] is entry else None

    # Claims and outcomes.

    def claim(self, request: ClaimRequest, token: str, result: ExchangeResult, now: float) -> None:
        """Claim what a request wants and the service takes."""
        heads = self._heads.get(request.destination, [])
        service = self.service_of(request.destination)
        limit = service.allowed(request.limit, now)
        skipped: list[tuple[float, int]] = []
        claimed: list[ClaimedEvent] = []
        while heads and heads[0][0] <= now and len(claimed) < limit and len(skipped) < _SKIPPED:
            item = heappop(heads)
            entry = self._find_head(*item)
            if entry is None:
                continue
            lost = entry.lose()
            if entry.is_withdrawn:
                self.drop(entry, PURGED, result)
            elif lost >= LOST_BEFORE_ALONE + LOST_ALONE:
                self._kill(entry, POISON, result, now)
            elif version_of(entry.event.payload) not in request.codecs:
                skipped.append(item)
            elif lost >= LOST_BEFORE_ALONE:
                if request.takes_alone and not claimed and not result.claimed:
                    claimed.append(entry.claim(token, now + request.lease, now))
                    self._push(entry)
                    break
                skipped.append(item)
            else:
                partition = self._partitions[entry.destination, entry.visitor]
                for number in range(min(request.run, limit - len(claimed), len(partition))):
                    follower = partition[number]
                    if number and (follower.ready > now or follower.lost or follower.is_withdrawn):
                        break
                    claimed.append(follower.claim(token, now + request.lease, now))
                self._push(entry)
        for item in skipped:
            heappush(heads, item)
        if claimed:
            service.claimed(len(claimed), request.lease, now)
            result.claimed += claimed

    def settle(self, outcome: Settlement, result: ExchangeResult, now: float) -> None:
        """Apply an outcome."""
        claim, kind = outcome.claim, outcome.kind
        entry = self.entries.get(claim.key)
        if entry is None or (entry.token != claim.token and kind != "delivered"):
            result.late += 1
        elif kind == "delivered":
            self._note(entry, Delivered(outcome.response))
            self.counts_of(entry.destination).move("waiting", "delivered")
            self._remove(entry, now)
        elif entry.is_withdrawn:
            self.drop(entry, PURGED, result)
        elif kind == "dead":
            self._kill(entry, outcome.reason or "unknown", result, now)
        elif self._is_marked(entry):
            self.drop(entry, PURGED, result)
        else:
            entry.give_back(now + outcome.after, outcome.reason, attempts=kind == "unsent")
            if self._partitions[entry.destination, entry.visitor][0] is entry:
                self._push(entry)

    def extend(self, extension: LeaseExtension, now: float) -> None:
        """Extend the leases of claims."""
        for claim in extension.claims:
            entry = self.entries.get(claim.key)
            if entry is not None and entry.token == claim.token:
                entry.extend(now + extension.lease)
                self._push(entry)

    def _kill(self, entry: MemoryEntry, reason: str, result: ExchangeResult, now: float) -> None:
        self._note(entry, Dead(reason))
        self._remove(entry, now)
        self.counts_of(entry.destination).move("waiting", "dead")
        entry.kill(reason, now)
        letters = self.dead.setdefault(entry.destination, {})
        letters[entry.seq] = entry
        while len(letters) > self._quotas.max_dead:
            self.drop(next(iter(letters.values())), FULL, result)

    def drop(self, entry: MemoryEntry, reason: str, result: ExchangeResult) -> None:
        """Drop and count an entry."""
        self.counts_of(entry.destination).drop(entry.state, reason)
        self._note(entry, Dropped(reason))
        result.dropped.append((entry.event.event_id, entry.destination, reason))
        if entry.state == "dead":
            del self.dead[entry.destination][entry.seq]
        else:
            self._remove(entry, self._clock())

    def _remove(self, entry: MemoryEntry, now: float) -> None:
        """Forget what waits or is held; the next of its partition becomes the head."""
        del self.entries[entry.seq]
        self.bytes -= entry.share
        user = entry.event.user_id
        if user is not None:
            self._users[user].discard(entry.seq)
            if not self._users[user]:
                del self._users[user]
        if entry.state == "held":
            self._forget_held(entry)
            return
        key = entry.destination, entry.visitor
        partition = self._partitions[key]
        was_head = partition[0] is entry
        partition.remove(entry)
        if not partition:
            del self._partitions[key]
        elif was_head:
            partition[0].extend(max(partition[0].ready, now))
            self._push(partition[0])

    def _forget_held(self, entry: MemoryEntry) -> None:
        queue = self.held[entry.visitor]
        del queue[entry.seq]
        if not queue:
            del self.held[entry.visitor]

    def send_now(self, now: float) -> int:
        """Make due what waits for a later attempt. Returns the number of partitions."""
        heads = (partition[0] for partition in self._partitions.values())
        later = [entry for entry in heads if entry.ready > now and not entry.is_claimed]
        for entry in later:
            entry.extend(now)
            self._push(entry)
        return len(later)

    def letters(self, command: StoreCommand) -> list[MemoryEntry]:
        """Return the dead letters that a command concerns."""
        names = list(self.dead) if command.destination is None else [command.destination]
        found = (entry for name in names for entry in self.dead.get(name, {}).values())
        return [entry for entry in found if command.event_id in (None, entry.event.event_id)]

    def retry_dead(self, entry: MemoryEntry, now: float) -> int:
        """Let a dead letter wait again. Returns 1."""
        del self.dead[entry.destination][entry.seq]
        self.counts_of(entry.destination).move("dead", "waiting")
        entry.restart(now, afresh=True)
        self._add(entry)
        self._append(entry)
        return 1

    def expire(self, now: float, result: ExchangeResult) -> None:
        """Drop held events and dead letters that are too old."""
        held = (entry for queue in self.held.values() for entry in queue.values())
        dead = (entry for letters in self.dead.values() for entry in letters.values())
        old = [entry for entry in held if entry.since < now - self._quotas.held_age]
        for entry in [*old, *(entry for entry in dead if entry.ready < now - self._quotas.dead_letter_age)]:
            self.drop(entry, EXPIRED, result)

    def _note(self, entry: MemoryEntry, outcome: Outcome) -> None:
        if entry.event.event_id in self.watched:
            self.watched[entry.event.event_id][1][entry.destination] = outcome

    def counts_of(self, name: str) -> DestinationCounts:
        """Return the counts of a destination."""
        return self.counts.setdefault(name, DestinationCounts())

    def service_of(self, name: str) -> ServiceState:
        """Return the state of a destination's service."""
        return self._services.setdefault(name, ServiceState())

    def describe(self, name: str, now: float) -> DestinationCounts:
        """Return a copy of the counts of a destination, with what holds now."""
        heads, service = self._heads.get(name, []), self.service_of(name)
        while heads and self._find_head(*heads[0]) is None:
            heappop(heads)
        due = max(heads[0][0], service.next_call(now)) - now if heads else None
        first = self.entries[heads[0][1]] if heads else None
        counts = self.counts_of(name)
        return replace(
            counts,
            dropped=dict(counts.dropped),
            breaker=service.breaker(now),
            not_before=max(0.0, service.not_before - now),
            next_due=due,
            is_next_claimed=first is not None and first.is_claimed,
            suspects=first is not None and first.lost >= LOST_BEFORE_ALONE,
        )

    def move(self, visit: str, browser_id: str) -> None:
        """Move the entries of a visit to its browser: before what waits there, behind what is claimed."""
        held = {**self.held.pop(visit, {}), **self.held.get(browser_id, {})}
        if held:
            self.held[browser_id] = dict(sorted(held.items()))
        for entry in held.values():
            entry.link(browser_id)
        for name in self.counts:
            own = self._partitions.get((name, browser_id), deque())
            moved = self._partitions.pop((name, visit), deque())
            claimed = [entry for entry in [*own, *moved] if entry.is_claimed]
            waiting = [entry for entry in [*moved, *own] if not entry.is_claimed]
            for entry in moved:
                entry.link(browser_id)
            if moved:
                self._partitions[name, browser_id] = partition = deque([*claimed, *waiting])
                self._push(partition[0])

    def release(self, visitor: str, now: float) -> int:
        """Let what is held for a visitor wait. Returns the number of events."""
        released = list(self.held.get(visitor, {}).values())
        for entry in released:
            self._forget_held(entry)
            self.counts_of(entry.destination).move("held", "waiting")
            entry.restart(now, afresh=False)
            self._append(entry)
        return len({entry.event.event_id for entry in released})

    def of_person(self, who: str, visitor: str, links: Mapping[tuple[str, str], str]) -> list[MemoryEntry]:
        """Return all entries of a visitor or user; `links` are those of visits."""
        found = [entry for name in self.counts for entry in self._partitions.get((name, visitor), ())]
        found += [*self.held.get(visitor, {}).values(), *(self.entries[seq] for seq in self._users.get(who, ()))]
        for letters in self.dead.values():
            for entry in letters.values():
                owner = links.get(("visit", entry.visitor), entry.visitor)
                if visitor == owner or who == entry.event.user_id:
                    found.append(entry)
        return list({entry.seq: entry for entry in found}.values())
