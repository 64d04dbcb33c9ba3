"""The tracker: what a view handler holds, for one visitor during one request.

It turns calls into events and does no I/O of its own: whom it hands them to is the desk.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from contextvars import ContextVar
from datetime import UTC, date, datetime
from typing import Any, Protocol, TypedDict, TypeGuard, Unpack, cast

from . import jsontext
from .attributes import check_attribute_count, flatten, plain
from .context import external_referrer, language_of, page_of
from .cookie import Remembered
from .errors import ValidationError
from .event import Context, Event, EventKind, IdentityData, PageViewData, new_event_id
from .receipt import Receipt
from .visit import Visit

log = logging.getLogger("passerby")

MAX_USER_ID = 255  # characters; Datalyr's limit, the strictest
REPEAT_AFTER = 86_400  # seconds after which an unchanged identity is sent again

_RENAMED = {
    "page_view": {"pointOfSale": "point_of_sale", "pageVariantId": "page_variant_id"},
    "event": {"pointOfSale": "point_of_sale"},
    "identity": {
        "pointOfSale": "point_of_sale",
        "firstName": "first_name",
        "lastName": "last_name",
        "postalCode": "postal_code",
    },
}
_IDENTITY_FIELDS = frozenset(IdentityData.__annotations__) - frozenset(PageViewData.__annotations__) - {"identifiers"}

_OF_THE_PAGE = frozenset(
    {"channel", "currency", "language", "page"}
)  # fields of an identity that say nothing of the person


class Options(TypedDict, total=False):
    """What every tracking call takes by keyword.

    Attributes:
        timestamp: when it happened, if not now: a datetime (a naive one is UTC) or seconds since 1970.
        event_id: the event's own ID, for backfills that may run twice.
        context: fields of `Context` to put in place of what the request says.
        integrations: switches handed through to destinations that know them.
        destinations: the names of those destinations that get the event; all of them by default.
    """

    timestamp: datetime | float | None
    event_id: str | None
    context: Mapping[str, Any] | None
    integrations: Mapping[str, Any] | None
    destinations: Sequence[str] | None


class Defaults(Protocol):
    """The settings a tracker works by."""

    @property
    def channel(self) -> str | None: ...
    @property
    def currency(self) -> str | None: ...
    @property
    def language(self) -> str | None: ...
    @property
    def infer(self) -> bool: ...
    @property
    def identity_provider(self) -> str | None: ...
    @property
    def remembers_users(self) -> bool: ...


class Desk(Protocol):
    """Whom a tracker hands its events to, and whom it asks."""

    @property
    def defaults(self) -> Defaults: ...

    @property
    def destination_names(self) -> tuple[str, ...]: ...

    def now(self) -> float:
        """The time in seconds since 1970."""
        ...

    def assign(self, visit: Visit) -> None:
        """Give the visit a browser ID if one is at hand; never wait."""
        ...

    def link(self, visitor: str, browser_id: str) -> None:
        """Note which browser ID the events told before it was known belong to."""
        ...

    def context(self, visit: Visit) -> Context:
        """Return what the visit's request says."""
        ...

    def point_of_sale(self, visit: Visit) -> str | None:
        """Return the point of sale of the visit's request."""
        ...

    def accept(self, event: Event, destinations: Sequence[str], receipt: Receipt, held: bool) -> None:
        """Check an event for its destinations and record it; raises ValidationError before anything is stored."""
        ...

    def refuse(self, reason: str, destinations: Sequence[str], error: ValidationError | None = None) -> Receipt:
        """Count what is not kept. Raises the error if the settings say so."""
        ...

    def release_held(self, visitor: str) -> int:
        """Let go of the events held for a visitor, in their order; return how many."""
        ...

    def clear_held(self, visitor: str) -> int:
        """Drop the events held for a visitor; return how many."""
        ...

    def ask_guest_id(self, browser_id: str | None, timeout: float | None) -> Future[str]:
        """Ask the owner of the browser ID for the guest's."""
        ...

    def ask_personalization(
        self, data: dict[str, Any], browser_id: str | None, point_of_sale: str | None, timeout: float | None
    ) -> Future[dict[str, Any] | None]:
        """Ask the owner of the browser ID for a personalisation."""
        ...


_current: ContextVar[Tracker | None] = ContextVar("passerby_tracker", default=None)


