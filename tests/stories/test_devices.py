"""Several browsers of one person, several people in one browser."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from passerby import Datalyr, Tracking
from passerby.collector import CollectorServer

from .conftest import Calendar, MakeSite, MakeTracking, delivered
from .services import CUSTOMERIO, DATALYR, EVERYWHERE, SITECORE, Somebody, known_users, told
from .site import Page, Site

SHOP: dict[str, Page] = {
    "/": lambda tracker: tracker.page_view(),
    "/ad": lambda tracker: tracker.event("ad_clicked", {"campaign": "spring"}),
    "/compare": lambda tracker: tracker.event("compared"),
    "/ada": lambda tracker: tracker.identify("ada", {"email": "ada@shop.example"}),
    "/ben": lambda tracker: tracker.identify("ben", {"email": "ben@shop.example"}),
    "/logout": lambda tracker: tracker.reset(),
    "/leave": lambda tracker: tracker.rotate(),
    "/buy": lambda tracker: tracker.event("purchase", {"value": 129.99, "currency": "EUR"}),
}


def test_a_purchase_of_three_days_and_two_devices_is_one_persons(
    make_site: MakeSite, tracking: Tracking, collector: CollectorServer, calendar: Calendar
) -> None:
    shop = make_site(SHOP)
    phone, laptop = shop.browser(), shop.browser()
    first = calendar.today.date()

    phone.open("/ad")
    assert delivered(tracking)

    calendar.pass_by(days=1)
    laptop.open("/compare")
    assert delivered(tracking)
    assert known_users(collector) == {system: {} for system in EVERYWHERE}, "two strangers so far"

    calendar.pass_by(days=1)
    laptop.open("/ada")
    phone.open("/ada")
    laptop.open("/buy")
    assert delivered(tracking)

    assert phone.browser_id != laptop.browser_id
    for system in EVERYWHERE:
        ada = known_users(collector)[system]["ada"]
        assert ada.browsers == {phone.browser_id, laptop.browser_id}
        assert sorted(ada.story) == sorted(["ad_clicked", "compared", "identify", "identify", "purchase"])
        days = {(one.what, (one.moment.date() - first).days) for one in told(collector)[system]}
        assert days == {("ad_clicked", 0), ("compared", 1), ("identify", 2), ("purchase", 2)}
    for system in (CUSTOMERIO, DATALYR):
        assert [one.user for one in told(collector)[system] if one.what == "purchase"] == ["ada"]


def test_the_same_story_read_from_a_log_long_afterwards_has_the_days_on_which_it_happened(
    tracking: Tracking, collector: CollectorServer
) -> None:
    collector.accept_any_browser_id = True
    phone, laptop = "0b1ff1ce-1111-4111-8111-111111111111", "0b1ff1ce-2222-4222-8222-222222222222"
    day = datetime(2025, 9, 27, 10, 15, tzinfo=UTC)
    log: list[tuple[datetime, str, str]] = [
        (day, phone, "ad_clicked"),
        (day + timedelta(days=1), laptop, "compared"),
        (day + timedelta(days=2), laptop, "identify"),
        (day + timedelta(days=2, minutes=1), phone, "identify"),
        (day + timedelta(days=2, minutes=5), laptop, "purchase"),
    ]
    named: dict[str, str] = {}
    for moment, browser, what in log:
        tracker = tracking.for_visitor(browser, named.get(browser))
        if what == "identify":
            named[browser] = "ada"
            tracker.identify("ada", timestamp=moment)
        else:
            tracker.event(what, timestamp=moment)

    assert delivered(tracking)
    for system in EVERYWHERE:
        arrived = sorted((one.moment, one.browser, one.what) for one in told(collector)[system])
        assert arrived == log
        assert known_users(collector)[system]["ada"].browsers == {phone, laptop}
        assert len(known_users(collector)[system]["ada"].story) == 5


def test_who_has_logged_out_is_a_browser_again_and_who_logs_in_next_is_themselves(
    make_site: MakeSite, tracking: Tracking, collector: CollectorServer
) -> None:
    browser = make_site(SHOP).browser()
    for path in ("/ada", "/", "/logout", "/", "/compare", "/ben", "/buy"):
        browser.open(path)

    assert delivered(tracking)
    assert {one.browser for system in EVERYWHERE for one in told(collector)[system]} == {browser.browser_id}
    for system in (CUSTOMERIO, DATALYR):
        assert [(one.what, one.user) for one in told(collector)[system]] == [
            ("identify", "ada"),
            ("page view", "ada"),
            ("page view", None),
            ("compared", None),
            ("identify", "ben"),
            ("purchase", "ben"),
        ]
    assert [one.user for one in told(collector)[SITECORE] if one.what == "identify"] == ["ada", "ben"]
    assert all("previous_id" not in event for event in collector.messages("datalyr")), "nobody switched accounts"


def test_a_log_out_is_not_undone_by_a_page_that_was_on_its_way(
    make_site: MakeSite, tracking: Tracking, collector: CollectorServer
) -> None:
    """Other pages of the visit answer after it; none of them brings the user back."""
    browser = make_site(SHOP).browser()
    browser.open("/ada")
    signed_in = browser.cookies
    browser.open("/logout")
    assert "bid_key_uid" in signed_in
    assert "bid_key_uid" not in browser.cookies

    late = make_site(SHOP).browser()
    late.take(signed_in)
    late.open("/")
    assert late.set_cookies == []


def test_on_a_shared_device_everybody_is_somebody_else(
    make_site: MakeSite, tracking: Tracking, collector: CollectorServer
) -> None:
    """A tablet in the shop: who leaves takes all that they did with them, and who comes finds nothing of it."""
    tablet = make_site(SHOP).browser()
    tablet.open("/compare")
    tablet.open("/ada")
    tablet.open("/buy")
    adas = tablet.browser_id
    tablet.open("/leave")
    bens = tablet.browser_id
    tablet.open("/compare")
    tablet.open("/ben")
    tablet.open("/buy")

    assert delivered(tracking)
    assert adas != bens
    story = ["compared", "identify", "purchase"]
    expected = {"ada": Somebody(frozenset({adas}), story), "ben": Somebody(frozenset({bens}), story)}
    assert known_users(collector) == dict.fromkeys(EVERYWHERE, expected)


MAKE_DATALYR: dict[str, Callable[[str], Datalyr]] = {
    "events": lambda url: Datalyr(workspace_id="ws_1", target_url=url),
    "track": lambda url: Datalyr(form="track", api_key="dk_1", target_url=url),
}


def test_who_switches_accounts_stays_two_people(
    make_site: MakeSite, tracking: Tracking, collector: CollectorServer
) -> None:
    browser = make_site(SHOP).browser()
    for path in ("/ada", "/buy", "/ben", "/buy", "/"):
        browser.open(path)

    assert delivered(tracking)
    for system in EVERYWHERE:
        people = known_users(collector)[system]
        assert set(people) == {"ada", "ben"}
        assert people["ada"].browsers.isdisjoint(people["ben"].browsers)
        assert people["ada"].story == ["identify", "purchase"]
        assert people["ben"].story == ["identify", "purchase", "page view"]
    for system in (CUSTOMERIO, DATALYR):
        assert sorted(str(one.user) for one in told(collector)[system]) == ["ada", "ada", "ben", "ben", "ben"]
    for system in (CUSTOMERIO, DATALYR):
        ben = collector.people(system).user("ben")  # type: ignore[arg-type]
        assert ben is not None
        assert ben.traits == {"email": "ben@shop.example"}


@pytest.mark.parametrize("form", MAKE_DATALYR)
def test_datalyr_is_told_which_account_it_was_before(
    make_tracking: MakeTracking, collector: CollectorServer, form: str
) -> None:
    tracking = make_tracking(MAKE_DATALYR[form](collector.url), on_user_change="link")
    browser = Site(tracking, SHOP).browser()
    for path in ("/ada", "/buy", "/ben", "/ben", "/buy"):
        browser.open(path)

    assert delivered(tracking)
    events = collector.messages("datalyr")
    told_before = [event.get("previous_id") or event["properties"].get("previous_id") for event in events]
    assert told_before == [None, None, "ada", None]
    assert [one.user_id for one in collector.people("datalyr").users] == ["ada", "ben"]
