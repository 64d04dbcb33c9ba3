"""What is shown of a request: an item for each event or message in it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from passerby.collector import CollectedRequest
from passerby.collector.api_request import Route
from passerby.collector.faults import BY_FAULT
from passerby.collector.feed_item import FeedItem, items_of, items_with_content, with_repeated
from passerby.collector.parsed_event import LONGEST
from passerby.collector.stream_api import guest_id_of

ROUTES: dict[str, Route] = {
    "/v1.2/events": "events",
    "/v1/events/v1.2/events?siteId=shop%20one": "events",
    "/v1/personalize?siteId=shop": "personalize",
    "/v1/batch": "pipelines",
    "/v1/track": "pipelines",
    "/events": "datalyr",
    "/track": "datalyr",
    "/v1.2/browser/create.json": "create",
    "/nowhere": "other",
}


def received(path: str, body: object, **fields: Any) -> CollectedRequest:
    usual: dict[str, Any] = {"status": 200, "accepted": True, "refusal": None}
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return CollectedRequest(7, 1_000.5, "POST", path, {}, content, ROUTES[path], **(usual | fields))


def only(path: str, body: object, **fields: Any) -> FeedItem:
    (item,) = items_of(received(path, body, **fields))
    return item


def test_an_event_to_sitecore() -> None:
    event = {"type": "VIEW", "browser_id": "b1", "page": "Home", "requested_at": "2026-11-24T16:00:00.500Z"}

    assert only("/v1.2/events", event, status=201) == FeedItem(
        number=7,
        position=0,
        time=1_000.5,
        system="sitecore",
        type="VIEW",
        visitor="b1",
        user=None,
        summary="Home",
        occurred_at=1_795_536_000.5,
        id=None,
        status=201,
        accepted=True,
        refusal=None,
        is_failed=False,
        repeated=False,
        is_event=True,
        site=None,
        guest=guest_id_of("b1"),
        is_bot=False,
    )


def test_an_identity_names_its_user_and_no_value_of_a_trait() -> None:
    event = {
        "type": "IDENTITY",
        "browser_id": "b1",
        "email": "secret",
        "identifiers": [{"id": "u1", "provider": "CRM"}],
    }
    call = {"anonymousId": "b1", "userId": "u1", "traits": {"email": "secret", "plan": "secret"}}
    datalyr = {"event_name": "$identify", "anonymous_id": "b1", "user_id": "u1", "properties": {"email": "secret"}}
    items = [
        only("/v1.2/events", event),
        only("/v1/batch", {"batch": [{**call, "type": "identify"}]}),
        only("/events", {"events": [datalyr]}),
    ]

    assert [(item.visitor, item.user) for item in items] == [("b1", "u1")] * 3
    assert [item.summary for item in items] == ["CRM", "email, plan", "email"]


def test_each_message_of_a_batch_is_an_item() -> None:
    batch = [
        {"type": "page", "anonymousId": "a", "name": "Home", "messageId": "m1", "timestamp": "2026-11-24T16:00:00Z"},
        {
            "type": "track",
            "userId": "u",
            "event": "Bought",
            "messageId": "m2",
            "timestamp": "2026-11-24T18:00:00+02:00",
        },
    ]
    first, second = items_of(received("/v1/batch", {"batch": batch}))

    assert (first.position, first.type, first.summary, first.id) == (0, "page", "Home", "m1")
    assert (second.position, second.type, second.summary, second.id, second.user) == (1, "track", "Bought", "m2", "u")
    assert first.occurred_at == second.occurred_at == 1_795_536_000.0


def test_valid_and_refused_messages_of_a_batch_are_distinguished() -> None:
    batch = [{"type": "page", "anonymousId": "a"}, {"type": "track", "anonymousId": "a"}, 7]
    items = items_of(received("/v1/batch", {"batch": batch}, refusal="call 1: event is missing; ..."))

    assert [item.accepted for item in items] == [True, False, False]
    assert [item.refusal for item in items] == [None, "event is missing", "its type is not known"]


def test_a_batch_that_was_refused_whole_is_one_item() -> None:
    batch = {"batch": [{"type": "page", "anonymousId": "a"}] * 12}
    item = only("/v1/batch", batch, status=503, accepted=False, refusal=BY_FAULT)

    assert (item.position, item.type, item.summary) == (0, "pipelines", "12 messages")
    assert (item.accepted, item.refusal, item.status) == (False, BY_FAULT, 503)


def test_a_single_event_that_was_refused_still_says_what_it_is() -> None:
    item = only("/v1/track", {"event": "Bought", "anonymousId": "a"}, status=401, accepted=False, refusal="no key")

    assert (item.type, item.visitor, item.summary, item.refusal) == ("track", "a", "Bought", "no key")


def test_a_repeated_message_was_accepted_before() -> None:
    """Datalyr answers well to what it has taken before, and keeps none of it."""
    event = {"event_name": "x", "anonymous_id": "a", "event_id": "e1", "timestamp": "2026-11-24T16:00:00Z"}
    item = only("/events", {"events": [event]}, accepted=False)

    assert item.accepted
    assert with_repeated(item, (6, 3)).repeated
    assert not with_repeated(item, (7, 0)).repeated
    assert not with_repeated(item, (8, 0)).repeated
    assert not with_repeated(item, None).repeated


def test_rubbish_that_was_welcomed_is_unreadable() -> None:
    item = only("/v1.2/events", b"\xff", accepted=False)

    assert (item.type, item.accepted, item.refusal) == ("events", False, "unreadable")


def test_a_request_for_a_browser_id_says_which_it_got() -> None:
    item = only("/v1.2/browser/create.json", b"", accepted=False, response_body=b'{"ref": "b1"}')

    assert (item.system, item.type, item.visitor) == ("sitecore", "create", "b1")
    assert item.accepted
    assert not item.is_event


@pytest.mark.parametrize("body", [b"", b"<h1>", b'{"ref": 7}'])
def test_a_request_for_a_browser_id_that_got_something_else(body: bytes) -> None:
    assert only("/v1.2/browser/create.json", b"", accepted=False, response_body=body).visitor is None


def test_a_request_that_is_nobodys() -> None:
    item = only("/nowhere", b"x", status=404, accepted=False, refusal="has no /nowhere")

    assert (item.system, item.type, item.accepted) == ("other", "other", False)


@pytest.mark.parametrize(
    "event",
    [
        {},
        {"type": [1], "browser_id": {}, "page": 7, "identifiers": "x", "requested_at": "soon"},
        {"type": "IDENTITY", "identifiers": [7, None, {"id": {}}], "requested_at": 5},
        {"type": "\ud800", "page": "\ud800" * 9, "requested_at": "0001-01-01T00:00:00+23:59"},
        {"type": "T" * 9_999, "browser_id": "B" * 9_999, "page": "P" * 9_999},
    ],
)
def test_no_event_is_too_odd_to_be_shown(event: dict[str, Any]) -> None:
    item = only("/v1.2/events", event)
    texts = [item.type, item.visitor or "", item.user or "", item.summary]

    assert all(len(text) <= LONGEST for text in texts)
    assert item.accepted


@pytest.mark.parametrize("path", ["/v1/batch", "/events"])
def test_no_message_is_too_odd_to_be_shown(path: str) -> None:
    odd: list[Any] = [7, None, [], "x", {}, {"type": {}, "traits": [], "event": {}, "messageId": 5, "userId": []}]
    odd += [{"event_name": {}, "properties": 7, "event_id": {}, "anonymous_id": []}, {"messageId": "\ud800\ud800"}]
    items = items_of(received(path, {"batch": odd, "events": odd}))

    assert [item.position for item in items] == list(range(len(odd)))


def test_an_item_comes_with_what_it_was_made_of() -> None:
    page, seven = {"type": "page", "anonymousId": "a"}, {"type": "track"}
    (_, one), (_, other) = items_with_content(received("/v1/batch", {"batch": [page, seven]}))
    ((_, both),) = items_with_content(received("/v1/batch", {"batch": [page, seven]}, accepted=False, refusal="no key"))
    ((_, nothing),) = items_with_content(received("/nowhere", b"", accepted=False, refusal="no"))

    assert (one, other, both, nothing) == (page, seven, [page, seven], None)


def test_an_event_at_sitecores_edge() -> None:
    event = {"type": "VIEW", "browser_id": "b1", "page": "Home", "pos": "", "channel": "bot"}
    item = only("/v1/events/v1.2/events?siteId=shop%20one", event, status=201)

    assert (item.system, item.type, item.visitor, item.site, item.is_bot) == (
        "sitecore",
        "VIEW",
        "b1",
        "shop one",
        True,
    )
    assert item.guest == guest_id_of("b1")


def test_the_site_of_an_event_is_its_point_of_sale_if_its_address_names_none() -> None:
    assert only("/v1.2/events", {"type": "VIEW", "browser_id": "b1", "pos": "shop.example"}).site == "shop.example"
    assert (
        only("/v1.2/events", {"type": "VIEW", "browser_id": "b1", "pos": ["x"] * 900}).site
        == str(["x"] * 900)[:LONGEST]
    )
    assert only("/v1/events/v1.2/events?siteId=shop%20one", {"pos": "shop.example"}).site == "shop one"


def test_a_personalisation_at_sitecores_edge() -> None:
    item = only("/v1/personalize?siteId=shop", {"friendlyId": "exp_1"}, accepted=False)

    assert (item.system, item.type, item.site, item.is_event, item.accepted) == (
        "sitecore",
        "personalize",
        "shop",
        False,
        True,
    )


def test_only_sitecore_has_guests_and_sites() -> None:
    item = only("/v1/track", {"event": "Order", "anonymousId": "b1", "pos": "shop", "channel": "bot"})

    assert (item.visitor, item.guest, item.site, item.is_bot) == ("b1", None, None, False)
