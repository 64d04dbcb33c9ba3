"""The server of a case: what it answers, in turn."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .case import JSON, Case

ISSUED = "<issued>"  # a browser ID that no answer of the case names
UNSCRIPTED: dict[str, JSON] = {  # what the server answers where the case does not say
    "create": {"status": 200, "body": {"ref": ISSUED}},
    "events": {"status": 201, "body": {"status": "OK"}},
    "show": {"status": 200, "body": {"customer": {"ref": "guest"}}},
    "callflows": {"status": 200, "body": {}},
    "other": {"status": 200, "body": {}},
}


@dataclass
class Answer:
    """One scripted answer, or what stands for none."""

    script: JSON

    @property
    def status(self) -> int | None:
        """The status, or None where no answer comes."""
        is_gone = any(self.script.get(accident) for accident in ("reset", "refused", "truncate"))
        return None if is_gone else int(self.script.get("status", 200))

    @property
    def is_good(self) -> bool:
        return self.status is not None and 200 <= self.status < 300

    @property
    def asks_to_wait(self) -> bool:
        return str(self.script.get("headers", {}).get("retry-after", "0")) != "0"

    @property
    def json(self) -> Any:
        if self.status in (None, 204, 304):
            return None
        if "raw" not in self.script:
            return self.script.get("body")
        try:
            return json.loads(self.script["raw"].removeprefix("\ufeff"))
        except ValueError:
            return None

    def seconds(self, *, with_body: bool) -> float:
        stall = self.script.get("stall_body_ms", 0) if with_body else 0
        return float(self.script.get("delay_ms", 0) + stall) / 1000


class Server:
    """Gives a case's answers, each in turn, the last one again and again."""

    def __init__(self, case: Case, unscripted: Mapping[str, JSON] = UNSCRIPTED) -> None:
        self._scripts = case.server
        self._unscripted = unscripted
        self._is_closed = not case.target.startswith("{MOCK}")
        self._given: dict[str, int] = {}

    def next(self, route: str) -> Answer:
        position = self._given.get(route, 0)
        self._given[route] = position + 1
        return Answer(self._at(route, position))

    def is_last(self, route: str) -> bool:
        return self._is_closed or self._given.get(route, 0) >= len(self._scripts.get(route) or (None,))

    def _at(self, route: str, position: int) -> JSON:
        if self._is_closed:
            return {"refused": True}
        script = self._scripts.get(route) or [self._unscripted[route]]
        return script[min(position, len(script) - 1)]
