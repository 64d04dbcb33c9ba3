"""Datalyr: events in the two formats of its documents and SDKs, and its responses.

Sources of the facts: Datalyr's page "Identity Calls" for the server-side form with a workspace ID and events in a batch
(`form="events"`), and the requests of `@datalyr/api` 1.3.1 as observed on the wire for the form with an API key and one
event in each request (`form="track"`). No service was reachable when this was written: the responses of the endpoint,
whether it accepts the first form without a key, and its limits on sizes and rates are not verified.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, cast, get_args

from ..errors import SettingsError, ValidationError
from ..events.context import own_data
from ..events.event import Event, EventKind
from ..events.identity import MAX_USER_ID, traits_of
from ..values import json
from ..values.browser_id import BrowserIdFormat
from ..values.outcome import Delivered
from ..values.secret import Secret
from ..version import __version__
from . import DestinationResponse, OutgoingRequest, Retry, SendResult, SharedCookie, SplitBatch
from .reserved import refuse_conflicting
from .responses import classify_status, read_json
from .target import checked_name, checked_switch, checked_target, origin_of

Form = Literal["events", "track"]

TARGET_URL = "https://ingest.datalyr.com"
MAX_KEY = 512  # characters
MAX_TRAITS = 50  # a call
MAX_BATCH = 500_000  # bytes; no limit is documented, this is that of a comparable API
NOT_YET_ALLOWED = 300.0  # seconds until a request is tried again that the workspace's configuration does not allow

# The cookies of its browser SDK, kept for a year and for all hosts of a domain.
_BROWSER_SDK_COOKIE = SharedCookie("__dl_visitor_id", BrowserIdFormat("anon_"), opt_out="__dl_opt_out")
_ANONYMOUS_ID = 106  # bytes of the browser ID that an event without one will get, in two places

_SNAKE_CASE = {"createdAt": "created_at", "trialEnd": "trial_end", "companySize": "company_size"}

_is_key = re.compile(r"[!-~]+").fullmatch


class Datalyr:
    """Datalyr as a destination.

    Args:
        workspace_id: the workspace's ID; the form "events" needs it.
        api_key: the workspace's API key; required by the form "track", also sent with the other.
        form: "events", as in Datalyr's document for servers, or "track", as in its package for Node.js.
        target_url: the ingest address.
        page_view_name: the event name of page views; Datalyr's SDKs use "$pageview" and "pageview".
        share_visitors: whether the browser ID is that of Datalyr's browser SDK: its cookie is read and kept, new
            visitors get an ID of its format, and its opt-out cookie is respected.
        name: the name of this destination in receipts and statistics.

    Raises:
        SettingsError: a setting is missing, wrong, or does not fit another one.
    """

    kinds: frozenset[EventKind] = frozenset(get_args(EventKind)) - {"screen"}

    def __init__(
        self,
        *,
        workspace_id: str | None = None,
        api_key: str | Secret | None = None,
        form: Form = "events",
        target_url: str = TARGET_URL,
        page_view_name: str = "$pageview",
        share_visitors: bool = False,
        name: str = "datalyr",
    ) -> None:
        if not isinstance(form, str) or form not in ("events", "track"):
            found = repr(form)[:100] if isinstance(form, str) else type(form).__name__
            raise SettingsError(f'found {found}, expected "events" or "track"', setting="form")
        key = _checked("api_key", api_key.reveal() if isinstance(api_key, Secret) else api_key, form == "track")
        workspace = _checked("workspace_id", workspace_id, form == "events")
        if not isinstance(page_view_name, str) or not page_view_name.strip():
            raise SettingsError('found none, expected text such as "$pageview"', setting="page_view_name")
        if len(page_view_name) > 255 or not page_view_name.strip().isprintable():
            raise SettingsError("expected at most 255 printable characters", setting="page_view_name")
        shares = checked_switch(share_visitors, "share_visitors")
        self.shared_cookie: SharedCookie | None = _BROWSER_SDK_COOKIE if shares else None
        self.name: str = checked_name(name)
        self.options: Mapping[str, Any] = {
            "workspace_id": workspace,
            "api_key": None if key is None else Secret(key),
            "form": form,
            "target_url": target_url,
            "page_view_name": page_view_name,
            "share_visitors": share_visitors,
            "name": name,
        }
        self.batch_size: int = 100 if form == "events" else 1
        self._form = form
        self._names: Mapping[EventKind, str] = {**_NAMES, "page_view": page_view_name.strip()}
        self._target = checked_target(target_url)
        self._api_key = None if key is None else Secret(key)
        self._opening = b'{"workspaceId":%s,"events":[' % json.dumps(workspace)
        self.batch_bytes: int = MAX_BATCH - len(self._opening) - len(b"]}")

    def __repr__(self) -> str:
        return f"<Datalyr {self.name!r} at {self._target.partition('://')[2]}/{self._form}>"

    @property
    def origin(self) -> str:
        """The scheme, host and port of the target."""
        return origin_of(self._target)

    def check(self, event: Event) -> None:
        """Raise ValidationError if the event breaks a limit that Datalyr documents."""
        if event.user_id is not None:
            self._check_user_id(event.user_id, event.browser_id)
        if event.kind == "identity":
            self._check_traits(_traits(event))
        elif event.kind == "event" and (event.type or "").strip().lower() in _OWN_NAMES:
            raise ValidationError(f"{self.name}: event type: found Datalyr's name of another call; use that call")
        refuse_conflicting(
            _given(event), _own_ids(event), self.name, "traits" if event.kind in _OF_PEOPLE else "event data"
        )

    def encoded_size(self, event: Event) -> int:
        """Return the number of bytes of an event and a comma, with an anonymous ID if it has none yet."""
        return len(self._written(event)) + 1 + (_ANONYMOUS_ID if event.browser_id is None else 0)

    def encode(self, events: Sequence[Event]) -> OutgoingRequest:
        """Return the POST request of one event, or of several if the form allows it."""
        headers = {"Content-Type": "application/json"}
        if self._api_key is not None:
            headers["X-API-Key"] = self._api_key.reveal()
        if self._form == "track":
            (event,) = events
            return OutgoingRequest(
                "POST", f"{self._target}/track", headers, json.dumps(_track_body(event, self._names))
            )
        body = self._opening + b",".join(map(self._written, events)) + b"]}"
        return OutgoingRequest("POST", f"{self._target}/events", headers, body)

    def classify(self, response: DestinationResponse) -> SendResult:
        """2xx is delivered; a batch rejected as a whole is split; other responses are classified as usual.

        Without a key, a 403 is about the workspace's configuration and not about the events. Datalyr's browser SDK,
        which has no key either, then waits five minutes.
        """
        if response.status in (400, 413):
            return SplitBatch(f"status {response.status}")
        if response.status == 403 and self._api_key is None:
            return Retry("status 403: the workspace does not allow it", NOT_YET_ALLOWED)
        result = classify_status(response)
        return Delivered(read_json(response)) if result is None else result

    def _written(self, event: Event) -> bytes:
        return json.dumps(_event_body(event, self._names))

    def _check_user_id(self, user_id: str, browser_id: str | None) -> None:
        if not user_id.strip() or len(user_id) > MAX_USER_ID:
            found = f"found {len(user_id)} characters" if user_id.strip() else "found none"
            raise ValidationError(f"{self.name}: user ID: {found}, expected 1 to {MAX_USER_ID}; use a database key")
        if user_id == browser_id:
            raise ValidationError(f"{self.name}: user ID: found the browser ID, which names no person")

    def _check_traits(self, traits: Mapping[str, Any]) -> None:
        if len(traits) > MAX_TRAITS:
            raise ValidationError(f"{self.name}: found {len(traits)} traits, expected at most {MAX_TRAITS} a call")
        for name, value in traits.items():
            if not _is_trait(value):
                raise ValidationError(
                    f"{self.name}: the trait {name[:100]} is an object or holds one, "
                    "expected text, a number, a bool, or a list of these"
                )


_NAMES: Mapping[EventKind, str] = {"identity": "$identify", "group": "$group", "alias": "$alias"}
_OWN_NAMES = frozenset(_NAMES.values())
_NAMED: frozenset[EventKind] = frozenset({"event", "form"})  # by their type
_OF_PEOPLE: frozenset[EventKind] = frozenset({"identity", "group"})


def _checked(setting: str, value: object, is_needed: bool) -> str | None:
    if value is None and not is_needed:
        return None
    if not isinstance(value, str):
        found = "none" if value is None else type(value).__name__
        raise SettingsError(f"found {found}, expected text", setting=setting)
    if len(value) > MAX_KEY or not _is_key(value.strip()):
        raise SettingsError("expected printable ASCII without blanks", setting=setting)
    return value.strip()


def _is_trait(value: Any) -> bool:
    if isinstance(value, list):
        return all(not isinstance(one, dict | list) for one in cast("list[object]", value))
    return not isinstance(value, dict)


def _event_body(event: Event, names: Mapping[EventKind, str]) -> dict[str, Any]:
    """Return the event as in the document for servers, with the event's ID as in the browser SDK."""
    body: dict[str, Any] = {"event_name": _name_of(event, names), "event_id": event.id}
    if event.browser_id is not None:
        body["anonymous_id"] = event.browser_id
    if event.user_id is not None:
        body["user_id"] = event.user_id
    body["distinct_id"] = event.user_id or event.browser_id
    if event.previous_id is not None:
        body["previous_id"] = event.previous_id
    body["properties"] = _PROPERTIES[event.kind](event)
    body["timestamp"] = event.timestamp_text
    return body


