"""Whatever stands in an event, the page shows it as text and does nothing that it says."""

from __future__ import annotations

import json
from collections.abc import Iterator
from urllib.parse import urlsplit

import httpx
import pytest
from playwright.sync_api import Page, expect

from passerby.collector import CollectorServer

from .collector_page import CollectorPage
from .conftest import OpenProfile
from .payload import Payload, calls_full_of, read_payloads

pytestmark = pytest.mark.browser

PAYLOADS = read_payloads()
# What a payload would leave behind: the page has none of its own but the one that starts it.
FOREIGN = """() => {
  const found = [...document.querySelectorAll('script, img, iframe, object, embed, base, meta[http-equiv], style, '
    + 'animate, set, foreignObject, mglyph, [onerror], [onload], [onfocus], [ontoggle], [href^="javascript:"], '
    + '[href^="data:"]')].filter((one) => !one.matches('script[src="main.js"]')).map((one) => one.outerHTML.slice(0, 300));
  if (window.struck !== undefined || Object.prototype.struck !== undefined) found.push('a payload was run');
  return found;
}"""
# Opens each request in turn, as a click on its line does, and waits until it is shown.
OPEN_ALL = """async () => {
  const frame = () => new Promise(requestAnimationFrame);
  const shown = [];
  for (const row of [...document.querySelectorAll('#stream-rows > li')]) {
    const before = document.querySelector('#details-body').firstElementChild;
    row.querySelector('.says').click();
    const ends = performance.now() + 5000;
    while (performance.now() < ends) {
      await frame();
      const now = document.querySelector('#details-body').firstElementChild;
      if (document.querySelector('#details').open && now !== null && now !== before) break;
    }
    shown.push(document.querySelector('#details-body').textContent.length);
    document.querySelector('#details-close').click();
    await frame();
  }
  return shown;
}"""


@pytest.fixture
def collector() -> Iterator[CollectorServer]:
    """A collector that was sent all payloads."""
    with CollectorServer(accept_any_browser_id=True) as collector, httpx.Client(base_url=collector.url) as client:
        for payload in PAYLOADS:
            for call in calls_full_of(payload.text):
                client.request(call.method, call.path, content=call.body, headers=call.headers)
        yield collector


def expect_harmless(page: Page) -> None:
    assert page.evaluate(FOREIGN) == []


def test_the_corpus_is_what_it_says() -> None:
    assert len(PAYLOADS) >= 40
    assert len({payload.name for payload in PAYLOADS}) == len({payload.text for payload in PAYLOADS}) == len(PAYLOADS)
