from __future__ import annotations

import json
import socket
import stat
import struct
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from passerby.collector import CollectedRequest, CollectorServer
from passerby.collector.request_handler import MAX_BODY
from tests.making import PATIENCE

from .conftest import MakeEvent

CREATE = "/v1.2/browser/create.json?client_key=key&message={}"


def say(collector: CollectorServer, request: bytes) -> bytes:
    """Send these very bytes and read until the server is done."""
    with socket.create_connection(("127.0.0.1", collector.port), timeout=PATIENCE) as connection:
        connection.sendall(request)
        return b"".join(iter(lambda: connection.recv(65_536), b""))


def test_create_event_show_and_call_flow(client: httpx.Client, collector: CollectorServer) -> None:
    created = client.get(CREATE)
    browser_id = created.json()["ref"]
    event = {"type": "VIEW", "browser_id": browser_id, "client_key": "key"}
    taken = client.post("/v1.2/events", json=event)
    shown = client.get(f"/v1.2/browser/{browser_id}/show.json?client_key=key&api_token=key")
    personalized = client.post("/v2/callFlows", json={"clientKey": "key", "friendlyId": "exp_1"})

    assert [each.status_code for each in (created, taken, shown, personalized)] == [200, 201, 200, 200]
    assert {each.headers["content-type"] for each in (created, taken, shown)} == {"application/json"}
    assert shown.json()["customer"]["ref"] == created.json()["customer_ref"]
    assert collector.browser_ids == [browser_id]
    assert collector.has_issued(browser_id)
    assert collector.events == [event]
    assert [each.route for each in collector.requests] == ["create", "events", "show", "callflows"]


def test_event_in_the_query(client: httpx.Client, collector: CollectorServer, make_event: MakeEvent) -> None:
    event = make_event(page="Süß & teuer", client_key="in the event")
    answer = client.get("/v1.2/event/create.json", params={"client_key": "in the query", "message": json.dumps(event)})

    assert answer.status_code == 201
    assert collector.events == [event]
    assert collector.requests[-1].event == event


def test_request_is_kept_as_it_was_on_the_wire(collector: CollectorServer) -> None:
    before = time.time()
    say(
        collector,
        b"GET //v1.2/browser/create.json?client_key=a%20b&c=d&message={} HTTP/1.1\r\n"
        b"Host: x\r\nX-Library-Version: 1.4.3\r\nX-Twice: a\r\nx-twice: b\r\nConnection: close\r\n\r\n",
    )
    (received,) = collector.requests

    assert received.number == 1
    assert before <= received.time <= time.time()
    assert received.method == "GET"
    assert received.path == "//v1.2/browser/create.json?client_key=a%20b&c=d&message={}"
    assert received.headers["x-library-version"] == "1.4.3"
    assert received.headers["x-twice"] == "a, b"
    assert received.body == b""
    assert received.json is None
    assert (received.route, received.status, received.refusal) == ("create", 200, None)


def test_target_url_may_have_a_path(client: httpx.Client, make_event: MakeEvent) -> None:
    assert client.post("/edge/stream/v1.2/events", json=make_event()).status_code == 201


def test_refused_event_is_kept_with_the_reason(
    client: httpx.Client, collector: CollectorServer, make_event: MakeEvent
) -> None:
    answer = client.post("/v1.2/events", json=make_event(browser_id="unknown"))
    received = collector.requests[-1]

    assert answer.status_code == received.status == 404
    assert not received.accepted
    assert received.refusal == answer.json()["developerMessage"] == "browser_id unknown was not issued here"
    assert received.json["browser_id"] == "unknown"
    assert collector.events == []


def test_any_browser_id_may_be_accepted(collector: CollectorServer, client: httpx.Client) -> None:
    event = {"type": "VIEW", "browser_id": "unknown"}
    collector.accept_any_browser_id = True
    accepted = client.post("/v1.2/events", json=event)
    collector.accept_any_browser_id = False
    refused = client.post("/v1.2/events", json=event)

    assert (accepted.status_code, refused.status_code) == (201, 404)
    assert not collector.has_issued("unknown")


def test_client_keys_can_be_set() -> None:
    with CollectorServer(client_keys=["right"], accept_any_browser_id=True) as collector:
        event = {"type": "VIEW", "browser_id": "x", "client_key": "wrong"}
        answers = [
            httpx.get(f"{collector.url}/v1.2/browser/create.json?client_key=wrong"),
            httpx.post(f"{collector.url}/v1.2/events", json=event),
            httpx.get(f"{collector.url}/v1.2/browser/create.json?client_key=right"),
        ]

    assert [each.status_code for each in answers] == [401, 401, 200]