def _track_body(event: Event, names: Mapping[EventKind, str]) -> dict[str, Any]:
    """Return the event as sent by the package for Node.js."""
    body: dict[str, Any] = {"event": _name_of(event, names), "eventId": event.id}
    if event.browser_id is not None:
        body["anonymousId"] = event.browser_id
    if event.user_id is not None:
        body["userId"] = event.user_id
    properties = _PROPERTIES[event.kind](event)
    if event.browser_id is not None:
        properties["anonymous_id"] = event.browser_id
    if event.previous_id is not None:
        properties["previous_id"] = event.previous_id
    body["properties"] = properties
    body["context"] = {"library": "passerby", "version": __version__, "source": "api", "schema_version": 1}
    body["timestamp"] = event.timestamp_text
    return body


def _given(event: Event) -> Mapping[str, Any]:
    """Return the app's data in an event's properties."""
    if event.kind == "alias":
        return {}
    own = event.extension if event.kind == "identity" else event.attributes  # what `_PROPERTIES` takes
    return event.data["traits"] if event.kind == "group" else {**event.data, **own}


def _own_ids(event: Event) -> Mapping[str, str | None]:
    """Return the IDs that Datalyr's server reads from the properties of an event, by name."""
    ids: dict[str, str | None] = {"anonymousid": event.browser_id}
    if event.kind in _OF_PEOPLE:
        ids |= {"userid": event.user_id, "distinctid": event.user_id, "newuserid": event.user_id}
        ids |= {"previousid": event.previous_id}
    if event.kind == "group":
        ids["groupid"] = event.data["group_id"]
    return ids


