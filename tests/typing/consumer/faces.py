"""Every face as its users install it."""

from __future__ import annotations

from collections.abc import Iterable
from wsgiref.types import StartResponse, WSGIEnvironment

from django.http import HttpResponse
from fastapi import FastAPI, WebSocket
from flask import Flask, g
from shop import sites, tracking
from starlette.applications import Starlette
from starlette.middleware import Middleware

from passerby import asgi, wsgi
from passerby.django import TrackedRequest, get_tracking
from passerby.fastapi import TrackerDep
from passerby.flask import Passerby
from passerby.testing import CapturedEvents, dry_run

starlette_app = Starlette(middleware=[Middleware(asgi.TrackingMiddleware, tracking=tracking, websocket_cookies=True)])

fastapi_app = FastAPI()
fastapi_app.add_middleware(asgi.TrackingMiddleware, tracking=sites)


@fastapi_app.get("/")
async def home(tracker: TrackerDep) -> str | None:
    tracker.page_view({"page": "Home"})
    return tracker.browser_id


@fastapi_app.websocket("/chat")
async def chat(websocket: WebSocket, tracker: TrackerDep) -> None:
    tracker.event("CHAT_OPENED")
    await websocket.accept()


passerby = Passerby()


def create_app() -> Flask:
    app = Flask(__name__)
    passerby.init_app(app)
    Passerby(app, tracking)
    return app


def flask_view() -> str:
    return str(g.tracker.browser_id)


def django_view(request: TrackedRequest) -> HttpResponse:
    request.tracker.page_view({"page": "Home"})
    get_tracking().start()
    print(get_tracking().stats(), get_tracking().flush(1.0))
    return HttpResponse(request.tracker.browser_id or "")


def plain_app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    environ["passerby.tracker"].page_view()
    start_response("200 OK", [])
    return [b""]


wsgi_app = wsgi.TrackingMiddleware(plain_app, tracking)


def test_home(captured_events: CapturedEvents) -> None:
    with dry_run() as told:
        assert told.assert_page_view("Home").browser_id == captured_events.events[0].browser_id
