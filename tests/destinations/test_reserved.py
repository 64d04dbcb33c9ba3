"""What an app's data says never changes what an event is, at any destination and in any spelling."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from passerby import CustomerIO, Datalyr, Segment, Sitecore, Tracker, Tracking, ValidationError, Webhook
from passerby.destinations import Destination
from passerby.testing import capture_events
from tests.making import BROWSER_ID, OTHER_ID

OWN = (
    "type", "client_key", "browser_id", "pos", "requested_at", "ext", "message_id", "anonymous_id", "user_id", "event",
    "context", "integrations", "timestamp", "event_name", "event_id", "distinct_id", "previous_id", "properties",
    "workspace_id", "group_id", "new_user_id", "id", "cio_id",
)  # fmt: skip
DESTINATIONS: Mapping[str, Destination] = {
    "sitecore": Sitecore(client_key="key", target_url="http://localhost:9", point_of_sale="shop"),
    "sitecore-without-time": Sitecore(
        client_key="key", target_url="http://localhost:9", point_of_sale="shop", requested_at=False
    ),
    "customerio": CustomerIO(write_key="key", target_url="http://localhost:9"),
    "datalyr": Datalyr(workspace_id="ws", target_url="http://localhost:9"),
    "datalyr-track": Datalyr(api_key="dk", form="track", target_url="http://localhost:9"),
    "segment": Segment(write_key="key", target_url="http://localhost:9"),
    "webhook": Webhook(
        url="http://localhost:9", secret="whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", allow_private_addresses=True
    ),
}
APPS_OWN = ("properties", "traits", "attributes")  # where a destination keeps an app's data by itself


def spellings(name: str) -> list[str]:
    first, *rest = name.split("_")
    camel = first + "".join(map(str.title, rest))
    return [name, camel, name.upper(), name.title(), name.replace("_", "-"), f"_{name}", camel[0].upper() + camel[1:]]


SPELT = sorted({spelling for name in OWN for spelling in spellings(name)})
VALUES = st.sampled_from(["IDENTITY", OTHER_ID, "spoof", 7, True, None, {"id": "victim"}, [{"id": "victim"}]])


@pytest.fixture(params=DESTINATIONS)
def destination(request: pytest.FixtureRequest) -> Destination:
    return DESTINATIONS[request.param]


@pytest.fixture
def tracker(destination: Destination) -> Iterator[Tracker]:
    tracking = Tracking(destination, secret_key="a secret key that signs")
    yield tracking.for_visitor(BROWSER_ID, "user_1")
    tracking.close(0)


def own_fields(destination: Destination, tracker: Tracker, call: str, *args: Any, **options: Any) -> Any:
    """What is sent of an event beside the app's own data; None if the call is refused."""
    options |= {"event_id": "one", "timestamp": 1_767_225_600}
    tracker.reset()  # an identity that repeats the one before is not sent again
    with capture_events() as told:
        try:
            getattr(tracker, call)(*args, **options)
        except ValidationError:
            return None
    (event,) = told.events
    message: Any = json.loads(destination.encode([event]).body or b"")
    if destination.name == "webhook":
        (message,) = message["data"]["events"]
        data = message.pop("data")  # the app's own, but for what makes an identity one
        assert data.get("identifiers") == event.data.get("identifiers")
    for name in ("batch", "events"):
        message = message[name][0] if name in message else message
    own = {name: value for name, value in message.items() if name not in APPS_OWN}
    if destination.name == "datalyr":  # which reads this one there too
        own["anonymous_id in the properties"] = message["properties"].get("anonymous_id")
    return own


def sitecores(own: Any) -> Any:
    """The fields of its own that stand among the data of an app."""
    names = ("type", "client_key", "browser_id", "pos", "requested_at")
    return own and {name: own.get(name) for name in (*names, "ext")}


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.dictionaries(st.sampled_from(SPELT), VALUES, min_size=1, max_size=3))
def test_event_data_leaves_an_event_what_it_is(
    destination: Destination, tracker: Tracker, data: dict[str, Any]
) -> None:
    kept = own_fields(destination, tracker, "event", "SEARCH", {})
    got = own_fields(destination, tracker, "event", "SEARCH", data)
    if destination.name == "sitecore":
        kept, got = sitecores(kept), sitecores(got)
    assert got in (None, kept)


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.dictionaries(st.sampled_from(SPELT), VALUES, min_size=1, max_size=3))
@pytest.mark.parametrize("call", ["event", "page_view"])
def test_neither_does_extension_data(
    destination: Destination, tracker: Tracker, call: str, data: dict[str, Any]
) -> None:
    args = ("SEARCH", {}) if call == "event" else ({"page": "Home"},)
    kept = own_fields(destination, tracker, call, *args)
    got = own_fields(destination, tracker, call, *args, data)
    if got is not None and destination.name == "sitecore":
        kept.pop("ext", None)
        got.pop("ext", None)
    assert got in (None, kept)


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.dictionaries(st.sampled_from(SPELT), VALUES, min_size=1, max_size=3))
def test_nor_do_traits(destination: Destination, tracker: Tracker, data: dict[str, Any]) -> None:
    call = ("identity", {"identifiers": [{"id": "user_1", "provider": "CRM"}]})
    kept = own_fields(destination, tracker, *call)
    got = own_fields(destination, tracker, *call, data)
    if got is not None and destination.name == "sitecore":
        kept.pop("ext", None)
        got.pop("ext", None)
    assert got in (None, kept)


