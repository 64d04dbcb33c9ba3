"""Which browser IDs are taken from a cookie: the same in every framework."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import httpx
import pytest

from passerby import Tracking
from passerby.collector import CollectorServer
from passerby.testing import CapturedEvents
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
        ({"set_cookie": False}, f"{OWN}={OTHER_ID}"),
        ({"on_bad_signature": "adopt"}, f"{OWN}={OTHER_ID}; {OWN}_sig=x"),
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


def junk(kind: str, number: int) -> str:
    """Cookies of our names that other hosts of the domain, or other paths, have left."""
    ids = [f"{OWN}={uuid4()}" for _ in range(number)]
    signatures = [f"{OWN}_sig=aRVkZg.{'a' * 39}{place:04}" for place in range(number)]
    kinds = {
        "ids": ids,
        "pairs": [piece for pair in zip(ids, signatures, strict=True) for piece in pair],
        "rubbish": [f"{OWN}={'x' * 36}" for _ in range(number)],
        "identities": [f"{OWN}_uid={'a' * 100}.{'b' * 39}{place:04}" for place in range(number)],
    }
    return "; ".join(kinds[kind])


@in_process
@pytest.mark.parametrize(
    ("kind", "number"), [("ids", 4), ("ids", 60), ("pairs", 4), ("pairs", 7), ("rubbish", 60), ("identities", 30)]
)
async def test_the_right_cookie_is_found_behind_others_of_its_name(
    face: str, kind: str, number: int, make: MakeTracking, collector: CollectorServer
) -> None:
    async with visit(face, make(), collector) as browser:
        await browser.get("/")
        await browser.post("/login?user=ada")
        ours = "; ".join(f"{name}={value}" for name, value in browser.cookies.items())
        known = (await browser.get("/who")).text
        browser.cookies.clear()
        for cookies in (f"{junk(kind, number)}; {ours}", f"{ours}; {junk(kind, number)}"):
            again = await browser.get("/who", headers={"cookie": cookies})
            assert (again.text, again.headers.get_list("set-cookie")) == (known, [])


@in_process
@pytest.mark.parametrize("owner", ["", "sitecore", "datalyr"])
@pytest.mark.parametrize(
    "cookie",
    [
        "session=" + "x" * 17_000,
        "; ".join(f"cookie{number}={'v' * 40}" for number in range(400)),
        "; ".join(f"{name}={'x' * 36}" for name in (OWN, "bid_key", "__dl_visitor_id") for _ in range(110)),
        "; ".join(junk("pairs", 40).replace(OWN, name) for name in (OWN, "bid_key", "__dl_visitor_id")),
    ],
    ids=["one long cookie", "many cookies", "many of our names", "many signed ones"],
)
async def test_cookies_that_are_not_read_make_no_new_visitor(
    face: str, owner: str, cookie: str, make: MakeTracking, collector: CollectorServer, captured_events: CapturedEvents
) -> None:
    """Otherwise each request would make one."""
    cookie = cookie.replace("__dl_visitor_id=", "__dl_visitor_id=anon_")
    tracking: Tracking = make(owner, auto_page_views=True)
    async with visit(face, tracking, collector) as browser:
        for number in (1, 2, 3):
            browser.cookies.clear()
            answer = await browser.get("/", headers={"cookie": cookie})
            assert answer.headers.get_list("set-cookie") == []
            assert OTHER_ID not in answer.text
            assert tracking.stats().unread_cookies == number
    captured_events.assert_nothing()
    (figures,) = tracking.stats().destinations.values()
    assert dict(figures.dropped) == {"cookie-header": 3}
    counts = tracking.stats().browser_ids
    assert counts is None or counts.assigned == 0
