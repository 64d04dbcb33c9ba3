"""The requests of a batch as statements: commands, links, browser IDs."""

from __future__ import annotations

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
from .queue import QueueTransaction
from .rows import LAST_SLOT, ROOM, SLOTS, event_sum, part_of

_WAITING = "SELECT seq FROM entry WHERE part = ? AND state = 0 AND destination = ? ORDER BY place"
_RELEASE = """
UPDATE entry SET state = 0, place = ?, ready = ?, head = NOT EXISTS (SELECT 1 FROM entry o
  WHERE o.part = entry.part AND o.state = 0 AND o.destination = entry.destination) WHERE seq = ?
"""
_LETTERS = f"""
SELECT e.seq, e.destination, ifnull(CAST(e.share AS INTEGER), 0) FROM entry e JOIN event v ON v.id = e.seq >> {SLOTS}
WHERE e.state = 2 AND e.destination = ? AND (? IS NULL OR v.event_id = ?) ORDER BY e.place
"""  # noqa: S608 - a number of ours
_VISITS = "SELECT key FROM link WHERE kind = 'visit' AND browser_id = ?"
_OF_PERSON = f"""
SELECT seq, state = 0 AND token IS NOT NULL AND ready > :now FROM entry WHERE part = :part
UNION SELECT seq, state = 0 AND token IS NOT NULL AND ready > :now FROM event v
  JOIN entry ON seq BETWEEN v.id << {SLOTS} AND v.id << {SLOTS} | {LAST_SLOT} WHERE v.user_id = :who
"""  # noqa: S608 - numbers of ours
_UNCLAIMED = """
SELECT place FROM entry WHERE part = ? AND state = 0 AND destination = ? AND (token IS NULL OR ready <= ?)
ORDER BY place LIMIT 1
"""
_OLD_LINKS = "DELETE FROM link WHERE rowid IN (SELECT rowid FROM link ORDER BY at LIMIT ?)"
_SEND_NOW = """
UPDATE entry SET ready = ? WHERE destination = ? AND codec = ? AND head = 1 AND ready > ? AND token IS NULL
"""


