"""Browser IDs for sessions whose events wait, and the breaker of the service that issues them."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Iterator
from contextlib import suppress
from uuid import uuid4

import pytest

from passerby import Sitecore
from passerby.browser_ids.breaker import IssuerBreaker
from passerby.browser_ids.fetcher import _AT_ONCE, BrowserIdFetcher
from passerby.browser_ids.pool import BrowserIdPool
from passerby.delivery.sender import NoBrowserId, RetryPlan
from passerby.delivery.transport import TransportError
from passerby.destinations import DestinationResponse, OutgoingRequest
from passerby.outbox.contract import BrowserLink, StorageError
from passerby.outbox.memory import MemoryStore
from passerby.outbox.outbox import Outbox
from passerby.outbox.service import FAILURES, LONGEST
from passerby.values.browser_id import BrowserIdFormat
from tests.making import PATIENCE
from tests.outbox.process import Clock
from tests.outbox.surroundings import FaultyStore

MANY = 100  # sessions in one batch


class Service:
    """Issues IDs, and notes how many it is asked for at once."""

    def __init__(self, *, fails: bool = False) -> None:
        self.fails = fails
        self.now = self.most = self.made = self.asked = 0

    async def perform(self, call: OutgoingRequest, timeout: float) -> DestinationResponse:
        self.asked += 1
        if self.fails:
            raise TransportError("cannot connect")
        self.now += 1
        self.most = max(self.most, self.now)
        for _ in range(3):  # until all others that may ask have asked
            await asyncio.sleep(0)
        self.now -= 1
        self.made += 1
        answer = {"ref": str(uuid4()), "status": "OK", "version": "1.2", "client_key": "key"}
        return DestinationResponse(200, {}, json.dumps(answer).encode())


@pytest.fixture
def outbox() -> Iterator[Outbox]:
    outbox = Outbox(MemoryStore())
    yield outbox
    outbox.close(10.0)


def make_fetcher(
    service: Service, outbox: Outbox, pool: BrowserIdPool | None = None, timeout: float = 10.0
) -> BrowserIdFetcher:
    return BrowserIdFetcher(
        Sitecore(client_key="key", target_url="http://localhost", point_of_sale="shop"),
        BrowserIdFormat(),
        pool or BrowserIdPool(lambda: None, 0, time.monotonic),
        outbox,
        RetryPlan(base=1.0, cap=300.0, age=1000.0, concurrency=10, timeout=timeout),
        service.perform,
        time.monotonic,
        lambda: None,
    )


def test_a_batch_of_new_visits_does_not_overrun_who_issues_the_ids(outbox: Outbox) -> None:
    service = Service()
    fetcher = make_fetcher(service, outbox)

    async def find_many(name: str) -> list[str]:
        return await asyncio.gather(*(fetcher.find(f"{name} {number}") for number in range(MANY)))

    found = asyncio.run(find_many("session"))
    again = asyncio.run(find_many("later session"))  # in a loop of its own, as of a worker that begins anew

    assert len({*found, *again}) == service.made == 2 * MANY
    assert service.most <= _AT_ONCE


def test_all_events_of_a_visit_get_one_id(outbox: Outbox) -> None:
    service = Service()
    fetcher = make_fetcher(service, outbox)

    async def find_many() -> list[str]:
        return await asyncio.gather(*(fetcher.find("session") for _ in range(10)))

    assert len(set(asyncio.run(find_many()))) == service.made == 1


def test_a_visit_that_was_linked_meanwhile_keeps_its_id(outbox: Outbox) -> None:
    """The ID that was fetched for nothing is there for the next visitor."""
    pool = BrowserIdPool(lambda: None, 0, time.monotonic)
    fetcher = make_fetcher(Service(), outbox, pool)
    outbox.ask(BrowserLink("visit", "session", "first")).result(30)

    assert asyncio.run(fetcher.find("session")) == "first"
    assert (pool.counts.made, pool.counts.ready, pool.counts.assigned) == (1, 1, 0)


def test_while_the_breaker_is_open_no_id_is_asked_for(outbox: Outbox) -> None:
    service = Service(fails=True)
    fetcher = make_fetcher(service, outbox)
    for number in range(FAILURES):
        with pytest.raises(NoBrowserId):
            asyncio.run(fetcher.find(f"session {number}"))
    asked = service.asked

    with pytest.raises(NoBrowserId) as caught:
        asyncio.run(fetcher.find("session"))

    assert service.asked == asked == FAILURES
    assert caught.value.after is not None
    assert 0.0 <= caught.value.after <= 1.0


def test_a_store_that_cannot_link_does_not_keep_a_connection_waiting() -> None:
    """What has an ID can be delivered meanwhile, which may be what makes room on the disk."""
    store = FaultyStore()
    outbox = Outbox(store)
    service = Service()
    fetcher = make_fetcher(service, outbox, timeout=0.05)
    store.fails = StorageError("no space for the link")

    async def find_until_it_works() -> str:
        for _ in range(2):
            with pytest.raises(NoBrowserId):
                await fetcher.find("session")
        store.fails = None
        async with asyncio.timeout(PATIENCE):
            while True:
                with suppress(NoBrowserId):
                    return await fetcher.find("session")

    found = asyncio.run(find_until_it_works())

    assert service.made == 1, "the ID that was fetched at first is the one"
    assert outbox.ask(BrowserLink("visit", "session", "another")).result(30) == found
    outbox.close(10.0)


# The breaker.


def make_breaker(clock: Clock, pause: float = 1.0) -> IssuerBreaker:
    return IssuerBreaker("sitecore, browser IDs", pause, clock)


def fail(breaker: IssuerBreaker, times: int, after: float | None = None) -> None:
    for _ in range(times):
        breaker.begin()
        breaker.on_failure("status 503", after)


def test_an_open_breaker_lets_one_probe_through_and_a_good_one_closes_it() -> None:
    clock = Clock()
    breaker = make_breaker(clock)
    fail(breaker, FAILURES - 1)
    assert (breaker.is_open, breaker.slots(10)) == (False, 10)
    fail(breaker, 1)
    assert (breaker.is_open, breaker.slots(10)) == (True, 0)
    assert clock.now + 0.5 <= breaker.next_attempt_at <= clock.now + 1.0

    clock.now = breaker.next_attempt_at
    assert (breaker.slots(0), breaker.slots(10)) == (0, 1)
    breaker.begin()
    assert breaker.slots(10) == 0
    breaker.on_success()
    assert (breaker.is_open, breaker.slots(10)) == (False, 10), "a few IDs need no ramp-up"


def test_a_probe_that_says_nothing_leaves_room_for_another() -> None:
    clock = Clock()
    breaker = make_breaker(clock)
    fail(breaker, FAILURES)
    clock.now = breaker.next_attempt_at
    breaker.begin()
    breaker.on_abandoned()

    assert (breaker.is_open, breaker.slots(10)) == (True, 1)


def test_bad_probes_lengthen_the_pause_up_to_a_limit() -> None:
    clock = Clock()
    breaker = make_breaker(clock)
    fail(breaker, FAILURES)
    pauses = []
    for _ in range(8):
        pauses.append(breaker.next_attempt_at - clock.now)
        clock.now = breaker.next_attempt_at
        fail(breaker, 1)

    for pause, limit in zip(pauses, [1, 2, 4, 8, 16, LONGEST, LONGEST, LONGEST], strict=True):
        assert limit / 2 - 0.001 <= pause <= limit + 0.001


def test_no_id_is_asked_for_before_the_time_the_service_asked_for() -> None:
    clock = Clock()
    breaker = make_breaker(clock)
    fail(breaker, 1, after=60.0)
    fail(breaker, 1, after=1.0)

    assert (breaker.slots(10), breaker.next_attempt_at) == (0, clock.now + 60.0)
    clock.now += 60.0
    assert breaker.slots(10) == 10


def test_the_log_has_one_warning_at_its_opening_and_one_line_at_its_closing(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    breaker = make_breaker(clock)
    with caplog.at_level(logging.INFO, "passerby"):
        fail(breaker, FAILURES + 20)
        clock.now += 1000.0
        fail(breaker, 5)
        breaker.on_success()
        breaker.on_success()

    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("WARNING", "sitecore, browser IDs: 5 consecutive failures (status 503); delivery pauses and will retry"),
        ("INFO", "sitecore, browser IDs responds again; delivery continues"),
    ]
