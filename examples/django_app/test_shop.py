"""What the shop tells."""

from __future__ import annotations

import itertools

import pytest
from django.test import Client
from shop.models import Order

from passerby.testing import Told

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


def test_a_visitor_looks_around(client: Client, tracked: Told) -> None:
    client.get("/")
    client.get("/products/kite")
    client.post("/cart/kite")
    client.get("/cart")

    tracked.assert_story("page view Home", "page view A kite", "ADD", "page view Cart")
    tracked.assert_event("ADD", product={"item_id": "kite", "price": 31}, channel="WEB")
    assert len({event.browser_id for event in tracked.events}) == 1, "one visitor"


def test_a_log_in_is_an_identity_until_the_log_out(client: Client, tracked: Told) -> None:
    name = join(client)
    client.post("/logout")
    client.post("/login", {"username": name, "password": PASSWORD})
    client.get("/products/lantern")
    client.post("/logout")
    client.get("/products/compass")

    (first, second) = [event for event in tracked.events if event.kind == "identity"]
    assert first.user_id == second.user_id == tracked.assert_page_view("A lantern").user_id
    assert first.data["first_name"] == name
    tracked.assert_page_view("A compass", user_id=None)


def test_an_order_is_told(client: Client, tracked: Told) -> None:
    join(client)
    client.post("/cart/lantern")
    client.post("/order")

    tracked.assert_event("CONFIRM", product=[{"item_id": "lantern"}])


def test_an_empty_cart_is_no_order(client: Client, tracked: Told) -> None:
    join(client)
    client.post("/order")
    tracked.assert_no_event("CONFIRM")


def test_an_order_that_fails_is_not_told(client: Client, tracked: Told) -> None:
    """There is one kite, and two were ordered: what the database takes back, passerby takes back."""
    join(client)
    client.post("/cart/kite")
    client.post("/cart/kite")
    orders = Order.objects.count()
    answer = client.post("/order")
    assert (answer.status_code, b"there are only 1" in answer.content) == (409, True)

    tracked.assert_no_event("CONFIRM")
    tracked.assert_refused("rollback")
    assert Order.objects.count() == orders


def test_a_page_says_who_sees_it(client: Client) -> None:
    page = client.get("/").content.decode()
    assert client.cookies["bid_shop"].value in page


def test_the_admin_is_untouched(client: Client, tracked: Told) -> None:
    assert client.get("/admin/login/").status_code == 200
    tracked.assert_nothing()
