"""passerby and all three systems: events arrive in the format of each, and several browsers become one person."""

from __future__ import annotations

import gzip
import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from passerby import CustomerIO, Datalyr, Dead, Delivered, Sitecore, Tracking, ValidationError
from passerby.collector import CollectorServer
from passerby.collector.api_request import MESSAGE_SYSTEMS
from passerby.collector.command import CannotStart, addresses
from passerby.delivery import Delivery
from passerby.destinations import Destination
from tests.making import BROWSER_ID, KEY, OTHER_ID, dropped, eventually

Make = Callable[..., Tracking]


@pytest.fixture
def strict_collector() -> Iterator[CollectorServer]:
    """A collector that takes some keys and no others."""
    server = CollectorServer(
        accept_any_browser_id=True, write_keys=["sk_eu_1", "old"], workspaces=["ws_1"], api_keys=["dk_1"]
    )
    with server:
        yield server
    server.close()


@pytest.fixture
def make() -> Iterator[Make]:
    made: list[Tracking] = []

    def make(*destinations: Destination, **settings: Any) -> Tracking:
        usual: dict[str, Any] = {
            "secret_key": KEY,
            "browser_id_pool_size": 0,
            "identity_provider": "CRM",
            "retry_base": 0.01,
        }
        made.append(Tracking(*destinations, **usual | settings))
        return made[-1]

    yield make
    for tracking in made:
        tracking.close(0)


def all_three(url: str) -> list[Destination]:
    return [
        Sitecore(client_key="key", target_url=url, point_of_sale="shop"),
        CustomerIO(write_key="sk_eu_1", target_url=url),
        Datalyr(workspace_id="ws_1", target_url=url),
    ]


def test_one_call_reaches_all_three_in_their_own_words(make: Make, strict_collector: CollectorServer) -> None:
    tracking = make(*all_three(strict_collector.url))
    tracker = tracking.for_visitor(BROWSER_ID)
    tracker.page_view({"page": "Home"})
    tracker.identify("user_1", {"email": "ada@shop.example", "first_name": "Ada", "plan": "pro"})
    tracker.event("ADD", {"sku": "1"})

    assert tracking.flush(10) == 0
    assert [event["type"] for event in strict_collector.events] == ["VIEW", "IDENTITY", "ADD"]
    calls = strict_collector.messages("customerio")
    assert [call["type"] for call in calls] == ["page", "identify", "track"]
    assert calls[1]["traits"] == {"email": "ada@shop.example", "firstName": "Ada", "plan": "pro"}
    events = strict_collector.messages("datalyr")
    assert [event["event_name"] for event in events] == ["$pageview", "$identify", "ADD"]
    assert events[1]["properties"] == {"email": "ada@shop.example", "first_name": "Ada", "plan": "pro"}
    assert {event["user_id"] for event in events[1:]} == {"user_1"}
    assert all(one.is_balanced and one.delivered == 3 for one in tracking.stats().destinations.values())


def test_two_browsers_meet_in_one_user(make: Make, strict_collector: CollectorServer) -> None:
    tracking = make(*all_three(strict_collector.url))
    for browser_id, name in ((BROWSER_ID, "view_ad"), (OTHER_ID, "compare")):
        tracker = tracking.for_visitor(browser_id)
        tracker.event(name)
        tracker.identify("user_1", {"plan": name})
    tracking.for_visitor(OTHER_ID, "user_1").event("purchase")

    assert tracking.flush(10) == 0
    for system in MESSAGE_SYSTEMS:
        person = strict_collector.people(system).user("user_1")
        assert person is not None
        assert set(person.anonymous_ids) == {BROWSER_ID, OTHER_ID}
        assert len(person.timeline) == 5


