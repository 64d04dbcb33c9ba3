"""The vendor's Cloud SDK in a browser, beside passerby's edge form on the server: together they see one visitor."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, Cookie, Page, expect

from passerby import Sitecore, Tracking
from passerby.collector import CollectorServer
from passerby.collector.server_thread import ServerThread
from tests.making import KEY, PATIENCE, let_go

from .conftest import OpenProfile
from .sdk_site import CLOUD, make_site
from .test_sdk import SOME_ID, browser_id_in_page, cookies_of

pytestmark = [pytest.mark.browser, pytest.mark.node]

StartSite = Callable[..., str]

CONTEXT = "ctx5Demo0001"
COOKIE = "sc_cid"
VIEW_IN_BROWSER = "sdk.pageView({channel: 'WEB', currency: 'EUR', page: 'Home, seen by the browser'})"
ADD_IN_BROWSER = "sdk.event({type: 'ADD', channel: 'WEB', currency: 'EUR', page: 'Home', product: {name: 'Mug'}})"


@pytest.fixture
def collector() -> Iterator[CollectorServer]:
    """A stand-in for the edge that takes events with IDs of older cookies, which it has not issued."""
    with CollectorServer(accept_any_browser_id=True) as server:
        yield server


@pytest.fixture
def start_site(collector: CollectorServer) -> Iterator[StartSite]:
    """Serve the site and give its address; options are the settings of passerby."""
    with ExitStack() as stack:

        def start(enable_browser_cookie: bool = True, **options: Any) -> str:
            settings = {
                "sitecoreEdgeContextId": CONTEXT,
                "siteName": "shop",
                "sitecoreEdgeUrl": collector.url,
                "enableBrowserCookie": enable_browser_cookie,
            }
            own = {name: options.pop(name) for name in ("adopt_engage_cookie", "personalize_cookie") if name in options}
            sitecore = Sitecore(
                edge_context_id=CONTEXT, site_name="shop", edge_url=collector.url, dialect="cloud", **own
            )
            usual: dict[str, Any] = {"secret_key": KEY, "channel": "WEB", "currency": "EUR", "retry_base": 0.02}
            tracking = Tracking(sitecore, **(usual | {"browser_id_timeout": PATIENCE} | options))
            stack.callback(let_go, tracking)
            server = ServerThread(make_site(tracking, settings, CLOUD), host="127.0.0.1", port=0, name="site")
            stack.enter_context(closing(server)).start()
            return server.url

        yield start


@pytest.fixture
def profile(open_profile: OpenProfile) -> BrowserContext:
    return open_profile()


def id_in(page: Page) -> str:
    return browser_id_in_page(page, "sdk.getBrowserId()")


@pytest.mark.parametrize("enabled", [True, False], ids=["the SDK may make one too", "only the server makes one"])
def test_server_first(
    collector: CollectorServer, start_site: StartSite, profile: BrowserContext, enabled: bool
) -> None:
    """The server gives the browser an ID with the first page; the SDK finds it and asks for none."""
    page = profile.new_page()
    page.goto(start_site(enabled))
    browser_id = page.locator("#server").inner_text()

    assert id_in(page) == browser_id
    assert page.evaluate(VIEW_IN_BROWSER)["status"] == "OK"
    events = collector.wait_for_events(2)
    assert {event["page"] for event in events} == {"Home", "Home, seen by the browser"}
    assert {event["browser_id"] for event in events} == {browser_id}
    assert not [one for one in collector.requests if one.route == "create" and "origin" in one.headers]


def test_browser_first(collector: CollectorServer, start_site: StartSite, profile: BrowserContext) -> None:
    """The SDK gets an ID on a page that no server of ours made; the server finds it, signs it, and keeps to it."""
    site = start_site()
    page = profile.new_page()
    page.goto(f"{site}/static")
    browser_id = id_in(page)
    assert list(cookies_of(profile)) == [COOKIE]
    page.evaluate(ADD_IN_BROWSER)

    for _ in range(2):  # adopted, then known by its signature
        page.goto(site)
        assert page.locator("#server").inner_text() == browser_id
        assert id_in(page) == browser_id

    assert {COOKIE, f"{COOKIE}_sig"} <= cookies_of(profile).keys()
    events = collector.wait_for_events(3)
    assert [event["type"] for event in events] == ["ADD", "VIEW", "VIEW"]
    assert {event["browser_id"] for event in events} == {browser_id}


@pytest.mark.parametrize("is_server_first", [True, False], ids=["server first", "browser first"])
def test_the_older_cookie_of_the_sdk_is_moved_by_either_side(
    start_site: StartSite, profile: BrowserContext, is_server_first: bool
) -> None:
    older = "7ed103bd-08c2-47f4-8f69-91141ca3200d"
    site = start_site()
    profile.add_cookies([{"name": f"sc_{CONTEXT}", "value": older, "url": site}])
    page = profile.new_page()
    if not is_server_first:
        page.goto(f"{site}/static")
        assert id_in(page) == older
    page.goto(site)

    assert page.locator("#server").inner_text() == older
    assert id_in(page) == older
    assert cookies_of(profile)[COOKIE]["value"] == older
    assert f"sc_{CONTEXT}" not in cookies_of(profile)


def test_a_visitor_of_an_engage_site_returns(
    collector: CollectorServer, start_site: StartSite, profile: BrowserContext
) -> None:
    """The SDK would make a new visitor; with the server before it, it finds the one that there was."""
    earlier = "a38b230c-11eb-4cf9-8d5d-274e9f344925"
    site = start_site(adopt_engage_cookie="key")
    profile.add_cookies([{"name": "bid_key", "value": earlier, "url": site}])
    page = profile.new_page()
    page.goto(site)

    assert page.locator("#server").inner_text() == earlier
    assert id_in(page) == earlier
    assert not [one for one in collector.requests if one.route == "create" and "origin" in one.headers]


def test_one_visitor_who_is_named_on_either_side(
    collector: CollectorServer, start_site: StartSite, profile: BrowserContext
) -> None:
    """Events of the browser and of the server, in turn, belong to the same guest."""
    page = profile.new_page()
    page.goto(start_site())
    browser_id = id_in(page)
    page.evaluate("sdk.identity({identifiers: [{id: 'A-1', provider: 'CLUB'}], channel: 'WEB', currency: 'EUR'})")
    page.evaluate("fetch('/login', {method: 'POST'})")
    page.evaluate("sdk.form('newsletter', 'SUBMITTED', 'form-1')")
    page.evaluate(ADD_IN_BROWSER)

    events = collector.wait_for_events(5)
    assert sorted(event["type"] for event in events) == ["ADD", "FORM", "IDENTITY", "IDENTITY", "VIEW"]
    assert {event["browser_id"] for event in events} == {browser_id}
    assert page.evaluate("sdk.getGuestId()") == page.evaluate("fetch('/guest').then(one => one.json())")["guest_id"]


def test_the_guest_cookie_of_the_server_is_the_one_of_the_sdk(start_site: StartSite, profile: BrowserContext) -> None:
    page = profile.new_page()
    page.goto(start_site(personalize_cookie=True))
    id_in(page)
    found: Cookie = cookies_of(profile)["sc_cid_personalize"]

    assert re.fullmatch(SOME_ID, found["value"])
    assert page.evaluate("sdk.getGuestId()") == found["value"]


def test_events_queued_in_the_browser_belong_to_the_same_visitor(
    collector: CollectorServer, start_site: StartSite, profile: BrowserContext
) -> None:
    """They wait in the browser over two pages, and are sent on the second."""
    site = start_site()
    page = profile.new_page()
    page.goto(f"{site}/static")
    browser_id = id_in(page)
    page.evaluate("sdk.addToEventQueue({type: 'ADD', channel: 'WEB', currency: 'EUR'})")
    page.goto(site)
    assert id_in(page) == browser_id
    page.evaluate("sdk.processEventQueue()")

    assert {(event["type"], event["browser_id"]) for event in collector.wait_for_events(2)} == {
        ("ADD", browser_id),
        ("VIEW", browser_id),
    }


def test_only_the_ids_can_be_read_by_scripts(start_site: StartSite, profile: BrowserContext) -> None:
    page = profile.new_page()
    page.goto(start_site())
    browser_id = id_in(page)
    expect(page.locator("#browser")).to_have_text(browser_id)

    assert page.evaluate("document.cookie") == f"{COOKIE}={browser_id}"
