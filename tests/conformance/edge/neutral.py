"""Requests that were received, in the form of the vectors: names in the place of what differs from run to run."""

from __future__ import annotations

import re
from typing import Any

from passerby.collector import CollectorServer

from ..case import JSON
from ..stage import received
from .bodies import REQUESTED_AT
from .case import EdgeCase
from .recorded import HEADERS
from .wire import CORRELATION

_is_time = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z").fullmatch
_is_correlation = re.compile(r"[0-9a-f]{12}4[0-9a-f]{3}[89ab][0-9a-f]{15}").fullmatch


def requests_to(case: EdgeCase, collector: CollectorServer, base: str) -> list[JSON]:
    """The requests that a case sent to its base URL, once the form of what is made up is seen to be right."""
    return [_neutral(case, one) for one in received(collector, base, HEADERS)]


def _neutral(case: EdgeCase, request: JSON) -> JSON:
    headers: dict[str, Any] = request["headers"]
    if headers["user-agent"] != case.user_agent:
        headers["user-agent"] = None  # the client's own
    if _is_correlation(headers["x-sc-correlation-id"] or ""):
        headers["x-sc-correlation-id"] = CORRELATION
    body = request["body"]
    if isinstance(body, dict) and _is_time(str(body.get("requested_at"))):
        body["requested_at"] = REQUESTED_AT
    return request
