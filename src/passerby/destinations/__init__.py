"""Destinations: encode events as HTTP requests, and classify the responses.

A destination does no I/O and does not use the outbox or the network. The sender makes its requests. The protocols here
are public: docs/writing-a-destination.md shows how to write a destination. Optional features have separate protocols:
`CookieOwner`, `BrowserIdIssuer`, `PersonalizationSource`, `PointOfSaleSource`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar, runtime_checkable

from ..events.event import NO_CONTEXT, Context
from ..events.event import Event as Event
from ..events.event import EventKind as EventKind
from ..http.request import RequestInfo
from ..values.browser_id import PLAIN_UUID, BrowserIdFormat
from ..values.browser_id import IssuedId as IssuedId
from ..values.outcome import Delivered

T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True, slots=True)
class OutgoingRequest:
    """One HTTP request of a destination.

    Attributes:
        method: GET or POST.
        url: absolute and escaped.
        headers: all except those of the connection.
        body: the request's body, or None.
        public_only: whether the request must not be sent to a private network, to this machine, or the like. It is for
            URLs that a customer has chosen. The connected address is checked, not the host name.
    """

    method: str
    url: str = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    body: bytes | None = field(default=None, repr=False)
    public_only: bool = False


@dataclass(frozen=True, slots=True)
class DestinationResponse:
    """The response to a request of a destination.

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
    """The request failed, but may succeed later.

    Attributes:
        reason: the reason, without values of the event.
        after: seconds until the next attempt, if the service asked for a pause.
    """

    reason: str
    after: float | None = None


@dataclass(frozen=True, slots=True)
class Rejected:
    """The request will never succeed.

    Attributes:
        reason: the reason, without values of the event.
    """

    reason: str


@dataclass(frozen=True, slots=True)
class SplitBatch:
    """The service rejected the whole request, but some of its events may be valid: they are sent in smaller requests.

    An event that is rejected alone becomes a dead letter.

    Attributes:
        reason: the reason, without values of the events.
    """

    reason: str


SendResult = Delivered | Retry | Rejected | SplitBatch


@dataclass(frozen=True, slots=True)
class Query(Generic[T_co]):
    """A request whose response the caller needs.

    Attributes:
        call: the request.
        read: parses the response; raises RemoteError if the service refused.
    """

    request: OutgoingRequest
    parse: Callable[[DestinationResponse], T_co]


class Destination(Protocol):
    """One system that receives events."""

    @property
    def name(self) -> str:
        """The name in settings, receipts and statistics."""
        ...

    @property
    def origin(self) -> str:
        """The scheme, host and port of its requests."""
        ...

    @property
    def kinds(self) -> frozenset[EventKind]:
        """The kinds of events it accepts; others are not recorded for it."""
        ...

    @property
    def batch_size(self) -> int:
        """The maximum number of events in one request."""
        ...

    @property
    def batch_bytes(self) -> int:
        """The maximum sum of the encoded sizes of the events of one request; not used if `batch_size` is 1."""
        ...

    def encoded_size(self, event: Event) -> int:
        """Return the number of bytes of an event in a batch; not called if `batch_size` is 1."""
        ...

    def check(self, event: Event) -> None:
        """Raise ValidationError if this system can never accept the event. Called before the event is stored."""
        ...

    def encode(self, events: Sequence[Event]) -> OutgoingRequest:
        """Return the request that delivers these events. Equal events must give equal bodies, byte for byte."""
        ...

    def classify(self, response: DestinationResponse) -> SendResult:
        """Return what the response to such a request means."""
        ...


@dataclass(frozen=True, slots=True)
class OldCookie:
    """An earlier cookie with the browser ID. Its ID is moved into the current cookie, and the old one is deleted.

    Attributes:
        name: the cookie's name.
        wins: whether its ID replaces that of a current cookie without a signature. Otherwise it is used only without a
            valid current one.
    """

    name: str
    wins: bool = False


@dataclass(frozen=True, slots=True)
class SharedCookie:
    """The browser ID's cookie of a system's browser SDK, which passerby shares.

    Attributes:
        name: the cookie's name.
        id_format: the format of the IDs.
        opt_out: the name of the cookie that is "true" if the visitor has opted out, if there is one.
        old: earlier cookies with the browser ID.
        guest: the name of the cookie with the guest ID, if there is one. The browser SDK may set it too.
        old_guest: the name of an earlier cookie with the guest ID.
        keeps_guest: whether passerby sets the cookie with the guest ID. Otherwise it reads the cookie, and deletes it
            when the visitor gets another browser ID.
        bot: the name of a cookie that is set, and not empty, if the visitor is a bot.
    """

    name: str
    id_format: BrowserIdFormat = PLAIN_UUID
    opt_out: str | None = None
    old: tuple[OldCookie, ...] = ()
    guest: str | None = None
    old_guest: str | None = None
    keeps_guest: bool = False
    bot: str | None = None


@runtime_checkable
class CookieOwner(Protocol):
    """A destination whose browser SDK may share the browser ID's cookie."""

    @property
    def shared_cookie(self) -> SharedCookie | None:
        """The shared cookie, or None if this system shares none."""
        ...


@runtime_checkable
class BrowserIdIssuer(Protocol):
    """A destination that issues the browser IDs: UUIDs, or IDs in the format of its `shared_cookie`."""

    @property
    def name(self) -> str:
        """The destination's name."""
        ...

    @property
    def origin(self) -> str:
        """The scheme, host and port of its requests."""
        ...

    @property
    def cookie_name(self) -> str:
        """A name that differs between accounts, such as that of the browser SDK's cookie."""
        ...

    def new_id_query(self) -> Query[str] | Query[IssuedId]:
        """Return the query for a new browser ID, with its guest ID if the service gives one."""
        ...


@dataclass(frozen=True, slots=True)
class PersonalizationRequest:
    """What is known of a visitor for whom a personalisation is requested.

    Attributes:
        data: the data given by the app, plain values, with flattened `params`.
        params: the `params` before flattening.
        browser_id: the browser ID, if there is one.
        guest_id: the guest ID, if it is known.
        point_of_sale: the point of sale, or the site, of the request.
        context: the data of the visitor's request.
    """

    data: Mapping[str, Any] = field(repr=False)
    params: Mapping[str, Any] | None = field(default=None, repr=False)
    browser_id: str | None = field(default=None, repr=False)
    guest_id: str | None = field(default=None, repr=False)
    point_of_sale: str | None = None
    context: Context = field(default=NO_CONTEXT, repr=False)


@runtime_checkable
class PersonalizationSource(Protocol):
    """A destination that answers queries about the visitor."""

    def guest_query(self, browser_id: str) -> Query[str]:
        """Return the query for the guest ID of a browser ID."""
        ...

    def personalize_query(self, request: PersonalizationRequest) -> Query[dict[str, Any] | None]:
        """Return the query for a personalisation. Raises ValidationError if required data is missing."""
        ...


@runtime_checkable
class PointOfSaleSource(Protocol):
    """A destination with a default point of sale for events."""

    @property
    def point_of_sale(self) -> str | Callable[[RequestInfo], str | None] | None:
        """The point of sale, or a plain function that returns it for a request."""
        ...
