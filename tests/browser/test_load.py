"""Many events do not make the page slow: it holds few lines, whatever arrives, and counts all."""

from __future__ import annotations

import statistics
from typing import Any

import httpx
import pytest
from playwright.sync_api import CDPSession

from passerby.collector import CollectorServer

from .collector_page import CollectorPage
from .conftest import OpenProfile

pytestmark = pytest.mark.browser

EVENTS = 10_000
BATCH = 100
VISITORS = 500
MOST_ROWS = 400
MOST_ELEMENTS = 8_000  # in the whole page; some ten a line

# Notes how long each frame took, until it is asked.
WATCH_FRAMES = """() => {
  const frames = window.frames_seen = [];
  let last = performance.now();
  const note = (now) => { frames.push(now - last); last = now; requestAnimationFrame(note); };
  requestAnimationFrame(note);
}"""


def batch_of(numbers: range) -> dict[str, Any]:
    """Page views of many visitors, in Customer.io's format."""
    return {
        "batch": [
            {
                "type": "page",
                "anonymousId": f"visitor-{number % VISITORS}",
                "name": f"Page {number % 40}",
                "messageId": f"message-{number}",
                "properties": {"number": number, "url": f"https://shop.example/pages/{number % 40}"},
            }
            for number in numbers
        ]
    }


def send(url: str, count: int) -> None:
    with httpx.Client(base_url=url, auth=("key", "")) as client:
        for start in range(0, count, BATCH):
            assert client.post("/v1/batch", json=batch_of(range(start, start + BATCH))).status_code == 200


def heap_of(session: CDPSession) -> float:
    """Megabytes of JavaScript's heap in use, without what is only waiting to be thrown away."""
    session.send("HeapProfiler.collectGarbage")
    found = session.send("Performance.getMetrics")["metrics"]
    return float(next(one["value"] for one in found if one["name"] == "JSHeapUsedSize")) / 1e6


def test_ten_thousand_events(collector: CollectorServer, open_profile: OpenProfile) -> None:
    profile = open_profile(viewport={"width": 1280, "height": 800})
    look = CollectorPage(profile.new_page(), collector.url)
    look.open()
    session = profile.new_cdp_session(look.page)
    session.send("Performance.enable")
    heap_before = heap_of(session)
    look.evaluate(WATCH_FRAMES)

    send(collector.url, EVENTS)
    look.expect_count(EVENTS)

    frames = sorted(look.evaluate("frames_seen"))
    heap = heap_of(session)
    elements = look.evaluate("document.querySelectorAll('*').length")
    print(
        f"\n{EVENTS:,} events: heap {heap_before:.1f} MB before, {heap:.1f} MB after; {look.rows.count()} lines, "
        f"{elements:,} elements; {len(frames)} frames of {statistics.median(frames):.1f} ms in the median, "
        f"{frames[int(len(frames) * 0.99)]:.1f} ms at p99, {frames[-1]:.1f} ms at most"
    )
    assert 0 < look.rows.count() <= MOST_ROWS
    assert elements <= MOST_ELEMENTS

    look.filter(visitor="visitor-499")
    look.page.get_by_text(f"{EVENTS // VISITORS} of {EVENTS:,} events").wait_for()
    for view in ("visitors", "health", "stream"):
        look.show(view)
