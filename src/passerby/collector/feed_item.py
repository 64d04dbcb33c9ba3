"""The items of a received request: one per event or message, each shown as one line."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, NamedTuple

from . import pipelines_api
from .api_request import EVENT_ROUTES, SYSTEM_OF_ROUTE, System, site_in
from .collected_request import CollectedRequest
from .json_object import JSONObject, as_object, parse_object
from .parsed_event import ParsedEvent, parse_event, shortened
from .stream_api import guest_id_of

UNREADABLE = "unreadable"

FeedPosition = tuple[int, int]  # the number of a request, and a position in it
SystemOrOther = System | Literal["other"]
Content = JSONObject | list[JSONObject] | None


class FeedItem(NamedTuple):
    """One event or message; or a request without any, such as one for a browser ID or a refused batch.

    Attributes:
        number: the request's.
        position: which of the request's events it is, from 0.
        time: when it arrived, in seconds since the epoch.
        system: the system of the path; "other" if no system has it.
        type: the type of the event, or the route of a request without one.
        visitor: the browser or anonymous ID.
        user: the user ID.
        summary: a short text about its content.
        occurred_at: its own time, in seconds since the epoch.
        id: its own ID.
        status: of the response; None if the connection was reset.
        accepted: whether the service accepts the event or request.
        refusal: why not.
        is_failed: whether a fault answered it with an error or a reset.
        repeated: whether an event of this ID was accepted before.
        is_event: whether its route carries events or messages.
        site: at Sitecore the site name or point of sale.
        guest: at Sitecore the guest ID of the browser ID.
        is_bot: whether it is of a bot, as Sitecore counts bots.
    """

    number: int
    position: int
    time: float
    system: SystemOrOther
    type: str
    visitor: str | None
    user: str | None
    summary: str
    occurred_at: float | None
    id: str | None
    status: int | None
    accepted: bool
    refusal: str | None
    is_failed: bool
    repeated: bool
    is_event: bool
    site: str | None
    guest: str | None
    is_bot: bool

    @property
    def position_in_feed(self) -> FeedPosition:
        """Its position among all items."""
        return self.number, self.position


def items_of(received: CollectedRequest) -> list[FeedItem]:
    """The items of a request, in its order."""
    return [item for item, _ in items_with_content(received)]


def items_with_content(received: CollectedRequest) -> list[tuple[FeedItem, Content]]:
    """The items of a request, each with its event or message; with all of them if they were refused at once."""
    system = SYSTEM_OF_ROUTE.get(received.route)
    messages = received.all_events
    is_refused = received.refusal is not None and not received.accepted
    if system is None or is_refused or not messages:
        return [(_single_item(received, messages), messages[0] if len(messages) == 1 else messages or None)]
    return [
        (_item(received, position, parse_event(system, message, received.path), reason), message)
        for position, (message, reason) in enumerate(_with_refusals(received, messages))
    ]


def with_repeated(item: FeedItem, first: FeedPosition | None) -> FeedItem:
    """Set `repeated` by the position at which the ID was accepted first."""
    return item if first is None or first >= item.position_in_feed else item._replace(repeated=True)


def _single_item(received: CollectedRequest, messages: list[JSONObject]) -> FeedItem:
    refusal = received.refusal
    if refusal is None and received.route in EVENT_ROUTES and not received.accepted:
        refusal = UNREADABLE
    system = SYSTEM_OF_ROUTE.get(received.route)
    if system is not None and len(messages) == 1:
        return _item(received, 0, parse_event(system, messages[0], received.path), refusal)
    summary = f"{len(messages):,} messages" if messages else ""
    parsed = ParsedEvent(visitor=_issued_browser_id(received), summary=summary, site=site_in(received.path) or None)
    return _item(received, 0, parsed, refusal)


def _item(received: CollectedRequest, position: int, parsed: ParsedEvent, refusal: str | None) -> FeedItem:
    system: SystemOrOther = SYSTEM_OF_ROUTE.get(received.route, "other")
    return FeedItem(
        number=received.number,
        position=position,
        time=received.time,
        system=system,
        type=shortened(parsed.type) or received.route,
        visitor=shortened(parsed.visitor),
        user=shortened(parsed.user),
        summary=parsed.summary,
        occurred_at=parsed.occurred_at,
        id=parsed.id,
        status=received.status,
        accepted=refusal is None,
        refusal=refusal,
        is_failed=received.is_failed,
        repeated=False,
        is_event=received.route in EVENT_ROUTES,
        site=shortened(parsed.site),
        guest=guest_id_of(parsed.visitor) if system == "sitecore" and parsed.visitor else None,
        is_bot=parsed.is_bot,
    )


def _with_refusals(received: CollectedRequest, messages: list[JSONObject]) -> Iterator[tuple[JSONObject, str | None]]:
    """Each message with its refusal; a service that is not strict accepts the valid ones of a batch."""
    for message in messages:
        yield message, pipelines_api.what_is_wrong(message) if received.refusal is not None else None


def _issued_browser_id(received: CollectedRequest) -> str | None:
    """The browser ID that the response contains."""
    if received.route != "create" or received.refusal is not None:
        return None
    try:
        reference = as_object(parse_object(received.response_body)).get("ref")
    except ValueError:
        return None
    return reference if isinstance(reference, str) else None
