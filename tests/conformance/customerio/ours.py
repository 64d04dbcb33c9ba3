"""What passerby sends for a call, said once more and in one place: it is what the differences add up to."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

from passerby.version import __version__

from ..case import JSON
from .case import Call

BROWSER = "<the browser's ID>"
MAX_CALL = 32_768
_FACTS = {"ip": "ip", "useragent": "userAgent", "locale": "locale"}
_PAGE = {"url": "url", "path": "path", "referrer": "referrer", "referer": "referrer"}
_CAMPAIGN = ("name", "source", "medium", "term", "content")
_KNOWN = {*_FACTS, *_PAGE, "page", "campaign", "bot", "variant", "pagevariantid"}
_RESERVED = {
    "created_at": "createdAt",
    "dob": "birthday",
    "first_name": "firstName",
    "last_name": "lastName",
    "postal_code": "postalCode",
}


def message_of(call: Call) -> JSON:
    """The message of a call whose arguments are right."""
    args = call.args
    message: JSON = {
        "type": call.name,
        "messageId": str(args["message_id"]) if call.has_id else "<uuid7>",
        "timestamp": moment(args["timestamp"]) if call.has_time else "<timestamp>",
        "beside the batch": {},
    }
    if args.get("user_id") is not None:
        message["userId"] = str(args["user_id"])
    if call.name != "alias":
        message["anonymousId"] = str(args.get("anonymous_id") or BROWSER)
    message["context"] = _context(args.get("context") or {})
    if args.get("integrations"):
        message["integrations"] = written(args["integrations"])
    return message | _own_fields(call)


def size_of(message: JSON) -> int:
    """How many bytes a message has on the wire."""
    real = {name: value for name, value in message.items() if name != "beside the batch"}
    if real.get("anonymousId") == BROWSER:
        real["anonymousId"] = "x" * 36
    return len(json.dumps(real, ensure_ascii=False, separators=(",", ":")).encode())


def _own_fields(call: Call) -> JSON:
    args = call.args
    if call.name in ("identify", "group"):
        traits = traits_of(args.get("traits") or {})
        return {"traits": traits} | ({"groupId": str(args["group_id"])} if call.name == "group" else {})
    if call.name == "alias":
        return {"previousId": str(args["previous_id"])}
    if call.name == "screen":
        return {"name": args["name"], "properties": written(screen_properties(args))}
    properties = written(args.get("properties") or {})
    if call.name == "track":
        return {"event": args["event"], "properties": properties}
    named = {name: args[name] for name in ("name", "category") if args.get(name) is not None}
    properties = page_of(args.get("context") or {}) | properties
    return named | {"properties": properties | {name: named[name] for name in named if name == "category"}}


def traits_of(given: Mapping[str, Any]) -> JSON:
    """Traits, those with a meaning of their own under their own names and as dates where they are dates."""
    traits: JSON = {_RESERVED.get(name, name): value for name, value in written(given).items()}
    created = traits.get("createdAt")
    if isinstance(created, int | float) and not isinstance(created, bool):
        with suppress(ValueError, OverflowError):  # a year that there is not stays a number
            traits["createdAt"] = moment(
                datetime.fromtimestamp(created if abs(created) < 1e11 else created / 1000, UTC)
            )
    return traits


def screen_properties(args: Mapping[str, Any]) -> JSON:
    """A screen's properties, its category among them: passerby's call has no place of its own for it."""
    category = args.get("category")
    own: JSON = {} if category is None else {"category": category}
    return own | dict(args.get("properties") or {})


def _context(given: Mapping[str, Any]) -> JSON:
    context: JSON = {"library": {"name": "passerby", "version": __version__}, "channel": "server"}
    said = {theirs: given[ours] for theirs, ours in _told(given, _FACTS).items() if given[ours] is not None}
    page, campaign = page_of(given), _campaign_of(given)
    said |= {"page": page} if page else {}
    said |= {"campaign": campaign} if campaign else {}
    return context | said | ({"bot": True} if given.get("bot") else {})


def page_of(given: Mapping[str, Any]) -> JSON:
    """What a context says of the page, with its query in a field of its own."""
    beside = {theirs: given[ours] for theirs, ours in _told(given, _PAGE).items()}
    page = {name: value for name, value in (beside | dict(given.get("page") or {})).items() if value is not None}
    query = str(page.get("url", "")).partition("?")
    return page | ({"search": f"?{query[2]}"} if query[1] else {})


def _campaign_of(given: Mapping[str, Any]) -> JSON:
    named = {name.lower().removeprefix("utm_"): value for name, value in (given.get("campaign") or {}).items()}
    named = {"name" if name == "campaign" else name: value for name, value in named.items()}
    return {name: str(named[name]) for name in _CAMPAIGN if named.get(name) is not None}


def _told(given: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, str]:
    """Fields by their names in a message, with how they are spelt here."""
    spelt = {_folded(name): name for name in given}
    return {theirs: spelt[folded] for folded, theirs in names.items() if folded in spelt}


def is_unknown_context(given: Mapping[str, Any]) -> bool:
    """Whether a context has a field that passerby has no place for, or one of another type."""
    for name, value in given.items():
        folded = _folded(name)
        expected = dict if folded in ("page", "campaign") else bool if folded == "bot" else str
        if name != "library" and folded not in _KNOWN:
            return True
        if value is not None and name != "library" and not isinstance(value, expected):
            return True
    query = str((given.get("page") or {}).get("url")).partition("?")[2]
    page = {name: value for name, value in (given.get("page") or {}).items() if name not in _PAGE.values()}
    campaign = [name.lower() for name in given.get("campaign") or {}]
    is_odd_campaign = any(name not in _CAMPAIGN and not name.startswith("utm_") for name in campaign)
    return is_odd_campaign or any(name != "search" or str(value).lstrip("?") != query for name, value in page.items())


def _folded(name: str) -> str:
    return "".join(filter(str.isalnum, name)).lower()


def written(value: Any) -> Any:
    """A value as passerby writes it."""
    if isinstance(value, Mapping):
        return {name: written(item) for name, item in value.items()}
    if isinstance(value, list | tuple | set):
        return [written(item) for item in value]
    if isinstance(value, Enum):
        return written(value.value)
    if isinstance(value, datetime):
        return moment(value)
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, UUID):
        return str(value)
    return None if isinstance(value, float) and value - value != 0 else value


def moment(value: datetime) -> str:
    """ISO 8601 in UTC with milliseconds; a naive one is UTC."""
    moved = value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
    return moved.replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"


def cannot_be_written(value: Any) -> bool:
    """Whether there is something in it that has no JSON form for passerby."""
    if isinstance(value, Mapping):
        return any(map(cannot_be_written, value.values()))
    if isinstance(value, list | tuple | set):
        return any(map(cannot_be_written, value))
    known = str | int | float | bool | None | Enum | date | Decimal | UUID
    return not isinstance(value, known)
