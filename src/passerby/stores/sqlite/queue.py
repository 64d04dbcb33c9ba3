"""What becomes of events in one transaction: recorded, claimed, settled, dropped."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from typing import Any, NamedTuple
from zlib import crc32

from ...values.json import dumps, loads
from ...values.outcome import Dead, Delivered, Dropped, Outcome
from ..codec import KNOWN, is_whole, version_of
from ..contract import (
    DAMAGED,
    EXPIRE_EVERY,
    EXPIRED,
    FULL,
    LOST_ALONE,
    LOST_BEFORE_ALONE,
    MARK_AGE,
    MAX_DEAD,
    MAX_HELD,
    POISON,
    PURGED,
    SUPPRESSED,
    WATCH_AGE,
    ClaimedEvent,
    ClaimRequest,
    ExchangeBatch,
    ExchangeResult,
    LeaseExtension,
    Quotas,
    RecordedEvent,
    Settlement,
)
from ..counts import EntryState
from .database import CorruptDatabase
from .state import StoreState

WAITING, HELD, DEAD = 0, 1, 2
STATES: tuple[EntryState, ...] = ("waiting", "held", "dead")
SLOTS = 6  # bits for the destinations of an event
ROOM = 14  # bits between two entries for those of a linked visit
_MOST_DAMAGED = 2  # rows of a file that are quarantined alone
_SKIPPED = 50  # heads that are looked at beyond the limit of a claim
_EXPIRE_AT_ONCE = 200

INSERT_EVENT = "INSERT INTO event VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
INSERT_ENTRY = f"""
INSERT INTO entry (seq, destination, sum, codec, part, state, place, ready, since, share, head)
SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?1 << {ROOM}, ?7, ?7, ?8, ?6 = 0 AND NOT EXISTS (
  SELECT 1 FROM entry WHERE part = ?5 AND state = 0 AND destination = ?2)
"""  # noqa: S608 - a number of ours
# The next of a partition becomes its head, before the head goes. Exactly one head is in each: the first.
PROMOTE = """
UPDATE entry SET head = 1, ready = max(ready, ?2) WHERE seq = (
  SELECT n.seq FROM entry o JOIN entry n ON n.part = o.part AND n.state = 0 AND n.destination = o.destination
    AND n.seq <> o.seq WHERE o.seq = ?1 AND o.head = 1 ORDER BY n.place LIMIT 1)
"""
DELETE_ENTRY = "DELETE FROM entry WHERE seq = ?"
DELETE_EVENT = f"""
DELETE FROM event WHERE id = ?1 >> {SLOTS}
  AND NOT EXISTS (SELECT 1 FROM entry WHERE seq BETWEEN ?1 >> {SLOTS} << {SLOTS} AND ?1 | 63)
