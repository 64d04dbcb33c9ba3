"""What becomes of events in one transaction: they are recorded, settled or dropped. And what is noted beside them."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

from ...values.json import dumps, loads
from ...values.outcome import Dead, Delivered, Dropped, Outcome
from ..contract import (
    EXPIRE_EVERY,
    EXPIRED,
    FULL,
    MARK_AGE,
    PURGED,
    SUPPRESSED,
    WATCH_AGE,
    ExchangeResult,
    LeaseExtension,
    Quotas,
    RecordedEvent,
    Settlement,
)
from ..counts import EntryState
from .database import CorruptDatabase
from .rows import LAST_SLOT, ROOM, SLOTS, entry_sum, event_sum, part_of
from .state import StoreState

_OUTCOMES = {kind.__name__: kind for kind in (Delivered, Dead, Dropped)}
STATES: tuple[EntryState, ...] = ("waiting", "held", "dead")  # by the number in a row
_EXPIRE_AT_ONCE = 200

_INSERT_EVENT = "INSERT INTO event VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
_INSERT_ENTRY = """
INSERT INTO entry (seq, destination, sum, codec, part, state, place, ready, since, share, head)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?,
  ? = 0 AND NOT EXISTS (SELECT 1 FROM entry WHERE part = ? AND state = 0 AND destination = ?))
"""
# The next of a partition becomes its head, before the head goes. Exactly one head is in each: the first.
_NEXT = """
SELECT n.seq FROM entry o JOIN entry n ON n.part = o.part AND n.state = 0 AND n.destination = o.destination
  AND n.seq <> o.seq WHERE o.seq = ? AND o.head = 1 ORDER BY n.place LIMIT 1
"""
_PROMOTE = "UPDATE entry SET head = 1, ready = max(ready, ?) WHERE seq = ?"
_DELETE_ENTRY = "DELETE FROM entry WHERE seq = ?"
_DELETE_EVENT = f"""
DELETE FROM event WHERE id = ? >> {SLOTS}
  AND NOT EXISTS (SELECT 1 FROM entry WHERE seq BETWEEN ? >> {SLOTS} << {SLOTS} AND ? | {LAST_SLOT})
"""  # noqa: S608 - numbers of ours
_ENTRY = f"""
SELECT e.destination, e.state, ifnull(CAST(e.share AS INTEGER), 0), v.event_id, e.withdrawn, v.visitor, v.user_id,
  e.since
