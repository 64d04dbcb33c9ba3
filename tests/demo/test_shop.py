"""The pages of the shop and their events."""

from __future__ import annotations

import re
import signal
from html.parser import HTMLParser

import httpx
import pytest

from .playing import SYSTEMS, Demo, browser_id_of


def test_each_page_and_action_is_tracked_in_order(demo: Demo, laptop: httpx.Client) -> None:
    home = laptop.get("/")
    browser_id = browser_id_of(laptop)
    assert browser_id in home.text
    laptop.get("/products/paper-map")
    laptop.post("/cart", data={"product": "paper-map"})
    laptop.post("/newsletter", data={"email": "ada@milestone.example"})
    laptop.post("/login", data={"name": "Ada", "email": "ada@milestone.example"})
    laptop.post("/order")
    laptop.post("/logout")

    shown = browser_id[:8]
    for line in (
        rf"VIEW +{shown}  Home$",
        rf"VIEW +{shown}  Paper map$",
        rf"ADD +{shown}  Paper map$",
        rf"VIEW +{shown}  Cart$",
        rf"IDENTITY +{shown}  EMAIL$",
        rf"NEWSLETTER +{shown}  Newsletter$",
        rf"VIEW +{shown}  Newsletter$",
        rf"IDENTITY +{shown}  SHOP, EMAIL$",
        rf"VIEW +{shown}  Cart$",
        rf"CONFIRM +{shown}  Cart$",
        rf"VIEW +{shown}  Thank you$",
        rf"VIEW +{shown}  Home$",
    ):
        demo.command.wait_for(line)
    assert demo.command.end(signal.SIGINT) == 0
    assert demo.command.complaints == []


def test_ledger_says_what_was_dropped(demo: Demo, laptop: httpx.Client) -> None:
    laptop.get("/", headers={"user-agent": "Mozilla/5.0 (compatible; Googlebot/2.1)"})
    laptop.get("/")
    demo.command.wait_for("VIEW +")

    assert demo.command.end(signal.SIGTERM) == 0
    assert demo.ledger() == dict.fromkeys(SYSTEMS, (2, 1, 0, 0, 1))
    assert [line.strip() for line in demo.command.lines].count("dropped (bot): 1") == 3


def test_browser_from_an_earlier_demo_becomes_a_new_visitor(demo: Demo, laptop: httpx.Client) -> None:
    stale = "7ed103bd-08c2-47f4-8f69-91141ca3200d"
    cookies = f"bid_demo={stale}; bid_demo_sig=aaaaaa.bbbbbbbbbbbbbbbbbbbbbbbbbbb"
    answer = laptop.get("/", headers={"cookie": cookies})

    assert stale not in answer.text
    assert demo.command.wait_for(r"VIEW +(\w+)  Home$")[1] == browser_id_of(laptop)[:8]


def test_a_wrong_email_is_explained_and_does_not_log_in(browser: httpx.Client) -> None:
    answer = browser.post("/login", data={"name": "<script>", "email": 'no"email'})

    assert answer.status_code == 422
    assert "Set the value to a valid email address" in answer.text
    assert "&lt;script&gt;" in answer.text
    assert "<script>" not in answer.text
    assert "Log out" not in browser.get("/").text


@pytest.mark.parametrize("email", ["", "nobody", 'no"email', "a" * 300 + "@b.example"])
def test_newsletter_needs_an_email(browser: httpx.Client, email: str) -> None:
    answer = browser.post("/newsletter", data={"email": email})

    assert answer.status_code == 422
    assert 'role="alert"' in answer.text
    assert answer.text.count('id="newsletter-form"') == 1
    assert "none yet" in browser.get("/").text


def test_cart_is_filled_and_emptied(browser: httpx.Client) -> None:
    for _ in range(2):
        browser.post("/cart", data={"product": "enamel-mug"})
    filled = browser.post("/cart", data={"product": "paper-map"})
    assert "€ 35.60" in filled.text

    emptied = browser.post("/cart/remove", data={"product": "enamel-mug"})
    assert "€ 9.80" in emptied.text
    assert "Enamel mug" not in emptied.text
    assert "Thank you" in browser.post("/order").text
    assert "Nothing in it yet" in browser.post("/order").text


@pytest.mark.parametrize("path", ["/nowhere", "/products/nothing", "/products/%3Cscript%3E"])
def test_unknown_page(browser: httpx.Client, path: str) -> None:
    answer = browser.get(path)

    assert answer.status_code == 404
    assert "Page not found" in answer.text


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"product=nothing",
        b"product=paper-map&quantity=-1",
        b"product=paper-map&quantity=\xb2",
        b"\xff",
        b"product=" + b"x" * 100_000,
    ],
)
def test_rubbish_in_forms(browser: httpx.Client, body: bytes) -> None:
    assert browser.post("/cart", content=body).status_code == 404
    assert browser.get("/cart").status_code == 200


def test_pages_need_nothing_from_elsewhere(open_demo: Demo, browser: httpx.Client) -> None:
    """No script, font or picture of another origin, and no dead link."""
    own = (open_demo.laptop, open_demo.phone, open_demo.collector)
    seen, waiting = {"/"}, ["/"]
    while waiting:
        answer = browser.get(waiting.pop())
        assert answer.status_code == 200
        page = Links(answer.text)
        assert "script" not in page.tags
        for link in page.found - seen:
            assert link.startswith(("/", "#", *own))
            seen.add(link)
            waiting += [link] if link.startswith("/") else []

    assert {"/cart", "/login", "/shop.css", "/side-by-side", "/products/day-pack"} <= seen


def test_pages_are_made_for_phones_and_closed_to_scripts(browser: httpx.Client) -> None:
    answer = browser.get("/cart")

    assert 'name="viewport" content="width=device-width' in answer.text
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'")
    assert "unsafe" not in policy
    assert not re.search(r"<script|<style|\son\w+=|\sstyle=", answer.text)


class Links(HTMLParser):
    """The tags of a page, and where its links lead."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.found: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.found |= {value or "" for name, value in attrs if name in ("href", "src")}
