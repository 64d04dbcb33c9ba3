"""What an address says of somebody reaches no system, no file and no log, whatever the settings."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

from passerby import Tracker
from passerby.collector import CollectorServer
from tests.making import make_scope

from .conftest import MakeTracking, delivered
from .services import EVERYWHERE, told
from .site import Site
from .test_secrets import assert_nowhere, everything_in, everything_sent

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U"
SECRETS = {
    "a token": (JWT, JWT),
    "Django's token": ("c3k5xq-0f4d9b1e7a2c6d8f0b3e5a7c9d1f2e4b", "0f4d9b1e7a2c6d8f"),
    "an email address": ("ada.lovelace%40shop.example", "lovelace"),
    "an email address, encoded twice": ("ada.lovelace%2540shop.example", "lovelace"),
    "a card number": ("4111-1111-1111-1111", "1111-1111"),
    "a random text": ("kJ8s2_Qw9zXc4vB7nM1-LpO0iU6yT5rE", "Qw9zXc4vB7nM1"),
}
SETTINGS: dict[str, dict[str, Any]] = {
    "as they are": {},
    "nothing inferred": {"infer_from_request": False},
    "sensitive traits allowed": {"sensitive_traits": "allow"},
    "a callable that gives back what it gets": {"redact_url": lambda url: url},
}


@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("name", SECRETS)
def test_a_secret_in_an_address_is_nowhere(
    make_tracking: MakeTracking,
    collector: CollectorServer,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    name: str,
    settings: str,
) -> None:
    """Neither in the page's name, URL, path, referrer and campaign of any call, nor in those of the page after it."""
    caplog.set_level(logging.DEBUG, "passerby")
    secret, core = SECRETS[name]
    tracking = make_tracking(outbox=f"sqlite://{tmp_path}/outbox", **SETTINGS[settings])

    def page(tracker: Tracker) -> None:
        tracker.page_view()
        tracker.event("ADD")
        tracker.identify("ada", {"plan": "pro"})
        tracker.event("GIVEN", context={"url": f"https://shop.example/x/{secret}?to={secret}", "path": f"/x/{secret}"})

    browser = Site(tracking, {"/x/{rest:path}": page, "/next": page}).browser()
    browser.open(f"/x/{secret}?utm_source=mail&utm_content={secret}&variantid={secret}&other={secret}")
    browser.referrer = f"https://shop.example/x/{secret}/"
    browser.open("/next")
    browser.referrer = f"https://mail.example/x/{secret}?q={secret}"
    browser.open("/next")

    assert delivered(tracking)
    assert [len(told(collector)[system]) for system in EVERYWHERE] == [10, 10, 10]
    logged = " ".join(one.getMessage() for one in caplog.records if one.name.startswith("passerby"))
    assert_nowhere(core, everything_sent(collector), everything_in(tmp_path), logged)
    assert "mail" in everything_sent(collector)


def test_a_callable_of_the_app_masks_more(make_tracking: MakeTracking, collector: CollectorServer) -> None:
    """What it takes away is away everywhere: in the path, the page's name and the campaign too."""
    given: list[str] = []

    def redact(url: str) -> str | None:
        given.append(url)
        return None if "private" in url else url.replace("lovelace", "somebody").replace("utm_term=pain", "")

    tracking = make_tracking(redact_url=redact)
    browser = Site(tracking, {"/{rest:path}": lambda tracker: tracker.page_view()}).browser()
    browser.referrer = "https://mail.example/private"
    browser.open("/patients/lovelace?utm_source=mail&utm_term=pain")
    browser.referrer = "https://mail.example/lovelace"
    browser.open("/private/notes")

    assert delivered(tracking)
    for word in ("lovelace", "pain", "private", "notes"):
        assert_nowhere(word, everything_sent(collector))
    first, second = collector.messages("customerio")
    assert first["context"]["page"]["path"] == "/patients/somebody"
    assert first["context"]["campaign"] == {"source": "mail"}
    assert "page" not in second["context"] or "path" not in second["context"]["page"]
    assert [event["page"] for event in collector.events] == ["somebody", ""]
    assert given[0] == "https://shop.example/patients/lovelace?utm_source=mail&utm_term=pain"


@pytest.mark.parametrize("wrong", ["raises", "gives bytes", "is asynchronous after all"])
def test_a_callable_that_fails_masks_everything(
    make_tracking: MakeTracking, collector: CollectorServer, caplog: pytest.LogCaptureFixture, wrong: str
) -> None:
    async def later(url: str) -> str:
        return url

    def redact(url: str) -> Any:
        if wrong == "raises":
            raise ValueError(f"what is this: {url}")
        return url.encode() if wrong == "gives bytes" else later(url)

    tracking = make_tracking(redact_url=redact)
    browser = Site(tracking, {"/{rest:path}": lambda tracker: tracker.page_view()}).browser()
    browser.referrer = "https://mail.example/lovelace"
    browser.open("/patients/lovelace?utm_source=lovelace")

    assert delivered(tracking)
    logged = " ".join(one.getMessage() for one in caplog.records if one.name.startswith("passerby"))
    assert_nowhere("lovelace", everything_sent(collector), logged)
    (call,) = collector.messages("customerio")
    assert call["context"]["page"]["url"] == "https://shop.example/***"
    assert call["context"]["page"]["referrer"] == "https://mail.example/***"
    assert "redact_url" in caplog.text


def test_a_context_that_the_app_gives_is_redacted_too(make_tracking: MakeTracking, collector: CollectorServer) -> None:
    tracking = make_tracking(redact_url=lambda url: url.replace("lovelace", "somebody"))
    tracker = tracking.tracker_for(make_scope("/"))
    tracker.page_view(context={"path": "/patients/lovelace"})
    tracker.page_view(
        context={"url": "https://shop.example/patients/lovelace", "referrer": "https://a.example/lovelace"}
    )
    tracker.page_view(context={"campaign": {"utm_content": "ada@shop.example"}, "variant": JWT})

    assert delivered(tracking)
    assert_nowhere("lovelace", everything_sent(collector))
    assert_nowhere("ada@", everything_sent(collector))
    assert_nowhere(JWT, everything_sent(collector))
    assert "somebody" in [event["page"] for event in collector.events]


def test_the_route_names_a_page_and_is_no_property_of_other_events(
    make_tracking: MakeTracking, collector: CollectorServer
) -> None:
    tracking = make_tracking()

    def page(tracker: Tracker) -> None:
        tracker.page_view()
        tracker.event("ADD", {"total": 1})

    Site(tracking, {"/items/{pk}/update": page}).browser().open("/items/17/update")
    assert delivered(tracking)
    assert [event["page"] for event in collector.events] == ["items/{pk}/update"] * 2
    view, add = collector.messages("customerio")
    assert view["name"] == "items/{pk}/update"
    assert add["properties"] == {"total": 1}
    assert [event["properties"].get("page") for event in collector.messages("datalyr")][1:] == [None]