def current_tracker() -> Tracker:
    """Return the tracker of the request that is being handled, anywhere below it.

    Raises:
        LookupError: there is no request, or no middleware has seen it.
    """
    tracker = _current.get()
    if tracker is None:
        raise LookupError(
            "no tracker here: this is not below a request that passed the middleware; "
            "use tracking.for_visitor(browser_id) outside of requests"
        )
    return tracker


class Tracker:
    """One visitor during one request: who they are, and what is told of them.

    A tracking call checks what it is given, records it and returns at once. It raises ValidationError for what no
    destination could take (unless ``on_invalid="drop"``) and nothing else.
    """

    __slots__ = ("__weakref__", "_context", "_desk", "_point_of_sale", "_referrer_told", "_visitor", "visit")

    def __init__(self, desk: Desk, visit: Visit) -> None:
        self._desk = desk
        self.visit = visit
        self._context: Context | None = None
        self._point_of_sale: str | None = None
        self._referrer_told = False
        self._visitor: str | None = None

    @property
    def browser_id(self) -> str | None:
        """The browser's ID, in the very first request too; None where there is none yet or may be none."""
        visit = self.visit
        visit.used = True
        return visit.browser_id

    @property
    def user_id(self) -> str | None:
        """Who the visitor is; None until identified, remembered over requests where cookies can be signed."""
        return self.visit.user_id

    @property
    def point_of_sale(self) -> str | None:
        """The point of sale that events of this request get; set it to change it from here on."""
        if self._point_of_sale is None:
            self._point_of_sale = self._desk.point_of_sale(self.visit)
        return self._point_of_sale

    @point_of_sale.setter
    def point_of_sale(self, value: str | None) -> None:
        if value is not None and not value.strip():
            raise ValidationError('"pointOfSale" cannot be empty.', code="MV-0009")
        self._point_of_sale = value

    def page_view(
        self,
        event_data: PageViewData | Mapping[str, Any] | None = None,
        extension_data: Mapping[str, Any] | None = None,
        **options: Unpack[Options],
    ) -> Receipt:
        """Tell that the visitor sees a page.

        Args:
            event_data: what is not given comes from settings and request.
            extension_data: the app's own attributes; at most 50 once flattened.
            options: see `Options`.
        """
        return self._tell("page_view", None, event_data, extension_data, options)

    def event(
        self,
        type: str,
        event_data: Mapping[str, Any] | None = None,
        extension_data: Mapping[str, Any] | None = None,
        **options: Unpack[Options],
    ) -> Receipt:
        """Tell an event of a type of its own, such as ``"ADD"`` or ``"CHECKOUT"``.

        Args:
            type: the event's type; Sitecore CDP wants upper case.
            event_data: its attributes, sent as they are.
            extension_data: the app's own attributes; at most 50 once flattened.
            options: see `Options`.
        """
        return self._tell("event", type, event_data, extension_data, options)

    def identity(
        self,
        event_data: IdentityData | Mapping[str, Any],
        extension_data: Mapping[str, Any] | None = None,
        **options: Unpack[Options],
    ) -> Receipt:
        """Tell who the visitor is, in Sitecore's words: identifiers and what is known of the person.

        The user ID becomes the identifier of the configured provider, else the first one.

        Args:
            event_data: identifiers and fields.
            extension_data: the app's own attributes; at most 50 once flattened.
            options: see `Options`.
        """
        return self._tell("identity", None, event_data, extension_data, options)

    def identify(self, user_id: object, traits: Mapping[str, Any] | None = None, **options: Unpack[Options]) -> Receipt:
        """Tell who the visitor is, in Customer.io's and Datalyr's words: a user ID and traits.

        Safe to call on every page: what has not changed is not sent again within a day.

        Args:
            user_id: text, a number or a UUID; best the database key. Not empty, at most 255 characters, not the browser
                ID.
            traits: what is known of the person; at most 50 attributes beside those that have a field of their own.
            options: see `Options`.
        """
        try:
            data, extension = _identity_of(
                self._checked_user_id(user_id), traits, self._desk.defaults.identity_provider
            )
        except ValidationError as error:
            return self._desk.refuse("invalid", self._names(options), error)
        return self._tell("identity", None, data, extension, options)

    def reset(self) -> None:
        """The visitor has logged out: forget the user ID, keep the browser ID."""
        self.visit.forget()

    def rotate(self) -> None:
        """Someone else is going to use this browser: forget the user ID and give it a new browser ID."""
        self.visit.leave()
        self._visitor = None
        if self.visit.decision.sets_cookies:
            self._desk.assign(self.visit)

    def add_to_event_queue(
        self,
        type: str,
        event_data: Mapping[str, Any] | None = None,
        extension_data: Mapping[str, Any] | None = None,
        **options: Unpack[Options],
    ) -> Receipt:
        """Hold an event for this browser until `process_event_queue`, over as many requests as it takes.

        It is checked and gets its point of sale now, as `event` does.
        """
        return self._tell("event", type, event_data, extension_data, options, held=True)

    def process_event_queue(self) -> int:
        """Let go of the events held for this browser, in their order; return how many there were."""
        return self._desk.release_held(self._visitor_key())

    def clear_event_queue(self) -> int:
        """Drop the events held for this browser (counted as "cleared"); return how many there were."""
        return self._desk.clear_held(self._visitor_key())

    async def guest_id(self, timeout: float | None = None) -> str:
        """Ask Sitecore CDP for the ID of the guest behind this browser.

        Raises:
            RemoteTimeout: no answer within `timeout` seconds.
            RemoteError: the browser is unknown there, or the service could not be reached.
        """
        return await asyncio.wrap_future(self._desk.ask_guest_id(self.browser_id, timeout))

    def guest_id_sync(self, timeout: float | None = None) -> str:
        """Do as `guest_id` does, in sync code."""
        return self._desk.ask_guest_id(self.browser_id, timeout).result()

    async def personalize(self, data: Mapping[str, Any], timeout: float | None = None) -> dict[str, Any] | None:
        """Ask Sitecore for a personalisation; the one call that waits for the network.

        Args:
            data: `friendly_id`, and as wanted `channel`, `currency`, `language`, `email`, `identifier`, `params`,
                `point_of_sale`.
            timeout: in seconds, over the whole answer.

        Returns:
            What the experience answers, or None if there was no good answer.

        Raises:
            ValidationError: friendly ID or point of sale is missing.
            RemoteTimeout: no answer in time.
        """
        return await asyncio.wrap_future(self._ask_personalization(data, timeout))

    def personalize_sync(self, data: Mapping[str, Any], timeout: float | None = None) -> dict[str, Any] | None:
        """Do as `personalize` does, in sync code."""
        return self._ask_personalization(data, timeout).result()

    def _ask_personalization(self, data: Mapping[str, Any], timeout: float | None) -> Future[dict[str, Any] | None]:
        asked = plain(data, "personalize data")
        return self._desk.ask_personalization(asked, self.browser_id, self.point_of_sale, timeout)

    def _tell(
        self,
        kind: EventKind,
        type: str | None,
        event_data: Mapping[str, Any] | None,
        extension_data: Mapping[str, Any] | None,
        options: Options,
        held: bool = False,
    ) -> Receipt:
        desk = self._desk
        destinations: Sequence[str] = desk.destination_names
        try:
            if options:
                destinations = self._names(options)
            visit = self.visit
            if visit.browser_id is None and visit.decision.assign != "never":
                self._assign()
            event = self._event(kind, type, event_data, extension_data, options)
            if visit.decision.refusal is not None:
                return desk.refuse(visit.decision.refusal, destinations)
            visit.used = True
            receipt = Receipt(event.id, destinations)
            if kind == "identity":
                return self._tell_identity(event, destinations, receipt)
            desk.accept(event, destinations, receipt, held)
            return receipt
        except ValidationError as error:
            return desk.refuse("invalid", destinations, error)
        except Exception:  # our own mistake must not break the page
            log.exception("a tracking call failed inside; it is dropped")
            return desk.refuse("internal", destinations)

    def _tell_identity(self, event: Event, destinations: Sequence[str], receipt: Receipt) -> Receipt:
        desk, visit = self._desk, self.visit
        remembered = self._remembered(event) if desk.defaults.remembers_users and event.user_id else None
        if remembered is not None and _is_repeated(remembered, visit.remembered):
            return desk.refuse("unchanged", destinations)
        desk.accept(event, destinations, receipt, held=False)
        if event.user_id is not None:
            visit.identify(event.user_id, remembered)
        return receipt

    def _event(
        self,
        kind: EventKind,
        type: str | None,
        event_data: Mapping[str, Any] | None,
        extension_data: Mapping[str, Any] | None,
        options: Options,
    ) -> Event:
        if kind == "event" and not (isinstance(type, str) and type.strip()):
            raise ValidationError('event type: found none, expected text such as "ADD"')
        if kind == "identity" and isinstance(event_data, Mapping):
            event_data = _with_minutes(event_data)
        data = plain(event_data, "event data")
        extension = flatten(plain(extension_data, "extension data")) if extension_data else {}
        given_point_of_sale = _rename(data, _RENAMED[kind]).pop("point_of_sale", None)
        context = self._context_of_call(options)
        user_id = self.visit.user_id
        if kind == "identity":
            user_id = self._read_identity(data) or user_id
        self._fill_in(kind, data, context)
        moment, event_id, integrations = options.get("timestamp"), options.get("event_id"), options.get("integrations")
        return Event(
            new_event_id() if event_id is None else _checked_event_id(event_id),
            kind,
            type,
            self._desk.now() if moment is None else _seconds(moment),
            self.visit.browser_id,
            self._visitor_key(),
            user_id,
            data,
            extension,
            context,
            given_point_of_sale or self.point_of_sale,
            plain(integrations, "integrations") if integrations else None,
        )

    def _fill_in(self, kind: EventKind, data: dict[str, Any], context: Context) -> None:
        """Fill in what the call left open: channel and currency from the settings, the rest from the request."""
        defaults = self._desk.defaults
        if defaults.channel is not None:
            data.setdefault("channel", defaults.channel)
        if defaults.currency is not None:
            data.setdefault("currency", defaults.currency)
        if defaults.language is not None:
            data.setdefault("language", defaults.language)
        if not defaults.infer:
            return
        if data.get("page") is None and context.path is not None:
            data["page"] = page_of(context.path)
        if data.get("language") is None and context.locale is not None:
            data["language"] = language_of(context.locale)
        if kind == "page_view" and not self._referrer_told:
            self._referrer_told = True
            if not data.get("referrer") and self.visit.request is not None:
                data["referrer"] = external_referrer(context, self.visit.request.host)

    def _context_of_call(self, options: Options) -> Context:
        if self._context is None:
            self._context = self._desk.context(self.visit)
        overrides = options.get("context")
        if not overrides:
            return self._context
        unknown = set(overrides) - set(Context._fields)
        if unknown:
            raise ValidationError(
                f"context: found {', '.join(sorted(map(str, unknown)))}, expected only {', '.join(Context._fields)}"
            )
        return self._context._replace(**plain(overrides, "context"))

    def _read_identity(self, data: dict[str, Any]) -> str | None:
        """Check the identifiers' form; return the user ID that they say."""
        identifiers: Any = data.get("identifiers")
        if identifiers is None:
            return None
        if not _is_list_of_objects(identifiers):
            raise ValidationError('identifiers: expected a list of dicts such as {"id": "123", "provider": "CRM"}')
        for identifier in identifiers:
            _rename(identifier, {"expiryDate": "expiry_date"})
        return self._user_id_of(identifiers)

    def _user_id_of(self, identifiers: list[dict[str, Any]]) -> str | None:
        provider = self._desk.defaults.identity_provider
        chosen = next((one for one in identifiers if one.get("provider") == provider), None)
        if chosen is None and identifiers:
            chosen = identifiers[0]
        user_id = str(chosen["id"]) if chosen and chosen.get("id") is not None else ""
        is_good = user_id.strip() and len(user_id) <= MAX_USER_ID and user_id != self.visit.browser_id
        return user_id if is_good else None

    def _checked_user_id(self, user_id: object) -> str:
        text = str(user_id).strip() if user_id is not None and not isinstance(user_id, bool) else ""
        if not text:
            raise ValidationError(
                "user ID: found none, expected text, a number or a UUID that stays the same on all devices"
            )
        if len(text) > MAX_USER_ID:
            raise ValidationError(
                f"user ID: found {len(text)} characters, expected at most {MAX_USER_ID}; use a database key"
            )
        if text == self.visit.browser_id:
            raise ValidationError(
                "user ID: found the browser ID, which names a browser and no person; use a database key"
            )
        return text

    def _remembered(self, event: Event) -> Remembered:
        person = {name: value for name, value in event.data.items() if name not in _OF_THE_PAGE}
        told = jsontext.dumps([event.browser_id, event.user_id, person, event.extension])
        return Remembered(event.user_id or "", hashlib.blake2b(told, digest_size=9).hexdigest(), int(self._desk.now()))

    def _assign(self) -> None:
        """Get an ID, if one is ready, also for what was told before."""
        visit = self.visit
        self._desk.assign(visit)
        if visit.browser_id is not None and self._visitor is not None:
            self._desk.link(self._visitor, visit.browser_id)

    def _visitor_key(self) -> str:
        """Under what this visitor's events are kept in order."""
        browser_id = self.visit.browser_id
        if browser_id is not None:
            return browser_id
        if self._visitor is None:
            self._visitor = f"visit:{new_event_id()}"
        return self._visitor

    def _names(self, options: Options) -> Sequence[str]:
        known = self._desk.destination_names
        chosen = options.get("destinations")
        if chosen is None:
            return known
        unknown = [name for name in chosen if name not in known]
        if unknown or isinstance(chosen, str):
            raise ValidationError(f"destinations: expected a list of names out of {', '.join(known)}; found others")
        return tuple(chosen)


