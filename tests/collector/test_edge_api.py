"""Sitecore's edge, as the Cloud SDK and the Content SDK call it."""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import httpx
import pytest

from passerby.collector import CollectorServer
from passerby.collector.faults import ScriptedResponse
from tests.conftest import CONFORMANCE

CASES = CONFORMANCE / "edge" / "sitecore_edge.jsonl"
CONTEXT = "ctx5Demo0001"
HEADER = {"x-sitecore-contextid": CONTEXT}
NEVER_ISSUED = "7ed103bd-08c2-47f4-8f69-91141ca3200d"
REQUESTED_AT = "2026-01-02T03:04:05.678Z"
CRAWLER = "Mozilla/5.0 (compatible; ExampleBot/1.0)"
EVENTS = "/v1/events/v1.2/events"
CREATE = "/v1/events/v1.2/browser/create.json?client_key="
PERSONALIZE = "/v1/personalize"
SCRIPT = "/v1/personalize/cdn-url?client_key="


def show(browser_id: str) -> str:
    return f"/v1/events/v1.2/browser/{browser_id}/show.json?client_key=&api_token="


def event_of(browser_id: str, **fields: Any) -> dict[str, Any]:
    return {
        "type": "VIEW",
        "browser_id": browser_id,
        "channel": "WEB",
        "client_key": "",
        "page": "Home",
        "pos": "",
        "requested_at": REQUESTED_AT,
    } | fields


def bot_id_of(user_agent: str) -> str:
    return str(uuid.UUID(bytes=hashlib.sha256(user_agent.encode()).digest()[:16]))


class Edge:
    """A client of the edge, in the form of one of the SDKs."""

    def __init__(self, client: httpx.Client, context_id: str | None, *, in_header: bool) -> None:
        self._client = client
        self._query = {} if in_header or context_id is None else {"sitecoreContextId": context_id}
        self._headers = {"x-sitecore-contextid": context_id} if in_header and context_id is not None else {}

    def get(self, path: str) -> httpx.Response:
        return self._client.get(httpx.URL(path).copy_merge_params(self._query), headers=self._headers)

    def post(self, path: str, body: object, site: str | None = "shop") -> httpx.Response:
        query = self._query if site is None else {**self._query, "siteId": site}
        return self._client.post(path, params=query, headers=self._headers, json=body)

    def create(self) -> str:
        return str(self.get(CREATE).json()["ref"])


@pytest.fixture(params=[False, True], ids=["cloud", "content"])
def make_edge(request: pytest.FixtureRequest, client: httpx.Client) -> Callable[..., Edge]:
    def make(context_id: str | None = CONTEXT) -> Edge:
        return Edge(client, context_id, in_header=request.param)

    return make


@pytest.fixture
def edge(make_edge: Callable[..., Edge]) -> Edge:
    return make_edge()


def reason(answer: httpx.Response) -> str:
    said = answer.json()
    return str(said.get("developerMessage") or said["error_msg"])


def test_create_event_show_and_personalize(edge: Edge, collector: CollectorServer) -> None:
    created = edge.get(CREATE)
    browser_id = created.json()["ref"]
    event = event_of(browser_id)
    taken = edge.post(EVENTS, event)
    shown = edge.get(show(browser_id))
    personalized = edge.post(PERSONALIZE, {"clientKey": "", "friendlyId": "exp_1", "variants": ["exp_1_b"]})

    assert [each.status_code for each in (created, taken, shown, personalized)] == [200, 201, 200, 200]
    assert shown.json()["customer"]["ref"] == created.json()["customer_ref"] != browser_id
    assert taken.json()["status"] == "OK"
    assert personalized.json()["variantId"] == "exp_1_b"
    assert collector.events == [event]
    assert [each.route for each in collector.requests] == ["create", "events", "show", "personalize"]


def test_the_address_of_the_script_is_plain_text(edge: Edge) -> None:
    answer = edge.get(SCRIPT)

    assert (answer.status_code, answer.text) == (200, "data:text/javascript,")
    assert answer.headers["content-type"].startswith("text/plain")


def test_a_form_event_is_accepted(edge: Edge, collector: CollectorServer) -> None:
    form = {"formId": "f1", "interactionType": "SUBMITTED", "componentInstanceId": "c1"}
    event = event_of(edge.create(), type="FORM", ext=form)

    assert edge.post(EVENTS, event).status_code == 201
    assert collector.events == [event]


