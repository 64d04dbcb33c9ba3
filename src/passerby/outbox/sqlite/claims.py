"""Claims: which of what is due is handed out, and what is not fit to be."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator

from ..codec import KNOWN, version_of
from ..contract import (
    DAMAGED,
    LOST_ALONE,
    LOST_BEFORE_ALONE,
    POISON,
    PURGED,
    ClaimedEvent,
    ClaimRequest,
    ExchangeResult,
)
from .database import CorruptDatabase
from .queue import QueueTransaction
from .rows import SLOTS, ClaimableRow, is_genuine
from .state import StoreState

_MOST_DAMAGED = 2  # rows of a file that are quarantined alone
_SKIPPED = 50  # heads that are looked at beyond the limit of a claim
_CLAIMABLE = f"""
SELECT e.seq, e.sum, e.token, e.lost, e.withdrawn, e.attempts, e.since, e.part, e.place,
  v.event_id, v.visitor, v.user_id, v.browser_id, v.names, v.sum, v.payload, e.ready
FROM entry e LEFT JOIN event v ON v.id = e.seq >> {SLOTS}
"""  # noqa: S608 - a number of ours
_HEADS = (
    f"{_CLAIMABLE} WHERE e.destination = ? AND e.codec = ? AND e.head = 1 AND e.ready <= ? ORDER BY e.ready LIMIT ?"
)
_FOLLOWERS = (
    f"{_CLAIMABLE} WHERE e.part = ? AND e.state = 0 AND e.destination = ? AND e.place > ? ORDER BY e.place LIMIT ?"
)
_CLAIM = "UPDATE entry SET token = ?, ready = ?, attempts = attempts + 1, lost = ? WHERE seq = ?"


class ClaimTransaction:
    """The claims of a transaction.

    Args:
        connection: in a transaction.
        state: what every exchange reads.
        result: gets what is claimed.
        queue: the same transaction's events.

    Attributes:
        suspects: the destinations at which an event waits to be claimed alone.
    """

    def __init__(
        self, connection: sqlite3.Connection, state: StoreState, result: ExchangeResult, queue: QueueTransaction
    ) -> None:
        self._connection = connection
        self._execute = connection.execute
        self._state = state
        self._result = result
        self._queue = queue
        self.suspects: set[str] = set()

    def claim(self, request: ClaimRequest, token: int) -> None:
        """Claim what a request wants and the service takes."""
        state, now = self._state, self._state.now
        row = state.destinations.get(request.destination)
        limit = 0 if row is None else row.service.allowed(request.limit, now)
        if row is None or limit <= 0:
            return
        claimed = self._choose(request, row.number, limit)
        if not claimed:
            return
        until = now + request.lease
        self._connection.executemany(_CLAIM, [(token, until, lost, found.seq) for found, lost in claimed])
        state.of(request.destination).service.claimed(len(claimed), request.lease, now)
        self._result.claimed += [self._claimed(request.destination, token, *each) for each in claimed]

    def _choose(self, request: ClaimRequest, number: int, limit: int) -> list[tuple[ClaimableRow, int]]:
        """Return what to claim, each with the number of leases it has lost."""
        claimed: list[tuple[ClaimableRow, int]] = []
        unfit: list[tuple[ClaimableRow, str]] = []
        for found in self._heads(request, number, limit):
            lost = found.lost + (found.token is not None)
            reason = self._unfit(found, number, lost)
            if reason is not None:
                unfit.append((found, reason))
            elif lost < LOST_BEFORE_ALONE:
                claimed.append((found, lost))
                if request.run > 1:
                    claimed += self._followers(found, number, min(request.run - 1, limit - len(claimed)))
            elif request.takes_alone and not claimed and not self._result.claimed:
                claimed.append((found, lost))
                break
            else:
                self.suspects.add(request.destination)
            if len(claimed) >= limit:
                break
        self._state.values["damaged"] += sum(reason == DAMAGED for _, reason in unfit)
        if self._state.values["damaged"] > _MOST_DAMAGED or any(found.event_id is None for found, _ in unfit):
            raise CorruptDatabase("many rows damaged")  # pages are; salvage reads what is whole in them
        for found, reason in unfit:
            self._set_aside(found, reason)
        return claimed

    @staticmethod
    def _unfit(found: ClaimableRow, number: int, lost: int) -> str | None:
        """Return why an entry cannot be claimed any more."""
        if found.withdrawn:
            return PURGED
        if not is_genuine(found, number):
            return DAMAGED
        return POISON if lost >= LOST_BEFORE_ALONE + LOST_ALONE else None

    def _set_aside(self, found: ClaimableRow, reason: str) -> None:
        if reason == POISON:
            self._queue.kill(found.seq, found.event_id or "", POISON)
        elif reason == DAMAGED:
            self._queue.quarantine(found)
        else:
            self._queue.drop([found.seq], reason)

    def _heads(self, request: ClaimRequest, number: int, limit: int) -> Iterator[ClaimableRow]:
        """Yield the heads that are due. SQLite reads no further than the caller."""
        for codec in request.codecs:
            values = number, codec, self._state.now, limit + _SKIPPED
            yield from map(ClaimableRow._make, self._execute(_HEADS, values))

    def _followers(self, head: ClaimableRow, number: int, limit: int) -> list[tuple[ClaimableRow, int]]:
        """Return what may be claimed together with a head."""
        found: list[tuple[ClaimableRow, int]] = []
        codec = version_of(head.payload)
        for row in map(ClaimableRow._make, self._execute(_FOLLOWERS, (head.part, number, head.place, limit))):
            is_free = not row.withdrawn and not row.lost and row.ready <= self._state.now
            if not is_free or not is_genuine(row, number) or version_of(row.payload) != codec:
                break
            found.append((row, row.lost + (row.token is not None)))
        return found

    def _claimed(self, name: str, token: int, row: ClaimableRow, lost: int) -> ClaimedEvent:
        return ClaimedEvent(
            name,
            row.seq,
            str(token),
            row.event_id or "",
            row.visitor,
            row.browser_id,
            row.payload,
            row.attempts + 1,
            self._state.now - row.since,
            lost >= LOST_BEFORE_ALONE,
        )

    def claimed_again(self, names: Iterable[str], token: int) -> list[ClaimedEvent]:
        """Return what an earlier batch has claimed, because its result was lost."""
        found: list[ClaimedEvent] = []
        for name in names:
            row = self._state.destinations.get(name)
            if row is not None:
                query = f"{_CLAIMABLE} WHERE e.destination = ? AND e.state = 0 AND e.token = ? ORDER BY e.place"
                again = map(ClaimableRow._make, self._execute(query, (row.number, token)))
                found += [self._claimed(name, token, each._replace(attempts=each.attempts - 1), 0) for each in again]
        return found

    def next_due(self, name: str) -> float | None:
        """Return when the next event of a destination is due."""
        row = self._state.destinations.get(name)
        query = "SELECT min(ready) FROM entry WHERE destination = ? AND codec = ? AND head = 1"
        heads = [self._execute(query, (row.number, codec)).fetchone()[0] for codec in KNOWN] if row else []
        due = min((head for head in heads if head is not None), default=None)
        if due is None and row is not None and row.counts.waiting:
            query = "SELECT 1 FROM entry WHERE destination = ? AND head = 1 LIMIT 1"
            if self._execute(query, (row.number,)).fetchone() is None:
                raise CorruptDatabase("queue damaged")  # of what waits, something is always a head
        return due