enter: Callable[[Tracker | None], Any] = _current.set
leave = _current.reset


def _rename(data: dict[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    for camel in names.keys() & data.keys():
        data[names[camel]] = data.pop(camel)
    return data


def _identity_of(
    user_id: str, traits: Mapping[str, Any] | None, provider: str | None
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Say `identify` in the words of `identity`: fields with a name of their own, and the rest as extension data."""
    data: dict[str, Any] = {"identifiers": [{"id": user_id, "provider": provider}]}
    extension: dict[str, Any] = {}
    for name, value in (traits or {}).items():
        field = _RENAMED["identity"].get(name, name)
        (data if field in _IDENTITY_FIELDS else extension)[field if field in _IDENTITY_FIELDS else name] = value
    check_attribute_count(flatten(plain(extension, "traits")))
    return data, extension


def _is_list_of_objects(value: Any) -> TypeGuard[list[dict[str, Any]]]:
    return type(value) is list and all(type(one) is dict for one in cast("list[object]", value))


def _with_minutes(event_data: Mapping[str, Any]) -> dict[str, Any]:
    """Write those dates of an identity that Sitecore CDP takes to the minute only."""
    data = {name: _minutes(value) if name == "dob" else value for name, value in event_data.items()}
    identifiers: Any = data.get("identifiers")
    if type(identifiers) in (list, tuple):
        data["identifiers"] = list(map(_identifier_with_minutes, identifiers))
    return data


def _identifier_with_minutes(identifier: Any) -> Any:
    if not isinstance(identifier, Mapping):
        return identifier
    fields = cast("Mapping[str, Any]", identifier)
    return {name: _minutes(value) if name in ("expiryDate", "expiry_date") else value for name, value in fields.items()}


def _minutes(value: Any) -> Any:
    """Write a date or datetime to the minute, without a zone; leave anything else as it is."""
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%dT%H:%M")
    return f"{value.isoformat()}T00:00" if isinstance(value, date) else value


def _is_repeated(now: Remembered, before: Remembered | None) -> bool:
    return before is not None and now.digest == before.digest and now.sent_at - before.sent_at < REPEAT_AFTER


def _seconds(moment: datetime | float) -> float:
    if isinstance(moment, datetime):
        return (moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)).timestamp()
    if isinstance(moment, int | float) and not isinstance(moment, bool) and 0 <= moment < 253_402_300_800:
        return float(moment)
    raise ValidationError("timestamp: expected a datetime, or seconds since 1970 (not milliseconds)")


def _checked_event_id(event_id: object) -> str:
    if isinstance(event_id, str) and 0 < len(event_id) <= 128 and event_id.isprintable():
        return event_id
    text = str(event_id)
    if not isinstance(event_id, str) and len(text) == 36:
        return text  # a UUID
    raise ValidationError("event_id: expected printable text of 1 to 128 characters, such as a UUID")
