"""A small site for real servers: every page records an event and says its ID in a header of its response.

What the site is to be is described in the environment (`CHAOS_SITE`), as servers start it in processes of their own.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from typing import Any
from wsgiref.types import StartResponse, WSGIEnvironment

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from passerby import Sitecore, Tracker, Tracking
from passerby.asgi import TrackingMiddleware
from passerby.destinations import DestinationResponse, OutgoingRequest, SendResult
from passerby.events.event import Event, new_event_id
from passerby.wsgi import TrackingMiddleware as WSGIMiddleware

from . import hooks
from .victim import KEY, QUICKLY

# Acknowledged is what was recorded before the response started. By default a response waits 50 ms for that, and then
# counts as late; here it waits longer, so that every response is a promise.
SETTINGS: dict[str, Any] = {"secret_key": KEY, **QUICKLY, "store_timeout": 30.0}


class Second:
    """A second destination: the same service at another address, that issues no browser IDs."""

    def __init__(self, url: str) -> None:
        self.name = "second"
        self._sitecore = Sitecore(client_key="second", target_url=url, point_of_sale="shop")
        self.kinds = self._sitecore.kinds
        self.batch_bytes = self._sitecore.batch_bytes

    @property
    def origin(self) -> str:
        return self._sitecore.origin

    @property
    def batch_size(self) -> int:
        return 1

    def check(self, event: Event) -> None:
        self._sitecore.check(event)

    def encoded_size(self, event: Event) -> int:
        return self._sitecore.encoded_size(event)

    def encode(self, events: Sequence[Event]) -> OutgoingRequest:
        return self._sitecore.encode(events)

    def classify(self, response: DestinationResponse) -> SendResult:
        return self._sitecore.classify(response)


def make_tracking() -> Tracking:
    hooks.install()
    described: dict[str, Any] = json.loads(os.environ["CHAOS_SITE"])
    destinations: list[Any] = []
    if described.get("url"):
        destinations.append(Sitecore(client_key="chaos", target_url=described["url"], point_of_sale="shop"))
    if described.get("second"):
        destinations.append(Second(described["second"]))
    settings = {"outbox": f"sqlite://{described['directory']}", **SETTINGS, **described.get("settings", {})}
    return Tracking(*destinations, **settings)


def _record(tracker: Tracker) -> str:
    event_id = new_event_id()
    tracker.event("STEP", {"recorded": event_id}, event_id=event_id)
    return event_id


def make_asgi() -> ASGIApp:
    tracking = make_tracking()

    async def page(request: Request) -> Response:
        return PlainTextResponse("a page", headers={"x-recorded": _record(request.state.tracker)})

    async def stats(request: Request) -> Response:
        return JSONResponse(asdict(tracking.stats()))

    return Starlette(
        routes=[Route("/", page), Route("/health/stats", stats)],
        middleware=[Middleware(TrackingMiddleware, tracking=tracking)],
    )


def make_wsgi() -> Callable[[WSGIEnvironment, StartResponse], Iterable[bytes]]:
    tracking = make_tracking()

    def page(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        recorded = _record(environ["passerby.tracker"])
        start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "6"), ("X-Recorded", recorded)])
        return [b"a page"]

    return WSGIMiddleware(page, tracking)
