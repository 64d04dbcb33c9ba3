"""Destinations of several kinds beside each other, one of them away: the hour itself is in the chaos suite."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from passerby import CustomerIO, Datalyr, Delivered, Pending, Receipt, Sitecore
from passerby.collector import CollectorServer
from passerby.destinations import Destination

from .conftest import MakeTracking
from .doubles import assert_ledger, new_id, numbers_by_visitor, wait_until

VISITORS, STEPS = 3, 10
ALL = VISITORS * STEPS

# One event in each call, or batches.
KINDS: dict[str, Callable[[str, str], Destination]] = {
    "sitecore": lambda name, url: Sitecore(client_key="key", target_url=url, point_of_sale="shop", name=name),
    "customerio": lambda name, url: CustomerIO(write_key="key", target_url=url, name=name),
    "datalyr": lambda name, url: Datalyr(workspace_id="ws", target_url=url, name=name),
    "datalyr track": lambda name, url: Datalyr(form="track", api_key="key", target_url=url, name=name),
}


@pytest.fixture
def other_collector() -> Iterator[CollectorServer]:
    with CollectorServer(accept_any_browser_id=True) as server:
        yield server


def arrived(collector: CollectorServer, kind: str) -> list[dict[str, Any]]:
    """The events at a destination, all in one form."""
    if kind == "sitecore":
        return collector.events
    messages = collector.messages("customerio" if kind == "customerio" else "datalyr")
    return [
        {"browser_id": one.get("anonymousId", one.get("anonymous_id")), "number": one["properties"]["number"]}
        for one in messages
    ]


@pytest.mark.parametrize(
    ("dead", "alive"),
    [("customerio", "sitecore"), ("sitecore", "datalyr"), ("datalyr", "customerio"), ("datalyr track", "customerio")],
)
def test_the_living_one_gets_each_event_at_once_and_the_dead_one_all_in_order_when_it_is_back(
    collector: CollectorServer, other_collector: CollectorServer, make_tracking: MakeTracking, dead: str, alive: str
) -> None:
    tracking = make_tracking(KINDS[alive]("alive", collector.url), KINDS[dead]("dead", other_collector.url))
    visitors = [new_id() for _ in range(VISITORS)]
    other_collector.stop()

    def arrives(receipt: Receipt) -> bool:
        return wait_until(lambda: isinstance(receipt.outcomes["alive"], Delivered))

    for number in range(STEPS):
        for visitor in visitors:
            receipt = tracking.for_visitor(visitor).event("STEP", {"number": number})
            assert arrives(receipt), "the living one waits for the dead one"
            assert receipt.outcomes["dead"] == Pending()
    stats = tracking.stats().destinations
    assert_ledger(stats["alive"], recorded=ALL, delivered=ALL, pending=0, retries=0, breaker="closed")
    assert_ledger(stats["dead"], recorded=ALL, delivered=0, pending=ALL, dead=0)

    other_collector.start()

    assert tracking.flush(30) == 0
    in_order = {visitor: list(range(STEPS)) for visitor in visitors}
    assert numbers_by_visitor(arrived(collector, alive)) == in_order
    assert numbers_by_visitor(arrived(other_collector, dead)) == in_order
    for one in tracking.stats().destinations.values():
        assert_ledger(one, recorded=ALL, delivered=ALL, pending=0, dead=0, dropped={})
