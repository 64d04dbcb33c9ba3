"""What a page is told while it is open: server-sent events with what arrives, and each second how things stand."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Generator
from contextlib import contextmanager, suppress

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from .feed import Cursor, Feed
from .json_object import JSONObject, json_text
from .response import refuse
from .scripted import Misbehaviour
from .store import Store

FIRST = 1_000  # requests with which a page begins
PAUSE = 0.2  # seconds between two messages with arrivals
PULSE = 1.0  # seconds
MAX_PAGES = 100  # open at once


class Stream:
    """Serve pages, each at its own pace, until the server ends.

    Attributes:
        open_pages: how many are served.
    """

    def __init__(self, store: Store, feed: Feed, misbehaviour: Misbehaviour) -> None:
        self._store = store
        self._feed = feed
        self._misbehaviour = misbehaviour
        self._ending = asyncio.Event()
        self.open_pages: int = 0

    def begin(self) -> None:
        """Be open for pages, in the loop that runs now."""
        self._ending = asyncio.Event()

    def end(self) -> None:
        """Have all streams end, in the server's loop."""
        self._ending.set()

    @contextmanager
    def page_open(self) -> Generator[None]:
        """Count one more open page within the block."""
        self.open_pages += 1
        try:
            yield
        finally:
            self.open_pages -= 1

    async def answer(self, request: Request) -> Response:
        """Tell what arrives: from the latest on, or from behind `?after=N` or the event a page heard last."""
        after = request.headers.get("last-event-id") or request.query_params.get("after")
        try:
            cursor = None if after is None else Cursor.behind(after)
        except ValueError:
            return refuse(400, "after, like Last-Event-ID, is the number of a request")
        if cursor is None or cursor > self._feed.end:  # what it heard was of another collector
            cursor = self._feed.latest(FIRST)
        if self.open_pages >= MAX_PAGES:
            return refuse(503, f"{MAX_PAGES} pages are open; close some")
        return _OpenPage(self, StreamingResponse(self._messages(cursor), media_type="text/event-stream"))

    async def _messages(self, cursor: Cursor) -> AsyncGenerator[str]:
        pulse_due = 0.0
        clears: int | None = None
        while not self._ending.is_set():
            begun = time.monotonic()
            page = await asyncio.to_thread(self._feed.read, cursor) if self._feed.has_more(cursor) else None
            # A page that was cleared must hear of it before it hears of what came since.
            if time.monotonic() >= pulse_due or (page is not None and page.clears != clears):
                clears = self._store.clears if page is None else page.clears
                pulse_due = time.monotonic() + PULSE
                yield f"event: pulse\ndata: {json_text(self._pulse(clears))}\n\n"
            if page is not None and page.items:
                cursor = page.cursor
                arrivals = json_text({"items": [item._asdict() for item in page.items]})
                page = None  # nothing of it is kept while a page is slow to read
                yield f"event: arrivals\nid: {cursor.mark}\ndata: {arrivals}\n\n"
                if self._feed.has_more(cursor):
                    continue
            with suppress(TimeoutError):
                await asyncio.wait_for(self._ending.wait(), begun + PAUSE - time.monotonic())

    def _pulse(self, clears: int) -> JSONObject:
        upcoming = self._misbehaviour.upcoming
        misbehaving = [
            {"route": route, "status": due.status, "reset": due.reset, "delay": due.delay}
            for route, due in upcoming.items()
        ]
        return {
            "counts": self._store.counts(),
            "last": self._store.last_number,
            "misbehaving": misbehaving,
            "clears": clears,
        }


class _OpenPage(Response):
    """A response that counts as an open page from its begin to its end."""

    def __init__(self, stream: Stream, response: StreamingResponse) -> None:
        super().__init__()
        self._stream = stream
        self._response = response

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._stream.page_open():
            await self._response(scope, receive, send)
