"""What an event or a message tells, whichever system it was sent to: the facts that the terminal and the page show.

Of a person it names traits and never says their values.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import NamedTuple

from . import datalyr_api
from .ask import Played, System
from .json_object import JSONObject, as_list, as_object

LONGEST = 256  # characters of each fact, longer than any ID that a service takes


class Telling(NamedTuple):
    """The facts.

    Attributes:
        type: what kind of event, such as "VIEW", "track" or "$identify".
        visitor: the browser or anonymous ID.
        user: the user ID.
        says: a few words on what is in it.
        told: when it happened as it says itself, in seconds since the epoch.
        id: its own ID.
    """

    type: str | None = None
    visitor: str | None = None
    user: str | None = None
    says: str = ""
    told: float | None = None
    id: str | None = None


def read_telling(system: Played, message: JSONObject) -> Telling:
    """Read the facts out of an event to Sitecore or a message to one of the others."""
    return _READERS[system](message)


def id_of(system: System, message: JSONObject) -> str | None:
    """The message's own ID, by which the service knows it when it comes again."""
    name = _text(message.get("messageId") if system == "customerio" else datalyr_api.event_id_of(message))
    # JSON may hold halves of letters, which no database takes.
    return name if name is None or name.isascii() else name.encode(errors="replace").decode()


def _sitecore(event: JSONObject) -> Telling:
    is_identity = event.get("type") == "IDENTITY"
    identifiers = [as_object(one) for one in as_list(event.get("identifiers"))] if is_identity else []
    says = ", ".join(str(one.get("provider", "?")) for one in identifiers) or event.get("page")
    return Telling(
        type=_text(event.get("type")),
        visitor=_text(event.get("browser_id")),
        user=_text(identifiers[0].get("id")) if identifiers else None,
        says=_text(says) or "",
        told=_moment(event.get("requested_at")),
    )


def _customerio(call: JSONObject) -> Telling:
    kind = call.get("type")
    names = ", ".join(as_object(call.get("traits"))) if kind == "identify" else ""
    return Telling(
        type=_text(kind),
        visitor=_text(call.get("anonymousId")),
        user=_text(call.get("userId")),
        says=_text(names or call.get("event") or call.get("name") or call.get("groupId")) or "",
        told=_moment(call.get("timestamp")),
        id=id_of("customerio", call),
    )


def _datalyr(event: JSONObject) -> Telling:
    kind, properties = datalyr_api.name_of(event), as_object(event.get("properties"))
    names = ", ".join(datalyr_api.traits_of(event)) if kind == "$identify" else ""
    return Telling(
        type=_text(kind),
        visitor=_text(datalyr_api.anonymous_id_of(event)),
        user=_text(datalyr_api.user_id_of(event)),
        says=_text(names or properties.get("groupId") or properties.get("name")) or "",
        told=_moment(event.get("timestamp")),
        id=id_of("datalyr", event),
    )


_READERS = {"sitecore": _sitecore, "customerio": _customerio, "datalyr": _datalyr}


def _text(value: object) -> str | None:
    return None if value in (None, "") else str(value)[:LONGEST]


def _moment(value: object) -> float | None:
    if not isinstance(value, str):
        return None
    try:
        moment = datetime.fromisoformat(value)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None
