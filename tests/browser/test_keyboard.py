"""The page can be used without a mouse: all is reached, it is always seen where one is, and the way back is kept."""

from __future__ import annotations

import re
from collections.abc import Iterator

import httpx
import pytest
from playwright.sync_api import Page, expect

from passerby.collector import CollectorServer

from .collector_page import CollectorPage
from .conftest import OpenProfile

pytestmark = pytest.mark.browser

STEPS = 60  # more than there are places to stop at
FOCUS = """() => {
  const one = document.activeElement;
  const isRinged = (style) => style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2;
  // A line is ringed as a whole, and a button of a choice by what stands beside it.
  const places = [getComputedStyle(one), getComputedStyle(one, '::after')];
  if (one.matches('[type=radio]')) places.push(getComputedStyle(one.nextElementSibling));
  const isSeen = one === document.body || places.some(isRinged);
  return { id: one.id, says: one.textContent.trim().slice(0, 60), isSeen };
}"""


@pytest.fixture
def collector() -> Iterator[CollectorServer]:
    """A collector with events of an identified person."""
    calls = [
        {"type": "page", "anonymousId": "a1", "name": "Home"},
        {"type": "track", "anonymousId": "a1", "event": "Looked at a kettle"},
        {
            "type": "identify",
            "anonymousId": "a1",
            "userId": "u1",
            "traits": {"name": "Ada", "email": "ada@shop.example"},
        },
        {"type": "page", "anonymousId": "a2", "name": "Elsewhere"},
    ]
    with CollectorServer() as collector:
        httpx.post(f"{collector.url}/v1/batch", json={"batch": calls}, auth=("key", ""))
        yield collector


@pytest.fixture
def look(collector: CollectorServer, open_profile: OpenProfile) -> CollectorPage:
    look = CollectorPage(open_profile().new_page(), collector.url)
    look.open()
    look.expect_count(4)
    return look


def step_to(page: Page, selector: str, key: str = "Tab") -> None:
    """Go on until the focus is there; it is seen at each place on the way."""
    for _ in range(STEPS):
        page.keyboard.press(key)
        focus = page.evaluate(FOCUS)
        assert focus["isSeen"], focus
        if page.evaluate("(selector) => document.activeElement.matches(selector)", selector):
            return
    raise AssertionError(f"{selector} cannot be reached with {key}; the last was {page.evaluate(FOCUS)}")


def test_views(look: CollectorPage) -> None:
    page = look.page
    step_to(page, "#tab-stream")
    for key, view in (
        ("ArrowRight", "visitors"),
        ("ArrowRight", "health"),
        ("ArrowRight", "stream"),
        ("End", "health"),
    ):
        page.keyboard.press(key)
        expect(page.locator(f"#view-{view}")).to_be_visible()
        expect(page.locator(f"#tab-{view}")).to_be_focused()
        assert page.evaluate(FOCUS)["isSeen"]


def test_stream(look: CollectorPage) -> None:
    """Filter, go down the lines, look at a request, and be back where one was."""
    page = look.page
    step_to(page, "#filter-text")
    page.keyboard.type("kettle")
    expect(look.rows).to_have_count(1)
    page.keyboard.press("ControlOrMeta+A")
    page.keyboard.press("Delete")
    expect(look.rows).to_have_count(4)
    step_to(page, "#filter-system")
    page.keyboard.type("Data")
    expect(look.rows).to_have_count(0)
    step_to(page, "#filter-reset")
    page.keyboard.press("Enter")
    expect(look.rows).to_have_count(4)
    expect(page.locator("#filter-text")).to_be_focused()

    step_to(page, "#stream-rows .row-summary")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    third = look.rows.nth(2).locator(".row-summary")
    expect(third).to_be_focused()
    page.keyboard.press("Enter")
    expect(look.details.locator(".verdict")).to_be_visible()
    assert page.evaluate("document.querySelector('#details').contains(document.activeElement)")
    page.keyboard.press("Escape")
    expect(look.details).not_to_be_visible()
    expect(third).to_be_focused()

    step_to(page, "#pause", "Shift+Tab")
    page.keyboard.press("Space")
    expect(page.locator("#pause")).to_have_text(re.compile("Resume"))


def test_visitors(look: CollectorPage) -> None:
    page = look.page
    step_to(page, "#tab-stream")
    page.keyboard.press("ArrowRight")
    step_to(page, "#people [data-person]")
    page.keyboard.press("ArrowDown")
    expect(page.locator("#people [data-person='browser:a2']")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#timeline [data-entry]")).to_have_count(1)
    step_to(page, "#people [data-person='user:u1']", "ArrowUp")
    page.keyboard.press("Enter")
    expect(page.locator("#timeline [data-entry]")).to_have_count(3)

    step_to(page, "#timeline .entry-open")
    page.keyboard.press("ArrowUp")
    focused = page.evaluate(FOCUS)["says"]
    page.keyboard.press("Enter")
    expect(look.details.locator(".verdict")).to_be_visible()
    page.keyboard.press("Escape")
    assert page.evaluate(FOCUS)["says"] == focused


def test_faults(look: CollectorPage) -> None:
    page = look.page
    step_to(page, "#faults")
    page.keyboard.press("Enter")
    expect(page.locator("#faults-panel")).to_be_visible()
    step_to(page, "input[name=fault-kind]")
    page.keyboard.press("ArrowDown")
    expect(page.locator("input[name=fault-kind][value='429']")).to_be_checked()
    step_to(page, "#fault-start")
    page.keyboard.press("Enter")
    expect(page.locator("#faults-active-text")).to_contain_text("429")
    expect(page.locator("#faults")).to_be_focused()

    step_to(page, "#faults-clear")
    page.keyboard.press("Enter")
    expect(page.locator("#faults-active")).not_to_be_visible()
    assert page.evaluate("document.activeElement !== document.body")


def test_clear(look: CollectorPage) -> None:
    page = look.page
    step_to(page, "#clear")
    page.keyboard.press("Enter")
    expect(page.locator("#clear-cancel")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.locator("#clear")).to_be_focused()
    expect(look.rows).to_have_count(4)

    page.keyboard.press("Enter")
    step_to(page, "#clear-confirm")
    page.keyboard.press("Enter")
    expect(page.locator("#stream-empty")).to_be_visible()
    expect(page.locator("#clear")).to_be_focused()
