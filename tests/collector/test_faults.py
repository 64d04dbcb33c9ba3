from __future__ import annotations

import socket
import time
from typing import Any

import httpx
import pytest

from passerby.collector import CollectorServer, ScriptedResponse
from passerby.collector.api_request import ROUTES
from passerby.collector.faults import Faults
from tests.making import PATIENCE, eventually

from .conftest import MakeEvent

IMPATIENT = httpx.Timeout(PATIENCE, read=0.2)

CREATE = "/v1.2/browser/create.json?client_key=key&message={}"


def test_answers_come_in_turn_and_the_last_one_repeats(collector: CollectorServer, client: httpx.Client) -> None:
    collector.script("create", [ScriptedResponse(status=503, raw="busy"), ScriptedResponse(body={"ref": "abc"})])
    answers = [client.get(CREATE) for _ in range(3)]

    assert [each.status_code for each in answers] == [503, 200, 200]
    assert answers[0].text == "busy"
    assert answers[1].json() == answers[2].json() == {"ref": "abc"}


def test_script_ends_with_none(collector: CollectorServer, client: httpx.Client) -> None:
    collector.script("create", [ScriptedResponse(status=503)])
    assert client.get(CREATE).status_code == 503
    collector.script("create", None)
    assert client.get(CREATE).status_code == 200


def test_script_is_for_one_route_only(collector: CollectorServer, client: httpx.Client, make_event: MakeEvent) -> None:
    collector.script("events", [ScriptedResponse(status=503)])

    assert client.get(CREATE).status_code == 200
    assert client.post("/v1.2/events", json=make_event()).status_code == 503
    assert client.get("/moved").status_code == 404


@pytest.mark.parametrize(
    ("path", "route"),
    [
        (CREATE, "create"),
        ("/v1.2/browser/x/show.json", "show"),
        ("/v2/callFlows", "callflows"),
        ("/v1/events/v1.2/events?siteId=shop", "events"),
        ("/v1/events/v1.2/browser/create.json?client_key=", "create"),
        ("/v1/events/v1.2/browser/x/show.json", "show"),
        ("/v1/personalize?siteId=shop", "personalize"),
        ("/v1/personalize/cdn-url", "cdn"),
        ("/moved", "other"),
    ],
)
def test_every_route_can_be_scripted(collector: CollectorServer, client: httpx.Client, path: str, route: str) -> None:
    for each in ROUTES:
        collector.script(each, [ScriptedResponse(status=418, body={"route": each})])
    answer = client.get(path)

    assert (answer.status_code, answer.json()) == (418, {"route": route})


def test_fail_ends_by_itself(collector: CollectorServer, client: httpx.Client) -> None:
    collector.fail("create", times=2, status=500)

    assert [client.get(CREATE).status_code for _ in range(4)] == [500, 500, 200, 200]


def test_fail_counts_over_all_routes_together(
    collector: CollectorServer, client: httpx.Client, make_event: MakeEvent
) -> None:
    collector.fail("all", times=2)
    answers = [client.get(CREATE), client.post("/v1.2/events", json=make_event()), client.get(CREATE)]

    assert [each.status_code for each in answers] == [503, 503, 200]


def test_fail_lasts_until_it_is_cleared(collector: CollectorServer, client: httpx.Client) -> None:
    collector.fail("all")
    assert [client.get(path).status_code for path in (CREATE, "/moved", CREATE)] == [503] * 3
    collector.clear_faults()
    assert client.get(CREATE).status_code == 200


def test_headers_status_and_raw_body(collector: CollectorServer, client: httpx.Client, make_event: MakeEvent) -> None:
    collector.script(
        "events",
        [
            ScriptedResponse(status=429, headers={"Retry-After": "1"}, body={"message": "Too Many Requests"}),
            ScriptedResponse(status=500, raw="<h1>Error</h1>", headers={"content-type": "text/html"}),
            ScriptedResponse(raw=b"\xff"),
            ScriptedResponse(status=204, body={"not": "sent"}),
            ScriptedResponse(status=302, headers={"location": f"{collector.url}/moved"}, raw=""),
        ],
    )
    answers = [client.post("/v1.2/events", json=make_event()) for _ in range(5)]

    assert [each.status_code for each in answers] == [429, 500, 200, 204, 302]
    assert answers[0].headers["retry-after"] == "1"
    assert answers[0].headers["content-type"] == "application/json"
    assert answers[1].headers["content-type"] == "text/html"
    assert [each.content for each in answers[1:]] == [b"<h1>Error</h1>", b"\xff", b"", b""]


