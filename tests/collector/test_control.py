from __future__ import annotations

import socket
from collections.abc import Mapping
from typing import Any

import httpx
import pytest

from passerby.collector import CollectorServer
from passerby.collector.ask import ROUTES
from passerby.collector.guard import is_loopback_name

from .conftest import MakeEvent

CREATE = "/v1.2/browser/create.json?client_key=key&message={}"
MISBEHAVE = "/_collector/misbehave"


def test_misbehaviour_is_switched_on_and_off(client: httpx.Client) -> None:
    on = client.post(MISBEHAVE, json={"status": 429, "headers": {"retry-after": "1"}})
    answers = [client.get(CREATE) for _ in range(2)]
    off = client.delete(MISBEHAVE)

    assert on.json() == {"status": "OK", "misbehaving": list(ROUTES)}
    assert [each.status_code for each in answers] == [429, 429]
    assert answers[0].headers["retry-after"] == "1"
    assert off.json() == {"status": "OK", "misbehaving": []}
    assert client.get(CREATE).status_code == 200


def test_misbehaviour_for_a_while(client: httpx.Client) -> None:
    client.post(MISBEHAVE, json={"route": "create", "times": 1})

    assert [client.get(CREATE).status_code for _ in range(2)] == [503, 200]


def test_service_as_usual_but_reset(client: httpx.Client, collector: CollectorServer, make_event: MakeEvent) -> None:
    client.post(MISBEHAVE, json={"route": "events", "times": 1, "status": None, "reset": True})
    with pytest.raises(httpx.ReadError):
        client.post("/v1.2/events", json=make_event())

    assert len(collector.events) == 1


def test_several_answers_in_turn(client: httpx.Client) -> None:
    answers = [{"status": 500, "raw": "<h1>"}, {"status": 200, "body": {"ref": "abc"}}]
    client.post(MISBEHAVE, json={"route": "create", "answers": answers})

    assert [client.get(CREATE).status_code for _ in range(3)] == [500, 200, 200]


@pytest.mark.parametrize(
    ("order", "message"),
    [
        ({"status": 99}, "status is 99"),
        ({"route": "nowhere"}, "route is 'nowhere'"),
        ({"route": None}, "route is None"),
        ({"times": 0}, "times is 0"),
        ({"colour": "red"}, "unknown: colour"),
        ({"headers": {"a": "\n"}}, "'a' is no header"),
        ({"answers": []}, "answers is a list"),
        ({"answers": {}}, "answers is a list"),
        ({"answers": [{}], "times": 2}, "only route is expected"),
        ({"route": "create", "answers": [1]}, "1 is no answer"),
        ({"route": "all", "answers": [{}]}, "route is 'all'"),
    ],
)
def test_impossible_orders_are_refused(client: httpx.Client, order: dict[str, Any], message: str) -> None:
    answer = client.post(MISBEHAVE, json=order)

    assert answer.status_code == 400
    assert message in answer.json()["message"]
    assert client.get("/_collector/stats").json()["misbehaving"] == []


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"\xff"])
def test_rubbish_is_refused(client: httpx.Client, body: bytes) -> None:
    answer = client.post(MISBEHAVE, content=body, headers={"content-type": "application/json"})

    assert answer.status_code == 400


def test_huge_order_is_refused(client: httpx.Client) -> None:
    answer = client.post(MISBEHAVE, json={"raw": "x" * 70_000})

    assert answer.status_code == 413


def test_events_as_json(client: httpx.Client, make_event: MakeEvent) -> None:
    for page in "abc":
        client.post("/v1.2/events", json=make_event(page=page))
    listed = client.get("/_collector/events").json()["events"]
    later = client.get("/_collector/events", params={"after": listed[1]["number"]}).json()["events"]

    assert [each["event"]["page"] for each in listed] == ["a", "b", "c"]
    assert [each["event"]["page"] for each in later] == ["c"]
    assert all(each["time"] > 0 for each in listed)


