"""The assertions about captured events, and their messages when they fail."""

from __future__ import annotations

import pytest

from passerby import CustomerIO, Sitecore, Tracker, Tracking
from passerby.testing import CapturedEvents, capture_events, dry_run
from tests.making import BROWSER_ID

PUBLIC = "https://api.example.com"


def make_tracker(target_url: str = PUBLIC) -> Tracker:
    sitecore = Sitecore(client_key="key", target_url=target_url, point_of_sale="shop")
    tracking = Tracking(sitecore, secret_key="a secret key that signs", identity_provider="CRM", on_invalid="drop")
    return tracking.for_visitor(BROWSER_ID)


@pytest.fixture
def tracker() -> Tracker:
    return make_tracker()


def test_all_assertions(tracker: Tracker, captured_events: CapturedEvents) -> None:
    tracker.page_view({"page": "Home"}, {"theme": "dark"})
    tracker.identify("user_1", {"email": "ada@example.com", "plan": "pro"})
    tracker.event("ADD", {"product": "SKU1"}, {"coupon": "X"})

    assert len(captured_events) == 3
    captured_events.assert_summary("page view Home", "identity user_1", "ADD")
    assert captured_events.assert_page_view("Home", theme="dark").browser_id == BROWSER_ID
    assert captured_events.assert_identity("user_1", email="ada@example.com", plan="pro").kind == "identity"
    assert captured_events.assert_event("ADD", product="SKU1", coupon="X", user_id="user_1").type == "ADD"
    captured_events.assert_no_event("REMOVE")
    captured_events.assert_no_event("ADD", coupon="Y")
    captured_events.clear()
    captured_events.assert_nothing()


def test_forms_and_screens(captured_events: CapturedEvents) -> None:
    sitecore = Sitecore(client_key="key", target_url=PUBLIC, point_of_sale="shop")
    tracker = Tracking(sitecore, CustomerIO(write_key="key"), secret_key="a secret key that signs").for_visitor(
        BROWSER_ID
    )
    tracker.form("contact", "submitted", "c1")
    tracker.screen("Cart", {"items": 3})
    captured_events.assert_summary("form contact SUBMITTED", "screen Cart")
    captured_events.assert_form("contact")
    assert captured_events.assert_form("contact", "submitted", component_instance_id="c1").kind == "form"
    assert captured_events.assert_screen("Cart", items=3).kind == "screen"
    with pytest.raises(AssertionError, match="expected one form with form_id='news'"):
        captured_events.assert_form("news")


def test_refused_calls_are_counted(tracker: Tracker, captured_events: CapturedEvents) -> None:
    tracker.event("")
    tracker.identity({"identifiers": [{"id": "1", "provider": "CRM"}]})
    tracker.identity({"identifiers": [{"id": "2", "provider": "CRM"}], "email": "no address"})
    captured_events.assert_refused("invalid", times=2)
    captured_events.assert_refused("bot", times=0)
    captured_events.assert_summary("identity 1")


@pytest.mark.parametrize(
    ("claim", "words"),
    [
        (lambda events: events.assert_page_view("Cart"), "expected one page view with page='Cart', found none"),
        (lambda events: events.assert_page_view(), "expected one page view, found 2"),
        (lambda events: events.assert_event("ADD", coupon="Y"), "expected one ADD with coupon='Y', found none"),
        (lambda events: events.assert_event("REMOVE"), "expected one REMOVE, found none"),
        (lambda events: events.assert_identity("user_1"), "expected one identity with user_id='user_1', found none"),
        (lambda events: events.assert_no_event("ADD"), "expected no ADD, found 1"),
        (lambda events: events.assert_nothing(), "expected no events"),
        (lambda events: events.assert_summary("ADD"), "expected ADD. Captured events"),
        (lambda events: events.assert_refused("invalid", times=2), "expected 2 x refused (invalid), found 1"),
    ],
)
def test_a_failing_assertion_lists_the_captured_events(tracker: Tracker, claim: object, words: str) -> None:
    with capture_events() as events:
        tracker.page_view({"page": "Home"})
        tracker.page_view({"page": "Home"})
        tracker.event("ADD", {"product": "SKU1"}, {"coupon": "X"})
        tracker.event("")
    with pytest.raises(AssertionError) as caught:
        claim(events)  # type: ignore[operator]
    message = str(caught.value)
    assert message.startswith(words)
    if "refused (invalid)" not in words:
        assert "  page view Home  page='Home'" in message
        assert "  ADD  product='SKU1' coupon='X'" in message
        assert "refused (invalid): 1" in message


def test_no_events() -> None:
    events = CapturedEvents()
    assert repr(events) == "<CapturedEvents nothing>"
    with pytest.raises(AssertionError, match=r"expected one ADD, found none\. No events were captured\."):
        events.assert_event("ADD")


def test_events_are_captured_only_within_the_block(tracker: Tracker) -> None:
    tracker.event("BEFORE")
    with capture_events() as outer:
        tracker.event("DURING")
        with dry_run() as inner:
            tracker.event("WITHIN")
    tracker.event("AFTER")
    outer.assert_summary("DURING", "WITHIN")
    inner.assert_summary("WITHIN")


def test_the_representation_is_the_summary(tracker: Tracker, captured_events: CapturedEvents) -> None:
    tracker.event("ADD", {"email": "ada@example.com"})
    assert repr(captured_events) == "<CapturedEvents ADD>"
