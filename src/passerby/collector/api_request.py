"""One request to the collector and its response, for all emulated systems: plain values."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args
from urllib.parse import parse_qsl

from .json_object import JSONObject, parse_object

Route = Literal["create", "events", "show", "callflows", "personalize", "cdn", "pipelines", "datalyr", "other"]
MessageSystem = Literal["customerio", "datalyr"]  # their messages are stored as received
System = Literal["sitecore", "customerio", "datalyr"]

MESSAGE_SYSTEMS: tuple[MessageSystem, ...] = ("customerio", "datalyr")
SYSTEMS: tuple[System, ...] = ("sitecore", "customerio", "datalyr")
ROUTES: tuple[Route, ...] = get_args(Route)

# Matched at the end of the path: a target URL may bring a path of its own, or a slash too many.
EVENT_FORM = "/v1.2/event/create.json"
ROUTE_ENDINGS: tuple[tuple[str, Route], ...] = (
    ("/v1.2/events", "events"),
    (EVENT_FORM, "events"),
    ("/v1.2/browser/create.json", "create"),
    ("/v2/callFlows", "callflows"),
    ("/v1/personalize", "personalize"),
    ("/v1/personalize/cdn-url", "cdn"),
    *((f"/v1/{name}", "pipelines") for name in ("batch", "identify", "track", "page", "screen", "group", "alias")),
    ("/events", "datalyr"),
    ("/track", "datalyr"),
)
SHOW_ENDING = re.compile(r"/v1\.2/browser/(?P<browser_id>[^/]*)/show\.json\Z")
# The paths at Sitecore's edge, which puts its own before those of the Stream API and has two more.
EDGE_ENDING = re.compile(
    r"/v1/(events/v1\.2/(events|event/create\.json|browser/.*)|personalize(/cdn-url)?)\Z", re.DOTALL
)
SYSTEM_OF_ROUTE: dict[Route, System] = {
    "create": "sitecore",
    "events": "sitecore",
    "show": "sitecore",
    "callflows": "sitecore",
    "personalize": "sitecore",
    "cdn": "sitecore",
    "pipelines": "customerio",
    "datalyr": "datalyr",
}
EVENT_ROUTES: tuple[Route, ...] = ("events", "pipelines", "datalyr")  # the routes that carry events and messages


def route_of(path: str) -> Route:
    """The route of a path without its query."""
    for ending, route in ROUTE_ENDINGS:
        if path.endswith(ending):
            return route
    return "show" if SHOW_ENDING.search(path) else "other"


def is_edge(path: str) -> bool:
    """Whether a path without its query is one at Sitecore's edge."""
    return EDGE_ENDING.search(path) is not None


def site_in(path: str) -> str:
    """The site name in a path with its query, if it is one at Sitecore's edge; else empty."""
    return parameters_in(path).get("siteId", "") if "siteId" in path and is_edge(path.partition("?")[0]) else ""


def parameters_in(path: str) -> dict[str, str]:
    """The query of a path, decoded; the last of several values."""
    return dict(parse_qsl(path.partition("?")[2], keep_blank_values=True))


@dataclass(frozen=True, slots=True)
class ApiRequest:
    """A request to an emulated service."""

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
        return parameters_in(self.path)

    @property
    def route(self) -> Route:
        """The route of the request."""
        return route_of(self.bare_path)

    @property
    def is_edge(self) -> bool:
        """Whether it is one to Sitecore's edge, in the form of the Cloud SDK and the Content SDK."""
        return is_edge(self.bare_path)

    @property
    def context_id(self) -> str:
        """The context ID: in the query as the Cloud SDK sends it, or in a header as the Content SDK does."""
        return self.parameters.get("sitecoreContextId") or self.headers.get("x-sitecore-contextid", "")

    @property
    def site(self) -> str:
        """The site name in the address of an event or personalisation at the edge; else empty."""
        return site_in(self.path)

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
class ApiResponse:
    """The response of an emulated service, and what it accepted."""

    status: int
    body: JSONObject
    text: str | None = None  # sent instead of the body, as plain text
    event: str | None = None  # JSON text of the accepted event
    browser_id: str | None = None  # the issued ID
    refusal: str | None = None  # why the request was refused, or would have been
    system: MessageSystem | None = None  # the system of the messages
    messages: tuple[JSONObject, ...] = ()  # the accepted messages
    repeated: int = 0  # how many were accepted before and are skipped
    positions: tuple[int, ...] = ()  # their positions in the request; empty: from 0 on, without a gap
