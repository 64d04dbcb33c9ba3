"""The FastAPI face: the tracker as a dependency."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated

import pytest
from fastapi import APIRouter, BackgroundTasks, Depends, FastAPI, WebSocket
from fastapi.responses import StreamingResponse
from fastapi.testclient import TestClient

from passerby import Sitecore, Tracker, Tracking, current_tracker
from passerby.asgi import TrackingMiddleware
from passerby.fastapi import TrackerDep, get_tracker
from passerby.testing import CapturedEvents

BID = "bid_key"


def make_tracking() -> Tracking:
    sitecore = Sitecore(client_key="key", target_url="https://api.example.com", point_of_sale="shop")
    return Tracking(sitecore, secret_key="a secret key that signs", identity_provider="CRM")


def make_app(tracking: Tracking | None = None) -> FastAPI:
    app = FastAPI()
    app.add_middleware(TrackingMiddleware, tracking=tracking or make_tracking())
    return app


def test_the_test_client_works_without_anything_being_set_up(captured_events: CapturedEvents) -> None:
    tracking = make_tracking()
    app = make_app(tracking)

    @app.get("/async")
    async def in_coroutine(tracker: TrackerDep) -> str | None:
        tracker.page_view({"page": "async"})
        assert current_tracker() is tracker
        return tracker.browser_id

    @app.get("/sync")
    def in_thread(tracker: TrackerDep) -> str | None:
        tracker.page_view({"page": "sync"})
        assert current_tracker() is tracker
        return tracker.browser_id

    with TestClient(app) as client:
        first = client.get("/async")
        assert first.json() == first.cookies[BID]
        assert client.get("/sync").json() == first.json()
    captured_events.assert_summary("page view async", "page view sync")
    tracking.close(0)


def test_the_client_need_not_send_anything_for_it() -> None:
    """The app's OpenAPI is the same with and without."""

    def document(app: FastAPI) -> object:
        return app.openapi()["paths"]

    plain, tracking = FastAPI(), make_app()

    @plain.get("/items")
    def find(limit: int = 10) -> str:
        return ""

    def find_tracked(tracker: TrackerDep, limit: int = 10) -> str:
        return ""

    tracking.get("/items", name="find", operation_id="find_items_get")(find_tracked)
    assert document(tracking) == document(plain)


async def view(tracker: TrackerDep) -> Tracker:
    tracker.page_view({"page": "from a dependency"})
    return tracker


ViewerDep = Annotated[Tracker, Depends(view)]
SameDep = Annotated[Tracker, Depends(get_tracker)]


def test_in_other_dependencies_and_routers(captured_events: CapturedEvents) -> None:
    router = APIRouter(dependencies=[Depends(view)])

    @router.get("/items")
    async def find(viewer: ViewerDep, tracker: SameDep) -> bool:
        return viewer is tracker

    app = make_app()
    app.include_router(router, prefix="/shop")
    assert TestClient(app).get("/shop/items").json() is True
    captured_events.assert_page_view("from a dependency")


def test_in_background_tasks_and_streams(captured_events: CapturedEvents) -> None:
    app = make_app()

    def tell_later(tracker: Tracker) -> None:
        tracker.event("LATER")

    @app.get("/task")
    async def in_background(tracker: TrackerDep, tasks: BackgroundTasks) -> None:
        tasks.add_task(tell_later, tracker)
        tracker.event("SOON")

    @app.get("/stream")
    async def in_stream(tracker: TrackerDep) -> StreamingResponse:
        async def pieces() -> AsyncIterator[str]:
            current_tracker().event("STREAMED")
            yield str(current_tracker() is tracker)

        return StreamingResponse(pieces())

    client = TestClient(app)
    client.get("/task")
    assert client.get("/stream").text == "True"
    captured_events.assert_summary("SOON", "LATER", "STREAMED")
    assert len({event.browser_id for event in captured_events.events}) == 1


def test_in_websockets(captured_events: CapturedEvents) -> None:
    app = make_app()

    @app.websocket("/chat")
    async def chat(websocket: WebSocket, tracker: TrackerDep) -> None:
        tracker.event("CHAT_OPENED")
        await websocket.accept()
        await websocket.send_text(str(current_tracker() is tracker))
        await websocket.close()

    with TestClient(app).websocket_connect("/chat") as session:
        assert session.receive_text() == "True"
    captured_events.assert_event("CHAT_OPENED")


def test_in_a_sub_application_that_has_it_too(captured_events: CapturedEvents) -> None:
    """U36: installed twice it acts once."""
    tracking = make_tracking()
    app, inner = make_app(tracking), make_app(tracking)

    @inner.get("/page")
    async def page(tracker: TrackerDep) -> str | None:
        tracker.page_view({"page": "inside"})
        return tracker.browser_id

    app.mount("/sub", inner)
    answer = TestClient(app).get("/sub/page")
    assert answer.json() == answer.cookies[BID]
    assert len(answer.headers.get_list("set-cookie")) == 2
    captured_events.assert_page_view("inside")


def test_a_missing_middleware_is_named() -> None:
    app = FastAPI()

    @app.get("/")
    async def home(tracker: TrackerDep) -> None: ...

    with pytest.raises(LookupError, match=r"install the middleware with app\.add_middleware\(TrackingMiddleware"):
        TestClient(app).get("/")
