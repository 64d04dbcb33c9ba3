from __future__ import annotations

import gzip
import json
from typing import Any

import httpx
import pytest

from passerby.collector import CollectorServer
from passerby.collector.api_request import ROUTES
from passerby.collector.stream_api import guest_id_of

from .conftest import MakeEvent

CREATE = "/v1.2/browser/create.json?client_key=key&message={}"
FAULTS = "/_collector/faults"


def test_faults_is_switched_on_and_off(client: httpx.Client) -> None:
    on = client.post(FAULTS, json={"status": 429, "headers": {"retry-after": "1"}})
    answers = [client.get(CREATE) for _ in range(2)]
    off = client.delete(FAULTS)

    assert on.json() == {"status": "OK", "faults": list(ROUTES)}
    assert [each.status_code for each in answers] == [429, 429]
    assert answers[0].headers["retry-after"] == "1"
    assert off.json() == {"status": "OK", "faults": []}
    assert client.get(CREATE).status_code == 200


def test_faults_for_a_while(client: httpx.Client) -> None:
    client.post(FAULTS, json={"route": "create", "times": 1})

    assert [client.get(CREATE).status_code for _ in range(2)] == [503, 200]


def test_service_as_usual_but_reset(client: httpx.Client, collector: CollectorServer, make_event: MakeEvent) -> None:
    client.post(FAULTS, json={"route": "events", "times": 1, "status": None, "reset": True})
    with pytest.raises(httpx.ReadError):
        client.post("/v1.2/events", json=make_event())

    assert len(collector.events) == 1


def test_several_answers_in_turn(client: httpx.Client) -> None:
    answers = [{"status": 500, "raw": "<h1>"}, {"status": 200, "body": {"ref": "abc"}}]
    client.post(FAULTS, json={"route": "create", "answers": answers})

    assert [client.get(CREATE).status_code for _ in range(3)] == [500, 200, 200]


@pytest.mark.parametrize(
    ("order", "message"),
    [
        ({"status": 99}, "status is 99"),
        ({"route": "nowhere"}, "route is 'nowhere'"),
        ({"route": None}, "route is None"),
        ({"times": 0}, "times is 0"),
        ({"colour": "red"}, "unknown: colour"),
        ({"headers": {"a": "\n"}}, "'a' is not a valid header"),
        ({"answers": []}, "answers: expected a list"),
        ({"answers": {}}, "answers: expected a list"),
        ({"answers": [{}], "times": 2}, "no other field but route"),
        ({"route": "create", "answers": [1]}, "1 is no response"),
        ({"route": "all", "answers": [{}]}, "route is 'all'"),
    ],
)
def test_impossible_orders_are_refused(client: httpx.Client, order: dict[str, Any], message: str) -> None:
    answer = client.post(FAULTS, json=order)

    assert answer.status_code == 400
    assert message in answer.json()["message"]
    assert client.get("/_collector/stats").json()["faults"] == []


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"\xff"])
def test_rubbish_is_refused(client: httpx.Client, body: bytes) -> None:
    answer = client.post(FAULTS, content=body, headers={"content-type": "application/json"})

    assert answer.status_code == 400


def test_huge_order_is_refused(client: httpx.Client) -> None:
    answer = client.post(FAULTS, json={"raw": "x" * 70_000})

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
        "faults": [],
    }


@pytest.mark.parametrize(("method", "status"), [("GET", 405), ("PUT", 405)])
def test_wrong_method_is_answered_in_json(client: httpx.Client, method: str, status: int) -> None:
    answer = client.request(method, FAULTS)

    assert answer.status_code == answer.json()["status"] == status


@pytest.mark.parametrize("path", ["/_collector/secrets", "/_collector/events/"])
def test_unknown_control_path_is_answered_in_json(client: httpx.Client, path: str) -> None:
    answer = client.get(path)

    assert answer.status_code == 404
    assert answer.json()["message"]


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "", "application/jsonx"])
def test_order_of_a_foreign_form_is_refused(client: httpx.Client, content_type: str) -> None:
    """What a page elsewhere can send here without asking is never taken for an order."""
    answer = client.post(FAULTS, content=b"{}", headers={"content-type": content_type})

    assert answer.status_code == 415
    assert client.get(CREATE).status_code == 200


