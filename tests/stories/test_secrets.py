"""What must not be told of anybody, and what is told as a hash only."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from passerby import Tracker, Tracking, ValidationError
from passerby.collector import CollectorServer

from .conftest import MakeTracking, delivered
from .services import CUSTOMERIO, DATALYR, EVERYWHERE, SITECORE, told, traits
from .site import Browser, Site

EMAIL, PHONE, STREET = "Ada.Lovelace@Shop.example", "+353 1 555-0123", "12 St James Square"


def hash_of(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def everything_sent(collector: CollectorServer) -> str:
    return " ".join(f"{one.path} {one.headers} {one.body.decode()}" for one in collector.requests)


def everything_in(directory: Path) -> str:
    return " ".join(path.read_bytes().decode("latin-1") for path in directory.rglob("*") if path.is_file())


def assert_nowhere(text: str, *places: str) -> None:
    for place in places:
        assert text.lower() not in place.lower()


@pytest.fixture
def outbox(tmp_path: Path) -> Path:
    return tmp_path / "outbox"


def test_of_hashed_traits_the_value_is_nowhere(
    make_tracking: MakeTracking, collector: CollectorServer, outbox: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither on the wire, nor in a cookie, nor in a file, nor in the log."""
    caplog.set_level(logging.DEBUG)
    tracking = make_tracking(outbox=f"sqlite://{outbox}", hash_traits={"email", "phone", "address_street"})

    def sign_up(tracker: Tracker) -> None:
        tracker.identify("ada", {"email": EMAIL, "phone": PHONE, "address": {"street": STREET, "city": "London"}})
        tracker.group("acme", {"email": EMAIL, "size": 5})

    browser = Site(tracking, {"/": lambda tracker: tracker.page_view(), "/signup": sign_up}).browser()
    browser.open("/")
    assert delivered(tracking)
    collector.stop()
    browser.open("/signup")
    stored = everything_in(outbox)
    collector.start()
    assert delivered(tracking)

    hashed = {"email": hash_of(EMAIL.lower()), "phone": hash_of("+35315550123")}
    assert hashed["email"] in stored
    for value in (EMAIL, PHONE, STREET):
        assert_nowhere(value, everything_sent(collector), stored, str(browser.cookies), caplog.text)
    known = traits(collector, "ada")
    street, city = hash_of(STREET.lower()), "London"
    assert known[SITECORE] == hashed | {"address_street": street, "address_city": city}
    assert known[CUSTOMERIO] == hashed | {"address": {"street": street, "city": city}}
    assert known[DATALYR] == hashed | {"address_street": street, "address_city": city}


SECRETS: dict[str, tuple[Callable[[Tracker, Any], object], Any]] = {
    "a password": (lambda tracker, value: tracker.identify("ada", {"password": value}), "hunter2-hunter2"),
    "a card number": (lambda tracker, value: tracker.identify("ada", {"note": value}), "4111 1111 1111 1111"),
    "a number of social security": (
        lambda tracker, value: tracker.identify("ada", {"reference": value}),
        "078-05-1120",
    ),
    "a token within": (lambda tracker, value: tracker.identify("ada", {"session": {"token": value}}), "tok-123456789"),
    "in Sitecore's words": (
        lambda tracker, value: tracker.identity({"identifiers": [{"id": "ada", "provider": "CRM"}], "phone": value}),
        "4111111111111111",
    ),
    "a field that passerby does not know": (
        lambda tracker, value: tracker.identity({"identifiers": [{"id": "ada", "provider": "CRM"}], "apiKey": value}),
        "key-of-somebody",
    ),
    "of a group": (lambda tracker, value: tracker.group("acme", {"api_key": value}), "key-of-somebody"),
}


@pytest.mark.parametrize("name", SECRETS)
def test_a_secret_is_refused_and_is_nowhere(
    make_tracking: MakeTracking, collector: CollectorServer, outbox: Path, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    caplog.set_level(logging.DEBUG)
    tell, value = SECRETS[name]
    tracking = make_tracking(outbox=f"sqlite://{outbox}")
    messages: list[str] = []

    def sign_up(tracker: Tracker) -> None:
        with pytest.raises(ValidationError, match="looks like") as caught:
            tell(tracker, value)
        messages.append(str(caught.value))

    browser = Site(tracking, {"/": lambda tracker: tracker.page_view(), "/signup": sign_up}).browser()
    browser.open("/signup")
    browser.open("/")

    assert delivered(tracking)
    assert [one.what for system in EVERYWHERE for one in told(collector)[system]] == ["page view"] * 3
    assert_is_nowhere(value, tracking, collector, outbox, browser, caplog)
    assert_nowhere(value, *messages)


def test_an_app_that_wants_no_exceptions_hears_of_it_in_the_log_without_the_value(
    make_tracking: MakeTracking, collector: CollectorServer, outbox: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tracking = make_tracking(outbox=f"sqlite://{outbox}", on_invalid="drop")
    browser = Site(tracking, {"/": lambda tracker: tracker.identify("ada", {"password": "hunter2-hunter2"})}).browser()
    browser.open("/")

    assert delivered(tracking)
    assert "trait 'password'" in caplog.text
    assert_is_nowhere("hunter2-hunter2", tracking, collector, outbox, browser, caplog)
    for one in tracking.stats().destinations.values():
        assert (one.recorded, one.dropped) == (1, {"invalid": 1})


def assert_is_nowhere(
    value: str,
    tracking: Tracking,
    collector: CollectorServer,
    outbox: Path,
    browser: Browser,
    caplog: pytest.LogCaptureFixture,
) -> None:
    places = (everything_sent(collector), everything_in(outbox), str(browser.cookies), caplog.text)
    assert_nowhere(value, *places, str(tracking.dead_letters()))
