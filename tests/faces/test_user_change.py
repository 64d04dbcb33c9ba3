"""Another person in a browser that belongs to somebody: the two are not linked, in any framework."""

from __future__ import annotations

import httpx
import pytest

from passerby import Tracking
from passerby.collector import CollectorServer
from passerby.testing import CapturedEvents
from tests.making import MakeTracking, dropped

from .conftest import visit
from .test_behaviour import in_process


async def who(browser: httpx.AsyncClient) -> tuple[str, str]:
    """The browser ID and the user ID that the next page knows."""
    browser_id, user_id, _ = (await browser.get("/who")).text.split()
    return browser_id, user_id


def identities(captured_events: CapturedEvents) -> list[tuple[str | None, str | None]]:
    return [(event.browser_id, event.user_id) for event in captured_events.events if event.kind == "identity"]


@in_process
@pytest.mark.parametrize(
    ("owner", "spare"),
    [("customerio", 2), ("datalyr", 2), ("sitecore", 2), pytest.param("sitecore", 0, id="none ready")],
)
async def test_each_person_has_a_browser_id_of_their_own(
    face: str, owner: str, spare: int, make: MakeTracking, collector: CollectorServer, captured_events: CapturedEvents
) -> None:
    """A member of staff becomes a customer for a while: 1, 2, 1."""
    tracking: Tracking = make(owner, identity_provider="CRM", browser_id_pool_size=spare)
    async with visit(face, tracking, collector) as browser:
        before = (await browser.get("/")).text
        seen = [(before, "1")]
        for user in ("1", "2", "1", "ada.b"):
            assert (await browser.post(f"/login?user={user}")).text == user
            seen.append(await who(browser))
    assert seen[0] == seen[1], "a log-in of an unknown visitor keeps the browser ID"
    assert [user for _, user in seen[1:]] == ["1", "2", "1", "ada.b"]
    assert len({browser_id for browser_id, _ in seen}) == 4
    assert [
        (told or its_own, user)
        for (told, user), (its_own, _) in zip(identities(captured_events), seen[1:], strict=True)
    ] == seen[1:]
    if owner == "sitecore":  # where there was no ID yet, the event got it when it was sent
        assert await tracking.aflush(30.0) == 0
        arrived = [event["browser_id"] for event in collector.events if event["type"] == "IDENTITY"]
        assert sorted(arrived) == sorted(browser_id for browser_id, _ in seen[1:])
    assert [event.previous_id for event in captured_events.events] == [None] * len(captured_events.events)


@in_process
async def test_the_same_person_keeps_it_and_a_log_out_still_works(
    face: str, make: MakeTracking, collector: CollectorServer, captured_events: CapturedEvents
) -> None:
    async with visit(face, make(), collector) as browser:
        before = (await browser.get("/")).text
        for _ in range(2):
            await browser.post("/login?user=1")
            assert await who(browser) == (before, "1")
        await browser.post("/login?user=2")
        now, _ = await who(browser)
        await browser.post("/logout")
        assert await who(browser) == (now, "None")
    assert identities(captured_events) == [(before, "1"), (now, "2")]


@in_process
@pytest.mark.parametrize(("choice", "user", "told"), [("refuse", "1", 1), ("link", "2", 2)])
async def test_it_may_be_refused_or_linked(
    face: str,
    choice: str,
    user: str,
    told: int,
    make: MakeTracking,
    collector: CollectorServer,
    captured_events: CapturedEvents,
) -> None:
    tracking: Tracking = make(on_user_change=choice)
    async with visit(face, tracking, collector) as browser:
        before = (await browser.get("/")).text
        for name in ("1", "2"):
            await browser.post(f"/login?user={name}")
        assert await who(browser) == (before, user)
        assert len(identities(captured_events)) == told
        assert dropped(tracking, "customerio").get("user-change", 0) == 2 - told
        await browser.post("/logout")
        await browser.post("/login?user=3")
        assert await who(browser) == (before, "3"), "after a log-out it is a first log-in"


@in_process
async def test_without_a_key_nobody_is_remembered(face: str, make: MakeTracking, collector: CollectorServer) -> None:
    async with visit(face, make(secret_key=None), collector) as browser:
        before = (await browser.get("/")).text
        for user in ("1", "2"):
            assert (await browser.post(f"/login?user={user}")).text == user
            assert await who(browser) == (before, "None")
