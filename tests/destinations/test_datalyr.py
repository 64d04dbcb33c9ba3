"""Datalyr: settings, both forms of events, checks and answers."""

from __future__ import annotations

import json
from typing import Any

import pytest

from passerby import Datalyr, Delivered, SettingsError, ValidationError
from passerby.destinations import DestinationResponse, Rejected, Retry, SplitBatch
from passerby.events.event import Context, Event
from passerby.version import __version__
from tests.making import BROWSER_ID

TIME = 1_767_225_600.5
TIMESTAMP = "2026-01-01T00:00:00.500Z"
CONTEXT = Context(
    locale="en-GB",
    url="https://shop.example/boot?utm_source=mail",
    path="/boot",
    campaign={"utm_source": "mail"},
)


def datalyr(**options: Any) -> Datalyr:
    return Datalyr(**{"workspace_id": "ws_123"} | options)


def event(kind: Any = "event", type: str | None = "purchase", **fields: Any) -> Event:
    usual: dict[str, Any] = {"data": {}, "extension": {}, "user_id": "user_1", "browser_id": BROWSER_ID}
    given = usual | fields
    place = given.pop("browser_id"), BROWSER_ID, given.pop("user_id")
    return Event("id", kind, type if kind == "event" else None, TIME, *place, **given)


def sent(told: Event, **options: Any) -> dict[str, Any]:
    """The one event of the call."""
    made = json.loads(datalyr(**options).encode([told]).body or b"")
    if options.get("form") == "track":
        assert isinstance(made, dict)
        return made
    assert made.keys() == {"workspaceId", "events"}
    assert made["workspaceId"] == "ws_123"
    (one,) = made["events"]
    assert isinstance(one, dict)
    return one


IDENTITY = event(
    "identity",
    data={"identifiers": [{"id": "user_1", "provider": "CRM"}], "email": "ada@shop.example", "first_name": None},
    extension={"plan": "pro", "createdAt": "2024-01-02", "address_city": "Bath"},
    nested={"plan": "pro", "createdAt": "2024-01-02", "address": {"city": "Bath"}},
)
TRAITS = {"email": "ada@shop.example", "plan": "pro", "created_at": "2024-01-02", "address_city": "Bath"}


class TestSettings:
    @pytest.mark.parametrize(
        ("options", "words"),
        [
            ({"workspace_id": None}, "workspace_id: found none, expected text"),
            ({"workspace_id": ""}, "workspace_id: expected printable ASCII without blanks"),
            ({"form": "track"}, "api_key: found none, expected text"),
            ({"api_key": "a b"}, "api_key: expected printable ASCII without blanks"),
            ({"form": "batch"}, 'form: found \'batch\', expected "events" or "track"'),
            ({"page_view_name": ""}, "page_view_name: found none"),
            ({"target_url": "ftp://a.example"}, "target_url: found something else"),
        ],
    )
    def test_what_is_wrong_is_refused(self, options: dict[str, Any], words: str) -> None:
        with pytest.raises(SettingsError) as raised:
            datalyr(**options)

        assert str(raised.value).startswith(words)

    def test_no_repr_shows_the_key(self) -> None:
        destination = datalyr(api_key="dk_hidden")

        assert "hidden" not in f"{destination!r} {vars(destination)!r} {destination.encode([event()])!r}"
        assert repr(destination) == "<Datalyr 'datalyr' at ingest.datalyr.com/events>"


