from __future__ import annotations

import re
import signal
from collections.abc import Iterator
from html.parser import HTMLParser

import httpx
import pytest

from .running import Running, running

NAVIGATION = {"sec-fetch-mode": "navigate", "sec-fetch-dest": "document", "accept": "text/html"}


@pytest.fixture
def demo() -> Iterator[Running]:
    with running("demo", "--port", "0", "--collector-port", "0") as command:
        yield command


@pytest.fixture
def browser(demo: Running) -> Iterator[httpx.Client]:
    port = demo.wait_for(r"Open http://localhost:(\d+) and click around")[1]
    url = f"http://127.0.0.1:{port}"
    with httpx.Client(base_url=url, headers=NAVIGATION, follow_redirects=True, timeout=30) as client:
        yield client


def browser_id_of(browser: httpx.Client) -> str:
    return browser.cookies["bid_demo"]


def test_one_visitor_from_the_first_page_to_the_last(demo: Running, browser: httpx.Client) -> None:
    home = browser.get("/")
    browser_id = browser_id_of(browser)
    assert browser_id in home.text

    browser.get("/products/paper-map")
    browser.post("/cart", data={"product": "paper-map"})
    welcome = browser.post("/login", data={"name": "Ada", "email": "ada@shop.example"})
    assert "Log out Ada" in welcome.text
    assert "ada@shop.example" in welcome.text.partition("User ID")[2]

    browser.post("/order")
    farewell = browser.post("/logout")
    assert "nobody yet" in farewell.text
    assert browser_id_of(browser) == browser_id

    shown = browser_id[:8]
    for line in (
        rf"VIEW +{shown}  Home$",
        rf"VIEW +{shown}  Paper map$",
        rf"ADD +{shown}  Paper map$",
        rf"VIEW +{shown}  Cart$",
        rf"IDENTITY +{shown}  EMAIL$",
        rf"VIEW +{shown}  Home$",
        rf"CONFIRM +{shown}  ",
        rf"VIEW +{shown}  Thank you$",
        rf"VIEW +{shown}  Home$",
    ):
        demo.wait_for(line)
    assert demo.end(signal.SIGINT) == 0
    assert demo.lines[-2:] == ["Ledger", "  sitecore  enqueued 9 = delivered 9 + pending 0 + dead 0 + dropped 0"]
    assert demo.complaints == []


def test_ledger_says_what_was_dropped(demo: Running, browser: httpx.Client) -> None:
    browser.get("/", headers={"user-agent": "Mozilla/5.0 (compatible; Googlebot/2.1)"})
    browser.get("/")
    demo.wait_for("VIEW +")

    assert demo.end(signal.SIGTERM) == 0
    assert re.search(r"enqueued 2 = delivered 1 \+ pending 0 \+ dead 0 \+ dropped 1", "".join(demo.lines))
    assert demo.lines[-1].strip() == "dropped (bot): 1"


def test_browser_from_an_earlier_demo_becomes_a_new_visitor(demo: Running, browser: httpx.Client) -> None:
    stale = "7ed103bd-08c2-47f4-8f69-91141ca3200d"
    cookies = f"bid_demo={stale}; bid_demo_sig=aaaaaa.bbbbbbbbbbbbbbbbbbbbbbbbbbb"
    answer = browser.get("/", headers={"cookie": cookies})

    assert stale not in answer.text
    assert demo.wait_for(r"VIEW +(\w+)  Home$")[1] == browser_id_of(browser)[:8]


def test_wrong_email_is_explained_and_nobody_is_logged_in(browser: httpx.Client) -> None:
    answer = browser.post("/login", data={"name": "<script>", "email": 'no"email'})

    assert answer.status_code == 422
    assert "Set the value to a valid email address" in answer.text
    assert "&lt;script&gt;" in answer.text
    assert "<script>" not in answer.text
    assert "Log out" not in browser.get("/").text


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
    assert "No path leads here" in answer.text


@pytest.mark.parametrize("body", [b"", b"product=nothing", b"\xff", b"product=" + b"x" * 100_000])
def test_rubbish_in_forms(browser: httpx.Client, body: bytes) -> None:
    assert browser.post("/cart", content=body).status_code == 404
    assert browser.get("/cart").status_code == 200


def test_pages_need_nothing_from_elsewhere(browser: httpx.Client) -> None:
    """No script, no font, no picture of anybody else's, and every link leads somewhere."""
    seen, waiting = {"/"}, ["/"]
    while waiting:
        answer = browser.get(waiting.pop())
        assert answer.status_code == 200
        page = Links(answer.text)
        assert "script" not in page.tags
        for link in page.found - seen:
            assert link.startswith(("/", "data:,"))
            seen.add(link)
            waiting += [link] if link.startswith("/") else []

    assert {"/cart", "/login", "/style.css", "/products/day-pack"} <= seen


def test_pages_are_made_for_phones_and_closed_to_scripts(browser: httpx.Client) -> None:
    answer = browser.get("/")

    assert 'name="viewport" content="width=device-width' in answer.text
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")


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