@pytest.mark.parametrize("name", ["datalyr", "datalyr-track"])
def test_extension_data_with_a_dict_of_that_name(name: str) -> None:
    tracker = Tracking(DESTINATIONS[name]).for_visitor(BROWSER_ID)
    with pytest.raises(ValidationError, match="event data: found 'anonymous_id' with another value"):
        tracker.event("SEARCH", {}, {"anonymous_id": {"id": "victim"}})


@pytest.mark.parametrize("name", ["type", "Type", "pos", "POS", "clientKey", "requestedAt", "requested-at", "ext"])
def test_sitecore_refuses_it_in_words_without_the_value(name: str) -> None:
    tracker = Tracking(DESTINATIONS["sitecore-without-time"]).for_visitor(BROWSER_ID)
    with pytest.raises(ValidationError, match=f"sitecore: event data: found '{name}'") as raised:
        tracker.event("SEARCH", {name: "IDENTITY", "identifiers": [{"id": "victim", "provider": "CRM"}]})
    assert "victim" not in str(raised.value)
    assert "IDENTITY" not in str(raised.value)


@pytest.mark.parametrize("type", ["IDENTITY", "identity", " Identity "])
def test_a_custom_event_is_no_identity_at_sitecore(type: str) -> None:
    tracker = Tracking(DESTINATIONS["sitecore"]).for_visitor(BROWSER_ID)
    with pytest.raises(ValidationError, match="call identity or identify"):
        tracker.event(type, {"identifiers": [{"id": "victim", "provider": "CRM"}]})


@pytest.mark.parametrize("type", ["$identify", "$ALIAS", " $group"])
def test_nor_at_datalyr(type: str) -> None:
    tracker = Tracking(DESTINATIONS["datalyr"]).for_visitor(BROWSER_ID)
    with pytest.raises(ValidationError, match="use that call"):
        tracker.event(type, {"email": "victim@shop.example"})


@pytest.mark.parametrize(
    ("name", "trait"),
    [
        ("customerio", "id"),
        ("customerio", "cio_id"),
        ("segment", "id"),
        ("datalyr", "anonymousId"),
        ("datalyr", "previous_id"),
    ],
)
def test_a_trait_is_not_another_persons_id(name: str, trait: str) -> None:
    tracker = Tracking(DESTINATIONS[name]).for_visitor(BROWSER_ID)
    with pytest.raises(ValidationError, match=f"traits: found '{trait}' with another value") as raised:
        tracker.identify("user_1", {trait: "victim"})
    assert "victim" not in str(raised.value)


@pytest.mark.parametrize(
    ("name", "trait"), [("customerio", "id"), ("segment", "id"), ("datalyr", "user_id"), ("datalyr", "userId")]
)
def test_a_trait_may_repeat_the_persons_own_id(name: str, trait: str) -> None:
    tracker = Tracking(DESTINATIONS[name]).for_visitor(BROWSER_ID)
    assert tracker.identify(7, {trait: 7, "email": "ada@shop.example"}).event_id is not None


def test_a_group_keeps_its_id() -> None:
    tracker = Tracking(DESTINATIONS["datalyr"]).for_visitor(BROWSER_ID)
    with pytest.raises(ValidationError, match="groupId"):
        tracker.group("acme", {"groupId": "other"})


def test_a_campaign_is_no_type() -> None:
    event = DESTINATIONS["sitecore"].encode
    tracker = Tracking(DESTINATIONS["sitecore"]).for_visitor(BROWSER_ID)
    with capture_events() as told:
        tracker.page_view({"page": "Home"})
    context = told.events[0].context._replace(campaign={"type": "IDENTITY", "pos": "spoof", "utm_source": "mail"})
    body = json.loads(event([told.events[0]._replace(context=context)]).body or b"")
    assert (body["type"], body["pos"], body["utm_source"]) == ("VIEW", "shop", "mail")


@pytest.mark.parametrize("name", ["sitecore", "sitecore-without-time"])
def test_a_stored_event_from_before_the_check_is_sent_as_what_it_is(name: str) -> None:
    tracker = Tracking(DESTINATIONS[name]).for_visitor(BROWSER_ID)
    with capture_events() as told:
        tracker.event("SEARCH", {})
    stored = told.events[0]._replace(data={"type": "IDENTITY", "requested_at": "spoof", "ext": {"a": 1}})
    body = json.loads(DESTINATIONS[name].encode([stored]).body or b"")
    assert body["type"] == "SEARCH"
    assert body.get("requested_at") != "spoof"
    assert "ext" not in body
