"""How fast single events get to a sink, and what CPU time that takes, beside a plain loop over `httpx.AsyncClient`.

The sink is another process. Both send the same requests with as many connections. passerby's events are told first and
counted from then on, so that telling them is not part of the figure; all of this process's CPU time is. A loop over raw
asyncio streams, which understands no HTTP, shows what the machine allows.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack
from functools import partial
from operator import truediv
from typing import NamedTuple
from urllib.parse import urlsplit
from uuid import uuid4

import httpx

from passerby import CustomerIO, Sitecore, Tracking

from .measure import Cpu, Result, Spread, cpu_of, pairwise, take_turns
from .sink import running_sink
from .traffic import CLIENT_KEY

TITLE = (
    "events delivered per second to another process, singly and in batches, and CPU seconds of this process per 10,000"
)

PATIENCE = 60.0  # seconds for one round
BATCH_COUNT = 20_000
SINGLE, BATCHED = "sitecore", "customerio"
PASSERBY = ""
HTTPX = ", httpx.AsyncClient in a loop"
RAW = ", raw asyncio streams"
BODY = (
    b'{"type":"VIEW","browser_id":"%s","client_key":"bench","page":"Shoes","pos":"shop","channel":"WEB",'
    b'"currency":"EUR","requested_at":"2026-11-24T08:00:00.000Z"}'
)
HEADERS = {"Content-Type": "application/json", "X-Library-Version": "1.4.3"}


class Pace(NamedTuple):
    """What one round says: events per second, and CPU seconds per 10,000."""

    rate: float
    cpu: float

    @classmethod
    def of(cls, count: int, seconds: float, cpu: Cpu) -> Pace:
        return cls(count / seconds, cpu.process * 10_000 / count)


def run() -> Iterator[Result]:
    counts = {PASSERBY: 2_000, HTTPX: 250, RAW: 4_000}
    yield from _compare("delivery: instant sink, 10 at once", 0.0, 10, counts, rounds=5)
    counts = {PASSERBY: 1_500, HTTPX: 120, RAW: 1_500}
    yield from _compare("delivery: sink of 50 ms, 50 at once", 0.05, 50, counts, rounds=3)
    yield from _measure_batches("delivery: 100 a batch, instant sink, 10 at once", 0.0, 10)
    yield from _measure_batches("delivery: 100 a batch, sink of 50 ms, 6 at once", 0.05, 6)


def _compare(name: str, delay: float, at_once: int, counts: dict[str, int], rounds: int) -> Iterator[Result]:
    with ExitStack() as stack:
        url = stack.enter_context(running_sink(delay))
        tracking = Tracking(
            Sitecore(client_key=CLIENT_KEY, target_url=url, point_of_sale="shop"),
            channel="WEB",
            currency="EUR",
            concurrency=at_once,
            browser_id_pool_size=0,
        )
        stack.callback(tracking.close, PATIENCE)
        contestants: dict[str, Callable[[], Pace]] = {
            PASSERBY: partial(_deliver, tracking, counts[PASSERBY]),
            HTTPX: partial(_loop, _send_with_httpx, url, counts[HTTPX], at_once),
            RAW: partial(_loop, _send_raw, url, counts[RAW], at_once),
        }
        paces = take_turns(contestants, rounds)
        _check_ledger(tracking)
    for contestant, measured in paces.items():
        yield Result(f"{name}{contestant}", Spread.of(pace.rate for pace in measured), "/s")
    for contestant, measured in paces.items():
        yield Result(f"{name}{contestant}, CPU per 10k", Spread.of(pace.cpu for pace in measured), "s")
    rates = {contestant: [pace.rate for pace in measured] for contestant, measured in paces.items()}
    yield Result(f"{name} / httpx.AsyncClient", pairwise(truediv, rates[PASSERBY], rates[HTTPX]), "x")


def _measure_batches(name: str, delay: float, at_once: int) -> Iterator[Result]:
    """Customer.io's calls, of visitors of their own, as many as 100 to a request."""
    with ExitStack() as stack:
        url = stack.enter_context(running_sink(delay))
        destination = CustomerIO(write_key="bench", target_url=url, name=BATCHED)
        tracking = Tracking(destination, channel="WEB", currency="EUR", concurrency=at_once)
        stack.callback(tracking.close, PATIENCE)
        paces = [_deliver(tracking, BATCH_COUNT, BATCHED) for _ in range(4)][1:]
        _check_ledger(tracking, BATCHED)
    yield Result(name, Spread.of(pace.rate for pace in paces), "/s")
    yield Result(f"{name}, CPU per 10k", Spread.of(pace.cpu for pace in paces), "s")


def _deliver(tracking: Tracking, count: int, name: str = SINGLE) -> Pace:
    for _ in range(count):
        tracking.for_visitor(str(uuid4())).page_view({"page": "Shoes"})
    delivered, begun, before = _delivered(tracking, name), time.perf_counter(), Cpu.now()
    if tracking.flush(PATIENCE):
        raise RuntimeError(f"not delivered within {PATIENCE} s: {tracking.stats()}")
    seconds, cpu = time.perf_counter() - begun, Cpu.now().since(before)
    return Pace.of(_delivered(tracking, name) - delivered, seconds, cpu)


def _delivered(tracking: Tracking, name: str) -> int:
    return tracking.stats().destinations[name].delivered


def _check_ledger(tracking: Tracking, name: str = SINGLE) -> None:
    ledger = tracking.stats().destinations[name]
    if ledger.delivered != ledger.recorded or ledger.retries:
        raise RuntimeError(f"something went wrong, and a figure of that says nothing: {ledger}")


Send = Callable[[str, int, int], Awaitable[None]]


def _loop(send: Send, url: str, count: int, at_once: int) -> Pace:
    begun = time.perf_counter()
    cpu = cpu_of(lambda: asyncio.run(_await(send(url, count, at_once))))
    return Pace.of(count, time.perf_counter() - begun, cpu)


async def _await(work: Awaitable[None]) -> None:
    await work


async def _send_with_httpx(url: str, count: int, at_once: int) -> None:
    limits = httpx.Limits(max_connections=at_once, max_keepalive_connections=at_once)
    left = iter(range(count))
    async with httpx.AsyncClient(limits=limits, trust_env=False, verify=False) as client:

        async def work() -> None:
            for _ in left:
                answer = await client.post(f"{url}/v1.2/events", content=BODY % str(uuid4()).encode(), headers=HEADERS)
                answer.raise_for_status().json()

        await asyncio.gather(*(work() for _ in range(at_once)))


async def _send_raw(url: str, count: int, at_once: int) -> None:
    parts = urlsplit(url)
    left = iter(range(count))

    async def work() -> None:
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        for _ in left:
            body = BODY % str(uuid4()).encode()
            writer.write(
                b"POST /v1.2/events HTTP/1.1\r\nHost: bench\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
            )
            head = await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(int(head.rpartition(b"Content-Length: ")[2].partition(b"\r\n")[0]))
        writer.close()
        await writer.wait_closed()

    await asyncio.gather(*(work() for _ in range(at_once)))