class RequestTransaction(QueueTransaction):
    """The part of a transaction that answers requests.

    Attributes:
        has_erased: whether something was erased, so that nothing of it may stay in the log.
    """

    has_erased: bool = False

    def answer(self, request: StoreRequest) -> Any:
        """Do what is asked for; return the answer."""
        if isinstance(request, BrowserIdExchange):
            return self._exchange_browser_ids(request)
        if isinstance(request, BrowserLink):
            return self._link(request)
        match request.kind:
            case "release" | "clear":
                held = self._held(request.who)
                if request.kind == "clear":
                    self.drop((seq for seq, _ in held), CLEARED)
                else:
                    for seq, number in held:
                        self._release(seq, number, "held")
                return len({seq >> SLOTS for seq, _ in held})
            case "purge_visitor" | "suppress":
                return self._purge(request)
            case "abandon":  # all of it stays on disk
                return 0
            case "send_now":
                pairs = [(row.number, codec) for row in self._state.destinations.values() for codec in KNOWN]
                now = self._state.now
                return sum(self._execute(_SEND_NOW, (now, *pair, now)).rowcount for pair in pairs)
            case "purge_dead":
                letters = self._letters(request)
                self.drop((seq for seq, _, _ in letters), PURGED)
                self.has_erased |= bool(letters)
                return len(letters)
            case "retry_dead":
                return self._retry_dead(request)

    def _held(self, who: str) -> list[tuple[int, int]]:
        query = "SELECT seq, destination FROM entry WHERE part = ? AND state = 1 ORDER BY place"
        return self._execute(query, (part_of(self.browser_of(who) or who),)).fetchall()

    def _release(self, seq: int, number: int, source: Any) -> None:
        """Let an entry wait, behind all that waits."""
        self._execute(_RELEASE, (self._new_place(), self._state.now, seq))
        self._state.of(self._state.name_of(number) or "").counts.move(source, "waiting")

    def _new_place(self) -> int:
        return self._state.next() << SLOTS + ROOM

    def _letters(self, command: StoreCommand) -> list[tuple[int, int, int]]:
        rows, wanted = self._state.destinations, (command.event_id, command.event_id)
        numbers = [row.number for name, row in rows.items() if command.destination in (None, name)]
        return [letter for number in numbers for letter in self._execute(_LETTERS, (number, *wanted)).fetchall()]

    def _retry_dead(self, command: StoreCommand) -> int:
        letters = self._letters(command)
        for seq, number, share in letters:
            self._execute("UPDATE entry SET attempts = 0, lost = 0, since = ? WHERE seq = ?", (self._state.now, seq))
            self._release(seq, number, "dead")
            self._state.add(1, share)
        return len(letters)

    def _purge(self, command: StoreCommand) -> int:
        who, now = command.who, self._state.now
        if not who:
            return 0
        visitor = self.browser_of(who) or who
        kind = SUPPRESSED if command.kind == "suppress" else "erased"
        visits = self._execute(_VISITS, (visitor,)).fetchall()  # whose events may still be on their way
        marks = [(kind, self.digest_of(each), now) for each in (who, visitor, *(visit for (visit,) in visits))]
        self._executemany("INSERT OR REPLACE INTO mark VALUES (?, ?, ?)", marks)
        self._state.values["marks"] += 1
        found = self._execute(_OF_PERSON, {"now": now, "part": part_of(visitor), "who": who}).fetchall()
        dropped = [seq for seq, is_claimed in found if not is_claimed]
        self._executemany("UPDATE entry SET withdrawn = 1 WHERE seq = ?", [(seq,) for seq, claimed in found if claimed])
        self.drop(dropped, PURGED)
        self._execute("DELETE FROM link WHERE kind IN ('visit', 'user') AND key = ?", (who,))  # by its index
        self._execute("DELETE FROM link WHERE browser_id = ?", (visitor,))
        self._execute("DELETE FROM damaged")  # it is unknown whose these rows are
        self.has_erased = True
        return len(dropped)

    # Links and browser IDs.

    def _link(self, link: BrowserLink) -> str | None:
        query = "SELECT browser_id FROM link WHERE kind = ? AND key = ?"
        found = self._execute(query, (link.kind, link.key)).fetchone()
        before = None if found is None else str(found[0])
        if before is None or link.kind == "user":
            self._execute("INSERT OR REPLACE INTO link VALUES (?, ?, ?, ?)", (*link, self._state.now))
            self._state.values["links"] += 1
            if self._state.values["links"] > MAX_LINKS:
                self._state.values["links"] -= self._execute(_OLD_LINKS, (MAX_LINKS // 10,)).rowcount
        if before is None and link.kind == "visit" and link.key != link.browser_id:
            self._move(part_of(link.key), part_of(link.browser_id), link.browser_id)
        return before

    def _move(self, visit: int, browser: int, browser_id: str) -> None:
        """Move the entries of a visit to its browser: before what waits there, behind what is claimed."""
        found = self._execute("SELECT seq FROM entry WHERE part = ?", (visit,))
        events = {seq >> SLOTS for (seq,) in found}
        for row in self._state.destinations.values():
            moved = [seq for (seq,) in self._execute(_WAITING, (visit, row.number))]
            if moved:
                self._move_waiting(moved, browser, row.number)
        self._execute("UPDATE entry SET part = ? WHERE part = ? AND state > 0", (browser, visit))
        for number in events:
            query = "SELECT event_id, user_id, names FROM event WHERE id = ?"
            for event_id, user_id, names in self._execute(query, (number,)).fetchall():
                check = event_sum(event_id, browser_id, user_id, browser_id, names)
                change = "UPDATE event SET visitor = ?, browser_id = ?, sum = ? WHERE id = ?"
                self._execute(change, (browser_id, browser_id, check, number))

    def _move_waiting(self, moved: list[int], browser: int, destination: int) -> None:
        behind = self._execute(_UNCLAIMED, (browser, destination, self._state.now)).fetchone()
        start = behind[0] - len(moved) if behind else self._new_place()
        old_head = self._execute(f"{_WAITING} LIMIT 1", (browser, destination)).fetchone()
        self._executemany("UPDATE entry SET head = 0 WHERE seq = ?", [(moved[0],), old_head or (None,)])
        places = [(browser, start + number, seq) for number, seq in enumerate(moved)]
        self._executemany("UPDATE entry SET part = ?, place = ? WHERE seq = ?", places)
        new_head = self._execute(f"{_WAITING} LIMIT 1", (browser, destination)).fetchone()
        self._execute("UPDATE entry SET head = 1 WHERE seq = ?", new_head)

    def _exchange_browser_ids(self, request: BrowserIdExchange) -> list[str]:
        issuer = request.issuer
        self._executemany("INSERT OR IGNORE INTO spare VALUES (?, ?)", [(issuer, each) for each in request.put_back])
        query = "SELECT browser_id FROM spare WHERE issuer = ? LIMIT ?"
        taken = [str(each) for (each,) in self._execute(query, (issuer, request.wanted))]
        self._executemany("DELETE FROM spare WHERE issuer = ? AND browser_id = ?", [(issuer, each) for each in taken])
        return taken
