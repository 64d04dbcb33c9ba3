"""The health view's lines over time, whatever the collector's samples are."""

from __future__ import annotations

import re
from typing import Any

import pytest
from playwright.sync_api import expect

from passerby.collector import CollectorServer

from .collector_page import CollectorPage
from .conftest import OpenProfile

pytestmark = pytest.mark.browser

NOW = 1_790_000_000.0
LEFT = 44  # px, where the oldest moment is drawn


def sample(ago: float, accepted: int) -> dict[str, Any]:
    rest = dict.fromkeys(("pending", "dead", "retries", "lag"))
    return {"time": NOW - ago, "accepted": accepted, "failed": 0, **rest}


@pytest.fixture
def look(collector: CollectorServer, open_profile: OpenProfile) -> CollectorPage:
    """The page of a machine that slept for an hour, and again for a minute."""
    page = open_profile().new_page()
    slept = [sample(ago, 7) for ago in range(3_700, 3_600, -1)]
    history = [*slept, *(sample(ago, 80_000) for ago in (*range(100, 80, -1), *range(20, -1, -1)))]
    figures = {"accepted": 0, "refused": 0, "failed": 0, "repeated": 0, "lag": None}
    seen = dict.fromkeys(("sitecore", "customerio", "datalyr"), figures)
    page.route("**/_collector/health", lambda it: it.fulfill(json={"seen": seen, "outbox": None, "history": history}))
    look = CollectorPage(page, collector.url)
    look.open("health")
    return look


def test_lines_begin_where_the_plot_does_and_have_gaps_without_samples(look: CollectorPage) -> None:
    lines = look.page.locator("#plots figure").first.locator("path.line")
    expect(lines).to_have_count(2)
    drawn = [re.findall(r"[ML]([-.\d]+) ", lines.nth(place).get_attribute("d") or "") for place in range(2)]

    assert [len(points) for points in drawn] == [20, 21]
    assert all(float(x) >= LEFT for points in drawn for x in points)
    expect(look.page.locator("#plot-summary")).to_contain_text("3,280,000 events accepted")


def test_a_large_number_has_room_beside_the_scale(look: CollectorPage) -> None:
    labels = look.page.locator("#plots figure").first.locator("text.label")

    expect(labels.nth(2)).to_have_text("80K")
    expect(look.page.locator("#plots .legend-item b").first).to_have_text("80,000")