def test_groups_and_aliases_go_to_those_who_take_them(make: Make, strict_collector: CollectorServer) -> None:
    tracking = make(*all_three(strict_collector.url))
    tracker = tracking.for_visitor(BROWSER_ID, "user_1")
    tracker.group("g1", {"name": "Acme"})
    tracker.alias("old_1")

    assert tracking.flush(10) == 0
    assert [call["type"] for call in strict_collector.messages("customerio")] == ["group", "alias"]
    assert [event["event_name"] for event in strict_collector.messages("datalyr")] == ["$group", "$alias"]
    assert tracking.stats().destinations["sitecore"].recorded == 0
    people = strict_collector.people("datalyr")
    assert people.user("old_1") is people.user("user_1")


def test_groups_have_no_destination_with_sitecore_alone(make: Make, strict_collector: CollectorServer) -> None:
    sitecore, *_ = all_three(strict_collector.url)
    with pytest.raises(ValidationError, match=r"group: .* sitecore; add CustomerIO"):
        make(sitecore).for_visitor(BROWSER_ID).group("g1")

    dropping = make(sitecore, on_invalid="drop")
    dropping.for_visitor(BROWSER_ID).group("g1")
    assert dropped(dropping) == {"invalid": 1}


@pytest.mark.parametrize("outbox", ["memory", "sqlite"])
def test_many_events_make_few_calls(make: Make, strict_collector: CollectorServer, outbox: str, tmp_path: Path) -> None:
    settings = {} if outbox == "memory" else {"outbox": f"sqlite:///{tmp_path}/outbox"}
    tracking = make(
        CustomerIO(write_key="sk_eu_1", target_url=strict_collector.url, gzip=True),
        Datalyr(workspace_id="ws_1", target_url=strict_collector.url),
        **settings,
    )
    strict_collector.fail("all", status=503)
    for number in range(300):
        tracking.for_visitor(f"{number:08x}-2222-4333-8444-555555555555").event("ADD", {"number": number})
    strict_collector.clear_faults()  # now that all of them wait

    assert tracking.flush(20) == 0
    for system in MESSAGE_SYSTEMS:
        assert len(strict_collector.messages(system)) == 300
    accepted = [one for one in strict_collector.requests if one.accepted]
    assert len(accepted) < 60
    packed = next(one for one in accepted if one.route == "pipelines")
    assert json.loads(gzip.decompress(packed.body))["batch"]


def test_a_dead_destination_delays_no_other(make: Make, strict_collector: CollectorServer) -> None:
    tracking = make(*all_three(strict_collector.url))
    strict_collector.fail("pipelines", status=503)
    for number in range(200):
        tracking.for_visitor(BROWSER_ID if number % 2 else OTHER_ID, "user_1").event("ADD", {"number": number})

    assert len(strict_collector.wait_for_messages("datalyr", 200)) == 200
    assert len(strict_collector.wait_for_events(200)) == 200
    ledgers = tracking.stats().destinations
    assert all(ledger.is_balanced for ledger in ledgers.values())
    assert ledgers["customerio"].pending == 200
    # Half-open it is for the moment of a probe.
    eventually(lambda: tracking.stats().destinations["customerio"].breaker == "open")

    strict_collector.clear_faults()
    assert tracking.flush(20) == 0
    numbers = [call["properties"]["number"] for call in strict_collector.messages("customerio")]
    assert sorted(numbers) == list(range(200))
    assert [number for number in numbers if number % 2] == list(range(1, 200, 2)), "each visitor's in their order"
    assert all(ledger.is_balanced and ledger.delivered == 200 for ledger in tracking.stats().destinations.values())


