"""The FastAPI integration: the tracker as a dependency. The middleware is that of `passerby.asgi`."""

from __future__ import annotations

from typing import Annotated

try:
    from fastapi import Depends
except ModuleNotFoundError as _error:
    raise ModuleNotFoundError(
        'FastAPI is not installed. Run: pip install "passerby[fastapi]"', name="fastapi"
    ) from _error
from starlette.requests import HTTPConnection

from .client.current import context_tracker
from .client.tracker import Tracker
from .http.request import TRACKER_KEY


async def get_tracker(connection: HTTPConnection) -> Tracker:
    """Return the tracker of a request or websocket; for `Depends`, where `TrackerDep` does not fit.

    Raises LookupError if the middleware is not installed.
    """
    tracker: Tracker | None = connection.scope.get(TRACKER_KEY) or context_tracker()
    if tracker is None:
        raise LookupError(
            "no tracker here: install the middleware with "
            "app.add_middleware(TrackingMiddleware, tracking=tracking), from passerby.asgi"
        )
    return tracker


TrackerDep = Annotated[Tracker, Depends(get_tracker)]
"""The tracker of a request or websocket, for the parameters of endpoints and dependencies."""
