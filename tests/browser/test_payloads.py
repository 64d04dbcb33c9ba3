"""Whatever stands in an event, the page shows it as text and does nothing that it says."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote, urlsplit

import httpx
import pytest

from passerby.collector import CollectorServer

from .collector_page import CollectorPage
from .conftest import OpenProfile
from .payload import calls_full_of, read_payloads

pytestmark = pytest.mark.browser

PAYLOADS = read_payloads()
SCRIPT = Path(__file__).with_name("payloads.js")
# All that the page may ever ask for.
OWN_PATH = re.compile(
    r"(blank|/_collector/(|[a-z]+\.(js|css|svg)|stream|health|requests/\d+|(people|person)/(sitecore|customerio|datalyr)))"
)


@pytest.fixture(scope="module")
def collector() -> Iterator[CollectorServer]:
    """A collector that was sent all payloads, in every field of every system."""
    with CollectorServer(accept_any_browser_id=True) as collector, httpx.Client(base_url=collector.url) as client:
        for payload in PAYLOADS:
            for call in calls_full_of(payload.text):
                client.request(call.method, call.path, content=call.body, headers=call.headers)
        collector.accept_any_browser_id = False  # a refusal names the ID
        for payload in PAYLOADS:
            client.post(
                "/v1.2/events", json={"type": "VIEW", "browser_id": payload.text.encode(errors="replace").decode()}
            )
        yield collector


@pytest.fixture
def look(collector: CollectorServer, open_profile: OpenProfile) -> Iterator[CollectorPage]:
    """The page, which is harmless in the end and has asked for nothing but its own parts."""
    page = open_profile().new_page()
    page.add_init_script(path=SCRIPT)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(urlsplit(request.url).path))
    look = CollectorPage(page, collector.url)
    yield look
    assert look.evaluate("payloads.traces()") == []
    assert not [path for path in asked if not OWN_PATH.fullmatch(path)]


def test_the_corpus_is_large_and_varied() -> None:
    names, texts = zip(*PAYLOADS, strict=True)

    assert len(PAYLOADS) >= 40
    assert len(set(names)) == len(set(texts)) == len(PAYLOADS)


def show_all(look: CollectorPage, collector: CollectorServer) -> None:
    exported = httpx.get(f"{collector.url}/_collector/export").text.splitlines()
    look.open()
    look.expect_count(len(exported))
    look.evaluate("payloads.showOlder()")
    assert look.rows.count() == len(exported)


def test_stream(look: CollectorPage, collector: CollectorServer) -> None:
    show_all(look, collector)

    shown = look.page.locator("#stream-rows").text_content() or ""
    for payload in PAYLOADS:
        if payload.text.isascii() and payload.text.isprintable() and len(payload.text) < 256:
            assert payload.text in shown


def test_requests(look: CollectorPage, collector: CollectorServer) -> None:
    show_all(look, collector)
    texts = look.evaluate("payloads.openRequests()")

    assert len(texts) == len(collector.requests) / 2
    assert not [text for text in texts if "It cannot be read" in text or len(text) < 100]


def test_filters(look: CollectorPage) -> None:
    look.open()
    look.page.locator("#older").wait_for()
    texts = [payload.text[:2000] for payload in PAYLOADS]
    look.evaluate("(texts) => payloads.write(texts, '#filter-text', '#filter-visitor')", texts)
    look.page.locator("#filter-reset").click()
    look.evaluate("payloads.choose('#filter-type')")
    look.show("visitors")
    look.page.locator("#people [data-person]").first.wait_for()
    look.evaluate("(texts) => payloads.write(texts, '#people-text')", texts)


@pytest.mark.parametrize("system", ["sitecore", "customerio", "datalyr"])
def test_visitors(look: CollectorPage, system: str) -> None:
    look.open(f"visitors/{system}")
    look.page.locator("#people [data-person]").first.wait_for()
    texts = look.evaluate("payloads.choosePeople()")

    assert len(texts) >= 40
    assert not [text for text in texts if len(text) < 20]
    look.page.locator("#timeline .entry-open").first.click()
    look.page.locator("#details .verdict").wait_for()


def test_health(look: CollectorPage) -> None:
    look.open("health")
    look.page.locator("#seen [data-system]").first.wait_for()


@pytest.mark.parametrize("route", ["stream?text={}&{}={}", "visitors/any/{}/{}", "{}"])
def test_addresses(look: CollectorPage, route: str) -> None:
    """A link to the page may be manipulated."""
    texts = [quote(payload.text[:500].encode("utf-8", "surrogatepass"), safe="") for payload in PAYLOADS]
    look.open(route.replace("{}", texts[0]))
    look.evaluate("(hashes) => payloads.follow(hashes)", [route.replace("{}", text) for text in texts])