@pytest.mark.parametrize("after", ["x", "-1", "9" * 30, "²"])
def test_after_is_a_number(client: httpx.Client, after: str) -> None:
    assert client.get("/_collector/events", params={"after": after}).status_code == 400


def test_stats_as_json(client: httpx.Client, make_event: MakeEvent) -> None:
    client.post("/v1.2/events", json=make_event())
    client.post("/v1.2/events", json={})

    assert client.get("/_collector/stats").json() == {
        "requests": 3,
        "accepted_events": 1,
        "refused": 1,
        "browser_ids": 1,
        "by_route": {"create": 1, "events": 2},
        "misbehaving": [],
    }


@pytest.mark.parametrize(("method", "status"), [("GET", 405), ("PUT", 405)])
def test_wrong_method_is_answered_in_json(client: httpx.Client, method: str, status: int) -> None:
    answer = client.request(method, MISBEHAVE)

    assert answer.status_code == answer.json()["status"] == status


@pytest.mark.parametrize("path", ["/_collector/secrets", "/_collector/events/"])
def test_unknown_control_path_is_answered_in_json(client: httpx.Client, path: str) -> None:
    answer = client.get(path)

    assert answer.status_code == 404
    assert answer.json()["message"]


@pytest.mark.parametrize(
    "host",
    ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "192.0.2.1", "0.0.0.0", "[::2]", "", "[", "@"],
)
@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/_collector/events"), ("GET", "/_collector/stats"), ("POST", MISBEHAVE), ("DELETE", MISBEHAVE)],
)
def test_names_of_others_are_refused(client: httpx.Client, host: str, method: str, path: str) -> None:
    """A page elsewhere can have its own name point to this machine, but cannot choose the Host header."""
    answer = client.request(method, path, headers={"host": host, "content-type": "application/json"}, content=b"{}")

    assert answer.status_code in (400, 403)
    assert client.get(CREATE).status_code == 200


def test_request_without_host_is_refused(collector: CollectorServer) -> None:
    with socket.create_connection(("127.0.0.1", collector.port), timeout=10) as connection:
        connection.sendall(b"GET /_collector/events HTTP/1.0\r\n\r\n")
        answer = connection.recv(65_536)

    assert b" 403 " in answer.splitlines()[0]


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:1", "127.0.0.1", "127.9.9.9:80", "[::1]", "[::ffff:127.0.0.1]:9"]
)
def test_loopback_names_are_welcome(client: httpx.Client, host: str) -> None:
    assert client.get("/_collector/stats", headers={"host": host}).status_code == 200


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "", "application/jsonx"])
def test_order_of_a_foreign_form_is_refused(client: httpx.Client, content_type: str) -> None:
    """What a page elsewhere can send here without asking is never taken for an order."""
    answer = client.post(MISBEHAVE, content=b"{}", headers={"content-type": content_type})

    assert answer.status_code == 415
    assert client.get(CREATE).status_code == 200


def test_peers_elsewhere_are_refused() -> None:
    others = [address for address in own_addresses() if not is_loopback_name(address)]
    if not others:
        pytest.skip("this machine has no address but loopback")
    with CollectorServer(host="0.0.0.0", token="open-sesame") as collector:
        url = f"http://{others[0]}:{collector.port}"
        # Whoever comes by the outer address is not on this machine, as far as anyone can tell.
        answer = httpx.get(f"{url}/_collector/events", headers={"host": "localhost"})
        service = httpx.get(f"{url}{CREATE}")

    assert answer.status_code == 401
    assert service.status_code == 200


def own_addresses() -> set[str]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing
        except OSError:
            return set()
        return {probe.getsockname()[0]}


NAMES: Mapping[str, bool] = {
    "localhost": True,
    "127.0.0.1": True,
    "::1": True,
    "::ffff:127.0.0.1": True,
    "::ffff:192.0.2.1": False,
    "0.0.0.0": False,
    "": False,
    "testclient": False,
}


@pytest.mark.parametrize("name", NAMES)
def test_loopback_names(name: str) -> None:
    assert is_loopback_name(name) is NAMES[name]
