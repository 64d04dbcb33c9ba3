"""Visitors of an app of passerby, as the collector sees them in Sitecore's two forms."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing, contextmanager
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route
from starlette.testclient import TestClient

from passerby import Sitecore, Tracking
from passerby.asgi import TrackingMiddleware
from passerby.collector import CollectorServer
from tests.making import KEY, NAVIGATION, PATIENCE

CRAWLER = {**NAVIGATION, "user-agent": "Mozilla/5.0 (compatible; Googlebot/2.1)"}


@contextmanager
def browsing(form: Sitecore, cookies: dict[str, str], **settings: Any) -> Generator[TestClient]:
    """Open a browser with cookies at a site; at the end all events have arrived."""

    async def show_home(request: Request) -> Response:
        request.state.tracker.page_view({"page": "Home"})
        return HTMLResponse("Home")

    app = Starlette(routes=[Route("/", show_home)])
    with closing(Tracking(form, secret_key=KEY, **settings)) as tracking:
        tracked = TrackingMiddleware(app, tracking=tracking)
        with TestClient(tracked, "https://shop.example", headers=NAVIGATION, cookies=cookies) as browser:
            yield browser
        assert tracking.flush(PATIENCE) == 0


def engage(collector: CollectorServer, **settings: Any) -> Sitecore:
    return Sitecore(client_key="key", target_url=collector.url, point_of_sale="shop.example", **settings)


def edge(collector: CollectorServer, **settings: Any) -> Sitecore:
    return Sitecore(edge_context_id="ctx5Demo0001", edge_url=collector.url, site_name="shop", **settings)


@pytest.mark.parametrize("dialect", ["cloud", "content"])
def test_a_visitor_stays_one_when_the_site_switches_and_switches_back(collector: CollectorServer, dialect: str) -> None:
    forms = (
        engage(collector),
        edge(collector, dialect=dialect, adopt_engage_cookie="key"),
        engage(collector, adopt_edge_cookie="ctx5Demo0001"),
    )
    cookies: dict[str, str] = {}
    for form in forms:
        with browsing(form, cookies) as browser:
            assert browser.get("/").status_code == 200
            cookies = dict(browser.cookies)
    (visitor,) = collector.people("sitecore").anonymous

    assert visitor.sites == ["shop.example", "shop"]
    assert [entry.site for entry in visitor.timeline] == ["shop.example", "shop", "shop.example"]
    assert not [one.refusal for one in collector.requests if one.refusal is not None]


@pytest.mark.parametrize("make_form", [engage, edge])
def test_a_crawler_is_one_bot_without_an_issued_id(collector: CollectorServer, make_form: Any) -> None:
    with browsing(make_form(collector), {}, bots="tag", browser_id_pool_size=0) as browser:
        for _ in range(3):
            answer = browser.get("/", headers=CRAWLER)
            assert "set-cookie" not in answer.headers
            browser.cookies.clear()
    (crawler,) = collector.people("sitecore").anonymous

    assert (crawler.is_bot, crawler.event_names) == (True, ["VIEW"] * 3)
    assert collector.events[0]["ext"]["sourceUserAgent"] == CRAWLER["user-agent"]
    assert collector.browser_ids == []