class TestEventsForm:
    def test_the_call(self) -> None:
        call = datalyr().encode([event(), event()])

        assert (call.method, call.url) == ("POST", "https://ingest.datalyr.com/events")
        assert call.headers == {"Content-Type": "application/json"}
        assert len(json.loads(call.body or b"")["events"]) == 2
        assert datalyr().encode([event(), event()]) == call, "the same events make the same bytes"

    def test_a_key_goes_along_if_there_is_one(self) -> None:
        assert datalyr(api_key="dk_1").encode([event()]).headers["X-API-Key"] == "dk_1"

    def test_an_identity_has_its_traits_flat_in_the_properties(self) -> None:
        assert sent(IDENTITY) == {
            "event_name": "$identify",
            "event_id": "id",
            "anonymous_id": BROWSER_ID,
            "user_id": "user_1",
            "distinct_id": "user_1",
            "properties": TRAITS,
            "timestamp": TIMESTAMP,
        }

    def test_an_event_of_somebody_unknown(self) -> None:
        made = sent(event(user_id=None, data={"value": 5, "items": [{"id": 1}], "page": "boot"}, context=CONTEXT))

        assert (made["event_name"], made["distinct_id"], "user_id" in made) == ("purchase", BROWSER_ID, False)
        assert made["properties"] == {"value": 5, "items": [{"id": 1}]}

    def test_the_page_view_of_a_bot_is_marked(self) -> None:
        made = sent(event("page_view", None, data={"page": "Boot"}, context=CONTEXT._replace(bot=True)))
        assert made["properties"]["bot"] is True
        made = sent(event("page_view", None, data={"page": "Boot"}, context=CONTEXT))
        assert "bot" not in made["properties"]

    @pytest.mark.parametrize("name", ["$pageview", "page_view"])
    def test_a_page_view_goes_by_the_name_that_is_set(self, name: str) -> None:
        told = event("page_view", data={"page": "Boot", "title": "Boots", "referrer": None}, context=CONTEXT)
        made = sent(told, page_view_name=name)

        assert made["event_name"] == name
        assert made["properties"] == {
            "name": "Boot",
            "title": "Boots",
            "url": "https://shop.example/boot?utm_source=mail",
            "path": "/boot",
            "utm_source": "mail",
        }

    def test_a_group_and_an_alias(self) -> None:
        group = sent(event("group", data={"group_id": "g1", "traits": {"name": "Acme"}}))
        alias = sent(event("alias", data={"previous_id": "old"}))

        assert (group["event_name"], group["properties"]) == ("$group", {"name": "Acme", "groupId": "g1"})
        assert alias["event_name"] == "$alias"
        ids = {"new_user_id": "user_1", "previous_id": "old", "userId": "user_1", "previousId": "old"}
        assert alias["properties"] == ids

    def test_events_weigh_what_they_take(self) -> None:
        destination, events = datalyr(), [event(), IDENTITY]

        body = destination.encode(events).body or b""
        assert sum(map(destination.encoded_size, events)) + 500_000 - destination.batch_bytes == len(body) + 1
        assert destination.encoded_size(event(browser_id=None)) >= destination.encoded_size(event())


class TestTrackForm:
    def test_the_call(self) -> None:
        destination = datalyr(form="track", api_key="dk_1", workspace_id=None)
        call = destination.encode([IDENTITY])

        assert destination.batch_size == 1
        assert (call.method, call.url) == ("POST", "https://ingest.datalyr.com/track")
        assert call.headers["X-API-Key"] == "dk_1"
        assert json.loads(call.body or b"") == {
            "event": "$identify",
            "eventId": "id",
            "anonymousId": BROWSER_ID,
            "userId": "user_1",
            "properties": {**TRAITS, "anonymous_id": BROWSER_ID},
            "context": {"library": "passerby", "version": __version__, "source": "api", "schema_version": 1},
            "timestamp": TIMESTAMP,
        }

    def test_a_property_of_the_apps_does_not_name_another_browser(self) -> None:
        made = sent(event(data={"anonymous_id": "mine"}), form="track", api_key="dk_1")

        assert made["properties"] == {"anonymous_id": BROWSER_ID}


class TestCheck:
    @pytest.mark.parametrize(
        ("told", "words"),
        [
            (event(user_id="u" * 256), "datalyr: user ID: found 256 characters, expected 1 to 255"),
            (event(user_id=" "), "datalyr: user ID: found none"),
            (event(user_id=BROWSER_ID), "datalyr: user ID: found the browser ID"),
            (
                event("identity", data={"email": "e"}, extension={f"t{number}": 1 for number in range(50)}),
                "datalyr: found 51 traits, expected at most 50 a call",
            ),
            (event("identity", extension={"tags": [{"a": "hidden"}]}), "datalyr: the trait tags is an object or holds"),
        ],
    )
    def test_limits_are_told_at_the_call(self, told: Event, words: str) -> None:
        with pytest.raises(ValidationError) as raised:
            datalyr().check(told)

        assert str(raised.value).startswith(words)
        assert "hidden" not in str(raised.value)

    def test_what_is_within_them_is_taken(self) -> None:
        datalyr().check(IDENTITY)
        datalyr().check(event(user_id="u" * 255))
        datalyr().check(event("identity", extension={f"t{number}": ["a", 1, True] for number in range(50)}))
        datalyr().check(event(data={"nested": {"deep": [{}]}}))


@pytest.mark.parametrize(
    ("options", "status", "verdict"),
    [
        ({}, 200, Delivered(None)),
        ({}, 400, SplitBatch("status 400")),
        ({}, 413, SplitBatch("status 413")),
        ({}, 401, Rejected("status 401")),
        ({}, 403, Retry("status 403: the workspace does not allow it", 300.0)),
        ({"api_key": "dk_1"}, 403, Rejected("status 403")),
        ({}, 429, Retry("status 429")),
        ({}, 500, Retry("status 500")),
    ],
)
def test_what_answers_mean(options: dict[str, Any], status: int, verdict: Any) -> None:
    assert datalyr(**options).classify(DestinationResponse(status, {}, b"")) == verdict
