"""What the page says of events that came through Sitecore's edge."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from playwright.sync_api import expect

from passerby.collector import CollectorServer
from passerby.collector.stream_api import guest_id_of

from .collector_page import CollectorPage
from .conftest import OpenProfile

pytestmark = pytest.mark.browser

HEADER = {"x-sitecore-contextid": "ctx5Demo0001"}
BOT_ID = "5a1f0e5c-3b1d-8a4c-77aa-0b3f6d1e2c94"


@pytest.fixture
def look(collector: CollectorServer, open_profile: OpenProfile) -> CollectorPage:
    return CollectorPage(open_profile(viewport={"width": 1280, "height": 800}).new_page(), collector.url)


@pytest.fixture
def browser_id(collector: CollectorServer) -> str:
    answer = httpx.get(f"{collector.url}/v1/events/v1.2/browser/create.json?client_key=", headers=HEADER)
    return str(answer.json()["ref"])


def view(collector: CollectorServer, browser_id: str, **fields: Any) -> None:
    event = {"type": "VIEW", "browser_id": browser_id, "client_key": "", "pos": "", "channel": "WEB", "page": "Home"}
    url = f"{collector.url}/v1/events/v1.2/events?siteId=shop%20one"
    assert httpx.post(url, json=event | fields, headers=HEADER).status_code == 201


def test_browser_guest_and_site_are_shown(look: CollectorPage, collector: CollectorServer, browser_id: str) -> None:
    view(collector, browser_id)
    look.open("stream")
    row = look.page.locator("#stream-rows > li", has_text="VIEW")
    expect(row.locator(".chip")).to_contain_text(browser_id[:8])
    expect(row.locator(".tag")).to_have_count(0)

    row.locator(".row-summary").click()
    facts = look.page.locator("#details-body .facts").first
    expect(facts).to_contain_text(guest_id_of(browser_id))
    expect(facts).to_contain_text("shop one")

    look.open(f"visitors/sitecore/browser/{browser_id}")
    expect(look.page.locator("#person-name")).to_have_text("Anonymous")
    expect(look.page.locator("#person-facts")).to_contain_text(guest_id_of(browser_id))
    expect(look.page.locator("#person-facts")).to_contain_text("shop one")


@pytest.mark.parametrize("text", ["shop one", "guest"])
def test_the_stream_is_filtered_by_site_and_guest(
    look: CollectorPage, collector: CollectorServer, browser_id: str, text: str
) -> None:
    view(collector, browser_id)
    view(collector, BOT_ID, channel="bot")
    look.open("stream")
    expect(look.page.locator("#stream-rows > li", has_text="VIEW")).to_have_count(2)

    look.page.locator("#filter-text").fill(f"{text.replace('guest', guest_id_of(browser_id))} VIEW")
    expect(look.page.locator("#stream-rows > li")).to_have_count(1 if text == "guest" else 2)


def test_a_bot_is_recognisable(look: CollectorPage, collector: CollectorServer, browser_id: str) -> None:
    view(collector, browser_id)
    view(collector, BOT_ID, channel="bot")
    look.open("stream")
    bots = look.page.locator("#stream-rows > li", has=look.page.locator(".tag", has_text="bot"))
    expect(bots).to_have_count(1)
    expect(bots.locator(".chip")).to_contain_text(BOT_ID[:8])
    look.page.locator("#filter-text").fill("bot")
    expect(look.page.locator("#stream-rows > li")).to_have_count(1)

    look.open(f"visitors/sitecore/browser/{BOT_ID}")
    expect(look.page.locator("#person-name")).to_have_text("Bot")
    expect(look.page.locator("#timeline [data-entry] .tag")).to_have_text("bot")
    expect(look.page.locator("#people [aria-current]")).to_contain_text("bot, 1 event")
