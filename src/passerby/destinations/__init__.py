"""Destinations: pure code that says which HTTP calls events become, and what an answer means.

A destination does no I/O and knows neither the outbox nor the network; the one sender performs its calls. The protocols
here are public: docs/writing-a-destination.md shows how to write one. What a destination may do besides has a protocol
of its own: `CookieOwner`, `IdIssuer`, `PersonalizationSource`, `PointOfSaleSource`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar, runtime_checkable

from ..events.event import Event, EventKind
from ..http.request import RequestInfo
from ..values.browser_id import PLAIN_UUID, BrowserIdForm
from ..values.outcome import Delivered

T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True, slots=True)
class Call:
    """One HTTP request to be made.

    Attributes:
        method: GET or POST.
        url: absolute, already escaped.
        headers: all but those of the connection.
        body: the request's body, or None.
        public_only: whether the call must not go to an address of a private network, of this machine, or the like. It
            is for addresses that a customer chose: the address that is connected to is checked, not the name.
    """

    method: str
    url: str = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    body: bytes | None = field(default=None, repr=False)
    public_only: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back for a call.

    Attributes:
        status: the HTTP status.
        headers: by lower-case name; of several with one name the last.
        body: as received, at most 1 MB.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Retry:
    """The call may succeed later.

    Attributes:
        reason: why, without values of the event.
        after: seconds that the service asked to be left alone, if it did.
    """

    reason: str
    after: float | None = None


@dataclass(frozen=True, slots=True)
class Rejected:
    """The call will never succeed.

    Attributes:
        reason: why, without values of the event.
    """

    reason: str


@dataclass(frozen=True, slots=True)
class Divide:
    """The call as a whole was refused, although some of its events may be good: they are tried in smaller calls.

    An event that is refused when it stands alone is refused for good.

    Attributes:
        reason: why, without values of the events.
    """

    reason: str


Verdict = Delivered | Retry | Rejected | Divide


@dataclass(frozen=True, slots=True)
class Question(Generic[T_co]):
    """A call whose answer somebody waits for.

    Attributes:
        call: the call to be made.
        read: makes the value out of the answer; raises RemoteError if the answer is a refusal.
    """

    call: Call
    read: Callable[[Answer], T_co]


class Destination(Protocol):
    """One system that receives events."""

    @property
    def name(self) -> str:
        """The name it goes by in settings, receipts and figures."""
        ...

    @property
    def origin(self) -> str:
        """Where its calls go: scheme, host and port."""
        ...

    @property
    def kinds(self) -> frozenset[EventKind]:
        """Which kinds of events it takes; others are not enqueued for it."""
        ...

    @property
    def batch_size(self) -> int:
        """How many events go into one call at most."""
        ...

    @property
    def batch_bytes(self) -> int:
        """How much the events of one call may weigh together; not asked where a call holds one event."""
        ...

    def weigh(self, event: Event) -> int:
        """Return how many bytes an event takes in a call of several; not asked where a call holds one event."""
        ...

    def check(self, event: Event) -> None:
        """Raise ValidationError if this system can never take the event; called before anything is stored."""
        ...

    def encode(self, events: Sequence[Event]) -> Call:
        """Make the call that delivers these events; the same events make the same body, byte for byte."""
        ...

    def judge(self, answer: Answer) -> Verdict:
        """Say what an answer to such a call means."""
        ...


@dataclass(frozen=True, slots=True)
class SharedCookie:
    """The cookie with the browser ID of a system's browser SDK, which passerby shares.

    Attributes:
        name: the cookie's name.
        form: what the IDs look like.
        opt_out: the name of the cookie that is "true" where the visitor does not want to be tracked, if there is one.
    """

    name: str
    form: BrowserIdForm = PLAIN_UUID
    opt_out: str | None = None


@runtime_checkable
class CookieOwner(Protocol):
    """A destination that may own the browser ID's cookie."""

    @property
    def shared_cookie(self) -> SharedCookie | None:
        """The cookie; None if browser IDs are passerby's own as far as this system is concerned."""
        ...


@runtime_checkable
class IdIssuer(Protocol):
    """A destination that issues the browser IDs: UUIDs, or what its `shared_cookie` says they look like."""

    @property
    def name(self) -> str:
        """The destination's name."""
        ...

    @property
    def origin(self) -> str:
        """Where its calls go: scheme, host and port."""
        ...

    @property
    def cookie_name(self) -> str:
        """What tells its IDs from those of another account, such as the name of the browser SDK's cookie."""
        ...

    def create_question(self) -> Question[str]:
        """Ask for a new browser ID."""
        ...


@runtime_checkable
class PersonalizationSource(Protocol):
    """A destination that answers questions about the visitor."""

    def guest_question(self, browser_id: str) -> Question[str]:
        """Ask for the ID of the guest behind a browser ID."""
        ...

    def personalize_question(
        self, data: dict[str, Any], browser_id: str | None, point_of_sale: str | None
    ) -> Question[dict[str, Any] | None]:
        """Ask for a personalisation; raises ValidationError if something needed is missing."""
        ...


@runtime_checkable
class PointOfSaleSource(Protocol):
    """A destination that names the point of sale of events that name none."""

    @property
    def point_of_sale(self) -> str | Callable[[RequestInfo], str | None] | None:
        """The point of sale, or a plain function that makes it from a request."""
        ...
