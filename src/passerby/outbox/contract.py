"""The contract of a store: where recorded events wait, and the queue from which they are claimed.

A store has two verbs. `exchange` takes a batch of everything that one process wants and returns the result; `read`
shows what waits. Memory, SQLite and later Redis and PostgreSQL differ only in these. Every store is held to this text
by the same tests.

`exchange` is used by one thread of a process at a time. It may take long, and raises StorageError. It applies the parts
of a batch in this order: outcomes, extensions, service reports; recorded events; requests; claims. The recorded part is
atomic, and so is the part with outcomes and claims.

* **Time** is the store's. A batch holds durations only, so the clocks of two processes are never compared.
* **Writer and number**: the recorded events and requests of a number are never applied twice. A batch that is repeated,
  because its result was lost, gets the same claims again; outcomes and reports that came since may go with it. A store
  remembers a writer for `WRITER_AGE` after its last use. `previous` is the number it had before: a gap means that the
  store has lost batches that it had acknowledged.
* **Recorded** events wait at each destination in their visitor's partition, in the order in which they reached the
  store. Held ones wait until they are released, which puts them behind what waits already.
* **Claims**: being claimed is being due again when the lease ends. Only the head of a partition can be claimed, and
  with it the events behind it where a request asks for a `run`. A claim is fenced by its token.
* **Attempts** are counted at the claim. An event whose lease ended `LOST_BEFORE_ALONE` times without an outcome is
  claimed alone; `LOST_ALONE` more make it a dead letter.
* **Outcomes**: *delivered* always counts, since it is true. The others count only while the claim's token holds; those
  that came too late are counted. *unsent* gives the attempt back.
* **Service state** (breaker, ramp-up, not-before) is the store's: it limits the claims of all processes together.
* **Links** say which browser ID the events of a visit belong to. The first link of a visit holds. Its events move, in
  their order, before what waits for the browser and behind what is claimed. The last browser ID of a user replaces the
  one before. Both answer with what held before.
* **Purge** of a visitor or a user drops what waits, is held or is dead, and sets a mark. A call under way is not called
  back; any outcome but delivered then drops the event. What was recorded before the mark is dropped when it arrives
  later. Links to the visitor are forgotten, and their visits are marked too. *suppressed* marks drop all that comes. A
  store keeps marks as keyed hashes.
* **Counts** always add up: recorded = delivered + waiting + held + dead + dropped.
* **Watched** event IDs are those that a caller waits for. Their outcomes are kept for `WATCH_AGE`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, Protocol

from ..values.outcome import Outcome
from .counts import DestinationCounts
from .reading import StorePage, StoreQuery

LOST_BEFORE_ALONE = 3
LOST_ALONE = 5
POISON = "worker died while sending it"
DAY = 86_400.0  # seconds
WRITER_AGE = 2 * DAY
WATCH_AGE = 60.0  # seconds
MARK_AGE = 30 * DAY  # as long as dead letters are kept
EXPIRE_EVERY = 30.0  # seconds between two looks for what is too old
MAX_HELD = 100  # events of one visitor
MAX_DEAD = 10_000  # dead letters of one destination
MAX_LINKS = 100_000
MAX_BATCH = 200  # events
FULL, PURGED, CLEARED, EXPIRED, DAMAGED, SUPPRESSED = "full", "purged", "cleared", "expired", "damaged", "suppressed"
LOST = "lost at exit"
INTERNAL = "internal"

WhenFull = Literal["drop_newest", "drop_oldest", "raise"]
SettlementKind = Literal["delivered", "dead", "retry", "unsent"]
CommandKind = Literal[
    "release", "clear", "purge_visitor", "suppress", "retry_dead", "purge_dead", "send_now", "abandon"
]


class StorageError(Exception):
    """The store did not do what it should; the batch may be repeated.

    Attributes:
        reason: why, in a few words, without a name or a value of an event.
        is_final: whether repeating it will not help, because the configuration is wrong.
    """

    def __init__(self, reason: str, *, is_final: bool = False) -> None:
        self.reason = reason
        self.is_final = is_final
        super().__init__(reason)


class RecordedEvent(NamedTuple):
    """One accepted event on its way to the store.

    Attributes:
        event_id: its ID.
        visitor: its partition.
        destinations: where it is to be delivered.
        payload: the encoded event, see `codec`.
        at: when it was recorded, on the clock of `ExchangeBatch.at`.
        user_id: the user, if known; so that it can be purged.
        held: whether it waits for a release.
        is_linked: whether it had a browser ID when it was recorded.
    """

    event_id: str
    visitor: str
    destinations: Sequence[str]
    payload: bytes
    at: float
    user_id: str | None = None
    held: bool = False
    is_linked: bool = True


class ClaimedEvent(NamedTuple):
    """One event for one destination, claimed until its lease ends.

    Attributes:
        destination: the destination's name.
        key: how the store finds it; opaque.
        token: the fence of this claim.
        event_id: its ID.
        visitor: its partition.
        browser_id: the ID that a link has given it since it was recorded, or None.
        payload: the encoded event.
        attempts: how often it was claimed, this claim included, less what was given back unsent.
        age: seconds since it was recorded.
        is_alone: whether nothing else may be sent by this process meanwhile, because it may end processes.
    """

    destination: str
    key: int
    token: str
    event_id: str
    visitor: str
    browser_id: str | None
    payload: bytes
    attempts: int
    age: float
    is_alone: bool = False


class Settlement(NamedTuple):
    """What became of a claimed event.

    Attributes:
        claim: the claim.
        kind: "delivered", "dead", "retry" or "unsent".
        after: for a retry: seconds until it is due again.
        reason: for dead and retry: why, without values of the event.
        response: for delivered: the destination's parsed response, for those who wait for it.
    """

    claim: ClaimedEvent
    kind: SettlementKind
    after: float = 0.0
    reason: str | None = None
    response: Any = None


class ClaimRequest(NamedTuple):
    """A wish for events to send.

    Attributes:
        destination: the destination's name.
        limit: how many at most.
        lease: seconds.
        codecs: the codec versions that this process can decode.
        run: how many consecutive events of one visitor may be claimed together.
        takes_alone: whether this process has nothing in flight, so that it may get an event that is sent alone.
    """

    destination: str
    limit: int
    lease: float
    codecs: Sequence[int]
    run: int = 1
    takes_alone: bool = False


class LeaseExtension(NamedTuple):
    """Claims that are still being worked on: they are due again after so many seconds from now."""

    claims: Sequence[ClaimedEvent]
    lease: float


class ServiceReport(NamedTuple):
    """What a call said about a destination's service.

    Attributes:
        destination: the destination's name.
        kind: "success", "failure", or "abandoned" for a probe that ended without saying anything; "hurry" ends the
            ramp-up, because a flush waits.
        after: seconds for which the service asked to be left alone, if it did; with "hurry" those in which no ramp-up
            begins.
        pause: for a failure: seconds for which the breaker opens the first time.
        reason: for a failure: why, for the log.
    """

    destination: str
    kind: Literal["success", "failure", "abandoned", "hurry"]
    after: float | None = None
    pause: float = 1.0
    reason: str = ""


class StoreCommand(NamedTuple):
    """An operation on many events; its answer is how many entries it concerned.

    Attributes:
        kind: what to do. "release" and "clear" concern the held events of a visitor; "release" answers with events.
            "abandon" drops all that a store which is not durable would lose at the exit.
        who: the visitor or user of release, clear, purge_visitor and suppress.
        destination: of retry_dead and purge_dead: only this one.
        event_id: of retry_dead and purge_dead: only this one.
    """

    kind: CommandKind
    who: str = ""
    destination: str | None = None
    event_id: str | None = None


class BrowserLink(NamedTuple):
    """A visit or a user and its browser ID; the answer is the ID that held before, or None."""

    kind: Literal["visit", "user"]
    key: str
    browser_id: str


class BrowserIdExchange(NamedTuple):
    """Unused browser IDs of an issuer: some are put back, some are wanted; the answer is the list of those taken."""

    issuer: str
    put_back: Sequence[str] = ()
    wanted: int = 0


StoreRequest = StoreCommand | BrowserLink | BrowserIdExchange


@dataclass(slots=True)
class ExchangeBatch:
    """All that one process wants of a store at a moment.

    Attributes:
        writer: 128 random bits in hexadecimal, of this process since its start or fork.
        number: of this batch; a batch that is repeated has the same. 0 for one without recorded events and requests,
            which need not be remembered.
        at: the time on the writer's own clock, with which those of recorded events are compared.
        dropped: counts of events that were not recorded: destination, reason, number.
        watched: the event IDs whose outcomes a caller waits for.
        counts: whether the result shall have the counts.
    """

    writer: str
    number: int
    at: float
    outcomes: Sequence[Settlement] = ()
    extensions: Sequence[LeaseExtension] = ()
    reports: Sequence[ServiceReport] = ()
    recorded: Sequence[RecordedEvent] = ()
    dropped: Sequence[tuple[str, str, int]] = ()
    requests: Sequence[StoreRequest] = ()
    wanted: Sequence[ClaimRequest] = ()
    watched: Sequence[str] = ()
    counts: bool = False


@dataclass(slots=True)
class ExchangeResult:
    """What a store answers.

    Attributes:
        previous: the number of the writer's last batch that the store knew, or 0.
        number: the same after this batch. A batch that changed nothing may leave it as it was.
        claimed: the events claimed.
        late: how many outcomes came too late.
        answers: the answer to each request.
        settled: of watched events: ID, destination, outcome.
        dropped: events that were recorded or held and are not kept: ID, destination, reason.
        counts: by destination, of those that wanted or touched something, or of all if the batch asked for counts.
        room: how many more entries the store takes; 0 or less if it is full.
        deliverer_age: seconds since any process last claimed, or None if none has.
        goes_on: whether the store has work of its own left, such as salvage, so that the next exchange comes soon.
    """

    previous: int
    number: int = 0
    claimed: list[ClaimedEvent] = field(default_factory=list[ClaimedEvent])
    late: int = 0
    answers: list[Any] = field(default_factory=list[Any])
    settled: list[tuple[str, str, Outcome]] = field(default_factory=list[tuple[str, str, Outcome]])
    dropped: list[tuple[str, str, str]] = field(default_factory=list[tuple[str, str, str]])
    counts: Mapping[str, DestinationCounts] = field(default_factory=dict[str, DestinationCounts])
    room: int = 1
    deliverer_age: float | None = None
    goes_on: bool = False

    @property
    def is_full(self) -> bool:
        """Whether the store takes no more events."""
        return self.room <= 0


@dataclass(frozen=True, slots=True)
class Quotas:
    """How much a store keeps.

    Attributes:
        max_events: entries (an event at a destination) that wait or are held.
        max_bytes: of their payloads.
        when_full: "drop_newest" and "raise" take no more; "drop_oldest" makes room.
        max_held: events held for one visitor.
        max_dead: dead letters of one destination; the oldest are dropped.
        held_age: seconds after which held events are dropped.
        dead_letter_age: seconds after which dead letters are dropped.
    """

    max_events: int = 1_000_000
    max_bytes: int = 1 << 30
    when_full: WhenFull = "drop_newest"
    max_held: int = MAX_HELD
    max_dead: int = MAX_DEAD
    held_age: float = DAY
    dead_letter_age: float = 30 * DAY


class EventStore(Protocol):
    """See the contract above.

    Attributes:
        is_durable: whether what is stored survives the process.
    """

    is_durable: bool

    def exchange(self, batch: ExchangeBatch) -> ExchangeResult: ...
    def read(self, query: StoreQuery) -> StorePage: ...
    def listen(self, on_stored: Callable[[], None]) -> float:
        """Call a function, in any thread, when another process has stored events. Returns how often to poll beside."""
        ...

    def close(self) -> None:
        """Let go of all files and connections; the next exchange opens them again."""
        ...

    def reset_after_fork(self) -> None:
        """In a forked child: use nothing of the parent's any more, and close nothing of it."""
        ...
