"""What becomes of events in one transaction: they are recorded, settled or dropped."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any

from ...values.json import dumps
from ...values.outcome import Dead, Delivered, Dropped
from ..codec import version_of
from ..contract import (
    DAMAGED,
    EXPIRE_EVERY,
    EXPIRED,
    FULL,
    PURGED,
    ExchangeResult,
    LeaseExtension,
    Quotas,
    RecordedEvent,
    Settlement,
)
from ..counts import EntryState
from .notes import NotesTransaction
from .rows import LAST_SLOT, ROOM, SLOTS, ClaimableRow, entry_sum, event_sum, part_of
from .state import StoreState

WAITING, HELD, DEAD = 0, 1, 2
STATES: tuple[EntryState, ...] = ("waiting", "held", "dead")
_EXPIRE_AT_ONCE = 200

INSERT_EVENT = "INSERT INTO event VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
INSERT_ENTRY = f"""
INSERT INTO entry (seq, destination, sum, codec, part, state, place, ready, since, share, head)
SELECT seq, destination, sum, codec, part, state, seq << {ROOM}, since, since, share, state = 0 AND NOT EXISTS (
    SELECT 1 FROM entry e WHERE e.part = given.part AND e.state = 0 AND e.destination = given.destination)
  FROM (SELECT ? AS seq, ? AS destination, ? AS sum, ? AS codec, ? AS part, ? AS state, ? AS since, ? AS share) given
"""  # noqa: S608 - a number of ours
# The next of a partition becomes its head, before the head goes. Exactly one head is in each: the first.
PROMOTE = """
UPDATE entry SET head = 1, ready = max(ready, ?) WHERE seq = (
  SELECT n.seq FROM entry o JOIN entry n ON n.part = o.part AND n.state = 0 AND n.destination = o.destination
    AND n.seq <> o.seq WHERE o.seq = ? AND o.head = 1 ORDER BY n.place LIMIT 1)
"""
DELETE_ENTRY = "DELETE FROM entry WHERE seq = ?"
DELETE_EVENT = f"""
DELETE FROM event WHERE id = ? >> {SLOTS}
  AND NOT EXISTS (SELECT 1 FROM entry WHERE seq BETWEEN ? >> {SLOTS} << {SLOTS} AND ? | {LAST_SLOT})
