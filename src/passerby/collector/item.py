"""A received request as a list of what came in it: one item per event or message, to be shown in a line each."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, NamedTuple

from . import pipelines_api
from .ask import CARRIERS, OWNERS, Played
from .json_object import JSONObject, as_object, parse_object
from .received import Received
from .telling import Telling, read_telling, shortened

UNREADABLE = "unreadable"

Place = tuple[int, int]  # the number of a request, and a position in it
Content = JSONObject | list[JSONObject] | None


class Item(NamedTuple):
    """One event or message; or a request without any, such as one for a browser ID or one that was refused whole.

    Attributes:
        number: the request's.
        position: which of the request's events it is, from 0.
        time: when it arrived, in seconds since the epoch.
        system: whose it is; "other" where no service has such a path.
        type: what kind of event, or the route of a request without one.
        visitor: the browser or anonymous ID.
        user: the user ID.
        says: a few words on what is in it.
        told: when it happened as it says itself, in seconds since the epoch.
        id: its own ID.
        status: the answer's; None where the connection was reset instead.
        accepted: whether the service takes it, or does what it was asked for.
        refusal: why not.
        is_failed: whether it was answered with an error or a reset because the collector was told to misbehave.
        repeated: whether an event of this ID was taken before.
        is_event: whether it is an event or a message, or was meant to carry some.
    """

    number: int
    position: int
    time: float
    system: Played | Literal["other"]
    type: str
    visitor: str | None
    user: str | None
    says: str
    told: float | None
    id: str | None
    status: int | None
    accepted: bool
    refusal: str | None
    is_failed: bool
    repeated: bool
    is_event: bool

    @property
    def place(self) -> Place:
        """Where it stands among all."""
        return self.number, self.position


def items_of(received: Received) -> list[Item]:
    """All that came in a request, in its order."""
    return [item for item, _ in entries_of(received)]


def entries_of(received: Received) -> list[tuple[Item, Content]]:
    """The same, each with what it was made of: an event or message, several where they were refused at once."""
    system = OWNERS.get(received.route)
    messages = received.told
    is_refused = received.refusal is not None and not received.accepted
    if system is None or is_refused or not messages:
        return [(_only_item(received, messages), messages[0] if len(messages) == 1 else messages or None)]
    return [
        (_item(received, position, read_telling(system, message), reason), message)
        for position, (message, reason) in enumerate(_judged(received, messages))
    ]


def marked(item: Item, first: Place | None) -> Item:
    """Say of an item whether it was taken before, by where its ID was taken first."""
    return item if first is None or first >= item.place else item._replace(repeated=True)


def _only_item(received: Received, messages: list[JSONObject]) -> Item:
    refusal = received.refusal
    if refusal is None and received.route in CARRIERS and not received.accepted:
        refusal = UNREADABLE
    system = OWNERS.get(received.route)
    if system is not None and len(messages) == 1:
        return _item(received, 0, read_telling(system, messages[0]), refusal)
    says = f"{len(messages):,} messages" if messages else ""
    return _item(received, 0, Telling(visitor=_issued(received), says=says), refusal)


def _item(received: Received, position: int, telling: Telling, refusal: str | None) -> Item:
    return Item(
        number=received.number,
        position=position,
        time=received.time,
        system=OWNERS.get(received.route, "other"),
        type=shortened(telling.type) or received.route,
        visitor=shortened(telling.visitor),
        user=shortened(telling.user),
        says=telling.says,
        told=telling.told,
        id=telling.id,
        status=received.status,
        accepted=refusal is None,
        refusal=refusal,
        is_failed=received.is_failed,
        repeated=False,
        is_event=received.route in CARRIERS,
    )


def _judged(received: Received, messages: list[JSONObject]) -> Iterator[tuple[JSONObject, str | None]]:
    """Each message with why it was refused; a service that is not strict takes the good ones of a batch."""
    for message in messages:
        yield message, pipelines_api.what_is_wrong(message) if received.refusal is not None else None


def _issued(received: Received) -> str | None:
    """The browser ID that was asked for."""
    if received.route != "create" or received.refusal is not None:
        return None
    try:
        reference = as_object(parse_object(received.answer_body)).get("ref")
    except ValueError:
        return None
    return reference if isinstance(reference, str) else None