def test_event_answered_with_success_counts_as_accepted(
    collector: CollectorServer, client: httpx.Client, make_event: MakeEvent
) -> None:
    collector.script(
        "events", [ScriptedResponse(status=503), ScriptedResponse(status=201), ScriptedResponse(status=400)]
    )
    for page in "abc":
        client.post("/v1.2/events", json=make_event(page=page))
    client.post("/v1.2/events", content=b"rubbish")

    assert [each["page"] for each in collector.events] == ["b"]
    assert [each.accepted for each in collector.requests] == [False, False, True, False, False]
    assert collector.requests[1].refusal == "a fault was set on the collector"


def test_rubbish_answered_with_success_is_no_event(collector: CollectorServer, client: httpx.Client) -> None:
    collector.script("events", [ScriptedResponse(status=201)])

    assert client.post("/v1.2/events", content=b"rubbish").status_code == 201
    assert collector.events == []


def test_scripted_browser_id_counts_as_issued(collector: CollectorServer, client: httpx.Client) -> None:
    collector.script(
        "create",
        [ScriptedResponse(body={"ref": "abc"}), ScriptedResponse(body={"ref": "\ud800"}), ScriptedResponse(body=[7])],
    )
    for _ in range(3):
        client.get(CREATE)

    assert collector.browser_ids == ["abc"]
    assert client.post("/v1.2/events", json={"type": "VIEW", "browser_id": "abc"}).status_code == 201


def test_delay(collector: CollectorServer, client: httpx.Client, make_event: MakeEvent) -> None:
    """A slow service does its work all the same: the request is there before the answer."""
    collector.fail("events", times=1, status=None, delay=600)
    with pytest.raises(httpx.ReadTimeout):
        client.post("/v1.2/events", json=make_event(page="slow"), timeout=IMPATIENT)
    eventually(lambda: [each["page"] for each in collector.events] == ["slow"])

    started = time.monotonic()
    collector.fail("events", times=1, status=None, delay=0.4)
    assert client.post("/v1.2/events", json=make_event()).status_code == 201
    assert time.monotonic() - started >= 0.4


def test_stall_between_headers_and_body(
    collector: CollectorServer, client: httpx.Client, make_event: MakeEvent
) -> None:
    collector.fail("events", times=1, status=None, stall_body=600)
    with client.stream("POST", "/v1.2/events", json=make_event(), timeout=IMPATIENT) as answer:
        assert answer.status_code == 201
        with pytest.raises(httpx.ReadTimeout):
            answer.read()

    started = time.monotonic()
    collector.fail("events", times=1, status=None, stall_body=0.4)
    with client.stream("POST", "/v1.2/events", json=make_event()) as answer:
        assert answer.read()
    assert time.monotonic() - started >= 0.4


def test_client_that_gives_up_on_a_stall_does_no_harm(
    collector: CollectorServer, client: httpx.Client, make_event: MakeEvent
) -> None:
    collector.fail("events", times=1, status=None, stall_body=600)
    with pytest.raises(httpx.ReadTimeout):
        client.post("/v1.2/events", json=make_event(), timeout=IMPATIENT)

    assert client.post("/v1.2/events", json=make_event()).status_code == 201


def send_and_read(collector: CollectorServer) -> bytes:
    request = b"GET /v1.2/browser/create.json?client_key=key HTTP/1.1\r\nHost: x\r\n\r\n"
    with socket.create_connection(("127.0.0.1", collector.port), timeout=PATIENCE) as connection:
        connection.sendall(request)
        return b"".join(iter(lambda: connection.recv(65_536), b""))


def test_reset_is_a_tcp_reset(collector: CollectorServer) -> None:
    collector.fail("create", times=1, reset=True)
    with pytest.raises(ConnectionResetError):
        send_and_read(collector)

    (received,) = collector.requests
    assert received.status is None
    assert received.refusal == "a fault was set on the collector"