def test_a_request_and_its_answer(client: httpx.Client, make_event: MakeEvent) -> None:
    event = make_event(page="Home")
    client.post("/v1.2/events?a=b", json=event)
    found = client.get("/_collector/requests/2").json()

    assert (found["number"], found["method"], found["path"]) == (2, "POST", "/v1.2/events?a=b")
    assert (found["route"], found["status"], found["accepted"], found["refusal"]) == ("events", 201, True, None)
    assert json.loads(found["body"]) == event
    assert found["headers"]["content-type"] == "application/json"
    assert found["response"]["headers"] == {"content-type": "application/json"}
    assert json.loads(found["response"]["body"])["status"] == "OK"


@pytest.mark.parametrize("number", ["2", "0", "x", "-1", "9" * 30, "1.0"])
def test_a_request_that_is_not_there(client: httpx.Client, browser_id: str, number: str) -> None:
    answer = client.get(f"/_collector/requests/{number}")

    assert answer.status_code == answer.json()["status"] == 404


def test_the_answer_is_kept_as_it_was_sent(client: httpx.Client) -> None:
    order = {"status": 429, "headers": {"Retry-After": "7"}, "raw": "<h1>later", "times": 1}
    client.post(FAULTS, json=order)
    client.get(CREATE)
    client.post(FAULTS, json={"body": {"a": "bcdef"}, "truncate": True, "times": 1})
    with pytest.raises(httpx.RemoteProtocolError):
        client.get(CREATE)
    client.post(FAULTS, json={"reset": True, "times": 1})
    with pytest.raises(httpx.ReadError):
        client.get(CREATE)
    late, cut, lost = (client.get(f"/_collector/requests/{number}").json() for number in (1, 2, 3))

    assert late["response"] == {
        "headers": {"content-type": "text/plain; charset=utf-8", "Retry-After": "7"},
        "body": "<h1>later",
    }
    assert (cut["status"], cut["response"]["body"]) == (503, '{"a": "')
    assert (lost["status"], lost["response"]) == (None, {"headers": {}, "body": ""})


def test_secrets_are_masked(client: httpx.Client) -> None:
    headers = {
        "authorization": "Basic c2VjcmV0LXNlY3JldDo=",
        "x-api-key": "secret-key-of-datalyr",
        "cookie": "session=secret",
        "proxy-authorization": "short",
        "x-other": "plain",
    }
    client.post("/v1/track", json={}, headers=headers)
    shown = client.get("/_collector/requests/1").json()["headers"]

    assert {name: shown[name] for name in headers} == {
        "authorization": "Basic c2Vj...",
        "x-api-key": "secr...",
        "cookie": "sess...",
        "proxy-authorization": "short...",
        "x-other": "plain",
    }


def test_a_packed_body_is_shown_unpacked(client: httpx.Client) -> None:
    headers = {"content-encoding": "gzip", "authorization": "Bearer key"}
    client.post("/v1/page", content=gzip.compress(b'{"anonymousId": "a"}'), headers=headers)
    client.post("/v1/page", content=b"\xffno gzip", headers=headers)
    bodies = [client.get(f"/_collector/requests/{number}").json()["body"] for number in (1, 2)]

    assert bodies == ['{"anonymousId": "a"}', "\N{REPLACEMENT CHARACTER}no gzip"]


def person(client: httpx.Client, system: str, **asked: Any) -> Any:
    """What is said of one person."""
    answer = client.get(f"/_collector/person/{system}", params=asked)
    assert answer.status_code == 200
    return answer.json()["person"]


def test_people_and_a_person_with_the_timeline(client: httpx.Client, make_event: MakeEvent) -> None:
    client.post("/v1.2/events", json=make_event(page="Home"))
    identity = make_event(type="IDENTITY", email="ada@shop.example", identifiers=[{"id": "ada", "provider": "CRM"}])
    client.post("/v1.2/events", json=identity)
    found = client.get("/_collector/people/sitecore").json()
    ada = person(client, "sitecore", user="ada")
    view, latest = ada["timeline"]

    assert (found["total_users"], found["total_anonymous"], found["anonymous"]) == (1, 0, [])
    assert found["users"] == [
        {
            "user_id": "ada",
            "name": None,
            "email": "ada@shop.example",
            "anonymous_ids": [identity["browser_id"]],
            "devices": 1,
            "first": view["time"],
            "last": latest["time"],
            "events": 2,
            "sites": ["shop.example"],
            "is_bot": False,
        }
    ]
    assert {name: ada[name] for name in found["users"][0]} == found["users"][0]
    assert ada["traits"] == {"email": "ada@shop.example"}
    assert ada["earlier"] == {"is_known": False, "browsers": []}
    assert ada["first"] <= ada["last"]
    assert view == {
        "number": 2,
        "position": 0,
        "time": view["time"],
        "name": "VIEW",
        "summary": "Home",
        "anonymous_id": identity["browser_id"],
        "user_id": None,
        "is_identity": False,
        "reattributed": True,
        "site": "shop.example",
        "is_bot": False,
    }
    assert ada["guest_ids"] == [guest_id_of(identity["browser_id"])]
    assert (latest["name"], latest["user_id"], latest["is_identity"], latest["reattributed"]) == (
        "IDENTITY",
        "ada",
        True,
        False,
    )


