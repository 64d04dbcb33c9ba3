"""The common content of events and messages of all systems.

A summary contains the names of traits, never their values.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import NamedTuple

from . import datalyr_api
from .api_request import MessageSystem, System, site_in
from .json_object import JSONObject, as_list, as_object
from .stream_api import BOT

LONGEST = 256  # characters that are shown; longer than any ID that a service accepts

# The fields of every event to Sitecore; other fields of an IDENTITY are traits.
COMMON_FIELDS = frozenset(
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


class ParsedEvent(NamedTuple):
    """The content of an event.

    Attributes:
        type: such as "VIEW", "track" or "$identify".
        name: such as "VIEW", "page" or "Order Completed".
        visitor: the browser or anonymous ID.
        user: the user ID.
        summary: a short text about its content.
        occurred_at: its own time, in seconds since the epoch.
        id: its own ID.
        is_identity: whether it identifies the visitor.
        traits: of an identity.
        key: identifies the user; at Sitecore it includes the provider of the identifier.
        aliases: other IDs of the user: the previous ID of an alias, further identifiers.
        site: at Sitecore the site name in the address of the event, or its point of sale.
        is_bot: whether it is of a bot, as Sitecore counts bots.
    """

    type: str | None = None
    name: str | None = None
    visitor: str | None = None
    user: str | None = None
    summary: str = ""
    occurred_at: float | None = None
    id: str | None = None
    is_identity: bool = False
    traits: JSONObject | None = None
    key: str | None = None
    aliases: tuple[str, ...] = ()
    site: str | None = None
    is_bot: bool = False


def parse_event(system: System, message: JSONObject, path: str = "") -> ParsedEvent:
    """Parse an event or message of a system, which came to `path`."""
    return _sitecore(message, path) if system == "sitecore" else _READERS[system](message)


def id_of(system: MessageSystem, message: JSONObject) -> str | None:
    """The message's own ID, by which the service detects repetitions."""
    name = shortened(_text(message.get("messageId") if system == "customerio" else datalyr_api.event_id_of(message)))
    # JSON may contain surrogates, which the database refuses.
    return name if name is None or name.isascii() else name.encode(errors="replace").decode()


def shortened(text: str | None) -> str | None:
    """The part of a text that is shown."""
    return None if text is None else text[:LONGEST]


def _sitecore(event: JSONObject, path: str) -> ParsedEvent:
    kind = _text(event.get("type"))
    identifiers = [as_object(one) for one in as_list(event.get("identifiers"))] if kind == "IDENTITY" else []
    named = [(one.get("provider", ""), str(one["id"])) for one in identifiers if _text(one.get("id"))]
    keys = tuple(f"{provider}\n{name}" for provider, name in named)
    return ParsedEvent(
        type=kind,
        name=kind,
        visitor=_text(event.get("browser_id")),
        user=named[0][1] if named else None,
        summary=_summary(", ".join(str(one.get("provider", "?")) for one in identifiers) or event.get("page")),
        occurred_at=_timestamp(event.get("requested_at")),
        is_identity=bool(named),
        traits=_guest_traits(event) if named else None,
        key=keys[0] if keys else None,
        aliases=keys[1:],
        site=site_in(path) or _text(event.get("pos")),
        is_bot=event.get("channel") == BOT,
    )


def _customerio(call: JSONObject) -> ParsedEvent:
    kind, user = call.get("type"), _text(call.get("userId"))
    is_identity = kind == "identify"
    traits = as_object(call.get("traits")) if is_identity else {}
    return ParsedEvent(
        type=_text(kind),
        name=_text(call.get("event") if kind == "track" else kind),
        visitor=_text(call.get("anonymousId")),
        user=user,
        summary=_summary(", ".join(traits) or call.get("event") or call.get("name") or call.get("groupId")),
        occurred_at=_timestamp(call.get("timestamp")),
        id=id_of("customerio", call),
        is_identity=is_identity,
        traits=traits if is_identity else None,
        key=user,
        aliases=_aliases(call.get("previousId")) if kind == "alias" else (),
    )


def _datalyr(event: JSONObject) -> ParsedEvent:
    kind, properties = _text(datalyr_api.name_of(event)), as_object(event.get("properties"))
    user, is_identity = _text(datalyr_api.user_id_of(event)), kind == "$identify"
    traits = datalyr_api.traits_of(event) if is_identity else {}
    previous = properties.get("previousId", properties.get("previous_id"))
    return ParsedEvent(
        type=kind,
        name=kind,
        visitor=_text(datalyr_api.anonymous_id_of(event)),
        user=user,
        summary=_summary(", ".join(traits) or properties.get("groupId") or properties.get("name")),
        occurred_at=_timestamp(event.get("timestamp")),
        id=id_of("datalyr", event),
        is_identity=is_identity,
        traits=traits if is_identity else None,
        key=user,
        aliases=_aliases(previous) if kind == "$alias" else (),
    )


_READERS = {"customerio": _customerio, "datalyr": _datalyr}


def _guest_traits(identity: JSONObject) -> JSONObject:
    about = {name: value for name, value in identity.items() if name not in COMMON_FIELDS}
    return about | as_object(identity.get("ext"))


def _aliases(previous: object) -> tuple[str, ...]:
    name = _text(previous)
    return () if name is None else (name,)


def _summary(value: object) -> str:
    return shortened(_text(value)) or ""


def _text(value: object) -> str | None:
    return None if value in (None, "") else str(value)


def _timestamp(value: object) -> float | None:
    if not isinstance(value, str):
        return None
    try:
        moment = datetime.fromisoformat(value)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None
