"""The demo, from the first visit to a purchase on two devices, watched on the collector's page."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator

import pytest
from playwright.sync_api import Locator, Page, expect

from .collector_page import CollectorPage
from .conftest import OpenProfile
from .story import EMAIL, Demo, browser_id_on, log_in, look_on_phone, order, pass_by, playing_demo

pytestmark = pytest.mark.browser

DESK = {"width": 1280, "height": 800}
PHONE = {"width": 390, "height": 844}
EVENTS_SENT = 15  # events until the log-in, with those of the earlier days
SYSTEMS = ("sitecore", "customerio", "datalyr")


@pytest.fixture
def demo() -> Iterator[Demo]:
    with playing_demo() as demo:
        yield demo


@pytest.fixture
def laptop(open_profile: OpenProfile) -> Page:
    return open_profile(viewport=DESK).new_page()


@pytest.fixture
def phone(open_profile: OpenProfile) -> Page:
    return open_profile(viewport=PHONE, has_touch=True).new_page()


@pytest.fixture
def look(demo: Demo, open_profile: OpenProfile) -> CollectorPage:
    look = CollectorPage(open_profile(viewport=DESK).new_page(), demo.collector)
    look.open("visitors/datalyr")
    return look


def entries(look: CollectorPage, having: str = "") -> Locator:
    return look.page.locator(f"#timeline [data-entry]{having}")


def test_one_person_on_two_devices(demo: Demo, look: CollectorPage, laptop: Page, phone: Page) -> None:
    """Anonymous events belong to an anonymous visitor until the log-in; then they belong to the user.

    The result is the same in all systems.
    """
    pass_by(laptop, demo.laptop)
    on_laptop = browser_id_on(laptop)
    stranger = look.page.locator(f"#people [data-person='browser:{on_laptop}']")
    expect(stranger).to_be_visible()
    stranger.click()
    expect(entries(look, ".is-anonymous").nth(9)).to_be_visible()  # seven of earlier days, and those of today
    expect(look.page.locator("#timeline .day")).to_have_count(4)
    expect(entries(look, "[data-identity]")).to_have_count(0)
    before = entries(look).count()

    log_in(laptop)
    known = look.page.locator("#people [data-person^='user:']")
    expect(known).to_have_count(1)
    expect(look.page.locator("#people [data-person^='browser:']")).to_have_count(0)
    expect(look.page.locator("#person")).to_contain_text(EMAIL)  # who was chosen as a stranger is followed
    expect(entries(look, "[data-identity][data-milestone=known]")).to_have_count(1)
    assert entries(look, "[data-reattributed]").count() >= before

    look_on_phone(phone, demo.phone)
    on_phone = browser_id_on(phone)
    assert on_phone != on_laptop
    expect(look.page.locator(f"#people [data-person='browser:{on_phone}']")).to_be_visible()

    log_in(phone)
    order(phone)
    expect(look.page.locator("#people [data-person^='browser:']")).to_have_count(0)
    expect(known).to_have_count(1)
    expect(entries(look, "[data-identity]")).to_have_count(2)
    expect(entries(look, "[data-milestone=joined]")).to_have_count(1)
    expect(entries(look).get_by_text("CONFIRM")).to_have_count(1)
    expect(look.page.locator("#person-head .chip")).to_have_count(2)
    assert entries(look, f"[data-reattributed]:has([title^='{on_phone}'])").count() >= 2

    for system in SYSTEMS:
        look.open(f"visitors/{system}")
        expect(look.page.locator("#people [data-person]")).to_have_count(1)
        expect(look.page.locator("#person")).to_contain_text(EMAIL)
        expect(entries(look, "[data-identity]")).to_have_count(2)
        expect(entries(look, "[data-milestone]")).to_have_count(2)
        expect(look.page.locator("#person-head .chip")).to_have_count(2)


def test_health_and_ledger_agree(demo: Demo, look: CollectorPage, laptop: Page) -> None:
    """The page's account book and the one that the demo prints at its end are one."""
    pass_by(laptop, demo.laptop)
    log_in(laptop)
    look.open("health")
    account = look.page.locator("#outbox [data-destination=datalyr]")
    for term, count in (
        ("recorded", EVENTS_SENT),
        ("delivered", EVENTS_SENT),
        ("pending", 0),
        ("dead", 0),
        ("dropped", 0),
    ):
        expect(account.locator(f".term[data-term={term}]")).to_have_text(re.compile(rf"^\s*{count}\b"))

    assert demo.command.end(signal.SIGINT) == 0
    expect(look.page.locator("#connection")).to_have_attribute("data-state", "lost")
    expect(look.page.locator("#lost")).to_be_visible()
    ledger = f"  datalyr     recorded {EVENTS_SENT} = delivered {EVENTS_SENT} + pending 0 + dead 0 + dropped 0"
    assert ledger in demo.command.lines
    assert demo.command.complaints == []


def test_side_by_side(demo: Demo, laptop: Page) -> None:
    """The shop and the collector's page in one window: what is clicked on the left arrives on the right."""
    laptop.goto(f"{demo.laptop}/side-by-side")
    shop, collector = laptop.frame_locator("#shop-frame"), laptop.frame_locator("#collector-frame")
    expect(collector.locator("#connection")).to_have_attribute("data-state", "live")
    shop.locator("[data-product=paper-map]").first.click()
    shop.locator("#add-to-cart").click()
    expect(collector.locator("#stream-rows").get_by_text("Paper map").first).to_be_visible()

    with laptop.context.expect_page() as opening:
        shop.locator("#second-device").click()
    phone = opening.value
    expect(phone.locator("#device")).to_have_attribute("data-device", "phone")
    phone.locator("[data-product=enamel-mug]").first.click()
    expect(collector.locator("#stream-rows").get_by_text("Enamel mug").first).to_be_visible()
