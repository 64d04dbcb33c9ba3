"""What an event or a message tells, whichever system it was sent to: read once, for all who need it.

In words it names traits and never says their values.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import NamedTuple

from . import datalyr_api
from .ask import Played, System
from .json_object import JSONObject, as_list, as_object

LONGEST = 256  # characters that are shown of anything, more than any ID has that a service takes

# What every event to Sitecore has; the rest of an IDENTITY is about the guest.
ENVELOPE = frozenset(
    [
        "type",
        "browser_id",
        "client_key",
        "channel",
        "currency",
        "pos",
        "page",
        "requested_at",
        "language",
        "identifiers",
        "ext",
    ]
)


class Telling(NamedTuple):
    """What is told.

    Attributes:
        type: what kind of event, such as "VIEW", "track" or "$identify".
        name: what happened, such as "VIEW", "page" or "Order Completed".
        visitor: the browser or anonymous ID.
        user: the user ID.
        says: a few words on what is in it.
        told: when it happened as it says itself, in seconds since the epoch.
        id: its own ID.
        is_identity: whether it says of the visitor who they are.
        traits: of an identity.
        key: what the user goes by, where the ID alone is not enough: Sitecore's identifiers have a provider too.
        same: other names for that user: an alias's previous ID; a further identifier.
    """

    type: str | None = None
    name: str | None = None
    visitor: str | None = None
    user: str | None = None
    says: str = ""
    told: float | None = None
    id: str | None = None
    is_identity: bool = False
    traits: JSONObject | None = None
    key: str | None = None
    same: tuple[str, ...] = ()


def read_telling(system: Played, message: JSONObject) -> Telling:
    """Read an event to Sitecore or a message to one of the others."""
    return _READERS[system](message)


def id_of(system: System, message: JSONObject) -> str | None:
    """The message's own ID, by which the service knows it when it comes again."""
    name = shortened(_text(message.get("messageId") if system == "customerio" else datalyr_api.event_id_of(message)))
    # JSON may hold halves of letters, which no database takes.
    return name if name is None or name.isascii() else name.encode(errors="replace").decode()


def shortened(text: str | None) -> str | None:
    """As much of a text as is shown."""
    return None if text is None else text[:LONGEST]


def _sitecore(event: JSONObject) -> Telling:
    kind = _text(event.get("type"))
    identifiers = [as_object(one) for one in as_list(event.get("identifiers"))] if kind == "IDENTITY" else []
    named = [(one.get("provider", ""), str(one["id"])) for one in identifiers if _text(one.get("id"))]
    keys = tuple(f"{provider}\n{name}" for provider, name in named)
    return Telling(
        type=kind,
        name=kind,
        visitor=_text(event.get("browser_id")),
        user=named[0][1] if named else None,
        says=_words(", ".join(str(one.get("provider", "?")) for one in identifiers) or event.get("page")),
        told=_moment(event.get("requested_at")),
        is_identity=bool(named),
        traits=_about_guest(event) if named else None,
        key=keys[0] if keys else None,
        same=keys[1:],
    )


def _customerio(call: JSONObject) -> Telling:
    kind, user = call.get("type"), _text(call.get("userId"))
    is_identity = kind == "identify"
    traits = as_object(call.get("traits")) if is_identity else {}
    return Telling(
        type=_text(kind),
        name=_text(call.get("event") if kind == "track" else kind),
        visitor=_text(call.get("anonymousId")),
        user=user,
        says=_words(", ".join(traits) or call.get("event") or call.get("name") or call.get("groupId")),
        told=_moment(call.get("timestamp")),
        id=id_of("customerio", call),
        is_identity=is_identity,
        traits=traits if is_identity else None,
        key=user,
        same=_names(call.get("previousId")) if kind == "alias" else (),
    )


def _datalyr(event: JSONObject) -> Telling:
    kind, properties = _text(datalyr_api.name_of(event)), as_object(event.get("properties"))
    user, is_identity = _text(datalyr_api.user_id_of(event)), kind == "$identify"
    traits = datalyr_api.traits_of(event) if is_identity else {}
    previous = properties.get("previousId", properties.get("previous_id"))
    return Telling(
        type=kind,
        name=kind,
        visitor=_text(datalyr_api.anonymous_id_of(event)),
        user=user,
        says=_words(", ".join(traits) or properties.get("groupId") or properties.get("name")),
        told=_moment(event.get("timestamp")),
        id=id_of("datalyr", event),
        is_identity=is_identity,
        traits=traits if is_identity else None,
        key=user,
        same=_names(previous) if kind == "$alias" else (),
    )


_READERS = {"sitecore": _sitecore, "customerio": _customerio, "datalyr": _datalyr}


def _about_guest(identity: JSONObject) -> JSONObject:
    about = {name: value for name, value in identity.items() if name not in ENVELOPE}
    return about | as_object(identity.get("ext"))


def _names(previous: object) -> tuple[str, ...]:
    name = _text(previous)
    return () if name is None else (name,)


def _words(value: object) -> str:
    return shortened(_text(value)) or ""


def _text(value: object) -> str | None:
    return None if value in (None, "") else str(value)


def _moment(value: object) -> float | None:
    if not isinstance(value, str):
        return None
    try:
        moment = datetime.fromisoformat(value)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None
