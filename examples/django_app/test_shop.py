"""The events of the shop."""

from __future__ import annotations

import itertools

import pytest
from django.test import Client
from shop.models import Order

from passerby.testing import CapturedEvents

PASSWORD = "a password of an example"
names = (f"ada-{number}" for number in itertools.count(1))


@pytest.fixture
def client() -> Client:
    return Client()


def join(client: Client) -> str:
    """Become a customer; return the name."""
    name = next(names)
    client.post("/join", {"username": name, "password1": PASSWORD, "password2": PASSWORD})
    return name


def test_a_visitor_looks_around(client: Client, captured_events: CapturedEvents) -> None:
    client.get("/")
    client.get("/products/kite")
    client.post("/cart/kite")
    client.get("/cart")

    captured_events.assert_summary("page view Home", "page view A kite", "ADD", "page view Cart")
    captured_events.assert_event("ADD", product={"item_id": "kite", "price": 31}, channel="WEB")
    assert len({event.browser_id for event in captured_events.events}) == 1, "one visitor"


def test_a_log_in_is_an_identity_until_the_log_out(client: Client, captured_events: CapturedEvents) -> None:
    name = join(client)
    client.post("/logout")
    client.post("/login", {"username": name, "password": PASSWORD})
    client.get("/products/lantern")
    client.post("/logout")
    client.get("/products/compass")

    (first, second) = [event for event in captured_events.events if event.kind == "identity"]
    assert first.user_id == second.user_id == captured_events.assert_page_view("A lantern").user_id
    assert first.data["first_name"] == name
    captured_events.assert_page_view("A compass", user_id=None)


def test_an_order_is_tracked(client: Client, captured_events: CapturedEvents) -> None:
    join(client)
    client.post("/cart/lantern")
    client.post("/order")

    captured_events.assert_event("CONFIRM", product=[{"item_id": "lantern"}])


def test_an_empty_cart_is_no_order(client: Client, captured_events: CapturedEvents) -> None:
    join(client)
    client.post("/order")
    captured_events.assert_no_event("CONFIRM")


def test_a_failed_order_is_not_tracked(client: Client, captured_events: CapturedEvents) -> None:
    """There is one kite, and two were ordered: what the database takes back, passerby takes back."""
    join(client)
    client.post("/cart/kite")
    client.post("/cart/kite")
    orders = Order.objects.count()
    answer = client.post("/order")
    assert (answer.status_code, b"there are only 1" in answer.content) == (409, True)

    captured_events.assert_no_event("CONFIRM")
    captured_events.assert_refused("rollback")
    assert Order.objects.count() == orders


def test_a_page_says_who_sees_it(client: Client) -> None:
    page = client.get("/").content.decode()
    assert client.cookies["bid_shop"].value in page


def test_the_admin_is_untouched(client: Client, captured_events: CapturedEvents) -> None:
    assert client.get("/admin/login/").status_code == 200
    captured_events.assert_nothing()
