"""Claims: which of what is due is handed out, and what is not fit to be. And the whole of a transaction."""

from __future__ import annotations

from collections.abc import Iterator

from ...values.json import dumps
from ..codec import KNOWN
from ..contract import (
    DAMAGED,
    LOST_ALONE,
    LOST_BEFORE_ALONE,
    POISON,
    PURGED,
    ClaimedEvent,
    ClaimRequest,
    ExchangeBatch,
)
from .database import CorruptDatabase
from .requests import RequestTransaction
from .rows import SLOTS, ClaimableRow, is_genuine

_MOST_DAMAGED = 2  # rows of a file that are quarantined alone
_SKIPPED = 50  # heads that are looked at beyond the limit of a claim
_CLAIMABLE = f"""
SELECT e.seq, e.sum, e.token, e.lost, e.withdrawn, e.attempts, e.since, e.part, e.place,
  v.event_id, v.visitor, v.user_id, v.browser_id, v.names, v.sum, v.payload, e.ready
FROM entry e LEFT JOIN event v ON v.id = e.seq >> {SLOTS} WHERE
"""  # noqa: S608 - a number of ours
_HEADS = f"{_CLAIMABLE} e.destination = ? AND e.codec = ? AND e.head = 1 AND e.ready <= ? ORDER BY e.ready LIMIT ?"
_FOLLOWERS = f"{_CLAIMABLE} e.part = ? AND e.state = 0 AND e.destination = ? AND e.place > ? ORDER BY e.place LIMIT ?"
_CLAIMED = f"{_CLAIMABLE} e.destination = ? AND e.state = 0 AND e.token = ? ORDER BY e.place"
_CLAIM = "UPDATE entry SET token = ?, ready = ?, attempts = attempts + 1, lost = ? WHERE seq = ?"


