"""The requests of a batch as statements: commands, links, browser IDs."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import Any

from ..codec import KNOWN
from ..contract import (
    CLEARED,
    MAX_LINKS,
    PURGED,
    SUPPRESSED,
    BrowserIdExchange,
    BrowserLink,
    StoreCommand,
    StoreRequest,
)
from .notes import NotesTransaction
from .queue import QueueTransaction
from .rows import LAST_SLOT, ROOM, SLOTS, event_sum, part_of
from .state import StoreState

_FIRST = "SELECT seq FROM entry WHERE part = ? AND state = 0 AND destination = ? ORDER BY place LIMIT 1"
_RELEASE = """
UPDATE entry SET state = 0, place = ?, ready = ?, head = NOT EXISTS (SELECT 1 FROM entry o
  WHERE o.part = entry.part AND o.state = 0 AND o.destination = entry.destination) WHERE seq = ?
"""
_LETTERS = f"""
SELECT e.seq, e.destination, e.share FROM entry e JOIN event v ON v.id = e.seq >> {SLOTS}
WHERE e.state = 2 AND e.destination = ? AND (? IS NULL OR v.event_id = ?) ORDER BY e.place
"""  # noqa: S608 - a number of ours


class RequestTransaction:
    """Answers requests in a transaction.

    Args:
        connection: in a transaction.
        state: what every exchange reads.
        queue: the same transaction's events.
        notes: its links and marks.

    Attributes:
        has_erased: whether something was erased, so that nothing of it may stay in the log.
    """

    def __init__(
        self, connection: sqlite3.Connection, state: StoreState, queue: QueueTransaction, notes: NotesTransaction
    ) -> None:
        self._execute = connection.execute
        self._executemany = connection.executemany
        self._state = state
        self._queue = queue
        self._notes = notes
        self.has_erased: bool = False

    def answer(self, request: StoreRequest) -> Any:
        """Do what is asked for; return the answer."""
        if isinstance(request, BrowserIdExchange):
            return self._exchange_browser_ids(request)
        if isinstance(request, BrowserLink):
            return self._link(request)
        match request.kind:
            case "release":
                return self._release(request.who)
            case "clear":
                held = self._held(request.who)
                self._queue.drop(held, CLEARED)
                return len({seq >> SLOTS for seq in held})
            case "purge_visitor" | "suppress":
                return self._purge(request)
            case "send_now":
                return self._send_now()
            case "purge_dead":
                letters = [seq for seq, _, _ in self._letters(request)]
                self._queue.drop(letters, PURGED)
                self.has_erased |= bool(letters)
                return len(letters)
            case "retry_dead":
                return self._retry_dead(request)

    def _held(self, who: str) -> list[int]:
        visitor = self._notes.browser_of(who) or who
        query = "SELECT seq FROM entry WHERE part = ? AND state = 1 ORDER BY place"
        return [seq for (seq,) in self._execute(query, (part_of(visitor),)).fetchall()]

    def _release(self, who: str) -> int:
        held, now = self._held(who), self._state.now
        for seq in held:
            self._execute(_RELEASE, (self._new_place(), now, seq))
            self._counts_of(seq).move("held", "waiting")
        return len({seq >> SLOTS for seq in held})

    def _new_place(self) -> int:
        """Return a place behind all that waits."""
        return self._state.next() << SLOTS + ROOM

    def _counts_of(self, seq: int) -> Any:
        (number,) = self._execute("SELECT destination FROM entry WHERE seq = ?", (seq,)).fetchone()
        return self._state.of(self._state.name_of(number) or "").counts

    def _letters(self, command: StoreCommand) -> list[tuple[int, int, int]]:
        rows = self._state.destinations
        names = list(rows) if command.destination is None else [command.destination]
        numbers = [rows[name].number for name in names if name in rows]
        wanted = command.event_id, command.event_id
        return [letter for number in numbers for letter in self._execute(_LETTERS, (number, *wanted)).fetchall()]

    def _retry_dead(self, command: StoreCommand) -> int:
        letters, now = self._letters(command), self._state.now
        for seq, _, share in letters:
            self._execute("UPDATE entry SET attempts = 0, lost = 0, since = ? WHERE seq = ?", (now, seq))
            self._execute(_RELEASE, (self._new_place(), now, seq))
            self._counts_of(seq).move("dead", "waiting")
            self._state.add(1, share)
        return len(letters)

    def _send_now(self) -> int:
        query = """UPDATE entry SET ready = ?
            WHERE destination = ? AND codec = ? AND head = 1 AND ready > ? AND token IS NULL"""
        numbers = [row.number for row in self._state.destinations.values()]
        pairs = [(number, codec) for number in numbers for codec in KNOWN]
        now = self._state.now
        return sum(self._execute(query, (now, *pair, now)).rowcount for pair in pairs)

    # Purge.

    def _purge(self, command: StoreCommand) -> int:
        who, now = command.who, self._state.now
        if not who:
            return 0
        visitor = self._notes.browser_of(who) or who
        kind = SUPPRESSED if command.kind == "suppress" else "erased"
        query = "SELECT key FROM link WHERE kind = 'visit' AND browser_id = ?"
        visits = [str(key) for (key,) in self._execute(query, (visitor,))]  # whose events may still be on their way
        for each in {who, visitor, *visits}:
            self._execute("INSERT OR REPLACE INTO mark VALUES (?, ?, ?)", (kind, self._notes.digest_of(each), now))
        self._state.values["marks"] += 1
        concerned = 0
        for seq, is_claimed in list(self._of_person(who, visitor)):
            if is_claimed:
                self._execute("UPDATE entry SET withdrawn = 1 WHERE seq = ?", (seq,))
            else:
                self._queue.drop([seq], PURGED)
                concerned += 1
        self._execute("DELETE FROM link WHERE key = ? OR browser_id = ?", (who, visitor))
        self._execute("DELETE FROM damaged")  # nobody can say whose these rows are
        self.has_erased = True
        return concerned

    def _of_person(self, who: str, visitor: str) -> Iterator[tuple[int, bool]]:
        """Yield the entries of a visitor or user, in their order, and whether each is being sent."""
        columns = "seq, state = 0 AND token IS NOT NULL AND ready > ?"
        query = f"SELECT {columns} FROM entry WHERE part = ? ORDER BY state, place"  # noqa: S608
        seen: set[int] = set()
        for seq, is_claimed in self._execute(query, (self._state.now, part_of(visitor))):
            seen.add(seq)
            yield seq, bool(is_claimed)
        query = f"""SELECT {columns} FROM event v
            JOIN entry ON seq BETWEEN v.id << {SLOTS} AND v.id << {SLOTS} | {LAST_SLOT}
            WHERE v.user_id = ? ORDER BY seq"""  # noqa: S608
        for seq, is_claimed in self._execute(query, (self._state.now, who)):
            if seq not in seen:
                yield seq, bool(is_claimed)

    # Links and browser IDs.

    def _link(self, link: BrowserLink) -> str | None:
        found = self._execute(
            "SELECT browser_id FROM link WHERE kind = ? AND key = ?", (link.kind, link.key)
        ).fetchone()
        before = None if found is None else str(found[0])
        if before is None or link.kind == "user":
            self._execute("INSERT OR REPLACE INTO link VALUES (?, ?, ?, ?)", (*link, self._state.now))
            self._forget_old_links()
        if before is None and link.kind == "visit" and link.key != link.browser_id:
            self._move(part_of(link.key), part_of(link.browser_id), link.browser_id)
        return before

    def _forget_old_links(self) -> None:
        values = self._state.values
        values["links"] += 1
        if values["links"] > MAX_LINKS:
            old = "SELECT rowid FROM link ORDER BY at LIMIT ?"
            values["links"] -= self._execute(f"DELETE FROM link WHERE rowid IN ({old})", (MAX_LINKS // 10,)).rowcount  # noqa: S608

    def _move(self, visit: int, browser: int, browser_id: str) -> None:
        """Move the entries of a visit to its browser: before what waits there, behind what is claimed."""
        events: set[int] = set()
        for row in self._state.destinations.values():
            query = "SELECT seq FROM entry WHERE part = ? AND state = 0 AND destination = ? ORDER BY place"
            moved = [seq for (seq,) in self._execute(query, (visit, row.number))]
            if moved:
                self._move_waiting(moved, browser, row.number)
                events |= {seq >> SLOTS for seq in moved}
        query = "SELECT seq FROM entry WHERE part = ? AND state > 0"
        events |= {seq >> SLOTS for (seq,) in self._execute(query, (visit,))}
        self._execute("UPDATE entry SET part = ? WHERE part = ? AND state > 0", (browser, visit))
        for number in events:
            query = "SELECT event_id, user_id, names FROM event WHERE id = ?"
            for event_id, user_id, names in self._execute(query, (number,)).fetchall():
                check = event_sum(event_id, browser_id, user_id, browser_id, names)
                self._execute(
                    "UPDATE event SET visitor = ?, browser_id = ?, sum = ? WHERE id = ?",
                    (browser_id, browser_id, check, number),
                )

    def _move_waiting(self, moved: list[int], browser: int, destination: int) -> None:
        first, end = None, None
        query = """SELECT seq, place, token IS NOT NULL AND ready > ? FROM entry
            WHERE part = ? AND state = 0 AND destination = ? ORDER BY place"""
        for seq, place, is_claimed in self._execute(query, (self._state.now, browser, destination)):
            first = first or seq
            if not is_claimed:
                end = place
                break
        start = self._new_place() if end is None else end - len(moved)
        self._executemany("UPDATE entry SET head = 0 WHERE seq = ?", [(moved[0],), (first,)])
        self._executemany(
            "UPDATE entry SET part = ?, place = ? WHERE seq = ?",
            [(browser, start + number, seq) for number, seq in enumerate(moved)],
        )
        (first,) = self._execute(_FIRST, (browser, destination)).fetchone()
        self._execute("UPDATE entry SET head = 1 WHERE seq = ?", (first,))

    def _exchange_browser_ids(self, request: BrowserIdExchange) -> list[str]:
        issuer = request.issuer
        self._executemany("INSERT OR IGNORE INTO spare VALUES (?, ?)", [(issuer, each) for each in request.put_back])
        query = "SELECT browser_id FROM spare WHERE issuer = ? LIMIT ?"
        taken = [str(each) for (each,) in self._execute(query, (issuer, request.wanted))]
        self._executemany("DELETE FROM spare WHERE issuer = ? AND browser_id = ?", [(issuer, each) for each in taken])
        return taken
