"""A log-out stays one: answers that are on their way, and copies of old cookies, do not bring the user back."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest

from passerby import Tracking
from passerby.collector import CollectorServer
from passerby.http.set_cookie import CookieAttributes
from passerby.http.visitor_cookies import IdentityCookie, StoredIdentity
from tests.making import KEY, MakeTracking, by_name, cookie_header, value_of

from .conftest import visit
from .test_behaviour import in_process

NAMES = {"customerio": "passerby_bid", "sitecore": "bid_key", "datalyr": "__dl_visitor_id"}
OWNERS = pytest.mark.parametrize("owner", NAMES)


class Visitor:
    """A browser that keeps one cookie of a name, and may get an answer late."""

    def __init__(self, browser: httpx.AsyncClient) -> None:
        self._browser = browser
        self.cookies: dict[str, str] = {}

    async def open(self, path: str, *, made_with: dict[str, str] | None = None) -> dict[str, str]:
        """Make a request with the cookies of now or of before; keep and return the cookies of its answer."""
        self._browser.cookies.clear()
        named = cookie_header(**(self.cookies if made_with is None else made_with))
        answer = await self._browser.request("POST" if "/log" in path else "GET", path, headers=named)
        lines = by_name(answer.headers.get_list("set-cookie"))
        self.said = answer.text
        for name, line in lines.items():
            self.cookies[name] = value_of(line)
            if "Max-Age=0" in line:
                del self.cookies[name]
        return lines

    async def user(self) -> str:
        """The user whom the next page knows."""
        await self.open("/who")
        return self.said.split()[1]


@asynccontextmanager
async def visiting(face: str, tracking: Tracking, collector: CollectorServer) -> AsyncIterator[Visitor]:
    async with visit(face, tracking, collector) as browser:
        visitor = Visitor(browser)
        await visitor.open("/")
        yield visitor


@in_process
@OWNERS
@pytest.mark.parametrize("user", ["1", "2"])
async def test_an_answer_that_began_before_does_not_bring_the_user_back(
    face: str, owner: str, user: str, make: MakeTracking, collector: CollectorServer
) -> None:
    tracking = make(owner, identity_provider="CRM", on_user_change="link")
    async with visiting(face, tracking, collector) as visitor:
        await visitor.open("/login?user=1")
        before = dict(visitor.cookies)
        await visitor.open("/logout")
        await visitor.open(f"/login?user={user}&plan=other", made_with=before)
        assert await visitor.user() == "None"

        await visitor.open("/login?user=3")
        assert await visitor.user() == "3", "a log-in after it counts"
        await visitor.open("/logout")
        await visitor.open("/login?user=2", made_with=before)
        assert await visitor.user() == "None"


@in_process
async def test_nor_does_the_first_log_in_of_a_browser(
    face: str, make: MakeTracking, collector: CollectorServer
) -> None:
    async with visiting(face, make(), collector) as visitor:
        before = dict(visitor.cookies)
        await visitor.open("/logout")
        await visitor.open("/login?user=1", made_with=before)
        assert await visitor.user() == "None"


@in_process
async def test_a_log_out_and_a_log_in_of_one_page(face: str, make: MakeTracking, collector: CollectorServer) -> None:
    """Two log-outs at once, in two tabs, count once each, and the log-in after them counts."""
    async with visiting(face, make(), collector) as visitor:
        await visitor.open("/login?user=1")
        before = dict(visitor.cookies)
        await visitor.open("/logout")
        await visitor.open("/logout", made_with=before)
        assert await visitor.user() == "None"
        await visitor.open("/login?user=2")
        assert await visitor.user() == "2"


@in_process
@pytest.mark.parametrize("kept", [("uid",), ("uid", "sig"), ("uid", "sig", "")])
async def test_a_copy_of_old_cookies_does_not_count_in_the_browser_that_was_logged_out(
    face: str, kept: tuple[str, ...], make: MakeTracking, collector: CollectorServer
) -> None:
    async with visiting(face, make(), collector) as visitor:
        await visitor.open("/login?user=1")
        copied = {
            name: value for name, value in visitor.cookies.items() if name.rpartition("bid")[2].strip("_") in kept
        }
        await visitor.open("/logout")
        visitor.cookies.update(copied)
        assert len(copied) == len(kept)
        assert await visitor.user() == "None"


@in_process
@OWNERS
async def test_a_browser_id_that_was_given_up_does_not_come_back(
    face: str, owner: str, make: MakeTracking, collector: CollectorServer
) -> None:
    """Of a page that had begun before another person logged in, and whose answer renews the old cookies."""
    tracking = make(owner, identity_provider="CRM")
    async with visiting(face, tracking, collector) as visitor:
        first = visitor.said
        await visitor.open("/login?user=1")
        before = dict(visitor.cookies)
        await visitor.open("/login?user=2")
        visitor.cookies.update(before)
        assert await visitor.user() == "None"
        assert visitor.said.split()[0] != first


@in_process
@pytest.mark.parametrize(
    ("settings", "days", "user"),
    [
        ({}, 89, "1"),
        ({}, 91, "None"),
        ({"identity_max_age": 86_400.0}, 2, "None"),
        ({"identity_max_age": 1e8}, 91, "1"),
    ],
)
async def test_an_old_identity_is_forgotten(
    face: str,
    settings: dict[str, float],
    days: int,
    user: str,
    make: MakeTracking,
    collector: CollectorServer,
) -> None:
    """A copy of the cookie does not work for ever."""
    jar = IdentityCookie("passerby_bid_uid", CookieAttributes(), [KEY])
    async with visiting(face, make(**settings), collector) as visitor:
        browser_id = visitor.said
        remembered = StoredIdentity("1", "digest", int(time.time() - days * 86_400))
        visitor.cookies["passerby_bid_uid"] = jar.write(browser_id, remembered, secure=False).value
        assert await visitor.user() == user


@in_process
async def test_a_visitor_whom_every_page_resets_gets_the_mark_once(
    face: str, make: MakeTracking, collector: CollectorServer
) -> None:
    """As apps do that call `reset` wherever nobody is logged in."""
    async with visiting(face, make(), collector) as visitor:
        assert list(await visitor.open("/logout")) == ["passerby_bid_out"]
        for _ in range(3):
            assert await visitor.open("/logout") == {}
