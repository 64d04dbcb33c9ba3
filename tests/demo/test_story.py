"""The demo, clicked through, and the people at the three systems."""

from __future__ import annotations

import signal
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from .playing import SYSTEMS, Demo, browser_id_of, shown

ADA = {"name": "Ada", "email": "Ada@milestone.example"}
BEN = {"name": "Ben", "email": "ben@milestone.example"}


def test_anonymous_days_on_the_laptop_and_a_purchase_on_the_phone(
    demo: Demo, laptop: httpx.Client, phone: httpx.Client
) -> None:
    home = laptop.get("/")
    assert shown(home, "browser-id") == browser_id_of(laptop)
    assert shown(home, "user-id") == "none yet"
    assert 'id="history"' in home.text
    for _ in range(2):
        assert 'id="history"' not in laptop.post("/history").text
    laptop.get("/products/paper-map")
    laptop.post("/cart", data={"product": "paper-map", "quantity": "2"})
    known = laptop.post("/login", data=ADA)
    assert "Log out Ada" in known.text
    user_id = shown(known, "user-id")

    stranger = phone.get("/")
    assert shown(stranger, "user-id") == "none yet"
    assert browser_id_of(phone) != browser_id_of(laptop)
    cart = phone.post("/login", data=ADA)
    assert shown(cart, "user-id") == user_id
    assert 'data-line="trail-kettle"' in cart.text, "what was put into it on an earlier day"
    assert "€ 53.60" in cart.text
    assert "Thank you, Ada" in phone.post("/order").text
    assert "Nothing in it yet" in laptop.get("/cart").text

    devices = [browser_id_of(laptop), browser_id_of(phone)]
    for system in SYSTEMS:
        people = demo.people(system, events=21)
        (ada,) = people["users"]
        assert people["anonymous"] == []
        assert ada["user_id"] == user_id
        assert sorted(ada["anonymous_ids"]) == sorted(devices), "of two visitors either may arrive first"
        whole = demo.person(system, user_id)
        assert whole["traits"]["email"] == ada["email"] == "ada@milestone.example"
        assert [entry["anonymous_id"] for entry in whole["timeline"] if entry["name"] == "CONFIRM"] == devices[1:]
        before = [entry for entry in whole["timeline"] if entry["reattributed"]]
        assert {entry["anonymous_id"] for entry in before} == set(devices)

    events = [found["event"] for found in demo.ask("events")["events"]]
    now = datetime.now(UTC)
    assert {3, 2, 1} <= {(now - datetime.fromisoformat(event["requested_at"])).days for event in events}
    assert {(event["browser_id"], event["channel"]) for event in events} == {
        (devices[0], "WEB"),
        (devices[1], "MOBILE_WEB"),
    }
    assert demo.command.end(signal.SIGINT) == 0
    assert demo.ledger() == dict.fromkeys(SYSTEMS, (21, 21, 0, 0, 0))
    assert demo.command.complaints == []
    assert not Path(demo.outbox).exists()


def test_who_wants_the_newsletter_and_logs_in_later_is_one_person(demo: Demo, laptop: httpx.Client) -> None:
    welcome = laptop.post("/newsletter", data={"email": ADA["email"]})
    assert "ada@milestone.example" in welcome.text
    assert shown(welcome, "user-id") == "ada@milestone.example"
    assert "newsletter-form" not in laptop.get("/").text
    user_id = shown(laptop.post("/login", data=ADA), "user-id")
    assert user_id.startswith("customer-")

    laptop.get("/cart")
    # Sitecore got both identifiers at once; the others need an alias.
    for system, events in (("sitecore", 7), ("customerio", 8), ("datalyr", 8)):
        people = demo.people(system, events)
        (ada,) = people["users"]
        assert ada["user_id"] == user_id or system == "sitecore", "which has both identifiers for the one guest"
        assert ada["anonymous_ids"] == [browser_id_of(laptop)]
        assert "NEWSLETTER" in [entry["name"] for entry in demo.person(system, user_id)["timeline"]]
        assert people["anonymous"] == []


def test_after_logging_out_the_browser_is_the_same_and_the_next_person_is_another(
    demo: Demo, laptop: httpx.Client
) -> None:
    ada = shown(laptop.post("/login", data=ADA), "user-id")
    browser_id = browser_id_of(laptop)
    logged_out = laptop.post("/logout")
    assert shown(logged_out, "user-id") == "none yet"
    assert shown(logged_out, "browser-id") == browser_id
    assert "Log out" not in logged_out.text
    ben = shown(laptop.post("/login", data=BEN), "user-id")

    for system in SYSTEMS:
        people = demo.people(system, events=5)
        assert {one["user_id"] for one in people["users"]} == {ada, ben}


def test_a_newsletter_sign_up_does_not_change_the_user(demo: Demo, laptop: httpx.Client) -> None:
    user_id = shown(laptop.post("/login", data=ADA), "user-id")

    assert 'id="history"' not in laptop.get("/").text
    assert laptop.post("/history").status_code == 200
    assert "trail-kettle" not in laptop.get("/cart").text
    welcome = laptop.post("/newsletter", data={"email": BEN["email"]})
    assert shown(welcome, "user-id") == user_id
    assert "ada@milestone.example" in laptop.get("/").text


@pytest.mark.parametrize("device", ["laptop", "phone"])
def test_cookies_are_bound_to_the_host(demo: Demo, device: str) -> None:
    answer = httpx.get(f"{getattr(demo, device)}/", headers={"accept": "text/html"})

    cookies = answer.headers.get_list("set-cookie")
    assert any(cookie.startswith("bid_demo=") for cookie in cookies)
    assert not [cookie for cookie in cookies if "domain" in cookie.lower()]
