"""What Datalyr's ingest service answers: workspaces, keys, limits, and events that were seen before."""

from __future__ import annotations

import json
from typing import Any

import pytest

from passerby.collector.api_request import ApiRequest, ApiResponse
from passerby.collector.datalyr_api import DEDUPLICATION_WINDOW, DatalyrApi

EVENT = {
    "event_name": "$identify",
    "anonymous_id": "anon_1",
    "user_id": "user_1",
    "properties": {"email": "ada@shop.example", "mrr": 99, "tags": ["a"]},
    "timestamp": "2025-09-29T10:15:00.123Z",
}
TRACKED = {"event": "purchase", "eventId": "e1", "userId": "user_1", "timestamp": "2025-09-29T10:15:00.123Z"}


def answer(*events: Any, api: DatalyrApi | None = None, workspace: Any = "ws_1", **headers: str) -> ApiResponse:
    body = json.dumps({"workspaceId": workspace, "events": list(events)}).encode()
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    return (api or DatalyrApi()).handle(ApiRequest("POST", "/events", body, given))


def track(event: Any, api: DatalyrApi | None = None, **headers: str) -> ApiResponse:
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    return (api or DatalyrApi()).handle(ApiRequest("POST", "/track", json.dumps(event).encode(), given))


def test_the_documents_own_request_is_taken() -> None:
    taken = answer(EVENT)

    assert (taken.status, taken.system, taken.messages) == (200, "datalyr", (EVENT,))


def test_the_packages_own_request_is_taken_with_a_key() -> None:
    assert track(TRACKED, x_api_key="dk_1").messages == (TRACKED,)
    assert track(TRACKED).status == 401


def test_workspaces_and_keys_may_be_named() -> None:
    api = DatalyrApi(["ws_1"], ["dk_1"])

    assert answer(EVENT, api=api).status == 200
    assert answer(EVENT, api=api, workspace="ws_2").status == 401
    assert answer(EVENT, api=api, workspace=None).status == 401
    assert answer(EVENT, api=api, x_api_key="dk_2").status == 401
    assert track(TRACKED, api, x_api_key="dk_1").status == 200
    assert track(TRACKED, api, x_api_key="dk_2").status == 401


def test_an_event_seen_within_six_hours_is_the_same_event() -> None:
    now = 0.0
    api = DatalyrApi(clock=lambda: now)
    event = {**EVENT, "event_id": "e1"}

    assert answer(event, {**EVENT, "event_id": "e2"}, api=api).messages == (event, {**EVENT, "event_id": "e2"})
    again = answer(event, api=api)
    assert (again.status, again.messages) == (200, ())
    now += DEDUPLICATION_WINDOW + 1
    assert answer(event, api=api).messages == (event,)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"event_name": ""}, "its name is missing"),
        ({"user_id": None, "anonymous_id": ""}, "user and anonymous ID are missing"),
        ({"user_id": ""}, "the user ID is not text of 1 to 255 characters"),
        ({"user_id": "u" * 256}, "the user ID is not text of 1 to 255 characters"),
        ({"user_id": 5}, "the user ID is not text of 1 to 255 characters"),
        ({"user_id": "anon_1"}, "the user ID is the anonymous ID"),
        ({"properties": []}, "properties is no object"),
        ({"properties": {f"t{number}": 1 for number in range(51)}}, "it has more than 50 traits"),
        ({"properties": {"address": {"city": "Bath"}}}, "a trait is neither text, number, bool nor list"),
        ({"traits": {"plan": None}}, "a trait is neither text, number, bool nor list"),
        ({"timestamp": "now"}, "timestamp is not ISO 8601"),
    ],
)
def test_one_bad_event_refuses_the_batch(change: dict[str, Any], reason: str) -> None:
    refused = answer(EVENT, {**EVENT, **change})

    assert (refused.status, refused.refusal, refused.messages) == (400, f"event 1: {reason}", ())


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"events": []}', b'{"workspaceId": "ws_1", "events": ["e"]}'])
def test_what_is_no_batch_is_refused(body: bytes) -> None:
    assert DatalyrApi().handle(ApiRequest("POST", "/events", body)).status == 400


def test_other_methods_are_refused() -> None:
    assert DatalyrApi().handle(ApiRequest("GET", "/events", b"")).status == 405
