"""`make pictures`: play the demo and take the pictures that the README shows, of the real page.

The same story is played each time; what differs from run to run is the time of day, and the colours of browser IDs,
which are made up anew.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
from playwright.sync_api import Browser, Page, expect

from .chromium import launched, user_agent_of
from .collector_page import CollectorPage
from .story import Demo, log_in, look_on_phone, order, pass_by, playing_demo

FOLDER = Path(__file__).parents[2] / "docs" / "pictures"
SIZES = {1280: 800, 390: 844}
SCHEMES = ("light", "dark")
STORM = 12.0  # seconds in which two systems are out of order, so that retries and the way back are seen
CALM = 25.0  # seconds after it


def main(folder: Path = FOLDER) -> None:
    """Take all pictures."""
    folder.mkdir(parents=True, exist_ok=True)
    with launched() as browser, playing_demo() as demo:
        laptop, phone = open_page(browser, 1280), open_page(browser, 390)
        play(demo, laptop, phone)
        for width in SIZES:
            for scheme in SCHEMES:
                for name, page in taken(browser, demo, width, scheme):
                    path = folder / f"{name}-{width}-{scheme}.png"
                    page.screenshot(path=path, animations="disabled", caret="hide")
                    print(f"{path.name}: {path.stat().st_size / 1000:.0f} KB")
                    page.context.close()


def open_page(browser: Browser, width: int, **options: Any) -> Page:
    """Open a page in a profile of its own."""
    return browser.new_context(
        user_agent=user_agent_of(browser),
        viewport={"width": width, "height": SIZES[width]},
        reduced_motion="reduce",
        locale="en-GB",
        **options,
    ).new_page()


def play(demo: Demo, laptop: Page, phone: Page) -> None:
    """Somebody comes by on two devices, somebody else stays unknown, and two systems are out of order for a while."""
    other = open_page(laptop.context.browser or _no_browser(), 1280)
    other.goto(f"{demo.laptop}/products/storm-lantern")
    pass_by(laptop, demo.laptop)
    tell_badly(demo)
    log_in(laptop)
    look_on_phone(phone, demo.phone)
    with httpx.Client(base_url=demo.collector) as client:
        client.post("/_collector/misbehave", json={"route": "events", "status": 503})
        client.post("/_collector/misbehave", json={"route": "datalyr", "status": 429, "headers": {"Retry-After": "2"}})
        log_in(phone)
        browse(other, demo.laptop, STORM)
        client.delete("/_collector/misbehave")
    browse(other, demo.laptop, CALM)
    order(phone)
    other.goto(f"{demo.laptop}/products/day-pack")


def browse(page: Page, shop: str, seconds: float) -> None:
    """Look at one product after the other."""
    products = ("day-pack", "paper-map", "enamel-mug", "storm-lantern", "trail-kettle", "wool-blanket")
    for turn in range(int(seconds / 1.5)):
        page.goto(f"{shop}/products/{products[turn % len(products)]}")
        page.wait_for_timeout(1500)


def tell_badly(demo: Demo) -> None:
    """Make the mistakes that the real services would refuse."""
    unknown = {"type": "VIEW", "browser_id": "7ed103bd-08c2-47f4-8f69-91141ca3200d", "client_key": "demo", "page": "Home"}
    nameless = {"batch": [{"type": "track", "anonymousId": "a1"}]}
    with httpx.Client(base_url=demo.collector) as client:
        client.post("/v1.2/events", json=unknown)
        client.post("/v1/batch", json=nameless, auth=("key", ""))


def taken(browser: Browser, demo: Demo, width: int, scheme: str) -> Iterator[tuple[str, Page]]:
    """Each picture's name, and the page that it shows."""

    def open_one() -> Page:
        return open_page(browser, width, color_scheme=scheme)

    for view in ("stream", "visitors", "health"):
        look = CollectorPage(open_one(), demo.collector)
        look.open("visitors/datalyr" if view == "visitors" else view)
        settle(look, view, width)
        yield view, look.page
    shop = open_one()
    shop.goto(demo.laptop)
    yield "shop", shop
    both = open_one()
    both.goto(f"{demo.laptop}/side-by-side")
    expect(both.frame_locator("#collector-frame").locator("#connection")).to_have_attribute("data-state", "live")
    expect(both.frame_locator("#shop-frame").locator("#products")).to_be_attached()
    both.wait_for_timeout(1500)
    yield "side-by-side", both


def settle(look: CollectorPage, view: str, width: int) -> None:
    """Wait until what is to be seen is there."""
    page = look.page
    if view == "visitors":
        ada = page.locator("#people [data-person^='user:']")
        if width < 900:  # there the list stands alone at first
            ada.click()
        expect(page.locator("#timeline [data-entry]").last).to_be_attached()
        milestone = page.locator("#timeline [data-milestone=known]")
        milestone.evaluate("(it) => it.scrollIntoView({ block: 'center' })")
    elif view == "stream":
        expect(look.rows.first).to_be_visible()
    else:
        expect(page.locator("#outbox [data-destination]").first).to_be_visible()
    page.wait_for_timeout(1500)  # a pulse or two


def _no_browser() -> Browser:
    raise RuntimeError("a page without a browser")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
