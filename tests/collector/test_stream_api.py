from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from passerby.collector.api_request import ROUTES, ApiRequest, ApiResponse
from passerby.collector.stream_api import MORE_INFO, NO_SCRIPT, StreamApi, guest_id_of

KNOWN = "7ed103bd-08c2-47f4-8f69-91141ca3200d"
OTHER = "a38b230c-11eb-4cf9-8d5d-274e9f344925"
EVENT = {"type": "VIEW", "browser_id": KNOWN, "client_key": "key", "page": "Home"}
SHOW = f"/v1.2/browser/{KNOWN}/show.json?client_key=key&api_token=key"


PATHS = [
    *("/v1.2/events", "/v1.2/event/create.json", "/v1.2/browser/x/show.json", "/v2/callFlows"),
    *("/v1/events/v1.2/events", "/v1/events/v1.2/browser/create.json", "/v1/personalize", "/v1/personalize/cdn-url"),
]


def ask(method: str, path: str, body: object = None) -> ApiResponse:
    api = StreamApi(is_known=lambda browser_id: browser_id == KNOWN, client_keys=["key"], new_id=lambda: OTHER)
    content = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
    return api.handle(ApiRequest(method, path, content))


def assert_refused(answer: ApiResponse, status: int, reason: str) -> None:
    assert answer.status == status
    assert answer.event is None
    assert answer.browser_id is None
    assert reason in (answer.refusal or "")


@pytest.mark.parametrize(
    ("path", "route"),
    [
        ("/v1.2/browser/create.json?client_key=key&message={}", "create"),
        ("//v1.2/browser/create.json", "create"),
        ("/edge/stream/v1.2/events", "events"),
        ("/v1/events/v1.2/events?sitecoreContextId=1&siteId=2", "events"),
        ("/v1.2/event/create.json?message={}", "events"),
        (SHOW, "show"),
        ("/v1.2/browser//show.json", "show"),
        ("/v2/callFlows", "callflows"),
        ("/v1/events/v1.2/browser/create.json?client_key=", "create"),
        (f"//v1/events/v1.2/browser/{KNOWN}/show.json", "show"),
        ("/proxy/v1/personalize?siteId=2", "personalize"),
        ("/v1/personalize/cdn-url?client_key=", "cdn"),
        ("/v1/search", "other"),
        ("/v1.2/events/", "other"),
        ("/v1.2/browser/a/b/show.json", "other"),
        ("/x?y=/v1.2/events", "other"),
        ("/", "other"),
    ],
)
def test_route_is_found_at_the_end_of_the_path(path: str, route: str) -> None:
    assert ApiRequest("GET", path, b"").route == route


@pytest.mark.parametrize(
    ("path", "is_edge", "context_id", "site"),
    [
        ("/v1/events/v1.2/events?sitecoreContextId=a%20b&siteId=c%26d", True, "a b", "c&d"),
        ("//v1/events/v1.2/events?sitecoreContextId=&siteId=a&siteId=", True, "in the header", ""),
        ("/v1/events/v1.2/event/create.json", True, "in the header", ""),
        ("/v1/events/v1.2/browser/x/show.json", True, "in the header", ""),
        ("/v1/personalize?siteId=a#b", True, "in the header", "a#b"),
        ("/v1/personalize/cdn-url", True, "in the header", ""),
        ("/v1.2/events?siteId=a", False, "in the header", ""),
        ("/stream/v1.2/browser/create.json", False, "in the header", ""),
        ("/v2/callFlows?siteId=a", False, "in the header", ""),
        ("/v1/events/v1.2/events/?siteId=a", False, "in the header", ""),
        ("/v1/events?siteId=a", False, "in the header", ""),
    ],
)
def test_the_form_of_the_edge(path: str, is_edge: bool, context_id: str, site: str) -> None:
    request = ApiRequest("GET", path, b"", {"x-sitecore-contextid": "in the header"})

    assert (request.is_edge, request.context_id, request.site) == (is_edge, context_id, site)


def test_a_blank_context_id_is_missing() -> None:
    path = "/v1/events/v1.2/browser/create.json?sitecoreContextId=%20"

    assert_refused(ask("GET", path), 401, "The context ID is missing")


def test_create_issues_a_browser_id_and_a_guest_id() -> None:
    answer = ask("GET", "/v1.2/browser/create.json?client_key=key&message={}")

    assert answer.status == 200
    assert answer.browser_id == OTHER
    assert answer.body == {
        "status": "OK",
        "version": "1.2",
        "client_key": "key",
        "ref": OTHER,
        "customer_ref": guest_id_of(OTHER),
    }
    assert str(UUID(answer.body["customer_ref"])) == answer.body["customer_ref"]


def test_event_is_taken() -> None:
    answer = ask("POST", "/v1.2/events", EVENT)

    assert answer.status == 201
    assert answer.body == {"status": "OK", "version": "1.2", "client_key": "key", "ref": OTHER}
    assert json.loads(answer.event or "") == EVENT


def test_event_in_the_query_is_taken() -> None:
    answer = ask(
        "GET",
        "/v1.2/event/create.json?client_key=key&message=%7B%22type%22%3A%22VIEW%22%2C%22browser_id%22%3A%22"
        + KNOWN
        + "%22%7D",
    )

    assert answer.status == 201
    assert json.loads(answer.event or "") == {"client_key": "key", "type": "VIEW", "browser_id": KNOWN}


def test_client_key_may_stand_in_the_event_alone() -> None:
    message = quote(json.dumps(EVENT))

    assert json.loads(ask("GET", f"/v1.2/event/create.json?message={message}").event or "") == EVENT


