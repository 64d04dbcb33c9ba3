"""The visitors view with many people, long timelines and fast changes."""

from __future__ import annotations

import re
from typing import Any

import httpx
import pytest
from playwright.sync_api import Locator, expect

from passerby.collector import CollectorServer

from .collector_page import CollectorPage
from .conftest import OpenProfile

pytestmark = pytest.mark.browser

# Holds back what the collector says of people, and passes it on when requested, before anything else happens.
GATE = """
  const { fetch } = window;
  let held = null;
  window.gate = {
    close() { held = []; },
    open() { const all = held ?? []; held = null; for (const go of all) go(); },
    async holding(count) { while (held.length < count) await new Promise((go) => setTimeout(go, 10)); },
  };
  window.fetch = async (path, settings) => {
    const answer = await fetch(path, settings);
    if (held === null || !/^(people|person)\\//.test(path)) return answer;
    const said = await answer.json();
    await new Promise((go) => held.push(go));
    return { ok: answer.ok, status: answer.status, json: async () => said };
  };
"""


@pytest.fixture
def look(collector: CollectorServer, open_profile: OpenProfile) -> CollectorPage:
    return CollectorPage(open_profile(viewport={"width": 1280, "height": 800}).new_page(), collector.url)


def track(collector: CollectorServer, *calls: dict[str, Any]) -> None:
    for begin in range(0, len(calls), 1_000):
        body = {"batch": calls[begin : begin + 1_000]}
        assert httpx.post(f"{collector.url}/v1/batch", json=body, auth=("key", "")).status_code == 200


def page_view(visitor: str, **fields: Any) -> dict[str, Any]:
    return {"type": "page", "anonymousId": visitor, "name": "Home", **fields}


def identity(visitor: str, user: str = "ada", **traits: Any) -> dict[str, Any]:
    return {"type": "identify", "anonymousId": visitor, "userId": user, "traits": traits}


def entries(look: CollectorPage, having: str = "") -> Locator:
    return look.page.locator(f"#timeline [data-entry]{having}")


def test_who_is_not_among_the_latest_is_found(look: CollectorPage, collector: CollectorServer) -> None:
    """By an address, and by what is written into the field."""
    track(collector, identity("first", name="Ada Byron"), *(page_view(f"visitor-{each}") for each in range(300)))
    look.open("visitors/customerio/browser/visitor-0")
    expect(look.page.locator("#person-head .chip")).to_contain_text("visitor-0")
    expect(entries(look)).to_have_count(1)
    expect(look.page.locator("#people")).to_contain_text("100 of 300")

    look.page.locator("#people-text").fill("visitor-17")
    expect(look.page.locator("#people [data-person]")).to_have_count(11)  # with those from 170 to 179
    look.page.locator("#people-text").fill("byron ada")
    expect(look.page.locator("#people [data-person]")).to_have_count(1)
    look.page.locator("#people-text").fill("nobody")
    expect(look.page.locator("#people-empty")).to_be_visible()
    expect(look.page.locator("#person-head .chip")).to_contain_text("visitor-0")


def test_a_long_timeline_is_shown_on_request(look: CollectorPage, collector: CollectorServer) -> None:
    track(collector, *(page_view("a", name=f"Page {each}") for each in range(700)))
    look.open("visitors/customerio/browser/a")
    expect(entries(look)).to_have_count(120)
    look.page.get_by_role("button", name="Show 580 earlier events").click()

    expect(entries(look)).to_have_count(700)
    expect(entries(look).first).to_contain_text("Page 0")
    expect(entries(look).first.locator(".entry-open")).to_be_focused()
    expect(look.page.locator("#timeline .earlier")).to_have_count(0)


def test_what_began_before_the_part_that_is_shown_does_not_begin_with_it(
    look: CollectorPage, collector: CollectorServer
) -> None:
    """Repeated identities on each page add no further milestones."""
    track(collector, page_view("laptop"), identity("laptop"), page_view("phone"), identity("phone"))
    track(collector, *(identity(("laptop", "phone")[each % 2]) for each in range(600)))
    look.open("visitors/customerio/user/ada")
    expect(entries(look)).to_have_count(120)
    expect(entries(look, "[data-milestone]")).to_have_count(0)

    look.page.get_by_role("button", name="Show 484 earlier events").click()
    expect(entries(look)).to_have_count(604)
    expect(entries(look, "[data-milestone=known]")).to_have_count(1)
    expect(entries(look, "[data-milestone=joined]")).to_have_count(1)
    expect(entries(look).nth(1)).to_have_attribute("data-milestone", "known")


def test_a_system_of_which_nothing_came_lately_can_be_chosen(look: CollectorPage, collector: CollectorServer) -> None:
    body = {"workspaceId": "w", "events": [{"event_name": "x", "anonymous_id": "a", "timestamp": "2026-01-01"}]}
    assert httpx.post(f"{collector.url}/events", json=body).status_code == 200
    with httpx.Client(base_url=collector.url, auth=("key", "")) as client:
        for _ in range(1_000):  # with as many requests a page begins
            client.post("/v1/page", json={"anonymousId": "a"})
    look.open()
    look.expect_count(1_000)

    look.show("visitors")
    look.page.locator("#people-systems").get_by_text("Datalyr").click()
    expect(look.page.locator("#people [data-person]")).to_have_count(1)


def begin_with_answer_held(look: CollectorPage, collector: CollectorServer, place: str) -> None:
    """Show a person, and hold back responses with further events."""
    track(collector, identity("a"))
    look.page.add_init_script(GATE)
    look.open(place)
    expect(entries(look)).to_have_count(1)
    look.evaluate("gate.close()")
    track(collector, page_view("a"))
    look.evaluate("gate.holding(2)")


def test_who_is_on_the_way_elsewhere_is_not_brought_back(look: CollectorPage, collector: CollectorServer) -> None:
    """The address says where one wants to be; an answer about people that comes in this very moment leaves it."""
    begin_with_answer_held(look, collector, "visitors/customerio/user/ada")
    look.evaluate("() => { location.hash = '#health'; gate.open(); }")

    expect(look.page.locator("#view-health")).to_be_visible()
    expect(look.page).to_have_url(re.compile("#health$"))


def test_a_late_response_does_not_show_deleted_people(look: CollectorPage, collector: CollectorServer) -> None:
    begin_with_answer_held(look, collector, "visitors/customerio")
    emptied = "new MutationObserver(gate.open).observe(document.getElementById('timeline'), { childList: true })"
    look.evaluate(emptied)
    collector.clear()

    expect(entries(look)).to_have_count(0)
    expect(look.page.locator("#people-empty")).to_be_visible()
    expect(look.page.locator("#person-empty-title")).to_have_text("No visitors yet")
    expect(look.page).to_have_url(re.compile("#visitors$"))