def test_the_people_of_whom_something_came_last_come_first(client: httpx.Client) -> None:
    for visitor in ("a", "b", "c", "a"):
        client.post("/v1/page", json={"anonymousId": visitor}, headers={"authorization": "Bearer key"})
    found = client.get("/_collector/people/customerio?limit=2").json()

    assert [one["anonymous_ids"] for one in found["anonymous"]] == [["a"], ["c"]]
    assert found["total_anonymous"] == 3
    assert [one["anonymous_ids"] for one in client.get("/_collector/people/datalyr").json()["anonymous"]] == []


def test_people_are_kept_up_to_date(client: httpx.Client) -> None:
    """What came since the last time is added, and what was cleared is gone."""
    headers = {"authorization": "Bearer key"}
    client.post("/v1/page", json={"anonymousId": "a"}, headers=headers)
    stranger = client.get("/_collector/people/customerio").json()
    client.post("/v1/identify", json={"anonymousId": "a", "userId": "ada"}, headers=headers)
    known = client.get("/_collector/people/customerio").json()
    client.delete("/_collector/arrivals")
    client.post("/v1/page", json={"anonymousId": "a"}, headers=headers)
    anew = client.get("/_collector/people/customerio").json()

    assert [len(found["users"]) for found in (stranger, known, anew)] == [0, 1, 0]
    assert [one["events"] for one in known["users"]] == [2]
    assert [one["events"] for one in anew["anonymous"]] == [1]


def test_a_timeline_is_in_the_order_in_which_it_happened(client: httpx.Client) -> None:
    """Late events are sorted by their own time, and events without a time by their arrival."""
    calls = [
        {"event": "today"},
        {"event": "in March", "timestamp": "2026-03-01T10:00:00Z"},
        {"event": "in February", "timestamp": "2026-02-01T10:00:00Z"},
    ]
    batch = [{"type": "track", "anonymousId": "a", **call} for call in calls]
    client.post("/v1/batch", json={"batch": batch}, headers={"authorization": "Bearer key"})
    found = person(client, "customerio", browser="a")

    assert [entry["name"] for entry in found["timeline"]] == ["in February", "in March", "today"]
    assert found["first"] == found["timeline"][0]["time"] == 1769940000.0
    assert found["last"] == found["timeline"][2]["time"] > 1772359200.0


def test_of_a_long_timeline_the_latest_part_is_shown(client: httpx.Client) -> None:
    batch = [{"type": "track", "event": str(number), "anonymousId": "a"} for number in range(1_200)]
    client.post("/v1/batch", json={"batch": batch}, headers={"authorization": "Bearer key"})

    for asked, begin in (({}, 700), ({"limit": 3}, 1_197), ({"limit": 0}, 1_200), ({"limit": 10**9}, 0)):
        found = person(client, "customerio", browser="a", **asked)
        assert found["events"] == 1_200
        assert [entry["position"] for entry in found["timeline"]] == list(range(begin, 1_200))


@pytest.mark.parametrize("path", ["people/sitecore?", "person/sitecore?user=ada&"])
@pytest.mark.parametrize("limit", ["x", "-1", "1e3"])
def test_limit_is_a_number(client: httpx.Client, path: str, limit: str) -> None:
    assert client.get(f"/_collector/{path}limit={limit}").status_code == 400