@pytest.mark.parametrize("path", [EVENTS, "/v1.2/events"])
def test_the_browser_id_of_a_bot_need_not_be_issued(
    client: httpx.Client, collector: CollectorServer, path: str
) -> None:
    event = event_of(bot_id_of(CRAWLER), channel="bot", ext={"sourceUserAgent": CRAWLER})
    answers = [
        client.post(f"{path}?siteId=shop", json=one, headers=HEADER) for one in (event, {**event, "channel": "WEB"})
    ]

    assert [answer.status_code for answer in answers] == [201, 404]
    assert collector.events == [event]
    assert collector.browser_ids == []


@pytest.mark.parametrize("context_id", [None, ""])
@pytest.mark.parametrize("path", [EVENTS, CREATE, show(NEVER_ISSUED), PERSONALIZE, SCRIPT])
def test_without_a_context_id_everything_is_refused(
    make_edge: Callable[..., Edge], collector: CollectorServer, path: str, context_id: str | None
) -> None:
    edge = make_edge(context_id)
    is_sent = path in (EVENTS, PERSONALIZE)
    answer = edge.post(path, event_of(NEVER_ISSUED, friendlyId="exp_1")) if is_sent else edge.get(path)

    assert answer.status_code == 401
    assert "sitecoreContextId in the query, or the header x-sitecore-contextid" in reason(answer)
    assert (collector.events, collector.browser_ids) == ([], [])


def test_only_the_given_context_ids_are_valid() -> None:
    with CollectorServer(context_ids=["right"]) as collector, httpx.Client(base_url=collector.url) as client:
        for in_header in (False, True):
            assert Edge(client, "right", in_header=in_header).get(CREATE).status_code == 200
            refused = Edge(client, "wrong", in_header=in_header).get(CREATE)
            assert (refused.status_code, reason(refused)) == (401, "The context ID is not one of this service")
            assert "is missing" in reason(Edge(client, None, in_header=in_header).get(CREATE))
        assert client.get("/v1.2/browser/create.json?client_key=any").status_code == 200, "the other form has none"


def test_the_client_keys_are_not_those_of_the_edge() -> None:
    with CollectorServer(client_keys=["key"]) as collector, httpx.Client(base_url=collector.url) as client:
        edge = Edge(client, CONTEXT, in_header=True)
        browser_id = edge.create()

        assert edge.post(EVENTS, event_of(browser_id)).status_code == 201
        assert edge.get(show(browser_id)).status_code == 200
        assert client.get("/v1.2/browser/create.json?client_key=").status_code == 401


@pytest.mark.parametrize("site", [None, "", " "])
@pytest.mark.parametrize("path", [EVENTS, PERSONALIZE])
def test_without_a_site_name_it_is_refused(edge: Edge, collector: CollectorServer, path: str, site: str | None) -> None:
    answer = edge.post(path, event_of(edge.create(), friendlyId="exp_1"), site=site)

    assert (answer.status_code, reason(answer)) == (400, "The site name is missing: expected siteId in the query")
    assert collector.events == []


@pytest.mark.parametrize(
    ("change", "status", "words"),
    [
        ({"browser_id": ""}, 400, "browser_id is missing"),
        ({"type": None}, 400, "type is missing"),
        ({"browser_id": NEVER_ISSUED}, 404, "was not issued here"),
        ({"browser_id": "", "channel": "bot"}, 400, "browser_id is missing"),
    ],
)
def test_an_event_is_refused(edge: Edge, collector: CollectorServer, change: Any, status: int, words: str) -> None:
    answer = edge.post(EVENTS, event_of(edge.create()) | change)

    assert answer.status_code == status
    assert words in reason(answer)
    assert collector.events == []


def test_any_browser_id_is_accepted_where_that_is_wanted(edge: Edge, collector: CollectorServer) -> None:
    collector.accept_any_browser_id = True

    assert edge.post(EVENTS, event_of(NEVER_ISSUED)).status_code == 201
    assert edge.get(show(NEVER_ISSUED)).status_code == 200


def test_an_unknown_browser_is_not_shown(edge: Edge) -> None:
    answer = edge.get(show(NEVER_ISSUED))

    assert answer.status_code == 404
    assert answer.json().keys() == {"status", "version", "error_msg", "moreInfo"}


