"""Customer.io's own SDKs deliver to the collector; what is broken about their calls is refused as the service does."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from passerby.collector import CollectorServer
from tests.conformance.case import JSON
from tests.conformance.customerio.case import Case
from tests.conformance.customerio.vendor import NodePackage

KEY = "sk_us_0123456789abcdef"


@pytest.fixture
def service() -> Iterator[CollectorServer]:
    with CollectorServer(write_keys=[KEY]) as server:
        yield server
    server.close()


@pytest.fixture
def analytics() -> Any:
    return pytest.importorskip("customerio.analytics", reason="needs the vendor's package, which is in requirements")


@pytest.fixture
def node() -> Iterator[NodePackage]:
    with NodePackage() as node:
        yield node


def tell_all(client: Any) -> None:
    client.page(anonymous_id="a1", name="Home")
    client.identify(user_id="u1", anonymous_id="a1", traits={"plan": "pro"})
    client.track(user_id="u1", event="Order Completed", properties={"total": 99.99})
    client.group(user_id="u1", group_id="g1", traits={"name": "Acme"})
    client.alias(previous_id="old", user_id="u1")
    client.screen(user_id="u1", name="Cart")


TYPES = ["page", "identify", "track", "group", "alias", "screen"]


@pytest.mark.filterwarnings("ignore:datetime.datetime.utcnow:DeprecationWarning")
@pytest.mark.parametrize("options", [{"sync_mode": True}, {"sync_mode": True, "gzip": True}, {}], ids=str)
def test_the_python_package_is_accepted(options: JSON, service: CollectorServer, analytics: Any) -> None:
    client = analytics.Client(KEY, host=service.url, **options)
    tell_all(client)
    if "sync_mode" not in options:
        client.shutdown()

    assert [message["type"] for message in service.messages("customerio")] == TYPES
    assert {one.refusal for one in service.requests} == {None}
    person = service.people("customerio").user("u1")
    assert person is not None
    assert person.event_names == ["page", "identify", "Order Completed", "group", "alias", "screen"]


@pytest.mark.filterwarnings("ignore:datetime.datetime.utcnow:DeprecationWarning")
def test_a_wrong_key_looks_right_to_the_python_package(service: CollectorServer, analytics: Any) -> None:
    """It does not ask for strict mode, so the service only notes what is wrong."""
    client = analytics.Client("sk_us_another", host=service.url, sync_mode=True)

    assert client.track(user_id="u1", event="E")[0] is True
    assert service.messages("customerio") == []
    assert [one.refusal for one in service.requests] == ["The write key is missing or not one of this service"]


def run_on_node(node: NodePackage, url: str, key: str = KEY) -> JSON:
    calls = [
        {"call": "page", "args": {"anonymousId": "a1", "name": "Home"}},
        {"call": "identify", "args": {"userId": "u1", "anonymousId": "a1", "traits": {"plan": "pro"}}},
        {"call": "track", "args": {"userId": "u1", "event": "Order Completed", "properties": {"total": 99.99}}},
        {"call": "group", "args": {"userId": "u1", "groupId": "g1", "traits": {"name": "Acme"}}},
        {"call": "alias", "args": {"userId": "u1", "previousId": "old"}},
        {"call": "screen", "args": {"userId": "u1", "name": "Cart"}},
    ]
    line = {"id": "sdk", "sdk": "node", "call": "batch", "client": {"writeKey": key}, "args": {"calls": calls}}
    return node.run(Case.from_json(line | {"outcome": {}}), line, url)


@pytest.mark.node
def test_the_node_package_is_accepted(service: CollectorServer, node: NodePackage) -> None:
    assert run_on_node(node, service.url) == {"threw": None}
    assert [message["type"] for message in service.messages("customerio")] == TYPES
    assert [one.refusal for one in service.requests] == [None]


@pytest.mark.node
def test_a_wrong_key_looks_right_to_the_node_package(service: CollectorServer, node: NodePackage) -> None:
    assert run_on_node(node, service.url, "sk_us_another") == {"threw": None}
    assert service.messages("customerio") == []


BREAKAGES = {
    "no IDs": lambda call: {**call, "userId": None, "anonymousId": None},
    "no event": lambda call: {name: value for name, value in call.items() if name != "event"},
    "another type": lambda call: {**call, "type": "buy"},
    "properties that are a list": lambda call: {**call, "properties": ["a"]},
    "a time that is none": lambda call: {**call, "timestamp": "yesterday"},
    "too much": lambda call: {**call, "properties": {"t": "x" * 33_000}},
}


@pytest.mark.filterwarnings("ignore:datetime.datetime.utcnow:DeprecationWarning")
@pytest.mark.parametrize("name", BREAKAGES)
def test_broken_variants_are_refused(name: str, service: CollectorServer, analytics: Any) -> None:
    analytics.Client(KEY, host=service.url, sync_mode=True).track(user_id="u1", event="E", properties={"a": 1})
    (sent,) = service.requests
    (call,) = sent.json["batch"]
    body = json.dumps({"batch": [call, BREAKAGES[name](call)]})
    headers = {"authorization": sent.headers["authorization"], "content-type": "application/json"}

    with httpx.Client(base_url=service.url) as client:
        strict = client.post("/v1/batch", content=body, headers={**headers, "x-strict-mode": "1"})
        assert (strict.status_code, strict.json()["code"]) == (400, "invalid_request")
        assert len(service.messages("customerio")) == 1
        assert client.post("/v1/batch", content=body, headers=headers).status_code == 200
    assert len(service.messages("customerio")) == 2, "of a lenient batch the good call is taken"
