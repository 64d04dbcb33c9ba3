"""Nothing has to be scrolled sideways, on a phone or a desk, in light or dark."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from passerby.collector import CollectorServer

from .collector_page import VIEWS, CollectorPage
from .conftest import OpenProfile
from .payload import calls_full_of

pytestmark = pytest.mark.browser

SIZES = {"phone": {"width": 390, "height": 844}, "desk": {"width": 1280, "height": 800}}
LONG = ("W" * 400, "a/" * 300, "Ein Wort, noch eins, " * 40, "短い", "Süß & teuer")
# What sticks out of the window and cannot be reached but by scrolling all of it.
WIDER = """() => {
  const width = document.documentElement.clientWidth;
  return [...document.querySelectorAll('body *')]
    .filter((one) => one.checkVisibility() && one.getBoundingClientRect().right > width + 1)
    .filter((one) => { for (let up = one.parentElement; up; up = up.parentElement)
      if (getComputedStyle(up).overflowX !== 'visible') return false; return true; })
    .map((one) => `${one.tagName.toLowerCase()}#${one.id}.${one.getAttribute('class')}`);
}"""


@pytest.fixture(scope="module")
def collector() -> Iterator[CollectorServer]:
    """A collector that was sent long texts."""
    with CollectorServer(accept_any_browser_id=True) as collector, httpx.Client(base_url=collector.url) as client:
        for text in LONG:
            for call in calls_full_of(text):
                client.request(call.method, call.path, content=call.body, headers=call.headers)
        yield collector


def expect_it_fits(look: CollectorPage) -> None:
    size = "[document.scrollingElement.scrollWidth, document.documentElement.clientWidth]"
    needed, there = look.evaluate(size)
    assert needed <= there, look.evaluate(WIDER)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
def test_no_view_is_wider_than_the_window(
    collector: CollectorServer, open_profile: OpenProfile, size: str, scheme: str
) -> None:
    profile = open_profile(viewport=SIZES[size], color_scheme=scheme)
    look = CollectorPage(profile.new_page(), collector.url)
    look.open()
    for view in VIEWS:
        look.show(view)
        expect_it_fits(look)

    look.show("stream")
    look.rows.first.locator(".row-summary").click()
    expect_it_fits(look)
