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
_TYPES = {"identify": "identify", "track": "track", "page": "page", "group": "group", "alias": "alias"}
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
        "type": _TYPES[call.name],
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
    properties = written(args.get("properties") or {})
    if call.name == "track":
        return {"event": args["event"], "properties": properties}
    named = {name: args[name] for name in ("name", "category") if args.get(name) is not None}
    properties = (args.get("context") or {}).get("page", {}) | properties
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


def _context(given: Mapping[str, Any]) -> JSON:
    context: JSON = {"library": {"name": "passerby", "version": __version__}, "channel": "server"}
    return context | {name: value for name, value in given.items() if name != "library"}


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
