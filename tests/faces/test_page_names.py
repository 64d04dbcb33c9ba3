"""How a page is named where the app does not: by the pattern of its route, which holds no value of the path."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

import pytest

from passerby import RequestInfo, Tracker, current_tracker
from passerby.collector import CollectorServer
from passerby.testing import CapturedEvents
from tests.making import let_go

from .routed import EVERY, ROUTED, WITHOUT_ROUTES
from .sites import make_tracking
from .test_page_views import NAVIGATION, visit

NAMES = {
    "/": "Home Page",
    "/about": "about",
    "/accounts/17/update": "accounts/{pk}/update",
    "/orders/42/update": "orders/{pk}/update",
    "/orders/42/update?utm_source=mail": "orders/{pk}/update",
    "/reset/MQ/c3k5xq-0f4d9b1e7a2c6d8f": "reset/{uid}/{token}",
    "/mounted/acme/items/5/update": "mounted/{tenant}/items/{pk}/update",
    "/mounted/items/items/5/update": "mounted/{tenant}/items/{pk}/update",
    "/grouped/7": "grouped/{pk}",
    # These patterns say nothing of the page, so the last part of the path does.
    "/files/a/b/install": "install",
    "/red-shoes": "red-shoes",
}


async def name_of(
    face: str, collector: CollectorServer, captured_events: CapturedEvents, path: str, **settings: Any
) -> str:
    tracking = make_tracking(collector.url, auto_page_views=True, **settings)
    assert (await visit(face, tracking, path, NAVIGATION)).status_code == 200
    let_go(tracking)
    (event,) = captured_events.events
    return str(event.data["page"])


@pytest.mark.parametrize("face", ROUTED)
@pytest.mark.parametrize("path", NAMES)
async def test_a_page_is_named_by_its_route(
    face: str, collector: CollectorServer, captured_events: CapturedEvents, path: str
) -> None:
    assert await name_of(face, collector, captured_events, path) == NAMES[path]


@pytest.mark.parametrize("face", WITHOUT_ROUTES)
@pytest.mark.parametrize(
    ("path", "name"), [("/", "Home Page"), ("/accounts/17/update", "update"), ("/reset/MQ/c3k5xq-0f4d", "reset")]
)
async def test_without_a_route_by_the_last_part_of_its_path(
    face: str, collector: CollectorServer, captured_events: CapturedEvents, path: str, name: str
) -> None:
    assert await name_of(face, collector, captured_events, path) == name


@pytest.mark.parametrize("face", EVERY)
async def test_that_is_a_setting(face: str, collector: CollectorServer, captured_events: CapturedEvents) -> None:
    assert await name_of(face, collector, captured_events, "/accounts/17/update", page_name="path") == "update"


@pytest.mark.parametrize("face", ROUTED)
async def test_the_app_may_name_pages(face: str, collector: CollectorServer, captured_events: CapturedEvents) -> None:
    """It is given the route; where it gives nothing the route names the page."""

    def name(request: RequestInfo) -> str | None:
        return None if request.path == "/about" else f"{request.method} {(request.route or '').strip('/')[:8]}"

    assert await name_of(face, collector, captured_events, "/accounts/17/update", page_name=name) == "GET accounts"
    captured_events.clear()
    assert await name_of(face, collector, captured_events, "/about", page_name=name) == "about"


async def name_later(request: RequestInfo) -> str:
    return request.path


def begin_naming(request: RequestInfo) -> Coroutine[Any, Any, str]:
    return name_later(request)


@pytest.mark.parametrize("face", EVERY)
@pytest.mark.parametrize(
    "wrong",
    [lambda request: 1 / 0, lambda request: b"bytes", begin_naming],
    ids=["raises", "bytes", "gives a coroutine"],
)
async def test_a_callable_that_fails_breaks_nothing(
    face: str, collector: CollectorServer, captured_events: CapturedEvents, wrong: Any, caplog: pytest.LogCaptureFixture
) -> None:
    assert await name_of(face, collector, captured_events, "/about", page_name=wrong) == "about"
    assert "page_name callable failed" in caplog.text


@pytest.mark.parametrize("face", EVERY)
async def test_a_name_that_the_app_makes_is_masked(
    face: str, collector: CollectorServer, captured_events: CapturedEvents
) -> None:
    name = await name_of(
        face, collector, captured_events, "/reset/MQ/c3k5xq-0f4d9", page_name=lambda request: request.path
    )
    assert name == "/reset/***/***"


@pytest.mark.parametrize("face", ROUTED)
async def test_what_is_recorded_after_the_response_has_the_same_name(
    face: str, collector: CollectorServer, captured_events: CapturedEvents
) -> None:
    trackers: list[Tracker] = []

    def name(request: RequestInfo) -> None:
        trackers.append(current_tracker())

    tracking = make_tracking(collector.url, auto_page_views=True, page_name=name)
    assert (await visit(face, tracking, "/accounts/17/update", NAVIGATION)).status_code == 200
    trackers[0].event("LATE")
    let_go(tracking)
    captured_events.assert_event("LATE", page="accounts/{pk}/update")