"""  # noqa: S608 - numbers of ours


class QueueTransaction:
    """One transaction on the events.

    Args:
        connection: in a transaction.
        state: what every exchange reads.
        quotas: how much is kept.
        result: gets what is to be answered.
        notes: links and marks.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        state: StoreState,
        quotas: Quotas,
        result: ExchangeResult,
        notes: NotesTransaction,
    ) -> None:
        self._connection = connection
        self._execute = connection.execute
        self._state = state
        self._quotas = quotas
        self._result = result
        self._notes = notes
        self._new_events: list[tuple[Any, ...]] = []
        self._new_entries: list[tuple[Any, ...]] = []

    # Recorded.

    def record(self, events: Sequence[RecordedEvent], at: float) -> None:
        """Record events; `at` is the time on their clock."""
        state = self._state
        for event in events:
            browser_id = None if event.is_linked else self._notes.browser_of(event.visitor)
            visitor = browser_id or event.visitor
            since = state.now - max(0.0, at - event.at)
            size, part = len(event.payload), part_of(visitor)
            reason = self._notes.mark_of(visitor, event.user_id, since) if state.values["marks"] else None
            if reason is None and not self._has_room(len(event.destinations), size, part, held=event.held):
                reason = FULL
            if reason is not None:
                for name in event.destinations:
                    state.of(name).counts.drop(None, reason)
                    self._result.dropped.append((event.event_id, name, reason))
                continue
            names, number = "\n".join(event.destinations), state.next()
            check = event_sum(event.event_id, visitor, event.user_id, browser_id, names)
            row = number, event.event_id, visitor, event.user_id, browser_id, names, check, event.payload
            self._new_events.append(row)
            codec, share = version_of(event.payload), size // len(event.destinations)
            for slot, name in enumerate(event.destinations):
                destination, seq = state.of(name), number << SLOTS | slot
                destination.counts.record("held" if event.held else "waiting", unlinked=not event.is_linked)
                check = entry_sum(seq, destination.number)
                self._new_entries.append((seq, destination.number, check, codec, part, int(event.held), since, share))
            state.add(len(event.destinations), share * len(event.destinations))
        self._insert()

    def _insert(self) -> None:
        """Write what was gathered."""
        self._connection.executemany(INSERT_EVENT, self._new_events)
        self._connection.executemany(INSERT_ENTRY, self._new_entries)
        self._new_events.clear()
        self._new_entries.clear()

    def _has_room(self, number: int, size: int, part: int, *, held: bool) -> bool:
        if held:
            self._insert()
            query = f"SELECT count(DISTINCT seq >> {SLOTS}) FROM entry WHERE part = ? AND state = 1"  # noqa: S608
            if self._execute(query, (part,)).fetchone()[0] >= self._quotas.max_held:
                return False
        if self._quotas.when_full == "drop_oldest" and not self._fits(number, size):
            self._insert()
            query = "SELECT seq FROM entry WHERE state < 2 AND token IS NULL ORDER BY seq LIMIT ?"
            for (seq,) in self._execute(query, (number + 100,)).fetchall():
                if self._fits(number, size):
                    break
                self.drop([seq], FULL)
        return self._fits(number, size)

    def _fits(self, number: int, size: int) -> bool:
        values, quotas = self._state.values, self._quotas
        return bool(values["entries"] + number <= quotas.max_events and values["bytes"] + size <= quotas.max_bytes)

    # Outcomes.

    def settle(self, outcomes: Sequence[Settlement]) -> None:
        """Apply outcomes: delivered ones first, so that what follows them is the head when its own is applied."""
        done: list[tuple[int, Settlement, int]] = []
        for outcome in outcomes:
            if outcome.kind == "delivered":
                found = self._execute("SELECT share FROM entry WHERE seq = ? AND state = 0", (outcome.claim.key,))
                share = found.fetchone()
                if share is None:
                    self._result.late += 1
                else:
                    done.append((outcome.claim.key, outcome, share[0]))
        self._remove([(seq, share) for seq, _, share in done])
        for _, outcome, _ in done:
            self._state.of(outcome.claim.destination).counts.move("waiting", "delivered")
            self._notes.note(outcome.claim.event_id, outcome.claim.destination, Delivered(outcome.response))
        for outcome in outcomes:
            if outcome.kind != "delivered":
                self._settle_undelivered(outcome)

    def _settle_undelivered(self, outcome: Settlement) -> None:
        claim, now = outcome.claim, self._state.now
        found = self._execute(
            f"SELECT e.withdrawn, v.visitor, v.user_id, e.since FROM entry e JOIN event v ON v.id = e.seq >> {SLOTS}"  # noqa: S608
            " WHERE e.seq = ? AND e.token = ? AND e.state = 0",
            (claim.key, int(claim.token)),
        ).fetchone()
        if found is None:
            self._result.late += 1
        elif found[0] or (outcome.kind != "dead" and self._notes.mark_of(*found[1:])):
            self.drop([claim.key], PURGED)
        elif outcome.kind == "dead":
            self.kill(claim.key, claim.event_id, outcome.reason or "unknown")
        else:
            self._execute(
                "UPDATE entry SET token = NULL, lost = 0, ready = ?, attempts = attempts - ?,"
                " reason = coalesce(?, reason) WHERE seq = ?",
                (now + outcome.after, outcome.kind == "unsent", outcome.reason, claim.key),
            )

    def extend(self, extension: LeaseExtension) -> None:
        """Extend the leases of claims."""
        until = self._state.now + extension.lease
        self._connection.executemany(
            "UPDATE entry SET ready = ? WHERE seq = ? AND token = ?",
            [(until, claim.key, int(claim.token)) for claim in extension.claims],
        )

    def kill(self, seq: int, event_id: str, reason: str) -> None:
        """Make an entry a dead letter."""
        (number, share) = self._execute("SELECT destination, share FROM entry WHERE seq = ?", (seq,)).fetchone()
        name = self._state.name_of(number) or ""
        self._notes.note(event_id, name, Dead(reason))
        self._execute(PROMOTE, (self._state.now, seq))
        self._execute(
            "UPDATE entry SET state = 2, head = 0, token = NULL, reason = ?, ready = ? WHERE seq = ?",
            (reason, self._state.now, seq),
        )
        self._state.add(-1, -share)
        counts = self._state.of(name).counts
        counts.move("waiting", "dead")
        if counts.dead > self._quotas.max_dead:
            query = "SELECT seq FROM entry WHERE destination = ? AND state = 2 ORDER BY ready LIMIT ?"
            self.drop([old for (old,) in self._execute(query, (number, counts.dead - self._quotas.max_dead))], FULL)

    def drop(self, seqs: Sequence[int], reason: str) -> None:
        """Drop and count entries, in the order of their partitions."""
        for seq in seqs:
            found = self._execute(
                f"SELECT e.destination, e.state, e.share, v.event_id FROM entry e LEFT JOIN event v ON v.id = e.seq >> {SLOTS}"  # noqa: S608, E501
                " WHERE e.seq = ?",
                (seq,),
            ).fetchone()
            if found is None:
                continue
            number, state, share, event_id = found
            name = self._state.name_of(number)
            self._remove([(seq, share)], is_counted=state != DEAD)
            if name is not None and state < len(STATES):
                self._state.of(name).counts.drop(STATES[int(state)], reason)
                self._notes.note(event_id or "", name, Dropped(reason))
                self._result.dropped.append((event_id or "", name, reason))

    def _remove(self, removed: Sequence[tuple[int, int]], *, is_counted: bool = True) -> None:
        """Remove entries, given with their bytes, and events without entries."""
        for seq, share in removed:
            self._execute(PROMOTE, (self._state.now, seq))
            self._execute(DELETE_ENTRY, (seq,))
            self._execute(DELETE_EVENT, (seq, seq, seq))
            if is_counted:
                self._state.add(-1, -share)

    def quarantine(self, row: ClaimableRow) -> None:
        """Set a damaged row aside, drop it and count it."""
        kept = [row.event_id, row.visitor, row.names, row.payload.hex() if isinstance(row.payload, bytes) else None]
        text = dumps([value if isinstance(value, str) else repr(value) for value in kept]).decode("utf-8", "replace")
        self._execute("INSERT INTO damaged VALUES (?, ?, ?)", (row.seq, self._state.now, text))
        self.drop([row.seq], DAMAGED)

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
        self.drop([seq for (seq,) in old], EXPIRED)
        self._notes.expire()
