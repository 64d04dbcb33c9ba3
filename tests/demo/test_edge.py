"""The demo with the form of Sitecore's API that the Cloud SDK and the Content SDK use."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import httpx
import pytest

from tests.running import running

from .playing import SYSTEMS, Demo, browser_id_of, playing, shown

COOKIE = "sc_cid"
ADA = {"name": "Ada", "email": "ada@milestone.example"}


@pytest.fixture
def demo() -> Iterator[Demo]:
    with playing("--sitecore", "edge") as running:
        yield running


def test_two_devices_become_one_person(demo: Demo, laptop: httpx.Client, phone: httpx.Client) -> None:
    for browser in (laptop, phone):
        home = browser.get("/")
        assert shown(home, "browser-id") == browser_id_of(browser, COOKIE)
        user_id = shown(browser.post("/login", data=ADA), "user-id")
    devices = [browser_id_of(browser, COOKIE) for browser in (laptop, phone)]
    (ada,) = demo.people("sitecore", events=6)["users"]
    whole = demo.person("sitecore", user_id)

    assert devices[0] != devices[1]
    assert sorted(ada["anonymous_ids"]) == sorted(devices)
    assert whole["sites"] == ["milestone"]
    assert [entry["site"] for entry in whole["timeline"]] == ["milestone"] * 6
    for event in (found["event"] for found in demo.ask("events")["events"]):
        assert (event["client_key"], event["pos"]) == ("", "")
    assert demo.command.end(signal.SIGINT) == 0
    assert demo.ledger() == dict.fromkeys(SYSTEMS, (6, 6, 0, 0, 0))
    assert demo.command.complaints == []


def test_no_cookie_of_the_other_form_is_set(demo: Demo, laptop: httpx.Client) -> None:
    laptop.get("/")

    assert not [name for name in laptop.cookies if name.startswith("bid_")]


@pytest.mark.parametrize("arguments", [["--sitecore", "cloud"], ["--sitecore", ""], ["--sitecore"]])
def test_a_form_that_is_none_is_named(arguments: list[str]) -> None:
    with running("demo", *arguments) as command:
        assert command.wait() == 2

    assert any("--sitecore" in line for line in command.complaints)
    assert command.lines == []
