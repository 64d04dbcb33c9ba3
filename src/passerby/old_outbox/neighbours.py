"""The other processes of the folder: telling them what they are to do as well, and doing what they tell."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from logging import Logger
from math import inf

from ..logs import get_logger
from .board import SLICE, Board, Notice, Unused, read_which_dead
from .database import LOCKED, NewerFile, Trouble
from .row import Heard, Row
from .stock import Stock
from .upkeep import Upkeep

log: Logger = get_logger("passerby.outbox")

LISTEN = 1.0  # seconds between two looks at the board
RETRY = 1.0  # seconds until it is tried again after trouble
PATIENCE = 3.0  # seconds for which others may be writing without end, before that is called trouble
_MOMENT = 0.05  # seconds
KEEP = 600.0  # seconds for which a notice is kept at least: every process has long seen it, and adopted what is left
_OLDEST = 7 * 86_400.0  # seconds after which one is forgotten even if no process lived long enough to see it age


class NotNow(Trouble):
    """Others are writing on the board; it is to be tried again in a moment."""


@dataclass(frozen=True, slots=True)
class Claim:
    """Somebody wants unused browser IDs.

    Attributes:
        answer: what he waits for.
        issuer: whose IDs.
        number: how many at the most.
    """

    answer: Future[list[str]]
    issuer: str
    number: int


class Neighbours:
    """Writes and reads the board for one outbox. Used by one thread at a time, but for `claim` and `look_soon`.

    Args:
        stock: what this process has; what is to be posted waits in its `pending`.
        board: where notices are posted.
        upkeep: does what they ask for.

    Attributes:
        trouble: why the others do not hear what they should; None if they do.
        has_more: whether there may be more to acquire than before.
    """

    def __init__(self, stock: Stock, board: Board, upkeep: Upkeep) -> None:
        self._stock = stock
        self._board = board
        self._upkeep = upkeep
        self._clock = stock.clocks.clock
        self._claims: deque[Claim] = deque()
        self._answers: list[tuple[Claim, list[str]]] = []
        self._seen = 0
        self._is_reading = False
        self._next_look = self._clock()
        self._pause_until = self._next_look
        self._old = 0  # up to this number notices are old at this time
        self._old_at = self._next_look + KEEP
        self._busy_since = inf
        self.trouble: str | None = None
        self.has_more: bool = False

    def claim(self, issuer: str, number: int) -> Future[list[str]]:
        """Ask for unused browser IDs; return what to wait for."""
        claim = Claim(Future(), issuer, number)
        self._claims.append(claim)
        return claim.answer

    def look_soon(self) -> None:
        """Look at the board the next time, however long it is since the last."""
        self._next_look = self._pause_until = self._clock()

    def work(self) -> bool:
        """Do what there is to do; whether there is more. Trouble with the board is not that of the outbox."""
        if self._clock() < self._pause_until:
            return False
        try:
            busy = self._post()
            busy = self._answer() or busy
            busy = self._look() or busy
        except Trouble as trouble:
            self._suffer(trouble)
            return False
        self._busy_since = inf
        if self.trouble is not None:
            log.info("the outboxes of the folder hear of each other again (it was: %s)", self.trouble)
            self.trouble = None
        return busy

    def pause(self) -> float:
        """For how many seconds there is nothing to do."""
        return max(0.0, max(self._next_look, self._pause_until) - self._clock())

    def refuse(self) -> None:
        """Give nothing to those who wait for browser IDs, rather than have them wait for a disk."""
        while self._claims:
            self._answers.append((self._claims.popleft(), []))

    def answers(self) -> list[tuple[Claim, list[str]]]:
        """Return who need not wait for browser IDs any longer, and what they get."""
        answers, self._answers = self._answers, []
        return answers

    @property
    def heard(self) -> Heard:
        """What this process has heard of the others."""
        return Heard(self._board.name, self._seen)

    def about(self, rows: Sequence[Row], heard: Heard) -> list[Notice]:
        """Return the notices that may concern what a dead process left, and that it had not heard of.

        Raises NotNow if that will soon be known.
        """
        waiting = self._stock.pending
        try:
            held = [row for row in rows if row.state == "held"]
            posted = self._board.about([whose for row in held for whose in (row.visitor, row.linked) if whose])
        except Trouble as trouble:
            if trouble.reason == LOCKED:
                raise NotNow(trouble.reason) from None
            posted = []  # what was left behind is not to wait for a board that nobody can read
        with self._stock.lock:
            own = waiting.notices()
        return [one for one in posted if not _has_done(heard, one)] + own

    def forget_old(self) -> None:
        """Forget old notices. Only for who has just found that nobody has left a file behind which they may concern."""
        now = self._clock()
        if now < self._old_at:
            return
        try:
            self._board.forget(self._old, self._stock.clocks.now() - _OLDEST)
        except Trouble:
            return  # the next time
        self._old, self._old_at = self._seen, now + KEEP

    def close(self) -> None:
        """Close the board. Whoever waits for browser IDs gets none."""
        self.refuse()
        with suppress(Trouble):
            self._board.close()

    def leave_to_parent(self) -> list[object]:
        """In a forked child: return what must never be closed here."""
        return self._board.leave_to_parent()

    # Telling.

    def _post(self) -> bool:
        pending = self._stock.pending
        with self._stock.lock:
            postings = pending.postings()
        if not postings:
            return False
        self._board.post(
            [one for one in postings if isinstance(one, Notice)], [one for one in postings if isinstance(one, Unused)]
        )
        with self._stock.lock:
            pending.confirm_posted(len(postings))
            return bool(pending.postings())

    def _answer(self) -> bool:
        if not self._claims:
            return False
        claim = self._claims[0]
        if not claim.answer.cancelled():
            self._answers.append((claim, self._board.claim(claim.issuer, claim.number)))
        self._claims.popleft()
        return bool(self._claims)

    def _suffer(self, trouble: Trouble) -> None:
        now = self._clock()
        if trouble.reason == LOCKED:
            self._busy_since = min(self._busy_since, now)
            if now < self._busy_since + PATIENCE:  # many write at once, and it is another's turn
                self._pause_until = now + _MOMENT
                return
        self.refuse()
        self._next_look = now + RETRY
        if isinstance(trouble, NewerFile):
            self._give_up_posting()
        else:
            self._pause_until = self._next_look
        if self.trouble != trouble.reason:
            log.warning(
                "the outboxes of the folder do not hear of each other (%s): what is held in one is not released by "
                "another until they do",
                trouble.reason,
            )
        self.trouble = trouble.reason

    def _give_up_posting(self) -> None:
        """What is told does not wait for a board that this version will never write."""
        with self._stock.lock:
            pending = self._stock.pending
            while postings := pending.postings():
                pending.confirm_posted(len(postings))

    # Hearing.

    def _look(self) -> bool:
        """Do what the next notices say; whether there are more."""
        if not self._is_reading:
            if self._clock() < self._next_look:
                return False
            self._is_reading = self._board.changed()
        if self._is_reading:
            notices = self._board.after(self._seen)
            for notice in notices:
                self._seen = notice.number
                if notice.poster != self._board.name:
                    self._heed(notice)
            self._is_reading = len(notices) >= SLICE
        if not self._is_reading:
            self._next_look = self._clock() + LISTEN
        return self._is_reading

    def _heed(self, notice: Notice) -> None:
        by = notice.at - self._stock.clocks.offset()
        kind: str = notice.kind
        match kind:
            case "release":
                self.has_more |= self._stock.release(notice.subject, by) > 0
            case "clear":
                self._stock.clear(notice.subject, by)
            case "purge visitor":
                self._upkeep.purge_visitor(notice.subject, by, notice.at)
            case "retry dead" | "purge dead":
                self._heed_about_dead(notice, by)
            case "send now":
                self._upkeep.send_now(notice.at)
            case _:  # of a version to come
                log.warning("another process asks for something that this version does not know: %s", kind)

    def _heed_about_dead(self, notice: Notice, died_by: float) -> None:
        try:
            destination, event_id = read_which_dead(notice.subject)
        except ValueError:
            log.warning("another process asks for dead letters that this version does not understand")
            return
        if notice.kind == "retry dead":
            self._upkeep.retry_dead(destination, event_id, died_by, self._clock())
        else:
            self._upkeep.purge_dead(destination, event_id, died_by, notice.at)


def _has_done(heard: Heard, notice: Notice) -> bool:
    """Whether a dead process had done what a notice says. Of what takes its time, it may have done a part."""
    is_done_at_once = notice.kind in ("release", "clear")
    return is_done_at_once and (notice.number <= heard.number or notice.poster == heard.poster)
