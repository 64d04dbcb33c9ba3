"""Where cases are replayed: real collectors, which answer as a case says."""

from __future__ import annotations

import itertools
import socket
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol

from passerby.collector import CollectorServer
from passerby.collector.faults import ScriptedResponse

from .case import JSON
from .javascript import is_truthy
from .recorded import COMPARED_HEADERS
from .server import UNSCRIPTED


class Served(Protocol):
    """A case that says what is answered, by route of the collector."""

    @property
    def server(self) -> Mapping[str, list[JSON]]: ...


class Stage:
    """Collectors to replay cases on, in turn: what a case leaves on its way cannot reach the next one."""

    def __init__(self, size: int = 4) -> None:
        self._collectors = [CollectorServer(accept_any_browser_id=True) for _ in range(size)]
        self._turns = itertools.count()
        self._closed = socket.socket()

    def __enter__(self) -> Stage:
        self._closed.bind(("127.0.0.1", 0))  # taken, and nobody listens
        for collector in self._collectors:
            collector.start()
        return self

    def __exit__(self, *exception: object) -> None:
        for collector in self._collectors:
            collector.close()
        self._closed.close()

    @contextmanager
    def collector_for(
        self, case: Served, answers: Mapping[str, JSON] = UNSCRIPTED
    ) -> Iterator[tuple[CollectorServer, str]]:
        """A collector that answers as the case says, and the base URL of the case on it.

        Args:
            case: what is answered in turn, by route.
            answers: what is answered on the other routes.
        """
        turn = next(self._turns)
        collector = self._collectors[turn % len(self._collectors)]
        base = f"{collector.url}/case-{turn}"
        unscripted = {route: [answer] for route, answer in answers.items() if route != "create"}
        for route, scripted in (unscripted | dict(case.server)).items():
            collector.script(route, [_scripted(answer, base) for answer in scripted])  # type: ignore[arg-type]
        yield collector, base
        collector.clear_faults()

    def fill_in(self, text: Any, base: str) -> Any:
        """Put addresses in the place of {MOCK} and {CLOSED}."""
        if not isinstance(text, str):
            return text
        return text.replace("{MOCK}", base).replace("{CLOSED}", f"http://127.0.0.1:{self._closed.getsockname()[1]}")


def received(collector: CollectorServer, base: str, headers: Collection[str] = COMPARED_HEADERS) -> list[JSON]:
    """The requests that a case sent to its base URL."""
    prefix = base.removeprefix(collector.url)
    return [
        {
            "method": one.method,
            "path": one.path.removeprefix(prefix),
            "headers": {name: one.headers.get(name) for name in headers},
            "body": one.json,
        }
        for one in collector.requests
        if one.path.startswith(prefix + "/")
    ]


def _scripted(answer: JSON, base: str) -> ScriptedResponse:
    headers = {name: str(value).replace("{MOCK}", base) for name, value in answer.get("headers", {}).items()}
    return ScriptedResponse(
        status=answer.get("status", 200),
        headers=headers,
        body=answer.get("body"),
        raw=answer.get("raw"),
        delay=answer.get("delay_ms", 0) / 1000,
        stall_body=answer.get("stall_body_ms", 0) / 1000,
        reset=is_truthy(answer.get("reset")),
        truncate=is_truthy(answer.get("truncate")),
    )
