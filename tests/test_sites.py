"""Several sites in one app (U40): what belongs to one is never used for another."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from passerby import CustomerIO, RequestInfo, Sitecore, Sites, Tracker, Tracking
from passerby.asgi import TrackingMiddleware
from passerby.collector import CollectorServer
from tests.making import (
    NAVIGATION,
    PATIENCE,
    Message,
    Stopwatch,
    body_of,
    by_name,
    call,
    make_scope,
    page,
    request,
    sent_back,
    set_cookies,
    value_of,
)

NAMES = [f"site{number}" for number in range(5)]


class Shops:
    """A few shops that share an app, each with a key of its own."""

    def __init__(self, collector: CollectorServer) -> None:
        self.collector = collector
        self.made: list[str] = []
        self.sites = Sites(self.find, self.make)

    def find(self, info: RequestInfo) -> str | None:
        name = info.host.partition(".")[0]
        return name if name in NAMES else None

    def make(self, name: str) -> Tracking:
        self.made.append(name)
        sitecore = Sitecore(client_key=name, target_url=self.collector.url, point_of_sale=f"{name}/ireland")
        return Tracking(
            sitecore,
            secret_key=f"the secret key of {name}",
            channel=name.upper(),
            currency="EUR",
            browser_id_timeout=PATIENCE,
            request_timeout=PATIENCE,
        )


@pytest.fixture
def shops(collector: CollectorServer) -> Iterator[Shops]:
    shops = Shops(collector)
    yield shops
    shops.sites.close(1.0)


async def tell(scope: Any, receive: Any, send: Any) -> None:
    tracker: Tracker = scope["state"]["tracker"]
    tracker.page_view({"page": scope["path"]})
    await asyncio.sleep(0)
    tracker.event("ADD")
    await page(body=(tracker.browser_id or "").encode())(scope, receive, send)


async def visit(shops: Shops, name: str, headers: dict[str, str] | None = None) -> list[Message]:
    app = TrackingMiddleware(tell, tracking=shops.sites)
    return await call(app, make_scope("/", NAVIGATION | (headers or {}), host=f"{name}.example"))


async def test_visitors_of_all_sites_at_once_are_each_their_own_sites(shops: Shops, collector: CollectorServer) -> None:
    names = NAMES * 20
    answers = await asyncio.gather(*(visit(shops, name) for name in names))
    for name, sent in zip(names, answers, strict=True):
        cookies = by_name(set_cookies(sent))
        assert list(cookies) == [f"bid_{name}", f"bid_{name}_sig"]
        assert value_of(cookies[f"bid_{name}"]) == body_of(sent).decode()
    assert sorted(shops.made) == NAMES, "each was made once"

    assert await shops.sites.aflush(60) == 0
    assert len(collector.events) == 200
    owners = {body_of(sent).decode(): name for name, sent in zip(names, answers, strict=True)}
    for event in collector.events:
        name = owners[event["browser_id"]]
        said = (event["client_key"], event["pos"], event["channel"])
        assert said == (name, f"{name}/ireland", name.upper())
    for stats in shops.sites.stats().values():
        assert stats.destinations["sitecore"].delivered == 40
        assert stats.destinations["sitecore"].is_balanced


async def test_a_cookie_of_one_site_means_nothing_at_another(shops: Shops) -> None:
    first = await visit(shops, "site0")
    brought = sent_back(set_cookies(first))["cookie"].replace("bid_site0", "bid_site1")
    sent = await visit(shops, "site1", {"cookie": brought})
    assert body_of(sent) not in (b"", body_of(first)), "signed with another key"


@pytest.mark.parametrize("host", ["unknown", "", "site0.evil", "x" * 300])
async def test_where_there_is_no_site_nothing_is_tracked(shops: Shops, host: str, collector: CollectorServer) -> None:
    sent = await visit(shops, f"nowhere.{host}")
    assert (set_cookies(sent), body_of(sent)) == ([], b"")
    assert shops.made == []
    assert await shops.sites.aflush(1) == 0
    assert collector.events == []


def fail(*args: Any) -> Any:
    raise KeyError("the app's own")


@pytest.mark.parametrize("sites", [Sites(fail, fail), Sites(lambda info: "site", fail)], ids=["finding", "making"])
async def test_a_mistake_breaks_no_page(sites: Sites, caplog: pytest.LogCaptureFixture) -> None:
    sent = await call(TrackingMiddleware(tell, tracking=sites), make_scope("/", NAVIGATION))
    assert (set_cookies(sent), body_of(sent)) == ([], b"")
    assert "cannot find the site of a request" in caplog.text


def test_a_site_is_made_once_however_many_ask_at_once(shops: Shops) -> None:
    threads = [
        threading.Thread(target=shops.sites.for_request, args=(request(host="site3.example"),)) for _ in range(20)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert shops.made == ["site3"]
    assert shops.sites["site3"].for_visitor("11111111-2222-4333-8444-555555555555").point_of_sale == "site3/ireland"


def test_they_say_what_they_are(shops: Shops) -> None:
    assert repr(shops.sites) == "<Sites none yet>"
    shops.sites.start()
    shops.sites["site2"].start()
    assert repr(shops.sites) == "<Sites site2>"
    assert shops.sites.flush(1) == 0


def tell_dead_sites(url: str) -> Sites:
    """Sites whose services never answer, with one event each."""
    sites = Sites(lambda request: None, lambda name: Tracking(CustomerIO(write_key="key", target_url=url)))
    for name in NAMES:
        sites[name].for_visitor("11111111-2222-4333-8444-555555555555").event("ADD")
    return sites


@pytest.mark.passerby_live
async def test_many_sites_are_waited_for_no_longer_than_one() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=200) as black_hole:
        sites = tell_dead_sites(f"http://127.0.0.1:{black_hole.getsockname()[1]}")
        try:
            begun = time.monotonic()
            with Stopwatch() as watch:
                assert await sites.aflush(1.0) == sites.flush(1.0) == len(NAMES)
            assert time.monotonic() - begun >= 2.0
            assert watch.seconds < 4.0
        finally:
            with Stopwatch() as watch:
                assert sites.close(1.0) == len(NAMES)
            assert watch.seconds < 4.0
