"""The store in memory: fast, bounded, and gone with the process."""

from __future__ import annotations

import hashlib
import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from heapq import heapify, heappop, heappush
from typing import Any

from ..values.outcome import Dead, Delivered, Dropped, Outcome
from .codec import version_of
from .contract import (
    CLEARED,
    DAY,
    EXPIRE_EVERY,
    EXPIRED,
    FULL,
    LOST_ALONE,
    LOST_BEFORE_ALONE,
    MARK_AGE,
    MAX_DEAD,
    MAX_HELD,
    MAX_LINKS,
    POISON,
    PURGED,
    SUPPRESSED,
    WATCH_AGE,
    BrowserIdExchange,
    BrowserLink,
    ClaimedEvent,
    ClaimRequest,
    DestinationCounts,
    EntryState,
    ExchangeBatch,
    ExchangeResult,
    Quotas,
    RecordedEvent,
    Settlement,
    StoreCommand,
    StoredEntry,
    StorePage,
    StoreQuery,
    StoreRequest,
)
from .service import ServiceState

_SKIPPED = 50  # heads that are looked at beyond the limit of a claim


class MemoryEntry:
    """One event at one destination."""

    __slots__ = (
        *("attempts", "browser_id", "destination", "event", "is_withdrawn", "lost", "ready", "reason", "seq", "share"),
        *("since", "state", "token", "visitor"),
    )

    def __init__(
        self, seq: int, event: RecordedEvent, destination: str, visitor: str, browser_id: str | None, now: float
    ) -> None:
        self.seq = seq
        self.event = event
        self.destination = destination
        self.visitor = visitor
        self.browser_id = browser_id
        self.state: EntryState = "held" if event.held else "waiting"
        self.share: int = len(event.payload) // len(event.destinations)
        self.since = self.ready = now
        self.token: str | None = None
        self.reason: str | None = None
        self.attempts = self.lost = 0
        self.is_withdrawn = False

    def claim(self, token: str, until: float, now: float) -> ClaimedEvent:
        """Claim it until a time."""
        self.attempts += 1
        self.token, self.ready = token, until
        event = self.event
        return ClaimedEvent(
            self.destination,
            self.seq,
            token,
            event.event_id,
            self.visitor,
            self.browser_id,
            event.payload,
            self.attempts,
            now - self.since,
            self.lost >= LOST_BEFORE_ALONE,
        )

    def lose(self) -> int:
        """Note that a lease has ended without an outcome, if it is claimed. Returns how many have."""
        if self.token is not None:
            self.token = None
            self.lost += 1
        return self.lost

    def give_back(self, ready: float, reason: str | None, attempts: int = 0) -> None:
        """Let it be claimed again from a time on."""
        self.token = None
        self.ready = ready
        self.attempts -= attempts
        self.lost = 0
        self.reason = reason or self.reason

    def extend(self, until: float) -> None:
        """Claim it for longer."""
        self.ready = until

    def kill(self, reason: str, now: float) -> None:
        """Make it a dead letter."""
        self.state, self.token, self.reason, self.ready = "dead", None, reason, now

    def restart(self, now: float, *, afresh: bool) -> None:
        """Let it wait; afresh: as if it was recorded now."""
        self.state, self.ready = "waiting", now
        if afresh:
            self.attempts, self.lost, self.since = 0, 0, now

    def withdraw(self) -> None:
        """Have it dropped unless it is delivered by the call under way."""
        self.is_withdrawn = True

    def link(self, browser_id: str) -> None:
        """Move it to a browser's partition."""
        self.visitor, self.browser_id = browser_id, browser_id

    @property
    def is_claimed(self) -> bool:
        """Whether it is claimed, although its lease may have ended."""
        return self.token is not None


