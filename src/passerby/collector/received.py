"""One request as the collector received it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .json_object import JSONObject, parse_object
from .stream_api import Ask, Route


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
    accepted: bool  # an event, and it was taken
    refusal: str | None  # why it was not

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
