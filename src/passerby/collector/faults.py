"""Faults: scripted responses instead of the service's, to test how an app handles errors."""

from __future__ import annotations

import json
import math
import re
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal, cast

from .api_request import ROUTES, Route
from .json_object import JSONObject, as_list

RouteOrAll = Route | Literal["all"]

HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+\Z")
HEADER_VALUE = re.compile(r"[\t\x20-\x7e\xa0-\xff]*\Z")
BY_FAULT = "a fault was set on the collector"  # the refusal instead of the service's
DERIVED_HEADERS = frozenset({"content-length", "transfer-encoding"})


@dataclass(frozen=True, slots=True, kw_only=True)
class ScriptedResponse:
    """One scripted response, or a reset.

    An event with a 2xx response counts as accepted, also if the response is truncated. After a reset nothing is
    accepted, unless `status` is None: then the service did its work and only its response is lost.
    """

    status: int | None = 200  # None: the response of the service itself
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    body: Any = None  # JSON; None: an empty body
    raw: str | bytes | None = None  # instead of `body`, sent as it is
    delay: float = 0.0  # seconds before the response
    stall_body: float = 0.0  # seconds between headers and body
    reset: bool = False  # a TCP reset instead of the response
    truncate: bool = False  # half of the body, then the connection is closed

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
        json.dumps(self.body)  # fails now, not at the first request

    @classmethod
    def from_mapping(cls, settings: Mapping[str, Any]) -> ScriptedResponse:
        """Make one from JSON. Raises ValueError for unknown fields."""
        if not isinstance(settings, Mapping):
            raise ValueError(f"{settings!r} is no response; expected an object")
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
        """The default content type."""
        return "application/json" if self.raw is None else "text/plain; charset=utf-8"


class Faults:
    """The scripted responses by route. Thread-safe."""

    def __init__(self) -> None:
        self._scripts: dict[Route, _Script] = {}
        self._lock = threading.Lock()

    def script(self, route: Route, answers: Iterable[ScriptedResponse] | None) -> None:
        """Respond on `route` with these in turn; the last one repeats. None clears the script."""
        listed = list(answers or ())
        with self._lock:
            if listed:
                self._scripts[_checked(route)] = _Script(listed, ends=False)
            else:
                self._scripts.pop(_checked(route), None)

    def fail(self, route: RouteOrAll, answer: ScriptedResponse, times: int | None = None) -> None:
        """Respond with this `times` times, for "all" over all routes together; None: until cleared."""
        if times is not None and not (_is_a(times, int) and times > 0):
            raise ValueError(f"times is {times!r}; expected a number above 0, or None")
        script = _Script([answer] * (times or 1), ends=times is not None)
        with self._lock:
            for each in ROUTES if route == "all" else (_checked(route),):
                self._scripts[each] = script

    def clear(self) -> None:
        """Clear all faults."""
        with self._lock:
            self._scripts.clear()

    def next_response(self, route: Route) -> ScriptedResponse | None:
        """Take the next scripted response; None: no fault."""
        if not self._scripts:
            return None
        with self._lock:
            script = self._scripts.get(route)
            answer = script.next_response() if script else None
            if answer is None:
                self._scripts.pop(route, None)
            return answer

    @property
    def upcoming(self) -> dict[Route, ScriptedResponse]:
        """The next response of each route with a fault."""
        with self._lock:
            return {
                route: script.upcoming
                for route in ROUTES
                if (script := self._scripts.get(route)) and not script.is_over
            }

    @property
    def routes(self) -> list[Route]:
        """The routes with faults."""
        return list(self.upcoming)

    def apply(self, order: JSONObject) -> None:
        """Set faults from JSON: `route`, and either `answers` or one response with `times`."""
        settings = dict(order)
        route = settings.pop("route", "all")
        if "answers" not in settings:
            times = settings.pop("times", None)
            self.fail(route, ScriptedResponse.from_mapping({"status": 503} | settings), times)
            return
        answers = as_list(settings.pop("answers"))
        if settings or not answers:
            raise ValueError("answers: expected a list of at least one response, and no other field but route")
        self.script(route, [ScriptedResponse.from_mapping(answer) for answer in answers])


class _Script:
    def __init__(self, answers: list[ScriptedResponse], *, ends: bool) -> None:
        self._answers = answers
        self._ends = ends
        self._position = 0

    def next_response(self) -> ScriptedResponse | None:
        if self.is_over:
            return None
        answer = self.upcoming
        self._position += 1
        return answer

    @property
    def upcoming(self) -> ScriptedResponse:
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
            raise ValueError(f"{name!r} is not a valid header")
        if name.lower() in DERIVED_HEADERS:
            raise ValueError(f"{name} cannot be set: it follows from the body")
