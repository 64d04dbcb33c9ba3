"""Somebody passes by unknown, is seen again, and one day says who they are."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from passerby import Dropped, Receipt, Tracker, Tracking, ValidationError
from passerby.collector import CollectorServer

from .conftest import Calendar, MakeSite, delivered
from .services import CUSTOMERIO, DATALYR, EVERYWHERE, SITECORE, Somebody, known_users, told, traits


def test_before_identify_there_is_a_browser_and_after_it_a_user(
    make_site: MakeSite, tracking: Tracking, collector: CollectorServer
) -> None:
    site = make_site(
        {
            "/": lambda tracker: tracker.page_view(),
            "/pricing": lambda tracker: tracker.event("pricing_seen"),
            "/signup": lambda tracker: tracker.identify("user_456", {"email": "ada@shop.example"}),
            "/upgrade": lambda tracker: tracker.event("upgraded"),
        }
    )
    browser = site.browser()
    browser.open("/")
    browser.open("/pricing")

    assert delivered(tracking)
    for system in EVERYWHERE:
        assert {(one.browser, one.user) for one in told(collector)[system]} == {(browser.browser_id, None)}
        assert known_users(collector)[system] == {}

    browser.open("/signup")
    browser.open("/upgrade")

    assert delivered(tracking)
    story = ["page view", "pricing_seen", "identify", "upgraded"]
    for system in EVERYWHERE:
        assert {one.browser for one in told(collector)[system]} == {browser.browser_id}
        assert known_users(collector)[system] == {"user_456": Somebody(frozenset({browser.browser_id}), story)}
    for system in (CUSTOMERIO, DATALYR):
        assert [one.user for one in told(collector)[system]] == [None, None, "user_456", "user_456"]


def test_traits_that_come_later_are_added_and_those_that_change_are_replaced(
    make_site: MakeSite, tracking: Tracking, collector: CollectorServer
) -> None:
    site = make_site(
        {
            "/signup": lambda tracker: tracker.identify("user_456", {"email": "ada@shop.example", "plan": "free"}),
            "/profile": lambda tracker: tracker.identify("user_456", {"first_name": "Ada", "company": "Engines"}),
            "/upgrade": lambda tracker: tracker.identify("user_456", {"plan": "pro", "mrr": 99}),
        }
    )
    browser = site.browser()
    for path in ("/signup", "/profile", "/upgrade"):
        browser.open(path)

    assert delivered(tracking)
    merged = {"email": "ada@shop.example", "company": "Engines", "plan": "pro", "mrr": 99}
    assert traits(collector, "user_456") == {
        SITECORE: merged | {"firstname": "Ada"},
        CUSTOMERIO: merged | {"firstName": "Ada"},
        DATALYR: merged | {"first_name": "Ada"},
    }


def test_a_server_that_has_only_the_cookies_browser_id_can_say_who_it_is(
    make_site: MakeSite, tracking: Tracking, collector: CollectorServer
) -> None:
    """The payment provider calls the server, not the browser: the order knows from which browser it came."""
    orders: dict[str, str | None] = {}
    site = make_site(
        {
            "/": lambda tracker: tracker.page_view(),
            "/checkout": lambda tracker: orders.update(order_1=tracker.browser_id),
        }
    )
    browser = site.browser()
    browser.open("/")
    browser.open("/checkout")

    def when_paid(order: str) -> None:
        """What a job does, without any request of the visitor's."""
        browser_id = orders[order]
        assert browser_id is not None
        tracker = tracking.for_visitor(browser_id)
        tracker.identify("user_456", {"email": "ada@shop.example"})
        tracker.event("order_paid", {"order": order})

    when_paid("order_1")

    assert delivered(tracking)
    somebody = Somebody(frozenset({browser.browser_id}), ["page view", "identify", "order_paid"])
    assert known_users(collector) == {system: {"user_456": somebody} for system in EVERYWHERE}
    for system in (CUSTOMERIO, DATALYR):
        assert [one.user for one in told(collector)[system]] == [None, "user_456", "user_456"]


def test_identify_on_every_page_costs_one_send_a_day(
    make_site: MakeSite, tracking: Tracking, collector: CollectorServer, calendar: Calendar
) -> None:
    receipts: list[Receipt] = []
    site = make_site({"/page": lambda tracker: receipts.append(tracker.identify("user_456", {"plan": "pro"}))})
    browser = site.browser()
    first = calendar.today.date()
    for _ in range(10):
        browser.open("/page")
    calendar.pass_by(hours=23, minutes=59)
    browser.open("/page")
    calendar.pass_by(minutes=2)
    for _ in range(10):
        browser.open("/page")

    assert delivered(tracking)
    for system in EVERYWHERE:
        days = [(one.moment.date() - first).days for one in told(collector)[system]]
        assert days == [0, 1], "once when it was new, and once when it was a day old"
        assert tracking.stats().destinations[system].dropped == {"unchanged": 19}
    assert [number for number, one in enumerate(receipts) if Dropped("unchanged") not in one.outcomes.values()] == [
        0,
        11,
    ]


def test_another_browser_of_the_same_user_is_told_as_well(
    make_site: MakeSite, tracking: Tracking, collector: CollectorServer
) -> None:
    """Else nobody would know that it is theirs."""
    site = make_site({"/page": lambda tracker: tracker.identify("user_456")})
    phone, laptop = site.browser(), site.browser()
    for browser in (phone, laptop, phone, laptop):
        browser.open("/page")

    assert delivered(tracking)
    for system in EVERYWHERE:
        told_of = sorted(str(one.browser) for one in told(collector)[system])
        assert told_of == sorted([phone.browser_id, laptop.browser_id])


@pytest.mark.parametrize(
    ("make_user_id", "says"),
    [
        (lambda browser_id: browser_id, "found the browser ID"),
        (lambda _: "", "found none"),
        (lambda _: "   ", "found none"),
        (lambda _: None, "found none"),
        (lambda _: "x" * 256, "found 256 characters, expected at most 255"),
    ],
    ids=["the browser's", "empty", "blank", "none", "too long"],
)
def test_what_is_no_user_id_is_refused(
    make_site: MakeSite,
    tracking: Tracking,
    collector: CollectorServer,
    make_user_id: Callable[[str | None], object],
    says: str,
) -> None:
    refusals: list[str] = []

    def sign_up(tracker: Tracker) -> None:
        with pytest.raises(ValidationError, match=says) as caught:
            tracker.identify(make_user_id(tracker.browser_id))
        refusals.append(str(caught.value))

    browser = make_site({"/signup": sign_up, "/": lambda tracker: tracker.page_view()}).browser()
    browser.open("/signup")
    browser.open("/")

    assert delivered(tracking)
    assert len(refusals) == 1
    for system in EVERYWHERE:
        assert [(one.what, one.user) for one in told(collector)[system]] == [("page view", None)]
    assert "bid_key_uid" not in browser.cookies
