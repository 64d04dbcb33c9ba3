"""Destinations and requests for tests."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from uuid import uuid4

from passerby.client.stats import DestinationStats
from passerby.destinations import DestinationResponse, OutgoingRequest, SendResult
from passerby.destinations.responses import classify_status, read_json
from passerby.events.event import COMMON_KINDS, Event
from passerby.values import json
from passerby.values.outcome import Delivered
from tests.making import PATIENCE


class Plain:
    """A destination that issues no browser IDs; its calls are such that a collector takes them."""

    kinds = COMMON_KINDS
    batch_size = 1
    batch_bytes = 0
    origin = "http://localhost"

    def __init__(self, name: str, url: str | Callable[[Event], str]) -> None:
        self.name = name
        self._url_of = url if callable(url) else lambda event: url

    def check(self, event: Event) -> None:
        pass

    def encoded_size(self, event: Event) -> int:
        return 0

    def encode(self, events: Sequence[Event]) -> OutgoingRequest:
        (event,) = events
        body = {"browser_id": event.browser_id, "type": event.type or event.kind, "id": event.id, **event.data}
        headers = {"Content-Type": "application/json"}
        return OutgoingRequest("POST", f"{self._url_of(event)}/v1.2/events", headers, json.dumps(body))

    def classify(self, response: DestinationResponse) -> SendResult:
        return classify_status(response) or Delivered(read_json(response))


def new_id() -> str:
    return str(uuid4())


def page_request(path: str = "/", headers: Mapping[str, str] | None = None) -> dict[str, Any]:
    """An ASGI scope of a visitor who opens a page for the first time."""
    lines = {"host": "localhost", "sec-fetch-dest": "document", "sec-fetch-mode": "navigate", **(headers or {})}
    return {
        "type": "http",
        "method": "GET",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [(name.encode(), value.encode()) for name, value in lines.items()],
        "server": ("localhost", 80),
        "client": ("127.0.0.1", 50000),
    }


def numbers_by_visitor(events: Sequence[Mapping[str, Any]]) -> dict[str, list[int]]:
    """The `number` of each event, in order of arrival, by browser ID."""
    numbers: dict[str, list[int]] = {}
    for event in events:
        numbers.setdefault(event["browser_id"], []).append(event["number"])
    return numbers


def assert_ledger(stats: DestinationStats, **expected: Any) -> None:
    assert stats.is_balanced, stats
    for name, value in expected.items():
        assert getattr(stats, name) == value, stats


def wait_until(is_so: Callable[[], bool], patience: float = PATIENCE) -> bool:
    """Wait until something is so; False if that takes more than patience allows."""
    ends = time.monotonic() + patience
    while not is_so():
        if time.monotonic() > ends:
            return False
        time.sleep(0.005)
    return True
