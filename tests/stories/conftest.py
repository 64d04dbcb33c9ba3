"""The collector that plays all three systems, trackings to it, and a calendar whose days pass when a story says so."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from passerby import Tracking
from passerby.collector import CollectorServer
from passerby.destinations import Destination
from tests.making import KEY

from .services import all_three
from .site import Page, Site

MakeTracking = Callable[..., Tracking]
MakeSite = Callable[..., Site]


class Calendar:
    """The time on the wall, for the app, the browsers and the systems alike; the clock of waits goes on as it does."""

    def __init__(self) -> None:
        self._real_time = time.time
        self._passed = timedelta()

    def time(self) -> float:
        """What `time.time` says."""
        return self._real_time() + self._passed.total_seconds()

    def pass_by(self, **period: float) -> None:
        """Let some time pass, such as `days=1`."""
        self._passed += timedelta(**period)

    @property
    def today(self) -> datetime:
        return datetime.fromtimestamp(self.time(), UTC)


@pytest.fixture
def calendar(monkeypatch: pytest.MonkeyPatch) -> Calendar:
    calendar = Calendar()
    monkeypatch.setattr(time, "time", calendar.time)
    return calendar


@pytest.fixture
def collector() -> Iterator[CollectorServer]:
    """All three systems, with the keys that they take; Sitecore's part takes browser IDs that it has issued only."""
    server = CollectorServer(
        client_keys=["key"], write_keys=["sk_eu_1", "sk_us_1"], workspaces=["ws_1"], api_keys=["dk_1"]
    )
    with server:
        yield server
    server.close()


@pytest.fixture
def make_tracking(collector: CollectorServer) -> Iterator[MakeTracking]:
    made: list[Tracking] = []

    def make(*destinations: Destination, **settings: Any) -> Tracking:
        usual: dict[str, Any] = {
            "secret_key": KEY,
            "identity_provider": "CRM",
            "browser_id_timeout": 10.0,
            "retry_base": 0.02,
        }
        made.append(Tracking(*(destinations or all_three(collector.url)), **usual | settings))
        return made[-1]

    yield make
    for tracking in made:
        tracking.close(1.0)


@pytest.fixture
def tracking(make_tracking: MakeTracking) -> Tracking:
    """A tracking to all three."""
    return make_tracking()


@pytest.fixture
def make_site(tracking: Tracking) -> MakeSite:
    """Make a site with pages that is told to all three."""

    def make(pages: dict[str, Page]) -> Site:
        return Site(tracking, pages)

    return make


def delivered(tracking: Tracking) -> bool:
    """Whether all that was told has arrived, and every ledger adds up."""
    left = tracking.flush(20)
    ledgers = tracking.stats().destinations.values()
    return left == 0 and all(one.is_balanced and one.dead == one.pending == 0 for one in ledgers)
