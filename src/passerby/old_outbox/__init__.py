"""The outbox: where events wait until every destination has answered for them.

The contract, to which every outbox is held by the same tests:

* `put` records an event once for each of its destinations, as *waiting*. From the moment the observer hears
  `on_stored`, the event survives whatever this outbox survives. If the outbox is full the event is dropped and counted,
  never silently.
* `hold` records an event as *held*: it waits for `release`, which makes the held events of a visitor waiting, in the
  order in which they were held, behind whatever of that visitor waits already; or for `clear`, which drops and counts
  them.
* `acquire` hands out entries of one destination for sending, at most one of each visitor at a time: the first that is
  not yet settled. An entry that is waiting for a later attempt is not handed out before it is due, and neither is
  anything behind it of the same visitor; other visitors are not affected. What is acquired stays so until it is
  settled.
* `settle_*` says what became of an acquired entry: delivered, dead, or to be tried again at a given time. Delivered
  entries are forgotten, and their events with them; dead ones are kept as dead letters; when there are too many the
  oldest is dropped and counted.
* `link` says which browser ID the events of a visit without one belong to, unless that was said before, and returns the
  one that holds; entries acquired later carry it, what is held for the visit is held for the browser,
  and what the browser tells comes behind what its visit told.
* `held` says how many events are held for a visitor.
* `purge_visitor` drops all that is kept of a visitor, given by browser ID or user ID: what waits, is held, or is dead,
  counted as "purged". What is being sent is not called back, but not kept if that fails. `retry_dead` has dead letters
  wait again as if they were told now, with no attempts; `purge_dead` drops them; both take a destination and an event
  ID, of which None stands for all. `send_now` has what waits for a later attempt be due. What was told before is
  concerned, what is told later not; nothing more of it is handed out once the call has returned. Each gives what to
  wait for until it is done on disk as well: how many entries were concerned.
* Processes that share a folder hear of it when one lets go of what is held for a visitor, or does one of these four,
  and do so with what they have. `claim_browser_ids` gives IDs that one of them has put back (`put_back_browser_ids`),
  each at most once; none where nothing is shared.
* `tally` counts, per destination, and always adds up: enqueued = delivered + waiting + held + dead + dropped. What an
  outbox finds of earlier processes is enqueued as well.
* `waiting` and `held_in_all` count the entries of those states, over all destinations; `unstored` those of them that
  are not recorded on disk: they are lost if the process dies.
* `start` has an outbox look for what earlier processes left behind, and gives what to wait for until that is here;
  `arriving` gives the same as long as it is not here, else None. What was told before files were closed arrives too.
  `when_stored` gives what to wait for until all that was told so far is recorded and the observers have heard so, or
  None if they have; `flush_to_disk` waits for it, and so does `close`, which then lets go of all files; a later call
  opens them again. Both say whether everything is recorded. While an outbox with files `is_closed`, nothing is
  acquired: what waits is for whoever opens the files next. `state` is "ok", or "degraded: " and why what is told now
  would not survive.
  `on_ready` is called, in any thread, when there may be more to acquire than the callers know of.
* `give_up_at_exit` is called when the process ends and nothing more will be delivered: what waits or is held in memory
  only is dropped and counted as "lost at exit"; what is to be found on disk stays. Returns how many were dropped.
* `before_fork` and `after_fork_in_parent` enclose a fork: in between, no thread of the outbox works.

Times are seconds on the clock of whoever calls; an outbox only compares them. All methods may be called from any
thread, return at once but for `flush_to_disk` and `close`, and raise nothing but what is said here: where an outbox is
told to raise when it is full, `put` and `hold` raise ValidationError, and nothing of the event is recorded or counted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Protocol

from ..events.event import Event
from ..values.outcome import Outcome


class Observer(Protocol):
    """Who wants to know what becomes of an event."""

    def on_stored(self) -> None:
        """The event is recorded."""
        ...

    def on_settled(self, destination: str, outcome: Outcome) -> None:
        """A destination's outcome is known."""
        ...


