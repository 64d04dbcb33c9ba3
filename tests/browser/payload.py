"""Texts that attack the reader of an event, and requests that contain them."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

FILE = Path(__file__).with_name("payloads.json")
MOMENT = "2026-01-01T00:00:00Z"


class Payload(NamedTuple):
    """One text.

    Attributes:
        name: what it tries.
        text: the text itself.
    """

    name: str
    text: str


class Call(NamedTuple):
    """One request; its body is bytes, as JSON can hold what no text can be."""

    path: str
    body: bytes
    headers: dict[str, str]
    method: str = "POST"


def read_payloads() -> list[Payload]:
    """All of them."""
    found = json.loads(FILE.read_text(encoding="ascii"))
    return [Payload(one["name"], one["text"] * one.get("times", 1)) for one in found]


def calls_full_of(text: str) -> Iterator[Call]:
    """Requests with the text in every field, as its value and as its name, of each system; some are refused."""
    headers = {"content-type": "application/json", "user-agent": _header(text), "x-library-version": _header(text)}
    basic = {"authorization": f"Basic {b64encode(b'key:').decode()}", "x-said": _header(text)}
    for event in _sitecore_events(text):
        yield Call("/v1.2/events", json.dumps(event).encode(), headers)
    message = quote(json.dumps({"type": text[:200], "browser_id": text[:200], "page": text[:200]}))
    yield Call(f"/v1.2/event/create.json?client_key={_in_query(text)}&message={message}", b"", headers, "GET")
    at_edge = {**headers, "x-sitecore-contextid": "context"}
    bot = {"type": text, "browser_id": text, "channel": "bot", "page": text}
    yield Call(f"/v1/events/v1.2/events?siteId={_in_query(text)}", json.dumps(bot).encode(), at_edge)
    yield Call(f"/v1/personalize?siteId={_in_query(text)}", json.dumps({"friendlyId": text}).encode(), at_edge)
    for body in _customerio_bodies(text):
        yield Call("/v1/batch", json.dumps(body).encode(), {**headers, **basic})
    for body in _datalyr_bodies(text):
        yield Call("/events", json.dumps(body).encode(), headers)
    yield Call(f"/{_in_query(text)}?{_in_query(text)}", json.dumps(text).encode(), headers)


def _sitecore_events(text: str) -> Iterator[dict[str, Any]]:
    names = (
        "client_key pos channel currency language page referrer utm_source utm_campaign requested_at type browser_id"
    )
    all_over = dict.fromkeys(names.split(), text) | {
        text: text,
        "ext": {text: text, "pageVariantId": text, "nested": {text: [text, {text: text}]}},
        "product": {"name": text, "item_id": text, text: [text]},
    }
    personal = "city country dob email firstname lastname gender mobile phone postal_code state title"
    yield all_over
    yield {**all_over, "type": "VIEW"}
    yield {
        **all_over,
        **dict.fromkeys(personal.split(), text),
        "type": "IDENTITY",
        "street": [text, text],
        "identifiers": [{"id": text, "provider": text, "expiry_date": text, text: text}],
    }


def _customerio_bodies(text: str) -> Iterator[dict[str, Any]]:
    cut = text[:400]  # a call has at most 32 KB
    both = {
        "userId": cut,
        "anonymousId": cut,
        "context": {cut: cut, "page": {"title": cut, "url": cut}},
        "integrations": {cut: cut},
        cut: cut,
    }
    known = {"email": cut, "first_name": cut, "lastName": cut, "name": cut, cut: {cut: [cut]}}
    calls: list[dict[str, Any]] = [
        {**both, "type": "identify", "traits": known, "messageId": cut},
        {**both, "type": "track", "event": cut, "properties": known},
        {**both, "type": "page", "name": cut, "properties": known, "category": cut},
        {**both, "type": "group", "groupId": cut, "traits": known},
        {"type": "page", "anonymousId": f"{cut} somebody", "name": cut},
        {"type": "alias", "userId": cut, "previousId": f"{cut} before"},
        {**both, "type": cut},
        {**both, "type": "identify", "traits": cut, "timestamp": cut},
    ]
    yield {"batch": calls, "sentAt": text, "context": {text: text}, "writeKey": text, text: text}
    yield {"batch": text}


def _datalyr_bodies(text: str) -> Iterator[dict[str, Any]]:
    cut = text[:120]  # a user ID has at most 255 characters
    traits = {"email": text, "first_name": text, "name": text, text: text}
    fields: dict[str, Any] = {
        "anonymous_id": text,
        "visitor_id": text,
        "session_id": text,
        "event_id": f"{text} 1",
        "timestamp": MOMENT,
        "context": {text: text},
        text: text,
    }
    events: list[dict[str, Any]] = [
        {**fields, "event_name": "$identify", "user_id": f"{cut} known", "properties": traits, "traits": traits},
        {**fields, "event_name": f"{text} event", "properties": {text: {text: [text]}}, "event_id": text},
        {**fields, "event_name": "pageview", "properties": {"name": text, "url": text}, "event_id": f"{text} 2"},
        {**fields, "event_name": "$alias", "user_id": f"{cut} known", "properties": {"previousId": f"{cut} before"}},
    ]
    yield {"workspaceId": f"{text} workspace", "events": events, "source": text, text: text}
    yield {"workspaceId": "w", "events": [{**fields, "event_name": text, "timestamp": text}]}


def _in_query(text: str) -> str:
    return quote(text[:300].encode("utf-8", "surrogatepass"), safe="")


def _header(text: str) -> str:
    """As much of it as a header can hold."""
    return "".join(each for each in text[:1000] if " " <= each <= "~").strip()
