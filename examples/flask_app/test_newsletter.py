"""What the newsletter tells."""

from __future__ import annotations

import pytest
from flask.testing import FlaskClient
from newsletter import create_app

from passerby.testing import Told


@pytest.fixture
def client() -> FlaskClient:
    return create_app({"TESTING": True}).test_client()


def test_a_visitor_reads_and_subscribes(client: FlaskClient, tracked: Told) -> None:
    client.get("/")
    client.get("/issues/spring")
    client.post("/subscribe")

    tracked.assert_story("page view Home", "page view What comes up in spring", "SUBSCRIBE")
    tracked.assert_event("SUBSCRIBE", list="weekly", channel="WEB")
    assert len({event.browser_id for event in tracked.events}) == 1, "one visitor"


def test_a_sign_in_is_an_identity_until_the_sign_out(client: FlaskClient, tracked: Told) -> None:
    client.post("/sign-in", data={"email": "ada@example.com"})
    client.get("/issues/summer")
    client.post("/sign-out")
    client.get("/issues/autumn")

    tracked.assert_identity("ada@example.com", email="ada@example.com")
    tracked.assert_page_view("Where to sit in summer", user_id="ada@example.com")
    tracked.assert_page_view("Leaves, and who counts them", user_id=None)


@pytest.mark.parametrize("email", ["", "no address"])
def test_what_is_no_address_is_said_so_and_not_told(client: FlaskClient, tracked: Told, email: str) -> None:
    answer = client.post("/sign-in", data={"email": email})

    assert answer.status_code == 422
    assert 'role="alert"' in answer.text
    tracked.assert_nothing()


def test_a_form_of_another_site_signs_nobody_in(client: FlaskClient, tracked: Told) -> None:
    elsewhere = {"sec-fetch-site": "cross-site"}
    assert client.post("/sign-in", data={"email": "ada@example.com"}, headers=elsewhere).status_code == 403
    assert client.get("/", headers=elsewhere).status_code == 200, "a link is welcome"
    tracked.assert_story("page view Home")


def test_a_page_that_is_missing_is_told_as_one(client: FlaskClient, tracked: Told) -> None:
    assert client.get("/issues/winter").status_code == 404
    tracked.assert_event("MISSING", page="/issues/winter")


def test_a_page_says_who_reads_it(client: FlaskClient) -> None:
    page = client.get("/").text
    cookie = client.get_cookie("bid_newsletter")
    assert cookie is not None
    assert cookie.value in page
