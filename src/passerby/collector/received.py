"""One request as the collector received it, and what it answered."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from . import datalyr_api, pipelines_api
from .ask import Ask, Route
from .json_object import JSONObject, as_object, parse_object


@dataclass(frozen=True, slots=True)
class Received:
    """What arrived, and what was answered."""

    number: int  # counts from 1
    time: float  # of arrival, in seconds since the epoch
    method: str
    path: str  # with its query, as on the wire
    headers: dict[str, str]  # names in lower case; lines of one name are joined with a comma
    body: bytes
    route: Route
    status: int | None  # None: the connection was reset instead
    accepted: bool  # an event or messages, and something was taken
    refusal: str | None  # why it was not
    answer_headers: dict[str, str] = field(default_factory=dict[str, str])  # as far as the answer sets them itself
    answer_body: bytes = b""  # what was sent of it

    @property
    def json(self) -> Any:
        """The body as JSON; None where it is not a JSON object."""
        try:
            return parse_object(self.body)
        except ValueError:
            return None

    @property
    def event(self) -> JSONObject | None:
        """The event in it, accepted or not, from the body or from the query."""
        try:
            return Ask(self.method, self.path, self.body).read_event()[0] if self.route == "events" else None
        except ValueError:
            return None

    @property
    def told(self) -> list[JSONObject]:
        """The event or the messages in it, accepted or not, whichever system they are for."""
        event = self.event
        return self.messages if event is None else [event]

    @property
    def text(self) -> str:
        """The body to look at: unpacked, and whatever is no text made visible."""
        try:
            body = pipelines_api.plain_body(Ask(self.method, self.path, self.body, self.headers))
        except ValueError:
            body = self.body
        return body.decode(errors="replace")

    @property
    def messages(self) -> list[JSONObject]:
        """The messages to Customer.io or Datalyr in it, accepted or not."""
        ask = Ask(self.method, self.path, self.body, self.headers)
        try:
            if self.route == "pipelines":
                return [as_object(one) for one in pipelines_api.read_messages(ask)]
            return [as_object(one) for one in datalyr_api.read_messages(ask)] if self.route == "datalyr" else []
        except ValueError:
            return []