class Entry(Protocol):
    """One event for one destination, acquired for sending."""

    @property
    def event(self) -> Event: ...
    @property
    def attempts(self) -> int: ...
    @property
    def since(self) -> float: ...


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """An event that a destination will never take.

    Attributes:
        event: the event.
        destination: the destination's name.
        reason: why.
        attempts: how often it was tried.
    """

    event: Event
    destination: str
    reason: str
    attempts: int


@dataclass(slots=True)
class Tally:
    """The counts of one destination.

    Attributes:
        enqueued: all events that were told.
        delivered: those the destination took.
        waiting: those that wait to be sent, are being sent or wait to be tried again.
        held: those in event queues.
        dead: those among the dead letters.
        dropped: those not kept, by reason.
        unlinked: those recorded before their visitor had a browser ID.
    """

    enqueued: int = 0
    delivered: int = 0
    waiting: int = 0
    held: int = 0
    dead: int = 0
    dropped: dict[str, int] = field(default_factory=dict[str, int])
    unlinked: int = 0


class Outbox(Protocol):
    """See the contract above.

    Attributes:
        is_durable: whether what is recorded survives the process.
    """

    is_durable: bool
    on_ready: Callable[[], None] | None

    def put(self, event: Event, destinations: Sequence[str], observer: Observer, now: float) -> None: ...
    def hold(self, event: Event, destinations: Sequence[str], observer: Observer, now: float) -> None: ...
    def release(self, visitor: str) -> int: ...
    def clear(self, visitor: str) -> int: ...
    def held(self, visitor: str) -> int: ...
    def drop(self, destinations: Sequence[str], reason: str) -> None: ...
    def acquire(self, destination: str, limit: int, now: float) -> Sequence[Any]: ...
    def settle_delivered(self, entry: Any, answer: Any) -> None: ...
    def settle_dead(self, entry: Any, reason: str) -> None: ...
    def settle_retry(self, entry: Any, due: float, reason: str | None = None) -> None: ...
    def next_due(self, destination: str) -> float | None: ...
    def link(self, visitor: str, browser_id: str) -> str: ...
    def tally(self, destination: str) -> Tally: ...
    def purge_visitor(self, visitor: str) -> Future[int]: ...
    def retry_dead(self, now: float, destination: str | None = None, event_id: str | None = None) -> Future[int]: ...
    def purge_dead(self, destination: str | None = None, event_id: str | None = None) -> Future[int]: ...
    def send_now(self) -> Future[int]: ...
    def claim_browser_ids(self, issuer: str, number: int) -> Future[list[str]]: ...
    def put_back_browser_ids(self, issuer: str, browser_ids: Sequence[str]) -> None: ...
    def waiting(self) -> int: ...
    def held_in_all(self) -> int: ...
    def unstored(self) -> int: ...
    def dead_letters(self, destination: str) -> Sequence[DeadLetter]: ...
    @property
    def destinations(self) -> Sequence[str]:
        """All destinations there are figures of, also of those that are no longer configured."""
        ...

    @property
    def state(self) -> str: ...
    @property
    def is_recording(self) -> bool:
        """Whether what is told now is soon recorded."""
        ...

    @property
    def is_closed(self) -> bool: ...
    def start(self) -> Future[None]: ...
    def arriving(self) -> Future[None] | None: ...
    def when_stored(self) -> Future[None] | None: ...
    def flush_to_disk(self, timeout: float) -> bool: ...
    def close(self, timeout: float) -> bool: ...
    def give_up_at_exit(self) -> int: ...
    def before_fork(self) -> None: ...
    def after_fork_in_parent(self) -> None: ...
    def reset_after_fork(self) -> None:
        """After a fork, in the child: let go of what belongs to the parent, without touching its files."""
        ...
