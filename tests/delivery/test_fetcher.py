"""The mint: browser IDs for sessions whose events wait."""

from __future__ import annotations

import asyncio
import json
import time
from uuid import uuid4

from passerby.old_outbox.memory import MemoryOutbox

from passerby import Sitecore
from passerby.browser_ids.fetcher import _AT_ONCE, BrowserIdFetcher
from passerby.browser_ids.pool import BrowserIdPool
from passerby.delivery.sender import RetryPlan
from passerby.destinations import DestinationResponse, OutgoingRequest
from passerby.values.browser_id import BrowserIdFormat

MANY = 100  # sessions in one batch


class Service:
    """Makes IDs, and notes how many it is asked for at once."""

    def __init__(self) -> None:
        self.now = self.most = self.made = 0

    async def perform(self, call: OutgoingRequest, timeout: float) -> DestinationResponse:
        self.now += 1
        self.most = max(self.most, self.now)
        await asyncio.sleep(0.001)
        self.now -= 1
        self.made += 1
        answer = {"ref": str(uuid4()), "status": "OK", "version": "1.2", "client_key": "key"}
        return DestinationResponse(200, {}, json.dumps(answer).encode())


def make_mint(service: Service) -> BrowserIdFetcher:
    return BrowserIdFetcher(
        Sitecore(client_key="key", target_url="http://localhost", point_of_sale="shop"),
        BrowserIdFormat(),
        BrowserIdPool(lambda: None, 0, time.monotonic),
        MemoryOutbox(["a"]),
        RetryPlan(base=1.0, cap=300.0, age=1000.0, concurrency=10, timeout=10.0),
        service.perform,
        time.monotonic,
        lambda: None,
    )


def test_a_batch_of_new_visits_does_not_overrun_who_makes_the_ids() -> None:
    service = Service()
    mint = make_mint(service)

    async def find_many(name: str) -> list[str]:
        return await asyncio.gather(*(mint.find(f"{name} {number}") for number in range(MANY)))

    found = asyncio.run(find_many("session"))
    again = asyncio.run(find_many("later session"))  # in a loop of its own, as of a worker that begins anew

    assert len({*found, *again}) == service.made == 2 * MANY
    assert service.most <= _AT_ONCE
