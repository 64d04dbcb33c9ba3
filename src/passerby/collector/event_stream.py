"""Server-sent events for open pages: new items, and the current state once a second."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Generator
from contextlib import contextmanager, suppress

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from .faults import Faults
from .feed import Cursor, Feed
from .json_object import JSONObject, json_text
from .json_response import refuse
from .store import Store

INITIAL_REQUESTS = 1_000  # requests that a page receives first
BATCH_INTERVAL = 0.2  # seconds between two messages with items
PULSE_INTERVAL = 1.0  # seconds
MAX_PAGES = 100  # open at once


class EventStream:
    """Serves open pages until the server stops.

    Attributes:
        open_pages: the number of open pages.
    """

    def __init__(self, store: Store, feed: Feed, faults: Faults) -> None:
        self._store = store
        self._feed = feed
        self._faults = faults
        self._ending = asyncio.Event()
        self.open_pages: int = 0

    def start(self) -> None:
        """Accept pages, in the running event loop."""
        self._ending = asyncio.Event()

    def end(self) -> None:
        """End all streams; called in the server's loop."""
        self._ending.set()

    @contextmanager
    def page_open(self) -> Generator[None]:
        """Count one more open page within the block."""
        self.open_pages += 1
        try:
            yield
        finally:
            self.open_pages -= 1

    async def handle(self, request: Request) -> Response:
        """Stream items: from the latest on, or after `?after=N` or the Last-Event-ID header."""
        after = request.headers.get("last-event-id") or request.query_params.get("after")
        try:
            cursor = None if after is None else Cursor.behind(after)
        except ValueError:
            return refuse(400, "after and Last-Event-ID: expected the number of a request")
        if cursor is None or cursor > self._feed.end:  # it is of another collector
            cursor = self._feed.latest(INITIAL_REQUESTS)
        if self.open_pages >= MAX_PAGES:
            return refuse(503, f"{MAX_PAGES} pages are open; close some")
        return _CountedResponse(self, StreamingResponse(self._messages(cursor), media_type="text/event-stream"))

    async def _messages(self, cursor: Cursor) -> AsyncGenerator[str]:
        pulse_due = 0.0
        clears: int | None = None
        while not self._ending.is_set():
            begun = time.monotonic()
            page = await asyncio.to_thread(self._feed.read, cursor) if self._feed.has_more(cursor) else None
            # A page must receive a changed `clears` before the items that arrived since.
            if time.monotonic() >= pulse_due or (page is not None and page.clears != clears):
                clears = self._store.clears if page is None else page.clears
                pulse_due = time.monotonic() + PULSE_INTERVAL
                yield f"event: pulse\ndata: {json_text(self._pulse_data(clears))}\n\n"
            if page is not None and page.items:
                cursor = page.cursor
                arrivals = json_text({"items": [item._asdict() for item in page.items]})
                page = None  # frees the memory while a slow page reads
                yield f"event: arrivals\nid: {cursor.mark}\ndata: {arrivals}\n\n"
                if self._feed.has_more(cursor):
                    continue
            with suppress(TimeoutError):
                await asyncio.wait_for(self._ending.wait(), begun + BATCH_INTERVAL - time.monotonic())

    def _pulse_data(self, clears: int) -> JSONObject:
        upcoming = self._faults.upcoming
        faults = [
            {"route": route, "status": due.status, "reset": due.reset, "delay": due.delay}
            for route, due in upcoming.items()
        ]
        return {
            "counts": self._store.counts(),
            "last": self._store.last_number,
            "faults": faults,
            "clears": clears,
        }


class _CountedResponse(Response):
    """A response that is counted in `open_pages` while it is sent."""

    def __init__(self, stream: EventStream, response: StreamingResponse) -> None:
        super().__init__()
        self._stream = stream
        self._response = response

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._stream.page_open():
            await self._response(scope, receive, send)
