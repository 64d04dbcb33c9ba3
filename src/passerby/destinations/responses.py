"""Classifies HTTP responses in the usual way, for all destinations."""

from __future__ import annotations

import time
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Any, cast

from ..values import json
from . import DestinationResponse, Rejected, Retry

MAX_RETRY_AFTER = 3600.0  # seconds; a longer pause is treated as a mistake and tried after an hour

_RETRIED = frozenset({408, 425, 429})


def classify_status(response: DestinationResponse, now: float | None = None) -> Retry | Rejected | None:
    """Return None for success, else Retry or Rejected.

    408, 425, 429 and 5xx are temporary. Everything else is permanent, including redirects: following one would turn a
    POST into a GET without a body.
    """
    status = response.status
    if 200 <= status < 300:
        return None
    if status in _RETRIED or status >= 500:
        return Retry(f"status {status}", read_retry_after(response.headers.get("retry-after"), now))
    return Rejected(f"status {status}")


def read_retry_after(value: str | None, now: float | None = None) -> float | None:
    """Parse a Retry-After header, in seconds or as a date. None if it is not usable (RFC 9110, section 10.2.3)."""
    if value is None or len(value) > 64:
        return None
    value = value.strip()
    if value.isascii() and value.isdigit():
        return min(float(value), MAX_RETRY_AFTER)
    try:
        moment = parsedate_to_datetime(value)
    except (TypeError, ValueError, OverflowError, LookupError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    seconds = moment.timestamp() - (time.time() if now is None else now)
    return min(seconds, MAX_RETRY_AFTER) if seconds > 0 else None


def as_object(value: Any) -> dict[str, Any]:
    """Return a JSON object, or an empty one for anything else."""
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def read_json(response: DestinationResponse) -> Any:
    """Return the parsed body, or None if it is not JSON."""
    try:
        return json.loads(response.body)
    except (ValueError, RecursionError):
        return None
