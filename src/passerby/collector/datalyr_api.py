"""The responses of Datalyr's ingest service: values in, values out, no network.

Documented by Datalyr: `POST /events` with the workspace's ID and events (its page for servers); user IDs of 1 to 255
characters that are never the anonymous ID; at most 50 traits a call, of text, numbers, bools and lists. Seen in the
vendor's SDKs: `POST /track` with `X-API-Key` and one event; that an event whose ID was seen within six hours is
dropped; 400 for a bad event, 401 for a wrong key.

Guessed: everything else. That a batch with one bad event is refused whole, that a wrong workspace is answered 401, that
`/events` goes without a key, and the bodies of all answers. No service was reachable to ask.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator
from datetime import datetime
from typing import Any, cast

from .api_request import ApiRequest, ApiResponse
from .json_object import JSONObject, as_list, as_object, parse_object

DEDUPLICATION_WINDOW = 6 * 3600.0  # seconds in which an event's ID makes it the same event
MAX_USER_ID = 255
MAX_TRAITS = 50


class DatalyrApi:
    """The emulated service, with the valid workspaces and keys."""

    def __init__(
        self,
        workspaces: Collection[str] = (),  # empty: all are valid, as are all keys
        api_keys: Collection[str] = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._workspaces = frozenset(workspaces)
        self._api_keys = frozenset(api_keys)
        self._clock = clock
        self._seen: dict[str, float] = {}

    def handle(self, request: ApiRequest) -> ApiResponse:
        """Return the response to a request."""
        if request.method != "POST":
            return _refuse(405, "Events are sent with POST")
        is_batch = request.bare_path.endswith("/events")
        key = request.headers.get("x-api-key")
        if (key is None and not is_batch) or (key is not None and not _is_one_of(key, self._api_keys)):
            return _refuse(401, "The API key is missing or not one of this service")
        try:
            events = read_messages(request)
            workspace = parse_object(request.body).get("workspaceId")
        except ValueError as error:
            return _refuse(400, f"The body cannot be read: {error}")
        if is_batch and not _is_one_of(workspace, self._workspaces):
            return _refuse(401, "workspaceId is missing or not one of this service")
        for number, event in enumerate(events):
            reason = what_is_wrong(event)
            if reason is not None:
                return _refuse(400, f"event {number}: {reason}")
        new = {number: as_object(event) for number, event in enumerate(events) if self._is_new(event)}
        return ApiResponse(
            200,
            {"success": True, "received": len(events)},
            system="datalyr",
            messages=tuple(new.values()),
            positions=tuple(new),
            repeated=len(events) - len(new),
        )

    def _is_new(self, event: Any) -> bool:
        now = self._clock()
        while self._seen and now - next(iter(self._seen.values())) > DEDUPLICATION_WINDOW:
            del self._seen[next(iter(self._seen))]
        name = event_id_of(as_object(event))
        if name in self._seen:
            return False
        if isinstance(name, str):
            self._seen[name] = now
        return True


def read_messages(request: ApiRequest) -> list[Any]:
    """The events in a request; raise ValueError where there are none."""
    body = parse_object(request.body)
    if not request.bare_path.endswith("/events"):
        return [body]
    events = as_list(body.get("events"))
    if not events:
        raise ValueError("events is no list of events")
    return events


def what_is_wrong(event: Any) -> str | None:
    """Return why an event is refused; None if it is accepted."""
    return next(_problems(event), None)


def name_of(event: JSONObject) -> Any:
    """The event's name, in either form."""
    return event.get("event_name", event.get("event"))


def user_id_of(event: JSONObject) -> Any:
    """The event's user ID, in either form."""
    return event.get("user_id", event.get("userId"))


def anonymous_id_of(event: JSONObject) -> Any:
    """The event's anonymous ID, in either form."""
    return event.get("anonymous_id", event.get("anonymousId"))


def event_id_of(event: JSONObject) -> Any:
    """The event's own ID, in either form."""
    return event.get("event_id") or event.get("eventId")


def traits_of(event: JSONObject) -> JSONObject:
    """The traits of an identify event: the document shows them in `properties` and in `traits`."""
    traits = {**as_object(event.get("properties")), **as_object(event.get("traits"))}
    for name in ("anonymous_id", "previous_id"):  # there if an event has no fields for them
        traits.pop(name, None)
    return traits


def _problems(event: Any) -> Iterator[str]:
    if not isinstance(event, dict):
        yield "it is no object"
        return
    fields = as_object(cast("object", event))
    user_id, anonymous_id = user_id_of(fields), anonymous_id_of(fields)
    if not _is_filled(name_of(fields)):
        yield "its name is missing"
    if user_id is None and not _is_filled(anonymous_id):
        yield "user and anonymous ID are missing"
    if user_id is not None and not (_is_filled(user_id) and len(user_id) <= MAX_USER_ID):
        yield f"the user ID is not text of 1 to {MAX_USER_ID} characters"
    if user_id is not None and user_id == anonymous_id:
        yield "the user ID is the anonymous ID"
    if not isinstance(fields.get("properties"), dict | None):
        yield "properties is no object"
    if name_of(fields) == "$identify":
        yield from _problems_of_traits(traits_of(fields))
    if not _is_moment(fields.get("timestamp")):
        yield "timestamp is not ISO 8601"


def _problems_of_traits(traits: JSONObject) -> Iterator[str]:
    if len(traits) > MAX_TRAITS:
        yield f"it has more than {MAX_TRAITS} traits"
    if any(isinstance(value, dict) or value is None for value in traits.values()):
        yield "a trait is neither text, number, bool nor list"


def _is_one_of(value: object, known: frozenset[str]) -> bool:
    return _is_filled(value) and (not known or value in known)


def _is_filled(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _is_moment(value: object) -> bool:
    try:
        datetime.fromisoformat(str(value))
    except ValueError:
        return False
    return isinstance(value, str)


def _refuse(status: int, reason: str) -> ApiResponse:
    return ApiResponse(status, {"success": False, "error": reason}, refusal=reason)
