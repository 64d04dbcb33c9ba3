"""One request to the collector and one answer, whichever system it plays: plain values."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import parse_qsl

from .json_object import JSONObject, parse_object

Route = Literal["create", "events", "show", "callflows", "pipelines", "datalyr", "other"]
System = Literal["customerio", "datalyr"]  # those whose messages are kept as they came; Sitecore's events are events
Played = Literal["sitecore", "customerio", "datalyr"]

SYSTEMS: tuple[System, ...] = ("customerio", "datalyr")
PLAYED: tuple[Played, ...] = ("sitecore", "customerio", "datalyr")
ROUTES: tuple[Route, ...] = ("create", "events", "show", "callflows", "pipelines", "datalyr", "other")

# Matched at the end of the path: a target URL may bring a path of its own, or a slash too many.
EVENT_FORM = "/v1.2/event/create.json"
ROUTE_ENDINGS: tuple[tuple[str, Route], ...] = (
    ("/v1.2/events", "events"),
    (EVENT_FORM, "events"),
    ("/v1.2/browser/create.json", "create"),
    ("/v2/callFlows", "callflows"),
    *((f"/v1/{name}", "pipelines") for name in ("batch", "identify", "track", "page", "screen", "group", "alias")),
    ("/events", "datalyr"),
    ("/track", "datalyr"),
)
SHOW_ENDING = re.compile(r"/v1\.2/browser/(?P<browser_id>[^/]*)/show\.json\Z")
OWNERS: dict[Route, Played] = {
    "create": "sitecore",
    "events": "sitecore",
    "show": "sitecore",
    "callflows": "sitecore",
    "pipelines": "customerio",
    "datalyr": "datalyr",
}
CARRIERS: tuple[Route, ...] = ("events", "pipelines", "datalyr")  # the routes on which events and messages come


def route_of(path: str) -> Route:
    """The part of the service that a path without its query leads to."""
    for ending, route in ROUTE_ENDINGS:
        if path.endswith(ending):
            return route
    return "show" if SHOW_ENDING.search(path) else "other"


@dataclass(frozen=True, slots=True)
class Ask:
    """A request to the service."""

    method: str
    path: str  # with its query, as on the wire
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict[str, str])  # names in lower case

    @property
    def bare_path(self) -> str:
        """The path without its query."""
        return self.path.partition("?")[0]

    @property
    def parameters(self) -> dict[str, str]:
        """The query, decoded; the last of several values."""
        return dict(parse_qsl(self.path.partition("?")[2], keep_blank_values=True))

    @property
    def route(self) -> Route:
        """The part of the service that is meant."""
        return route_of(self.bare_path)

    @property
    def is_event_form(self) -> bool:
        """Whether this is an event in a query instead of a body."""
        return self.bare_path.endswith(EVENT_FORM)

    def read_event(self) -> tuple[JSONObject, str]:
        """Sitecore's event in it and its JSON text; raise ValueError where there is none."""
        if not self.is_event_form:
            text = self.body.decode()
            return parse_object(text), text
        parameters = self.parameters
        event = parse_object(parameters.get("message", ""))
        if "client_key" in parameters:
            event = {"client_key": parameters["client_key"], **event}
        return event, json.dumps(event)


@dataclass(frozen=True, slots=True)
class Answer:
    """What the service says to a request."""

    status: int
    body: JSONObject
    event: str | None = None  # JSON text of the event it took
    browser_id: str | None = None  # the ID it issued
    refusal: str | None = None  # why it said no, or only thought so
    system: System | None = None  # whose the messages are
    messages: tuple[JSONObject, ...] = ()  # what it took
    repeated: int = 0  # how many it had taken before and takes no more
    positions: tuple[int, ...] = ()  # their places in the request; none: from 0 on, without a gap
