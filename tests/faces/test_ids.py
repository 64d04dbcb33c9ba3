"""Who gets a browser ID: people who come to a page, and nobody who has no use for one."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from passerby import Tracking
from passerby.collector import CollectorServer
from tests.making import let_go, value_of

from .clients import HOST
from .sites import ASGI, FACES, WSGI, make_tracking
from .test_behaviour import BID, cookies_of, transport_to

SILENT = [{"accept": "*/*"}, {"accept": ""}]
FEW = 8  # IDs: two are kept ready, and some more may be made while those that were given come back
in_process = pytest.mark.parametrize("face", FACES)

pytestmark = pytest.mark.filterwarnings("ignore:StreamingHttpResponse must consume synchronous iterators")


def program(transport: httpx.AsyncBaseTransport, headers: dict[str, str]) -> httpx.AsyncClient:
    """A client that says nothing of itself, and keeps no cookies between its calls."""
    return httpx.AsyncClient(base_url=HOST, headers=headers, transport=transport)


def returned(tracking: Tracking) -> int:
    counts = tracking.stats().browser_ids
    assert counts is not None
    return counts.returned


@in_process
@pytest.mark.parametrize("headers", SILENT)
@pytest.mark.parametrize("path", ["/json", "/nothing", "/unmodified", "/missing"])
async def test_calls_that_are_no_page_cost_no_ids(
    face: str, collector: CollectorServer, headers: dict[str, str], path: str
) -> None:
    if path == "/missing" and face.startswith("raw"):
        return  # the app without a framework knows no other paths
    tracking = make_tracking(collector.url)
    transport = transport_to(face, tracking)
    for _ in range(40):
        async with program(transport, headers) as client:
            assert cookies_of(await client.get(path)) == []
    assert returned(tracking) == 40
    assert len(collector.browser_ids) <= FEW
    let_go(tracking)


@in_process
async def test_calls_at_once_that_are_no_page_cost_few_ids(face: str, collector: CollectorServer) -> None:
    tracking = make_tracking(collector.url)
    async with program(transport_to(face, tracking), SILENT[0]) as client:
        for _ in range(10):
            answers = await asyncio.gather(*(client.get("/json") for _ in range(8)))
            assert [cookies_of(answer) for answer in answers] == [[]] * 8
    assert returned(tracking) == 80
    assert len(collector.browser_ids) <= 2 * FEW + 4
    let_go(tracking)


@in_process
@pytest.mark.parametrize("headers", SILENT)
async def test_a_silent_request_for_a_page_gets_an_id(
    face: str, collector: CollectorServer, headers: dict[str, str]
) -> None:
    """As curl sends it; the app can read the ID in this very request."""
    tracking = make_tracking(collector.url)
    async with program(transport_to(face, tracking), headers) as client:
        answer = await client.get("/who")
    assert answer.text.split()[0] == value_of(cookies_of(answer)[0])
    assert returned(tracking) == 0
    let_go(tracking)


@in_process
async def test_what_the_app_has_used_is_set_whatever_it_answers(face: str, collector: CollectorServer) -> None:
    """The log-in answers a silent client; an event depends on the ID, so the cookie must go with it."""
    tracking = make_tracking(collector.url)
    async with program(transport_to(face, tracking), SILENT[0]) as client:
        answer = await client.post("/login?user=ada")
        assert [line.partition("=")[0] for line in cookies_of(answer)] == [BID, "bid_key_sig", "bid_key_uid"]
    let_go(tracking)


@pytest.mark.parametrize("face", [*ASGI, *WSGI])
@pytest.mark.parametrize("agent", ["ELB-HealthChecker/2.0", "kube-probe/1.29", "Uptime-Kuma/1.23.11"])
async def test_a_probe_gets_no_id(face: str, collector: CollectorServer, agent: str) -> None:
    tracking = make_tracking(collector.url)
    async with program(transport_to(face, tracking), {"user-agent": agent, "accept": "text/html"}) as client:
        for _ in range(20):
            assert cookies_of(await client.get("/who")) == []
    counts = tracking.stats().browser_ids
    assert counts is not None
    assert counts.assigned == counts.returned == 0
    let_go(tracking)