def test_show_returns_the_guest_of_a_browser() -> None:
    created = ask("GET", "/v1.2/browser/create.json?client_key=key")
    answer = ask("GET", SHOW)

    assert answer.status == 200
    assert answer.body["ref"] == KNOWN
    assert answer.body["customer"]["ref"] == guest_id_of(KNOWN) != created.body["customer_ref"]


def test_call_flow_answers_something() -> None:
    answer = ask("POST", "/v2/callFlows", {"clientKey": "key", "friendlyId": "exp_1", "browserId": KNOWN})

    assert answer.status == 200
    assert answer.body == {"friendlyId": "exp_1", "variant": "A", "decisionOffers": []}


@pytest.mark.parametrize(
    ("change", "status", "reason"),
    [
        ({"browser_id": None}, 400, "browser_id is missing"),
        ({"browser_id": ""}, 400, "browser_id is missing"),
        ({"browser_id": 7}, 400, "browser_id is missing"),
        ({"type": None}, 400, "type is missing"),
        ({"type": " "}, 400, "type is missing"),
        ({"browser_id": OTHER}, 404, f"browser_id {OTHER} was not issued here"),
        ({"browser_id": "\ud800\n"}, 404, "browser_id \\ud800\\n was not issued here"),
        ({"client_key": "wrong"}, 401, "The client key is not one of this service"),
        ({"client_key": ["key"]}, 401, "The client key is not one of this service"),
        ({"client_key": None}, 401, "The client key is missing"),
    ],
)
def test_event_is_refused(change: dict[str, Any], status: int, reason: str) -> None:
    answer = ask("POST", "/v1.2/events", EVENT | change)

    assert_refused(answer, status, reason)
    assert answer.body["status"] == answer.body["code"] == status
    assert answer.body["developerMessage"] == answer.refusal
    assert answer.body["moreInfoUrl"] == MORE_INFO
    assert answer.body["message"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'{"a": NaN}',
        b"\xff\xfe",
        b"\xef\xbb\xbf{}",
        '{"type": "VIEW"}'.encode("utf-16"),
        b'{"a": ' + b"[" * 100_000,
        b'{"a": ' + b"9" * 10_000 + b"}",
    ],
    ids=lambda body: repr(body[:12]),
)
@pytest.mark.parametrize("path", ["/v1.2/events", "/v2/callFlows"])
def test_rubbish_is_refused(path: str, body: bytes) -> None:
    assert_refused(ask("POST", path, body), 400, "cannot be read")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1.2/events"),
        ("DELETE", "/v1.2/events"),
        ("POST", "/v1.2/event/create.json"),
        ("POST", "/v1.2/browser/create.json"),
        ("POST", SHOW),
        ("GET", "/v2/callFlows"),
    ],
)
def test_wrong_method_is_refused(method: str, path: str) -> None:
    assert_refused(ask(method, path, EVENT), 405, "with")


@pytest.mark.parametrize("client_key", ["", "wrong"])
@pytest.mark.parametrize("path", ["/v1.2/browser/create.json", f"/v1.2/browser/{KNOWN}/show.json"])
def test_wrong_client_key_is_refused(path: str, client_key: str) -> None:
    assert_refused(ask("GET", f"{path}?client_key={client_key}"), 401, "The client key is ")


def test_any_client_key_is_right_where_none_is_given() -> None:
    api = StreamApi(is_known=lambda browser_id: True)

    assert api.handle(ApiRequest("GET", "/v1.2/browser/create.json", b"")).status == 200
    assert api.handle(ApiRequest("POST", "/v1.2/events", b'{"type": "VIEW", "browser_id": "x"}')).status == 201


@pytest.mark.parametrize("browser_id", [OTHER, "", "%2e%2e", "%ff"])
def test_show_refuses_an_unknown_browser_in_its_own_shape(browser_id: str) -> None:
    answer = ask("GET", f"/v1.2/browser/{browser_id}/show.json?client_key=key")

    assert_refused(answer, 404, "not found")
    assert answer.body == {
        "status": "api_error",
        "version": "1.2",
        "error_msg": answer.refusal,
        "moreInfo": MORE_INFO,
    }


@pytest.mark.parametrize("friendly_id", [None, "", 7])
def test_call_flow_without_friendly_id_is_refused(friendly_id: object) -> None:
    answer = ask("POST", "/v2/callFlows", {"clientKey": "key", "friendlyId": friendly_id})

    assert_refused(answer, 400, "friendlyId is missing")


def test_call_flow_with_a_wrong_client_key_is_refused() -> None:
    assert_refused(ask("POST", "/v2/callFlows", {"friendlyId": "exp_1"}), 401, "The client key is missing")


def test_unknown_path_is_refused() -> None:
    assert_refused(ask("GET", "/nowhere"), 404, "The Stream API has no /nowhere")


@given(
    method=st.sampled_from(["GET", "POST", "PUT"]),
    path=st.builds(
        "{}{}{}".format,
        st.text(st.characters(max_codepoint=255)),
        st.sampled_from(PATHS),
        st.text(st.characters(max_codepoint=255)).map(lambda text: f"?sitecoreContextId=1&siteId=2&message={text}"),
    ),
    body=st.binary()
    | st.recursive(st.none() | st.text(), lambda inner: st.dictionaries(st.text(), inner)).map(
        lambda value: json.dumps(value).encode()
    ),
)
def test_whatever_comes_has_an_answer_in_json(method: str, path: str, body: bytes) -> None:
    answer = StreamApi(is_known=lambda browser_id: True).handle(ApiRequest(method, path, body))

    assert ApiRequest(method, path, body).route in ROUTES
    assert 200 <= answer.status < 500
    assert json.loads(json.dumps(answer.body)) or answer.text == NO_SCRIPT