def test_no_log_and_no_error_shows_a_key_or_a_person(
    make: Make, strict_collector: CollectorServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    destinations: list[Destination] = [
        CustomerIO(write_key="sk_eu_hidden", target_url=strict_collector.url),
        Datalyr(form="track", api_key="dk_hidden", target_url=strict_collector.url),
    ]
    tracking = make(*destinations)
    tracker = tracking.for_visitor(BROWSER_ID)
    tracker.identify("user_hidden", {"email": "hidden@shop.example"})
    messages: list[str] = []
    calls: list[Callable[[], object]] = [
        lambda: tracker.event("ADD", {"email": "hidden@shop.example" * 2000}),
        lambda: tracker.identify("user_hidden", {"hidden": [{"a": "hidden@shop.example"}]}),
        lambda: tracker.group("hidden" * 50),
    ]
    for call in calls:
        with pytest.raises(ValidationError) as raised:
            call()
        messages.append(str(raised.value))
    assert tracking.flush(10) == 0

    assert {letter.reason for letter in tracking.dead_letters()} == {"status 401"}
    logged = f"{caplog.text} {messages[0]} {messages[2]} {tracking!r}"
    shown = f"{logged} {destinations!r} {tracking.dead_letters()!r}"
    assert "hidden" not in shown
    assert "hidden@" not in messages[1], "messages contain names of traits, not values"


_record = Delivery.record


def record_altered(delivery: Delivery, event: Any, *rest: Any) -> None:
    """Record an event, the seventh with a name that no call lets through."""
    _record(delivery, event._replace(type=5) if event.integrations["n"] == 7 else event, *rest)


def test_one_bad_event_costs_no_other(
    make: Make, strict_collector: CollectorServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What passerby's own checks let through, the service may refuse: here a name that only a stored event can have."""
    tracking = make(CustomerIO(write_key="sk_eu_1", target_url=strict_collector.url))
    strict_collector.stop()
    monkeypatch.setattr(Delivery, "record", record_altered)
    receipts = [
        tracking.for_visitor(f"{number:08x}-2222-4333-8444-555555555555").event("ADD", integrations={"n": number})
        for number in range(20)
    ]
    strict_collector.start()

    assert tracking.flush(20) == 0
    outcomes = [receipt.outcomes["customerio"] for receipt in receipts]
    assert outcomes[7] == Dead("status 400 (invalid_request)")
    assert all(isinstance(one, Delivered) for number, one in enumerate(outcomes) if number != 7)
    (letter,) = tracking.dead_letters()
    assert letter.event.id == receipts[7].event_id
    assert len(strict_collector.messages("customerio")) == 19


@pytest.mark.parametrize(
    ("make_destination", "reason"),
    [
        (lambda url: CustomerIO(write_key="sk_eu_2", target_url=url), "status 401"),
        (lambda url: Datalyr(workspace_id="ws_2", target_url=url), "status 401"),
        (lambda url: Datalyr(form="track", api_key="dk_2", target_url=url), "status 401"),
    ],
    ids=["write key", "workspace", "API key"],
)
def test_a_wrong_key_is_seen(
    make: Make, strict_collector: CollectorServer, make_destination: Callable[[str], Destination], reason: str
) -> None:
    tracking = make(make_destination(strict_collector.url))
    tracking.for_visitor(BROWSER_ID).event("ADD")

    assert tracking.flush(10) == 0
    assert [letter.reason for letter in tracking.dead_letters()] == [reason]


def test_without_strict_mode_a_wrong_key_looks_delivered(make: Make, strict_collector: CollectorServer) -> None:
    tracking = make(CustomerIO(write_key="sk_eu_2", target_url=strict_collector.url, strict=False))
    receipt = tracking.for_visitor(BROWSER_ID).event("ADD")

    assert isinstance(receipt.wait_delivered(10)["customerio"], Delivered)
    assert strict_collector.messages("customerio") == []


def test_two_workspaces_get_what_is_chosen_for_them(make: Make, strict_collector: CollectorServer) -> None:
    url = strict_collector.url
    tracking = make(
        CustomerIO(write_key="sk_eu_1", target_url=url, name="eu"),
        CustomerIO(write_key="old", target_url=url, name="us"),
    )
    tracker = tracking.for_visitor(BROWSER_ID)
    tracker.event("both")
    tracker.event("eu only", destinations=["eu"])

    assert tracking.flush(10) == 0
    keys = [
        (one.headers["authorization"].partition(" ")[0], message["event"])
        for one in strict_collector.requests
        for message in one.messages
    ]
    assert sorted(keys) == [("Basic", "both"), ("Bearer", "both"), ("Bearer", "eu only")]


def test_datalyrs_other_form_sends_one_event_a_call(make: Make, strict_collector: CollectorServer) -> None:
    tracking = make(Datalyr(form="track", api_key="dk_1", target_url=strict_collector.url))
    for number in range(3):
        tracking.for_visitor(BROWSER_ID).event("ADD", {"number": number})

    assert tracking.flush(10) == 0
    assert [one.path for one in strict_collector.requests] == ["/track"] * 3
    numbers = [event["properties"]["number"] for event in strict_collector.messages("datalyr")]
    assert numbers == [0, 1, 2]


def test_who_is_who_can_be_asked_over_the_control_path(make: Make, strict_collector: CollectorServer) -> None:
    tracking = make(CustomerIO(write_key="sk_eu_1", target_url=strict_collector.url))
    tracking.for_visitor(BROWSER_ID).event("ADD")
    tracking.for_visitor(BROWSER_ID).identify("user_1", {"plan": "pro"})
    tracking.for_visitor(OTHER_ID).event("ADD")
    assert tracking.flush(10) == 0

    with httpx.Client(base_url=f"{strict_collector.url}/_collector") as client:
        messages = client.get("/messages/customerio").json()["messages"]
        people = client.get("/people/customerio").json()
        known = client.get("/person/customerio", params={"user": "user_1"}).json()["person"]
        other = client.get("/person/customerio", params={"browser": OTHER_ID}).json()["person"]
        assert client.get("/people/nowhere").status_code == 404
        assert client.get("/messages/sitecore").status_code == 404
    assert len(messages) == 3
    (user,), (stranger,) = people["users"], people["anonymous"]
    assert (user["user_id"], user["anonymous_ids"], known["traits"]) == ("user_1", [BROWSER_ID], {"plan": "pro"})
    assert [entry["name"] for entry in known["timeline"]] == ["ADD", "identify"]
    assert (stranger["user_id"], stranger["anonymous_ids"]) == (None, [OTHER_ID])
    assert [entry["name"] for entry in other["timeline"]] == ["ADD"]


@pytest.mark.parametrize(
    ("environ", "variables"),
    [
        ({}, {"PASSERBY_SITECORE_TARGET_URL"}),
        ({"PASSERBY_SITECORE_CLIENT_KEY": "key"}, {"PASSERBY_SITECORE_TARGET_URL"}),
        ({"PASSERBY_SITECORE_EDGE_CONTEXT_ID": "id"}, {"PASSERBY_SITECORE_EDGE_URL"}),
        ({"PASSERBY_CUSTOMERIO_WRITE_KEY": "old"}, {"PASSERBY_CUSTOMERIO_TARGET_URL"}),
        (
            {"PASSERBY_SITECORE_CLIENT_KEY": "key", "PASSERBY_CUSTOMERIO_EU_WRITE_KEY": "old"},
            {"PASSERBY_SITECORE_TARGET_URL", "PASSERBY_CUSTOMERIO_EU_TARGET_URL"},
        ),
        ({"PASSERBY_DATALYR_WORKSPACE_ID": "w", "PASSERBY_DATALYR_API_KEY": "k"}, {"PASSERBY_DATALYR_TARGET_URL"}),
    ],
)
def test_an_app_beside_the_collector_calls_it_for_each_system_that_it_has(
    environ: dict[str, str], variables: set[str]
) -> None:
    expected = dict.fromkeys(variables | {"PASSERBY_COLLECTOR_URL"}, "http://localhost:8600")
    assert addresses(environ, "http://localhost:8600") == expected


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://0.0.0.0:8600", "http://127.0.0.1:8600"),
        ("http://[::]:8600", "http://[::1]:8600"),
        ("http://127.0.0.2:1", "http://127.0.0.2:1"),
    ],
)
def test_an_app_beside_the_collector_is_given_a_loopback_address(url: str, expected: str) -> None:
    assert set(addresses({}, url).values()) == {expected}


def test_a_collector_that_is_not_on_loopback_has_no_app_beside_it() -> None:
    with pytest.raises(CannotStart, match=r"found --host 192\.0\.2\.7"):
        addresses({}, "http://192.0.2.7:8600")
