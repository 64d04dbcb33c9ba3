"""Which browser IDs are taken from a cookie: the same in every framework."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from passerby.collector import CollectorServer
from tests.making import BROWSER_ID, OTHER_ID, MakeTracking, value_of

from .conftest import visit
from .test_behaviour import in_process

OWN = "passerby_bid"
SHARED = {"sitecore": ("bid_key", OTHER_ID), "datalyr": ("__dl_visitor_id", f"anon_{OTHER_ID}")}

# What an attacker may have put into a visitor's browser: an ID of the attacker's own, without a signature.
PLANTED = [
    f"{OWN}={OTHER_ID}",
    f"{OWN}={BROWSER_ID.upper()}",
    f'{OWN}="{OTHER_ID}"',
    f"{OWN}=x; {OWN}={OTHER_ID}",
    f"{OWN}={OTHER_ID}; {OWN}_sig",
    f"{OWN}={OTHER_ID}; {OWN}_sig=",
    f"{OWN}={OTHER_ID}; {OWN}_sig=aRVkZg.aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
]


def browser_id_of(said: httpx.Response) -> str:
    """The browser ID that the page /who says."""
    return said.text.split()[0]


@in_process
@pytest.mark.parametrize("cookie", PLANTED)
async def test_an_id_of_our_own_without_a_signature_is_unknown(
    face: str, cookie: str, make: MakeTracking, collector: CollectorServer
) -> None:
    """An ID that an attacker has put there is not linked to the person who logs in."""
    async with visit(face, make(), collector) as browser:
        first = await browser.get("/who", headers={"cookie": cookie})
    lines = {line.partition("=")[0]: value_of(line) for line in first.headers.get_list("set-cookie")}
    assert lines[OWN] == browser_id_of(first)
    assert lines[OWN].lower() not in cookie.lower()
    assert f"{OWN}_sig" in lines


@in_process
@pytest.mark.parametrize(
    ("settings", "cookie"),
    [
        ({"on_missing_signature": "adopt"}, f"{OWN}={OTHER_ID}"),
        ({"secret_key": None}, f"{OWN}={OTHER_ID}"),
        ({"server_cookie": False}, f"{OWN}={OTHER_ID}"),
        ({"on_tamper": "adopt"}, f"{OWN}={OTHER_ID}; {OWN}_sig=x"),
    ],
    ids=["as the setting says", "without a key", "written elsewhere", "with a wrong signature"],
)
async def test_it_is_kept_where_that_is_wanted_or_nothing_is_signed(
    face: str, settings: dict[str, Any], cookie: str, make: MakeTracking, collector: CollectorServer
) -> None:
    async with visit(face, make(**settings), collector) as browser:
        assert browser_id_of(await browser.get("/who", headers={"cookie": cookie})) == OTHER_ID


@in_process
@pytest.mark.parametrize("owner", SHARED)
async def test_an_id_that_a_browser_sdk_may_have_made_is_adopted_unless_refused(
    face: str, owner: str, make: MakeTracking, collector: CollectorServer
) -> None:
    name, browser_id = SHARED[owner]
    async with visit(face, make(owner), collector) as browser:
        adopted = await browser.get("/who", headers={"cookie": f"{name}={browser_id}"})
    assert browser_id_of(adopted) == browser_id
    assert [value_of(line) for line in adopted.headers.get_list("set-cookie")][:1] == [browser_id]
    async with visit(face, make(owner, on_missing_signature="reissue"), collector) as browser:
        refused = await browser.get("/who", headers={"cookie": f"{name}={browser_id}"})
    assert browser_id_of(refused) not in (browser_id, "None")


@in_process
async def test_cookies_of_before_there_was_a_key_can_be_kept(
    face: str, make: MakeTracking, collector: CollectorServer
) -> None:
    """What is adopted is signed, so that it holds when adopting ends."""
    async with visit(face, make(secret_key=None), collector) as browser:
        before = browser_id_of(await browser.get("/who"))
        cookies = browser.cookies
    for settings in ({"on_missing_signature": "adopt"}, {}):
        async with visit(face, make(**settings), collector) as browser:
            browser.cookies = cookies
            assert browser_id_of(await browser.get("/who")) == before
            cookies = browser.cookies
