"""The vendor's own SDK in a browser, beside passerby on the server: together they see one visitor."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, Cookie, Page, expect
from playwright.sync_api import Route as PageRoute

from passerby.collector import CollectorServer
from passerby.collector.server_thread import ServerThread
from tests.making import MakeTracking

from .conftest import OpenProfile
from .sdk_site import make_site
from .watch import Watch

pytestmark = [pytest.mark.browser, pytest.mark.node]

StartSite = Callable[..., str]

COOKIE = "bid_key"
SOME_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
VIEW_IN_BROWSER = "engage.pageView({channel: 'WEB', currency: 'EUR', page: 'Home, seen by the browser'})"
ADD_IN_BROWSER = "engage.event('ADD', {channel: 'WEB', currency: 'EUR', page: 'Home', product: {name: 'Mug'}})"


@pytest.fixture
def start_site(collector: CollectorServer, make_tracking: MakeTracking) -> Iterator[StartSite]:
    """Serve the site and give its address; other options than `on_bad_signature` are the browser SDK's settings."""
    with ExitStack() as stack:

        def start(on_bad_signature: str = "reissue", **options: Any) -> str:
            settings = {"clientKey": "key", "targetURL": collector.url, "pointOfSale": "shop", **options}
            site = make_site(make_tracking(on_bad_signature=on_bad_signature), settings)
            server = stack.enter_context(closing(ServerThread(site, host="127.0.0.1", port=0, name="site")))
            server.start()
            return server.url

        yield start


@pytest.fixture
def profile(open_profile: OpenProfile) -> BrowserContext:
    return open_profile()


def browser_id_in(page: Page) -> str:
    return browser_id_in_page(page, "engage.getBrowserId()")


def browser_id_in_page(page: Page, call: str) -> str:
    """What the SDK says, as soon as it has started."""
    expect(page.locator("#browser")).to_have_text(SOME_ID)
    said: str = page.evaluate(call)
    return said


def cookies_of(profile: BrowserContext) -> dict[str, Cookie]:
    return {cookie["name"]: cookie for cookie in profile.cookies()}


@pytest.mark.parametrize("forced", [False, True], ids=["the SDK may make one too", "only the server makes one"])
def test_server_first(collector: CollectorServer, start_site: StartSite, profile: BrowserContext, forced: bool) -> None:
    """The server gives the browser an ID with the first page; the SDK finds it and asks for none."""
    page = profile.new_page()
    page.goto(start_site(forceServerCookieMode=forced))
    browser_id = page.locator("#server").inner_text()

    assert browser_id_in(page) == browser_id
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
    browser_id = browser_id_in(page)
    assert list(cookies_of(profile)) == [COOKIE]
    page.evaluate(ADD_IN_BROWSER)

    for _ in range(2):  # adopted, then known by its signature
        page.goto(site)
        assert page.locator("#server").inner_text() == browser_id
        assert browser_id_in(page) == browser_id

    assert {COOKIE, f"{COOKIE}_sig"} <= cookies_of(profile).keys()
    events = collector.wait_for_events(3)
    assert [event["type"] for event in events] == ["ADD", "VIEW", "VIEW"]
    assert {event["browser_id"] for event in events} == {browser_id}


def test_both_at_once(collector: CollectorServer, start_site: StartSite, profile: BrowserContext) -> None:
    """While the SDK waits for its ID the server gives another: the SDK writes over it, and both keep to that.

    The signature that is there belongs to the ID that was written over, so this takes `on_bad_signature="adopt"`; or a
    browser SDK that leaves the cookie to the server.
    """
    site = start_site(on_bad_signature="adopt")
    page = profile.new_page()
    page.goto(site)
    while len(collector.browser_ids) < 2:  # the server has one in store from now on, and need not wait for it
        page.wait_for_timeout(20)
    profile.clear_cookies()
    held: list[PageRoute] = []
    page.route(re.compile("create.json"), lambda route: held.append(route))  # noqa: PLW0108 - it looks at the names
    with page.expect_request(re.compile("create.json")):
        page.goto(f"{site}/static")
    by_server = page.evaluate("fetch('/login', {method: 'POST'}).then(one => one.json())")["browser_id"]
    assert cookies_of(profile)[COOKIE]["value"] == by_server

    (asked,) = held
    asked.continue_()
    browser_id = browser_id_in(page)
    page.goto(site)
    assert browser_id != by_server
    assert page.locator("#server").inner_text() == browser_id
    assert browser_id_in(page) == browser_id


def test_only_the_browser_id_can_be_read_by_scripts(start_site: StartSite, profile: BrowserContext) -> None:
    page = profile.new_page()
    page.goto(start_site())
    browser_id = browser_id_in(page)
    page.evaluate("fetch('/login', {method: 'POST'})")

    assert {name: cookie["httpOnly"] for name, cookie in cookies_of(profile).items()} == {
        COOKIE: False,
        f"{COOKIE}_sig": True,
        f"{COOKIE}_uid": True,
    }
    assert page.evaluate("document.cookie") == f"{COOKIE}={browser_id}"


def test_one_visitor_who_is_named_on_either_side(
    collector: CollectorServer, start_site: StartSite, profile: BrowserContext
) -> None:
    """Events of the browser and of the server, in turn, belong to the same guest."""
    page = profile.new_page()
    page.goto(start_site())
    browser_id = browser_id_in(page)
    page.evaluate("engage.identity({identifiers: [{id: 'A-1', provider: 'CLUB'}], channel: 'WEB', currency: 'EUR'})")
    page.evaluate("fetch('/login', {method: 'POST'})")
    page.evaluate(ADD_IN_BROWSER)

    events = collector.wait_for_events(4)
    assert sorted(event["type"] for event in events) == ["ADD", "IDENTITY", "IDENTITY", "VIEW"]
    assert {event["browser_id"] for event in events} == {browser_id}
    assert page.evaluate("engage.getGuestId()") == page.evaluate("fetch('/guest').then(one => one.json())")["guest_id"]


def test_events_queued_in_the_browser_belong_to_the_same_visitor(
    collector: CollectorServer, start_site: StartSite, profile: BrowserContext
) -> None:
    """They wait in the browser over two pages, and are sent on the second."""
    site = start_site()
    page = profile.new_page()
    page.goto(f"{site}/static")
    browser_id = browser_id_in(page)
    page.evaluate("engage.addToEventQueue('ADD', {channel: 'WEB', currency: 'EUR'})")
    page.goto(site)
    assert browser_id_in(page) == browser_id
    page.evaluate("engage.processEventQueue()")

    assert {(event["type"], event["browser_id"]) for event in collector.wait_for_events(2)} == {
        ("ADD", browser_id),
        ("VIEW", browser_id),
    }


def test_the_sdk_gets_errors(
    collector: CollectorServer, start_site: StartSite, profile: BrowserContext, watch: Watch
) -> None:
    """An answer that says no can be read by the page as well as one that says yes."""
    watch.expect("Failed to load resource: the server responded with a status of 503")
    page = profile.new_page()
    page.goto(start_site())
    browser_id_in(page)
    collector.fail("events", status=503, body={"message": "later"})

    assert page.evaluate(VIEW_IN_BROWSER) == {"message": "later"}
