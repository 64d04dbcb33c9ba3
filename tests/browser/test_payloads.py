"""Whatever stands in an event, the page shows it as text and does nothing that it says."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import quote, urlsplit

import httpx
import pytest
from playwright.sync_api import Page

from passerby.collector import CollectorServer

from .collector_page import CollectorPage
from .conftest import OpenProfile
from .payload import calls_full_of, read_payloads

pytestmark = pytest.mark.browser

PAYLOADS = read_payloads()
# All that the page may ever ask for.
OWN_PATH = re.compile(
    r"/_collector/(|[a-z]+\.(js|css|svg)|stream|health|export|requests/\d+|people/(sitecore|customerio|datalyr))"
)
# What a payload would leave behind that was taken for more than text.
TRACES = """() => {
  const tags = 'script img iframe frame object embed base meta style audio video animate set foreignObject mglyph math b'
    .split(' ').map((tag) => `body ${tag}`);
  const found = [...document.querySelectorAll([...tags, 'a[href]', '[src]', '[style*="url"]', '[autofocus]'].join())]
    .filter((one) => !one.matches('#misbehave-panel b, .verdict b, .line b, #clear-cancel'))
    .filter((one) => one.tagName !== 'A' || !/^(#|export$)/.test(one.getAttribute('href')));
  for (const one of document.querySelectorAll('*')) {
    if ([...one.attributes].some(({ name }) => name.startsWith('on'))) found.push(one);
  }
  if (window.struck !== undefined || Object.prototype.struck !== undefined) found.push(document.head);
  return found.map((one) => one.outerHTML.slice(0, 300));
}"""
# Opens each of the requests on the lines that are there, as a click does, and waits until it is shown.
OPEN_REQUESTS = """async () => {
  const frame = () => new Promise(requestAnimationFrame);
  const texts = [];
  const body = document.querySelector('#details-body');
  for (const says of [...document.querySelectorAll('#stream-rows .says')]) {
    says.click();
    const ends = performance.now() + 5000;
    while (body.querySelector('.verdict') === null && performance.now() < ends) await frame();
    texts.push(body.textContent);
    for (const one of body.querySelectorAll('details')) one.open = true;
    document.querySelector('#details-close').click();
    body.replaceChildren();
  }
  return texts;
}"""
# Chooses each person in turn, as a click does, and waits until the timeline is theirs.
CHOOSE_PEOPLE = """async () => {
  const frame = () => new Promise(requestAnimationFrame);
  const keys = [...document.querySelectorAll('#people [data-person]')].map((one) => one.dataset.person);
  const texts = [];
  for (const key of keys) {
    const before = document.querySelector('#timeline').firstElementChild;
    [...document.querySelectorAll('#people [data-person]')].find((one) => one.dataset.person === key)?.click();
    const ends = performance.now() + 2000;
    while (document.querySelector('#timeline').firstElementChild === before && performance.now() < ends) await frame();
    texts.push(document.querySelector('#person').textContent);
  }
  return texts;
}"""


@pytest.fixture(scope="module")
def collector() -> Iterator[CollectorServer]:
    """A collector that was sent all payloads, in every field of every system."""
    with CollectorServer(accept_any_browser_id=True) as collector, httpx.Client(base_url=collector.url) as client:
        for payload in PAYLOADS:
            for call in calls_full_of(payload.text):
                client.request(call.method, call.path, content=call.body, headers=call.headers)
        collector.accept_any_browser_id = False  # what is refused names the ID
        for payload in PAYLOADS:
            client.post("/v1.2/events", json={"type": "VIEW", "browser_id": payload.text.encode("utf-8", "replace").decode()})
        yield collector


@pytest.fixture
def page(open_profile: OpenProfile) -> Iterator[Page]:
    """A page that asks for nothing but its own parts."""
    page = open_profile().new_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(urlsplit(request.url).path))
    yield page
    strange = {path for path in asked if not OWN_PATH.fullmatch(path) and path != "blank"}
    assert not strange


@pytest.fixture
def look(collector: CollectorServer, page: Page) -> CollectorPage:
    return CollectorPage(page, collector.url)


def expect_harmless(look: CollectorPage) -> None:
    assert look.evaluate(TRACES) == []


def test_the_corpus_is_large_and_varied() -> None:
    names, texts = zip(*PAYLOADS, strict=True)

    assert len(PAYLOADS) >= 40
    assert len(set(names)) == len(set(texts)) == len(PAYLOADS)


def test_stream(look: CollectorPage) -> None:
    look.open()
    while look.page.locator("#older").is_visible():
        look.page.locator("#older").click()
    expect_harmless(look)

    shown = look.evaluate("[...document.querySelectorAll('#stream-rows')].map((one) => one.textContent).join('')")
    for payload in PAYLOADS:
        if payload.text.isascii() and payload.text.isprintable() and len(payload.text) < 256:
            assert payload.text in shown


def test_requests(look: CollectorPage) -> None:
    look.open()
    while look.page.locator("#older").is_visible():
        look.page.locator("#older").click()
    texts = look.evaluate(OPEN_REQUESTS)

    assert len(texts) == look.rows.count()
    assert not [text for text in texts if "cannot be read" in text or len(text) < 100]
    expect_harmless(look)
    last = look.rows.last.locator(".says")
    last.click()
    expect_harmless(look)


def test_filters(look: CollectorPage) -> None:
    look.open()
    for payload in PAYLOADS:
        look.evaluate(
            """([text, ...fields]) => { for (const id of fields) {
              document.getElementById(id).value = text;
              document.getElementById(id).dispatchEvent(new Event('input', {bubbles: true})); } }""",
            [payload.text[:2000], "filter-text", "filter-visitor"],
        )
        look.evaluate("new Promise(requestAnimationFrame)")
        expect_harmless(look)
    look.page.locator("#filter-reset").click()
    for value in look.evaluate("[...document.querySelectorAll('#filter-type option')].map((one) => one.value)")[:80]:
        look.page.locator("#filter-type").select_option(value)
    expect_harmless(look)


@pytest.mark.parametrize("system", ["sitecore", "customerio", "datalyr"])
def test_visitors(look: CollectorPage, system: str) -> None:
    look.open(f"visitors/{system}")
    look.page.locator("#people [data-person]").first.wait_for()
    texts = look.evaluate(CHOOSE_PEOPLE)

    assert len(texts) >= 40
    assert not [text for text in texts if len(text) < 20]
    expect_harmless(look)
    look.page.locator("#timeline .entry-open").first.click()
    look.page.locator("#details .verdict").wait_for()
    expect_harmless(look)


def test_health(look: CollectorPage) -> None:
    look.open("health")
    look.page.locator("#seen [data-system]").first.wait_for()

    expect_harmless(look)


@pytest.mark.parametrize("route", ["stream?text={}", "stream?visitor={}&type={}", "visitors/{}", "visitors/any/any/{}", "{}"])
def test_addresses(look: CollectorPage, route: str) -> None:
    """Somebody may be sent a link to the page."""
    for payload in PAYLOADS:
        text = quote(payload.text[:500].encode("utf-8", "surrogatepass"), safe="")
        look.evaluate("(hash) => { location.hash = hash; }", route.replace("{}", text)) if look.page.url != "about:blank" else look.open(route.replace("{}", text))
        look.evaluate("new Promise(requestAnimationFrame)")
        expect_harmless(look)
