"""What the tests here rest upon: nothing that a page must not do goes unseen, and nothing leaves the machine."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest
from playwright.sync_api import Browser, Page
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from passerby.collector.server_thread import ServerThread

from .watch import Watch

pytestmark = pytest.mark.browser

ELSEWHERE = "http://elsewhere.example/x"


@pytest.fixture
def page(chromium: Browser) -> Iterator[Page]:
    """A page whose policy allows scripts of its own, and nothing else but calls."""

    async def show(request: Request) -> Response:
        policy = "default-src 'none'; script-src 'unsafe-inline'; connect-src *"
        return HTMLResponse("<!doctype html><p>A page", headers={"content-security-policy": policy})

    site = Starlette(routes=[Route("/", show)])
    with closing(ServerThread(site, host="127.0.0.1", port=0, name="page")) as server:
        server.start()
        context = chromium.new_context()
        page = context.new_page()
        page.goto(server.url)
        yield page
        context.close()


@pytest.mark.parametrize(
    ("script", "complaint"),
    [
        ("console.error('no')", "console: no"),
        ("setTimeout(() => { throw new Error('no') })", "exception: no"),
        ("Promise.reject(new Error('no')), 0", "exception: no"),
        ("alert('no')", "dialog: alert no"),
        (f"fetch('{ELSEWHERE}').catch(() => 0)", f"request to elsewhere: {ELSEWHERE}"),
        (
            "new Promise((end) => { new WebSocket('ws://elsewhere.example/x').onerror = end; }).then(() => 0)",
            "request to elsewhere: ws://elsewhere.example/x",
        ),
        ("document.body.innerHTML = `<img src='data:,x'>`", "console: .*Content Security Policy"),
        ("document.body.innerHTML = `<style>p { color: red }</style>`", "console: .*Content Security Policy"),
        ("document.body.innerHTML = `<img src='http://elsewhere.example/x'>`", "console: .*Content Security Policy"),
    ],
)
def test_complaints_are_seen(page: Page, script: str, complaint: str) -> None:
    watch = Watch()
    watch.follow(page.context)
    page.evaluate(script)

    with pytest.raises(AssertionError, match=complaint):
        watch.end()


def test_names_of_elsewhere_lead_nowhere(page: Page) -> None:
    for url in (ELSEWHERE, "http://192.0.2.1/", "https://example.com"):
        said = page.evaluate(
            "(url) => fetch(url, {mode: 'no-cors'}).then(() => 'answered', (error) => error.message)", url
        )
        assert said == "Failed to fetch"


def test_what_is_expected_is_no_complaint(page: Page) -> None:
    watch = Watch()
    watch.follow(page.context)
    watch.expect("^console: no")
    page.evaluate("console.error('no')")

    watch.end()
    assert watch.complaints == ["console: no ()"]