def test_a_person_is_found_by_any_of_their_ids(client: httpx.Client) -> None:
    headers = {"authorization": "Bearer key"}
    calls = [
        {"type": "page", "anonymousId": "stranger/1"},
        {"type": "identify", "anonymousId": "phone", "userId": "old"},
        {"type": "identify", "anonymousId": "laptop", "userId": "ada"},
        {"type": "alias", "userId": "ada", "previousId": "old"},
        {"type": "page", "anonymousId": "ada"},
        {"type": "track", "userId": "ben", "event": "no browser"},
    ]
    client.post("/v1/batch", json={"batch": calls}, headers=headers)

    for asked in ({"user": "ada"}, {"user": "old"}, {"any": "ada"}, {"browser": "phone"}, {"any": "laptop"}):
        assert person(client, "customerio", **asked)["user_id"] == "ada"
    for asked in ({"browser": "stranger/1"}, {"any": "stranger/1"}, {"browser": "ada"}):
        assert person(client, "customerio", **asked)["user_id"] is None
    assert person(client, "customerio", user="ben")["devices"] == 0
    for asked in ({"user": "stranger/1"}, {"browser": "ben"}, {"any": "nobody"}):
        assert person(client, "customerio", **asked) is None
    assert person(client, "datalyr", user="ada") is None


@pytest.mark.parametrize("asked", ["", "name=ada", "user=ada&browser=b"])
def test_a_person_is_asked_for_by_one_id(client: httpx.Client, asked: str) -> None:
    assert client.get(f"/_collector/person/sitecore?{asked}").status_code == 400
    assert client.get(f"/_collector/person/nowhere?{asked}").status_code == 404


def test_people_are_found_by_what_they_are_called(client: httpx.Client) -> None:
    calls = [
        {"type": "identify", "anonymousId": "b1", "userId": "u1", "traits": {"first_name": "Ada", "lastName": "Byron"}},
        {"type": "identify", "anonymousId": "b2", "userId": "u2", "traits": {"email": "ada@shop.example"}},
        {"type": "identify", "anonymousId": "b3", "userId": "u3", "traits": {"name": "Ben", "plan": "ada"}},
        {"type": "page", "anonymousId": "ADA-4"},
    ]
    client.post("/v1/batch", json={"batch": calls}, headers={"authorization": "Bearer key"})

    def found(text: str, limit: int = 9) -> Any:
        return client.get("/_collector/people/customerio", params={"text": text, "limit": limit}).json()

    assert [(one["user_id"], one["name"]) for one in found("ada")["users"]] == [("u2", None), ("u1", "Ada Byron")]
    assert [one["anonymous_ids"] for one in found("ada")["anonymous"]] == [["ADA-4"]]
    assert [one["user_id"] for one in found("  byron Ada ")["users"]] == ["u1"]
    assert [one["user_id"] for one in found("b3")["users"]] == ["u3"]
    assert found("nobody")["users"] == []
    cut = found("ada", limit=1)
    assert (len(cut["users"]), cut["total_users"], cut["total_anonymous"]) == (1, 2, 1)


def test_everything_is_exported(client: httpx.Client, make_event: MakeEvent) -> None:
    event = make_event()
    client.post("/v1.2/events", json=event)
    batch = [{"type": "page", "anonymousId": str(number)} for number in range(1_100)]
    client.post("/v1/batch", json={"batch": batch}, headers={"authorization": "Bearer key"})
    client.post("/v1.2/events", json={})
    answer = client.get("/_collector/export")
    lines = [json.loads(line) for line in answer.text.splitlines()]

    assert answer.headers["content-type"] == "application/x-ndjson"
    assert answer.headers["content-disposition"].startswith("attachment")
    assert [line["event"] for line in lines] == [None, event, *batch, {}]
    assert [(line["number"], line["position"]) for line in lines][-2:] == [(3, 1_099), (4, 0)]
    assert (lines[-1]["accepted"], lines[-1]["refusal"]) == (False, "browser_id is missing")


def test_clearing_forgets_all_but_the_browser_ids(
    client: httpx.Client, collector: CollectorServer, make_event: MakeEvent
) -> None:
    client.post("/v1.2/events", json=make_event())
    client.post("/v1/page", json={"anonymousId": "a"}, headers={"authorization": "Bearer key"})
    answer = client.delete("/_collector/arrivals")

    assert (answer.status_code, answer.json()) == (200, {"status": "OK"})
    assert (collector.requests, collector.events, collector.messages("customerio")) == ([], [], [])
    assert collector.counts == {
        "requests": 0,
        "accepted_events": 0,
        "refused": 0,
        "browser_ids": 1,
        "by_route": {},
    }
    assert client.post("/v1.2/events", json=make_event()).status_code == 201, "its browser ID is still known"
    assert [request.number for request in collector.requests] == [4]