def _name_of(event: Event, names: Mapping[EventKind, str]) -> str | None:
    return event.type if event.kind in _NAMED else names[event.kind]


def _traits(event: Event) -> dict[str, Any]:
    """Return an identity's traits: flat, known ones in snake_case, without null values."""
    flat = traits_of(event) if event.nested is None else traits_of(event._replace(nested=None))
    return {_SNAKE_CASE.get(name, name): value for name, value in flat.items() if value is not None}


def _group(event: Event) -> dict[str, Any]:
    return {**event.data["traits"], "groupId": event.data["group_id"]}


def _alias(event: Event) -> dict[str, Any]:
    """Return the ID under all four names: according to the documents the server reads those in camelCase."""
    ids = {"new_user_id": event.user_id, "previous_id": event.data["previous_id"]}
    return ids | {"userId": event.user_id, "previousId": event.data["previous_id"]}


def _event(event: Event) -> dict[str, Any]:
    return own_data(event) | event.attributes


def _page_view(event: Event) -> dict[str, Any]:
    data = {name: value for name, value in own_data(event).items() if value is not None}
    page = data.pop("page", None)
    facts: dict[str, Any] = {} if page is None else {"name": page}
    said = event.context
    request = (("url", said.url), ("path", said.path), ("referrer", said.referrer))
    facts |= {name: value for name, value in request if value is not None}
    if said.bot:
        facts["bot"] = True
    return {**facts, **(said.campaign or {}), **data, **event.attributes}


_PROPERTIES: Mapping[EventKind, Callable[[Event], dict[str, Any]]] = {
    "page_view": _page_view,
    "identity": _traits,
    "event": _event,
    "form": _event,
    "group": _group,
    "alias": _alias,
}
