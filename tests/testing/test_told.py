"""What a test of an app can say of what was told, and what it reads when that is not so."""

from __future__ import annotations

import pytest

from passerby import Sitecore, Tracker, Tracking
from passerby.testing import Told, listen, rehearse
from tests.making import BROWSER_ID

PUBLIC = "https://api.example.com"


def make_tracker(target_url: str = PUBLIC) -> Tracker:
    sitecore = Sitecore(client_key="key", target_url=target_url, point_of_sale="shop")
    tracking = Tracking(sitecore, secret_key="a secret key that signs", identity_provider="CRM", on_invalid="drop")
    return tracking.for_visitor(BROWSER_ID)


@pytest.fixture
def tracker() -> Tracker:
    return make_tracker()


def test_a_story(tracker: Tracker, tracked: Told) -> None:
    tracker.page_view({"page": "Home"}, {"theme": "dark"})
    tracker.identify("user_1", {"email": "ada@example.com", "plan": "pro"})
    tracker.event("ADD", {"product": "SKU1"}, {"coupon": "X"})

    assert len(tracked) == 3
    tracked.assert_story("page view Home", "identity user_1", "ADD")
    assert tracked.assert_page_view("Home", theme="dark").browser_id == BROWSER_ID
    assert tracked.assert_identity("user_1", email="ada@example.com", plan="pro").kind == "identity"
    assert tracked.assert_event("ADD", product="SKU1", coupon="X", user_id="user_1").type == "ADD"
    tracked.assert_no_event("REMOVE")
    tracked.assert_no_event("ADD", coupon="Y")
    tracked.clear()
    tracked.assert_nothing()


def test_what_was_refused_is_counted(tracker: Tracker, tracked: Told) -> None:
    tracker.event("")
    tracker.identity({"identifiers": [{"id": "1", "provider": "CRM"}]})
    tracker.identity({"identifiers": [{"id": "2", "provider": "CRM"}], "email": "no address"})
    tracked.assert_refused("invalid", times=2)
    tracked.assert_refused("bot", times=0)
    tracked.assert_story("identity 1")


@pytest.mark.parametrize(
    ("claim", "words"),
    [
        (lambda told: told.assert_page_view("Cart"), "expected one page view with page='Cart', found none"),
        (lambda told: told.assert_page_view(), "expected one page view, found 2"),
        (lambda told: told.assert_event("ADD", coupon="Y"), "expected one ADD with coupon='Y', found none"),
        (lambda told: told.assert_event("REMOVE"), "expected one REMOVE, found none"),
        (lambda told: told.assert_identity("user_1"), "expected one identity with user_id='user_1', found none"),
        (lambda told: told.assert_no_event("ADD"), "expected no ADD, found 1"),
        (lambda told: told.assert_nothing(), "expected that nothing was told"),
        (lambda told: told.assert_story("ADD"), "expected ADD. Told was"),
        (lambda told: told.assert_refused("invalid", times=2), "expected 2 x refused (invalid), found 1"),
    ],
)
def test_what_does_not_hold_says_what_was_told_instead(tracker: Tracker, claim: object, words: str) -> None:
    with listen() as told:
        tracker.page_view({"page": "Home"})
        tracker.page_view({"page": "Home"})
        tracker.event("ADD", {"product": "SKU1"}, {"coupon": "X"})
        tracker.event("")
    with pytest.raises(AssertionError) as caught:
        claim(told)  # type: ignore[operator]
    message = str(caught.value)
    assert message.startswith(words)
    if "refused (invalid)" not in words:
        assert "  page view Home  page='Home'" in message
        assert "  ADD  product='SKU1' coupon='X'" in message
        assert "refused (invalid): 1" in message


def test_nothing_at_all() -> None:
    told = Told()
    assert repr(told) == "<Told nothing>"
    with pytest.raises(AssertionError, match=r"expected one ADD, found none\. Nothing was told\."):
        told.assert_event("ADD")


def test_it_listens_only_for_its_time(tracker: Tracker) -> None:
    tracker.event("BEFORE")
    with listen() as outer:
        tracker.event("DURING")
        with rehearse() as inner:
            tracker.event("WITHIN")
    tracker.event("AFTER")
    outer.assert_story("DURING", "WITHIN")
    inner.assert_story("WITHIN")


def test_nothing_that_was_told_is_in_its_representation_but_its_story(tracker: Tracker, tracked: Told) -> None:
    tracker.event("ADD", {"email": "ada@example.com"})
    assert repr(tracked) == "<Told ADD>"