def test_reset_takes_nothing(collector: CollectorServer, client: httpx.Client, make_event: MakeEvent) -> None:
    collector.fail("events", times=1, reset=True)
    with pytest.raises(httpx.ReadError):
        client.post("/v1.2/events", json=make_event())

    assert collector.events == []


def test_reset_after_the_work_is_done(collector: CollectorServer, client: httpx.Client, make_event: MakeEvent) -> None:
    """The service accepted the event, only its response is lost: a retry sends it twice."""
    collector.fail("events", times=1, status=None, reset=True)
    with pytest.raises(httpx.ReadError):
        client.post("/v1.2/events", json=make_event())

    assert len(collector.events) == 1
    (request,) = (one for one in collector.requests if one.event is not None)
    assert request.status is None
    assert request.accepted


@pytest.mark.parametrize("raw", [None, "", "x", '{"status": "OK"}'])
def test_truncated_body(collector: CollectorServer, client: httpx.Client, raw: str | None) -> None:
    collector.fail("create", times=1, status=None if raw is None else 200, raw=raw, truncate=True)
    with pytest.raises(httpx.RemoteProtocolError, match="without sending complete message body"):
        client.get(CREATE)

    assert client.get(CREATE).status_code == 200


def test_truncated_answer_is_half_a_body_and_a_clean_end(collector: CollectorServer) -> None:
    collector.fail("create", times=1, status=200, raw="abcd", truncate=True)
    head, _, body = send_and_read(collector).partition(b"\r\n\r\n")

    assert b"content-length: 4" in head.lower()
    assert body == b"ab"


def test_truncated_event_counts_as_accepted(
    collector: CollectorServer, client: httpx.Client, make_event: MakeEvent
) -> None:
    collector.fail("events", times=1, status=201, raw="abcd", truncate=True)
    with pytest.raises(httpx.RemoteProtocolError):
        client.post("/v1.2/events", json=make_event())

    assert len(collector.events) == 1


def test_faults_apply_to_huge_bodies_too(collector: CollectorServer, client: httpx.Client) -> None:
    collector.fail("events", times=1, status=503)

    assert client.post("/v1.2/events", content=b"x" * 3_000_000).status_code == 503


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"status": 199}, "status is 199"),
        ({"status": 600}, "status is 600"),
        ({"status": "200"}, "status is '200'"),
        ({"status": True}, "status is True"),
        ({"delay": -1}, "delay is -1"),
        ({"delay": float("inf")}, "delay is inf"),
        ({"delay": "1"}, "delay is '1'"),
        ({"stall_body": True}, "stall_body is True"),
        ({"reset": 1}, "reset is 1"),
        ({"truncate": None}, "truncate is None"),
        ({"raw": 7}, "raw is 7"),
        ({"headers": None}, "headers is None"),
        ({"headers": {"a b": "c"}}, "'a b' is not a valid header"),
        ({"headers": {"a": "b\r\nc: d"}}, "'a' is not a valid header"),
        ({"headers": {"a": 1}}, "'a' is not a valid header"),
        ({"headers": {"Content-Length": "1"}}, "Content-Length cannot be set"),
    ],
)
def test_impossible_answers_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ScriptedResponse(**settings)


def test_body_that_is_not_json_is_refused() -> None:
    with pytest.raises(TypeError):
        ScriptedResponse(body=object())


@pytest.mark.parametrize("times", [0, -1, 1.5, True, "3"])
def test_impossible_times_are_refused(times: Any) -> None:
    with pytest.raises(ValueError, match="times is"):
        Faults().fail("all", ScriptedResponse(), times)


def test_unknown_route_is_refused() -> None:
    unknown: Any = "event"
    with pytest.raises(ValueError, match="route is 'event'; expected one of create, events"):
        Faults().script(unknown, [ScriptedResponse()])
    with pytest.raises(ValueError, match="route is 'event'"):
        Faults().fail(unknown, ScriptedResponse())


def test_routes_with_faults_are_known() -> None:
    faults = Faults()
    faults.fail("all", ScriptedResponse(), times=1)
    faults.script("events", [ScriptedResponse()])
    assert faults.routes == list(ROUTES)

    faults.next_response("show")
    assert faults.routes == ["events"]
    assert faults.next_response("create") is None
    faults.clear()
    assert faults.routes == []
