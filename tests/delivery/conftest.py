"""A collector, and trackings that are closed when a test is over."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from passerby import Sitecore, Tracking
from passerby.collector import CollectorServer
from passerby.destinations import Destination
from tests.making import let_go

from .stage import MakeStage, Stage

MakeTracking = Callable[..., Tracking]

# A call may take long on a busy machine: one that is given up and made again would be an event that comes twice.
QUICK: dict[str, Any] = {"retry_base": 0.02, "retry_cap": 0.1, "request_timeout": 50.0, "secret_key": "a key for tests"}


@pytest.fixture
def collector() -> Iterator[CollectorServer]:
    with CollectorServer(accept_any_browser_id=True) as server:
        yield server


@pytest.fixture(params=["memory", "sqlite"])
def make_tracking(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[MakeTracking]:
    """Make a tracking to a URL or to destinations, that tries again soon; each has an outbox of its own."""
    made: list[Tracking] = []

    def make(*targets: str | Destination, **settings: Any) -> Tracking:
        outbox = "memory" if request.param == "memory" else f"sqlite://{tmp_path}/outbox-{len(made)}"
        destinations = [sitecore_at(target) if isinstance(target, str) else target for target in targets]
        made.append(Tracking(*destinations, **{"outbox": outbox} | QUICK | settings))
        return made[-1]

    yield make
    for tracking in made:
        let_go(tracking)


def sitecore_at(url: str) -> Sitecore:
    return Sitecore(client_key="key", target_url=url, point_of_sale="shop")


@pytest.fixture
def black_hole() -> Iterator[str]:
    """The address of a service that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=200) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


@pytest.fixture
async def make_stage() -> AsyncIterator[MakeStage]:
    made: list[Stage] = []

    def make(*args: Any, **options: Any) -> Stage:
        made.append(Stage(*args, **options))
        return made[-1]

    yield make
    for stage in made:
        await stage.aclose()