HOSTILE = {"a": "\ud800", "<script>": "</script><script>alert(1)</script>", "b": "\u2028\x00", "c": [float("inf")]}


def test_nothing_that_arrived_breaks_an_answer(client: httpx.Client, make_event: MakeEvent) -> None:
    """Halves of letters, infinities and markup come out as JSON that every reader takes."""
    body = json.dumps(make_event(ext=HOSTILE, page=HOSTILE["<script>"])).replace("Infinity", "1e999")
    call = json.dumps({"anonymousId": "\ud800", "messageId": "\ud800", "traits": HOSTILE, "userId": "u\ud800"})
    headers = {"authorization": "Bearer key", "content-type": "application/json"}
    assert client.post("/v1.2/events", content=body).status_code == 201
    assert client.post("/v1/identify", content=call.replace("Infinity", "1e999"), headers=headers).status_code == 200

    known = "person/customerio?user=u\N{REPLACEMENT CHARACTER}"  # as an address writes it
    people = ("people/customerio", "people/sitecore", known)
    for path in ("events", "messages/customerio", *people, "requests/2", "health"):
        answer = client.get(f"/_collector/{path}")
        assert answer.status_code == 200
        assert answer.content.isascii()
        assert answer.headers["content-type"] == "application/json"
        json.loads(answer.content, parse_constant=pytest.fail)
    assert client.get(f"/_collector/{known}").json()["person"]["traits"]["<script>"] == HOSTILE["<script>"]
    assert len(client.get("/_collector/export").text.splitlines()) == 3


def test_what_is_nested_too_deeply_is_refused_by_all(client: httpx.Client, make_event: MakeEvent) -> None:
    """Else it could be read and not written again, and nothing beside it either."""
    deep, shallow = "[" * 400 + "]" * 400, "[" * 80 + "]" * 80
    for body, statuses in ((deep, [400, 400, 400]), (shallow, [201, 200, 200])):
        event = json.dumps(make_event(ext="X")).replace('"X"', body)
        call = (
            f'{{"anonymousId": "a", "event": "x", "timestamp": "2026-11-24T16:00:00Z", "properties": {{"a": {body}}}}}'
        )
        strict = {"authorization": "Bearer key", "x-strict-mode": "1"}
        answers = [
            client.post("/v1.2/events", content=event),
            client.post("/v1/track", content=call, headers=strict),
            client.post("/track", content=call, headers={"x-api-key": "key"}),
        ]
        assert [answer.status_code for answer in answers] == statuses
    assert client.get("/_collector/stats").json()["accepted_events"] == 3


@pytest.mark.parametrize("path", ["stats", "nowhere", "requests/1", "faults", "export", "stream?after=x", ""])
def test_everything_carries_the_protective_headers(client: httpx.Client, path: str) -> None:
    headers = client.get(f"/_collector/{path}").headers
    policy = dict(rule.partition(" ")[::2] for rule in headers["content-security-policy"].split("; "))

    assert policy == {
        "default-src": "'none'",
        "script-src": "'self'",
        "style-src": "'self'",
        "connect-src": "'self'",
        "img-src": "'self' data:",
        "base-uri": "'none'",
        "form-action": "'self'",
        "frame-ancestors": "'none'",
        "require-trusted-types-for": "'script'",
        "trusted-types": "'none'",
    }
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cache-control"] == "no-store"
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert not [name for name in headers if name.startswith("access-control")]


def test_the_services_answer_as_the_real_ones_do(client: httpx.Client) -> None:
    assert "content-security-policy" not in client.get(CREATE).headers


def test_only_configured_origins_may_frame_the_page() -> None:
    with CollectorServer(frame_ancestors="http://localhost:8000 http://127.0.0.1:8000") as collector:
        policy = httpx.get(f"{collector.url}/_collector/stats").headers["content-security-policy"]

    assert "; frame-ancestors http://localhost:8000 http://127.0.0.1:8000; " in policy


@pytest.mark.parametrize("ancestors", ["'self'; script-src *", "a, b", "a\nb", "ä"])
def test_whom_may_not_end_the_policy(ancestors: str) -> None:
    with pytest.raises(ValueError, match="expected origins such as"):
        CollectorServer(frame_ancestors=ancestors)
