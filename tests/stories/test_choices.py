"""What is told to whom: one, some, several of a kind, and what not all of them know."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from passerby import CustomerIO, Tracker, Tracking, ValidationError
from passerby.collector import CollectorServer

from .conftest import MakeSite, MakeTracking, delivered
from .services import CUSTOMERIO, DATALYR, EVERYWHERE, SITECORE, known_users, told, traits
from .site import Site


def test_each_event_goes_where_it_is_meant_to_go(
    make_site: MakeSite, tracking: Tracking, collector: CollectorServer
) -> None:
    def pay(tracker: Tracker) -> None:
        tracker.event("order_paid")
        tracker.event("revenue", {"value": 10}, destinations=["datalyr"])
        tracker.event("receipt_wanted", destinations=["customerio", "sitecore"])

    browser = make_site({"/pay": pay}).browser()
    browser.open("/pay")

    assert delivered(tracking)
    names = {system: [one.what for one in told(collector)[system]] for system in EVERYWHERE}
    assert names == {
        SITECORE: ["order_paid", "receipt_wanted"],
        CUSTOMERIO: ["order_paid", "receipt_wanted"],
        DATALYR: ["order_paid", "revenue"],
    }


def test_a_name_that_is_no_destination_is_refused(make_site: MakeSite, collector: CollectorServer) -> None:
    def pay(tracker: Tracker) -> None:
        with pytest.raises(ValidationError, match="sitecore, customerio, datalyr"):
            tracker.event("order_paid", destinations=["mixpanel"])

    make_site({"/pay": pay}).browser().open("/pay")


def test_what_was_told_to_one_is_not_unchanged_for_another(
    make_site: MakeSite, tracking: Tracking, collector: CollectorServer
) -> None:
    """The other one has never heard of it."""
    site = make_site(
        {
            "/signup": lambda tracker: tracker.identify("ada", {"plan": "pro"}, destinations=["customerio"]),
            "/consent": lambda tracker: tracker.identify("ada", {"plan": "pro"}, destinations=["datalyr"]),
        }
    )
    browser = site.browser()
    for path in ("/signup", "/signup", "/consent", "/consent"):
        browser.open(path)

    assert delivered(tracking)
    assert {system: len(told(collector)[system]) for system in EVERYWHERE} == {SITECORE: 0, CUSTOMERIO: 1, DATALYR: 1}


@pytest.fixture
def workspaces() -> Iterator[dict[str, CollectorServer]]:
    """Two Customer.io workspaces, each with a key of its own and no other."""
    servers = {name: CollectorServer(write_keys=[f"sk_{name}_1"]) for name in ("eu", "us")}
    for server in servers.values():
        server.start()
    yield servers
    for server in servers.values():
        server.close()


def test_europeans_are_told_of_in_europe_and_americans_in_america(
    make_tracking: MakeTracking, workspaces: dict[str, CollectorServer]
) -> None:
    tracking = make_tracking(
        *(CustomerIO(write_key=f"sk_{name}_1", target_url=one.url, name=name) for name, one in workspaces.items())
    )

    def sign_up(user_id: str, home: str) -> None:
        browser = Site(
            tracking,
            {
                "/signup": lambda tracker: tracker.identify(user_id, {"home": home}, destinations=[home]),
                "/buy": lambda tracker: tracker.event("purchase", destinations=[home]),
                "/news": lambda tracker: tracker.event("news_read"),
            },
        ).browser(cookie="passerby_bid")
        for path in ("/signup", "/buy", "/news"):
            browser.open(path)

    sign_up("ada", "eu")
    sign_up("ben", "us")

    assert delivered(tracking)
    for name, user_id in (("eu", "ada"), ("us", "ben")):
        person = workspaces[name].people("customerio").user(user_id)
        assert person is not None
        assert person.event_names == ["identify", "purchase", "news_read"]
        assert {one.headers["authorization"] for one in workspaces[name].requests} == {f"Bearer sk_{name}_1"}
    assert [call["type"] for call in workspaces["us"].messages("customerio") if call.get("userId") == "ada"] == [
        "track"
    ]
    assert tracking.stats().destinations["eu"].recorded == tracking.stats().destinations["us"].recorded == 4


def test_a_company_is_a_group(make_site: MakeSite, tracking: Tracking, collector: CollectorServer) -> None:
    def join(tracker: Tracker) -> None:
        tracker.identify("ada")
        tracker.group("acme", {"name": "Acme", "created_at": 1_735_689_600, "plan": "enterprise"})

    browser = make_site({"/join": join}).browser()
    browser.open("/join")

    assert delivered(tracking)
    assert [one.what for one in told(collector)[SITECORE]] == ["identify"], "Sitecore knows no groups"
    assert tracking.stats().destinations[SITECORE].recorded == 1
    _, call = collector.messages("customerio")
    assert (call["type"], call["groupId"], call["userId"]) == ("group", "acme", "ada")
    assert call["traits"] == {"name": "Acme", "createdAt": "2025-01-01T00:00:00.000Z", "plan": "enterprise"}
    _, event = collector.messages("datalyr")
    assert (event["event_name"], event["user_id"], event["properties"]["groupId"]) == ("$group", "ada", "acme")
    assert event["properties"]["name"] == "Acme"


def test_an_alias_makes_two_ids_one_person_where_there_are_aliases(
    make_site: MakeSite, tracking: Tracking, collector: CollectorServer
) -> None:
    """A subscriber's ID on the phone, a customer's on the laptop, and then it turns out that they are the same."""
    site = make_site(
        {
            "/newsletter": lambda tracker: tracker.identify("subscriber_9", {"topic": "engines", "plan": "none"}),
            "/signup": lambda tracker: tracker.identify("ada", {"plan": "pro"}),
            "/confirm": lambda tracker: tracker.alias("subscriber_9"),
        }
    )
    phone, laptop = site.browser(), site.browser()
    phone.open("/newsletter")
    assert delivered(tracking)
    laptop.open("/signup")
    assert delivered(tracking)
    assert set(known_users(collector)[CUSTOMERIO]) == {"subscriber_9", "ada"}
    laptop.open("/confirm")

    assert delivered(tracking)
    for system in (CUSTOMERIO, DATALYR):
        (ada,) = known_users(collector)[system].values()
        assert ada.browsers == {phone.browser_id, laptop.browser_id}
        assert ada.story == ["identify", "identify", "alias"]
        assert traits(collector, "ada")[system] == {"topic": "engines", "plan": "pro"}
    assert set(known_users(collector)[SITECORE]) == {"subscriber_9", "ada"}, "Sitecore knows no aliases"


def test_an_alias_needs_somebody_whom_it_stands_for(make_site: MakeSite, collector: CollectorServer) -> None:
    def confirm(tracker: Tracker) -> None:
        with pytest.raises(ValidationError, match="identify the visitor first"):
            tracker.alias("subscriber_9")

    make_site({"/confirm": confirm}).browser().open("/confirm")
    assert told(collector) == {system: [] for system in EVERYWHERE}
