"""What can be done from the page: filter, pause, export, clear, and set faults."""

from __future__ import annotations

import json
import re
import sqlite3
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import expect

from passerby.collector import CollectorServer

from .collector_page import CollectorPage
from .conftest import OpenProfile
from .watch import Watch

pytestmark = pytest.mark.browser


@pytest.fixture
def look(collector: CollectorServer, open_profile: OpenProfile) -> CollectorPage:
    look = CollectorPage(open_profile().new_page(), collector.url)
    look.open()
    return look


def track(collector: CollectorServer, *names: str, type: str = "track", **fields: Any) -> httpx.Response:
    """Send events in Customer.io's format."""
    batch = [{"type": type, "anonymousId": "a1", "event": name, "name": name, **fields} for name in names]
    return httpx.post(f"{collector.url}/v1/batch", json={"batch": batch}, auth=("secret-key", ""))


def test_what_arrives_is_shown_and_what_would_be_refused_is_red(
    look: CollectorPage, collector: CollectorServer
) -> None:
    expect(look.page.locator("#stream-empty")).to_contain_text(f'target_url="{collector.url}"')
    track(collector, "Looked")
    httpx.post(f"{collector.url}/v1.2/events", json={"type": "VIEW", "browser_id": "nobody's", "client_key": "key"})

    look.expect_count(2)
    refused, accepted = look.rows.first, look.rows.last
    expect(refused).to_have_attribute("data-outcome", "refused")
    expect(refused).to_contain_text("was not issued here")
    expect(accepted).to_have_attribute("data-outcome", "accepted")
    red, green, blue = map(
        int, re.findall(r"\d+", refused.locator(".refusal").evaluate("(it) => getComputedStyle(it).color"))[:3]
    )
    assert red > max(green, blue)


def test_a_request_and_its_answer_are_a_click_away(look: CollectorPage, collector: CollectorServer) -> None:
    track(collector, "Looked", "Bought", properties={"price": 12.5})
    look.rows.first.locator(".row-summary").click()

    expect(look.page.locator("#details-title")).to_have_text("track")
    for words in ("/v1/batch", '"event": "Bought"', '"price": 12.5', '"success": true'):
        expect(look.details).to_contain_text(words)
    look.details.locator("summary").first.click()
    expect(look.details).to_contain_text("Basic")
    assert "c2VjcmV0LWtleTo" not in (look.details.text_content() or "")  # the key


def test_filters_and_the_address_that_keeps_them(look: CollectorPage, collector: CollectorServer) -> None:
    track(collector, "Looked", "Bought")
    track(collector, "Home", type="page", anonymousId="a2")
    httpx.post(f"{collector.url}/nowhere")
    look.expect_count(4)
    for settings, count in (
        ({"text": "bought"}, 1),
        ({"text": "", "visitor": "a1"}, 2),
        ({"visitor": "", "type": "page"}, 1),
        ({"type": "", "system": "other"}, 1),
        ({"system": "", "outcome": "refused"}, 1),
    ):
        look.filter(**settings)
        expect(look.rows).to_have_count(count)

    look.page.reload()
    expect(look.page.locator("#filter-outcome")).to_have_value("refused")
    expect(look.rows).to_have_count(1)
    look.page.locator("#filter-reset").click()
    expect(look.rows).to_have_count(4)
    look.rows.last.locator("[data-visitor]").click()
    expect(look.rows).to_have_count(2)


def test_types_to_choose_from(look: CollectorPage, collector: CollectorServer) -> None:
    """Those that have arrived, also after all was forgotten, and however many an app makes up."""
    track(collector, "Looked")
    options = look.page.locator("#filter-type option")
    expect(options).to_have_text(["all", "track"])
    look.page.locator("#clear").click()
    look.page.locator("#clear-confirm").click()
    expect(look.page.locator("#stream-empty")).to_be_visible()
    track(collector, "Home", type="page")
    expect(options).to_have_text(["all", "page", "track"])

    events = [
        {"event_name": f"Type {each}", "anonymous_id": "a", "timestamp": "2026-01-01T00:00:00Z"} for each in range(1000)
    ]
    httpx.post(f"{collector.url}/events", json={"workspaceId": "w", "events": events})
    look.expect_count(1001)
    assert 100 < options.count() <= 202


def test_the_line_whose_request_is_open_is_marked(look: CollectorPage, collector: CollectorServer) -> None:
    track(collector, "Looked", "Bought", "Left")
    look.rows.nth(1).locator(".row-summary").click()
    expect(look.page.locator(".row.is-open")).to_contain_text("Bought")
    look.filter(text="bought")
    expect(look.rows).to_have_count(1)

    expect(look.page.locator(".row.is-open")).to_contain_text("Bought")
    look.details.locator("#details-close").click()
    expect(look.page.locator(".row.is-open")).to_have_count(0)


def test_pause(look: CollectorPage, collector: CollectorServer) -> None:
    track(collector, "Looked")
    look.expect_count(1)
    look.page.locator("#pause").click()
    track(collector, "Bought", "Left")
    expect(look.page.locator("#pause")).to_have_text("Resume (2 waiting)")
    expect(look.rows).to_have_count(1)

    look.page.locator("#pause").click()
    expect(look.rows).to_have_count(3)