"""  # noqa: S608 - numbers of ours
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


class ClaimableRow(NamedTuple):
    """An entry with its event, as read for a claim."""

    seq: int
    sum: int
    token: int | None
    lost: int
    withdrawn: int
    attempts: int
    since: float
    part: int
    place: int
    event_id: str | None
    visitor: str
    user_id: str | None
    browser_id: str | None
    names: str
    event_sum: int
    payload: bytes
    ready: float


class QueueTransaction:
    """One transaction on the events.

    Args:
        connection: in a transaction.
        state: what every exchange reads.
        quotas: how much is kept.
        result: gets what is to be answered.

    Attributes:
        suspects: the destinations at which an event waits to be claimed alone.
    """

    def __init__(self, connection: sqlite3.Connection, state: StoreState, quotas: Quotas, result: ExchangeResult):
        self._connection = connection
        self._execute = connection.execute
        self._state = state
        self._quotas = quotas
        self._result = result
        self._new_events: list[tuple[Any, ...]] = []
        self._new_entries: list[tuple[Any, ...]] = []
        self.suspects: set[str] = set()

    # Recorded.

    def record(self, events: Sequence[RecordedEvent], at: float) -> None:
        """Record events; `at` is the time on their clock."""
        state = self._state
        for event in events:
            browser_id = None if event.is_linked else self.browser_of(event.visitor)
            visitor = browser_id or event.visitor
            since = state.now - max(0.0, at - event.at)
            size, part = len(event.payload), part_of(visitor)
            reason = self.mark_of(visitor, event.user_id, since)
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
            if self._execute(query, (part,)).fetchone()[0] >= MAX_HELD:
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

    # Claims.

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
            self._kill(found.seq, found.event_id or "", POISON)
        elif reason == DAMAGED:
            self.quarantine(found)
        else:
            self.drop([found.seq], reason)

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
            self._note(outcome.claim.event_id, outcome.claim.destination, Delivered(outcome.response))
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
        elif found[0] or (outcome.kind != "dead" and self.mark_of(*found[1:])):
            self.drop([claim.key], PURGED)
        elif outcome.kind == "dead":
            self._kill(claim.key, claim.event_id, outcome.reason or "unknown")
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

    def _kill(self, seq: int, event_id: str, reason: str) -> None:
        """Make an entry a dead letter."""
        (number, share) = self._execute("SELECT destination, share FROM entry WHERE seq = ?", (seq,)).fetchone()
        name = self._state.name_of(number) or ""
        self._note(event_id, name, Dead(reason))
        self._execute(PROMOTE, (seq, self._state.now))
        self._execute(
            "UPDATE entry SET state = 2, head = 0, token = NULL, reason = ?, ready = ? WHERE seq = ?",
            (reason, self._state.now, seq),
        )
        self._state.add(-1, -share)
        counts = self._state.of(name).counts
        counts.move("waiting", "dead")
        if counts.dead > MAX_DEAD:
            query = "SELECT seq FROM entry WHERE destination = ? AND state = 2 ORDER BY ready LIMIT ?"
            self.drop([old for (old,) in self._execute(query, (number, counts.dead - MAX_DEAD))], FULL)

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
                self._state.of(name).counts.drop(STATES[state], reason)
                self._note(event_id or "", name, Dropped(reason))
                self._result.dropped.append((event_id or "", name, reason))

    def _remove(self, removed: Sequence[tuple[int, int]], *, is_counted: bool = True) -> None:
        """Remove entries, given with their bytes, and events without entries."""
        for seq, share in removed:
            self._execute(PROMOTE, (seq, self._state.now))
            self._execute(DELETE_ENTRY, (seq,))
            self._execute(DELETE_EVENT, (seq,))
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
        self._execute("DELETE FROM watch WHERE until < ?", (now,))
        self._execute("DELETE FROM mark WHERE kind = 'erased' AND at < ?", (now - MARK_AGE,))

    # Links, marks, watched.

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
        if not self._state.values["marks"]:
            return None
        for who in filter(None, (visitor, user_id)):
            for kind, at in self._execute("SELECT kind, at FROM mark WHERE digest = ?", (self.digest_of(who),)):
                if kind == SUPPRESSED:
                    return SUPPRESSED
                if at >= since:
                    return PURGED
        return None

    def watch(self, batch: ExchangeBatch) -> None:
        """Note the watched events, and answer with what is known of their outcomes."""
        until = self._state.now + WATCH_AGE
        for event_id in batch.watched:
            found = self._execute("SELECT outcomes FROM watch WHERE event_id = ?", (event_id,)).fetchone()
            outcomes = loads(found[0]) if found else []
            self._execute("INSERT OR REPLACE INTO watch VALUES (?, ?, ?)", (event_id, until, dumps(outcomes).decode()))
            self._result.settled += [(event_id, name, _outcome(*outcome)) for name, *outcome in outcomes]
        if batch.watched:
            self._state.values["watched"] = until

    def _note(self, event_id: str, name: str, outcome: Outcome) -> None:
        """Keep the outcome of an event that somebody watches."""
        if self._state.values["watched"] < self._state.now:
            return
        found = self._execute("SELECT outcomes FROM watch WHERE event_id = ?", (event_id,)).fetchone()
        if found is not None:
            outcomes = [*loads(found[0]), [name, type(outcome).__name__, *asdict(outcome).values()]]
            self._execute("UPDATE watch SET outcomes = ? WHERE event_id = ?", (dumps(outcomes).decode(), event_id))


def _outcome(kind: str, value: Any = None, *_: Any) -> Outcome:
    return Delivered(value) if kind == "Delivered" else Dead(value) if kind == "Dead" else Dropped(value)


def part_of(visitor: str) -> int:
    """Return the number of a visitor's partition. Two visitors with the same one would only wait for each other."""
    digest = hashlib.blake2b(visitor.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def event_sum(event_id: str, visitor: str, user_id: str | None, browser_id: str | None, names: str) -> int:
    """Return the checksum of an event's columns; its payload has one of its own."""
    text = f"{event_id}\n{visitor}\n{user_id}\n{browser_id}\n{names}"
    return crc32(text.encode("utf-8", "surrogatepass"))


def entry_sum(seq: int, destination: int) -> int:
    """Return the checksum of what an entry is."""
    return crc32(b"%d:%d" % (seq, destination))


def is_genuine(row: ClaimableRow, destination: int) -> bool:
    """Return whether a row is as it was written."""
    if row.event_id is None or row.sum != entry_sum(row.seq, destination) or not isinstance(row.payload, bytes):
        return False
    try:
        check = event_sum(row.event_id, row.visitor, row.user_id, row.browser_id, row.names)
    except (UnicodeError, AttributeError):
        return False
    return check == row.event_sum and is_whole(row.payload)
