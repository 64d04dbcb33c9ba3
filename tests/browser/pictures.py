"""`make pictures`: play the demo and take the pictures that README and docs/ show, of the real page.

The same story is played each time; what differs from run to run is the time of day, and the colours of browser IDs,
which are made up anew.
"""

from __future__ import annotations

import sys
import time
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
CALM = 15.0  # seconds before and after
PATIENCE = 120.0  # seconds


def main(folder: Path = FOLDER) -> None:
    """Take all pictures."""
    folder.mkdir(parents=True, exist_ok=True)
    with launched() as browser, playing_demo() as demo:
        play(browser, demo)
        for show in (show_stream, show_visitors, show_health, show_shop, show_side_by_side):  # those that look on first
            for width in SIZES:
                for scheme in SCHEMES:
                    page = open_page(browser, width, color_scheme=scheme)
                    show(page, demo)
                    page.wait_for_timeout(1500)  # a pulse or two of the collector's
                    path = folder / f"{show.__name__.removeprefix('show_').replace('_', '-')}-{width}-{scheme}.png"
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


def play(browser: Browser, demo: Demo) -> None:
    """One visitor uses two devices, another stays anonymous, and two systems fail for a while."""
    laptop, phone, other = open_page(browser, 1280), open_page(browser, 390), open_page(browser, 1280)
    browse(other, demo.laptop, CALM)
    pass_by(laptop, demo.laptop)
    log_in(laptop)
    look_on_phone(phone, demo.phone)
    log_in(phone)
    wait_for_delivery(demo)
    with httpx.Client(base_url=demo.collector) as client:
        client.post("/_collector/faults", json={"route": "events", "status": 503})
        client.post("/_collector/faults", json={"route": "datalyr", "status": 429, "headers": {"Retry-After": "2"}})
        browse(other, demo.laptop, STORM)
        client.delete("/_collector/faults")
    browse(other, demo.laptop, CALM)
    wait_for_delivery(demo)
    order(phone)
    tell_badly(demo)
    wait_for_delivery(demo)


def wait_for_delivery(demo: Demo) -> None:
    """Wait until nothing is in the outbox any more; after trouble it empties slowly."""
    ends = time.monotonic() + PATIENCE
    while any(pending_in(demo).values()):
        if time.monotonic() > ends:
            raise TimeoutError(f"after {PATIENCE} s still not delivered: {pending_in(demo)}")
        time.sleep(0.5)


def pending_in(demo: Demo) -> dict[str, int]:
    """How much waits for each system."""
    outbox = httpx.get(f"{demo.collector}/_collector/health").json()["outbox"]
    return {name: account["pending"] for name, account in outbox["destinations"].items()}


def browse(page: Page, shop: str, seconds: float) -> None:
    """Look at one product after the other."""
    products = ("day-pack", "paper-map", "enamel-mug", "storm-lantern", "trail-kettle", "wool-blanket")
    for turn in range(int(seconds / 1.5)):
        page.goto(f"{shop}/products/{products[turn % len(products)]}")
        page.wait_for_timeout(1500)


def tell_badly(demo: Demo) -> None:
    """Make the mistakes that the real services would refuse."""
    unknown = {
        "type": "VIEW",
        "browser_id": "7ed103bd-08c2-47f4-8f69-91141ca3200d",
        "client_key": "demo",
        "page": "Home",
    }
    nameless = {"batch": [{"type": "track", "anonymousId": "a1"}]}
    with httpx.Client(base_url=demo.collector) as client:
        client.post("/v1.2/events", json=unknown)
        client.post("/v1/batch", json=nameless, auth=("key", ""))


def show_stream(page: Page, demo: Demo) -> None:
    look = CollectorPage(page, demo.collector)
    look.open()
    expect(look.rows.first).to_be_visible()


def show_visitors(page: Page, demo: Demo) -> None:
    CollectorPage(page, demo.collector).open("visitors/datalyr")
    known = page.locator("#people [data-person^='user:']")
    expect(known).to_be_attached()
    if page.locator("#people").is_visible() and not page.locator("#timeline").is_visible():
        known.click()  # on a phone the list stands alone at first
        page.mouse.move(0, 0)
    milestone = page.locator("#timeline [data-milestone=known]")
    milestone.evaluate("(it) => it.scrollIntoView({ block: 'center' })")


def show_health(page: Page, demo: Demo) -> None:
    CollectorPage(page, demo.collector).open("health")
    expect(page.locator("#outbox [data-destination]").first).to_be_visible()


def show_shop(page: Page, demo: Demo) -> None:
    page.goto(demo.laptop)


def show_side_by_side(page: Page, demo: Demo) -> None:
    page.goto(f"{demo.laptop}/side-by-side")
    expect(page.frame_locator("#collector-frame").locator("#connection")).to_have_attribute("data-state", "live")
    expect(page.frame_locator("#shop-frame").locator("#products")).to_be_attached()


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
