"""The events of the reading list."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient
from main import app

from passerby.testing import CapturedEvents


@pytest.fixture
def client() -> Iterator[TestClient]:
    with TestClient(app) as client:
        yield client


def test_a_visitor_reads_a_book(client: TestClient, captured_events: CapturedEvents) -> None:
    client.get("/")
    client.get("/books/maps")
    client.post("/books/maps/read")

    captured_events.assert_summary(
        "page view Reading list",
        "page view Maps of places that are not there",
        "READ",
        "RECOMMENDED",
        "page view Reading list",
    )
    captured_events.assert_event("READ", book="maps", channel="WEB")
    captured_events.assert_event("RECOMMENDED", because_of="maps")
    assert len({event.browser_id for event in captured_events.events}) == 1, "one visitor"


def test_a_log_in_is_an_identity_until_the_log_out(client: TestClient, captured_events: CapturedEvents) -> None:
    client.post("/login", data={"name": "Ada"})
    client.get("/books/tea")
    client.post("/logout")
    client.get("/books/walking")

    captured_events.assert_identity("ada", first_name="Ada")
    captured_events.assert_page_view("A short history of tea", user_id="ada")
    captured_events.assert_page_view("On walking slowly", user_id=None)


def test_a_page_says_who_sees_it(client: TestClient) -> None:
    browser_id = client.get("/").cookies["bid_reading-list"]
    assert browser_id in client.get("/books/tea").text


def test_a_missing_book_is_not_tracked(client: TestClient, captured_events: CapturedEvents) -> None:
    assert client.get("/books/missing").status_code == 404
    assert client.post("/books/missing/read").status_code == 404
    captured_events.assert_nothing()


@pytest.mark.parametrize("name", [" ", "x" * 61])
def test_an_invalid_name_is_explained_and_not_tracked(
    client: TestClient, captured_events: CapturedEvents, name: str
) -> None:
    assert client.post("/login", data={"name": name}).status_code == 422
    captured_events.assert_nothing()


def test_a_form_of_another_site_does_not_log_in(client: TestClient, captured_events: CapturedEvents) -> None:
    elsewhere = {"sec-fetch-site": "cross-site"}
    assert client.post("/login", data={"name": "Ada"}, headers=elsewhere).status_code == 403
    assert client.get("/", headers=elsewhere).status_code == 200, "a link is welcome"
    captured_events.assert_summary("page view Reading list")


def test_names_are_shown_as_they_are(client: TestClient) -> None:
    client.post("/login", data={"name": "<script>"})
    assert "&lt;script&gt;" in client.get("/").text