class MemoryStore:
    """Keeps events in memory.

    Args:
        quotas: how much it keeps.
        clock: in seconds, monotonic.
    """

    is_durable: bool = False

    def __init__(self, quotas: Quotas | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._quotas: Quotas = quotas or Quotas(max_events=100_000, max_bytes=100_000_000)
        self._clock = clock
        self.reset_after_fork()

    def reset_after_fork(self) -> None:
        """Start empty: what was waiting is the parent's to deliver."""
        self._key = os.urandom(16)
        self._seq = self._bytes = 0
        self._entries: dict[int, MemoryEntry] = {}  # all that waits or is held, the oldest first
        self._lanes: dict[tuple[str, str], deque[MemoryEntry]] = {}
        self._heads: dict[str, list[tuple[float, int]]] = {}
        self._held: dict[str, dict[int, MemoryEntry]] = {}
        self._dead: dict[str, dict[int, MemoryEntry]] = {}
        self._users: dict[str, set[int]] = {}
        self._counts: dict[str, DestinationCounts] = {}
        self._services: dict[str, ServiceState] = {}
        self._writers: dict[str, tuple[int, list[ClaimedEvent], list[Any]]] = {}
        self._links: dict[tuple[str, str], str] = {}
        self._browser_ids: dict[str, deque[str]] = {}
        self._marks: dict[tuple[str, bytes], float] = {}
        self._watched: dict[str, tuple[float, dict[str, Outcome]]] = {}
        self._deliverer: float | None = None
        self._expired = 0.0

    def close(self) -> None:
        """Do nothing: there are no files."""

    def listen(self, on_stored: Callable[[], None]) -> float:
        """Do nothing: no other process stores anything here. Returns how often to poll beside."""
        return DAY

    def exchange(self, batch: ExchangeBatch) -> ExchangeResult:
        """Apply a batch. See the contract."""
        now = self._clock()
        number, claimed, answers = self._writers.get(batch.writer, (0, [], []))
        result = ExchangeResult(number, max(number, batch.number), answers=list(answers))
        for outcome in batch.outcomes:
            self._settle(outcome, result, now)
        for extension in batch.extensions:
            for claim in extension.claims:
                entry = self._entries.get(claim.key)
                if entry is not None and entry.token == claim.token:
                    entry.extend(now + extension.lease)
                    self._push(entry)
        for report in batch.reports:
            self._service(report.destination).report(report, now, self._of(report.destination).recorded)
        if not batch.number or number < batch.number:
            self._apply(batch, result, now)
            self._writers[batch.writer] = (result.number, result.claimed, result.answers)
        else:
            still = (claim for claim in claimed if claim.key in self._entries)
            result.claimed = [claim for claim in still if self._entries[claim.key].token == claim.token]
        self._watch(batch.watched, result, now)
        names = self._counts if batch.counts else {request.destination for request in batch.wanted}
        result.counts = {name: self._count(name, now) for name in names}
        result.is_full = len(self._entries) >= self._quotas.max_events or self._bytes >= self._quotas.max_bytes
        result.deliverer_age = None if self._deliverer is None else now - self._deliverer
        return result

    def _apply(self, batch: ExchangeBatch, result: ExchangeResult, now: float) -> None:
        for event in batch.recorded:
            self._record(event, now - max(0.0, batch.at - event.at), now, result)
        for destination, reason, times in batch.dropped:
            self._of(destination).drop(None, reason, times)
        if batch.number:
            result.answers = [self._answer(request, result, now) for request in batch.requests]
        if batch.wanted and now - self._expired > EXPIRE_EVERY:
            self._expire(now, result)
        for request in batch.wanted:
            self._deliverer = now
            if not any(claim.is_alone for claim in result.claimed):
                self._claim(request, f"{batch.writer}:{batch.number}", result, now)

    # Recorded.

    def _record(self, event: RecordedEvent, since: float, now: float, result: ExchangeResult) -> None:
        linked = None if event.is_linked else self._links.get(("visit", event.visitor))
        visitor = linked or event.visitor
        mark = self._marked(visitor, event.user_id, since, now) if self._marks else None
        reason = mark or self._make_room(event, visitor, result)
        for name in event.destinations:
            counts = self._of(name)
            if reason is not None:
                counts.drop(None, reason)
                result.dropped.append((event.event_id, name, reason))
                continue
            self._seq += 1
            entry = MemoryEntry(self._seq, event, name, visitor, linked, since)
            counts.record(entry.state, unlinked=not event.is_linked)
            self._entries[entry.seq] = entry
            self._bytes += entry.share
            if event.user_id is not None:
                self._users.setdefault(event.user_id, set()).add(entry.seq)
            if entry.state == "held":
                self._held.setdefault(visitor, {})[entry.seq] = entry
            else:
                self._append(entry)

    def _make_room(self, event: RecordedEvent, visitor: str, result: ExchangeResult) -> str | None:
        """Make room for an event. Returns the reason if there is none."""
        quotas, number, size = self._quotas, len(event.destinations), len(event.payload)
        if event.held:
            queue = self._held.get(visitor, {})
            if len({entry.event.event_id for entry in queue.values()}) >= MAX_HELD:
                return FULL

        def fits() -> bool:
            return len(self._entries) + number <= quotas.max_events and self._bytes + size <= quotas.max_bytes

        if quotas.when_full == "drop_oldest":
            while not fits():
                oldest = next((entry for entry in self._entries.values() if not entry.is_claimed), None)
                if oldest is None:
                    break
                self._drop(oldest, FULL, result)
        return None if fits() else FULL

    def _append(self, entry: MemoryEntry) -> None:
        lane = self._lanes.setdefault((entry.destination, entry.visitor), deque())
        lane.append(entry)
        if len(lane) == 1:
            self._push(entry)

    def _push(self, entry: MemoryEntry) -> None:
        """Let the head of a partition be found when it is due."""
        heads = self._heads.setdefault(entry.destination, [])
        heappush(heads, (entry.ready, entry.seq))
        if len(heads) > 1000 + 2 * len(self._entries):
            heads[:] = {head for head in heads if self._find_head(*head) is not None}
            heapify(heads)

    def _find_head(self, ready: float, seq: int) -> MemoryEntry | None:
        """Return the entry of an item of the heap, if the item still holds."""
        entry = self._entries.get(seq)
        if entry is None or entry.ready != ready or entry.state != "waiting":
            return None
        lane = self._lanes.get((entry.destination, entry.visitor))
        return entry if lane and lane[0] is entry else None

    # Claims and outcomes.

    def _claim(self, request: ClaimRequest, token: str, result: ExchangeResult, now: float) -> None:
        heads = self._heads.get(request.destination, [])
        service = self._service(request.destination)
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
                self._drop(entry, PURGED, result)
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
                lane = self._lanes[entry.destination, entry.visitor]
                for number in range(min(request.run, limit - len(claimed), len(lane))):
                    follower = lane[number]
                    if number and (follower.ready > now or follower.lost or follower.is_withdrawn):
                        break
                    claimed.append(follower.claim(token, now + request.lease, now))
                self._push(entry)
        for item in skipped:
            heappush(heads, item)
        if claimed:
            service.claimed(len(claimed), request.lease, now)
            result.claimed += claimed

    def _settle(self, outcome: Settlement, result: ExchangeResult, now: float) -> None:
        claim, kind = outcome.claim, outcome.kind
        entry = self._entries.get(claim.key)
        if entry is None or (entry.token != claim.token and kind != "delivered"):
            result.late += 1
        elif kind == "delivered":
            self._note(entry, Delivered(outcome.response))
            self._of(entry.destination).move("waiting", "delivered")
            self._remove(entry, now)
        elif entry.is_withdrawn:
            self._drop(entry, PURGED, result)
        elif kind == "dead":
            self._kill(entry, outcome.reason or "unknown", result, now)
        elif self._marked(entry.visitor, entry.event.user_id, entry.since, now):
            self._drop(entry, PURGED, result)
        else:
            entry.give_back(now + outcome.after, outcome.reason, attempts=kind == "unsent")
            if self._lanes[entry.destination, entry.visitor][0] is entry:
                self._push(entry)

    def _kill(self, entry: MemoryEntry, reason: str, result: ExchangeResult, now: float) -> None:
        self._note(entry, Dead(reason))
        self._remove(entry, now)
        self._of(entry.destination).move("waiting", "dead")
        entry.kill(reason, now)
        letters = self._dead.setdefault(entry.destination, {})
        letters[entry.seq] = entry
        while len(letters) > MAX_DEAD:
            self._drop(next(iter(letters.values())), FULL, result)

    def _drop(self, entry: MemoryEntry, reason: str, result: ExchangeResult) -> None:
        self._of(entry.destination).drop(entry.state, reason)
        self._note(entry, Dropped(reason))
        result.dropped.append((entry.event.event_id, entry.destination, reason))
        if entry.state == "dead":
            del self._dead[entry.destination][entry.seq]
        else:
            self._remove(entry, self._clock())

    def _remove(self, entry: MemoryEntry, now: float) -> None:
        """Forget what waits or is held; the next of its partition becomes the head."""
        del self._entries[entry.seq]
        self._bytes -= entry.share
        user = entry.event.user_id
        if user is not None:
            self._users[user].discard(entry.seq)
            if not self._users[user]:
                del self._users[user]
        if entry.state == "held":
            self._forget_held(entry)
            return
        key = entry.destination, entry.visitor
        lane = self._lanes[key]
        was_head = lane[0] is entry
        if was_head:
            lane.popleft()
        else:
            lane.remove(entry)
        if not lane:
            del self._lanes[key]
        elif was_head:
            lane[0].extend(max(lane[0].ready, now) if not lane[0].is_claimed else lane[0].ready)
            self._push(lane[0])

    def _forget_held(self, entry: MemoryEntry) -> None:
        queue = self._held[entry.visitor]
        del queue[entry.seq]
        if not queue:
            del self._held[entry.visitor]

    # Requests.

    def _answer(self, request: StoreRequest, result: ExchangeResult, now: float) -> Any:
        if isinstance(request, BrowserIdExchange):
            ids = self._browser_ids.setdefault(request.issuer, deque())
            ids.extend(request.put_back)
            return [ids.popleft() for _ in range(min(request.wanted, len(ids)))]
        if isinstance(request, BrowserLink):
            return self._link(request)
        match request.kind:
            case "release":
                return self._release(request.who, now)
            case "clear":
                return len({self._dropped(entry, CLEARED, result) for entry in self._queue_of(request.who)})
            case "purge_visitor" | "suppress":
                return self._purge(request, result, now)
            case "send_now":
                return self._send_now(now)
            case "purge_dead":
                return len([self._dropped(entry, PURGED, result) for entry in self._letters(request)])
            case "retry_dead":
                return sum(self._revive(entry, now) for entry in self._letters(request))

    def _link(self, link: BrowserLink) -> str | None:
        key = link.kind, link.key
        before = self._links.get(key)
        if link.kind == "user":
            self._links.pop(key, None)
        if before is None or link.kind == "user":
            self._links[key] = link.browser_id
            if len(self._links) > MAX_LINKS:
                del self._links[next(iter(self._links))]
        if before is None and link.kind == "visit":
            self._move(link.key, link.browser_id)
        return before

    def _move(self, visit: str, browser_id: str) -> None:
        """Move the entries of a visit to its browser: before what waits there, behind what is claimed."""
        held = self._held.pop(visit, {})
        for entry in held.values():
            entry.link(browser_id)
        if held:
            queue = {**held, **self._held.get(browser_id, {})}
            self._held[browser_id] = queue
        for name in self._counts:
            moved = self._lanes.pop((name, visit), None)
            if moved is None:
                continue
            for entry in moved:
                entry.link(browser_id)
            own = self._lanes.get((name, browser_id), deque())
            claimed = [entry for entry in [*own, *moved] if entry.is_claimed]
            waiting = [entry for entry in [*moved, *own] if not entry.is_claimed]
            self._lanes[name, browser_id] = lane = deque([*claimed, *waiting])
            self._push(lane[0])

    def _queue_of(self, who: str) -> list[MemoryEntry]:
        """Return what is held for a visitor, or for the browser of a visit."""
        return list(self._held.get(self._links.get(("visit", who), who), {}).values())

    def _release(self, who: str, now: float) -> int:
        released = self._queue_of(who)
        for entry in released:
            self._forget_held(entry)
            self._of(entry.destination).move("held", "waiting")
            entry.restart(now, afresh=False)
            self._append(entry)
        return len({entry.event.event_id for entry in released})

    def _purge(self, command: StoreCommand, result: ExchangeResult, now: float) -> int:
        who = command.who
        if not who:
            return 0
        self._mark("suppressed" if command.kind == "suppress" else "erased", who, now)
        visitor = self._links.get(("visit", who), who)
        found = [entry for name in self._counts for entry in self._lanes.get((name, visitor), ())]
        found += [*self._held.get(visitor, {}).values(), *(self._entries[seq] for seq in self._users.get(who, ()))]
        letters = (entry for letters in self._dead.values() for entry in letters.values())
        found += [entry for entry in letters if who in (entry.visitor, entry.event.user_id)]
        for key in [key for key in (("visit", who), ("user", who)) if key in self._links]:
            del self._links[key]
        concerned = 0
        for entry in {entry.seq: entry for entry in found}.values():
            if entry.is_claimed and entry.ready > now:
                entry.withdraw()
            else:
                self._drop(entry, PURGED, result)
                concerned += 1
        return concerned

    def _mark(self, kind: str, who: str, now: float) -> None:
        self._marks[kind, self._hash(who)] = now
        for mark in [mark for mark, at in self._marks.items() if mark[0] == "erased" and at < now - MARK_AGE]:
            del self._marks[mark]

    def _marked(self, visitor: str, user_id: str | None, since: float, now: float) -> str | None:
        """Return why an event is to be dropped, if its visitor or user is marked."""
        if not self._marks:
            return None
        for who in filter(None, (visitor, user_id)):
            digest = self._hash(who)
            if ("suppressed", digest) in self._marks:
                return SUPPRESSED
            if self._marks.get(("erased", digest), -DAY) >= since:
                return PURGED
        return None

    def _hash(self, who: str) -> bytes:
        return hashlib.blake2b(who.encode("utf-8", "surrogatepass"), key=self._key, digest_size=16).digest()

    def _send_now(self, now: float) -> int:
        later = [entry for entry in self._entries.values() if entry.ready > now and not entry.is_claimed]
        for entry in later:
            entry.extend(now)
            if self._find_head(now, entry.seq) is not None:
                self._push(entry)
        return sum(entry.state == "waiting" for entry in later)

    def _letters(self, command: StoreCommand) -> list[MemoryEntry]:
        names = list(self._dead) if command.destination is None else [command.destination]
        found = (entry for name in names for entry in self._dead.get(name, {}).values())
        return [entry for entry in found if command.event_id in (None, entry.event.event_id)]

    def _revive(self, entry: MemoryEntry, now: float) -> int:
        del self._dead[entry.destination][entry.seq]
        self._of(entry.destination).move("dead", "waiting")
        entry.restart(now, afresh=True)
        self._entries[entry.seq] = entry
        self._bytes += entry.share
        if entry.event.user_id is not None:
            self._users.setdefault(entry.event.user_id, set()).add(entry.seq)
        self._append(entry)
        return 1

    def _dropped(self, entry: MemoryEntry, reason: str, result: ExchangeResult) -> str:
        self._drop(entry, reason, result)
        return entry.event.event_id

    # Watched, counts, pages.

    def _watch(self, watched: Sequence[str], result: ExchangeResult, now: float) -> None:
        if self._watched:
            for event_id in [one for one, (until, _) in self._watched.items() if until < now]:
                del self._watched[event_id]
        for event_id in watched:
            _, outcomes = self._watched.get(event_id, (0.0, {}))
            self._watched[event_id] = (now + WATCH_AGE, outcomes)
            result.settled += [(event_id, name, outcome) for name, outcome in outcomes.items()]

    def _note(self, entry: MemoryEntry, outcome: Outcome) -> None:
        if entry.event.event_id in self._watched:
            self._watched[entry.event.event_id][1][entry.destination] = outcome

    def _expire(self, now: float, result: ExchangeResult) -> None:
        """Drop held events and dead letters that are too old."""
        self._expired = now
        held = (entry for queue in self._held.values() for entry in queue.values())
        dead = (entry for letters in self._dead.values() for entry in letters.values())
        old = [entry for entry in held if entry.since < now - self._quotas.held_age]
        for entry in [*old, *(entry for entry in dead if entry.ready < now - self._quotas.dead_letter_age)]:
            self._drop(entry, EXPIRED, result)

    def _of(self, name: str) -> DestinationCounts:
        return self._counts.setdefault(name, DestinationCounts())

    def _service(self, name: str) -> ServiceState:
        return self._services.setdefault(name, ServiceState())

    def _count(self, name: str, now: float) -> DestinationCounts:
        heads, service = self._heads.get(name, []), self._service(name)
        while heads and self._find_head(*heads[0]) is None:
            heappop(heads)
        due = max(heads[0][0], service.next_call(now)) - now if heads else None
        suspects = bool(heads) and self._entries[heads[0][1]].lost >= LOST_BEFORE_ALONE
        counts = self._of(name)
        return replace(
            counts,
            dropped=dict(counts.dropped),
            breaker=service.breaker(now),
            not_before=max(0.0, service.not_before - now),
            next_due=due,
            suspects=suspects,
        )

    def read(self, query: StoreQuery) -> StorePage:
        """Return a page of entries."""
        now = self._clock()
        dead: Iterable[MemoryEntry] = (entry for letters in self._dead.values() for entry in letters.values())
        found = sorted(
            (
                entry
                for entry in [*self._entries.values(), *dead]
                if entry.seq > query.after
                and entry.state in query.states
                and query.destination in (None, entry.destination)
                and query.event_id in (None, entry.event.event_id)
            ),
            key=lambda entry: entry.seq,
        )
        page = found[: query.limit]
        return StorePage(tuple(_show(entry, now) for entry in page), page[-1].seq if len(found) > query.limit else None)


def _show(entry: MemoryEntry, now: float) -> StoredEntry:
    event = entry.event
    return StoredEntry(
        entry.destination,
        entry.state,
        event.event_id,
        entry.visitor,
        event.payload,
        entry.attempts,
        entry.reason,
        now - entry.since,
        entry.ready - now,
    )