@pytest.mark.parametrize("path", ["/", "/nowhere", "/v1.2", "/%0a/v1.2/event", "/_collectors", "/a//b/"])
def test_unknown_path_is_answered_in_json(client: httpx.Client, path: str) -> None:
    answer = client.get(path)

    assert answer.status_code == 404
    assert answer.json()["code"] == 404


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"\xff", b"\x00", b"[" * 100_000])
def test_rubbish_is_answered_in_json(client: httpx.Client, collector: CollectorServer, body: bytes) -> None:
    answer = client.post("/v1.2/events", content=body)

    assert answer.status_code == 400
    assert answer.json()["message"] == "Bad Request"
    assert collector.requests[-1].body == body


def test_surrogates_do_no_harm(collector: CollectorServer, client: httpx.Client) -> None:
    collector.accept_any_browser_id = True
    body = b'{"type": "\\ud800", "browser_id": "\\udfff", "ext": {"\\ud83d": "\\u0000"}}'

    assert client.post("/v1.2/events", content=body).status_code == 201
    assert collector.events == [json.loads(body)]


def test_body_up_to_the_limit_is_taken(client: httpx.Client, make_event: MakeEvent) -> None:
    room = MAX_BODY - len(json.dumps(make_event(page="")))
    event = json.dumps(make_event(page="x" * room))

    assert client.post("/v1.2/events", content=event).status_code == 201
    assert client.post("/v1.2/events", content=event + " ").status_code == 413


def test_huge_body_is_refused_and_the_server_lives_on(
    client: httpx.Client, collector: CollectorServer, make_event: MakeEvent
) -> None:
    answer = client.post("/v1.2/events", content=b"x" * (5 * MAX_BODY))

    assert answer.status_code == 413
    assert answer.json()["developerMessage"] == "The body is longer than 1,048,576 bytes"
    assert len(collector.requests[-1].body) == MAX_BODY
    assert client.post("/v1.2/events", json=make_event()).status_code == 201


def test_client_that_leaves_in_the_middle_leaves_no_trace(
    client: httpx.Client, collector: CollectorServer, make_event: MakeEvent
) -> None:
    with socket.create_connection(("127.0.0.1", collector.port)) as connection:
        connection.sendall(b"POST /v1.2/events HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")

    assert client.post("/v1.2/events", json=make_event()).status_code == 201
    assert [each.route for each in collector.requests] == ["create", "events"]


def test_what_is_not_http_is_refused(collector: CollectorServer) -> None:
    assert say(collector, b"\x16\x03\x01 hello\r\n\r\n").startswith(b"HTTP/1.1 400 ")


def test_stopped_server_refuses_connections_and_starts_on_the_same_port(
    client: httpx.Client, collector: CollectorServer, make_event: MakeEvent
) -> None:
    url = collector.url
    for page in range(3):
        collector.stop()
        with pytest.raises(httpx.ConnectError):
            client.get(CREATE)
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", collector.port))
        collector.start()
        assert client.post("/v1.2/events", json=make_event(page=str(page))).status_code == 201

    assert collector.url == url
    assert [each["page"] for each in collector.events] == ["0", "1", "2"]


def test_port_is_kept_while_stopped(collector: CollectorServer) -> None:
    collector.stop()

    with socket.socket() as other, pytest.raises(OSError, match="in use"):
        other.bind(("127.0.0.1", collector.port))


def test_starting_and_stopping_twice_changes_nothing(collector: CollectorServer) -> None:
    collector.start()
    assert httpx.get(f"{collector.url}{CREATE}").status_code == 200
    collector.stop()
    collector.stop()
    collector.start()
    assert len(collector.requests) == 1


def test_stop_does_not_wait_for_those_who_hang(collector: CollectorServer, client: httpx.Client) -> None:
    collector.fail("create", delay=600)
    with ThreadPoolExecutor() as threads, socket.create_connection(("127.0.0.1", collector.port)) as half:
        half.sendall(b"POST /v1.2/events HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
        hanging = threads.submit(client.get, CREATE)
        while not collector.requests:
            time.sleep(0.01)
        collector.stop()

        with pytest.raises(httpx.TransportError):
            hanging.result(timeout=PATIENCE)


def test_busy_port_is_an_error(collector: CollectorServer) -> None:
    with pytest.raises(OSError, match="in use"):
        CollectorServer(port=collector.port).start()


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "::", "example.com", ""])
def test_host_that_others_can_reach_is_refused(host: str) -> None:
    with pytest.raises(ValueError, match="can be reached from other machines"):
        CollectorServer(host=host)


