"""Cases that a run of made-up inputs may miss: what the service answers, and inputs at the edges."""

from __future__ import annotations

from typing import Any

from ..case import JSON
from ..customerio.vendor import with_time

_ANY: JSON = {"user_id": "u1", "event": "Order Completed", "properties": {"total": 5}}


def _case(name: str, call: str, args: JSON, *replies: JSON, **client: Any) -> JSON:
    server = {"server": {"replies": list(replies)}} if replies else {}
    return {
        "id": f"segment/{name}",
        "sdk": "python",
        "call": call,
        "client": client,
        "args": with_time(args, "python", 1),
    } | server


def _repeat(times: int, text: str = "x") -> JSON:
    return {"$py": "repeat", "text": text, "times": times}


EDGES: list[JSON] = [
    _case("track", "track", _ANY),
    _case("gzip", "track", _ANY, gzip=True),
    _case("key-of-jitsu", "track", _ANY, write_key="id:secret"),
    _case("page", "page", {"user_id": "u1", "name": "Home", "category": "Shop", "properties": {"a": 1}}),
    _case("page-of-context", "page", {"anonymous_id": "a1", "context": {"page": {"url": "https://shop.example/a"}}}),
    _case("traits", "identify", {"user_id": "u1", "traits": {"created_at": 1735689600, "first_name": "Ada"}}),
    _case("group", "group", {"user_id": "u1", "group_id": 7, "traits": {"plan": "pro"}}),
    _case("alias", "alias", {"user_id": "u1", "previous_id": 5}),
    _case("alias-of-itself", "alias", {"user_id": "u1", "previous_id": "u1"}),
    _case("zero", "identify", {"user_id": 0}),
    _case("nobody", "track", {"event": "Order Completed"}),
    _case("no-event", "track", {"user_id": "u1", "event": ""}),
    _case("library", "track", {**_ANY, "context": {"library": {"name": "mine"}}}),
    _case("context", "track", {**_ANY, "context": {"timezone": "Europe/Vienna"}}),
    _case("message-id", "track", {**_ANY, "message_id": 17}),
    _case(
        "uuid", "track", {**_ANY, "properties": {"a": {"$py": "uuid", "value": "0f8fad5b-d9cb-469f-a165-70867728950e"}}}
    ),
    _case("object", "track", {**_ANY, "properties": {"a": {"$py": "object"}}}),
    _case("nan", "track", {**_ANY, "properties": {"a": {"$py": "nan"}}}),
    _case("naive", "identify", {"user_id": "u1", "traits": {"a": {"$py": "datetime", "value": "2020-01-02T03:04:05"}}}),
    _case("large", "track", {**_ANY, "properties": {"text": _repeat(20_000)}}),
    _case("too-large", "track", {**_ANY, "properties": {"text": _repeat(33_000)}}),
    _case("escapes", "track", {**_ANY, "properties": {"text": _repeat(10_000, "\u00e9")}}),
    _case("empty", "track", _ANY, {"status": 204}),
    _case("bad", "track", _ANY, {"status": 400, "body": {"code": "invalid_request", "message": "no"}}),
    _case("wrong-key", "track", _ANY, {"status": 401, "body": {}}),
    _case("entity", "track", _ANY, {"status": 413, "body": {}}),
    _case("down", "track", _ANY, {"status": 503, "body": {}}, {"status": 200, "body": {"success": True}}),
    _case("busy", "track", _ANY, {"status": 429, "body": {}}, {"status": 200, "body": {"success": True}}),
    _case("reset", "track", _ANY, {"reset": True}, {"status": 200, "body": {"success": True}}),
]
