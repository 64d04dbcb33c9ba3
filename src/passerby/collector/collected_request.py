"""One received request and its response."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from . import datalyr_api, pipelines_api
from .api_request import ApiRequest, Route
from .faults import BY_FAULT
from .json_object import JSONObject, as_object, parse_object


@dataclass(frozen=True, slots=True)
class CollectedRequest:
    """A received request and its response."""

    number: int  # from 1
    time: float  # of arrival, in seconds since the epoch
    method: str
    path: str  # with its query, as on the wire
    headers: dict[str, str]  # names in lower case; lines of one name are joined with a comma
    body: bytes
    route: Route
    status: int | None  # None: the connection was reset
    accepted: bool  # whether an event or message was accepted
    refusal: str | None  # why not
    response_headers: dict[str, str] = field(default_factory=dict[str, str])  # those that the collector sets
    response_body: bytes = b""  # the part that was sent

    @property
    def is_failed(self) -> bool:
        """Whether a fault answered it with an error or a reset."""
        return self.status is None or self.refusal == BY_FAULT

    @property
    def json(self) -> Any:
        """The body as JSON; None if it is not a JSON object."""
        try:
            return parse_object(self.body)
        except ValueError:
            return None

    @property
    def event(self) -> JSONObject | None:
        """The event in it, accepted or not, from the body or from the query."""
        try:
            return ApiRequest(self.method, self.path, self.body).read_event()[0] if self.route == "events" else None
        except ValueError:
            return None

    @property
    def all_events(self) -> list[JSONObject]:
        """The events or messages in it, accepted or not, of any system."""
        event = self.event
        return self.messages if event is None else [event]

    @property
    def text(self) -> str:
        """The body as text: decompressed, with invalid bytes replaced."""
        try:
            body = pipelines_api.plain_body(ApiRequest(self.method, self.path, self.body, self.headers))
        except ValueError:
            body = self.body
        return body.decode(errors="replace")

    @property
    def messages(self) -> list[JSONObject]:
        """The messages to Customer.io or Datalyr in it, accepted or not."""
        request = ApiRequest(self.method, self.path, self.body, self.headers)
        try:
            if self.route == "pipelines":
                return [as_object(one) for one in pipelines_api.read_messages(request)]
            return [as_object(one) for one in datalyr_api.read_messages(request)] if self.route == "datalyr" else []
        except ValueError:
            return []