class StoreTransaction(RequestTransaction):
    """The whole of a transaction, with its claims."""

    def apply(self, batch: ExchangeBatch) -> None:
        """Apply a batch in the order of the contract, and answer it."""
        state, result = self._state, self._result
        if batch.outcomes:
            self.settle(batch.outcomes)
        for extension in batch.extensions:
            self.extend(extension)
        for report in batch.reports:
            row = state.of(report.destination)
            row.service.report(report, state.now, row.counts.recorded)
        is_repeated = bool(batch.number) and state.number >= batch.number  # because its result was lost
        if is_repeated:
            result.answers = state.answers
        else:
            if batch.recorded:
                self.record(batch.recorded, batch.at)
            for name, reason, number in batch.dropped:
                state.of(name).counts.drop(None, reason, number)
            result.answers = [self.answer(request) for request in batch.requests]
        suspects = self._claim_wanted(batch, is_repeated=is_repeated) if batch.wanted else ()
        for event_id in batch.watched:
            self.watch(event_id)
        names = list(state.destinations) if batch.counts else [request.destination for request in batch.wanted]
        result.counts = {name: state.counts_of(name, self._next_due(name), name in suspects) for name in names}
        result.room = self._quotas.max_events - self._state.values["entries"] if self._has_room(1, 1) else 0
        result.deliverer_age = state.deliverer_age

    def _claim_wanted(self, batch: ExchangeBatch, *, is_repeated: bool) -> list[str]:
        """Claim what a batch wants, or had claimed. Returns the destinations where an event waits to be alone."""
        token = self._state.new_token(batch.number)
        self._state.note_deliverer()
        if is_repeated:
            for wanted in batch.wanted:
                self._claim_again(wanted.destination, token)
            return []
        self.expire()
        return [wanted.destination for wanted in batch.wanted if self._claim(wanted, token)]

    def _claim(self, request: ClaimRequest, token: int) -> bool:
        """Claim what a request wants and the service takes. Returns whether an event waits to be claimed alone."""
        name, now = request.destination, self._state.now
        row = self._state.destinations.get(name)
        if row is None or any(claim.is_alone for claim in self._result.claimed):
            return False
        limit = row.service.allowed(request.limit, now)
        if limit <= 0:
            return False
        claimed: list[ClaimableRow] = []
        unfit: list[tuple[ClaimableRow, str]] = []
        has_suspects = False
        for found in self._heads(request, row.number, limit):
            reason = _unfit(found, row.number)
            if reason is not None:
                unfit.append((found, reason))
            elif found.lost_leases < LOST_BEFORE_ALONE:
                claimed.append(found)
                if request.run > 1:
                    claimed += self._followers(found, row.number, min(request.run - 1, limit - len(claimed)))
            elif request.takes_alone and not claimed and not self._result.claimed:
                claimed.append(found)
                break
            else:
                has_suspects = True
            if len(claimed) >= limit:
                break
        self._quarantine(unfit)
        if claimed:
            until = now + request.lease
            self._executemany(_CLAIM, [(token, until, found.lost_leases, found.seq) for found in claimed])
            self._state.of(name).service.claimed(len(claimed), request.lease, now)
            self._result.claimed += [self._claimed(name, token, found, found.attempts + 1) for found in claimed]
        return has_suspects

    def _quarantine(self, unfit: list[tuple[ClaimableRow, str]]) -> None:
        values = self._state.values
        values["damaged"] += sum(reason == DAMAGED for _, reason in unfit)
        if values["damaged"] > _MOST_DAMAGED or any(found.event_id is None for found, _ in unfit):
            raise CorruptDatabase("many rows damaged")  # pages are; salvage reads what is whole in them
        for found, reason in unfit:
            if reason == DAMAGED:
                kept = [repr(each) for each in (found.event_id, found.visitor, found.names, found.payload)]
                row = found.seq, self._state.now, dumps(kept).decode()
                self._execute("INSERT INTO damaged VALUES (?, ?, ?)", row)
            if reason == POISON:
                self.kill(found.seq, POISON)
            else:
                self.drop([found.seq], reason)

    def _heads(self, request: ClaimRequest, number: int, limit: int) -> Iterator[ClaimableRow]:
        """Yield the heads that are due. SQLite reads no further than the caller."""
        for codec in request.codecs:
            values = number, codec, self._state.now, limit + _SKIPPED
            yield from map(ClaimableRow._make, self._execute(_HEADS, values))

    def _followers(self, head: ClaimableRow, number: int, limit: int) -> Iterator[ClaimableRow]:
        """Yield what may be claimed together with a head."""
        for row in map(ClaimableRow._make, self._execute(_FOLLOWERS, (head.part, number, head.place, limit))):
            is_free = is_genuine(row, number) and not row.withdrawn and not row.lost and row.ready <= self._state.now
            if not is_free or row.payload[:1] != head.payload[:1]:
                break
            yield row

    def _claimed(self, name: str, token: int, row: ClaimableRow, attempts: int) -> ClaimedEvent:
        event = row.event_id or "", row.visitor, row.browser_id, row.payload
        is_alone = row.lost_leases >= LOST_BEFORE_ALONE
        return ClaimedEvent(name, row.seq, str(token), *event, attempts, self._state.now - row.since, is_alone)

    def _claim_again(self, name: str, token: int) -> None:
        """Answer with what an earlier batch has claimed."""
        row = self._state.destinations.get(name)
        found = self._execute(_CLAIMED, (row.number, token)) if row else ()
        again = [each._replace(token=None) for each in map(ClaimableRow._make, found)]
        self._result.claimed += [self._claimed(name, token, each, each.attempts) for each in again]

    def _next_due(self, name: str) -> tuple[float | None, bool]:
        """Return when the next event of a destination is due, and whether it is claimed."""
        row = self._state.destinations.get(name)
        if row is None:
            return None, False
        query = "SELECT min(ready), token IS NOT NULL FROM entry WHERE destination = ? AND codec = ? AND head = 1"
        heads = [self._execute(query, (row.number, codec)).fetchone() for codec in KNOWN]
        if any(isinstance(ready, str | bytes) for ready, _ in heads):
            raise CorruptDatabase("queue damaged")  # it would never be due
        due, is_claimed = min((head for head in heads if head[0] is not None), default=(None, 0))
        if due is None and row.counts.waiting:
            query = "SELECT 1 FROM entry WHERE destination = ? AND head = 1 LIMIT 1"
            if self._execute(query, (row.number,)).fetchone() is None:
                raise CorruptDatabase("queue damaged")  # of what waits, something is always a head
        return due, bool(is_claimed)


def _unfit(found: ClaimableRow, number: int) -> str | None:
    """Return why an entry cannot be claimed any more."""
    if found.withdrawn:
        return PURGED
    if not is_genuine(found, number):
        return DAMAGED
    return POISON if found.lost_leases >= LOST_BEFORE_ALONE + LOST_ALONE else None
