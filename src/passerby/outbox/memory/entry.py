"""One event at one destination, in memory."""

from __future__ import annotations

from ..contract import LOST_BEFORE_ALONE, ClaimedEvent, RecordedEvent
from ..counts import EntryState
from ..reading import StoredEntry


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
        self.visitor: str = visitor
        self.browser_id = browser_id
        self.state: EntryState = "held" if event.held else "waiting"
        self.share: int = len(event.payload) // len(event.destinations)
        self.since: float = now
        self.ready: float = now
        self.token: str | None = None
        self.reason: str | None = None
        self.attempts: int = 0
        self.lost: int = 0
        self.is_withdrawn: bool = False

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

    def show(self, now: float) -> StoredEntry:
        """Return what is to be read of it."""
        event = self.event
        return StoredEntry(
            self.destination,
            self.state,
            event.event_id,
            self.visitor,
            event.payload,
            self.attempts,
            self.reason,
            now - self.since,
            self.ready - now,
        )
