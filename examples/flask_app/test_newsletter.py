"""The events of the newsletter."""

from __future__ import annotations

import pytest
from flask.testing import FlaskClient
from newsletter import create_app

from passerby.testing import CapturedEvents


@pytest.fixture
def client() -> FlaskClient:
    return create_app({"TESTING": True}).test_client()


def test_a_visitor_reads_and_subscribes(client: FlaskClient, captured_events: CapturedEvents) -> None:
    client.get("/")
    client.get("/issues/spring")
    client.post("/subscribe")

    captured_events.assert_summary("page view Home", "page view What comes up in spring", "SUBSCRIBE")
    captured_events.assert_event("SUBSCRIBE", list="weekly", channel="WEB")
    assert len({event.browser_id for event in captured_events.events}) == 1, "one visitor"


def test_a_sign_in_is_an_identity_until_the_sign_out(client: FlaskClient, captured_events: CapturedEvents) -> None:
    client.post("/sign-in", data={"email": "ada@example.com"})
    client.get("/issues/summer")
    client.post("/sign-out")
    client.get("/issues/autumn")

    captured_events.assert_identity("ada@example.com", email="ada@example.com")
    captured_events.assert_page_view("Where to sit in summer", user_id="ada@example.com")
    captured_events.assert_page_view("Leaves, and who counts them", user_id=None)


@pytest.mark.parametrize("email", ["", "no address"])
def test_an_invalid_address_is_explained_and_not_tracked(
    client: FlaskClient, captured_events: CapturedEvents, email: str
) -> None:
    answer = client.post("/sign-in", data={"email": email})

    assert answer.status_code == 422
    assert 'role="alert"' in answer.text
    captured_events.assert_nothing()


def test_a_form_of_another_site_does_not_sign_in(client: FlaskClient, captured_events: CapturedEvents) -> None:
    elsewhere = {"sec-fetch-site": "cross-site"}
    assert client.post("/sign-in", data={"email": "ada@example.com"}, headers=elsewhere).status_code == 403
    assert client.get("/", headers=elsewhere).status_code == 200, "a link is welcome"
    captured_events.assert_summary("page view Home")


def test_a_missing_page_is_tracked_as_such(client: FlaskClient, captured_events: CapturedEvents) -> None:
    assert client.get("/issues/winter").status_code == 404
    captured_events.assert_event("MISSING", page="/issues/winter")


def test_a_page_says_who_reads_it(client: FlaskClient) -> None:
    page = client.get("/").text
    cookie = client.get_cookie("bid_newsletter")
    assert cookie is not None
    assert cookie.value in page
