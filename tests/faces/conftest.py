"""Apps whose browser IDs are passerby's own, or those of a system, and browsers that come to them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from passerby import CustomerIO, Datalyr, Sitecore, Tracking
from passerby.collector import CollectorServer
from tests.making import KEY, MakeTracking, let_go

from .clients import Site
from .test_behaviour import transport_to


@pytest.fixture
def make(collector: CollectorServer) -> Iterator[MakeTracking]:
    """Make a `Tracking` whose browser IDs are passerby's own, or shared with a browser SDK."""
    made: list[Tracking] = []

    def make(owner: str = "", **settings: Any) -> Tracking:
        destination: Any = CustomerIO(write_key="key", target_url=collector.url)
        if owner == "sitecore":
            destination = Sitecore(client_key="key", target_url=collector.url, point_of_sale="shop")
        if owner == "datalyr":
            destination = Datalyr(workspace_id="ws_123", target_url=collector.url, share_visitors=True)
        usual: dict[str, Any] = {"secret_key": KEY, "browser_id_timeout": 30.0}
        made.append(Tracking(destination, **(usual | settings)))
        return made[-1]

    yield make
    for tracking in made:
        let_go(tracking)


@asynccontextmanager
async def visit(face: str, tracking: Tracking, collector: CollectorServer) -> AsyncIterator[httpx.AsyncClient]:
    async with Site(collector, lambda: transport_to(face, tracking)).visit() as browser:
        yield browser
