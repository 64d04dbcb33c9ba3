"""What is counted as a page view by itself, in every framework: each page that somebody sees, once."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from passerby import Tracking
from passerby.collector import CollectorServer
from passerby.testing import CapturedEvents
from tests.making import BROWSER_ID, CHROME, let_go

from .clients import HOST, InLoop, InThread
from .routed import EVERY, IN_LOOP
from .sites import make_tracking

NAVIGATION = {"sec-fetch-dest": "document", "sec-fetch-mode": "navigate", "accept": "text/html,application/xhtml+xml"}
SCRIPT = {"sec-fetch-dest": "empty", "sec-fetch-mode": "cors", "accept": "*/*"}
OVER_HTTP = {"accept": "text/html, */*; q=0.01"}  # browsers send no Sec-Fetch there
TURBO = {"sec-fetch-dest": "empty", "sec-fetch-mode": "cors", "accept": "text/html, application/xhtml+xml"}
STREAM = TURBO | {"accept": "text/vnd.turbo-stream.html, text/html, application/xhtml+xml"}
INERTIA = TURBO | {"x-inertia": "true", "x-requested-with": "XMLHttpRequest"}
BOOSTED = SCRIPT | {"hx-request": "true", "hx-boosted": "true"}
JSON = {"content-type": "application/json"}

PAGES: dict[str, tuple[dict[str, str], int, dict[str, str]]] = {
    "a navigation": (NAVIGATION, 200, {}),
    "a web view on Android, which names its app": (NAVIGATION | {"x-requested-with": "com.example.shop"}, 200, {}),
    "a page that has not changed": (NAVIGATION | {"if-none-match": '"1"'}, 304, {"etag": '"1"'}),
    "the same over http": ({"accept": "text/html", "if-modified-since": "x"}, 304, {}),
    "a boosted link of HTMX": (BOOSTED, 200, {}),
    "the same over http ": (OVER_HTTP | {"hx-request": "true", "hx-boosted": "true"}, 200, {}),
    "a boosted link to what has not changed": (BOOSTED, 304, {}),
    "HTMX goes back in its history": (SCRIPT | {"hx-request": "true", "hx-history-restore-request": "true"}, 200, {}),
    "a visit with Turbo": (TURBO | {"x-turbo-request-id": "4f2a"}, 200, {}),
    "a visit with Turbolinks": (TURBO | {"turbolinks-referrer": "https://shop.example/"}, 200, {}),
    "what follows a form with Turbo": (STREAM, 200, {}),
    "a visit with Inertia": (INERTIA, 200, JSON | {"x-inertia": "true", "vary": "X-Inertia"}),
    "a page that is shown inline": (NAVIGATION, 200, {"content-disposition": "inline; filename=a.html"}),
}
NO_PAGES: dict[str, tuple[dict[str, str], int, dict[str, str]]] = {
    "a fetch": (SCRIPT, 200, {}),
    "XMLHttpRequest over http": (OVER_HTTP | {"x-requested-with": "XMLHttpRequest"}, 200, {}),
    "XMLHttpRequest in other case": (OVER_HTTP | {"x-requested-with": "xmlhttprequest"}, 200, {}),
    "a part for HTMX": (OVER_HTTP | {"hx-request": "true"}, 200, {}),
    "a part for HTMX with a target": (SCRIPT | {"hx-request": "true", "hx-target": "cart"}, 200, {}),
    "a frame of Turbo": (TURBO | {"turbo-frame": "cart"}, 200, {}),
    "a part for Unpoly": (OVER_HTTP | {"x-up-version": "3.7.0", "x-up-target": ".cart"}, 200, {}),
    "a part for PJAX": (OVER_HTTP | {"x-pjax": "true"}, 200, {}),
    "a part for Alpine": (OVER_HTTP | {"x-alpine-request": "true"}, 200, {}),
    "a part of a page of Inertia": (
        INERTIA | {"x-inertia-partial-data": "cart", "x-inertia-partial-component": "Cart"},
        200,
        JSON | {"x-inertia": "true"},
    ),
    "JSON that is no page of Inertia": (INERTIA, 200, JSON),
    "what Inertia has to load anew": (INERTIA, 409, {"x-inertia-location": "/"}),
    "what Turbo fetches ahead": (TURBO | {"x-sec-purpose": "prefetch"}, 200, {}),
    "what a browser fetches ahead": (NAVIGATION | {"sec-purpose": "prefetch;prerender"}, 200, {}),
    "what HTMX fetches ahead": (BOOSTED | {"hx-preloaded": "true"}, 200, {}),
    "what Inertia fetches ahead": (INERTIA | {"purpose": "prefetch"}, 200, JSON | {"x-inertia": "true"}),
    "a download": (NAVIGATION, 200, {"content-disposition": "attachment"}),
    "a download with a name": (NAVIGATION, 200, {"content-disposition": 'Attachment; filename="a;b.html"'}),
    "a download of a kind unknown": (NAVIGATION, 200, {"content-disposition": "form-data; name=a"}),
    "a boosted download": (BOOSTED, 200, {"content-disposition": "attachment"}),
    "a redirect": (NAVIGATION, 303, {"location": "/"}),
    "a redirect of HTMX": (BOOSTED, 200, {"hx-redirect": "/login"}),
    "a redirect of HTMX within the page": (BOOSTED, 200, {"hx-location": "/login"}),
    "a refresh of HTMX": (BOOSTED, 200, {"hx-refresh": "true"}),
    "a fetch of what has not changed": (SCRIPT | {"if-none-match": '"1"'}, 304, {}),
    "a part that has not changed": (OVER_HTTP | {"x-requested-with": "XMLHttpRequest"}, 304, {}),
    "nothing": (NAVIGATION, 204, {}),
}


@pytest.fixture(params=EVERY)
def face(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def tracking(collector: CollectorServer) -> Iterator[Tracking]:
    made = make_tracking(collector.url, auto_page_views=True)
    yield made
    let_go(made)


async def visit(
    face: str, tracking: Tracking, path: str, headers: dict[str, str], answer: Any = None
) -> httpx.Response:
    app = EVERY[face](tracking)
    named = {"user-agent": CHROME, "cookie": f"bid_key={BROWSER_ID}"} | headers
    if answer is not None:
        named["x-answer"] = json.dumps(answer)
    transport = InLoop(app) if face in IN_LOOP else InThread(app)
    async with httpx.AsyncClient(base_url=HOST, headers=named, transport=transport) as client:
        return await client.get(path)


@pytest.mark.parametrize("name", PAGES)
async def test_a_page_is_counted_once(
    face: str, tracking: Tracking, captured_events: CapturedEvents, name: str
) -> None:
    headers, status, answered = PAGES[name]
    assert (await visit(face, tracking, "/about", headers, (status, answered))).status_code == status
    captured_events.assert_summary("page view about")


@pytest.mark.parametrize("name", NO_PAGES)
async def test_what_is_no_page_is_not_counted(
    face: str, tracking: Tracking, captured_events: CapturedEvents, name: str
) -> None:
    headers, status, answered = NO_PAGES[name]
    assert (await visit(face, tracking, "/about", headers, (status, answered))).status_code == status
    captured_events.assert_nothing()


@pytest.mark.parametrize("path", ["/files/logo.png", "/files/report.pdf", "/files/app.js"])
async def test_a_file_that_has_not_changed_is_not_counted(
    face: str, tracking: Tracking, captured_events: CapturedEvents, path: str
) -> None:
    await visit(face, tracking, path, NAVIGATION, (304, {}))
    captured_events.assert_nothing()
