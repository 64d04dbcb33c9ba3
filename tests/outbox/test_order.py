"""One visitor's events arrive in the order in which they were recorded, over closings and starts too."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any, TypeVar

import pytest

from passerby import Sitecore, Tracking
from passerby.collector import CollectorServer
from tests.making import BROWSER_ID, KEY, OTHER_ID, eventually, let_go

T = TypeVar("T")
ROOT = Path(__file__).parents[2]

RECORD_ONE = """
import sys
from passerby import Sitecore, Tracking
_, url, directory, visitor, number = sys.argv
sitecore = Sitecore(client_key="key", target_url=url, point_of_sale="shop")
tracking = Tracking(sitecore, secret_key="a long key", outbox=f"sqlite://{directory}", retry_base=0.02)
tracking.for_visitor(visitor).event("STEP", {"number": int(number)})
tracking.flush(30)
"""


@pytest.mark.parametrize("visitors", [(BROWSER_ID,), (BROWSER_ID, OTHER_ID)], ids=["one visitor", "two"])
@pytest.mark.parametrize("number", [1, 30, 700])
@pytest.mark.parametrize("how", ["same Tracking", "new Tracking", "new process"])
def test_what_an_outage_left_comes_before_what_is_recorded_next(
    collector: CollectorServer, tmp_path: Path, how: str, number: int, visitors: tuple[str, ...]
) -> None:
    collector.accept_any_browser_id = True
    directory = tmp_path / "outbox"
    tracking = _make_tracking(collector, directory)
    collector.fail("events")
    for step in range(number):
        for visitor in visitors:
            tracking.for_visitor(visitor).event("STEP", {"number": step})
    tracking.close(0.0)
    let_go(tracking)
    collector.clear_faults()

    if how == "new process":
        command = [sys.executable, "-c", RECORD_ONE, collector.url, str(directory), BROWSER_ID, str(number)]
        subprocess.run(command, cwd=ROOT, env=_outside_of_tests(), check=True, timeout=60)
    else:
        tracking = _make_tracking(collector, directory) if how == "new Tracking" else tracking
        tracking.for_visitor(BROWSER_ID).event("STEP", {"number": number})
    tracking.start()
    collector.wait_for_events(len(visitors) * number + 1, 60)
    let_go(tracking)

    arrived = {visitor: [e["number"] for e in collector.events if e["browser_id"] == visitor] for visitor in visitors}
    expected = {visitor: list(range(number + (visitor == BROWSER_ID))) for visitor in visitors}
    assert {visitor: _without_repeats(numbers) for visitor, numbers in arrived.items()} == expected


def test_two_trackings_of_one_process_keep_one_visitors_order(collector: CollectorServer, tmp_path: Path) -> None:
    collector.accept_any_browser_id = True
    first = _make_tracking(collector, tmp_path / "outbox", retry_base=3600, retry_cap=3600)
    second = _make_tracking(collector, tmp_path / "outbox", retry_base=3600, retry_cap=3600)
    try:
        collector.fail("events", 1)
        first.for_visitor(BROWSER_ID).event("STEP", {"number": 0})
        eventually(lambda: collector.requests)
        second.for_visitor(BROWSER_ID).event("STEP", {"number": 1})
        second.flush(5.0)

        assert [event["number"] for event in collector.events] == []  # 1 waits until 0 is tried again
    finally:
        let_go(first)
        let_go(second)


def _make_tracking(collector: CollectorServer, directory: Path, **options: Any) -> Tracking:
    sitecore = Sitecore(client_key="key", target_url=collector.url, point_of_sale="shop")
    usual: dict[str, Any] = {"retry_base": 0.02, "retry_cap": 0.1, "browser_id_pool_size": 0} | options
    return Tracking(sitecore, secret_key=KEY, outbox=f"sqlite://{directory}", **usual)


def _without_repeats(items: list[T]) -> list[T]:
    """Delivery is at least once: what came again says nothing of the order."""
    return list(dict.fromkeys(items))


def _outside_of_tests() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "PASSERBY"))}
