"""A running collector and a client for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from passerby.collector import CollectorServer
from tests.making import PATIENCE

MakeEvent = Callable[..., dict[str, Any]]


@pytest.fixture
def collector() -> Iterator[CollectorServer]:
    server = CollectorServer()
    server.start()
    yield server
    server.close()


@pytest.fixture
def client(collector: CollectorServer) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=collector.url, timeout=PATIENCE) as client:
        yield client


@pytest.fixture
def browser_id(client: httpx.Client) -> str:
    answer = client.get("/v1.2/browser/create.json?client_key=key&message={}")
    return str(answer.json()["ref"])


@pytest.fixture
def make_event(browser_id: str) -> MakeEvent:
    def make(**fields: Any) -> dict[str, Any]:
        return {
            "type": "VIEW",
            "browser_id": browser_id,
            "client_key": "key",
            "channel": "WEB",
            "currency": "EUR",
            "page": "Home",
            "pos": "shop.example",
        } | fields

    return make