@pytest.mark.parametrize("path", [EVENTS, PERSONALIZE])
@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"\xff"])
def test_a_malformed_body_is_refused(client: httpx.Client, path: str, body: bytes) -> None:
    answer = client.post(f"{path}?siteId=shop", content=body, headers=HEADER)

    assert answer.status_code == 400
    assert "cannot be read" in reason(answer)


def test_a_personalisation_without_friendly_id_is_refused(edge: Edge) -> None:
    answer = edge.post(PERSONALIZE, {"clientKey": ""})

    assert (answer.status_code, reason(answer)) == (400, "friendlyId is missing")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", EVENTS),
        ("PUT", EVENTS),
        ("POST", CREATE),
        ("POST", show(NEVER_ISSUED)),
        ("GET", PERSONALIZE),
        ("POST", SCRIPT),
    ],
)
def test_a_wrong_method_is_refused(client: httpx.Client, method: str, path: str) -> None:
    answer = client.request(method, httpx.URL(path).copy_merge_params({"siteId": "shop"}), headers=HEADER)

    assert answer.status_code == 405
    assert " with " in reason(answer)


@pytest.mark.parametrize("path", ["/v1/search", "/v1/events/v1.2/browser/other.json"])
def test_other_paths_are_unknown(client: httpx.Client, path: str) -> None:
    assert client.post(path, json={}, headers=HEADER).status_code == 404


def test_a_scripted_create_issues_its_browser_id(edge: Edge, collector: CollectorServer) -> None:
    collector.script("create", [ScriptedResponse(body={"ref": NEVER_ISSUED, "customer_ref": "guest"})])

    assert edge.create() == NEVER_ISSUED
    assert collector.has_issued(NEVER_ISSUED)


def test_faults_are_answered_in_turn(edge: Edge, collector: CollectorServer) -> None:
    browser_id = edge.create()
    collector.script("events", [ScriptedResponse(status=503), ScriptedResponse(status=None)])
    collector.script("personalize", [ScriptedResponse(status=429, headers={"retry-after": "3"})])
    collector.script("cdn", [ScriptedResponse(raw="https://cdn.example/flow.js")])
    answers = [edge.post(EVENTS, event_of(browser_id)) for _ in range(2)]

    assert [answer.status_code for answer in answers] == [503, 201]
    assert edge.post(PERSONALIZE, {"friendlyId": "exp_1"}).headers["retry-after"] == "3"
    assert edge.get(SCRIPT).text == "https://cdn.example/flow.js"
    assert len(collector.events) == 1


def test_a_visitor_is_one_whichever_form_sent_the_event(edge: Edge, client: httpx.Client) -> None:
    browser_id = edge.create()
    engage = event_of(browser_id, client_key="key", pos="shop.example", page="before the switch")
    client.post("/v1.2/events", json=engage)
    edge.post(EVENTS, event_of(browser_id, page="after it"), site="shop one")
    identity = event_of(browser_id, type="IDENTITY", identifiers=[{"id": "ada", "provider": "CRM"}])
    edge.post(EVENTS, identity, site="shop one")
    people = client.get("/_collector/people/sitecore").json()
    ada = client.get(f"/_collector/person/sitecore?any={browser_id}").json()["person"]

    assert (people["total_users"], people["total_anonymous"]) == (1, 0)
    assert people["users"][0]["sites"] == ["shop.example", "shop one"]
    assert [(entry["name"], entry["site"]) for entry in ada["timeline"]] == [
        ("VIEW", "shop.example"),
        ("VIEW", "shop one"),
        ("IDENTITY", "shop one"),
    ]
    assert ada["guest_ids"] == [client.get(show(browser_id), headers=HEADER).json()["customer"]["ref"]]
    assert client.get("/_collector/stats").json()["by_route"] == {"create": 1, "events": 3, "show": 1}
    assert client.get("/_collector/health").json()["seen"]["sitecore"]["accepted"] == 3