def test_export(look: CollectorPage, collector: CollectorServer, tmp_path: Path) -> None:
    track(collector, "Looked", "Süß & <b>teuer</b>")
    look.expect_count(2)
    with look.page.expect_download() as downloading:
        look.page.locator("#export").click()
    downloading.value.save_as(tmp_path / "export")

    lines = [json.loads(line) for line in (tmp_path / "export").read_text(encoding="utf-8").splitlines()]
    assert [(line["system"], line["accepted"], line["event"]["event"]) for line in lines] == [
        ("customerio", True, "Looked"),
        ("customerio", True, "Süß & <b>teuer</b>"),
    ]


def test_clear(look: CollectorPage, collector: CollectorServer) -> None:
    """It empties every page that is open, and what comes then is shown."""
    other = CollectorPage(look.page.context.new_page(), collector.url)
    track(collector, "Looked")
    other.open("visitors/customerio")
    expect(other.page.locator("#people [data-person]")).to_have_count(1)
    look.page.locator("#clear").click()
    look.page.locator("#clear-cancel").click()
    assert len(collector.messages("customerio")) == 1

    look.page.locator("#clear").click()
    look.page.locator("#clear-confirm").click()
    expect(look.page.locator("#stream-empty")).to_be_visible()
    expect(other.page.locator("#people [data-person]")).to_have_count(0)
    assert collector.messages("customerio") == []
    track(collector, "Bought")
    look.expect_count(1)


@pytest.mark.parametrize(
    ("kind", "words"), [("503", "503"), ("429", "429"), ("slow", "late"), ("reset", "connection resets")]
)
def test_faults(look: CollectorPage, collector: CollectorServer, kind: str, words: str) -> None:
    """The page shows active faults, failed requests, and when the faults are cleared."""
    look.page.locator("#faults").click()
    look.page.locator(f"input[name=fault-kind][value='{kind}']").check()
    look.page.locator("#fault-system").select_option("customerio")
    look.page.locator("#fault-start").click()
    expect(look.page.locator("#faults-active-text")).to_have_text(re.compile(rf"{words}.* from Customer\.io"))

    if kind == "reset":
        with pytest.raises(httpx.TransportError):
            track(collector, "Looked")
    else:
        answer = track(collector, "Looked")
        assert answer.status_code == (200 if kind == "slow" else int(kind))
        assert answer.headers.get("retry-after") == ("3" if kind == "429" else None)
    outcome = "accepted" if kind == "slow" else "failed"
    expect(look.rows.first).to_have_attribute("data-outcome", outcome)
    assert httpx.get(f"{collector.url}/v1.2/browser/create.json?client_key=key&message={{}}").status_code == 200

    look.page.locator("#faults-clear").click()
    expect(look.page.locator("#faults-active")).not_to_be_visible()
    assert track(collector, "Bought").status_code == 200


def test_collector_that_ends_and_comes_back(look: CollectorPage, collector: CollectorServer) -> None:
    track(collector, "Looked")
    look.expect_count(1)
    collector.stop()
    expect(look.page.locator("#connection")).to_have_attribute("data-state", "lost")
    expect(look.page.locator("#lost")).to_be_visible()

    collector.start()
    expect(look.page.locator("#connection")).to_have_attribute("data-state", "live")
    expect(look.page.locator("#lost")).not_to_be_visible()
    track(collector, "Bought")
    look.expect_count(2)


def test_collector_that_comes_back_and_has_forgotten_the_last_moments(
    open_profile: OpenProfile, tmp_path: Path
) -> None:
    """What is not written yet when it is killed is lost; a page begins anew then, and shows nothing twice."""
    with CollectorServer(tmp_path / "db") as before:
        with httpx.Client(base_url=before.url) as client:
            for _ in range(1_005):  # of more than with which a page begins
                client.get("/nowhere")
        look = CollectorPage(open_profile().new_page(), before.url)
        look.open()
        look.expect_count(1_000)
        assert before.counts["requests"] == 1_005
        with sqlite3.connect(tmp_path / "db") as written, sqlite3.connect(tmp_path / "copy") as copy:
            written.backup(copy)
        track(before, "Lost")
        look.expect_count(1_001)
        port = before.port
    with CollectorServer(tmp_path / "copy", port):
        expect(look.page.locator("#connection")).to_have_attribute("data-state", "lost")
        expect(look.page.locator("#connection")).to_have_attribute("data-state", "live")
        look.expect_count(1_000)


def test_collector_that_comes_back_with_another_token(open_profile: OpenProfile, watch: Watch) -> None:
    """A browser on another machine gets the log-in form again, not a connection error."""
    watch.expect("^console: Failed to load resource.*401")
    page = open_profile(extra_http_headers={"x-forwarded-for": "192.0.2.1"}).new_page()
    with CollectorServer(token="first") as before:
        page.goto(f"{before.url}/_collector/")
        page.locator("#token").fill("first")
        page.locator("button").click()
        expect(page.locator("#connection")).to_have_attribute("data-state", "live")
        port = before.port
    with CollectorServer(port=port, token="second"):
        expect(page.locator("#token")).to_be_visible()
