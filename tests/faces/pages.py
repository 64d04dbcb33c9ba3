"""What the small app of these tests does, whatever framework it is written in.

    GET  /            tells a page view; says the browser ID
    GET  /who         says browser ID, user ID, and whether the tracker found everywhere is the same
    GET  /seen/...    tells a page view; says what its context says, as JSON
    GET  /stream      says the browser ID three times, and tells an event, while the response is under way
    POST /login       identifies the user whom the query names
    POST /logout      resets
    POST /upload      says how many bytes came, and their digest
    GET  /file        a file, as the framework sends files
    GET  /json        what a script would ask for
    GET  /nothing     204
    GET  /unmodified  304
    GET  /fail        raises before the response starts
    GET  /break       raises in the middle of the response
    GET  /forever     goes on until the client leaves

The last eight are there without passerby too.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator
from pathlib import Path

from passerby import Tracker, current_tracker
from passerby.testing import capture_events

FILE = Path(__file__).with_name("pages.py")
JSON = '{"answer": 42}'
HTML = "text/html; charset=utf-8"
PIECE = "a piece of a long answer;"


class OwnError(Exception):
    """The app's own mistake."""


def home(tracker: Tracker) -> str:
    tracker.page_view({"page": "Home"})
    return tracker.browser_id or ""


def who(tracker: Tracker) -> str:
    return f"{tracker.browser_id} {tracker.user_id} {current_tracker() is tracker}"


def seen(tracker: Tracker) -> str:
    """What an event of this request carries of it."""
    with capture_events() as told:
        tracker.page_view()
    (event,) = told.events
    return json.dumps(event.context._asdict() | {"page": event.data["page"], "external": event.data["referrer"]})


def stream() -> Iterator[str]:
    """The pieces of a response that tells while it is sent."""
    for _ in range(3):
        yield f"{current_tracker().browser_id};"
    current_tracker().event("STREAMED")


def log_in(tracker: Tracker, user: str) -> str:
    tracker.identify(user, {"plan": "pro"})
    return tracker.user_id or ""


def log_out(tracker: Tracker) -> str:
    tracker.reset()
    return str(tracker.user_id)


class Upload:
    """Counts what comes in."""

    def __init__(self) -> None:
        self._size = 0
        self._digest = hashlib.sha256()

    def add(self, piece: bytes) -> None:
        self._size += len(piece)
        self._digest.update(piece)

    def __str__(self) -> str:
        return f"{self._size} {self._digest.hexdigest()}"


def break_off() -> Iterator[str]:
    yield PIECE
    raise OwnError("in the middle of the response")


def forever() -> Iterator[str]:
    """More than any buffer between here and the client holds, and an end all the same."""
    for _ in range(2_000):
        yield PIECE * 400
        time.sleep(0.001)
