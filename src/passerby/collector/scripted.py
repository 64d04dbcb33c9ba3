"""Misbehaviour on request: answers in the service's place, so that an app can be watched riding them out."""

from __future__ import annotations

import json
import math
import re
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal, cast

from .ask import ROUTES, Route
from .json_object import JSONObject, as_list

RouteOrAll = Literal["create", "events", "show", "callflows", "pipelines", "datalyr", "other", "all"]

HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+\Z")
HEADER_VALUE = re.compile(r"[\t\x20-\x7e\xa0-\xff]*\Z")
AS_TOLD = "the collector was told to misbehave"  # why, in place of what the service would say
TAKEN_FROM_BODY = frozenset({"content-length", "transfer-encoding"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Scripted:
    """One answer, or the lack of one.

    An event answered with 2xx counts as accepted, also where the answer is then cut short. A connection
    that is reset has taken nothing, unless `status` is None: then the service did its work and only its
    answer is lost.
    """

    status: int | None = 200  # None: what the service itself would answer
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    body: Any = None  # JSON; None: an empty body
    raw: str | bytes | None = None  # instead of `body`, sent as it is
    delay: float = 0.0  # seconds before the answer
    stall_body: float = 0.0  # seconds between headers and body
    reset: bool = False  # a TCP reset instead of the answer
    truncate: bool = False  # half of the body, then the end of the connection

    def __post_init__(self) -> None:
        if self.status is not None and not (_is_a(self.status, int) and 200 <= self.status <= 599):
            raise ValueError(f"status is {self.status!r}; expected a number from 200 to 599, or None")
        for name in ("delay", "stall_body"):
            _check_seconds(name, getattr(self, name))
        for name in ("reset", "truncate"):
            if not isinstance(getattr(self, name), bool):
                raise ValueError(f"{name} is {getattr(self, name)!r}; expected true or false")
        if self.raw is not None and not isinstance(self.raw, str | bytes):
            raise ValueError(f"raw is {self.raw!r}; expected text")
        _check_headers(self.headers)
        json.dumps(self.body)  # the developer should hear of it now, not at the first request

    @classmethod
    def from_mapping(cls, settings: Mapping[str, Any]) -> Scripted:
        """Make one from JSON, refusing what it does not know."""
        if not isinstance(settings, Mapping):
            raise ValueError(f"{settings!r} is no answer; expected an object")
        unknown = settings.keys() - {each.name for each in fields(cls)}
        if unknown:
            raise ValueError(f"unknown: {', '.join(sorted(unknown))}")
        return cls(**settings)

    @property
    def content(self) -> bytes:
        """The body as bytes."""
        if self.raw is not None:
            return self.raw.encode() if isinstance(self.raw, str) else self.raw
        return b"" if self.body is None else json.dumps(self.body).encode()

    @property
    def content_type(self) -> str:
        """What it is said to be, unless the headers say something else."""
        return "application/json" if self.raw is None else "text/plain; charset=utf-8"


class Misbehaviour:
    """Which scripted answers are due, by route. May be changed from any thread."""

    def __init__(self) -> None:
        self._scripts: dict[Route, _Script] = {}
        self._lock = threading.Lock()

    def script(self, route: Route, answers: Iterable[Scripted] | None) -> None:
        """Answer `route` with these, one after the other; the last one repeats. None ends it."""
        listed = list(answers or ())
        with self._lock:
            if listed:
                self._scripts[_checked(route)] = _Script(listed, ends=False)
            else:
                self._scripts.pop(_checked(route), None)

    def fail(self, route: RouteOrAll, answer: Scripted, times: int | None = None) -> None:
        """Give this answer `times` times, over all routes together for "all"; None: until told else."""
        if times is not None and not (_is_a(times, int) and times > 0):
            raise ValueError(f"times is {times!r}; expected a number above 0, or None")
        script = _Script([answer] * (times or 1), ends=times is not None)
        with self._lock:
            for each in ROUTES if route == "all" else (_checked(route),):
                self._scripts[each] = script

    def end(self) -> None:
        """Let normal service resume everywhere."""
        with self._lock:
            self._scripts.clear()

    def next_answer(self, route: Route) -> Scripted | None:
        """The answer that is due now; None: normal service."""
        if not self._scripts:
            return None
        with self._lock:
            script = self._scripts.get(route)
            answer = script.next_answer() if script else None
            if answer is None:
                self._scripts.pop(route, None)
            return answer

    @property
    def upcoming(self) -> dict[Route, Scripted]:
        """The answer that is due next, for each route that misbehaves."""
        with self._lock:
            return {
                route: script.due for route in ROUTES if (script := self._scripts.get(route)) and not script.is_over
            }

    @property
    def routes(self) -> list[Route]:
        """The routes that misbehave."""
        return list(self.upcoming)

    def obey(self, order: JSONObject) -> None:
        """Carry out an order given as JSON: `route`, and either `answers` or one answer with `times`."""
        settings = dict(order)
        route = settings.pop("route", "all")
        if "answers" not in settings:
            times = settings.pop("times", None)
            self.fail(route, Scripted.from_mapping({"status": 503} | settings), times)
            return
        answers = as_list(settings.pop("answers"))
        if settings or not answers:
            raise ValueError("answers is a list of at least one, and beside it only route is expected")
        self.script(route, [Scripted.from_mapping(answer) for answer in answers])


class _Script:
    def __init__(self, answers: list[Scripted], *, ends: bool) -> None:
        self._answers = answers
        self._ends = ends
        self._position = 0

    def next_answer(self) -> Scripted | None:
        if self.is_over:
            return None
        answer = self.due
        self._position += 1
        return answer

    @property
    def due(self) -> Scripted:
        return self._answers[min(self._position, len(self._answers) - 1)]

    @property
    def is_over(self) -> bool:
        return self._ends and self._position >= len(self._answers)


def _checked(route: str) -> Route:
    for known in ROUTES:
        if route == known:
            return known
    raise ValueError(f"route is {route!r}; expected one of {', '.join(ROUTES)}")


def _is_a(value: object, kind: type) -> bool:
    return isinstance(value, kind) and not isinstance(value, bool)


def _check_seconds(name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value < 0:
        raise ValueError(f"{name} is {value!r}; expected seconds, not below 0")


def _check_headers(headers: object) -> None:
    if not isinstance(headers, Mapping):
        raise ValueError(f"headers is {headers!r}; expected names with values")
    for name, value in cast("Mapping[object, object]", headers).items():
        if not (
            isinstance(name, str) and isinstance(value, str) and HEADER_NAME.match(name) and HEADER_VALUE.match(value)
        ):
            raise ValueError(f"{name!r} is no header that can be sent")
        if name.lower() in TAKEN_FROM_BODY:
            raise ValueError(f"{name} is not for scripts: it follows from the body")
