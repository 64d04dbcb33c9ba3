"""What one event or message says of somebody: who it was, if it says so, and what became known of them."""

from __future__ import annotations

from typing import NamedTuple

from . import datalyr_api
from .ask import Played
from .json_object import JSONObject, as_list, as_object

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


class Fact(NamedTuple):
    """What a message says.

    Attributes:
        name: what happened, such as "page", "Order Completed" or "VIEW".
        user_id: who it was, as told.
        anonymous_id: in which browser.
        is_identity: whether it links the two.
        traits: of an identity.
        same: other names for that user: an alias's previous ID; a further identifier.
        key: what the user goes by, where the ID alone is not enough: Sitecore's identifiers have a provider too.
    """

    name: str
    user_id: str | None = None
    anonymous_id: str | None = None
    is_identity: bool = False
    traits: JSONObject | None = None
    same: tuple[str, ...] = ()
    key: str | None = None


def read_fact(system: Played, message: JSONObject) -> Fact:
    """Read what an event to Sitecore or a message to one of the others says of somebody."""
    return _READERS[system](message)


def _sitecore(event: JSONObject) -> Fact:
    name, browser_id = str(event.get("type")), _text(event.get("browser_id"))
    identifiers = [as_object(one) for one in as_list(event.get("identifiers"))]
    keys = [f"{one.get('provider', '')}\n{one['id']}" for one in identifiers if _text(one.get("id"))]
    if name != "IDENTITY" or not keys:
        return Fact(name, None, browser_id)
    traits = {trait: value for trait, value in event.items() if trait not in ENVELOPE} | as_object(event.get("ext"))
    user_id = next(_text(one["id"]) for one in identifiers if _text(one.get("id")))
    return Fact(name, user_id, browser_id, True, traits, tuple(keys[1:]), keys[0])


def _customerio(call: JSONObject) -> Fact:
    kind, user_id = call.get("type"), _text(call.get("userId"))
    previous = _text(call.get("previousId")) if kind == "alias" else None
    return Fact(
        str(call.get("event") if kind == "track" else kind),
        user_id,
        _text(call.get("anonymousId")),
        kind == "identify",
        as_object(call.get("traits")),
        () if previous is None else (previous,),
        user_id,
    )


def _datalyr(event: JSONObject) -> Fact:
    name, properties = datalyr_api.name_of(event), as_object(event.get("properties"))
    user_id = _text(datalyr_api.user_id_of(event))
    previous = _text(properties.get("previousId", properties.get("previous_id"))) if name == "$alias" else None
    return Fact(
        str(name),
        user_id,
        _text(datalyr_api.anonymous_id_of(event)),
        name == "$identify",
        datalyr_api.traits_of(event),
        () if previous is None else (previous,),
        user_id,
    )


_READERS = {"sitecore": _sitecore, "customerio": _customerio, "datalyr": _datalyr}


def _text(value: object) -> str | None:
    return None if value in (None, "") else str(value)