@pytest.mark.parametrize("text", ["shop+one", "guest", "shop+guest"])
def test_people_are_found_by_site_and_guest(edge: Edge, client: httpx.Client, text: str) -> None:
    created = edge.get(CREATE).json()
    edge.post(EVENTS, event_of(created["ref"]), site="Shop One")
    edge.post(EVENTS, event_of(edge.create()), site="other")
    words = text.replace("guest", created["customer_ref"])
    found = client.get(f"/_collector/people/sitecore?text={words}").json()

    assert [one["anonymous_ids"] for one in found["anonymous"]] == [[created["ref"]]]


def test_a_bot_is_one_visitor_and_named_as_such(edge: Edge, client: httpx.Client) -> None:
    for page in ("Home", "Cart"):
        edge.post(EVENTS, event_of(bot_id_of(CRAWLER), channel="bot", page=page))
    edge.post(EVENTS, event_of(edge.create()))
    found = client.get("/_collector/people/sitecore").json()["anonymous"]
    bots = client.get("/_collector/people/sitecore?text=bot").json()["anonymous"]
    bot = client.get(f"/_collector/person/sitecore?browser={bot_id_of(CRAWLER)}").json()["person"]

    assert sorted((one["is_bot"], one["events"]) for one in found) == [(False, 1), (True, 2)]
    assert [one["anonymous_ids"] for one in bots] == [[bot_id_of(CRAWLER)]]
    assert [entry["is_bot"] for entry in bot["timeline"]] == [True, True]


class Recorded(NamedTuple):
    """A request of one of the vendor's SDKs, as it was on the wire."""

    case_id: str
    method: str
    path: str
    headers: dict[str, str]
    body: str

    @property
    def is_well_formed(self) -> bool:
        """Whether it says whose event it is and of which type: the SDKs send events without, too."""
        if "/v1/events/v1.2/events" not in self.path:
            return True
        event = json.loads(self.body)
        return all(isinstance(event.get(name), str) and event[name].strip() for name in ("browser_id", "type"))


def recorded_requests() -> Iterator[Recorded]:
    """The distinct requests of the cases that show nothing that is not to be copied."""
    seen: set[str] = set()
    for line in CASES.read_text(encoding="utf-8").split("\n"):
        case: dict[str, Any] = json.loads(line) if line.strip() else {"_about": None}
        if "_about" in case or case.get("defect"):
            continue
        for sent in _sent_in(case["outcome"]):
            body = sent.get("body_raw", "").replace("<requestedAt>", REQUESTED_AT)
            headers = {name: value.replace("<correlationId>", "0" * 32) for name, value in sent["headers"].items()}
            sign = json.dumps([sent["method"], sent["path"], headers, body])
            if sign not in seen and sent["path"] != "/moved":  # the target of a redirect
                seen.add(sign)
                yield Recorded(case["id"], sent["method"], sent["path"], headers, body)


def _sent_in(outcome: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield from outcome.get("sent") or ()
    for inner in (*outcome.get("steps", ()), *outcome.get("visits", ())):
        yield from _sent_in(inner)


def test_what_the_sdks_send_is_accepted(client: httpx.Client, collector: CollectorServer) -> None:
    collector.accept_any_browser_id = True
    requests = list(recorded_requests())
    for one in requests:
        headers = {name.encode(): value.encode("latin-1") for name, value in one.headers.items()}
        url = f"{collector.url}{one.path}"
        answer = client.request(one.method, url, headers=headers, content=one.body.encode())
        is_event = "/v1/events/v1.2/events" in one.path
        expected = (201 if is_event else 200) if one.is_well_formed else 400

        assert answer.status_code == expected, (one.case_id, answer.text)
        assert collector.requests[-1].path == one.path, one.case_id

    kept = collector.requests
    assert len(requests) == len(kept) > 200
    assert {each.route for each in kept} == {"create", "events", "show", "personalize", "cdn"}
    types = {event["type"] for event in collector.events}
    assert types >= {"VIEW", "IDENTITY", "FORM"}
    assert any(event.get("channel") == "bot" for event in collector.events)


def test_what_the_sdks_send_without_browser_id_or_type_is_refused() -> None:
    refused = {one.case_id.partition("/")[2] for one in recorded_requests() if not one.is_well_formed}

    assert refused <= {
        "sequence/view-without-cookies",
        "event/type-missing",
        "event/type-empty",
        "event/no-cookie",
        "event/data-empty",
        "form/no-cookie",
        "browser/bot-page-view",
    }
    assert len(refused) == 7
