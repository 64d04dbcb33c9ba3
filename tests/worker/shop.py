"""A small app for workers, run in processes of its own: each request records an event and waits until it is stored."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any
from uuid import uuid4

from passerby import Sites, Tracking

from .recording import make_tracking

if "SHOP_LOG" in os.environ:
    logging.basicConfig(format="from the shop: %(message)s")

tracking = make_tracking(
    Path(os.environ["SHOP_OUTBOX"]),
    os.environ["SHOP_RECEIVER"],
    close_timeout=float(os.environ.get("SHOP_CLOSE_TIMEOUT", "20")),
    request_timeout=60.0,
    retry_base=0.05,
)

sites = Sites(lambda request: None, lambda name: tracking)
in_memory = make_tracking(Path(), os.environ["SHOP_RECEIVER"], outbox="memory", deliver="thread")
to_nowhere = Tracking(secret_key="a key of this app's tests", outbox=f"sqlite://{os.environ['SHOP_OUTBOX']}")


def record(step: str) -> None:
    """Record an event, and wait until it is stored."""
    tracking.for_visitor(str(uuid4())).event("STEP", {"step": step}).wait_stored(60)


def wsgi(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    record(environ["PATH_INFO"])
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"recorded"]


async def asgi(scope: dict[str, Any], receive: Callable[..., Any], send: Callable[..., Any]) -> None:
    if scope["type"] == "http":
        record(scope["path"])
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"recorded"})
