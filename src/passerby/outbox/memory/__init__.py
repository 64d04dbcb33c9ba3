"""The store in memory: fast, bounded, and gone with the process."""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections.abc import Callable, Sequence
from itertools import islice
from typing import Any

from ..contract import (
    CLEARED,
    DAY,
    EXPIRE_EVERY,
    LOST,
    MARK_AGE,
    MAX_LINKS,
    PURGED,
    SUPPRESSED,
    WATCH_AGE,
    BrowserIdExchange,
    BrowserLink,
    ClaimedEvent,
    ExchangeBatch,
    ExchangeResult,
    Quotas,
    RecordedEvent,
    StoreCommand,
    StoreRequest,
)
from ..reading import StorePage, StoreQuery
from .entry import MemoryEntry
from .queue import MemoryQueue


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
        self._lock = threading.Lock()
        self._queue = MemoryQueue(self._quotas, self._clock, self._is_marked)
        self._key = os.urandom(16)
        self._writers: dict[str, tuple[int, list[ClaimedEvent], list[Any]]] = {}
        self._links: dict[tuple[str, str], str] = {}
        self._browser_ids: dict[str, dict[str, None]] = {}
        self._marks: dict[tuple[str, bytes], float] = {}
        self._deliverer: float | None = None
        self._expired = 0.0

    def close(self) -> None:
        """Do nothing: there are no files."""

    def listen(self, on_stored: Callable[[], None]) -> float:
        """Do nothing: no other process stores anything here. Returns how often to poll beside."""
        return DAY

    def exchange(self, batch: ExchangeBatch) -> ExchangeResult:
        """Apply a batch. See the contract."""
        with self._lock:
            return self._exchange(batch)

    def _exchange(self, batch: ExchangeBatch) -> ExchangeResult:
        now, queue = self._clock(), self._queue
        number, claimed, answers = self._writers.get(batch.writer, (0, [], []))
        result = ExchangeResult(number, max(number, batch.number), answers=list(answers))
        # Delivered ones first, so that what follows them is the head when its own outcome is applied.
        for outcome in sorted(batch.outcomes, key=lambda outcome: outcome.kind != "delivered"):
            queue.settle(outcome, result, now)
        for extension in batch.extensions:
            queue.extend(extension, now)
        for report in batch.reports:
            recorded = queue.counts_of(report.destination).recorded
            queue.service_of(report.destination).report(report, now, recorded)
        if not batch.number or number < batch.number:
            self._apply(batch, result, now)
            self._writers[batch.writer] = (result.number, result.claimed, result.answers)
        else:
            still = (claim for claim in claimed if claim.key in queue.entries)
            result.claimed = [claim for claim in still if queue.entries[claim.key].token == claim.token]
        self._watch(batch.watched, result, now)
        names = queue.counts if batch.counts else {request.destination for request in batch.wanted}
        result.counts = {name: queue.describe(name, now) for name in names}
        result.room = queue.room
        result.deliverer_age = None if self._deliverer is None else now - self._deliverer
        return result

    def _apply(self, batch: ExchangeBatch, result: ExchangeResult, now: float) -> None:
        for event in batch.recorded:
            self._record(event, now - max(0.0, batch.at - event.at), result)
        for destination, reason, times in batch.dropped:
            self._queue.counts_of(destination).drop(None, reason, times)
        if batch.number:
            result.answers = [self._answer(request, result, now) for request in batch.requests]
        if batch.wanted and now - self._expired > EXPIRE_EVERY:
            self._expired = now
            self._queue.expire(now, result)
        for request in batch.wanted:
            self._deliverer = now
            if not any(claim.is_alone for claim in result.claimed):
                self._queue.claim(request, f"{batch.writer}:{batch.number}", result, now)

    def _record(self, event: RecordedEvent, since: float, result: ExchangeResult) -> None:
        linked = None if event.is_linked else self._links.get(("visit", event.visitor))
        visitor = linked or event.visitor
        mark = self._mark_of(visitor, event.user_id, since) if self._marks else None
        if mark is None:
            self._queue.record(event, visitor, linked, since, result)
        else:
            for name in event.destinations:
                self._queue.refuse(event, name, mark, result)

    def _answer(self, request: StoreRequest, result: ExchangeResult, now: float) -> Any:
        if isinstance(request, BrowserIdExchange):
            ids = self._browser_ids.setdefault(request.issuer, {})
            ids |= dict.fromkeys(request.put_back)
            taken = list(islice(ids, request.wanted))
            for browser_id in taken:
                del ids[browser_id]
            return taken
        if isinstance(request, BrowserLink):
            return self._link(request)
        queue, visitor = self._queue, self._links.get(("visit", request.who), request.who)
        match request.kind:
            case "release":
                return queue.release(visitor, now)
            case "clear":
                held = list(queue.held.get(visitor, {}).values())
                return len({self._dropped(entry, CLEARED, result) for entry in held})
            case "purge_visitor" | "suppress":
                return self._purge(request, visitor, result, now)
            case "abandon":
                return len([self._dropped(entry, LOST, result) for entry in list(queue.entries.values())])
            case "send_now":
                return queue.send_now(now)
            case "purge_dead":
                return len([self._dropped(entry, PURGED, result) for entry in queue.letters(request)])
            case "retry_dead":
                return sum(queue.retry_dead(entry, now) for entry in queue.letters(request))

    def _dropped(self, entry: MemoryEntry, reason: str, result: ExchangeResult) -> str:
        self._queue.drop(entry, reason, result)
        return entry.event.event_id

    def _link(self, link: BrowserLink) -> str | None:
        key = link.kind, link.key
        before = self._links.get(key)
        if link.kind == "user":
            self._links.pop(key, None)
        if before is None or link.kind == "user":
            self._links[key] = link.browser_id
            if len(self._links) > MAX_LINKS:
                del self._links[next(iter(self._links))]
        if before is None and link.kind == "visit" and link.key != link.browser_id:
            self._queue.move(link.key, link.browser_id)
        return before

    def _purge(self, command: StoreCommand, visitor: str, result: ExchangeResult, now: float) -> int:
        who = command.who
        if not who:
            return 0
        kind = SUPPRESSED if command.kind == "suppress" else "erased"
        links = [key for key, browser_id in self._links.items() if visitor == browser_id or who == key[1]]
        visits = [key for kind, key in links if kind == "visit"]  # whose events may still be on their way
        self._marks |= {(kind, self._hash(each)): now for each in (who, visitor, *visits)}
        for mark in [mark for mark, at in self._marks.items() if mark[0] == "erased" and at < now - MARK_AGE]:
            del self._marks[mark]
        concerned = 0
        for entry in self._queue.of_person(who, visitor, self._links):
            if entry.is_claimed and entry.ready > now:
                entry.withdraw()
            else:
                self._queue.drop(entry, PURGED, result)
                concerned += 1
        for key in links:
            del self._links[key]
        return concerned

    def _is_marked(self, entry: MemoryEntry) -> bool:
        return bool(self._marks) and self._mark_of(entry.visitor, entry.event.user_id, entry.since) is not None

    def _mark_of(self, visitor: str, user_id: str | None, since: float) -> str | None:
        """Return why an event is to be dropped, if its visitor or user is marked."""
        for who in filter(None, (visitor, user_id)):
            digest = self._hash(who)
            if (SUPPRESSED, digest) in self._marks:
                return SUPPRESSED
            if self._marks.get(("erased", digest), since - 1) >= since:
                return PURGED
        return None

    def _hash(self, who: str) -> bytes:
        return hashlib.blake2b(who.encode("utf-8", "surrogatepass"), key=self._key, digest_size=16).digest()

    def _watch(self, watched: Sequence[str], result: ExchangeResult, now: float) -> None:
        known = self._queue.watched
        for event_id in [each for each, (until, _) in known.items() if until < now]:
            del known[event_id]
        for event_id in watched:
            _, outcomes = known.get(event_id, (0.0, {}))
            known[event_id] = (now + WATCH_AGE, outcomes)
            result.settled += [(event_id, name, outcome) for name, outcome in outcomes.items()]

    def read(self, query: StoreQuery) -> StorePage:
        """Return a page of entries."""
        now, queue = self._clock(), self._queue
        with self._lock:
            entries = [*queue.entries.values(), *(entry for dead in queue.dead.values() for entry in dead.values())]
        found = sorted(
            (
                entry
                for entry in entries
                if entry.seq > query.after
                and entry.state in query.states
                and query.destination in (None, entry.destination)
                and query.event_id in (None, entry.event.event_id)
            ),
            key=lambda entry: entry.seq,
        )
        page = found[: query.limit]
        shown = tuple(entry.show(now) for entry in page)
        return StorePage(shown, page[-1].seq if len(found) > query.limit else None)