FROM entry e LEFT JOIN event v ON v.id = e.seq >> {SLOTS} WHERE e.seq = ?
"""  # noqa: S608 - a number of ours
_SETTLED = "SELECT ifnull(CAST(share AS INTEGER), 0), token FROM entry WHERE seq = ? AND state = 0"
_RETRY = """
UPDATE entry SET token = NULL, lost = 0, ready = ?, attempts = attempts - ?, reason = coalesce(?, reason) WHERE seq = ?
"""


class QueueTransaction:
    """The part of a transaction that is about events and notes: links, marks of erased visitors, watched outcomes.

    Args:
        connection: in a transaction.
        state: what every exchange reads.
        quotas: how much is kept.
        result: gets what is to be answered.

    Attributes:
        delivered_late: the entries that are delivered and not here; salvage may still find them in a damaged file.
    """

    def __init__(
        self, connection: sqlite3.Connection, state: StoreState, quotas: Quotas, result: ExchangeResult
    ) -> None:
        self._execute = connection.execute
        self._executemany = connection.executemany
        self._state = state
        self._quotas = quotas
        self._result = result
        self.delivered_late: list[int] = []

    # Recorded.

    def record(self, events: Sequence[RecordedEvent], at: float) -> None:
        """Record events; `at` is the time on their clock."""
        state = self._state
        new_events: list[tuple[Any, ...]] = []
        new_entries: list[tuple[Any, ...]] = []

        def insert() -> None:
            self._executemany(_INSERT_EVENT, new_events)
            self._executemany(_INSERT_ENTRY, new_entries)
            new_events.clear()
            new_entries.clear()

        for event in events:
            event_id, visitor, names, payload, recorded_at, user_id, held, is_linked = event
            browser_id = None if is_linked else self.browser_of(visitor)
            visitor = browser_id or visitor
            since = state.now - max(0.0, at - recorded_at)
            share, part, reason = len(payload) // len(names), part_of(visitor), None
            if state.values["marks"]:
                reason = self.mark_of(visitor, user_id, since)
            if reason is None and (held or not self._has_room(len(names), len(payload))):
                insert()  # what is counted or dropped now
                reason = self._refusal(event, part)
            if reason is not None:
                self._drop_new(event_id, names, reason)
                continue
            number, text = state.next(), "\n".join(names)
            check = event_sum(event_id, visitor, user_id, browser_id, text)
            new_events.append((number, event_id, visitor, user_id, browser_id, text, check, payload))
            for slot, name in enumerate(names):
                row, seq = state.of(name), number << SLOTS | slot
                row.counts.record("held" if held else "waiting", 1, not is_linked)
                check, place, to = entry_sum(seq, row.number), seq << ROOM, row.number
                values = seq, to, check, payload[0], part, held, place, since, since, share
                new_entries.append((*values, held, part, to))
            state.add(len(names), share * len(names))
        insert()

    def _drop_new(self, event_id: str, names: Iterable[str], reason: str) -> None:
        for name in names:
            self._state.of(name).counts.drop(None, reason)
            self._result.dropped.append((event_id, name, reason))

    def _refusal(self, event: RecordedEvent, part: int) -> str | None:
        """Return why there is no room for an event, or make some."""
        if event.held:
            query = f"SELECT count(DISTINCT seq >> {SLOTS}) FROM entry WHERE part = ? AND state = 1"  # noqa: S608
            if self._execute(query, (part,)).fetchone()[0] >= self._quotas.max_held:
                return FULL
        number, size = len(event.destinations), len(event.payload)
        fits_alone = number <= self._quotas.max_events and size <= self._quotas.max_bytes
        if self._quotas.when_full == "drop_oldest" and fits_alone and not self._has_room(number, size):
            query = "SELECT seq FROM entry WHERE state < 2 AND token IS NULL ORDER BY seq LIMIT ?"
            for (seq,) in self._execute(query, (number + 100,)).fetchall():
                self.drop([seq], FULL)
                if self._has_room(number, size):
                    break
        return None if self._has_room(number, size) else FULL

    def _has_room(self, number: int, size: int) -> bool:
        values, quotas = self._state.values, self._quotas
        return bool(values["entries"] + number <= quotas.max_events and values["bytes"] + size <= quotas.max_bytes)

    # Outcomes.

    def settle(self, outcomes: Sequence[Settlement]) -> None:
        """Apply outcomes: delivered ones first, so that what follows them is the head when its own is applied."""
        for outcome in sorted(outcomes, key=lambda outcome: outcome.kind != "delivered"):
            claim = outcome.claim
            found = self._execute(_SETTLED, (claim.key,)).fetchone()
            if found is None or (outcome.kind != "delivered" and found[1] != int(claim.token)):
                self._result.late += 1
                if outcome.kind == "delivered":
                    self.delivered_late.append(claim.key)
            elif outcome.kind == "delivered":
                self._remove(claim.key, found[0])
                self._state.of(claim.destination).counts.move("waiting", "delivered")
                self.note(claim.event_id, claim.destination, Delivered(outcome.response))
            else:
                self._settle_undelivered(outcome)

    def _settle_undelivered(self, outcome: Settlement) -> None:
        seq, now = outcome.claim.key, self._state.now
        *_, is_withdrawn, visitor, user_id, since = self._entry(seq)
        if is_withdrawn or (outcome.kind != "dead" and self.mark_of(visitor, user_id, since)):
            self.drop([seq], PURGED)
        elif outcome.kind == "dead":
            self.kill(seq, outcome.reason or "unknown")
        else:
            self._execute(_RETRY, (now + outcome.after, outcome.kind == "unsent", outcome.reason, seq))

    def extend(self, extension: LeaseExtension) -> None:
        """Extend the leases of claims."""
        until = self._state.now + extension.lease
        claims = [(until, claim.key, int(claim.token)) for claim in extension.claims]
        self._executemany("UPDATE entry SET ready = ? WHERE seq = ? AND token = ?", claims)

    def kill(self, seq: int, reason: str) -> None:
        """Make a waiting entry a dead letter."""
        now = self._state.now
        number, _, share, event_id, *_ = self._entry(seq)
        name = self._state.name_of(number) or ""
        self.note(event_id or "", name, Dead(reason))
        self._promote_next(seq)
        change = "UPDATE entry SET state = 2, head = 0, token = NULL, reason = ?, ready = ? WHERE seq = ?"
        self._execute(change, (reason, now, seq))
        self._state.add(-1, -share)
        counts = self._state.of(name).counts
        counts.move("waiting", "dead")
        if counts.dead > self._quotas.max_dead:
            query = "SELECT seq FROM entry WHERE destination = ? AND state = 2 ORDER BY ready LIMIT ?"
            self.drop([old for (old,) in self._execute(query, (number, counts.dead - self._quotas.max_dead))], FULL)

    def drop(self, seqs: Iterable[int], reason: str) -> None:
        """Drop and count entries, in the order of their partitions."""
        for seq in seqs:
            number, state, share, event_id, *_ = self._entry(seq)
            name = self._state.name_of(number)
            self._remove(seq, share, is_dead=state == STATES.index("dead"))
            if name is not None and state in range(len(STATES)):  # else the row is damaged
                self._state.of(name).counts.drop(STATES[int(state)], reason)
                self.note(event_id or "", name, Dropped(reason))
                self._result.dropped.append((event_id or "", name, reason))

    def _entry(self, seq: int) -> Any:
        found = self._execute(_ENTRY, (seq,)).fetchone()
        if found is None:
            raise CorruptDatabase("index damaged")
        return found

    def _promote_next(self, seq: int) -> None:
        following = self._execute(_NEXT, (seq,)).fetchone()
        if following is not None:
            self._change_one(_PROMOTE, self._state.now, following[0])

    def _change_one(self, statement: str, *values: float) -> None:
        """Change a row that an index has led to. Raises CorruptDatabase if the table does not have it."""
        if self._execute(statement, values).rowcount != 1:
            raise CorruptDatabase("index damaged")

    def _remove(self, seq: int, share: int, *, is_dead: bool = False) -> None:
        """Remove an entry, and its event if that has no other one."""
        self._promote_next(seq)
        self._change_one(_DELETE_ENTRY, seq)
        self._execute(_DELETE_EVENT, (seq, seq, seq))
        if not is_dead:
            self._state.add(-1, -share)

    def expire(self) -> None:
        """Drop held events and dead letters that are too old, now and then and a few at a time."""
        now, quotas = self._state.now, self._quotas
        if now - self._state.values["expired"] < EXPIRE_EVERY:
            return
        self._state.values["expired"] = now
        held = "SELECT seq FROM entry WHERE state = 1 AND since < ? ORDER BY since LIMIT ?"
        old = self._execute(held, (now - quotas.held_age, _EXPIRE_AT_ONCE)).fetchall()
        dead = "SELECT seq FROM entry WHERE state = 2 AND destination = ? AND ready < ? LIMIT ?"
        for row in self._state.destinations.values():
            old += self._execute(dead, (row.number, now - quotas.dead_letter_age, _EXPIRE_AT_ONCE)).fetchall()
        self.drop((seq for (seq,) in old), EXPIRED)
        self.forget_old_notes()

    # Notes.

    def browser_of(self, visit: str) -> str | None:
        """Return the browser ID of a visit, if one was linked."""
        found = self._execute("SELECT browser_id FROM link WHERE kind = 'visit' AND key = ?", (visit,)).fetchone()
        return None if found is None else str(found[0])

    def digest_of(self, who: str) -> bytes:
        """Return the keyed hash of a visitor or user."""
        key = bytes.fromhex(self._state.values["key"])
        return hashlib.blake2b(who.encode("utf-8", "surrogatepass"), key=key, digest_size=16).digest()

    def mark_of(self, visitor: str, user_id: str | None, since: float) -> str | None:
        """Return why an event is to be dropped, if its visitor or user is marked."""
        if self._state.values["marks"]:
            for who in filter(None, (visitor, user_id)):
                for kind, at in self._execute("SELECT kind, at FROM mark WHERE digest = ?", (self.digest_of(who),)):
                    if kind == SUPPRESSED or at >= since:
                        return SUPPRESSED if kind == SUPPRESSED else PURGED
        return None

    def watch(self, event_id: str) -> None:
        """Note a watched event, and answer with what is known of its outcomes."""
        outcomes = self._outcomes_of(event_id) or []
        self._state.values["watched"] = until = self._state.now + WATCH_AGE
        self._execute("INSERT OR REPLACE INTO watch VALUES (?, ?, ?)", (event_id, until, dumps(outcomes).decode()))
        self._result.settled += [(event_id, name, _OUTCOMES[kind](*values)) for name, kind, *values in outcomes]

    def note(self, event_id: str, name: str, outcome: Outcome) -> None:
        """Keep the outcome of an event if it is watched."""
        if self._state.values["watched"] < self._state.now:
            return
        outcomes = self._outcomes_of(event_id)
        if outcomes is not None:
            outcomes.append([name, type(outcome).__name__, *asdict(outcome).values()])
            self._execute("UPDATE watch SET outcomes = ? WHERE event_id = ?", (dumps(outcomes).decode(), event_id))

    def _outcomes_of(self, event_id: str) -> list[list[Any]] | None:
        found = self._execute("SELECT outcomes FROM watch WHERE event_id = ?", (event_id,)).fetchone()
        return loads(found[0]) if found else None

    def forget_old_notes(self) -> None:
        """Forget what is too old."""
        self._execute("DELETE FROM watch WHERE until < ?", (self._state.now,))
        self._execute("DELETE FROM mark WHERE kind = 'erased' AND at < ?", (self._state.now - MARK_AGE,))