@pytest.mark.parametrize("host", ["127.0.0.2", "localhost", "::1"])
def test_loopback_hosts_are_served(host: str) -> None:
    try:
        with CollectorServer(host=host) as collector:
            assert httpx.get(f"{collector.url}{CREATE}").status_code == 200
    except OSError as exc:
        pytest.skip(f"{host} does not exist here: {exc}")


def test_such_a_host_is_served_where_there_is_a_token() -> None:
    with CollectorServer(host="0.0.0.0", token="open-sesame") as collector:
        assert httpx.get(f"http://127.0.0.1:{collector.port}{CREATE}").status_code == 200


def test_everything_survives_in_a_file(tmp_path: Path) -> None:
    with CollectorServer(tmp_path / "collector.db") as collector:
        browser_id = httpx.get(f"{collector.url}{CREATE}").json()["ref"]
        collector.close()
    with CollectorServer(tmp_path / "collector.db") as collector:
        event = {"type": "VIEW", "browser_id": browser_id}
        answer = httpx.post(f"{collector.url}/v1.2/events", json=event)

        assert answer.status_code == 201
        assert [each.number for each in collector.requests] == [1, 2]
        assert collector.browser_ids == [browser_id]
        collector.close()
    assert stat.S_IMODE((tmp_path / "collector.db").stat().st_mode) == 0o600


def test_what_arrived_can_be_read_after_the_end() -> None:
    with CollectorServer(accept_any_browser_id=True) as collector:
        httpx.post(f"{collector.url}/v1.2/events", json={"type": "VIEW", "browser_id": "x"})

    assert len(collector.events) == 1


def test_clear_deletes_what_arrived(collector: CollectorServer, client: httpx.Client, make_event: MakeEvent) -> None:
    client.post("/v1.2/events", json=make_event())
    collector.clear()

    assert (collector.requests, collector.events) == ([], [])
    assert len(collector.browser_ids) == 1


def test_wait_for_events(collector: CollectorServer, client: httpx.Client, make_event: MakeEvent) -> None:
    def send() -> None:
        for _ in range(3):
            time.sleep(0.05)
            client.post("/v1.2/events", json=make_event())

    thread = threading.Thread(target=send)
    thread.start()
    found = collector.wait_for_events(3, timeout=30)
    thread.join()

    assert len(found) == 3
    assert len(collector.wait_for_events(4, timeout=0.05)) == 3


def test_listener_hears_of_each_request() -> None:
    heard: list[CollectedRequest] = []
    with CollectorServer(on_received=heard.append) as collector:
        httpx.get(f"{collector.url}{CREATE}")
        httpx.post(f"{collector.url}/v1.2/events", json={})

    assert [(each.route, each.status) for each in heard] == [("create", 200), ("events", 400)]
    assert heard == collector.requests


@pytest.fixture
def send_many(collector: CollectorServer) -> Iterator[Callable[[list[dict[str, Any]]], list[int]]]:
    with ThreadPoolExecutor(8) as threads, httpx.Client(base_url=collector.url, timeout=60) as client:

        def send(events: list[dict[str, Any]]) -> list[int]:
            answers = threads.map(lambda event: client.post("/v1.2/events", json=event), events)
            return [answer.status_code for answer in answers]

        yield send


def test_nothing_is_lost_when_many_send_at_once(
    collector: CollectorServer, make_event: MakeEvent, send_many: Callable[[list[dict[str, Any]]], list[int]]
) -> None:
    """More requests than one batch of the store, read while they arrive."""
    answers = send_many([make_event(page=str(page)) for page in range(1_200)])

    assert answers == [201] * 1_200
    assert {event["page"] for event in collector.events} == {str(page) for page in range(1_200)}
    assert [each.number for each in collector.requests] == list(range(1, 1_202))


def test_reset_by_the_client_does_no_harm(
    collector: CollectorServer, client: httpx.Client, make_event: MakeEvent
) -> None:
    collector.fail("events", times=1, status=None, delay=0.2)
    connection = socket.create_connection(("127.0.0.1", collector.port))
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    body = json.dumps(make_event()).encode()
    connection.sendall(b"POST /v1.2/events HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    collector.wait_for_events(1)
    connection.close()

    assert client.post("/v1.2/events", json=make_event()).status_code == 201
    assert len(collector.events) == 2
