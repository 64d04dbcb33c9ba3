"""The demo as a user sees it: a shop, a person with two devices, and their identification."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from playwright.sync_api import Page, expect

from tests.running import Running, running

EMAIL = "ada@milestone.example"


@dataclass(frozen=True, slots=True)
class Demo:
    """The running demo.

    Attributes:
        command: its process.
        laptop: the shop's origin on the first device.
        phone: on the second.
        collector: where its events arrive.
    """

    command: Running
    laptop: str
    phone: str
    collector: str


@contextmanager
def playing_demo() -> Iterator[Demo]:
    """Start the demo on free ports; it is ended in the end."""
    with running("demo", "--port", "0", "--collector-port", "0") as command:
        laptop = command.wait_for(r"(http://\S+)/side-by-side")[1]
        phone = command.wait_for(r"on a phone +(http://\S+)/")[1]
        yield Demo(command, laptop, phone, command.wait_for(r"(http://\S+)/_collector/")[1])


def browser_id_on(page: Page) -> str:
    """What the shop says that passerby knows."""
    return page.locator("[data-browser-id]").inner_text()


def pass_by(page: Page, shop: str) -> None:
    """Come for the first time, after three earlier days, look at something and put it into the cart."""
    page.goto(shop)
    page.locator("#history").click()
    page.locator("[data-product=wool-blanket]").first.click()
    page.locator("#add-to-cart").click()
    expect(page.locator("[data-line=wool-blanket]")).to_be_visible()


def log_in(page: Page) -> None:
    """Say who it is."""
    page.locator("#login-link").click()
    page.locator("[data-persona=ada]").click()
    expect(page.locator("#logout")).to_be_visible()


def look_on_phone(page: Page, shop: str) -> None:
    """Look around on the other device, still anonymous."""
    page.goto(shop)
    page.locator("[data-product=enamel-mug]").first.click()
    expect(page.locator("#login-link")).to_be_visible()


def order(page: Page) -> None:
    """Buy what is in the cart."""
    page.locator("#cart-link").click()
    page.locator("#order").click()
    expect(page.locator("#order-number")).to_be_visible()
