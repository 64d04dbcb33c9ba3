"""What pages of other origins may do: call the Stream API, and nothing else."""

from __future__ import annotations

import httpx
import pytest

from passerby.collector import CollectorServer

from .conftest import MakeEvent

SITE = {"origin": "https://shop.example"}
OPEN = (
    "/v1.2/events",
    "/v1.2/browser/create.json?client_key=key&message={}",
    "/v1.2/browser/nobody/show.json?client_key=key&api_token=key",
    "/v1.2/event/create.json",
    "/v2/callFlows",
    "//v1.2/events",
    "/v1/events/v1.2/events?siteId=shop",
    "/v1/events/v1.2/browser/create.json?client_key=",
    "/v1/events/v1.2/browser/nobody/show.json?client_key=&api_token=",
    "/v1/personalize?siteId=shop",
    "/v1/personalize/cdn-url",
)
SENT_BY_SDKS = {
    "content-type",
    "x-library-version",
    "x-client-software-id",
    "x-sitecore-contextid",
    "x-sc-correlation-id",
}
CLOSED = (
    "/",
    "/_collector/events",
    "/_collector/faults",
    "/_collector/v1.2/events",
    "/events",
    "/track",
    "/v1/batch",
    "/v1/track",
    "/v1.2%2Fevents",
    "/v1/search",
    "/v1/personalize/other",
    "/anything",
)


def ask(client: httpx.Client, address: str) -> httpx.Response:
    """Ask beforehand, as browsers do, whether the vendor's SDK may send this."""
    asked = {
        "access-control-request-method": "POST",
        "access-control-request-headers": ",".join(SENT_BY_SDKS),
    }
    return client.options(address, headers={**SITE, **asked})


@pytest.mark.parametrize("path", OPEN)
def test_preflight_responses_allow_the_sdk(client: httpx.Client, collector: CollectorServer, path: str) -> None:
    answer = ask(client, f"{collector.url}{path}")

    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == "*"
    assert "POST" in answer.headers["access-control-allow-methods"]
    assert set(answer.headers["access-control-allow-headers"].lower().split(", ")) >= SENT_BY_SDKS
    assert "access-control-allow-credentials" not in answer.headers
    assert collector.requests == []  # the question is the browser's own


@pytest.mark.parametrize("path", CLOSED)
def test_nothing_else_is_open(client: httpx.Client, path: str) -> None:
    answers = [ask(client, path), client.get(path, headers=SITE), client.post(path, headers=SITE, json={})]

    assert {name for answer in answers for name in answer.headers if name.startswith("access-control-")} == set()


def test_preflight_requests_use_up_no_faults(
    client: httpx.Client, collector: CollectorServer, make_event: MakeEvent
) -> None:
    collector.fail("events", times=1)
    ask(client, "/v1.2/events")
    refused = client.post("/v1.2/events", json=make_event(), headers=SITE)

    assert refused.status_code == 503
    assert refused.headers["access-control-allow-origin"] == "*"


def test_clients_that_are_no_page_get_no_cors_headers(client: httpx.Client, make_event: MakeEvent) -> None:
    answer = client.post("/v1.2/events", json=make_event())

    assert answer.status_code == 201
    assert not [name for name in answer.headers if name.startswith("access-control-")]
